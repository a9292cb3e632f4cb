"""Training a model that turns sources into targets, with settings that work for it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layers.models.translation import TranslationModel
from layers.training.loop import Callback, fit
from layers.training.options import History, TrainingOptions

__all__ = ["fit_pairs", "share_exact"]

Pairs = Sequence[tuple[str, str]]

AT_ONCE = 200  # texts that are translated together


def fit_pairs(
    model: TranslationModel,
    training: Pairs,
    validation: Pairs | None = None,
    *,
    batch_size: int = 64,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    exact: bool = False,
    compiled: bool | None = None,
    identity: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **changes: Any,
) -> History:
    """Train a model on pairs of source and target, drawn at random.

    Args:
        model: with tokenizers; changed in place.
        training: the pairs to learn.
        validation: pairs of which the share that is not translated exactly is validated; or None.
        batch_size: pairs per step.
        folder, resume, exact, compiled, identity, callbacks, progress: as in `fit`.
        changes: options of `TrainingOptions`; unless given a rate of 2e-3 and a warm-up of 200.

    Raises:
        ValueError: when there are no pairs, or the model does not know a character.

    >>> from layers.datasets import CharacterTokenizer
    >>> from layers.models import TranslationConfig
    >>> import minigrad as mg
    >>> mg.seed(0)
    >>> config = TranslationConfig.preset("tiny", source_size=3, target_size=3, longest=4)
    >>> model = TranslationModel(config, CharacterTokenizer("abc"), CharacterTokenizer("xyz"))
    >>> pairs = [("ab", "xy"), ("ba", "yx"), ("c", "z"), ("ca", "zx")]
    >>> history = fit_pairs(model, pairs, steps=150, rate=0.01, warmup=10, progress=False)
    >>> model.translate(["ab", "c"])
    ['xy', 'z']
    """
    if not len(training):
        raise ValueError("fit_pairs: training is empty; pass at least one pair")

    def batches(generator: np.random.Generator) -> Any:
        return model.batch(
            [training[i] for i in generator.integers(len(training), size=batch_size)]
        )

    return fit(
        model,
        batches,
        TrainingOptions(**{"rate": 2e-3, "warmup": 200, **changes}),
        validate=None if validation is None else lambda: 1 - share_exact(model, validation),
        folder=folder,
        resume=resume,
        exact=exact,
        compiled=compiled,
        identity=identity,
        callbacks=callbacks,
        progress=progress,
    )


def share_exact(model: TranslationModel, pairs: Pairs, **how: Any) -> float:
    """The share of pairs whose source is translated to exactly the target.

    Args:
        model: with tokenizers.
        pairs: at least one.
        how: options of `TranslationModel.translate`.
    """
    right = 0
    for start in range(0, len(pairs), AT_ONCE):
        part = pairs[start : start + AT_ONCE]
        texts = model.translate([source for source, _ in part], **how)
        right += sum(text == target for text, (_, target) in zip(texts, part, strict=True))
    return right / len(pairs)
