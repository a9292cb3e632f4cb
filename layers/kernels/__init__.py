"""Recurrent layers over whole sequences as fused operations.

Inside, arrays are (features, batch), so that the gates are contiguous rows of one matrix; the
projection of the inputs is one product for all steps before the loop, and so are the products for
the gradients of the weights after it. Each has its step-by-step form as its reference.
"""

from layers.kernels.gru import gru_sequence
from layers.kernels.lstm import lstm_sequence
from layers.kernels.rnn import rnn_sequence

__all__ = ["gru_sequence", "lstm_sequence", "rnn_sequence"]
