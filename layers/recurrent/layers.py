"""Recurrent layers over sequences: RNN, LSTM and GRU."""

from typing import Any, TypedDict, Unpack

import numpy as np

from layers.cells.cell import Cell
from layers.cells.gated_cells import GRUCell, LSTMCell, RNNCell, weights_of
from layers.cells.steps import Run, Step, clear_padding, run_compiled
from layers.kernels import gru_sequence, lstm_sequence, rnn_sequence
from layers.recurrent.base import Recurrent
from minigrad.compiled.stepping.order import Order

__all__ = ["GRU", "LSTM", "RNN"]


class Options(TypedDict, total=False):
    """The options that the layers here share; see `LSTM`."""

    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    reverse: bool
    recurrent_dropout: float
    zoneout: float | tuple[float, ...]
    layer_norm: bool
    generator: "np.random.Generator | None"


def _changed(options: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The options with a value other than the usual one beside it.

    The others are not handed on to the cell: one of another class may not know them.
    """
    return {name: value for name, (value, usual) in options.items() if value != usual}


class BuiltIn(Recurrent):
    """Layers that hold the parameters of their cells themselves, under PyTorch's names.

    That is so for the built-in cells alone. A subclass with a cell of its own has that as modules,
    as `Recurrent` has it.
    """

    def __init__(
        self, *sizes: Any, bias: bool = True, layer_norm: bool = False, **options: Any
    ) -> None:
        named = {"bias": (bias, True), "layer_norm": (layer_norm, False)}
        if options.get("proj_size") and "c" not in self.cell.states:
            raise ValueError(
                f"{type(self).__name__}: proj_size is for LSTMs, whose c stays; got "
                f"{options['proj_size']!r}"
            )
        object.__setattr__(self, "_cells", {})
        super().__init__(*sizes, **_changed(named), **options)
        self.bias, self.layer_norm = bias, layer_norm

    def _add_cell(self, place: str, cell: Cell) -> None:
        if self.cell not in (RNNCell, LSTMCell, GRUCell):
            return super()._add_cell(place, cell)
        for name, parameter in cell.named_parameters():
            parameter.name = f"{name}_{place}"
            self.register_parameter(f"{name}_{place}", parameter)
        cell._set_scope_name(place)
        self._cells[place] = cell, [(name, f"{name}_{place}") for name in cell._parameters]
        return None

    def _cell_at(self, place: str) -> Cell:
        if place not in self._cells:
            return super()._cell_at(place)
        cell: Cell
        cell, names = self._cells[place]
        for name, own in names:  # they may have been replaced here
            cell._parameters[name] = self._parameters[own]
        return cell

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw the parameters of all cells again."""
        for place in self._cells:
            cell: Any = self._cell_at(place)
            cell.reset_parameters(generator)

    @property
    def _fits_kernel(self) -> bool:
        unknown = self.layer_norm or self.output_size != self.hidden_size
        return super()._fits_kernel and not unknown

    def _run_kernel(
        self, step: Step, x: Any, start: tuple[Any, ...], lengths: Any, reverse: bool
    ) -> Run:
        if type(self).kernel in (rnn_sequence, lstm_sequence, gru_sequence):  # which programs beat
            cleared = x if lengths is None else clear_padding(x, lengths)
            run = run_compiled(step, cleared, start, Order(lengths, reverse))
            if isinstance(run, Run):
                return run
        return super()._run_kernel(step, x, start, lengths, reverse)

    def _kernel_arguments(self, cell: Cell) -> tuple[tuple[Any, ...], dict[str, Any]]:
        weights = weights_of(cell)
        b_ih, b_hh = weights.b_ih, weights.b_hh
        if b_ih is None:
            b_ih = b_hh = np.zeros(len(weights.hh), weights.hh.dtype)
        return (weights.ih, weights.hh, b_ih, b_hh), {}


class RNN(BuiltIn):
    """Plain recurrent layers over (batch, time, features): unlike PyTorch's, batch comes first.

    Each step is h' = tanh(W x + b + U h + b'); see `layers.cells.cell_equations.rnn_step`.

    Args:
        input_size, hidden_size, num_layers: as in `LSTM`.
        nonlinearity: "tanh", "relu" or "sigmoid".
        options: the others of `LSTM`, but for proj_size and forget_bias.

    Shapes: as in `LSTM`; the state is one array h (layers x directions, batch, hidden_size).
    Parameters as in PyTorch: weight_ih_l0 (H, input_size), weight_hh_l0 (H, H), bias_ih_l0 and
    bias_hh_l0 (H,), and so on for _l0_reverse, _l1 ...

    >>> import numpy as np
    >>> output, h = RNN(3, 5, nonlinearity="relu")(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h.shape
    ((2, 7, 5), (1, 2, 5))
    """

    cell = RNNCell
    kernel = rnn_sequence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        **options: Unpack[Options],
    ) -> None:
        named = {"nonlinearity": (nonlinearity, "tanh")}
        super().__init__(input_size, hidden_size, num_layers, **_changed(named), **options)
        self.nonlinearity = nonlinearity

    def _kernel_arguments(self, cell: Cell) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return super()._kernel_arguments(cell)[0], {"nonlinearity": self.nonlinearity}


