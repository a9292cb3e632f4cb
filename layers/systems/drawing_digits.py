"""System 17: a small DALL-E that draws digits."""

from collections.abc import Collection, Sequence
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
from layers.training import History, Progress, ShuffledBatches, TrainingOptions
from layers.training.plots import plot_pictures
from minigrad.core.nodes import PlainArray

__all__ = [
    "Reader",
    "caption_tokenizer",
    "digit_pictures",
    "learn_codes",
    "learn_to_draw",
    "learn_to_read",
    "nats_by_place",
    "perplexity",
    "place_errors",
    "run_dalle",
    "share_read",
]

TRAINING: Final = 1500  # pictures; the rest are for measuring
TEMPERATURE: Final = 0.7
SAMPLES: Final = 500
GREYS: Final = 16.0


def digit_pictures() -> tuple[PlainArray, PlainArray]:
    """The digits with grey levels 0 to 1, float32 (1797, 8, 8), and their labels, shuffled.

    The file has them writer by writer; shuffled, training part and rest have the same writers.

    >>> pictures, labels = digit_pictures()
    >>> pictures.shape, labels.shape, float(pictures.max())
    ((1797, 8, 8), (1797,), 1.0)
    """
    pictures, labels = digits()
    order = np.random.default_rng(0).permutation(len(labels))
    return (pictures[order] / GREYS).astype(np.float32), labels[order]


def learn_codes(
    pictures: PlainArray,
    steps: int = 2000,
    seed: int = 0,
    progress: bool = False,
    *,
    batch: int = 64,
    rate: float = 2e-3,
    **sizes: Any,
) -> DiscreteVAE:
    """A discrete VAE of pictures, its temperature falling while it learns.

    Args:
        pictures: float32 (pictures, 8, 8), 0 to 1.
        steps: of training.
        seed: of weights, batches and noise.
        progress: whether to show a bar.
        batch: pictures of a step.
        rate: the learning rate.
        sizes: of `DiscreteVAEConfig`, where they are not those of the preset "digits".

    >>> model = learn_codes(digit_pictures()[0][:64], steps=2)
    >>> model.encode(digit_pictures()[0][:1]).shape
    (1, 16)
    """
    mg.seed(seed)
    model = DiscreteVAE(DiscreteVAEConfig.preset("digits", **sizes))

    def anneal(told: Progress) -> None:
        model.anneal(told.step / steps)

    fit(
        model,
        ShuffledBatches([pictures], batch),
        TrainingOptions(steps=steps, rate=rate, seed=seed),
        callbacks=[anneal],
        progress=progress,
    )
    return model


def perplexity(codes: PlainArray) -> float:
    """Of the frequencies of codes: as many codes, if each were used alike often.

    >>> round(perplexity(np.array([[0, 1, 2, 3]])), 6), round(perplexity(np.array([[5, 5]])), 6)
    (4.0, 1.0)
    """
    _, counts = np.unique(codes, return_counts=True)
    shares = counts / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def place_errors(vae: DiscreteVAE, picture: PlainArray, place: int, weights: Any) -> mg.Tensor:
    """The errors of one picture's reconstruction, by what stands at one place of its codes.

    All other places have their likeliest codes.

    Args:
        vae: encodes and decodes.
        picture: (8, 8).
        place: which of the codes, from 0.
        weights: (rows, codes of the book): the mixture of the book's vectors at that place.

    Returns:
        the mean squared error of each row, (rows,).

    >>> vae, (picture, *_) = learn_codes(digit_pictures()[0][:64], 1), digit_pictures()[0]
    >>> place_errors(vae, picture, 0, np.eye(32, dtype=np.float32)).shape
    (32,)
    """
    chosen = np.eye(vae.config.book_size, dtype=np.float32)[vae.encode(picture[None])]  # (1, N, K)
    others = np.repeat(chosen, len(weights), axis=0)  # (rows, N, K)
    others[:, place] = 0
    here = np.zeros((1, vae.config.codes, 1), np.float32)
    here[0, place] = 1
    pictures = vae.picture((others + here * weights[:, None]) @ vae.book)  # (rows, 8, 8)
    errors: mg.Tensor = ((pictures - picture) ** 2).mean(axis=(1, 2))
    return errors


def caption_tokenizer() -> CharacterTokenizer:
    """The characters of all captions.

    >>> len(caption_tokenizer())
    30
    """
    return CharacterTokenizer.from_text("".join("".join(digit_captions(n)) for n in range(10)))


