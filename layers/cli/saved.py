"""From a saved model to a loss on the tape, or to the picture of a model that has none."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from layers.cli.arguments import refuse
from layers.datasets import CharacterTokenizer
from layers.examples.pictures import ngram_graph, path_loss
from layers.models import (
    GPT,
    Autoregressive,
    CharacterModel,
    LatentAutoregressive,
    NGramModel,
    TranslationModel,
)
from layers.models import load as load_model
from minigrad import Tensor

if TYPE_CHECKING:
    from minigrad.draw import Picture

__all__ = ["Source", "check_letters", "saved"]

CANDIDATES = 3
"""Characters that the picture of an n-gram model names, the likeliest first."""


@dataclass(frozen=True)
class Source:
    """A model that ran.

    Attributes:
        name: what it is called in tables and pictures.
        loss: at the last step, on the tape; None for a model that learns no weights.
        steps: how many it read.
        recurrent: whether it has cells with states.
        outputs: (batch, classes), the logits or the forecast from which the loss was computed.
        inputs: (batch, time, features), for models without states.
        note: more on what was read.
        remarks: sentences on how the model was made, to stand with what was found.
        readings: what a recurrent model reads at each step, as text.
        texts: what the inputs of any other model spell, by their names.
        graph: the picture of a model without a loss.
    """

    name: str
    loss: Tensor | None
    steps: int
    recurrent: bool
    outputs: Tensor | None = None
    inputs: tuple[Tensor, ...] = ()
    note: str = ""
    remarks: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    graph: "Picture | None" = None

    @property
    def plain(self) -> bool:
        """Whether it computes without modules, so that only operations can be shown."""
        from minigrad.draw.views.layers_view import has_modules

        return self.loss is None or not has_modules([self.loss])


def saved(path: Path, options: argparse.Namespace, steps: int) -> Source:
    """Run the model in a folder, whatever its kind.

    Raises:
        ValueError: for a kind that cannot be drawn, and for a text that the model cannot read.
    """
    model = load_model(path)
    runs: dict[type, Callable[..., Source]] = {
        CharacterModel: read_text,
        GPT: read_text,
        NGramModel: read_counts,
        TranslationModel: read_pair,
        Autoregressive: read_lags,
        LatentAutoregressive: read_series,
    }
    if type(model) not in runs:
        known = ", ".join(repr(kind.KIND) for kind in runs)  # type: ignore[attr-defined]
        raise ValueError(
            f"{path} holds a model of the kind {model.KIND!r}; what can be drawn are those of the "
            f"kinds {known}"
        )
    if isinstance(model, Autoregressive | LatentAutoregressive):
        refuse(options, "text", f"is for models of texts; {path} is one of a series")
    return runs[type(model)](path, model, options, steps)


def text_of(path: Path, model: Any, options: argparse.Namespace, length: int) -> str:
    """The text that is given, or one that the model writes."""
    if model.tokenizer is None:
        raise ValueError(f"{path} has no tokenizer, so no text can be read into it")
    text: str | None = options.text
    if text is None:
        generator = np.random.default_rng(options.seed)
        text = "".join(model.generate(None, length, generator=generator))
    if len(text) < 2:
        raise ValueError(f"--text must have at least 2 characters, got {text!r}")
    check_letters(model, text, "--text")
    return text


def check_letters(model: Any, text: str, name: str) -> None:
    """Refuse a text with a character that the model has never seen.

    Raises:
        ValueError: as said, with the option or argument `name` and the characters that it knows.
    """
    known = model.tokenizer.characters
    unknown = sorted(set(text) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has {', '.join(map(repr, unknown))}, which the model's training text did not "
            f"have; it knows {''.join(sorted(known))!r}"
        )


def read_text(path: Path, model: Any, options: argparse.Namespace, steps: int) -> Source:
    """A character model or a GPT reads a text up to the character before its last."""
    text = text_of(path, model, options, steps + 1)
    token_ids = model.tokenizer.encode(text)
    read = min(steps, len(token_ids) - 1)
    if isinstance(model, GPT) and read > model.config.block_size:
        raise ValueError(
            f"{path} reads at most {model.config.block_size} characters, not {read}; pass a "
            "smaller --steps"
        )
    note = ""
    if options.text is not None and read < steps:
        note = f"the text has {len(token_ids)} characters; the last is what is predicted"
    target = int(token_ids[read])
    readings = tuple(repr(character) for character in text[:read])
    if isinstance(model, CharacterModel):
        loss = path_loss(model, token_ids[None, :read], target)
        return Source(str(path), loss, read, True, note=note, readings=readings)
    x = as_input("x", model.positions(model.embedding(token_ids[None, :read])))
    logits = model.read(x)[:, -1]  # (1, vocabulary)
    loss = mg.cross_entropy(logits, np.array([target]))
    texts = {"x": text[:read]}
    return Source(str(path), loss, read, False, logits, (x,), note, texts=texts)


def as_input(name: str, x: mg.Tensor) -> mg.Tensor:
    """Embedded and placed tokens (1, time, width) as an input of the graph."""
    leaf = mg.Tensor(x.numpy() if not x.requires_grad else x.detach().numpy(), requires_grad=True)
    leaf.name = name
    return leaf


def read_counts(path: Path, model: NGramModel, options: argparse.Namespace, _: int) -> Source:
    """What an n-gram model expects after the end of a text, context by context."""
    text = text_of(path, model, options, model.config.order + 1)
    return Source(str(path), None, 1, False, graph=ngram_graph(model, text, CANDIDATES))


def read_pair(
    path: Path, model: TranslationModel, options: argparse.Namespace, steps: int
) -> Source:
    """A translation model reads a source, and its own translation up to the end of it."""
    letters = model.source
    if letters is None or model.target is None:
        raise ValueError(f"{path} has no tokenizers, so no text can be read into it")
    text, note = options.text, ""
    if text is None:
        text = some_text(letters, min(steps, model.config.longest), options.seed)
        note = "a source of random characters; --text gives one of your own"
    elif not text:
        raise ValueError("--text must have at least 1 character to translate")
    model.eval()
    translation = model.translate([text])[0]
    token_ids, lengths, inputs, targets = model.batch([(text, translation)])
    x = as_input("source", model.positions(model.source_embedding(token_ids)))
    y = as_input("target", model.positions(model.target_embedding(inputs)))
    memory = model.transformer.encoder(x, lengths=lengths)
    output = model.transformer.decoder(y, memory, causal=True, memory_lengths=lengths)
    logits = model.readout(output)[:, -1]  # (1, target_size + 2)
    loss = mg.cross_entropy(logits, targets[:, -1])
    read = max(len(text), inputs.shape[1])
    texts = {"source": text, "target": translation}
    return Source(str(path), loss, read, False, logits, (x, y), note, texts=texts)


def some_text(tokenizer: CharacterTokenizer, length: int, seed: int) -> str:
    """Characters that a tokenizer knows, drawn at random."""
    token_ids = np.random.default_rng(seed).integers(len(tokenizer), size=length)
    return tokenizer.decode(token_ids)


def read_lags(path: Path, model: Autoregressive, options: argparse.Namespace, _: int) -> Source:
    """An autoregressive model forecasts the last value of its series from those before it."""
    order = model.config.order
    known = known_values(path, model, order + 1)
    standard = model._standard(known)[-order - 1 :]
    x = as_input("x", mg.Tensor(standard[None, :-1, None]))  # (1, order, 1)
    latest_first = x[0, ::-1, 0]  # (order,)
    forecast = (latest_first @ model.weight + model.bias).reshape((1, 1))
    loss = mg.mse_loss(forecast[0, 0], standard[-1])
    return Source(str(path), loss, order, False, forecast, (x,))


def read_series(
    path: Path, model: LatentAutoregressive, options: argparse.Namespace, steps: int
) -> Source:
    """A latent autoregressive model reads the end of its series, and forecasts the last value."""
    known = known_values(path, model, model.context + 1)
    read = min(max(steps, model.context), len(known) - 1)
    standard = model._standard(known)[-read - 1 :]
    with mg.recording(fused=False):
        loss = mg.mse_loss(model.predict_all(standard[:-1])[-1], standard[-1])
    readings = tuple(f"{value:.4g}" for value in known[-read - 1 : -1])
    return Source(str(path), loss, read, True, readings=readings)


def known_values(path: Path, model: Any, least: int) -> Any:
    """The series that a model learned."""
    if len(model.history) < least:
        raise ValueError(
            f"{path} knows {len(model.history)} values of its series, and {least} are needed for a "
            "picture"
        )
    return model.history
