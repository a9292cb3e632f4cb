"""The built-in cells, RNN, LSTM and GRU: modules that hold the parameters of one step.

Their mathematics stands in `layers.cells.cell_equations`.
"""

from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import fan_in_bound, ones_, uniform_, zeros_
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_beginning
from layers.cells.cell import Cell
from layers.cells.cell_checks import check_nonlinearity
from layers.cells.cell_equations import (
    NONLINEARITIES,
    GRUGates,
    LSTMGates,
    Weights,
    gru_step,
    lstm_step,
    rnn_step,
)
from layers.cells.steps import Routes
from minigrad.ops.checks import check_sizes

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

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


class GatedCell(Cell):
    """What the built-in cells have in common: one product with the input and one with the state.

    Attributes:
        gate_count: into how many parts of hidden_size rows the weights are divided.
    """

    gate_count: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        layer_norm: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            state_sizes=(proj_size or hidden_size, hidden_size)[: len(self.states)],
        )
        self.bias, self.layer_norm = bias, layer_norm
        rows, cell_state = self.gate_count * hidden_size, "c" in self.states
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, proj_size or hidden_size),
        }
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if proj_size:
            shapes["weight_hr"] = (proj_size, hidden_size)
        if layer_norm:
            shapes |= {"norm_ih": (rows,), "norm_hh": (rows,)}
        if layer_norm and cell_state:
            shapes |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
        for name, shape in shapes.items():
            self.register_parameter(name, Parameter(blank(self, name, *shape)))
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw weights and biases again, uniformly from +-1/sqrt(hidden_size); gains become 1."""
        bound = fan_in_bound(self.hidden_size)
        for name, parameter in self.named_parameters(recurse=False):
            if name == "norm_c_bias":
                zeros_(parameter)
            elif name.startswith("norm"):
                ones_(parameter)
            else:
                uniform_(parameter, -bound, bound, generator)


class RNNCell(GatedCell):
    """One step of a plain recurrent network: h' = tanh(W x + b + U h + b').

    Args:
        input_size: features of the input.
        hidden_size: features of the state h.
        bias: whether there are b and b'.
        nonlinearity: "tanh", "relu" or "sigmoid".
        layer_norm: normalise W x and U h, with the learned gains norm_ih and norm_hh.

    Shapes: x (batch, input_size) or (input_size,); h, given and returned, (batch, hidden_size) or
    (hidden_size,). Parameters as in PyTorch: weight_ih (H, input_size), weight_hh (H, H), bias_ih
    and bias_hh (H,), drawn uniformly from +-1/sqrt(H).

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

    def step(self, x: Any, states: Any, active: Any = None, keep: Any = None) -> Any:
        """See `layers.cells.cell_equations.rnn_step`."""
        return rnn_step(x, states, weights_of(self), keep, active, self.nonlinearity)[0]


class LSTMCell(GatedCell):
    """One step of an LSTM: forget, input and output gate around a cell state.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state h and of the cell state c.
        bias: whether the gates have biases.
        layer_norm: normalise both products and the shown cell state (Ba et al. 2016), with the
            learned gains norm_ih, norm_hh and norm_c and the bias norm_c_bias.
        proj_size: the features of h when it is projected to fewer (Sak et al. 2014); 0 for none.
        forget_bias: what the forget gate's bias begins with, such as 1.0 (Jozefowicz et al.
            2015); None draws it as all others.

    Shapes: x (batch, input_size) or (input_size,); the states (h, c), given and returned, (batch,
    hidden_size) or (hidden_size,) each, h with proj_size features if that is given. Parameters as
    in PyTorch: weight_ih (4 H, input_size), weight_hh (4 H, H), bias_ih and bias_hh (4 H,),
    weight_hr (proj_size, H), rows in the order input gate, forget gate, candidate, output gate,
    drawn uniformly from +-1/sqrt(H).

    >>> h, c = LSTMCell(3, 5)(np.zeros((2, 3), np.float32))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    forget_bias: float | None = None
    states = ("h", "c")
    gates = LSTMGates
    gate_count = 4
    routes = Routes("c", ("input gate", "forget gate", "candidate", "output gate"))

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        layer_norm: bool = False,
        proj_size: int = 0,
        forget_bias: float | None = None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, 0, proj_size=proj_size)
        if proj_size and proj_size >= hidden_size:
            raise ValueError(
                f"{name}: proj_size must be 0 for no projection, or below "
                f"hidden_size={hidden_size}, got {proj_size!r}"
            )
        if forget_bias is not None and not bias:
            raise ValueError(f"{name}: forget_bias={forget_bias} needs biases; leave bias=True")
        super().__init__(input_size, hidden_size, bias, layer_norm=layer_norm, proj_size=proj_size)
        self.proj_size, self.forget_bias = proj_size, forget_bias
        self._set_forget_bias()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw weights and biases again; the forget gate's biases add up to `forget_bias`."""
        super().reset_parameters(generator)
        self._set_forget_bias()

    def _set_forget_bias(self) -> None:
        if self.forget_bias is not None:
            name, dtype = type(self).__name__, self.bias_ih.dtype
            check_beginning(name, dtype, forget_bias=self.forget_bias)
            forget = slice(self.hidden_size, 2 * self.hidden_size)
            with mg.no_grad():
                self.bias_ih[forget] = self.forget_bias
                self.bias_hh[forget] = 0.0

    def step(self, x: Any, states: Any, active: Any = None, keep: Any = None) -> Any:
        """See `layers.cells.cell_equations.lstm_step`."""
        return lstm_step(x, states, weights_of(self), keep, active)


class GRUCell(GatedCell):
    """One step of a GRU: a state that leaks, with a reset and an update gate.

    Args:
        input_size: features of the input.
        hidden_size: features of the state h.
        bias: whether the gates have biases.
        layer_norm: normalise both products, with the learned gains norm_ih and norm_hh.

    Shapes: x (batch, input_size) or (input_size,); h, given and returned, (batch, hidden_size) or
    (hidden_size,). Parameters as in PyTorch: weight_ih (3 H, input_size), weight_hh (3 H, H),
    bias_ih and bias_hh (3 H,), rows in the order reset gate, update gate, candidate, drawn
    uniformly from +-1/sqrt(H).

    >>> GRUCell(3, 5)(np.zeros((2, 3), np.float32)).shape
    (2, 5)
    """

    gates = GRUGates
    gate_count = 3
    routes = Routes("h", ("reset gate", "update gate", "candidate"))

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, layer_norm: bool = False
    ) -> None:
        super().__init__(input_size, hidden_size, bias, layer_norm=layer_norm)

    def step(self, x: Any, states: Any, active: Any = None, keep: Any = None) -> Any:
        """See `layers.cells.cell_equations.gru_step`."""
        return gru_step(x, states, weights_of(self), keep, active)


def weights_of(module: Module, suffix: str = "") -> Weights:
    """The parameters whose names end in a suffix."""
    return Weights(*[module._parameters.get(name + suffix) for name in PARAMETERS.values()])
