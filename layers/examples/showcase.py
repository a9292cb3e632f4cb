"""Small models to draw: one of each kind, with an input and a loss at its last place.

They stand for no trained network. Their sizes are small, so that pictures stay readable; their
weights and inputs follow from a seed, so that a picture can be made again; their numbers are
float64, so that what is left of a gradient after many steps does not underflow.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import numpy as np

import minigrad as mg
from layers.base.init import orthogonal_
from layers.base.module import Module
from layers.basic.linear import Linear
from layers.basic.losses import CrossEntropyLoss
from layers.basic.normalization import LayerNorm
from layers.recurrent.layers import GRU, LSTM, RNN
from layers.transformer.encoder_decoder import Transformer, TransformerEncoder
from layers.transformer.positional import sinusoidal_positions
from layers.transformer.transformer_layers import TransformerEncoderLayer
from minigrad import Tensor
from minigrad.core.randomness import generator_state, set_generator_state

__all__ = [
    "FORGETTING",
    "NAMES",
    "RECURRENT",
    "REMEMBERING",
    "AttendToAll",
    "Example",
    "ReadLast",
    "build",
    "unknown_name",
]

CLASSES: Final = 4
FEATURES: Final = 4

REMEMBERING: Final = 3.0
"""The forget bias of an LSTM that is to show what its cell state is for.

