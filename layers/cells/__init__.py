"""Recurrent cells: what a cell is, the built-in ones with their equations, and the loop over time.

May import `minigrad` and `layers.base`.
"""

from typing import TYPE_CHECKING

from layers.cells.cell import Cell
from layers.cells.cell_equations import GRUGates, LSTMGates, gru_step, lstm_step, rnn_step
from layers.cells.gated_cells import GRUCell, LSTMCell, RNNCell
from layers.cells.steps import Routes, freeze_finished

__all__ = [
    "Cell",
    "GRUCell",
    "GRUGates",
    "LSTMCell",
    "LSTMGates",
    "RNNCell",
    "Routes",
    "freeze_finished",
    "gru_step",
    "lstm_step",
    "rnn_step",
]

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "layers.cells.gated_cells")
