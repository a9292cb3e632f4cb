"""The heads of multi-head attention: from projections and masks to what each head gives."""

import math
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.core.nodes import PlainArray
from minigrad.ops.nn.attention_plain import causal_mask

__all__ = [
    "AttentionSteps",
    "Heads",
    "concatenate_heads",
    "split_heads",
    "steps_of",
    "with_extras",
]


class AttentionSteps(NamedTuple):
    """What multi-head attention computes on its way; without the batch axis if its input had none.

    Attributes:
        query, key, value: the projections, (batch, heads, time, features of a head).
        scores: query key^T, (batch, heads, queries, keys).
        scaled: scores / sqrt(features of a head).
        masked: scaled + bias, and -inf where a mask forbids.
        weights: the softmax over the keys, zeros in rows that forbid all; after dropout.
        heads: weights value, (batch, heads, queries, features of a head).
        concatenated: the heads side by side, (batch, queries, embed_dim).
        output: the projection of these, laid out like the query.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scores: Tensor
    scaled: Tensor
    masked: Tensor
    weights: Tensor
    heads: Tensor
    concatenated: Tensor
    output: Tensor


class Heads(NamedTuple):
    """The projections of a call, and what may be attended to.

    Attributes:
        query, key, value: (batch, heads, time, features of a head).
        masks: booleans that broadcast to (batch, heads, queries, keys); each must allow.
        bias: numbers likewise, or None.
        causal: whether each query attends only to the keys up to its own place.
        valid_queries: which queries are not padding, (batch, queries); None when all are.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    masks: tuple[PlainArray, ...]
    bias: Any
    causal: bool
    valid_queries: PlainArray | None


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(batch, time, features) as (batch, heads, time, features of a head)."""
    batch, time, features = x.shape
    return x.reshape((batch, time, num_heads, features // num_heads)).swapaxes(1, 2)


def concatenate_heads(heads: Tensor) -> Tensor:
    """(batch, heads, time, features of a head) as (batch, time, features)."""
    batch, count, time, features = heads.shape
    return heads.swapaxes(1, 2).reshape((batch, time, count * features))


def steps_of(call: Heads, dropout: float, training: bool) -> tuple[Tensor, ...]:
    """From the scores to the concatenated heads, in frames named as in `AttentionSteps`."""
    with mg.scope("scores"):
        scores = call.query @ call.key.swapaxes(-1, -2)  # (batch, heads, queries, keys)
    with mg.scope("scaled"):
        scaled = scores / math.sqrt(call.query.shape[-1])
    allowed = list(call.masks)
    if call.causal:
        queries, keys = scores.shape[2:]
        allowed.append(causal_mask(queries, keys, keys - queries))
    with mg.scope("masked"):
        masked = scaled if call.bias is None else scaled + call.bias
        for mask in allowed:
            masked = mg.where(mask, masked, -math.inf)
    with mg.scope("weights"):
        weights = mg.dropout(mg.softmax(masked, axis=-1), dropout, training)
    with mg.scope("heads"):
        heads = weights @ call.value  # (batch, heads, queries, features of a head)
    with mg.scope("concatenated"):
        concatenated = concatenate_heads(heads)
    return scores, scaled, masked, weights, heads, concatenated


def with_extras(call: Heads, bias_k: Any, bias_v: Any, zeros: bool) -> Heads:
    """A call with more keys at the end, which no mask forbids: learned ones, and zeros.

    Args:
        call: as it is without them.
        bias_k, bias_v: the learned key and value, (1, 1, embed_dim), or None.
        zeros: whether to add a key and value of zeros.
    """
    queries, keys = call.query.shape[2], call.key.shape[2]
    masks = list(call.masks)
    if call.causal:
        masks.append(causal_mask(queries, keys, keys - queries))
    extra = int(bias_k is not None) + int(zeros)
    return call._replace(
        key=_longer(call.key, bias_k, zeros),
        value=_longer(call.value, bias_v, zeros),
        masks=tuple(_widened(mask, keys, extra, True) for mask in masks),
        bias=None if call.bias is None else _widened(call.bias, keys, extra, 0.0),
        causal=False,
    )


def _longer(heads: Tensor, learned: Any, zeros: bool) -> Tensor:
    """Keys or values with a learned one and zeros at the end."""
    batch, count, _, features = heads.shape
    parts: list[Any] = [heads]
    if learned is not None:
        one = learned.reshape((1, count, 1, features))
        parts.append(mg.broadcast_to(one, (batch, count, 1, features)))
    if zeros:
        parts.append(np.zeros((batch, count, 1, features), heads.dtype))
    return mg.concatenate(parts, axis=2)


def _widened(value: Any, keys: int, extra: int, fill: Any) -> Any:
    """A mask or bias over more keys, where it is `fill`."""
    *lead, last = value.shape or (1,)
    end = np.full((*lead, extra), fill, value.dtype)
    join: Any = np.concatenate
    if isinstance(value, Tensor):
        join = mg.concatenate
        value = value if last == keys else mg.broadcast_to(value, (*lead, keys))
    else:
        value = np.broadcast_to(value, (*lead, keys))
    return join([value, end], axis=-1)
