"""Recurrent cells: the mathematics of one step, and the modules that hold its parameters.

Each cell's mathematics is defined once, in `rnn_step`, `lstm_step` and `gru_step`. The modules
here run it for one step, the layers of `layers.recurrent.layers` over sequences; the kernels of
`layers.kernels` have it as their reference, and drawings show it.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

import minigrad as mg
from layers.base.init import fan_in_bound, uniform
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.cells.cell_checks import (
    check_features,
    check_nonlinearity,
    check_sizes,
    check_state,
    states_of,
    zeros,
)
from layers.cells.cell_equations import Routes, Weights, freeze_finished, take_step
from minigrad import Tensor
from minigrad.core.modes import current_mode

__all__ = [
    "Cell",
    "GRUCell",
    "GRUGates",
    "LSTMCell",
    "LSTMGates",
    "RNNCell",
    "gru_step",
    "lstm_step",
    "rnn_step",
]

NONLINEARITIES: dict[str, Callable[[Any], Tensor]] = {
    "tanh": mg.tanh,
    "relu": mg.relu,
    "sigmoid": mg.sigmoid,
}

PARAMETERS = dict(
    zip(
        Weights._fields,
        (
            "weight_ih",
            "weight_hh",
            "bias_ih",
            "bias_hh",
            "weight_hr",
            "norm_ih",
            "norm_hh",
            "norm_c",
            "norm_c_bias",
        ),
        strict=True,
    )
)
"""The names of a cell's parameters, PyTorch's where it has them, by the fields of `Weights`."""


class LSTMGates(NamedTuple):
    """The gates of an LSTM: how much is written, kept and shown, and what would be written."""

    input: Any
    forget: Any
    candidate: Any
    output: Any


class GRUGates(NamedTuple):
    """The gates of a GRU: how much of the state is read and kept, and what would replace it."""

    reset: Any
    update: Any
    candidate: Any


def rnn_step(
    x: Any,
    states: tuple[Any, ...],
    weights: Weights,
    keep: Any = None,
    active: Any = None,
    nonlinearity: str = "tanh",
) -> tuple[tuple[Tensor], tuple[()]]:
    """One step of a plain recurrent network (Elman 1990).

        h' = tanh(W x + b + U h + b')

    Args:
        x: the inputs, (batch, inputs).
        states: (h,), of shape (batch, H).
        weights: the parameters W, U, b and b'; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.
        nonlinearity: "tanh", "relu" or "sigmoid".

    Returns (h',) and no gates.
    """
    from_input, from_state = _shares(x, states[0], weights, keep)
    h = NONLINEARITIES[nonlinearity](from_input + from_state)
    return (freeze_finished(active, h, states[0]),), ()


def lstm_step(
    x: Any, states: tuple[Any, ...], weights: Weights, keep: Any = None, active: Any = None
) -> tuple[tuple[Tensor, Tensor], LSTMGates]:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(W x + b + U h + b'),  g = tanh(W x + b + U h + b')
        c' = f * c + i * g,  h' = o * tanh(c')

    With a projection R (Sak et al. 2014) h' = R (o * tanh(c')); with layer normalisation (Ba et
    al. 2016, equations 20 to 22) both products and the c' within tanh are normalised.

    Args:
        x: the inputs, (batch, inputs).
        states: (h, c), of shape (batch, H) each.
        weights: the parameters, with rows in the order i, f, g, o; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.

    Returns (h', c') and the gates.
    """
    h_before, c_before = states
    from_input, from_state = _shares(x, h_before, weights, keep)
    a = from_input + from_state  # (batch, 4 H)
    n = a.shape[-1] // 4
    with mg.scope("input gate"):
        i = mg.sigmoid(a[..., :n])
    with mg.scope("forget gate"):
        f = mg.sigmoid(a[..., n : 2 * n])
    with mg.scope("candidate"):
        g = mg.tanh(a[..., 2 * n : 3 * n])
    with mg.scope("output gate"):
        o = mg.sigmoid(a[..., 3 * n :])
    c = freeze_finished(active, f * c_before + i * g, c_before)
    shown = c
    if weights.norm_c is not None:
        shown = mg.layer_norm(c, weights.norm_c, weights.norm_c_bias)
    h = o * mg.tanh(shown)
    if weights.hr is not None:
        h = mg.matmul(h, weights.hr.T)  # (batch, P)
    return (freeze_finished(active, h, h_before), c), LSTMGates(i, f, g, o)


def gru_step(
    x: Any, states: tuple[Any, ...], weights: Weights, keep: Any = None, active: Any = None
) -> tuple[tuple[Tensor], GRUGates]:
    """One step of a GRU (Cho et al. 2014), with the reset after the product, as in PyTorch.

        r, z = sigmoid(W x + b + U h + b'),  n = tanh(W x + b + r * (U h + b'))
        h' = (1 - z) * n + z * h

    Args:
        x: the inputs, (batch, inputs).
        states: (h,), of shape (batch, H).
        weights: the parameters, with rows in the order r, z, n; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.

    Returns (h',) and the gates.
    """
    (h,) = states
    a, b = _shares(x, h, weights, keep)  # (batch, 3 H)
    size = a.shape[-1] // 3
    with mg.scope("reset gate"):
        r = mg.sigmoid(a[..., :size] + b[..., :size])
    with mg.scope("update gate"):
        z = mg.sigmoid(a[..., size : 2 * size] + b[..., size : 2 * size])
    with mg.scope("candidate"):
        n = mg.tanh(a[..., 2 * size :] + r * b[..., 2 * size :])
    return (freeze_finished(active, (1 - z) * n + z * h, h),), GRUGates(r, z, n)


def _shares(x: Any, h: Any, weights: Weights, keep: Any) -> tuple[Tensor, Tensor]:
    """What the inputs and what the hidden state contribute to the gates, before any activation."""
    from_input = mg.matmul(x, weights.ih.T)
    from_state = mg.matmul(h if keep is None else h * keep, weights.hh.T)
    if weights.norm_ih is not None:
        from_input = mg.layer_norm(from_input, weights.norm_ih)
        from_state = mg.layer_norm(from_state, weights.norm_hh)
    if weights.b_ih is not None:
        from_input = from_input + weights.b_ih
        from_state = from_state + weights.b_hh
    return from_input, from_state


class Cell(Module):
    """What the recurrent cells have in common. A subclass says what its states and ways are.

    Attributes:
        states: the names of the states, the output first.
        gates: makes the named tuple of its gates; None for a cell without gates.
        gate_count: into how many parts of hidden_size rows the weights are divided.
        routes: how its states get from one step to the next; graphs carry it for drawings.
        step: the mathematics of one step.
    """

    states: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[Any] = None
    gate_count: ClassVar[int] = 1
    routes: ClassVar[Routes] = Routes(highway="", detours=())
    step: ClassVar[Callable[..., Any]] = rnn_step

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.bias, self.layer_norm = bias, layer_norm
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        add_parameters(self, type(self), "", input_size, hidden_size, bias, layer_norm=layer_norm)
        self.step_options: dict[str, Any] = {}

    def forward(self, x: Any, state: Any = None) -> Any:
        """The states after one step, in the form in which they are given; they begin as zeros."""
        name = type(self).__name__
        check_features(name, x, ("batch", self.input_size), optional=1)
        weights = weights_of(self)
        x = cast_input(name, "x", x, weights.ih.dtype)
        shape = (*x.shape[:-1], self.hidden_size)
        if state is None:
            states: tuple[Any, ...] = (zeros(shape, x.dtype),) * len(self.states)
        else:
            states = states_of(name, state, self.states)
            for label, value in zip(self.states, states, strict=True):
                check_state(name, label, value, shape, x)
            states = tuple(
                cast_input(name, f"state {label}", value, x.dtype)
                for label, value in zip(self.states, states, strict=True)
            )

        def step(x: Any, states: Any, active: Any) -> Any:
            return type(self).step(x, states, weights, active=active, **self.step_options)

        new, _ = take_step(step, self.states, x, states)
        return new if len(new) > 1 else new[0]


class RNNCell(Cell):
    """One step of a plain recurrent network: h' = tanh(W x + b + U h + b').

    Args:
        input_size: features of the input.
        hidden_size: features of the state h.
        bias: whether there are b and b'.
        nonlinearity: "tanh", "relu" or "sigmoid".
        layer_norm: normalise W x and U h, with the learned gains norm_ih and norm_hh.

    Shapes: x (batch, input_size) or (input_size,); h, given and returned, (batch, hidden_size) or
    (hidden_size,). Parameters as in PyTorch: weight_ih (H, input_size), weight_hh (H, H), bias_ih
    and bias_hh (H,), drawn evenly from +-1/sqrt(H).

    >>> RNNCell(3, 5)(np.zeros((2, 3), np.float32)).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, layer_norm=layer_norm)
        check_nonlinearity("RNNCell", nonlinearity, NONLINEARITIES)
        self.nonlinearity = nonlinearity
        self.step_options = {"nonlinearity": nonlinearity}


class LSTMCell(Cell):
    """One step of an LSTM: forget, input and output gate around a cell state.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state h and of the cell state c.
        bias: whether the gates have biases.
        layer_norm: normalise both products and the shown cell state (Ba et al. 2016), with the
            learned gains norm_ih, norm_hh and norm_c and the bias norm_c_bias.
        forget_bias: what the forget gate's bias begins with, such as 1.0 (Jozefowicz et al.
            2015); None draws it as all others.

    Shapes: x (batch, input_size) or (input_size,); the states (h, c), given and returned, (batch,
    hidden_size) or (hidden_size,) each. Parameters as in PyTorch: weight_ih (4 H, input_size),
    weight_hh (4 H, H), bias_ih and bias_hh (4 H,), rows in the order input gate, forget gate,
    candidate, output gate, drawn evenly from +-1/sqrt(H).

    >>> h, c = LSTMCell(3, 5)(np.zeros((2, 3), np.float32))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    states = ("h", "c")
    gates = LSTMGates
    gate_count = 4
    routes = Routes("c", ("input gate", "forget gate", "candidate", "output gate"))
    step = lstm_step

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        layer_norm: bool = False,
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, layer_norm=layer_norm)
        self.forget_bias = forget_bias
        begin_forget_bias(self, "", forget_bias)


