"""Training a model of text: windows at random places, and settings that work for each kind."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layers.datasets import random_windows, validation_batches
from layers.models.character import CharacterModel
from layers.models.gpt import GPT
from layers.training.loop import Callback, fit, mean_loss
from layers.training.options import History, TrainingOptions

__all__ = ["fit_text", "text_batch_size", "text_options"]

LENGTH = 64  # characters of a window


def text_options(model: CharacterModel | GPT, **changes: Any) -> TrainingOptions:
    """The settings with which a model learns a text, with some of them changed.

    >>> from layers.models import CharacterConfig
    >>> text_options(CharacterModel(CharacterConfig(30)), steps=100).rate
    0.005
    """
    if isinstance(model, GPT):
        usual: dict[str, Any] = {"rate": 1e-3, "weight_decay": 0.1}
    elif model.config.cell == "rnn":
        usual = {"rate": 2e-3}
    else:
        usual = {"rate": 5e-3 if model.config.hidden_size <= 128 else 4e-3}
    return TrainingOptions(**{**usual, **changes})


def text_batch_size(model: CharacterModel | GPT) -> int:
    """Windows per step: 12 for a GPT, as in nanoGPT's small settings, and 32 for the others."""
    return 12 if isinstance(model, GPT) else 32


def fit_text(
    model: CharacterModel | GPT,
    training: np.ndarray[Any, Any],
    validation: np.ndarray[Any, Any] | None = None,
    *,
    batch_size: int | None = None,
    length: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    exact: bool = False,
    compiled: bool | None = None,
    identity: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **changes: Any,
) -> History:
    """Train a model on a sequence of token ids, by windows of it at random places.

    Args:
        model: changed in place.
        training: token ids (time,).
        validation: token ids (time,) to validate on, as `validation_batches` cuts them; or None.
        batch_size: windows per step; what suits the model if None.
        length: characters of a window; 64, or a GPT's block size, if None.
        folder, resume, exact, compiled, identity, callbacks, progress: as in `fit`.
        changes: options of `TrainingOptions` that differ from `text_options`.

    Raises:
        ValueError: when a part has fewer than length + 1 tokens.

    >>> import minigrad as mg
    >>> from layers.datasets import CharacterTokenizer
    >>> from layers.models import CharacterConfig
    >>> mg.seed(0)
    >>> text = "to be or not to be, " * 20
    >>> tokenizer = CharacterTokenizer.from_text(text)
    >>> model = CharacterModel(CharacterConfig(len(tokenizer), hidden_size=32), tokenizer)
    >>> history = fit_text(model, tokenizer.encode(text), steps=80, rate=0.01, progress=False)
    >>> model.complete("to be or", length=8)
    ' not to '
    """
    chosen = text_batch_size(model) if batch_size is None else batch_size
    usual = model.config.block_size if isinstance(model, GPT) else LENGTH
    size = usual if length is None else length
    batches = None if validation is None else validation_batches(validation, length=size)
    return fit(
        model,
        lambda generator: random_windows(training, chosen, size, generator),
        text_options(model, **changes),
        validate=None if batches is None else lambda: mean_loss(model, batches),
        folder=folder,
        resume=resume,
        exact=exact,
        compiled=compiled,
        identity=identity,
        callbacks=callbacks,
        progress=progress,
    )