Its forget gates begin near sigmoid(3) = 0.95, which keeps half of the gradient for 14 steps by way
of the cell state alone. Biases around 0, with which layers begin, put them near one half, and the
LSTM forgets faster than a GRU (Gers et al. 2000; Jozefowicz et al. 2015).
"""

RECURRENT: Final[dict[str, Callable[..., Module]]] = {
    "rnn": lambda size, layers: RNN(FEATURES, size, layers),
    "rnn-relu": lambda size, layers: RNN(FEATURES, size, layers, nonlinearity="relu"),
    "gru": lambda size, layers: GRU(FEATURES, size, layers),
    "lstm": lambda size, layers, forget_bias: LSTM(FEATURES, size, layers, forget_bias=forget_bias),
}
"""How the recurrent models are made, by name, from hidden_size and layers."""

FORGETTING: Final = ("lstm",)
"""Those that have a forget gate, and so a forget bias."""

NAMES: Final = (*RECURRENT, "transformer", "encoder", "gpt")
"""All models that `build` knows."""


class ReadLast(Module):
    """Recurrent layers, and the logits of a few classes read from their last output.

    Shapes: x (batch, time, features) -> logits (batch, classes).
    """

    def __init__(self, recurrent: Module, size: int) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.readout = Linear(size, CLASSES)

    def forward(self, x: Any) -> Tensor:
        """The logits after the last step."""
        output, _ = self.recurrent(x)  # (batch, time, size)
        logits: Tensor = self.readout(output[:, -1])  # (batch, classes)
        return logits


class AttendToAll(Module):
    """A Transformer with positions added to its input, and logits read from its last place.

    Args:
        stack: an encoder, or an encoder with a decoder.
        size: features of the input.
        options: for every call of the stack, such as `causal`.

    Shapes: one input (batch, time, size), or source and target -> logits (batch, classes).
    """

    def __init__(self, stack: Module, size: int, **options: Any) -> None:
        super().__init__()
        self.size = size
        self.stack = stack
        self.readout = Linear(size, CLASSES)
        self.options = options

    def __call__(self, *inputs: Any) -> Tensor:
        """The logits at the last place; without a scope, as pictures show its parts alone."""
        return self.forward(*inputs)

    def forward(self, *inputs: Any) -> Tensor:
        """The logits at the last place."""
        placed = [x + sinusoidal_positions(x.shape[1], self.size) for x in inputs]
        output = self.stack(*placed, **self.options)  # (batch, time, size)
        logits: Tensor = self.readout(output[:, -1])  # (batch, classes)
        return logits


class Example(NamedTuple):
    """What `build` gives.

    Attributes:
        module: `ReadLast` or `AttendToAll`.
        inputs: what it reads, (batch, time, features) each; named, and requiring grad.
        loss: the cross-entropy of its logits, on the tape.
    """

    module: Module
    inputs: tuple[Tensor, ...]
    loss: Tensor


def build(
    name: str,
    *,
    steps: int = 12,
    hidden_size: int = 8,
    layers: int = 1,
    batch: int = 2,
    gain: float | None = None,
    forget_bias: float | None = None,
    seed: int = 0,
) -> Example:
    """Make a small model, run it on random inputs, and take the loss at its last place.

    Args:
        name: `rnn`, `rnn-relu`, `gru` and `lstm` are recurrent; `transformer` has an encoder and a
            decoder, `encoder` attends in both directions, `gpt` only to what came before.
        steps: the length of the sequences.
        hidden_size: features of the states, or of every place; even for Transformers.
        layers: how many; of encoder and decoder each.
        batch: sequences.
        gain: recurrent matrices become orthogonal ones times this, the matrix of each gate by
            itself (Saxe et al. 2014); None leaves them as the layer draws them.
        forget_bias: what the forget gates' biases begin with, of `lstm`; None takes `REMEMBERING`.
        seed: of weights and inputs. The default generator is left as it was.

    Raises:
        ValueError: for an unknown name, for a gain where there are no recurrent matrices, and for
            a forget bias where there are no forget gates.

    >>> module, inputs, loss = build("gru", steps=5)
    >>> inputs[0].shape, loss.shape
    ((2, 5, 4), ())
    """
    if name not in NAMES:
        raise ValueError(unknown_name(name))
    if gain is not None and name not in RECURRENT:
        raise ValueError(f"gain is for recurrent models ({', '.join(RECURRENT)}); {name} is none")
    options = {}
    if name in FORGETTING:
        options["forget_bias"] = REMEMBERING if forget_bias is None else forget_bias
    elif forget_bias is not None:
        raise ValueError(
            f"forget_bias is for models with a forget gate ({', '.join(FORGETTING)}); {name} has "
            "none"
        )
    before = generator_state()
    mg.seed(seed)
    try:
        with mg.default_dtype("float64"):
            module = make_module(name, hidden_size, layers, **options)
    finally:
        set_generator_state(before)
    generator = np.random.default_rng(seed)
    if gain is not None:
        scale_recurrence(module, gain, generator)
    features = FEATURES if name in RECURRENT else hidden_size
    inputs = []
    for label in ("source", "target") if name == "transformer" else ("x",):
        x = mg.Tensor(generator.standard_normal((batch, steps, features)), requires_grad=True)
        x.name = label
        inputs.append(x)
    loss: Tensor = CrossEntropyLoss()(module(*inputs), generator.integers(CLASSES, size=batch))
    return Example(module, tuple(inputs), loss)


def make_module(name: str, size: int, layers: int, **options: Any) -> Module:
    """The model of a name, with weights from the default generator."""
    if name in RECURRENT:
        return ReadLast(RECURRENT[name](size, layers, **options), size)
    heads = 2 if size % 2 == 0 else 1
    if name == "transformer":
        stack: Module = Transformer(size, heads, layers, layers, 2 * size, dropout=0.0)
        return AttendToAll(stack, size, target_causal=True)
    later = name == "gpt"  # GPT-2 normalises first, with a last normalisation after all layers
    stack = TransformerEncoder(
        lambda: TransformerEncoderLayer(
            size, heads, 2 * size, 0.0, "gelu" if later else "relu", norm_first=later
        ),
        layers,
        LayerNorm(size) if later else None,
    )
    return AttendToAll(stack, size, causal=later)


def scale_recurrence(module: Module, gain: float, generator: "np.random.Generator") -> None:
    """Make the recurrent matrix of every gate orthogonal times `gain`."""
    for path, weight in module.named_parameters():
        if ".weight_hh_" in path:
            size = weight.shape[1]
            gates = [
                orthogonal_(mg.Tensor(np.empty((size, size))), gain, generator).numpy()
                for _ in range(weight.shape[0] // size)
            ]
            weight.write(np.concatenate(gates))  # (gates x size, size)


def unknown_name(name: str) -> str:
    """An error that lists the models and suggests the nearest."""
    near = get_close_matches(name.lower(), NAMES, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no built-in model {name!r}: there are {', '.join(NAMES)}{hint}"
