"""Recurrent layers over sequences: RNN, LSTM and GRU."""

from typing import Any, Unpack

from layers.cells.cell_checks import check_nonlinearity
from layers.cells.gated_cells import NONLINEARITIES, GRUCell, LSTMCell, RNNCell, begin_forget_bias
from layers.kernels import gru_sequence, lstm_sequence, rnn_sequence
from layers.recurrent.base import Options, Recurrent

__all__ = ["GRU", "LSTM", "RNN"]


class RNN(Recurrent):
    """Plain recurrent layers over (batch, time, features): unlike PyTorch's, batch comes first.

    Each step is h' = tanh(W x + b + U h + b'); see `layers.cells.gated_cells.rnn_step`.

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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, **options)
        check_nonlinearity("RNN", nonlinearity, NONLINEARITIES)
        self.nonlinearity = nonlinearity
        self.step_options = {"nonlinearity": nonlinearity}

    @staticmethod
    def _kernel(*arguments: Any, **options: Any) -> Any:
        """The fused operation of one layer and direction."""
        return rnn_sequence(*arguments, **options)


class LSTM(Recurrent):
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
    candidate, output gate; drawn evenly from +-1/sqrt(H).

    >>> import numpy as np
    >>> lstm = LSTM(3, 5)
    >>> output, (h, c) = lstm(np.zeros((2, 7, 3), np.float32), lengths=[7, 4])
    >>> output.shape, h.shape, c.shape
    ((2, 7, 5), (1, 2, 5), (1, 2, 5))
    """

    cell = LSTMCell

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
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            proj_size=proj_size,
            **options,
        )
        self.forget_bias = forget_bias
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                begin_forget_bias(self, suffix, forget_bias)

    @staticmethod
    def _kernel(*arguments: Any, **options: Any) -> Any:
        """The fused operation of one layer and direction."""
        return lstm_sequence(*arguments, **options)


class GRU(Recurrent):
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

    @staticmethod
    def _kernel(*arguments: Any, **options: Any) -> Any:
        """The fused operation of one layer and direction."""
        return gru_sequence(*arguments, **options)
