"""GPT: the decoder of the Transformer alone, as a model of text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import normal_, zeros_
from layers.base.module import Module
from layers.basic.dropout import Dropout
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear, check_sizes
from layers.basic.normalization import LayerNorm
from layers.datasets import CharacterTokenizer
from layers.models.generation.decoding import reading
from layers.models.generation.writing import TextModel
from layers.models.saving import Config
from layers.transformer.caches import StackCache
from layers.transformer.encoder_decoder import TransformerEncoder
from layers.transformer.positional import LearnedPositions
from layers.transformer.transformer_layers import TransformerEncoderLayer
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe

__all__ = ["GPT", "GPTConfig"]

INITIAL_SPREAD = 0.02  # of all weights, as in GPT-2


@dataclass(frozen=True)
class GPTConfig(Config):
    """The sizes of a GPT.

    Attributes:
        vocabulary_size: the number of distinct symbols.
        block_size: how many symbols it sees at most.
        num_layers: Transformer layers.
        num_heads: attention heads of each.
        width: features of every place.
        dropout: the probability of zero, in training.
        tied: read out with the weights of the embedding.

    >>> GPTConfig.preset("small", vocabulary_size=64).width
    128
    """

    vocabulary_size: int
    block_size: int = 64
    num_layers: int = 4
    num_heads: int = 4
    width: int = 128
    dropout: float = 0.0
    tied: bool = True

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"num_layers": 2, "num_heads": 2, "width": 32, "block_size": 32},
        "small": {},
        "medium": {"num_layers": 6, "num_heads": 6, "width": 192, "block_size": 128},
    }

    def __post_init__(self) -> None:
        check_sizes(
            "GPTConfig",
            1,
            vocabulary_size=self.vocabulary_size,
            block_size=self.block_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            width=self.width,
        )
        if self.width % self.num_heads:
            raise ValueError(
                f"GPTConfig: width={self.width} must be a multiple of num_heads={self.num_heads}"
            )


class GPT(TextModel, Module):
    """Predicts the next symbol from those before it, by masked self-attention.

    Learned positions, layers that normalise first, a last normalisation, GELU, and the embedding
    as read-out (Radford et al. 2018, 2019). Weights begin from N(0, 0.02^2), those that end in the
    residual sum divided by sqrt(2 num_layers), biases at 0.

    Args:
        config: the sizes.
        tokenizer: which number stands for which character; needed to generate text.

    Shapes: codes (batch, time) -> scores (batch, time, vocabulary_size).

    >>> tokenizer = CharacterTokenizer.from_text("to be or not to be")
    >>> model = GPT(GPTConfig.preset("tiny", vocabulary_size=len(tokenizer)), tokenizer)
    >>> model(tokenizer.encode("to be")[None]).shape
    (1, 5, 7)
    >>> model.complete("to", 9) == model.complete("to", 9, cache=False)
    True
    """

    KIND = "GPT"
    CONFIG = GPTConfig

    config: GPTConfig

    def __init__(self, config: GPTConfig, tokenizer: CharacterTokenizer | None = None) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        width = config.width
        self.embedding = Embedding(config.vocabulary_size, width)
        self.positions = LearnedPositions(config.block_size, width)
        self.dropout = Dropout(config.dropout)
        self.stack = TransformerEncoder(
            lambda: TransformerEncoderLayer(
                width, config.num_heads, 4 * width, config.dropout, "gelu", norm_first=True
            ),
            config.num_layers,
            LayerNorm(width),
        )
        if not config.tied:
            self.readout = Linear(width, config.vocabulary_size, bias=False)
        self._begin()

    def _begin(self) -> None:
        """Draw the first weights."""
        into_the_sum = ("out_proj.weight", "linear2.weight")
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                zeros_(parameter)
            elif parameter.ndim > 1:
                ends = name.endswith(into_the_sum)
                scale = 1 / math.sqrt(2 * self.config.num_layers) if ends else 1.0
                normal_(parameter, 0.0, INITIAL_SPREAD * scale)

    def forward(self, codes: Any, cache: StackCache | None = None) -> Tensor:
        """Scores for the symbol that follows each of the given ones.

        Args:
            codes: (batch, time), time at most block_size.
            cache: the keys and values of the symbols before these, from `make_cache`.

        Raises:
            ShapeError: for codes of another shape, and for more symbols than block_size.
        """
        if np.ndim(codes) != 2:
            raise ShapeError(f"GPT: codes must be (batch, time), got {describe(np.asarray(codes))}")
        codes = np.asarray(codes)
        before = 0 if cache is None else len(cache)
        if before + codes.shape[1] > self.config.block_size:
            raise ShapeError(
                f"GPT: codes {describe(codes)} and {before} symbols before them are more than "
                f"block_size={self.config.block_size}; pass the last ones alone"
            )
        return self.read(self.positions(self.embedding(codes), before), cache)

    def read(self, x: Any, cache: StackCache | None = None) -> Tensor:
        """The scores from symbols that are embedded and placed already.

        Args:
            x: (batch, time, width).
            cache: as in `forward`.
        """
        x = self.stack(self.dropout(x), causal=True, cache=cache)  # (batch, time, width)
        weight = self.embedding.weight if self.config.tied else self.readout.weight
        scores: Tensor = x @ weight.T  # (batch, time, vocabulary_size)
        return scores

    def make_cache(self) -> StackCache:
        """Empty keys and values, for `forward`."""
        return self.stack.make_cache()

    def loss(self, codes: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per symbol; a target of -100 does not count."""
        return mg.cross_entropy(self(codes), targets)

    def decoder(self) -> "GPTDecoder":
        """Scores of the next symbol; the state is keys and values of those before."""
        return GPTDecoder(self)


@dataclass(frozen=True)
class GPTDecoder:
    """Reads one symbol after the other and keeps the keys and values.

    Past block_size symbols the model sees the last block_size alone. All their positions then
    change with every symbol, and with them all keys and values, so a cache cannot help: the window
    is read anew.
    """

    model: GPT

    def begin(self, codes: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        """As in `decoding.Decoder`; the state is the codes and the cache."""
        window = codes[:, -self.model.config.block_size :]
        cache = self.model.make_cache()
        with reading(self.model):
            scores = self.model(window, cache)
        return scores.numpy()[:, -1], (window, cache)  # (batch, vocabulary)

    def advance(self, codes: np.ndarray[Any, Any], state: Any) -> tuple[Any, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        window, cache = state
        longer = np.concatenate([window, codes[:, None]], axis=1)
        if longer.shape[1] > self.model.config.block_size:
            return self.begin(longer)
        with reading(self.model):
            scores = self.model(codes[:, None], cache)
        return scores.numpy()[:, -1], (longer, cache)

    def reorder(self, state: Any, index: np.ndarray[Any, Any]) -> Any:
        """The same sequences of the window and of the cache."""
        window, cache = state
        cache.reorder(index)
        return window[index], cache