def learn_to_draw(
    vae: DiscreteVAE,
    pictures: PlainArray,
    labels: PlainArray,
    steps: int = 2000,
    seed: int = 0,
    progress: bool = False,
    *,
    without: Collection[str] = (),
    batch: int = 64,
    rate: float = 2e-3,
    **sizes: Any,
) -> tuple[DALLE, History]:
    """A DALL-E of captions and codes; each picture comes with a new caption every time.

    Args:
        vae: a trained one.
        pictures, labels: float32 (pictures, 8, 8), and the digits on them.
        steps: of training.
        seed: of weights, batches and captions.
        progress: whether to show a bar.
        without: captions that it never reads.
        batch: pictures of a step.
        rate: the learning rate.
        sizes: of `DALLEConfig`, where they are not those of the preset "digits".

    Returns:
        the model, and how its training went.

    >>> pictures, labels = digit_pictures()
    >>> vae = learn_codes(pictures[:64], 1)
    >>> model, _ = learn_to_draw(vae, pictures[:64], labels[:64], steps=1)
    >>> model.generate(["a seven"]).shape
    (1, 8, 8)
    """
    mg.seed(seed)
    tokenizer = caption_tokenizer()
    config = DALLEConfig.preset("digits", caption_size=len(tokenizer), vae=vae.config, **sizes)
    model = DALLE(config, tokenizer, vae)
    codes = vae.encode(pictures)

    def batches(generator: np.random.Generator) -> tuple[PlainArray, PlainArray]:
        chosen = generator.integers(len(codes), size=batch)
        captions = draw_captions(labels[chosen].tolist(), generator, without)
        return model.token_ids(captions), codes[chosen]

    history = fit(
        model,
        batches,
        TrainingOptions(steps=steps, rate=rate, weight_decay=0.1, seed=seed),
        progress=progress,
    )
    return model, history


def nats_by_place(model: DALLE, captions: Sequence[str], codes: PlainArray) -> PlainArray:
    """The mean cross-entropy of every place but the first, of captions and then of codes.

    Args:
        model: predicts.
        captions: of the pictures.
        codes: int64 (pictures, codes), as the VAE's `encode` gives them.

    Returns:
        nats, (caption_length + codes - 1,); a place where all captions are filled up has NaN.

    >>> pictures, labels = digit_pictures()
    >>> vae = learn_codes(pictures[:64], 1)
    >>> model, _ = learn_to_draw(vae, pictures[:64], labels[:64], steps=1)
    >>> nats_by_place(model, ["a seven"], vae.encode(pictures[:1])).shape
    (31,)
    """
    whole = np.concatenate([model.token_ids(captions), codes + model.first_code], axis=1)
    with mg.no_grad():
        logits = model(whole[:, :-1])
        targets = whole[:, 1:]
        nats = mg.cross_entropy(logits, targets, reduction="none").numpy()
    counted = targets != model.filler
    total, count = np.where(counted, nats, 0.0).sum(axis=0), counted.sum(axis=0)
    mean: PlainArray = np.where(count, total / np.maximum(count, 1), np.nan)
    return mean


def share_read(
    model: DALLE,
    reader: "Reader",
    captions: Sequence[str],
    asked: PlainArray,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> tuple[float, PlainArray]:
    """Draw captions, and let a classifier read the drawings.

    Args:
        model: draws.
        reader: reads.
        captions: what to draw.
        asked: the digit of each caption.
        temperature: of the draws of codes.
        seed: of the draws of codes.

    Returns:
        the share of drawings that are read as the digit asked for, and the drawings.

    >>> pictures, labels = digit_pictures()
    >>> model, _ = learn_to_draw(learn_codes(pictures[:64], 1), pictures[:64], labels[:64], steps=1)
    >>> share, drawn = share_read(model, Reader(), ["a seven", "2"], np.array([7, 2]))
    >>> 0 <= share <= 1, drawn.shape
    (True, (2, 8, 8))
    """
    drawn = model.generate(captions, temperature=temperature, generator=np.random.default_rng(seed))
    return float((reader.read(drawn) == asked).mean()), drawn


class Reader(Module):
    """Reads a digit: the judge of the drawings.

    Shapes: pictures (batch, 8, 8) -> logits (batch, 10).

    >>> Reader()(np.zeros((2, 8, 8), np.float32)).shape
    (2, 10)
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
    untrained, _ = learn_to_draw(vae, pictures[seen], labels[seen], 1, setting.seed)
    model, _ = learn_to_draw(vae, pictures[seen], labels[seen], setting.steps(2000), **options)
    reader = learn_to_read(pictures[seen], labels[seen], setting.steps(1500), **options)
    asked = np.arange(SAMPLES) % 10
    captions = draw_captions(asked.tolist(), np.random.default_rng(setting.seed + 1000))

    draws: dict[str, Any] = {"temperature": TEMPERATURE, "seed": setting.seed + 2000}
    found, drawn = share_read(model, reader, captions, asked, **draws)
    by_chance, _ = share_read(untrained, reader, captions, asked, **draws)
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
        noted("the same of an untrained model", by_chance, ".128"),
        noted("codes in use", len(np.unique(vae.encode(pictures))), f"of {vae.config.book_size}"),
        Figure("drawings with cache equal those without", float(same), "1", "", same),
        noted("parameters", model.parameter_count()),
    ]  # fmt: skip
