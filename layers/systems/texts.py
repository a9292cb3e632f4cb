"""The text that systems 2, 4, 7, 8 and 16 are compared on, and system 16: GPT."""

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.datasets import CharacterTokenizer, shakespeare, split
from layers.models import GPT, CharacterModel, GPTConfig, NGram
from layers.systems.results import ComparisonRow, Figure, Setting, at_most, noted
from layers.systems.whole_runs import fit_text
from layers.training import History
from layers.training.loss_plots import plot_losses

__all__ = ["Text", "compare_tables", "run_gpt", "same_without_cache", "train_text"]

STEPS: Final = 2000
ORDERS: Final = range(1, 7)
WITTEN_BELL: Final = (3.343, 2.486, 2.044, 1.762, 1.648, 1.674)
"""The reference figures of n-grams of order 1 to 6, in nats per character."""

GPT_TRAINING: Final[Mapping[str, Any]] = {
    "steps": 6000,
    "validate_every": 3000,
    "batch_size": 12,
    "rate": 3e-3,
    "final": 0.0,
    "weight_decay": 0.1,
}
"""Less than five passes through the text; after the first two it is no better than 4-grams."""


class Text:
    """The text that models are compared on: token ids, cut into a training part and the rest."""

    def __init__(self) -> None:
        text = shakespeare()
        self.tokenizer = CharacterTokenizer.from_text(text)
        self.training, self.validation = split(self.tokenizer.encode(text))

    @property
    def uniform(self) -> float:
        """Nats per character of a model that knows the alphabet alone: 4.159 for 64 characters."""
        return math.log(len(self.tokenizer))


def text_row(name: str, parameters: int, seconds: float, nats: float) -> ComparisonRow:
    """A model's line in the table, with bits beside nats."""
    values = {"nats": nats, "bits": nats / math.log(2)}
    return ComparisonRow("text", name, parameters, seconds, values)


def compare_tables(text: Text, setting: Setting) -> list[float]:
    """Nats of n-grams of order 1 to 6, and their lines in the table."""
    setting.comparisons.append(text_row("uniform", 0, 0.0, text.uniform))
    found = []
    for order in ORDERS:
        begun = time.perf_counter()
        model = NGram(order, len(text.tokenizer)).fit(text.training)
        seconds = time.perf_counter() - begun
        found.append(model.cross_entropy(text.validation))
        setting.comparisons.append(
            text_row(f"{order}-gram", model.count_of_grams(), seconds, found[-1])
        )
    return found


def train_text(
    setting: Setting,
    text: Text,
    model: CharacterModel | GPT,
    title: str,
    label: str = "",
    **options: Any,
) -> tuple[History, float]:
    """Train a model, keep it, and note its line in the table, its loss curve and a sample.

    Args:
        setting: where to keep them.
        text: the text.
        model: changed in place.
        title: its name in the table.
        label: ends the names of its files, where a system has several models.
        options: of `fit_text` that differ; `steps`, 2000 unless given, and `validate_every`, at
            the end alone unless given, before they are scaled.

    Returns:
        The run, and the nats per character of its last validation.
    """
    steps = options.get("steps", STEPS)
    history = fit_text(
        model,
        text.training,
        text.validation,
        progress=setting.progress,
        **{
            "seed": setting.seed,
            "keep": "last",
            **options,
            "steps": setting.steps(steps),
            "validate_every": setting.steps(options.get("validate_every", steps)),
        },
    )
    nats = history.validations[-1][1]
    count = model.parameter_count()
    setting.comparisons.append(text_row(title, count, history.seconds, nats))
    setting.keep(model, f"model{label}")
    generator = np.random.default_rng(setting.seed)
    setting.sample = "".join(model.generate("\n", 200, 0.8, generator=generator)).strip()
    tables = {
        name: NGram(order, len(text.tokenizer)).fit(text.training).cross_entropy(text.validation)
        for name, order in (("trigram table", 3), ("5-gram table", 5))
    }
    setting.picture(
        f"loss{label}.png",
        f"the loss curve of {title}",
        lambda path: plot_losses(
            path,
            {f"{title}, training": history},
            title=f"{title} learns Shakespeare",
            y="nats per character",
            lines={
                **{f"{name}: {value:.3f}": value for name, value in tables.items()},
                f"validation: {nats:.3f}": nats,
            },
        ),
    )
    return history, nats


def same_without_cache(model: CharacterModel | GPT, length: int) -> Figure:
    """Whether greedy text is the same when everything is read again for each character."""
    same = model.complete("ROMEO:", length) == model.complete("ROMEO:", length, cache=False)
    return Figure("text with carried state equals text without", float(same), "1", "", same)


def run_gpt(setting: Setting) -> list[Figure]:
    """System 16: GPT on the text, validated at 3000 and 6000 steps.

    >>> tokenizer = CharacterTokenizer.from_text("to be or not to be")
    >>> model = GPT(GPTConfig.preset("tiny", vocabulary_size=len(tokenizer)), tokenizer)
    >>> history = fit_text(model, tokenizer.encode("to be " * 20), steps=2, progress=False)
    >>> len("".join(model.generate("to", 40, temperature=0.8, top_k=3)))
    40
    """
    text = Text()
    mg.seed(setting.seed)
    config = GPTConfig.preset("small", vocabulary_size=len(text.tokenizer))
    model = GPT(config, text.tokenizer)
    history, last = train_text(setting, text, model, "Transformer (GPT)", **GPT_TRAINING)
    reference = f"PyTorch 1.582; 5-gram {WITTEN_BELL[ORDERS.index(5)]}"
    return [
        noted("text, nats per character at 3000 steps", history.validations[0][1]),
        at_most("text, nats per character at 6000 steps", last, 1.632, reference),
        noted("parameters", model.parameter_count()),
        same_without_cache(model, 150),
    ]
