"""GPT from top to bottom: configuration, attention, block, model, and reading token by token.

Comments tell the shape of what a line gives: B sequences of T tokens, S tokens so far (T and those
in the cache), C features of each (the width), H heads of D = C / H features, V tokens in the
vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

import minigrad as mg
from layers.base.containers import ModuleDict, ModuleList
from layers.base.init import normal_, xavier_uniform_, zeros_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.base.renamed import renamed_arguments
from layers.basic.dropout import Dropout
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear, blank, check_sizes
from layers.basic.normalization import LayerNorm
from layers.datasets import CharacterTokenizer
from layers.models.configuration import Config
from layers.models.generation.decoding import reading
from layers.models.generation.steps import Room, read_again, read_one
from layers.models.generation.writing import TextModel
from layers.transformer.caches import KeyValueCache, PlacedCache, StackCache, check_cache
from layers.transformer.positional import LearnedPositions
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe

__all__ = ["GPT", "Block", "CausalSelfAttention", "GPTConfig"]

INITIAL_SPREAD = 0.02  # of all weights, as in GPT-2


@dataclass(frozen=True)
class GPTConfig(Config):
    """The sizes of a GPT.

    Attributes:
        vocabulary_size: the number of distinct tokens.
        block_size: how many tokens it sees at most.
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


class CausalSelfAttention(Module):
    """Self-attention of several heads, in which a token attends to itself and to those before it.

        head = softmax(q k^T / sqrt(D)) v, with -inf in place of scores of later tokens
        output = concatenated heads W^T + b

    as in Vaswani et al. (2017), section 3.2.

    Args:
        width: C, features of each token.
        num_heads: H; the width is a multiple of it.
        dropout: the probability with which a weight is zeroed, in training.

    Attributes:
        fused: True attends by one operation, which has kernels and holds no (T, S) weights of long
            texts; False computes it line by line, to look at and to draw. Both give the same,
            except that dropout draws other random numbers.

    Shapes: x (B, T, C) -> (B, T, C). Parameters are named as in `layers.MultiheadAttention`.
    """

    fused = True

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        # Rows of q, then of k, then of v.
        self.in_proj_weight = Parameter(blank(self, "in_proj_weight", 3 * width, width))
        self.in_proj_bias = Parameter(blank(self, "in_proj_bias", 3 * width))
        self.out_proj = Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw the weights as PyTorch does; a GPT draws its own, see `GPT.init_weights`."""
        self.out_proj.reset_parameters(generator)
        xavier_uniform_(self.in_proj_weight, generator=generator)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                zeros_(parameter)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Attend; keys and values are added to those that the cache holds of tokens before."""
        B, T, C = x.shape
        H, D = self.num_heads, C // self.num_heads
        w_q, w_k, w_v = np.split(self.in_proj_weight, 3)  # (C, C) each
        b_q, b_k, b_v = np.split(self.in_proj_bias, 3)  # (C,) each
        q = (x @ w_q.T + b_q).reshape((B, T, H, D)).swapaxes(1, 2)  # (B, H, T, D)
        k = (x @ w_k.T + b_k).reshape((B, T, H, D)).swapaxes(1, 2)  # (B, H, T, D)
        v = (x @ w_v.T + b_v).reshape((B, T, H, D)).swapaxes(1, 2)  # (B, H, T, D)
        if isinstance(cache, PlacedCache):
            return self.join(cache.attend(q, k, v))  # (B, T, C), T being 1
        if cache is not None:
            k, v = cache.extend(k, v)  # (B, H, S, D)
        if self.fused:
            y = mg.scaled_dot_product_attention(  # (B, H, T, D)
                q, k, v, causal=True, dropout=self.dropout, training=self.training
            )
        else:
            scores = q @ k.swapaxes(2, 3) / math.sqrt(D)  # (B, H, T, S)
            S = k.shape[2]
            visible = np.tri(T, S, S - T, dtype=bool)  # (T, S), the last token at the last key
            scores = mg.where(visible, scores, -math.inf)  # (B, H, T, S)
            weights = mg.softmax(scores, axis=-1)  # (B, H, T, S), each row adds up to 1
            weights = mg.dropout(weights, self.dropout, self.training)  # (B, H, T, S)
            y = weights @ v  # (B, H, T, D)
        return self.join(y)  # (B, T, C)

    def join(self, y: Tensor) -> Tensor:
        """The output from what the heads found, (B, H, T, D)."""
        B, H, T, D = y.shape
        output: Tensor = self.out_proj(y.swapaxes(1, 2).reshape((B, T, H * D)))  # (B, T, C)
        return output


