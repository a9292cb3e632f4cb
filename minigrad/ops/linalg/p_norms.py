"""The p-norm, which `norm`, `vector_norm` and `matrix_norm` share."""

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import widen
from minigrad.ops.axis_utils import Axis, normalize_axes, restore_axes
from minigrad.ops.primitives import primitive
from minigrad.restoring import errstate

__all__ = ["p_norm"]


def _of_powers(x: Array, p: float, axis: Axis) -> tuple[Array, Array]:
    """The norm, and the sum of powers that it is the root of."""
    if p == 2:
        total = (x * x).sum(axis=axis, keepdims=True)
        return np.sqrt(total), total
    total = (np.abs(x) ** p).sum(axis=axis, keepdims=True)
    return total ** (1 / p), total


def _unit(x: Array, p: float, axis: Axis) -> Array:
    """By what to divide `x`: its largest size or, for p < 0, the smallest, if these are numbers."""
    size = np.abs(x)
    if p > 0:
        unit = size.max(axis=axis, keepdims=True, initial=0)
    else:
        unit = size.min(axis=axis, keepdims=True, initial=np.inf)
    return np.where((unit > 0) & np.isfinite(unit), unit, x.dtype.type(1))


@primitive
def p_norm(x: Array, /, p: float, axis: Axis, keepdims: bool) -> Array:
    """sum(abs(x) ** p) ** (1 / p) over `axis`, for finite p other than 0."""
    x = np.abs(x) if x.dtype.kind == "c" else x
    dtype, x = x.dtype, widen(x)
    if p == 1:
        y = np.abs(x).sum(axis=axis, keepdims=True)
    else:
        # 0 to a negative power is infinite, and the norm is 0.
        with errstate(over="ignore", under="ignore", divide="ignore"):
            y, total = _of_powers(x, p, axis)
        if not ((total > 4 * np.finfo(y.dtype).tiny) & np.isfinite(total)).all():
            # Powers over- or underflowed, or x is 0: once more, scaled.
            unit = _unit(x, p, axis)
            with errstate(divide="ignore"):
                y = _of_powers(x / unit, p, axis)[0] * unit
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
