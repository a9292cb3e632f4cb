"""System 17: a small DALL-E that draws digits."""

from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.base.containers import Sequential
from layers.base.module import Module
from layers.basic.activations import ReLU
from layers.basic.linear import Linear
from layers.datasets import (
    CAPTION_TEMPLATES,
    DIGIT_NAMES,
    CharacterTokenizer,
    digit_captions,
    digits,
    draw_captions,
)
from layers.models import DALLE, DALLEConfig, DiscreteVAE, DiscreteVAEConfig
from layers.systems.results import Figure, Setting, at_least, at_most, noted
from layers.systems.whole_runs import fit
from layers.training import Progress, ShuffledBatches, TrainingOptions
from layers.training.plots import plot_pictures
from minigrad.core.nodes import PlainArray

__all__ = ["learn_codes", "learn_to_draw", "learn_to_read", "run_dalle"]

TRAINING: Final = 1500  # pictures; the rest are for measuring
TEMPERATURE: Final = 0.7
SAMPLES: Final = 500
GREYS: Final = 16.0


def digit_pictures() -> tuple[PlainArray, PlainArray]:
    """The digits with grey levels 0 to 1, float32 (1797, 8, 8), and their labels, shuffled.

    The file has them writer by writer; shuffled, training part and rest have the same writers.
    """
    pictures, labels = digits()
    order = np.random.default_rng(0).permutation(len(labels))
    return (pictures[order] / GREYS).astype(np.float32), labels[order]


def learn_codes(
    pictures: PlainArray, steps: int = 2000, seed: int = 0, progress: bool = False
) -> DiscreteVAE:
    """A discrete VAE of pictures, its temperature falling while it learns.

    >>> model = learn_codes(digit_pictures()[0][:64], steps=2)
    >>> model.encode(digit_pictures()[0][:1]).shape
    (1, 16)
    """
    mg.seed(seed)
    model = DiscreteVAE(DiscreteVAEConfig.preset("digits"))

    def anneal(told: Progress) -> None:
        model.anneal(told.step / steps)

    fit(
        model,
        ShuffledBatches([pictures], 64),
        TrainingOptions(steps=steps, rate=2e-3, seed=seed),
        callbacks=[anneal],
        progress=progress,
    )
    return model


def caption_tokenizer() -> CharacterTokenizer:
    """The characters of all captions."""
    return CharacterTokenizer.from_text("".join("".join(digit_captions(n)) for n in range(10)))


def learn_to_draw(
    vae: DiscreteVAE,
    pictures: PlainArray,
    labels: PlainArray,
    steps: int = 2000,
    seed: int = 0,
    progress: bool = False,
) -> DALLE:
    """A DALL-E of captions and codes; each picture comes with a new caption every time.

    >>> pictures, labels = digit_pictures()
    >>> model = learn_to_draw(learn_codes(pictures[:64], 1), pictures[:64], labels[:64], steps=1)
    >>> model.generate(["a seven"]).shape
    (1, 8, 8)
    """
    mg.seed(seed)
    tokenizer = caption_tokenizer()
    config = DALLEConfig.preset("digits", caption_size=len(tokenizer), vae=vae.config)
    model = DALLE(config, tokenizer, vae)
    codes = vae.encode(pictures)

    def batches(generator: np.random.Generator) -> tuple[PlainArray, PlainArray]:
        chosen = generator.integers(len(codes), size=64)
        captions = draw_captions(labels[chosen].tolist(), generator)
        return model.token_ids(captions), codes[chosen]

    fit(
        model,
        batches,
        TrainingOptions(steps=steps, rate=2e-3, weight_decay=0.1, seed=seed),
        progress=progress,
    )
    return model


