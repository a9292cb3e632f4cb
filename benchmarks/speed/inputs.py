"""What every contestant gets: parameters and data of each case, drawn from one seed in float32.

Parameters have PyTorch's names and layouts.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["BATCHES", "CLASSES", "GENERATED", "VOCABULARY", "Draws", "Inputs", "Maker", "Sizes"]

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

VOCABULARY: Final = 64  # of the models that are trained and that write
CLASSES: Final = 32_000
BATCHES: Final = 500  # of random lengths
GENERATED: Final = 200  # tokens


class Inputs(NamedTuple):
    """What one case gives to every contestant.

    Attributes:
        leaves: what is differentiated, by name, float32.
        constants: data: class numbers, token ids, weights of outputs.
    """

    leaves: dict[str, Array]
    constants: dict[str, Array]


class Draws:
    """Inputs from one seed."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (scale * self.generator.standard_normal(shape)).astype(np.float32)

    def numbers(self, most: int, *shape: int) -> Array:
        return self.generator.integers(0, most, shape)

    def linear(self, prefix: str, inputs: int, outputs: int) -> dict[str, Array]:
        weight = self.normal(outputs, inputs, scale=inputs**-0.5)
        return {f"{prefix}weight": weight, f"{prefix}bias": self.normal(outputs, scale=0.1)}

    def norm(self, prefix: str, width: int) -> dict[str, Array]:
        weight = 1 + self.normal(width, scale=0.1)
        return {f"{prefix}weight": weight, f"{prefix}bias": self.normal(width, scale=0.1)}

    def recurrent(self, gates: int, inputs: int, hidden: int) -> dict[str, Array]:
        rows = gates * hidden
        return {
            "weight_ih_l0": self.normal(rows, inputs, scale=inputs**-0.5),
            "weight_hh_l0": self.normal(rows, hidden, scale=hidden**-0.5),
            "bias_ih_l0": self.normal(rows, scale=0.1),
            "bias_hh_l0": self.normal(rows, scale=0.1),
        }

    def transformer(self, width: int, inner: int, layers: int) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for layer in range(layers):
            at = f"layers.{layer}."
            projection = self.linear("in_proj_", width, 3 * width)
            found |= {f"{at}self_attn.{name}": array for name, array in projection.items()}
            found |= self.linear(f"{at}self_attn.out_proj.", width, width)
            found |= self.linear(f"{at}linear1.", width, inner)
            found |= self.linear(f"{at}linear2.", inner, width)
            found |= self.norm(f"{at}norm1.", width) | self.norm(f"{at}norm2.", width)
        return found


Maker = Callable[[Draws, Sizes], Inputs]


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {prefix + name: array for name, array in arrays.items()}


def chain(draws: Draws, sizes: Sizes) -> Inputs:
    return Inputs({name: draws.normal(*sizes) for name in "xw"}, {})


def mlp(draws: Draws, sizes: Sizes) -> Inputs:
    batch, inputs, hidden, outputs = sizes
    leaves = draws.linear("0.", inputs, hidden) | draws.linear("2.", hidden, hidden)
    leaves |= draws.linear("4.", hidden, outputs) | {"x": draws.normal(batch, inputs)}
    return Inputs(leaves, {"y": draws.numbers(outputs, batch)})


def recurrent(gates: int) -> Maker:
    def make(draws: Draws, sizes: Sizes) -> Inputs:
        steps, batch, inputs, hidden = sizes
        leaves = draws.recurrent(gates, inputs, hidden)
        return Inputs(leaves | {"x": draws.normal(steps, batch, inputs)}, {})

    return make


def padded(draws: Draws, sizes: Sizes) -> Inputs:
    """An LSTM's, with sequences of different lengths in one batch."""
    found = recurrent(4)(draws, sizes)
    lengths = draws.generator.integers(1, sizes[0] + 1, sizes[1])
    lengths[0] = sizes[0]
    return Inputs(found.leaves, {"lengths": lengths})


