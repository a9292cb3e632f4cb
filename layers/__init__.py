"""layers: sequence models built on minigrad.

Inputs are (batch, time, features): batch first, unlike PyTorch.
"""

from layers import init
from layers.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from layers.attention import MultiheadAttention, attention_steps
from layers.batch_normalization import (
    BatchNorm1d,
    BatchNorm2d,
    InstanceNorm1d,
    InstanceNorm2d,
)
from layers.caches import KeyValueCache
from layers.cells import GRUCell, LSTMCell, RNNCell
from layers.containers import ModuleDict, ModuleList, Sequential
from layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from layers.dropout import Dropout
from layers.embedding import Embedding
from layers.flatten import Flatten, Unflatten
from layers.interop import from_torch, to_torch
from layers.linear import Bilinear, Identity, Linear
from layers.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from layers.model_summary import summary
from layers.module import Module, Parameter
from layers.normalization import GroupNorm, LayerNorm, RMSNorm
from layers.pooling import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from layers.positional import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    sinusoidal_positions,
)
from layers.recurrent import GRU, LSTM, RNN
from layers.scan import detach_state, run_in_chunks, scan
from layers.transformer import Transformer, TransformerDecoder, TransformerEncoder
from layers.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "CELU",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GELU",
    "GRU",
    "GRUCell",
    "GroupNorm",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "KLDivLoss",
    "KeyValueCache",
    "L1Loss",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "NLLLoss",
    "Parameter",
    "RMSNorm",
    "RNN",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "RotaryPositions",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositions",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "Unflatten",
    "attention_steps",
    "detach_state",
    "from_torch",
    "init",
    "run_in_chunks",
    "scan",
    "sinusoidal_positions",
    "summary",
    "to_torch",
]
