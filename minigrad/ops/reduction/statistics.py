"""Variance, standard deviation, range and weighted average."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike, wrap
from minigrad.ops.arguments import as_operand, widen
from minigrad.ops.axis_utils import Axis, normalize_axes, restore_axes
from minigrad.ops.checks import OptionError
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.reshaping import broadcast_to
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.reductions import count_over
from minigrad.ops.reduction.reductions import max as max_over
from minigrad.ops.reduction.reductions import mean as mean_over
from minigrad.ops.reduction.reductions import min as min_over
from minigrad.ops.reduction.sums import mask_of, masked
from minigrad.ops.reduction.sums import sum as sum_over

__all__ = ["average", "ptp", "std", "var"]


def _freedom(
    x_shape: tuple[int, ...], axis: Axis, ddof: float, correction: float | None, where: Any
) -> Any:
    """The divisor of a variance; NaN where there is none, and so no derivative."""
    freedom = count_over(x_shape, axis, where) - (ddof if correction is None else correction)
    if isinstance(freedom, (int, float)):
        return freedom if freedom > 0 else math.nan
    return np.where(freedom > 0, freedom, math.nan)


def _delta(ddof: float, correction: float | None) -> float:
    for name, value in (("ddof", ddof), ("correction", correction)):
        if value is not None and np.asarray(value).dtype.kind not in "biufc":
            raise DtypeError(f"{name} must be a number, got {describe(value)}")
    if correction is None:
        return ddof
    if ddof:
        raise OptionError(f"ddof={ddof} and correction={correction} are two names of one number")
    return correction


def _of_deviations(function: Any, x: Array, dtype: Any, where: Any, **options: Any) -> Array:
    """np.var or np.std; of float16 in float32, which holds any count of elements."""
    wide = np.float32 if dtype is None and x.dtype == np.float16 else dtype
    y = function(x, dtype=wide, where=mask_of(where), **options)
    return y if wide is dtype else y.astype(x.dtype)


@primitive(method=True)
def var(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
    where: Any = None,
) -> Array:
    """The variance over `axis`: the sum of squared distances from the mean, over n - ddof.

    Args:
        x: any shape.
        axis: None for all, an int or a tuple.
        dtype: in which to compute and return it.
        ddof, correction: 0 for the variance of the population, as in NumPy; 1, the default of
            PyTorch, for the unbiased estimate from a sample.
        keepdims: keep the reduced axes with length 1.
        where: booleans that broadcast to `x`, constant: which elements take part.
    """
    delta = _delta(ddof, correction)
    return _of_deviations(np.var, x, dtype, where, axis=axis, ddof=delta, keepdims=keepdims)


def _distance(x: Array, axis: Axis, where: Any) -> Array:
    """The distances from the mean, of float16 in float32; 0 where `where` leaves elements out."""
    wide = widen(x)
    return masked(wide - wide.mean(axis=axis, keepdims=True, where=mask_of(where)), where)


def _var_rule(
    g: Array,
    x: Array,
    axis: Axis,
    ddof: float,
    keepdims: bool,
    correction: float | None,
    where: Any,
) -> Array:
    scale = 2 / _freedom(x.shape, axis, ddof, correction, where)
    g = restore_axes(widen(g), x.shape, axis, keepdims) * scale
    return masked(g * _distance(x, axis, where), where)


var.vjp(x=_var_rule)


@primitive(method=True)
def std(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
    where: Any = None,
) -> Array:
    """The standard deviation over `axis`, the square root of `var`, with its arguments.

    Where it is 0 the gradient is 0, as in PyTorch.
    """
    delta = _delta(ddof, correction)
    return _of_deviations(np.std, x, dtype, where, axis=axis, ddof=delta, keepdims=keepdims)


def _std_rule(
    g: Array,
    x: Array,
    y: Array,
    axis: Axis,
    ddof: float,
    keepdims: bool,
    correction: float | None,
    where: Any,
) -> Array:
    freedom = _freedom(x.shape, axis, ddof, correction, where)
    level = restore_axes(np.where(y == 0, 0, widen(g)), x.shape, axis, keepdims) / freedom
    spread = restore_axes(np.where(y == 0, 1, widen(y)), x.shape, axis, keepdims)
    return masked(level * (_distance(x, axis, where) / spread), where)


std.vjp(x=_std_rule)


@names_its_errors
def ptp(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The range of the values over `axis`, max - min ("peak to peak")."""
    return max_over(x, axis, keepdims=keepdims) - min_over(x, axis, keepdims=keepdims)


@names_its_errors
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
        ZeroDivisionError: when they add up to 0, as in NumPy.
    """
    x = as_operand(a, "average", "a")
    axes = normalize_axes(axis, x.ndim, "average: axis")
    if weights is None:
        y = mean_over(x, axis, keepdims=keepdims)
        total = wrap(np.full(y.shape, x.size / max(y.size, 1), y.dtype), None)
        return (y, total) if returned else y
    w = as_operand(weights, "average", "weights")
    if w.shape != x.shape:
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ShapeError(
                f"average: weights must have the shape of a, {x.shape}, or that of its reduced "
                f"axes, {tuple(x.shape[i] for i in axes)}, got {describe(w)}"
            )
        order = sorted(range(len(axes)), key=lambda i: axes[i])
        w = w.transpose(order).reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])
    dtype = np.result_type(x.dtype, w.dtype, *([] if x.dtype.kind in "fc" else [np.float64]))
    wide = np.result_type(dtype, np.float32)  # for the sums of float16
    w = broadcast_to(w, x.shape)
    total = sum_over(w, axis, wide, keepdims=keepdims)
    if (total == 0).any():
        raise ZeroDivisionError(f"average: the weights {describe(weights)} add up to 0")
    y = (sum_over(x.astype(wide) * w, axis, keepdims=keepdims) / total).astype(dtype)
    return (y, total.astype(dtype)) if returned else y
