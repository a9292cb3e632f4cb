"""Reductions that leave NaN out. The derivative with respect to NaN is 0."""

from typing import Any

import numpy as np

from minigrad.ops.cumulative import cumprod, cumsum
from minigrad.ops.elementwise import where
from minigrad.ops.predicates import isnan
from minigrad.ops.reduction import max as max_over
from minigrad.ops.reduction import min as min_over
from minigrad.ops.reduction import prod as prod_over
from minigrad.ops.reduction import sum as sum_over
from minigrad.primitives import primitive
from minigrad.signatures import TensorLike
from minigrad.tensors import Tensor

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]

METHODS = ()

Axis = Any


def nansum(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The sum over `axis` without NaN; 0 where there is nothing else."""
    return sum_over(where(isnan(x), 0, x), axis, keepdims=keepdims)


def nanprod(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The product over `axis` without NaN; 1 where there is nothing else."""
    return prod_over(where(isnan(x), 1, x), axis, keepdims=keepdims)


def _count(x: TensorLike, axis: Axis, dtype: Any) -> Tensor:
    return sum_over(~isnan(x)._array, axis, keepdims=True).astype(dtype)


def _mean(x: TensorLike, axis: Axis) -> Tensor:
    total = nansum(x, axis, keepdims=True)
    return total / _count(x, axis, total.dtype)


def _drop(x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """The axes of length 1 that a reduction over `axis` kept, taken away."""
    return x if keepdims else sum_over(x, axis)


def nanmean(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The mean over `axis` without NaN; NaN where there is nothing else."""
    return _drop(_mean(x, axis), axis, keepdims)


def nanvar(x: TensorLike, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The variance over `axis` without NaN, over the count of the others less `ddof`."""
    distance = where(isnan(x), 0, x - _mean(x, axis))
    freedom = _count(x, axis, distance.dtype) - ddof
    total = sum_over(distance * distance, axis, keepdims=True)
    return _drop(total / where(freedom > 0, freedom, np.nan), axis, keepdims)


def nanstd(x: TensorLike, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The square root of `nanvar`; where it is 0 the gradient is 0, as in `std`."""
    variance = nanvar(x, axis, ddof=ddof, keepdims=keepdims)
    zero = variance == 0
    return where(zero, 0, np.sqrt(where(zero, 1, variance)))


def _extreme(function: Any, x: TensorLike, axis: Axis, keepdims: bool, worst: float) -> Tensor:
    empty = isnan(x)
    y = function(where(empty, worst, x), axis, keepdims=keepdims)
    nothing = empty._array.all(axis=axis, keepdims=keepdims)
    return where(nothing, np.nan, y) if nothing.any() else y


def nanmax(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over `axis` but NaN; NaN where there is none. Ties as in `max`."""
    return _extreme(max_over, x, axis, keepdims, -np.inf)


def nanmin(x: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis` but NaN; NaN where there is none. Ties as in `min`."""
    return _extreme(min_over, x, axis, keepdims, np.inf)


def nancumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumsum` in which NaN counts as 0."""
    return cumsum(where(isnan(x), 0, x), axis, dtype)


def nancumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumprod` in which NaN counts as 1."""
    return cumprod(where(isnan(x), 1, x), axis, dtype)


@primitive(constant=True)
def nanargmax(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first largest element along `axis` but NaN; an error where all are NaN."""
    return np.nanargmax(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def nanargmin(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first smallest element along `axis` but NaN; an error where all are NaN."""
    return np.nanargmin(x, axis=axis, keepdims=keepdims)
