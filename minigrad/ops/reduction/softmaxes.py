"""Softmax, log_softmax and logsumexp.

Scores may be infinite: -inf stands for an impossible one.
"""

from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike
from minigrad.ops.arguments import as_operand, floating, quiet, widen
from minigrad.ops.axis_utils import Axis, normalize_axes, restore_axes
from minigrad.ops.natives import by_rows
from minigrad.ops.primitives import primitive
from minigrad.restoring import errstate

__all__ = ["log_softmax", "logsumexp", "softmax", "softmin"]


def is_last(axis: Any, x: Array) -> bool:
    """Whether an axis is the last one of an array."""
    return isinstance(axis, int) and axis in (-1, x.ndim - 1)


def shifted(x: Array, axis: Any) -> Array:
    """`x` minus its maximum along `axis`, on arrays.

    Where that is -inf, as it is; where it is +inf, 0 for those that are and -inf for all others.
    """
    return below(x, np.max(x.real, axis=axis, keepdims=True)) if x.size else x


def below(x: Array, top: Array) -> Array:
    """`x` minus its maximum, where that is known; see `shifted`."""
    finite = np.isfinite(top)
    if not finite.all():
        infinite = x.dtype.type(np.inf)
        x = np.where(top == np.inf, np.where(x.real == np.inf, x.dtype.type(0), -infinite), x)
        top = np.where(finite, top, 0)
    return x - top


def log_partition(x: Array, axis: int) -> tuple[Array, Array, Array]:
    """The scores minus their maximum, the exponentials of that, and their sum."""
    if is_last(axis, x):
        found = by_rows("log_partition", x)
        if found is not None:
            difference, e, total = found
            return difference, e, total
    difference = shifted(x, axis)
    e = np.exp(difference)
    return difference, e, e.sum(axis=axis, keepdims=True)


def partition(x: Array, axis: int) -> tuple[Array, Array] | None:
    """The maximum and the sum of exp(x - maximum), where native code makes them at once."""
    return by_rows("partition", x) if is_last(axis, x) else None


def shares(x: Array, top: Array, factor: Array) -> Array:
    """exp(x - top) times a factor for each row."""
    found = by_rows("shares", x, top, np.where(np.isfinite(top), top, top.dtype.type(0)), factor)
    return np.exp(below(x, top)) * factor if found is None else found[0]


@primitive(method=True)
@quiet
def softmax(x: Array, /, axis: Any = -1) -> Array:
    """The softmax exp(x) / sum(exp(x)) along `axis`, without overflow.

    Args:
        x: scores of any shape; -inf stands for an impossible one, of probability 0. Where all are
            -inf, the probabilities and the gradient are 0, and those that are +inf share the
            probability equally; PyTorch gives NaN for both.
        axis: an axis, or a tuple of axes; None for all.
    """
    found = by_rows("softmax", x) if is_last(axis, x) else None
    if found is not None:
        return found[0]
    e = np.exp(shifted(widen(floating(x)), axis))
    total = e.sum(axis=axis, keepdims=True)
    y = e / np.where(total == 0, 1, total)
    return y.astype(x.dtype) if x.dtype == np.float16 else y


def _softmax_rule(g: Array, y: Array, axis: Any) -> Array:
    found = by_rows("softmax_gradient", g, y) if is_last(axis, y) else None
    return found[0] if found else y * (g - (widen(g) * y).sum(axis=axis, keepdims=True))


softmax.vjp(x=_softmax_rule)


def softmin(x: TensorLike, /, axis: Any = -1) -> Tensor:
    """The softmin exp(-x) / sum(exp(-x)) along `axis`: `softmax` of -x.

    >>> softmin(np.array([0.0, np.inf])).tolist()
    [1.0, 0.0]
    """
    return softmax(-as_operand(x, "softmin", "x"), axis)


@primitive(method=True)
@quiet
def log_softmax(x: Array, /, axis: Any = -1) -> Array:
    """The logarithm of `softmax`; computed without overflow.

    Infinite scores are taken as in `softmax`.
    """
    found = by_rows("log_softmax", x) if is_last(axis, x) else None
    if found is not None:
        return found[0]
    difference = shifted(widen(floating(x)), axis)
    total = np.exp(difference).sum(axis=axis, keepdims=True)
    y = difference - np.log(np.where(total == 0, 1, total))
    return y.astype(x.dtype) if x.dtype == np.float16 else y


def _log_softmax_rule(g: Array, y: Array, axis: Any) -> Array:
    found = by_rows("log_softmax_gradient", g, y) if is_last(axis, y) else None
    return found[0] if found else g - np.exp(widen(y)) * widen(g).sum(axis=axis, keepdims=True)


log_softmax.vjp(x=_log_softmax_rule)


@primitive(method=True)
def logsumexp(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`, without overflow.

    The gradient is `softmax`: where all elements are -inf the result is -inf and the gradient 0,
    and elements of +inf share it equally; in PyTorch it is NaN.
    """
    dtype = np.result_type(x, np.float16)  # of integers, what NumPy's own functions return
    x = widen(x.astype(dtype, copy=False))
    top = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with errstate(divide="ignore"):  # log(0) of empty rows
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    y = y.astype(dtype, copy=False)
    return y if keepdims else np.squeeze(y, axis=normalize_axes(axis, x.ndim))


logsumexp.vjp(
    x=lambda g, x, axis, keepdims: (
        restore_axes(g, x.shape, axis, keepdims) * softmax.generic(widen(x), axis)
    )
)
