"""Scaled dot-product attention as one operation, by several methods, and its weights alone."""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import (
    as_constant,
    as_tensors,
    refuse_pytorch_names,
    result_type,
    widen,
)
from minigrad.ops.checks import check_broadcasts, check_lengths, check_probabilities
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.fusing import kernels_kept
from minigrad.ops.natives import native_kernel
from minigrad.ops.nn import attention_blockwise
from minigrad.ops.nn.attention_plain import (
    AttentionDropout,
    AttentionOptions,
    Masks,
    plain_attention,
    softmax_of_scores,
)
from minigrad.ops.randomness import choose_generator, draw_numbers

__all__ = ["attention_weights", "scaled_dot_product_attention"]


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

SCORES = "the scores (..., queries, keys)"

LARGEST_PLAIN = 512 * 512
"""Pairs of a query and a key beyond which attention is computed blockwise unless told otherwise."""

LARGEST_PLAIN_BESIDE_NATIVE = 96 * 96
"""The same where there is native code for blocks, and at least `WORTH_NATIVE` multiplications."""

WORTH_NATIVE = 4_000_000

KEPT = (np.float32, np.float64)
"""Of which dtypes there are operations for compiled programs."""

METHODS_OF_ATTENTION: dict[str, Callable[..., Tensor]] = {
    "plain": plain_attention,
    "blockwise": attention_blockwise.blockwise_attention,
}
"""How attention is computed, by the name given as `method=`."""


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
    method: str | None = None,
    lengths: Any = None,
    **unknown: Any,
) -> Tensor:
    """softmax(query key^T * scale + bias) value (Vaswani et al. 2017, section 3.2.1).

    Queries that may attend to no key give zeros, and zero gradients, never NaN.

    Args:
        query: (..., queries, features).
        key: (..., keys, features).
        value: (..., keys, value features); leading axes broadcast.
        mask: booleans that broadcast to (..., queries, keys); True means may attend. Of a tuple
            of several, each must allow.
        bias: numbers that broadcast likewise and are added to the scores; differentiated.
        causal: let each query attend only to the keys up to its own place. The last query stands
            at the last key, so with a cache of earlier keys the queries are the latest places;
            PyTorch aligns the first ones instead when there are more keys than queries.
        scale: the factor of the scores; 1 / sqrt(features) if None.
        dropout: the probability with which a weight is zeroed, the others being divided by
            1 - dropout.
        generator: draws what dropout keeps; the default generator if None.
        training: False switches dropout off.
        method: "plain" holds all weights (queries x keys). "blockwise" (Rabe and Staats 2021; Dao
            et al. 2022) holds a block of them at a time, so that its memory is linear in the
            length, forward and backward; second derivatives hold them all, or half of them if
            causal. None takes blocks for more than 512 x 512 pairs, and with native code
            (``minigrad[fast]``) for more than 96 x 96. Both give the same, dropout included, up
            to rounding.
        lengths: integers along the first of the leading axes, or the first few: how many keys
            there are, the others being padding, which may hold anything, NaN included.

    Returns:
        (..., queries, value features).

    Raises:
        ShapeError: when the shapes do not fit.
        DtypeError: when the mask is not boolean, or the lengths are not integers.
        ValueError: when a length is negative or beyond the keys.
        TypeError: for PyTorch's names of masks, with what to write instead.

    >>> q = k = np.zeros((2, 1)); v = np.array([[1.0], [3.0]])
    >>> scaled_dot_product_attention(q, k, v, causal=True).tolist()
    [[1.0], [2.0]]
    """
    name = "scaled_dot_product_attention"
    refuse_pytorch_names(name, unknown, ADVICE)
    q, k, v, b, masks = _prepared(name, query, key, value, mask, bias, lengths)
    if method is None:
        method = _best_method(q, k, v)
    if method not in METHODS_OF_ATTENTION:
        raise ValueError(
            f"{name}: method must be one of {list(METHODS_OF_ATTENTION)} or None, got {method!r}"
        )
    kept = draw_dropout(name, _scores_shape(q, k), dropout, training, generator)
    attend = METHODS_OF_ATTENTION[method]
    if method == "blockwise" and kernels_kept.get() and result_type(q, k, v, b) in KEPT:
        attend = attention_blockwise.kept_attention
    return attend(q, k, v, b, options=_options(q, masks, causal, scale, kept))


