"""layers: sequence models built on minigrad.

Inputs are (batch, time, features): batch first, unlike PyTorch. Layers compute in the dtype of
their parameters: floating input of another dtype is converted, and other input is refused.
"""

import sys
from typing import TYPE_CHECKING

from layers.base import init
from layers.base.containers import ModuleDict, ModuleList, Sequential
from layers.base.interop import from_torch, to_torch
from layers.base.model_summary import summary
from layers.base.module import Module, Parameter
from layers.basic.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
)
from layers.basic.batch_normalization import (
    BatchNorm1d,
    BatchNorm2d,
    InstanceNorm1d,
    InstanceNorm2d,
)
from layers.basic.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from layers.basic.dropout import Dropout
from layers.basic.embedding import Embedding
from layers.basic.flatten import Flatten, Unflatten
from layers.basic.linear import Bilinear, Identity, Linear
from layers.basic.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from layers.basic.margin_losses import (
    CosineEmbeddingLoss,
    CosineSimilarity,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiMarginLoss,
    PairwiseDistance,
    SoftMarginLoss,
    TripletMarginLoss,
)
from layers.basic.normalization import GroupNorm, LayerNorm, RMSNorm
from layers.basic.pooling import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from layers.cells.cell import Cell
from layers.cells.gated_cells import GRUCell, LSTMCell, RNNCell
from layers.cells.steps import Routes, freeze_finished
from layers.recurrent import stepping
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
from layers.transformer.attention import MultiheadAttention, attention_steps
from layers.transformer.caches import KeyValueCache
from layers.transformer.encoder_decoder import Transformer, TransformerDecoder, TransformerEncoder
from layers.transformer.positional import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    sinusoidal_positions,
)
from layers.transformer.transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer
from minigrad.moved import submodules_of

__all__ = [
    "attention_steps",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Bilinear",
    "Cell",
    "CELU",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "detach_state",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "freeze_finished",
    "from_torch",
    "GaussianNLLLoss",
    "GELU",
    "GLU",
    "GroupNorm",
    "GRU",
    "GRUCell",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "init",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "KeyValueCache",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "LearnedPositions",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "LSTM",
    "LSTMCell",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MSELoss",
    "MultiheadAttention",
    "MultiMarginLoss",
    "NLLLoss",
    "pack_padded_sequence",
    "pack_sequence",
    "PackedSequence",
    "pad_packed_sequence",
    "pad_sequence",
    "PairwiseDistance",
    "Parameter",
    "PoissonNLLLoss",
    "PReLU",
    "Recurrent",
    "ReLU",
    "ReLU6",
    "RMSNorm",
    "RNN",
    "RNNCell",
    "RotaryPositions",
    "Routes",
    "run_in_chunks",
    "scan",
    "SELU",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "sinusoidal_positions",
    "SinusoidalPositions",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "summary",
    "Tanh",
    "to_torch",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TripletMarginLoss",
    "Unflatten",
    "unpack_sequence",
    "unpad_sequence",
]

sys.modules["layers.scan"] = stepping  # its path in earlier versions, where now a function stands

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = submodules_of("layers")
