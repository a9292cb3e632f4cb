"""What is measured: cases as data, of up to three sizes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.speed import inputs
from benchmarks.speed.inputs import BATCHES, CLASSES, GENERATED, Draws, Inputs, Maker, Sizes

__all__ = ["CASES", "KINDS", "Case", "inputs_of"]


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    Attributes:
        name: on the command line.
        title: in tables.
        sizes: the numbers behind s, m and l.
        make: draws the inputs.
        products: floating-point operations in matrix products, forward and backward; 0 for none.
        tolerance: how far results may be from those of the first contestant, relative to the
            largest magnitude of each array.
        per_second: what is counted in a second besides the time: (number, unit), or None.
    """

    name: str
    title: str
    sizes: Mapping[str, Sizes]
    make: Maker
    products: Callable[[Sizes], float] = lambda sizes: 0.0
    tolerance: float = 1e-4
    per_second: tuple[int, str] | None = None


def inputs_of(case: Case, size: str) -> Inputs:
    """The inputs of a case, the same in every process."""
    return case.make(Draws(), case.sizes[size])


def recurrent_products(gates: int) -> Callable[[Sizes], float]:
    def count(sizes: Sizes) -> float:
        steps, batch, inputs, hidden = sizes
        return 6.0 * steps * batch * gates * hidden * (inputs + hidden)

    return count


def transformer_products(sizes: Sizes) -> float:
    tokens, batch, width, _, inner, layers = sizes
    weights = 4 * width * width + 2 * width * inner
    return 6.0 * layers * batch * tokens * (weights + 2 * tokens * width)


def mlp_products(sizes: Sizes) -> float:
    batch, inputs, hidden, outputs = sizes
    return 6.0 * batch * hidden * (inputs + hidden + outputs)


def attention_products(sizes: Sizes) -> float:
    tokens, batch, heads, features = sizes
    return 6.0 * batch * heads * tokens * tokens * features  # half of the scores are masked


RECURRENT: Final = {"s": (50, 1, 32, 32), "m": (50, 32, 128, 128), "l": (100, 64, 512, 512)}
ENCODER: Final = {
    "s": (32, 1, 64, 4, 256, 2),
    "m": (64, 16, 256, 8, 1024, 2),
    "l": (256, 8, 512, 8, 2048, 2),
}
ROWS: Final = {"s": (64, 64), "m": (1024, 512), "l": (8192, 1024)}
MLP: Final = {"s": (8, 32, 64, 10), "m": (64, 784, 256, 10), "l": (512, 784, 1024, 10)}

KINDS: Final = {"rnn": 1, "lstm": 4, "gru": 3}
"""Recurrent layers by their number of gates."""

CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        Case("ops", "900 small operations", {"s": (4, 8)}, inputs.chain),
        Case("mlp", "MLP of three layers", MLP, inputs.mlp, mlp_products),
        *(
            Case(
                kind,
                f"{kind.upper()} layer",
                RECURRENT,
                inputs.recurrent(gates),
                recurrent_products(gates),
            )
            for kind, gates in KINDS.items()
        ),
        Case(
            "lstm-lengths",
            "LSTM layer, sequences of different lengths",
            {**RECURRENT, "s": (50, 8, 32, 32)},
            inputs.padded,
        ),
        *(
            Case(
                f"{kind}-{way}",
                f"a user's own {kind.upper()} cell, by {words}",
                RECURRENT,
                inputs.own_cell(KINDS[kind]),
                recurrent_products(KINDS[kind]),
            )
            for way, words in (("loop", "a Python loop"), ("scan", "scan"))
            for kind in ("lstm", "gru")
        ),
        Case(
            "transformer",
            "Transformer encoder",
            ENCODER,
            inputs.transformer,
            transformer_products,
            1e-2,  # a ReLU near zero may go either way, and at size l one does
        ),
        Case(
            "attention",
            "causal attention",
            {"m": (1024, 1, 4, 64), "l": (4096, 1, 4, 64)},
            inputs.attention,
            attention_products,
        ),
        Case(
            "cross-entropy",
            "cross-entropy over 32,000 classes",
            {"s": (8, CLASSES), "m": (64, CLASSES), "l": (512, CLASSES)},
            inputs.cross_entropy,
        ),
        Case("layer-norm", "layer norm", ROWS, inputs.layer_norm),
        Case("gelu", "GELU", ROWS, inputs.elementwise),
        Case("softmax", "softmax", ROWS, inputs.elementwise),
        Case(
            "adam",
            "Adam over 10K, 1M, 10M parameters",
            {"s": (10, 1000), "m": (10, 100_000), "l": (10, 1_000_000)},
            inputs.adam,
        ),
        Case(
            "train-lstm",
            "training step, LSTM",
            RECURRENT,
            inputs.train_lstm,
            recurrent_products(4),
        ),
        Case(
            "train-transformer",
            "training step, Transformer",
            ENCODER,
            inputs.train_transformer,
            transformer_products,
            1e-3,  # a ReLU near zero may go either way
        ),
        Case(
            "generate",
            "generation with cache",
            {"s": (64, 4, 2, 256), "m": (256, 8, 4, 256)},
            inputs.generation,
            tolerance=0.0,
            per_second=(GENERATED, "tokens"),
        ),
        Case(
            "lengths",
            "500 batches of random lengths, LSTM",
            {"s": (60, 8, 32, 32)},
            inputs.random_lengths,
            per_second=(BATCHES, "batches"),
        ),
    )
}