class Block(Module):
    """Attention between tokens, then a network for each token; both are added to their inputs.

    What goes into each of the two is normalised first (Radford et al. 2019; Xiong et al. 2020). It
    is a `layers.TransformerEncoderLayer` with `norm_first` and GELU, called with `causal=True`, and
    its parameters have the same names.

    Args:
        width, num_heads, dropout: as in `CausalSelfAttention`.

    Shapes: x (B, T, C) -> (B, T, C).
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attn = CausalSelfAttention(width, num_heads, dropout)
        self.linear1 = Linear(width, 4 * width)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(4 * width, width)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Apply the block; the scopes are frames in pictures."""
        with mg.scope("Self-attention"):
            y = self.self_attn(self.norm1(x), cache)  # (B, T, C)
            with mg.scope("Add"):
                x = x + self.dropout1(y)  # (B, T, C)
        with mg.scope("Feed-forward"):
            y = mg.gelu(self.linear1(self.norm2(x)))  # (B, T, 4 C)
            y = self.linear2(self.dropout(y))  # (B, T, C)
            with mg.scope("Add"):
                x = x + self.dropout2(y)  # (B, T, C)
        return x


class GPT(TextModel, Module):
    """Language model of the GPT kind: predicts the next token from those before it.

    An embedding and learned positions, blocks, a last normalisation, and the embedding once more
    as read-out (Radford et al. 2018, 2019).

    Args:
        config: the sizes.
        tokenizer: which number stands for which character; needed to generate text.

    Shapes: token_ids (B, T) -> logits (B, T, V), V being vocabulary_size.

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
        blocks = [Block(width, config.num_heads, config.dropout) for _ in range(config.num_layers)]
        # Saved models name their weights by these paths, such as stack.layers.0.norm1.weight.
        self.stack = ModuleDict({"layers": ModuleList(blocks), "norm": LayerNorm(width)})
        if not config.tied:
            self.readout = Linear(width, config.vocabulary_size, bias=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw all matrices from N(0, 0.02^2), and set biases to 0, as in GPT-2.

        The residual sum gets two terms from each block. The matrices that end them, out_proj and
        linear2, are divided by sqrt(2 num_layers), so that the sum does not grow with the depth.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                zeros_(parameter)
            elif parameter.ndim > 1:
                residual = name.endswith(("out_proj.weight", "linear2.weight"))
                scale = 1 / math.sqrt(2 * self.config.num_layers) if residual else 1.0
                normal_(parameter, 0.0, INITIAL_SPREAD * scale)

    @property
    def blocks(self) -> ModuleList:
        """The blocks, in order."""
        return cast(ModuleList, self.stack["layers"])

    @renamed_arguments(codes="token_ids")
    def forward(self, token_ids: Any, cache: StackCache | None = None) -> Tensor:
        """Logits for the token that follows each of the given ones.

        Args:
            token_ids: (B, T) integers, T at most block_size.
            cache: the keys and values of the tokens before these, from `make_cache`.

        Raises:
            ShapeError: for another shape, and for more tokens than block_size.
        """
        token_ids = np.asarray(token_ids)  # (B, T)
        if token_ids.ndim != 2:
            raise ShapeError(f"GPT: token_ids must be (batch, time), got {describe(token_ids)}")
        before = 0 if cache is None else len(cache)
        if before + token_ids.shape[1] > self.config.block_size:
            raise ShapeError(
                f"GPT: token_ids {describe(token_ids)} and {before} tokens before them are more "
                f"than block_size={self.config.block_size}; pass the last ones alone"
            )
        x = self.embedding(token_ids)  # (B, T, C)
        x = self.positions(x, before)  # (B, T, C): plus a learned vector for each place
        return self.read(x, cache)  # (B, T, V)

    def read(self, x: Any, cache: StackCache | None = None) -> Tensor:
        """The logits from tokens that are embedded and placed already.

        Args:
            x: (B, T, C).
            cache: as in `forward`.

        Raises:
            ShapeError: for another number of axes or features.
            TypeError, ValueError: for a cache of something else, or of another number of blocks.
        """
        check_cache("GPT", cache, StackCache, "make_cache()")
        blocks = self.config.num_layers
        caches = [None] * blocks if cache is None else [layer.own for layer in cache.layers]
        if len(caches) != blocks:
            raise ValueError(
                f"GPT: the cache is for {len(caches)} blocks, and there are {blocks}; use "
                "make_cache()"
            )
        weight = self.embedding.weight if self.config.tied else self.readout.weight  # (V, C)
        x = cast_input("GPT", "x", x, weight.dtype)  # (B, T, C)
        if x.ndim != 3 or x.shape[-1] != self.config.width:
            raise ShapeError(
                f"GPT: x must be (batch, time, {self.config.width}), got {describe(x)}"
            )
        x = self.dropout(x)  # (B, T, C)
        for block, keys_and_values in zip(self.blocks, caches, strict=True):
            x = block(x, keys_and_values)  # (B, T, C)
        x = self.stack["norm"](x)  # (B, T, C)
        logits: Tensor = x @ weight.T  # (B, T, V)
        return logits

    def step(
        self, token_ids: np.ndarray[Any, Any], places: np.ndarray[Any, Any], rooms: list[Room]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """`forward` of one token of each sequence as a function of arrays, which can be compiled.

        Args:
            token_ids: (B, 1).
            places: how many tokens came before, (B,).
            rooms: the keys and values of these for each block, from `KeyValueCache.room`.

        Returns:
            The logits (B, 1, V), and key and value of the token for each block, (B, H, 1, D) each.
        """
        placed = [PlacedCache(room, places) for room in rooms]
        x = self.positions(self.embedding(token_ids), places)  # (B, 1, C)
        logits = self.read(x, StackCache.of(placed))  # (B, 1, V)
        return logits, [cache.added() for cache in placed]

    @property
    def longest(self) -> int:
        """How many tokens it sees at most."""
        return self.config.block_size

    def make_cache(self) -> StackCache:
        """Empty keys and values, for `forward`."""
        return StackCache(self.config.num_layers)

    @renamed_arguments(codes="token_ids")
    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per token; a target of -100 does not count."""
        logits = self(token_ids)  # (B, T, V)
        return mg.cross_entropy(logits, targets)  # () from targets (B, T)

    def decoder(self) -> "GPTDecoder":
        """Logits of the next token; the state is keys and values of those before."""
        return GPTDecoder(self)


