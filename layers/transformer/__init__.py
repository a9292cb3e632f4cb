"""Attention, positions, and the layers and stacks of Transformers.

May import `minigrad`, `layers.base` and `layers.basic`.
"""

from typing import TYPE_CHECKING

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

__all__ = [
    "KeyValueCache",
    "LearnedPositions",
    "MultiheadAttention",
    "RotaryPositions",
    "SinusoidalPositions",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "attention_steps",
    "sinusoidal_positions",
]

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "layers.transformer.encoder_decoder")
