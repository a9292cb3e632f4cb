"""layers: sequence models built on minigrad.

Inputs are (batch, time, features): batch first, unlike PyTorch.
"""

from layers.embedding import Embedding
from layers.linear import Linear
from layers.module import Module, Parameter
from layers.recurrent import LSTM, LSTMCell

__all__ = ["LSTM", "Embedding", "LSTMCell", "Linear", "Module", "Parameter"]
