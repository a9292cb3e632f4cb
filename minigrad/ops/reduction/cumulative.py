"""Cumulative sums and products, differences, and the trapezoidal rule."""

from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike
from minigrad.ops.arguments import as_operand, widen
from minigrad.ops.axis_utils import normalize_axis, whole_number
from minigrad.ops.elementwise.arithmetic import subtract
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.joining import concatenate
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.reductions import divisible
from minigrad.ops.reduction.sums import sum as sum_over

__all__ = [
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "trapezoid",
]


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """The index of a part of one axis, counted from 0."""
    return (slice(None),) * axis + (part,)


def _reversed(x: Array, axis: int) -> Array:
    return x[along(normalize_axis(axis, x.ndim), slice(None, None, -1))]


@primitive(method=True)
def cumsum(x: Array, /, axis: int | None = None, dtype: Any = None) -> Array:
    """The cumulative sum along `axis`; with None, of the flattened array."""
    return x.cumsum(axis=axis, dtype=dtype)


def _cumsum_rule(g: Array, x_shape: tuple[int, ...], axis: int | None) -> Array:
    k = 0 if axis is None else axis
    return _reversed(cumsum.generic(_reversed(widen(g), k), k), k).reshape(x_shape)


cumsum.vjp(x=_cumsum_rule)


def _shifted(x: Array, axis: int, steps: int, fill: float) -> Array:
    """Each element replaced by the one `steps` further on; `fill` past the end."""
    part = x[along(axis, slice(steps, None))]
    shape = list(x.shape)
    shape[axis] = min(steps, shape[axis])
    return np.concatenate([part, np.full(shape, fill, x.dtype)], axis=axis)


def solve_backwards(g: Array, factor: Array, axis: int) -> Array:
    """r with r_k = g_k + factor_k r_{k+1} along an axis; the last factor has no effect.

    For all k at once, in log2(n) doublings (Kogge and Stone 1973).
    """
    total, steps = g, 1
    while steps < g.shape[axis]:
        total = total + factor * _shifted(total, axis, steps, 0.0)
        factor = factor * _shifted(factor, axis, steps, 1.0)
        steps *= 2
    return total


def _cumprod_rule(g: Array, x: Array, y: Array, axis: int | None) -> Array:
    """The gradient of cumulative products, exact at zeros.

    dx_k is the product of all before k, times r_k = g_k + x_{k+1} r_{k+1}: what g_k and all after
    it bring. Without zeros it is sum_{i >= k} g_i y_i / x_k.
    """
    shape, k = x.shape, 0
    if axis is None:
        x = x.reshape((-1,))
    else:
        k = normalize_axis(axis, x.ndim)
    if divisible(y * y):  # so that g y is within the range for all but extreme g, too
        return (_reversed(cumsum.generic(_reversed(widen(g) * y, k), k), k) / x).reshape(shape)
    length = x.shape[k]
    ones = np.ones([1 if a == k else n for a, n in enumerate(x.shape)], x.dtype)
    before = np.concatenate([ones, y[along(k, slice(0, length - 1))]], axis=k)
    return (before * solve_backwards(widen(g), _shifted(x, k, 1, 1.0), k)).reshape(shape)


@primitive(method=True)
def cumprod(x: Array, /, axis: int | None = None, dtype: Any = None) -> Array:
    """The cumulative product along `axis`; with None, of the flattened array.

    The derivative is exact with any number of zeros, to any order.
    """
    return x.cumprod(axis=axis, dtype=dtype)


cumprod.vjp(x=_cumprod_rule)


def _cumulative(
    function: Any, x: TensorLike, axis: int | None, dtype: Any, include_initial: bool, first: float
) -> Tensor:
    name = f"cumulative_{function.__name__[3:]}"
    tensor = as_operand(x, name)
    tensor = tensor if tensor.ndim else tensor.reshape(1)
    if axis is None:
        if tensor.ndim != 1:
            raise ShapeError(f"{name}: axis= is needed for {describe(tensor)}, of several axes")
        axis = 0
    out: Tensor = function(tensor, axis, dtype)
    if include_initial:
        shape = list(out.shape)
        shape[normalize_axis(axis, out.ndim)] = 1
        out = concatenate([np.full(shape, first, out.dtype), out], axis=axis)
    return out


@names_its_errors
def cumulative_sum(
    x: TensorLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """`cumsum` as in the array API standard: `axis` may be left out for a single axis only.

    Args:
        x: any shape; a number is taken as a vector, as in NumPy.
        axis: along which to add.
        dtype: in which to add.
        include_initial: start with the sum of no elements, 0.

    Raises:
        ShapeError: when the axis is left out and there is not just one.
    """
    return _cumulative(cumsum, x, axis, dtype, include_initial, 0)


@names_its_errors
def cumulative_prod(
    x: TensorLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """`cumprod` as in the array API standard; see `cumulative_sum`."""
    return _cumulative(cumprod, x, axis, dtype, include_initial, 1)


def diff(
    a: TensorLike,
    n: int = 1,
    axis: int = -1,
    prepend: TensorLike = None,
    append: TensorLike = None,
) -> Tensor:
    """The differences of neighbours along `axis`, taken `n` times.

    Args:
        a: floating or integer, of at least one axis.
        n: how many times; 0 returns `a` as it is, whatever the other arguments say.
        axis: along which.
        prepend, append: what to put before and after `a` first; a number, or an array that fits.
            As in NumPy, it takes part in the dtype as an array does: 1 is int64, 1.0 float64.

    Raises:
        ValueError: for a negative `n`.
        AxisError: for an `a` without such an axis.
    """
    x = as_operand(a, "diff", "a")
    n = whole_number(n, "diff: n", 0)
    if not n:
        return x
    k = normalize_axis(axis, x.ndim, "diff: axis")
    parts: list[TensorLike] = [x]
    for extra, first in ((prepend, True), (append, False)):
        if extra is not None:
            extra = extra if isinstance(extra, Tensor) else np.asarray(extra)
            extra = as_operand(extra, "diff", "prepend" if first else "append")
            if not extra.ndim:
                extra = np.broadcast_to(extra, [1 if i == k else s for i, s in enumerate(x.shape)])
            parts = [extra, *parts] if first else [*parts, extra]
    if len(parts) > 1:
        x = concatenate(parts, axis=k)
    for _ in range(n):
        after, before = x[along(k, slice(1, None))], x[along(k, slice(None, -1))]
        x = after != before if x.dtype == bool else subtract(after, before)
    return x


@names_its_errors
def trapezoid(y: TensorLike, x: TensorLike = None, dx: TensorLike = 1.0, axis: int = -1) -> Tensor:
    """The integral along `axis` by the trapezoidal rule.

    Args:
        y: the values of the integrand.
        x: the places, of one axis as long as that of `y`, or of the shape of `y`; None for evenly
            spaced ones.
        dx: their distance, when `x` is None.
        axis: along which.

    Raises:
        ShapeError: when the shapes do not fit.
    """
    values = as_operand(y, "trapezoid", "y")
    k = normalize_axis(axis, values.ndim, "trapezoid: axis")
    width: TensorLike = dx
    if x is not None:
        places = as_operand(x, "trapezoid")
        width = diff(places, axis=-1 if places.ndim == 1 else k)
        if places.ndim == 1:
            width = width.reshape([-1 if i == k else 1 for i in range(values.ndim)])
    left = values[along(k, slice(None, -1))]
    right = values[along(k, slice(1, None))]
    return sum_over(width * (left + right) * 0.5, axis=k)