def attention_weights(
    query: Any,
    key: Any,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    scale: float | None = None,
    lengths: Any = None,
    **unknown: Any,
) -> Tensor:
    """softmax(query key^T * scale + bias): what `scaled_dot_product_attention` multiplies with.

    The arguments are those of `scaled_dot_product_attention`. Weights of pairs that the masks
    exclude are 0, and each row of the others adds up to 1.

    Returns:
        (..., queries, keys).
    """
    name = "attention_weights"
    refuse_pytorch_names(name, unknown, ADVICE)
    q, k, _, b, masks = _prepared(name, query, key, key, mask, bias, lengths)
    options = _options(q, masks, causal, scale, None)
    weights = softmax_of_scores(widen(q), widen(k), b, options)
    return cast(Tensor, weights.astype(result_type(q, k, b)))


def draw_dropout(
    name: str,
    scores: tuple[int, ...],
    p: float,
    training: bool,
    generator: "np.random.Generator | None",
) -> AttentionDropout | None:
    """What dropout keeps of weights of this shape; None when it keeps everything.

    Raises:
        ValueError: when `p` is not within 0 to 1.
    """
    check_probabilities(name, p=p)
    choose_generator(generator, name)  # refuses what is none, in evaluation, too
    if not training or not p:
        return None
    *lead, queries, keys = scores
    rows, columns = (
        draw_numbers(generator, "integers", 2**32, size=(*lead, count), dtype=np.uint32, name=name)
        for count in (queries, keys)
    )
    return AttentionDropout(rows, columns, float(p))


def _best_method(q: Tensor, k: Tensor, v: Tensor) -> str:
    """The name of the method that is fastest, or takes much less memory."""
    pairs = q.shape[-2] * k.shape[-2]
    if pairs > LARGEST_PLAIN:
        return "blockwise"
    if pairs <= LARGEST_PLAIN_BESIDE_NATIVE or native_kernel("attention") is None:
        return "plain"
    heads = math.prod(np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2]))
    worth = heads * pairs * (q.shape[-1] + v.shape[-1]) >= WORTH_NATIVE
    return "blockwise" if worth and result_type(q, k, v) in KEPT else "plain"


# -- arguments -------------------------------------------------------------------------------------


def _prepared(
    name: str, query: Any, key: Any, value: Any, mask: Any, bias: Any, lengths: Any
) -> tuple[Tensor, Tensor, Tensor, Any, Masks]:
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
    masks = [] if mask is None else list(mask) if isinstance(mask, tuple) else [mask]
    masks = [_mask(name, one, scores) for one in masks]
    if lengths is not None:
        valid = _valid_keys(name, lengths, k, scores[:-2])
        if type(valid) is not np.ndarray or not valid.all():  # in a trace it is data
            k, v = (where(valid, tensor, 0.0) for tensor in (k, v))
            masks.append(valid.swapaxes(-1, -2))
    b: Any = 0.0
    if bias is not None:
        _, b = as_tensors(name, query=q, bias=bias)
        check_broadcasts(name, "bias", b, scores, SCORES)
    return q, k, v, b, tuple(masks)


def _mask(name: str, mask: Any, scores: tuple[int, ...]) -> PlainArray:
    allowed = as_constant(mask, name, "mask")
    if allowed.dtype != bool:
        raise DtypeError(
            f"{name}: mask must be boolean, True where a query may attend to a key, got "
            f"{describe(allowed)}. Numbers to add to the scores are given as bias=; 0 and 1 "
            "become booleans with astype(bool)."
        )
    check_broadcasts(name, "mask", allowed, scores, SCORES)
    return allowed


def _valid_keys(name: str, lengths: Any, k: Tensor, lead: tuple[int, ...]) -> PlainArray:
    """Which keys are not padding, (..., keys, 1)."""
    keys = k.shape[-2]
    shapes = [lead[:count] for count in range(len(lead) + 1)]
    counts = check_lengths(name, "lengths", lengths, shapes, keys, "key", k)
    valid = np.arange(keys)[:, None] < counts[..., None, None]  # (..., keys, 1)
    return valid.reshape(counts.shape + (1,) * (len(lead) - counts.ndim) + (keys, 1))


def _scores_shape(q: Any, k: Any) -> tuple[int, ...]:
    return (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])


def _options(
    q: Tensor, masks: Masks, causal: bool, scale: float | None, dropout: AttentionDropout | None
) -> AttentionOptions:
    factor = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    return AttentionOptions(masks, bool(causal), factor, dropout, attention_blockwise.BLOCK)