class Reader(Module):
    """Reads a digit: the judge of the drawings.

    Shapes: pictures (batch, 8, 8) -> logits (batch, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = Sequential(Linear(64, 128), ReLU(), Linear(128, 10))

    def forward(self, pictures: Any) -> Any:
        """Logits of the digits."""
        return self.layers(pictures.reshape(len(pictures), 64))

    def loss(self, pictures: Any, labels: Any) -> Any:
        """The mean cross-entropy in nats."""
        return mg.cross_entropy(self(pictures), labels)

    def read(self, pictures: PlainArray) -> PlainArray:
        """The likeliest digit of each picture."""
        with mg.no_grad():
            labels: PlainArray = self(pictures).numpy().argmax(axis=-1)
        return labels


def learn_to_read(
    pictures: PlainArray,
    labels: PlainArray,
    steps: int = 1500,
    seed: int = 0,
    progress: bool = False,
) -> Reader:
    """A classifier of digits."""
    mg.seed(seed)
    model = Reader()
    options = TrainingOptions(steps=steps, rate=3e-3, weight_decay=0.05, seed=seed)
    fit(model, ShuffledBatches([pictures, labels], 64), options, progress=progress)
    return model


def run_dalle(setting: Setting) -> list[Figure]:
    """System 17: reconstructions of digits, and drawings of captions, read by a classifier.

    >>> tokenizer = caption_tokenizer()
    >>> config = DALLEConfig.preset("tiny", caption_size=len(tokenizer), caption_length=16)
    >>> model = DALLE(config, tokenizer)
    >>> model.generate(["draw a seven", "the digit 7"], temperature=0.7).shape
    (2, 8, 8)
    """
    pictures, labels = digit_pictures()
    seen, test = slice(0, TRAINING), slice(TRAINING, None)
    options: dict[str, Any] = {"seed": setting.seed, "progress": setting.progress}
    vae = learn_codes(pictures[seen], setting.steps(2000), **options)
    error = float(np.mean((vae.reconstruct(pictures[test]) - pictures[test]) ** 2))
    mean = pictures[seen].mean(axis=0)
    untrained = learn_to_draw(vae, pictures[seen], labels[seen], 1, setting.seed)
    model = learn_to_draw(vae, pictures[seen], labels[seen], setting.steps(2000), **options)
    reader = learn_to_read(pictures[seen], labels[seen], setting.steps(1500), **options)
    asked = np.arange(SAMPLES) % 10
    captions = draw_captions(asked.tolist(), np.random.default_rng(setting.seed + 1000))

    def share_read(drawer: DALLE) -> tuple[float, PlainArray]:
        drawn = drawer.generate(
            captions, temperature=TEMPERATURE, generator=np.random.default_rng(setting.seed + 2000)
        )
        return float((reader.read(drawn) == asked).mean()), drawn

    found, drawn = share_read(model)
    few = captions[:20]
    same = bool(
        (model.generate(few, temperature=0) == model.generate(few, temperature=0, cache=False))
        .all()
    )  # fmt: skip
    setting.keep(model)
    setting.keep(vae, "model-vae")
    setting.picture(
        "drawings.png",
        "drawings of captions, a column for each digit",
        lambda path: plot_pictures(
            path, drawn[:60], labels=[""] * 6,
            title=f"Drawn at temperature {TEMPERATURE}: {', '.join(DIGIT_NAMES)}",
        ),
    )  # fmt: skip
    setting.picture(
        "reconstructions.png",
        "held-out digits, and what is left of them in 16 codes",
        lambda path: plot_pictures(
            path,
            np.concatenate([pictures[test][:10], vae.reconstruct(pictures[test][:10])]),
            labels=["original", "from codes"],
            title=f"Digits as 16 codes out of a book of {vae.config.book_size}",
        ),
    )
    setting.remarks.append(f"Captions are of the forms {', '.join(CAPTION_TEMPLATES)}.")
    return [
        at_most("reconstruction of held-out digits, mean squared error", error, 0.02, ".0122"),
        noted("mean squared error of the mean picture",
              float(np.mean((mean - pictures[test]) ** 2)), ".0738"),
        at_least("classifier on held-out digits, share right",
                 float((reader.read(pictures[test]) == labels[test]).mean()), 0.97, ".98"),
        at_least(f"share of {SAMPLES} drawings read as asked", found, 0.9, ".976"),
        noted("the same of an untrained model", share_read(untrained)[0], ".128"),
        noted("codes in use", len(np.unique(vae.encode(pictures))), f"of {vae.config.book_size}"),
        Figure("drawings with cache equal those without", float(same), "1", "", same),
        noted("parameters", model.parameter_count()),
    ]  # fmt: skip