@dataclass(frozen=True)
class GPTDecoder:
    """Reads one token after the other and keeps the keys and values.

    Past block_size tokens the model sees the last block_size alone. All their positions then
    change with every token, and with them all keys and values, so a cache cannot help: the window
    is read again.
    """

    model: GPT

    def begin(self, token_ids: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        """As in `decoding.Decoder`; the state is the token ids and the cache."""
        window = token_ids[:, -self.model.config.block_size :]  # (B, T)
        cache = self.model.make_cache()
        with reading(self.model):
            logits = self.model(window, cache)  # (B, T, V)
        return logits.numpy()[:, -1], (window, cache)  # (B, V)

    def advance(self, token_ids: np.ndarray[Any, Any], state: Any) -> tuple[Any, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        window, cache = state
        longer = np.concatenate([window, token_ids[:, None]], axis=1)  # (B, T + 1)
        if longer.shape[1] > self.model.config.block_size:
            return self.begin(longer)
        logits = read_again(self.model, token_ids[:, None], cache)  # (B, 1, V)
        if logits is None:
            with reading(self.model):
                logits = read_one(self.model, token_ids[:, None], cache)  # (B, 1, V)
        return logits.numpy()[:, -1], (longer, cache)  # (B, V)

    def reorder(self, state: Any, index: np.ndarray[Any, Any]) -> Any:
        """The same sequences of the window and of the cache."""
        window, cache = state
        cache.reorder(index)
        return window[index], cache
