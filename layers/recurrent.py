"""Recurrent cells and layers."""

from typing import Any

import numpy as np

import minigrad as mg
from layers.init import fan_in_bound, uniform
from layers.module import Module, Parameter
from layers.recurrent_kernels import lstm_sequence, lstm_step
from minigrad import Tensor
from minigrad.errors import ShapeError, describe
from minigrad.mode import current_mode

__all__ = ["LSTM", "LSTMCell"]

State = tuple[Tensor, Tensor]


class LSTMCell(Module):
    """One step of an LSTM: forget, input and output gate around a cell state.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state h and of the cell state c.
        bias: whether the gates have biases.

    Shapes: x (batch, input_size) or (input_size,), h and c alike with hidden_size. Parameters as
    in PyTorch: weight_ih (4 H, input_size), weight_hh (4 H, H), bias_ih and bias_hh (4 H,), rows
    in the order input gate, forget gate, candidate, output gate.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        bound = fan_in_bound(hidden_size)
        self.weight_ih = Parameter(uniform((4 * hidden_size, input_size), bound))
        self.weight_hh = Parameter(uniform((4 * hidden_size, hidden_size), bound))
        self.bias_ih = Parameter(uniform((4 * hidden_size,), bound)) if bias else None
        self.bias_hh = Parameter(uniform((4 * hidden_size,), bound)) if bias else None

    def forward(self, x: Any, state: State | None = None) -> State:
        """The states h and c after one step; they begin as zeros."""
        check_features("LSTMCell", x, self.input_size, dims=(1, 2))
        shape = (*x.shape[:-1], self.hidden_size)
        h, c = (zeros(shape), zeros(shape)) if state is None else state
        for name, value in (("h", h), ("c", c)):
            check_state("LSTMCell", name, value, shape)
        none = zeros((4 * self.hidden_size,))
        return lstm_step(
            x,
            h,
            c,
            self.weight_ih,
            self.weight_hh,
            none if self.bias_ih is None else self.bias_ih,
            none if self.bias_hh is None else self.bias_hh,
        )


class LSTM(Module):
    """LSTM layers over sequences (batch, time, features): unlike PyTorch's, batch comes first.

    Args:
        input_size: features of the input.
        hidden_size: features of the states of every layer.
        num_layers: layers stacked on each other.
        bias: whether the gates have biases.
        batch_first: False for inputs and outputs of shape (time, batch, features).

    Shapes: x (batch, time, input_size), or (time, input_size) for one sequence; output (batch,
    time, hidden_size); states h and c (num_layers, batch, hidden_size). Parameters as in PyTorch:
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ..._l1 and so on, drawn evenly from
    +-1/sqrt(hidden_size).

    >>> lstm = LSTM(3, 5)
    >>> output, (h, c) = lstm(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h.shape, c.shape
    ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.bias = bias
        bound = fan_in_bound(hidden_size)
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else hidden_size
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (4 * hidden_size, inputs),
                "weight_hh": (4 * hidden_size, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (4 * hidden_size,), "bias_hh": (4 * hidden_size,)}
            for name, shape in shapes.items():
                setattr(self, f"{name}_l{layer}", Parameter(uniform(shape, bound)))

    @property
    def fused(self) -> bool:
        """Whether the sequence runs as one kernel now, rather than step by step."""
        return current_mode().fused

    def forward(self, x: Any, state: State | None = None) -> tuple[Tensor, State]:
        """The hidden states of the last layer at all steps, and the last states of all layers."""
        check_features("LSTM", x, self.input_size, dims=(2, 3))
        unbatched = x.ndim == 2
        if unbatched:
            x = x[None]
        elif not self.batch_first:
            x = x.swapaxes(0, 1)
        batch, steps = x.shape[:2]
        if not steps:
            raise ShapeError(f"LSTM: x must have at least one time step, got {describe(x)}")
        shape = (self.num_layers, batch, self.hidden_size)
        h0, c0 = (zeros(shape, x.dtype), zeros(shape, x.dtype)) if state is None else state
        if unbatched and state is not None:
            h0, c0 = h0[:, None], c0[:, None]
        check_state("LSTM", "h", h0, shape)
        check_state("LSTM", "c", c0, shape)
        none = zeros((4 * self.hidden_size,), x.dtype)
        last_h, last_c = [], []
        for k in range(self.num_layers):
            weights = [
                getattr(self, f"{name}_l{k}", none)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            with mg.scope(f"l{k}", kind="LSTMCell"):
                x, h, c = lstm_sequence(x, h0[k], c0[k], *weights)  # type: ignore[misc]
            last_h.append(h)
            last_c.append(c)
        h, c = mg.stack(last_h), mg.stack(last_c)  # (num_layers, batch, hidden_size)
        if unbatched:
            return x[0], (h[:, 0], c[:, 0])
        return x if self.batch_first else x.swapaxes(0, 1), (h, c)


def zeros(shape: tuple[int, ...], dtype: Any = None) -> "np.ndarray[Any, Any]":
    """Zeros in the default dtype."""
    kind = np.dtype(current_mode().dtype if dtype is None else dtype)
    return np.zeros(shape, kind if kind.kind == "f" else current_mode().dtype)


def check_features(layer: str, x: Any, features: int, dims: tuple[int, ...]) -> None:
    """Raise when an input has another number of axes or features than a layer takes."""
    if getattr(x, "ndim", 0) not in dims or x.shape[-1] != features:
        wanted = " or ".join(
            str(("batch", "time", features)[3 - n :] if n < 3 else ("batch", "time", features))
            for n in dims
        ).replace("'", "")
        raise ShapeError(
            f"{layer}: x must have shape {wanted}, got {describe(x)}. Layers here take the batch "
            "first; pass batch_first=False for (time, batch, features)."
        )


def check_state(layer: str, name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise when an initial state has the wrong shape."""
    if tuple(getattr(value, "shape", ())) != shape:
        raise ShapeError(f"{layer}: state {name} must have shape {shape}, got {describe(value)}")
