"""Scaled dot-product attention as one operation, by several methods, and its weights alone."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from minigrad.errors import DtypeError, ShapeError, describe
from minigrad.ops import attention_blockwise
from minigrad.ops.arguments import as_constant, as_tensors, refuse_pytorch_names, widen
from minigrad.ops.attention_plain import (
    AttentionDropout,
    Masks,
    plain_attention,
    result_type,
    softmax_of_scores,
)
from minigrad.ops.selecting import where
from minigrad.randomness import choose_generator
from minigrad.tensors import Tensor

__all__ = ["attention_weights", "scaled_dot_product_attention"]

METHODS = ()

Array = Any
PlainArray = np.ndarray[Any, Any]

ADVICE = {
    "attn_mask": "Write mask= for booleans, where True means may attend (nn.MultiheadAttention "
    "of PyTorch has it the other way round: pass mask=~attn_mask), and bias= for numbers that "
    "are added to the scores.",
    "key_padding_mask": "PyTorch's is True where a key must not be attended to; write "
    "mask=~key_padding_mask[:, None, :], where True means may attend.",
    "is_causal": "Write causal=True.",
    "dropout_p": "Write dropout=.",
    "enable_gqa": "Repeat the heads of key and value instead, for example with np.repeat.",
}
"""What to write for PyTorch's names, which are refused because its polarity differs by class."""


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: "np.random.Generator | None" = None,
    training: bool = True,
    method: str = "plain",
    **unknown: Any,
) -> Tensor:
    """softmax(query key^T * scale + bias) value (Vaswani et al. 2017, section 3.2.1).

    Queries that may attend to no key give zeros, and zero gradients, never NaN.

    Args:
        query: (..., queries, features).
        key: (..., keys, features).
        value: (..., keys, value features); leading axes broadcast.
        mask: booleans that broadcast to (..., queries, keys); True means may attend.
        bias: numbers that broadcast likewise and are added to the scores; differentiated.
        causal: let each query attend only to the keys up to its own place. The last query stands
            at the last key, so with a cache of earlier keys the queries are the latest places;
            PyTorch aligns the first ones instead when there are more keys than queries.
        scale: the factor of the scores; 1 / sqrt(features) if None.
        dropout: the probability with which a weight is zeroed, the others being divided by
            1 - dropout.
        generator: draws what dropout keeps; the default generator if None.
        training: False switches dropout off.
        method: "plain" holds all weights (queries x keys).

    Returns:
        (..., queries, value features).

    Raises:
        ShapeError: when the shapes do not fit.
        DtypeError: when the mask is not boolean.
        TypeError: for PyTorch's names of masks, with what to write instead.

    >>> q = k = np.zeros((2, 1)); v = np.array([[1.0], [3.0]])
    >>> scaled_dot_product_attention(q, k, v, causal=True).tolist()
    [[1.0], [2.0]]
    """
    name = "scaled_dot_product_attention"
    refuse_pytorch_names(name, unknown, ADVICE)
    if method not in METHODS_OF_ATTENTION:
        raise ValueError(
            f"{name}: method must be one of {list(METHODS_OF_ATTENTION)}, got {method!r}"
        )
    q, k, v, b, allowed = _prepared(name, query, key, value, mask, bias)
    keep = draw_mask(name, _scores_shape(q, k), dropout, training, generator)
    return METHODS_OF_ATTENTION[method](
        q,
        k,
        v,
        b,
        mask=allowed,
        causal=bool(causal),
        scale=_scale(q, scale),
        keep=keep,
        keep_scale=keep_scale(dropout),
    )


def attention_weights(
    query: Any,
    key: Any,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    scale: float | None = None,
    **unknown: Any,
) -> Tensor:
    """softmax(query key^T * scale + bias): what `scaled_dot_product_attention` multiplies with.

    The arguments are those of `scaled_dot_product_attention`. Weights of pairs that the mask
    excludes are 0, and each row of the others adds up to 1.

    Returns:
        (..., queries, keys).
    """
    name = "attention_weights"
    refuse_pytorch_names(name, unknown, ADVICE)
    q, k, _, b, allowed = _prepared(name, query, key, key, mask, bias)
    weights = _weights(widen(q), widen(k), b, allowed, bool(causal), _scale(q, scale))
    return cast(Tensor, weights.astype(_result_type(q, k, b)))


# -- arguments -------------------------------------------------------------------------------------


def _prepared(
    name: str, query: Any, key: Any, value: Any, mask: Any, bias: Any
) -> tuple[Tensor, Tensor, Tensor, Any, PlainArray | None]:
    """The arguments checked against each other; a bias of 0.0 stands for none."""
    q, k, v = as_tensors(name, query=query, key=key, value=value)
    for argument, tensor in (("query", q), ("key", k), ("value", v)):
        if tensor.ndim < 2:
            raise ShapeError(
                f"{name}: {argument} must be (..., time, features), got {describe(tensor)}"
            )
    shapes = f"query: {describe(q)}, key: {describe(k)}, value: {describe(v)}"
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"{name}: query and key must have as many features, got {shapes}")
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"{name}: there must be as many values as keys (the last axis but one), got {shapes}"
        )
    try:
        np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ShapeError(f"{name}: the leading axes do not broadcast, got {shapes}") from None
    scores = _scores_shape(q, k)
    allowed = None
    if mask is not None:
        allowed = as_constant(mask, name, "mask")
        if allowed.dtype != bool:
            raise DtypeError(
                f"{name}: mask must be boolean, True where a query may attend to a key, got "
                f"{describe(allowed)}. Numbers to add to the scores are given as bias=; 0 and 1 "
                "become booleans with astype(bool)."
            )
        _check_fits(name, "mask", allowed, scores)
    b: Any = 0.0
    if bias is not None:
        _, b = as_tensors(name, query=q, bias=bias)
        _check_fits(name, "bias", b, scores)
    return q, k, v, b, allowed


def _scores_shape(q: Any, k: Any) -> tuple[int, ...]:
    return (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])


def _check_fits(name: str, argument: str, value: Any, scores: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(value.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: {argument} must broadcast to the scores (..., queries, keys) = {scores}, "
            f"got {describe(value)}"
        )


def _scale(q: Tensor, scale: float | None) -> float:
    return 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)


def _allowed(mask: PlainArray | None, causal: bool, queries: int, keys: int) -> PlainArray | None:
    """Which query may attend to which key, or None if every one may."""
    if not causal:
        return mask
    earlier = np.tri(queries, keys, keys - queries, dtype=bool)
    return earlier if mask is None else mask & earlier


def _result_type(*values: Any) -> Any:
    return np.result_type(*[v.dtype for v in values if not isinstance(v, float)])


