"""The layers of which Transformers are stacked: `TransformerEncoderLayer`, `...DecoderLayer`."""

from collections.abc import Callable
from typing import Any

import minigrad as mg
from layers.base.inputs import cast_input
from layers.base.module import Module
from layers.basic.dropout import Dropout
from layers.basic.linear import Linear, check_sizes
from layers.basic.normalization import LayerNorm
from layers.transformer.attention import MultiheadAttention
from layers.transformer.attention_arguments import (
    check_sequence,
    clear,
    fit_scores,
    refuse_names,
    valid_places,
)
from layers.transformer.caches import KeyValueCache, LayerCache, check_cache
from layers.transformer.positional import RotaryPositions
from minigrad import Tensor
from minigrad.core.nodes import PlainArray

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]

Activation = Callable[[Any], Tensor]

ACTIVATIONS: dict[str, Activation] = {"relu": mg.relu, "gelu": mg.gelu}


class _Layer(Module):
    """What encoder and decoder layers share: the parts, in the order of their numbers.

    Each part of the computation, a *sublayer*, is added to what goes into it and normalised:
    before it with `norm_first`, or after the sum.
    """

    norm_count = 2

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
        *,
        rotary: RotaryPositions | None = None,
        method: str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, least=1, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        self.d_model, self.nhead, self.dim_feedforward = d_model, nhead, dim_feedforward
        self.batch_first, self.norm_first = batch_first, norm_first
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(
                f"{name}: activation must be 'relu', 'gelu' or a function of a tensor, got "
                f"{activation!r}"
            )
        attend: dict[str, Any] = {"bias": bias, "batch_first": batch_first, "method": method}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, rotary=rotary, **attend)
        if self.norm_count == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, **attend)
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        for i in range(1, self.norm_count + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for i in range(1, self.norm_count + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = ACTIVATIONS[activation] if isinstance(activation, str) else activation

    def _add(self, number: int, x: Any, title: str, sublayer: Callable[[Any], Any]) -> Any:
        """x and what a sublayer makes of it, with the normalisation and dropout of that number.

        The titles are those of the figures in Vaswani et al. 2017; pictures have frames of them.
        """
        norm, drop = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        with mg.scope(title):
            if self.norm_first:
                y = sublayer(norm(x))
                with mg.scope("Add"):
                    return x + drop(y)
            y = sublayer(x)
            with mg.scope("Add & norm"):
                return norm(x + drop(y))

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _start(
        self, argument: str, x: Any, lengths: Any, cache: LayerCache | None
    ) -> tuple[Any, PlainArray | None]:
        """The input with zeros in place of padding, and which places are none."""
        name = type(self).__name__
        check_cache(name, cache, LayerCache, "make_cache().layers[i] of a stack")
        check_sequence(name, argument, x, self.d_model, self.batch_first)
        x = cast_input(name, argument, x, self.linear1.weight.dtype)
        batch, time = sizes(x, self.batch_first)
        valid = valid_places(name, "lengths", lengths, argument, x, batch, time)
        return clear(x, valid, self.batch_first), valid


def sizes(x: Any, batch_first: bool) -> tuple[int, int]:
    """How many sequences and how many time steps an input has."""
    if x.ndim == 2:
        return 1, x.shape[0]
    return (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers over (batch, time, d_model): batch first.

    Each of the two is added to its input and normalised (Vaswani et al. 2017, section 3.1).

    Args:
        d_model: the number of features.
        nhead: how many heads attend.
        dim_feedforward: features between the two linear layers.
        dropout: the probability of zero for attention weights and for what each part gives.
        activation: "relu", "gelu" or a function of a tensor, between the two linear layers.
        layer_norm_eps: added to the variance.
        batch_first: False for (time, batch, d_model).
        norm_first: normalise what goes into each part, and not the sum (Xiong et al. 2020).
        bias: whether linear layers and normalisations have biases.
        rotary: turns queries and keys of each head by their position.
        method: how attention is computed; see `minigrad.scaled_dot_product_attention`.

    Parameters are named as in PyTorch: self_attn.in_proj_weight, linear1.weight, norm1.bias...

    >>> layer = TransformerEncoderLayer(8, 2, dim_feedforward=16)
    >>> import numpy as np
    >>> layer(np.ones((2, 5, 8), np.float32), causal=True, lengths=[5, 3]).shape
    (2, 5, 8)
    """

    def forward(
        self,
        src: Any,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool = False,
        lengths: Any = None,
        cache: LayerCache | None = None,
        **unknown: Any,
    ) -> Tensor:
        """Apply the layer.

        Args:
            src: (batch, time, d_model), or (time, d_model).
            mask: booleans, True means may attend: (time, time), (batch, time, time) or (batch,
                heads, time, time).
            bias: numbers in such a shape that are added to the scores.
            causal: let each place attend only to those up to it.
            lengths: (batch,) integers, how many places are not padding; the outputs beyond are
                zeros.
            cache: of earlier calls, which this one continues.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument that does not fit.
            TypeError: for PyTorch's names of masks, with what to write instead.
        """
        refuse_names(type(self).__name__, unknown)
        x, valid = self._start("src", src, lengths, cache)
        attend = {"mask": mask, "bias": bias, "causal": causal, "lengths": lengths}
        cached = None if cache is None else cache.own
        x = self._add(
            1, x, "Self-attention", lambda x: attended(self.self_attn, x, cache=cached, **attend)
        )
        x = self._add(2, x, "Feed-forward", self._feed_forward)
        return clear(x, valid, self.batch_first)  # type: ignore[no-any-return]


def attended(attention: Any, query: Any, key: Any = None, **chosen: Any) -> Any:
    """The output of an attention layer without its weights, so that a fused kernel may run."""
    return attention(query, key, need_weights=False, **chosen)[0]


class TransformerDecoderLayer(_Layer):
    """Attention to itself and to a memory, and two linear layers, over (batch, time, d_model).

    The batch comes first, unlike PyTorch's default. Each of the three is added to its input and
    normalised (Vaswani et al. 2017, section 3.1). The arguments are those of
    `TransformerEncoderLayer`; `rotary` turns in self-attention alone. Parameters are named as in
    PyTorch: self_attn..., multihead_attn..., linear1..., norm3...

    >>> layer = TransformerDecoderLayer(8, 2, dim_feedforward=16)
    >>> import numpy as np
    >>> memory = np.ones((2, 7, 8), np.float32)
    >>> layer(np.ones((2, 5, 8), np.float32), memory, causal=True, memory_lengths=[7, 0]).shape
    (2, 5, 8)
    """

    norm_count = 3

    def forward(
        self,
        tgt: Any,
        memory: Any,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool = False,
        lengths: Any = None,
        cross_mask: Any = None,
        cross_bias: Any = None,
        memory_lengths: Any = None,
        cache: LayerCache | None = None,
        **unknown: Any,
    ) -> Tensor:
        """Apply the layer.

        Args:
            tgt: (batch, time, d_model), or (time, d_model).
            memory: what the encoder gave, (batch, memory time, d_model); after the first call with
                a cache it may be None.
            mask: booleans, True means may attend: (time, time), (batch, time, time) or (batch,
                heads, time, time). With a cache, the last axis covers all places so far.
            bias: numbers in such a shape that are added to the scores.
            causal: let each place attend only to those up to it.
            lengths: (batch,) integers, how many places are not padding; the outputs beyond are
                zeros.
            cross_mask, cross_bias: the same for the attention to the memory, (time, memory time).
            memory_lengths: (batch,) integers, how many places of the memory are not padding.
            cache: of earlier calls, which this one continues.

        Raises:
            ShapeError, DtypeError, ValueError: naming the argument that does not fit.
            TypeError: for PyTorch's names of masks, with what to write instead.
        """
        name = type(self).__name__
        refuse_names(name, unknown)
        x, valid = self._start("tgt", tgt, lengths, cache)
        own, fixed = (None, None) if cache is None else (cache.own, cache.memory)
        cross = {"cross_mask": cross_mask, "cross_bias": cross_bias}
        cross = self._check_memory(memory, tgt, memory_lengths, fixed, cross)
        attend = {"mask": mask, "bias": bias, "causal": causal, "lengths": lengths}
        x = self._add(
            1, x, "Self-attention", lambda x: attended(self.self_attn, x, cache=own, **attend)
        )
        x = self._add(
            2,
            x,
            "Cross-attention",
            lambda x: attended(self.multihead_attn, x, memory, cache=fixed, **cross),
        )
        x = self._add(3, x, "Feed-forward", self._feed_forward)
        return clear(x, valid, self.batch_first)  # type: ignore[no-any-return]

    def _check_memory(
        self, memory: Any, tgt: Any, lengths: Any, cache: KeyValueCache | None, given: Any
    ) -> dict[str, Any]:
        """Check what concerns the memory, under its own names; arguments for its attention."""
        name = type(self).__name__
        if memory is None:
            if cache is None or not len(cache):
                raise ValueError(
                    f"{name}: memory is None, which only a cache that already holds its keys and "
                    "values can make up for. A model without memory is a TransformerEncoder with "
                    "causal=True."
                )
            time = len(cache)
        else:
            check_sequence(name, "memory", memory, self.d_model, self.batch_first, tgt.ndim == 3)
            time = sizes(memory, self.batch_first)[1]
        batch, queries = sizes(tgt, self.batch_first)
        scores = (batch, self.nhead, queries, time)
        mask, bias = (
            fit_scores(name, argument, value, scores) for argument, value in given.items()
        )
        shown = tgt if memory is None else memory
        valid_places(name, "memory_lengths", lengths, "memory", shown, batch, time)
        return {"mask": mask, "bias": bias, "lengths": lengths}
