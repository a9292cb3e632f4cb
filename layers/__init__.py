"""layers: sequence models built on minigrad.

Inputs are (batch, time, features): batch first, unlike PyTorch.
"""

from layers.cells import GRUCell, LSTMCell, RNNCell
from layers.dropout import Dropout
from layers.embedding import Embedding
from layers.linear import Linear
from layers.module import Module, Parameter
from layers.normalization import BatchNorm1d, LayerNorm, RMSNorm
from layers.recurrent import GRU, LSTM, RNN
from layers.scan import detach_state, run_in_chunks, scan

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm1d",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "RMSNorm",
    "RNNCell",
    "detach_state",
    "run_in_chunks",
    "scan",
]
