"""Recurrent cells: the mathematics of one step, and the modules that hold its parameters.

May import `minigrad` and `layers.base`.
"""

from typing import TYPE_CHECKING

from layers.cells.gated_cells import (
    Cell,
    GRUCell,
    GRUGates,
    LSTMCell,
    LSTMGates,
    RNNCell,
    gru_step,
    lstm_step,
    rnn_step,
)

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

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "layers.cells.gated_cells")
