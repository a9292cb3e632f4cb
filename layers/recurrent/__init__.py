"""Recurrent layers over sequences: RNN, LSTM, GRU, any cell, and steps by `scan`.

May import `minigrad`, `layers.base`, `layers.cells` and `layers.kernels`.
"""

from typing import TYPE_CHECKING

from layers.recurrent.arguments import AllStates
from layers.recurrent.base import Recurrent
from layers.recurrent.layers import GRU, LSTM, RNN
from layers.recurrent.packed import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)
from layers.recurrent.stepping import detach_state, run_in_chunks, scan

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AllStates",
    "PackedSequence",
    "Recurrent",
    "detach_state",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "run_in_chunks",
    "scan",
    "unpack_sequence",
    "unpad_sequence",
]

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "layers.recurrent.layers")
