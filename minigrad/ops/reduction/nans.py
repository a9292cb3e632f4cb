"""Reductions that ignore NaN: nansum, nanmean, nanmax. The derivative by NaN is 0."""

from typing import Any

import numpy as np

from minigrad.core.tensors import Tensor, TensorLike
from minigrad.ops.axis_utils import Axis, restore_axes
from minigrad.ops.elementwise.comparisons import where as choose
from minigrad.ops.elementwise.predicates import isnan, logical_and, logical_not
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.cumulative import cumprod, cumsum
from minigrad.ops.reduction.reductions import extremum_rule
from minigrad.ops.reduction.reductions import mean as mean_over
from minigrad.ops.reduction.reductions import prod as prod_over
from minigrad.ops.reduction.statistics import std, var
from minigrad.ops.reduction.sums import chosen, read_mask
from minigrad.ops.reduction.sums import sum as sum_over
from minigrad.restoring import errstate

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


@names_its_errors
def nansum(
    x: TensorLike,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Tensor:
    """The sum over `axis` ignoring NaN; 0 where there is nothing else. Arguments as in `sum`."""
    return sum_over(
        choose(isnan(x), 0, x), axis, dtype, keepdims=keepdims, initial=initial, where=where
    )


@names_its_errors
def nanprod(
    x: TensorLike,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Tensor:
    """The product over `axis` ignoring NaN; 1 if there is nothing else. Arguments as in `sum`."""
    return prod_over(
        choose(isnan(x), 1, x), axis, dtype, keepdims=keepdims, initial=initial, where=where
    )


def _numbers(x: TensorLike, where: Any) -> Tensor:
    """Where `x` is a number and `where` holds; computed, so that a replay finds them again."""
    return logical_and(logical_not(isnan(x)), read_mask(where))


@names_its_errors
def nanmean(
    x: TensorLike,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: Any = None,
) -> Tensor:
    """The mean over `axis` ignoring NaN; NaN where there is nothing else. Arguments as in `sum`."""
    with errstate(invalid="ignore"):  # NumPy warns of an empty slice alone
        return mean_over(x, axis, dtype, keepdims=keepdims, where=_numbers(x, where))


@names_its_errors
def nanvar(
    x: TensorLike,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
    where: Any = None,
) -> Tensor:
    """The variance over `axis` without NaN, over the count of the others less `ddof`.

    NaN where that is not above 0. The arguments are those of `var`.
    """
    return _of_numbers(var, x, axis, dtype, ddof, keepdims, correction, where)


@names_its_errors
def nanstd(
    x: TensorLike,
    axis: Axis = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    correction: float | None = None,
    where: Any = None,
) -> Tensor:
    """The square root of `nanvar`; where it is 0 the gradient is 0, as in `std`."""
    return _of_numbers(std, x, axis, dtype, ddof, keepdims, correction, where)


def _of_numbers(
    function: Any,
    x: TensorLike,
    axis: Axis,
    dtype: Any,
    ddof: float,
    keepdims: bool,
    correction: float | None,
    where: Any,
) -> Tensor:
    numbers = _numbers(x, where)
    count = sum_over(numbers, axis, keepdims=keepdims)
    with errstate(divide="ignore", invalid="ignore"):
        y: Tensor = function(
            x,
            axis,
            dtype,
            ddof=ddof,
            keepdims=keepdims,
            correction=correction,
            where=numbers,
        )
    none = count <= (ddof if correction is None else correction)
    return choose(none, np.nan, y) if none.any() else y


def _extremum_of_numbers(
    g: Any, x: Any, y: Any, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Any:
    there = np.isnan(restore_axes(y, x.shape, axis, keepdims))
    rule = extremum_rule(g, x, y, axis, keepdims, initial, where)
    return np.where(there, 0, rule) if there.any() else rule


@primitive
def nanmax(
    x: Any, /, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element over `axis`, ignoring NaN; NaN if all are. Arguments as in `max`."""
    return np.nanmax(x, axis=axis, keepdims=keepdims, **chosen(initial, where))


nanmax.vjp(x=_extremum_of_numbers)


@primitive
def nanmin(
    x: Any, /, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element over `axis`, ignoring NaN; NaN if all are. Arguments as in `min`."""
    return np.nanmin(x, axis=axis, keepdims=keepdims, **chosen(initial, where))


nanmin.vjp(x=_extremum_of_numbers)


@names_its_errors
def nancumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumsum` in which NaN counts as 0."""
    return cumsum(choose(isnan(x), 0, x), axis, dtype)


@names_its_errors
def nancumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """`cumprod` in which NaN counts as 1."""
    return cumprod(choose(isnan(x), 1, x), axis, dtype)


@primitive(constant=True)
def nanargmax(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first largest element along `axis`, ignoring NaN; an error if all are."""
    return np.nanargmax(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def nanargmin(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first smallest element along `axis`, ignoring NaN; an error if all are."""
    return np.nanargmin(x, axis=axis, keepdims=keepdims)
