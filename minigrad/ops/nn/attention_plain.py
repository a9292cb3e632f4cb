"""Attention that holds all weights: the kernel, and the reference that every method shares."""

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.nodes import Array, PlainArray
from minigrad.ops.arguments import named, quiet, result_type, widen
from minigrad.ops.fusing import fused
from minigrad.ops.reduction.softmaxes import softmax

__all__ = [
    "AttentionDropout",
    "AttentionOptions",
    "attention_reference",
    "plain_attention",
    "softmax_of_scores",
]

Masks = tuple[PlainArray, ...]


class AttentionDropout(NamedTuple):
    """Which weights dropout zeroes, told by one random key for each query and each key.

    The mask itself would be as large as the weights. So each place of it is computed when it is
    needed, from the sum of its two keys, by a hash whose bits all depend on all bits of the sum;
    it is the same at every time and for every method.

    Attributes:
        rows: random uint32 (..., queries).
        columns: random uint32 (..., keys).
        p: the probability of zero.
    """

    rows: PlainArray
    columns: PlainArray
    p: float

    @property
    def scale(self) -> float:
        """By what the weights that are kept are multiplied."""
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def keep(self) -> PlainArray:
        """The whole mask, (..., queries, keys)."""
        return self.tile((), slice(None), slice(None))

    def tile(self, lead: tuple[int, ...], rows: slice, columns: slice) -> PlainArray:
        """The mask of some queries and keys at an index of the leading axes."""
        x = self.rows[lead][..., rows, None] + self.columns[lead][..., None, columns]
        if self.p >= 1:
            return np.zeros(x.shape, bool)
        # Two multiplications by odd numbers between shifts by about half the bits; the constants
        # are those of Wellons' search for the least biased ones ("lowbias32").
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x ^= x >> np.uint32(shift)
            x *= np.uint32(factor)
        x ^= x >> np.uint32(16)
        kept: PlainArray = x >= np.uint32(min(round(self.p * 2**32), 2**32 - 1))
        return kept


def causal_mask(queries: int, keys: int, first_query: int = 0, first_key: int = 0) -> PlainArray:
    """Which query may attend to which key, the first ones being at these places."""
    return np.tri(queries, keys, first_query - first_key, dtype=bool)


class AttentionOptions(NamedTuple):
    """How attention is computed: what every method takes beside its inputs.

    Attributes:
        masks: booleans that broadcast to (..., queries, keys); a query may attend to a key where
            all of them are True.
        causal: whether each query attends only to the keys up to its own place.
        scale: the factor of the scores.
        dropout: which weights are zeroed; None for none.
        block: how many queries and keys a method that goes block by block takes at a time.
    """

    masks: Masks
    causal: bool
    scale: float
    dropout: AttentionDropout | None
    block: tuple[int, int]

    def allowed(self, queries: int, keys: int) -> PlainArray | None:
        """Which query may attend to which key, or None if every one may."""
        allowed = causal_mask(queries, keys, keys - queries) if self.causal else None
        for mask in self.masks:
            allowed = mask if allowed is None else allowed & mask
        return allowed

    def scores(self, q: Any, k: Any, bias: Any) -> tuple[Any, PlainArray | None]:
        """The scores (..., queries, keys) of all pairs, and which of them count."""
        scores = (q * self.scale) @ k.swapaxes(-1, -2)
        if not isinstance(bias, float):
            scores = scores + widen(bias)
        return scores, self.allowed(q.shape[-2], k.shape[-2])

    def drop(self, weights: Any, keep: PlainArray | None) -> Any:
        """Weights, or their gradients, after dropout; `keep` is its mask."""
        return weights if self.dropout is None else weights * keep * self.dropout.scale


def softmax_of_scores(q: Any, k: Any, bias: Any, options: AttentionOptions) -> Any:
    """The weights from other operations; rows in which nothing is allowed are zeros."""
    scores, allowed = options.scores(q, k, bias)
    if allowed is not None:
        scores = np.where(allowed, scores, -math.inf)
    return softmax(scores, axis=-1)


@quiet
def attention_reference(
    query: Any, key: Any, value: Any, bias: Any, options: AttentionOptions
) -> Any:
    """Attention composed of other operations; the block makes no difference to the result."""
    weights = softmax_of_scores(widen(query), widen(key), bias, options)
    keep = None if options.dropout is None else options.dropout.keep()
    weights = options.drop(weights, keep)
    return (weights @ widen(value)).astype(result_type(query, key, value, bias))


def _plain_backward(
    grads: Any, residuals: Any, inputs: Any, needed: Any, options: AttentionOptions
) -> tuple[Any, ...]:
    weights, y, keep = residuals
    q, k, v = (widen(a) for a in inputs[:3])
    g = widen(grads[0])
    d_q = d_k = d_v = d_scores = None
    if needed[2]:
        d_v = options.drop(weights, keep).swapaxes(-1, -2) @ g
    if needed[0] or needed[1] or needed[3]:
        d_scores = options.drop(g @ v.swapaxes(-1, -2), keep)  # of the weights, then of the scores
        # The sum over keys of weight times gradient is that over features of output times gradient.
        d_scores -= (g * y).sum(axis=-1, keepdims=True)
        d_scores *= weights
        if needed[0]:
            d_q = (d_scores @ k) * options.scale
        if needed[1]:
            d_k = d_scores.swapaxes(-1, -2) @ (q * options.scale)
    return d_q, d_k, d_v, d_scores if needed[3] else None


@fused(reference=attention_reference, backward=_plain_backward)
@named("scaled_dot_product_attention")
@quiet
def plain_attention(
    query: Array, key: Array, value: Array, bias: Array, /, options: AttentionOptions
) -> Array:
    """Attention that holds all weights, for the backward too."""
    q, k, v = widen(query), widen(key), widen(value)
    scores, allowed = options.scores(q, k, bias)
    if allowed is not None:
        np.copyto(scores, -math.inf, where=~allowed)
    top = scores.max(axis=-1, keepdims=True, initial=-math.inf)
    scores -= np.where(top == -math.inf, 0, top)
    weights = np.exp(scores, out=scores)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    keep = None if options.dropout is None else options.dropout.keep()
    y = options.drop(weights, keep) @ v
    dtype = result_type(query, key, value, bias)
    return y.astype(dtype, copy=y.dtype == np.float16), (weights, y, keep)