class LSTM(BuiltIn):
    """LSTM layers over sequences (batch, time, features): unlike PyTorch's, batch comes first.

    Args:
        input_size: features of the input.
        hidden_size: features of the states of every layer.
        num_layers: layers stacked on each other.
        bias: whether the gates have biases.
        batch_first: False for inputs and outputs of shape (time, batch, features).
        dropout: the probability with which outputs of all layers but the last are zeroed, in
            training.
        bidirectional: read in both directions; the outputs are joined on the last axis.
        reverse: read from the last step of each sequence to the first.
        recurrent_dropout: the probability with which the recurrent products do not see a unit of
            h, in training; drawn once for a whole sequence (Gal and Ghahramani 2016).
        zoneout: the probability with which a unit of a state stays as it was in a step, in
            training; in evaluation it stays to that part (Krueger et al. 2017). One number, or a
            pair for h and c.
        layer_norm: normalise both products of each step and the shown cell state, with learned
            gains (Ba et al. 2016).
        proj_size: the features of h when it is projected to fewer (Sak et al. 2014); 0 for none.
        forget_bias: what the forget gates' biases begin with, such as 1.0 (Jozefowicz et al.
            2015); None draws them as all others.
        generator: draws all masks; the default generator if None.

    Shapes: x (batch, time, input_size), or (time, input_size) for one sequence; output (batch,
    time, directions x hidden_size); states h and c (layers x directions, batch, hidden_size),
    ordered as layer 0, layer 0 reverse, layer 1 ... Parameters as in PyTorch: weight_ih_l0
    (4 H, input_size), weight_hh_l0 (4 H, H), bias_ih_l0 and bias_hh_l0 (4 H,), weight_hr_l0
    (proj_size, H), and so on for _l0_reverse, _l1 ...; rows in the order input gate, forget gate,
    candidate, output gate; drawn uniformly from +-1/sqrt(H).

    >>> import numpy as np
    >>> lstm = LSTM(3, 5)
    >>> output, (h, c) = lstm(np.zeros((2, 7, 3), np.float32), lengths=[7, 4])
    >>> output.shape, h.shape, c.shape
    ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    """

    cell = LSTMCell
    kernel = lstm_sequence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        proj_size: int = 0,
        forget_bias: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        named = {"proj_size": (proj_size, 0), "forget_bias": (forget_bias, None)}
        super().__init__(input_size, hidden_size, num_layers, **_changed(named), **options)
        self.proj_size, self.forget_bias = proj_size, forget_bias


class GRU(BuiltIn):
    """GRU layers over sequences (batch, time, features): unlike PyTorch's, batch comes first.

    Args:
        input_size, hidden_size, num_layers: as in `LSTM`.
        options: the others of `LSTM`, but for proj_size and forget_bias.

    Shapes: as in `LSTM`; the state is one array h (layers x directions, batch, hidden_size).
    Parameters as in PyTorch: weight_ih_l0 (3 H, input_size), weight_hh_l0 (3 H, H), bias_ih_l0 and
    bias_hh_l0 (3 H,), and so on for _l0_reverse, _l1 ...; rows in the order reset gate, update
    gate, candidate.

    >>> import numpy as np
    >>> output, h = GRU(3, 5, bidirectional=True)(np.zeros((2, 7, 3), np.float32))
    >>> output.shape, h.shape
    ((2, 7, 10), (2, 2, 5))
    """

    cell = GRUCell
    kernel = gru_sequence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, **options)
