"""The methods of NumPy's ufuncs on tensors: `np.add.reduce`, `np.maximum.accumulate`, `outer`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.core.errors import DtypeError, ShapeError
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_operand, named, read_constant, source_of
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.elementwise import comparisons
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction import accumulating, reductions, sums

__all__ = ["REDUCE_AND_ACCUMULATE", "outer_method"]


def _reducing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction, which is over the first axis unless told otherwise."""

    def reduce(
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        *,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        options = {"dtype": dtype, "initial": initial}
        given = {name: value for name, value in options.items() if value is not None}
        given |= {} if where is True else {"where": where}
        return function(array, axis, keepdims=keepdims, **given)

    return reduce


def _exponentials(ufunc: Any, base: float) -> Callable[..., Any]:
    """The sum of exponentials of a base over an axis, as a logarithm."""
    scale = float(np.log(base))

    def function(
        array: Any, axis: Any, *, keepdims: bool, initial: Any = None, where: Any = True
    ) -> Tensor:
        x = as_operand(array, f"{ufunc.__name__}.reduce", "array")
        x = x.astype(np.result_type(x.dtype, np.float16))
        if where is not True:
            x = comparisons.where(sums.read_mask(where), x, -np.inf)
        if not x.ndim and axis in (0, -1):
            axis = None
        y = ops.logsumexp(x if scale == 1 else x * scale, axis, keepdims=keepdims)
        y = y if scale == 1 else y * (1 / scale)
        start = None if initial is None else sums.starting_value(read_constant(initial, "initial"))
        result: Tensor = y if start is None else getattr(ops, ufunc.__name__)(y, start)
        return result

    return _reducing(function)


def _accumulating(ufunc: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A running result, which is along the first axis unless told otherwise."""

    def accumulate(array: Any, axis: Any = 0, dtype: Any = None) -> Any:
        name = f"np.{ufunc.__name__}.accumulate"
        x = as_operand(array, name, "array")
        if not x.ndim:
            normalize_axis(axis or 0, 1, f"{name}: axis")
            raise DtypeError(f"{name}: a number has no axis to go along; reshape it to (1,)")
        if axis is None:
            if x.ndim > 1:
                raise ShapeError(f"{name}: axis= must name one of {x.ndim} axes, got None")
            axis = 0
        return function(x, axis, **({} if dtype is None else {"dtype": dtype}))

    return accumulate


def _constant(ufunc: Any, method: str) -> Callable[..., Any]:
    """A method of a ufunc of integers or booleans, which carries no gradient."""

    @primitive(constant=True)
    @named(f"{ufunc.__name__}_{method}")
    def constant(x: Any, /, axis: Any = 0, options: Any = None) -> Any:
        return getattr(ufunc, method)(x, axis=axis, **(options or {}))

    if method == "accumulate":
        return _accumulating(ufunc, constant)

    def function(array: Any, axis: Any, **options: Any) -> Tensor:
        if "where" in options:
            options["where"] = sums.read_mask(options["where"])
        return constant(array, axis, options)

    return _reducing(function)


def outer_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Every element of the first array with every element of the second."""

    def outer(a: Any, b: Any, /) -> Any:
        a, b = source_of(a, "outer", "a", b), source_of(b, "outer", "b", a)
        return function(a.reshape((*a.shape, *(1,) * b.ndim)), b)

    return outer


_CONSTANT = (
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
    np.gcd,
    np.lcm,
    np.logical_xor,
)

REDUCE_AND_ACCUMULATE: dict[Any, Callable[..., Any]] = {
    np.add.accumulate: _accumulating(np.add, ops.cumsum),
    np.add.reduce: _reducing(sums.sum),
    np.fmax.reduce: _reducing(ops.nanmax),
    np.fmin.reduce: _reducing(ops.nanmin),
    np.logaddexp.accumulate: _accumulating(np.logaddexp, accumulating.cumulative_logsumexp),
    np.logaddexp.reduce: _exponentials(np.logaddexp, np.e),
    np.logaddexp2.accumulate: _accumulating(np.logaddexp2, accumulating.cumulative_logsumexp2),
    np.logaddexp2.reduce: _exponentials(np.logaddexp2, 2.0),
    np.logical_and.accumulate: _constant(np.logical_and, "accumulate"),
    np.logical_and.reduce: _reducing(reductions.all),
    np.logical_or.accumulate: _constant(np.logical_or, "accumulate"),
    np.logical_or.reduce: _reducing(reductions.any),
    np.maximum.accumulate: _accumulating(np.maximum, accumulating.cumulative_max),
    np.maximum.reduce: _reducing(reductions.max),
    np.minimum.accumulate: _accumulating(np.minimum, accumulating.cumulative_min),
    np.minimum.reduce: _reducing(reductions.min),
    np.multiply.accumulate: _accumulating(np.multiply, ops.cumprod),
    np.multiply.reduce: _reducing(reductions.prod),
    **{ufunc.reduce: _constant(ufunc, "reduce") for ufunc in _CONSTANT},
    **{ufunc.accumulate: _constant(ufunc, "accumulate") for ufunc in _CONSTANT},
}
"""From a method of a ufunc to what runs on tensors."""