class GRUCell(Cell):
    """One step of a GRU: a state that leaks, with a reset and an update gate.

    Args:
        input_size: features of the input.
        hidden_size: features of the state h.
        bias: whether the gates have biases.
        layer_norm: normalise both products, with the learned gains norm_ih and norm_hh.

    Shapes: x (batch, input_size) or (input_size,); h, given and returned, (batch, hidden_size) or
    (hidden_size,). Parameters as in PyTorch: weight_ih (3 H, input_size), weight_hh (3 H, H),
    bias_ih and bias_hh (3 H,), rows in the order reset gate, update gate, candidate, drawn evenly
    from +-1/sqrt(H).

    >>> GRUCell(3, 5)(np.zeros((2, 3), np.float32)).shape
    (2, 5)
    """

    gates = GRUGates
    gate_count = 3
    routes = Routes("h", ("reset gate", "update gate", "candidate"))
    step = gru_step


def add_parameters(
    module: Module,
    cell: type[Cell],
    suffix: str,
    input_size: int,
    hidden_size: int,
    bias: bool,
    proj_size: int = 0,
    layer_norm: bool = False,
) -> None:
    """Give a module the parameters of one cell, their names ending in a suffix."""
    rows, bound = cell.gate_count * hidden_size, fan_in_bound(hidden_size)
    drawn: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, input_size),
        "weight_hh": (rows, proj_size or hidden_size),
    }
    if bias:
        drawn |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        drawn["weight_hr"] = (proj_size, hidden_size)
    for name, shape in drawn.items():
        setattr(module, name + suffix, Parameter(uniform(shape, bound)))
    if layer_norm:
        dtype = current_mode().dtype
        gains = {"norm_ih": rows, "norm_hh": rows} | (
            {"norm_c": hidden_size} if "c" in cell.states else {}
        )
        for name, size in gains.items():
            setattr(module, name + suffix, Parameter(np.ones(size, dtype)))
        if "c" in cell.states:
            setattr(module, "norm_c_bias" + suffix, Parameter(np.zeros(hidden_size, dtype)))


def weights_of(module: Module, suffix: str = "") -> Weights:
    """The parameters whose names end in a suffix."""
    return Weights(*(getattr(module, name + suffix, None) for name in PARAMETERS.values()))


def begin_forget_bias(module: Any, suffix: str, value: float | None) -> None:
    """Let the forget gate's biases add up to a value at the start.

    Raises:
        ValueError: when there are no biases.
    """
    if value is None:
        return
    weights = weights_of(module, suffix)
    if weights.b_ih is None:
        raise ValueError(
            f"{type(module).__name__}: forget_bias={value} needs biases; leave bias=True"
        )
    n = module.hidden_size
    with mg.no_grad():
        weights.b_ih[n : 2 * n] = value
        weights.b_hh[n : 2 * n] = 0.0
