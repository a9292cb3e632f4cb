"""The p-norm, which `norm`, `vector_norm` and `matrix_norm` share."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import widen
from minigrad.ops.axis_utils import Axis, normalize_axes, restore_axes
from minigrad.ops.primitives import primitive
from minigrad.restoring import errstate

__all__ = ["p_norm"]


def _root_of_squares(x: Array, axis: Axis) -> Array:
    return np.sqrt((x * x).sum(axis=axis, keepdims=True))


@primitive
def p_norm(x: Array, /, p: float, axis: Axis, keepdims: bool) -> Array:
    """sum(abs(x) ** p) ** (1 / p) over `axis`, for finite p other than 0."""
    x = np.abs(x) if x.dtype.kind == "c" else x
    dtype, x = x.dtype, widen(x)
    if p == 2:
        with errstate(over="ignore", under="ignore"):
            y = _root_of_squares(x, axis)
        limits = np.finfo(y.dtype)
        if not ((y > 2 * math.sqrt(limits.tiny)) & np.isfinite(y)).all():
            # Squares over- or underflowed, or x is 0: once more, scaled by the largest element.
            top = np.abs(x).max(axis=axis, keepdims=True, initial=0)
            top = np.where((top > 0) & np.isfinite(top), top, 1).astype(y.dtype)
            y = _root_of_squares(x / top, axis) * top
    elif p == 1:
        y = np.abs(x).sum(axis=axis, keepdims=True)
    else:
        with errstate(divide="ignore"):  # 0 to a negative power: the norm is 0
            y = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
    y = y.astype(dtype, copy=False)
    return y if keepdims else np.squeeze(y, axis=normalize_axes(axis, x.ndim))


def _p_norm_rule(g: Array, x: Array, y: Array, p: float, axis: Axis, keepdims: bool) -> Array:
    g, y = restore_axes(g, x.shape, axis, keepdims), restore_axes(y, x.shape, axis, keepdims)
    safe = np.where(y == 0, 1, y)
    if p == 2:
        return np.where(y == 0, 0, g) * (x / safe)
    # sign(x) (abs(x) / y) ** (p - 1); 0 where x is 0, also for p < 2, where the power has no
    # second derivative, and for p < 1, where it is infinite itself.
    ratio = np.where(x == 0, 1, np.abs(x)) / safe
    return np.where(y == 0, 0, g * np.where(x == 0, 0, np.sign(x) * ratio ** (p - 1)))


p_norm.vjp(x=_p_norm_rule)
