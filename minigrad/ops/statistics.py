"""Spread, order statistics and weighted means."""

import math
from typing import Any

import numpy as np

from minigrad.errors import ShapeError, describe
from minigrad.ops.elementwise import where
from minigrad.ops.reduction import max as max_over
from minigrad.ops.reduction import mean as mean_over
from minigrad.ops.reduction import min as min_over
from minigrad.ops.reduction import sum as sum_over
from minigrad.ops.shapes import normalize_axes, restore_axes
from minigrad.ops.sorting import argsort
from minigrad.parts import returns_value
from minigrad.primitives import operand, primitive
from minigrad.signatures import TensorLike
from minigrad.tensors import Tensor, wrap

__all__ = ["average", "median", "percentile", "ptp", "quantile", "std", "var"]

METHODS = ("median", "quantile", "std", "var")

Array = Any
Axis = Any


def _freedom(x_shape: tuple[int, ...], axis: Axis, ddof: float, correction: float | None) -> float:
    """The divisor of a variance; NaN where there is none, and so no derivative."""
    count = math.prod(x_shape[a] for a in normalize_axes(axis, len(x_shape)))
    freedom = count - (ddof if correction is None else correction)
    return freedom if freedom > 0 else math.nan


def _delta(ddof: float, correction: float | None) -> float:
    if correction is None:
        return ddof
    if ddof:
        raise ValueError(f"ddof={ddof} and correction={correction} are two names of one number")
    return correction


@primitive
def var(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
) -> Array:
    """The variance over `axis`: the sum of squared distances from the mean, over n - ddof.

    Args:
        x: any shape.
        axis: None for all, an int or a tuple.
        dtype: in which to compute and return it.
        ddof, correction: 0 for the variance of the population, as in NumPy; 1, the default of
            PyTorch, for the unbiased estimate from a sample.
        keepdims: keep the reduced axes with length 1.
    """
    return np.var(x, axis=axis, dtype=dtype, ddof=_delta(ddof, correction), keepdims=keepdims)


def _var_rule(
    g: Array, x: Array, axis: Axis, ddof: float, keepdims: bool, correction: float | None
) -> Array:
    scale = 2 / _freedom(x.shape, axis, ddof, correction)
    distance = x - x.mean(axis=axis, keepdims=True)
    return restore_axes(g * scale, x.shape, axis, keepdims) * distance


var.vjp(x=_var_rule)


@primitive
def std(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
) -> Array:
    """The standard deviation over `axis`, the square root of `var`, with its arguments.

    Where it is 0 the gradient is 0, as in PyTorch.
    """
    return np.std(x, axis=axis, dtype=dtype, ddof=_delta(ddof, correction), keepdims=keepdims)


def _std_rule(
    g: Array, x: Array, y: Array, axis: Axis, ddof: float, keepdims: bool, correction: float | None
) -> Array:
    freedom = _freedom(x.shape, axis, ddof, correction)
    scale = np.where(y == 0, 0, g / np.where(y == 0, 1, y)) / freedom
    distance = x - x.mean(axis=axis, keepdims=True)
    return restore_axes(scale, x.shape, axis, keepdims) * distance


std.vjp(x=_std_rule)


def ptp(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The range of the values over `axis`, max - min ("peak to peak")."""
    return max_over(x, axis, keepdims=keepdims) - min_over(x, axis, keepdims=keepdims)


def average(
    a: TensorLike,
    axis: Axis = None,
    weights: TensorLike = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """The mean over `axis` with weights, which may require grad too.

    Args:
        a: any shape.
        axis: None for all, an int or a tuple.
        weights: of the shape of `a`, or of those of its axes that are reduced; None for equal ones.
        returned: return a pair, the average and the sum of the weights.
        keepdims: keep the reduced axes with length 1.

    Raises:
        ShapeError: when the weights do not fit.
    """
    x = _tensor(a, "average")
    if weights is None:
        y = mean_over(x, axis, keepdims=keepdims)
        return (y, np.full(y.shape, x.size / max(y.size, 1), y.dtype)) if returned else y
    w = _tensor(weights, "average")
    axes = normalize_axes(axis, x.ndim)
    if w.shape != x.shape:
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ShapeError(
                f"average: weights must have the shape of a, {x.shape}, or that of its reduced "
                f"axes, {tuple(x.shape[i] for i in axes)}, got {describe(w)}"
            )
        order = sorted(range(len(axes)), key=lambda i: axes[i])
        w = w.transpose(order).reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])
    total = sum_over(np.broadcast_to(w, x.shape), axis, keepdims=keepdims)
    y = sum_over(x * w, axis, keepdims=keepdims) / total
    return (y, total) if returned else y


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@returns_value
def quantile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The values below which given fractions of the elements over `axis` lie.

    The gradient goes to the elements that the result is interpolated from; of equal ones, to those
    that a stable sort puts there. Slices with NaN give NaN and no gradient.

    Args:
        a: any shape with elements to sort.
        q: fractions in [0, 1], constant, of any shape, which comes first in the result.
        axis: None for all, an int or a tuple.
        method: "linear" interpolates between neighbours; or "lower", "higher", "midpoint",
            "nearest".
        keepdims: keep the reduced axes with length 1.

    Raises:
        ShapeError: for fractions outside of [0, 1], unknown methods, or nothing to sort.
    """
    x = _tensor(a, "quantile")
    fractions = np.asarray(q, np.float64)
    if method not in _METHODS:
        raise ShapeError(f"quantile: method must be one of {', '.join(_METHODS)}, got {method!r}")
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise ShapeError(f"quantile: q must lie in [0, 1] (percentiles in [0, 100]), got {q!r}")
    axes = normalize_axes(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    outer, count = tuple(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axes)
    if not count:
        raise ShapeError(f"quantile: there are no elements over axis={axis} of {describe(x)}")
    rows = x.transpose((*kept, *axes)).reshape((math.prod(outer), count))
    # An operation, though without derivative: a replay with other values finds another order.
    order = argsort(rows.detach(), -1)  # (rows, count)
    position = fractions.reshape(-1) * (count - 1)
    below = np.floor(position)
    weight = position - below
    if method == "midpoint":
        weight = np.where(weight > 0, 0.5, 0)
    elif method != "linear":
        exact = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}[method](position)
        below, weight = exact, np.zeros(len(position))
    low = below.astype(np.intp)
    lines = np.arange(order.shape[0])
    floor = rows[lines, order[:, low].T]  # (fractions, rows)
    y = floor
    if weight.any():
        above = rows[lines, order[:, np.minimum(low + 1, count - 1)].T]
        w = weight[:, None].astype(np.result_type(x.dtype, np.float16))
        # Where the weight is 0 the upper neighbour must not enter: it may be infinite.
        y = floor * (1 - w) + where(w == 0, 0, above) * w
    bad = np.isnan(rows._array).any(axis=-1)
    if bad.any():
        y = where(bad, math.nan, y)
    lengths = tuple(1 if i in axes else n for i, n in enumerate(x.shape)) if keepdims else outer
    return y.reshape((*fractions.shape, *lengths))


def percentile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`quantile` with fractions in percent, from 0 to 100."""
    return quantile(a, np.asarray(q, np.float64) / 100, axis, method=method, keepdims=keepdims)


def median(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The middle value over `axis`; of an even number, the mean of the two middle ones.

    `torch.median` takes the lower of the two instead. The gradient is as in `quantile`.
    """
    return quantile(a, 0.5, axis, method="midpoint", keepdims=keepdims)


def _tensor(x: TensorLike, name: str) -> Tensor:
    return x if isinstance(x, Tensor) else wrap(operand(x, name, "a"), None)