def own_cell(gates: int) -> Maker:
    def make(draws: Draws, sizes: Sizes) -> Inputs:
        steps, batch, inputs, hidden = sizes
        leaves = {
            "x": draws.normal(steps, batch, inputs),
            "wx": draws.normal(inputs, gates * hidden, scale=inputs**-0.5),
            "wh": draws.normal(hidden, gates * hidden, scale=hidden**-0.5),
            "b": draws.normal(gates * hidden, scale=0.1),
        }
        if gates == 3:  # a GRU has a bias inside of the reset gate's product
            leaves["bh"] = draws.normal(gates * hidden, scale=0.1)
        return Inputs(leaves, {})

    return make


def transformer(draws: Draws, sizes: Sizes) -> Inputs:
    tokens, batch, width, _, inner, layers = sizes
    leaves = draws.transformer(width, inner, layers)
    return Inputs(leaves | {"x": draws.normal(batch, tokens, width)}, {})


def attention(draws: Draws, sizes: Sizes) -> Inputs:
    tokens, batch, heads, features = sizes
    shape = batch, heads, tokens, features
    return Inputs({name: draws.normal(*shape) for name in "qkv"}, {"r": draws.normal(*shape)})


def cross_entropy(draws: Draws, sizes: Sizes) -> Inputs:
    leaves = {"x": draws.normal(*sizes)}
    return Inputs(leaves, {"y": draws.numbers(sizes[1], sizes[0])})


def elementwise(draws: Draws, sizes: Sizes) -> Inputs:
    return Inputs({"x": draws.normal(*sizes)}, {"r": draws.normal(*sizes)})


def layer_norm(draws: Draws, sizes: Sizes) -> Inputs:
    leaves = {"x": draws.normal(*sizes)} | draws.norm("", sizes[1])
    return Inputs(leaves, {"r": draws.normal(*sizes)})


def adam(draws: Draws, sizes: Sizes) -> Inputs:
    count, length = sizes
    leaves = {f"p{i}": draws.normal(length) for i in range(count)}
    return Inputs(leaves, {f"p{i}": draws.normal(length) for i in range(count)})


def texts(draws: Draws, batch: int, steps: int) -> dict[str, Array]:
    return {name: draws.numbers(VOCABULARY, batch, steps) for name in ("tokens", "targets")}


def train_lstm(draws: Draws, sizes: Sizes) -> Inputs:
    steps, batch, inputs, hidden = sizes
    leaves = {"embedding.weight": draws.normal(VOCABULARY, inputs)}
    leaves |= prefixed("body.", draws.recurrent(4, inputs, hidden))
    return Inputs(leaves | draws.linear("head.", hidden, VOCABULARY), texts(draws, batch, steps))


def train_transformer(draws: Draws, sizes: Sizes) -> Inputs:
    tokens, batch, width, _, inner, layers = sizes
    leaves = {"embedding.weight": draws.normal(VOCABULARY, width)}
    leaves |= prefixed("body.", draws.transformer(width, inner, layers))
    return Inputs(leaves | draws.linear("head.", width, VOCABULARY), texts(draws, batch, tokens))


def generation(draws: Draws, sizes: Sizes) -> Inputs:
    width, _, layers, block = sizes
    leaves = {
        "embedding.weight": draws.normal(VOCABULARY, width),
        "positions.weight": draws.normal(block, width, scale=0.1),
    }
    leaves |= prefixed("stack.", draws.transformer(width, 4 * width, layers))
    return Inputs(leaves | draws.norm("stack.norm.", width), {"prompt": draws.numbers(64, 1, 8)})


def random_lengths(draws: Draws, sizes: Sizes) -> Inputs:
    steps, batch, inputs, hidden = sizes
    lengths = draws.generator.integers(steps // 10, steps + 1, BATCHES)
    constants = {"x": draws.normal(BATCHES, steps, batch, inputs), "lengths": lengths}
    return Inputs(draws.recurrent(4, inputs, hidden), constants)
