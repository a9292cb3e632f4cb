"""Order statistics: quantiles, percentiles and medians, with and without NaN."""

import functools
import math
import numbers
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike, method
from minigrad.ops.arguments import as_operand, named, read_constant
from minigrad.ops.axis_utils import Axis, normalize_axes
from minigrad.ops.checks import check_option
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.elementwise.predicates import isnan
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive

__all__ = [
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
]


QUANTILE_METHODS = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)


@method
def quantile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
) -> Tensor:
    """The quantiles over `axis`: the values below which given fractions of the elements lie.

    The gradient goes to the elements that the result is interpolated from; of equal ones, to those
    that a stable sort puts there. Slices with NaN give NaN and no gradient.

    Args:
        a: any shape with elements to sort.
        q: fractions in [0, 1], constant, of any shape, which comes first in the result.
        axis: None for all, an int or a tuple.
        method: how to read between elements: one of NumPy's methods, which are those of Hyndman
            and Fan, "Sample quantiles in statistical packages", The American Statistician 50
            (1996), and "lower", "higher", "midpoint" and "nearest".
        keepdims: keep the reduced axes with length 1.
        weights: how much each element counts, constant, in the shape of `a` or along the one
            `axis`; with the method "inverted_cdf" only.

    Returns:
        A tensor of the dtype that NumPy gives.

    Raises:
        ValueError: for fractions outside of [0, 1] or unknown methods.
        ShapeError: for nothing to sort, or weights that do not fit.
        DetachError: when `q` or the weights require grad.
    """
    return _quantile("quantile", a, q, axis, method, keepdims, weights)


def percentile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
) -> Tensor:
    """`quantile` with fractions in percent, from 0 to 100."""
    return _quantile("percentile", a, q, axis, method, keepdims, weights)


@method
def median(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The middle value over `axis`; of an even number, the mean of the two middle ones.

    `torch.median` takes the lower of the two instead. The gradient is as in `quantile`.
    """
    return _quantile("median", a, None, axis, "midpoint", keepdims)


def nanquantile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
) -> Tensor:
    """`quantile` that ignores NaN; NaN where there is none."""
    return _quantile("nanquantile", a, q, axis, method, keepdims, weights)


def nanpercentile(
    a: TensorLike,
    q: Any,
    axis: Axis = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    weights: Any = None,
) -> Tensor:
    """`percentile` that ignores NaN; NaN where there is none."""
    return _quantile("nanpercentile", a, q, axis, method, keepdims, weights)


def nanmedian(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """`median` that ignores NaN; NaN where there is none."""
    return _quantile("nanmedian", a, None, axis, "midpoint", keepdims)


@returns_value
def _quantile(
    name: str, a: Any, q: Any, axis: Axis, method: str, keepdims: bool, weights: Any = None
) -> Tensor:
    x = as_operand(a, name, "a")
    check_option("method", method, QUANTILE_METHODS, name)
    if weights is not None and method != "inverted_cdf":
        raise ValueError(
            f'{name}: weights= need method="inverted_cdf", as in NumPy, got {method!r}'
        )
    asked = q if q is None or type(q) in (int, float) else read_constant(q, f"{name}: q")
    if "median" not in name and not _are_numbers(asked):
        raise DtypeError(f"{name}: q must be made of numbers, got {describe(q)}")
    kind: Any = type(q) if asked is q else (asked.dtype, asked.ndim > 0)
    dtype = _result_dtype(name, x.dtype, kind, method)
    shape, fractions = _fractions(name, asked)
    axes = normalize_axes(axis, x.ndim, f"{name}: axis")
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    outer, count = tuple(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axes)
    if not count:
        raise ShapeError(f"{name}: there are no elements over axis={axis} of {describe(x)}")

    def in_rows(values: Any) -> Any:
        return values.transpose((*kept, *axes)).reshape((math.prod(outer), count))

    if weights is not None:
        weights = in_rows(_weights(name, weights, x.shape, axes))
    rows = in_rows(x)
    if rows.dtype != dtype:
        rows = rows.astype(dtype)
    # Where NaN may be left out, a replay may find gaps where there are none now.
    omitting = name.startswith("nan") and x.dtype.kind in "fc"
    # An operation, though without derivative: a replay with other values finds other places.
    below, above, share = quantile_places(rows.detach(), fractions, method, omitting, weights)
    lines = np.arange(rows.shape[0])
    y = rows[lines, below]  # (fractions, rows)
    bad = isnan(share)
    if omitting or bad.any():
        y, share = where(bad, math.nan, y), where(bad, 0, share)
    if omitting or share.any():
        # Where the share is 0 the upper neighbour must not enter: it may be infinite.
        y = y * (1 - share) + where(share == 0, 0, rows[lines, above]) * share
    lengths = tuple(1 if i in axes else n for i, n in enumerate(x.shape)) if keepdims else outer
    result: Tensor = y.reshape((*shape, *lengths))
    return result


def _are_numbers(q: Any) -> bool:
    """Whether `q` holds real numbers; fractions in an array of objects do."""
    array = np.asarray(q)
    if array.dtype.kind == "O":
        return all(isinstance(element, numbers.Real) for element in array.reshape(-1))
    return array.dtype.kind in "biuf"


@functools.cache
def _result_dtype(name: str, dtype: Any, q: Any, method: str) -> np.dtype[Any]:
    """The dtype of NumPy's result, found by asking it about two zeros.

    Args:
        q: NoneType where there is none, int or float, or the dtype of an array and whether it has
            axes.
    """
    theirs, zeros = getattr(np, name), np.zeros(2, dtype)
    if q is type(None):
        return np.asarray(theirs(zeros)).dtype
    one = q(0) if isinstance(q, type) else np.zeros(1, q[0]) if q[1] else q[0].type(0)
    try:
        return np.asarray(theirs(zeros, one, method=method)).dtype
    except TypeError as error:
        raise DtypeError(
            f"{name}: is not defined for dtype {np.dtype(dtype)} with method={method!r}; convert "
            "with astype first"
        ) from error


def _fractions(name: str, q: Any) -> "tuple[tuple[int, ...], np.ndarray[Any, Any]]":
    """The shape of `q`, and the fractions in [0, 1] in one axis."""
    if q is None:
        return (), np.array([0.5])
    percent = name.endswith("percentile")
    fractions = np.asarray(q, np.float64)
    fractions = fractions / 100 if percent else fractions
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise ValueError(f"{name}: q must lie in [0, {100 if percent else 1}], got {describe(q)}")
    return fractions.shape, fractions.reshape(-1)


def _weights(name: str, weights: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Weights in the shape of the array."""
    array = read_constant(weights, f"{name}: weights")
    if array.shape == shape:
        return array
    if len(axes) != 1 or array.shape != (shape[axes[0]],):
        raise ShapeError(
            f"{name}: weights must have the shape {shape} of a, or that of the one axis that is "
            f"reduced, got {describe(array)}"
        )
    column = tuple(-1 if i == axes[0] else 1 for i in range(len(shape)))
    return np.broadcast_to(array.reshape(column), shape)


@primitive(constant=True, outputs=("below", "above", "share"))
@named("quantile_places")
def quantile_places(
    rows: Array,
    /,
    fractions: Any,
    method: str,
    omit_nan: bool,
    weights: Any,
) -> Any:
    """Between which two elements of each row a quantile lies, and its share of the way.

    All (fractions, rows). The share is NaN where the result is.
    """
    count = rows.shape[1]
    order = np.argsort(rows, axis=-1, kind="stable")  # NaN comes last
    missing = np.isnan(rows).sum(axis=-1)
    present = count - missing if omit_nan else np.where(missing, 0, count)
    position = np.zeros((len(fractions), len(rows)))
    if weights is None:
        for number in {*present.tolist()} - {0}:
            position[:, present == number] = _positions(number, fractions, method, None)[:, None]
    else:
        ordered = np.take_along_axis(weights, order, -1)
        for row in np.flatnonzero(present):
            number = present[row]
            position[:, row] = _positions(number, fractions, method, ordered[row, :number])
    below = np.floor(position)
    share = np.where(present, position - below, math.nan)
    if rows.dtype.kind in "fc":
        share = share.astype(rows.real.dtype)
    if omit_nan and not present.all():
        import warnings

        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=2)
    low = below.astype(np.intp)
    high = np.minimum(low + 1, np.maximum(present - 1, 0))
    lines = np.arange(len(rows))
    return order[lines, low], order[lines, high], share


def _positions(count: int, fractions: Any, method: str, weights: Any) -> Any:
    """Where in `count` sorted elements the quantiles are: those of the places themselves."""
    if method in ("linear", "midpoint"):
        exact = (count - 1) * fractions
        return exact if method == "linear" else (np.floor(exact) + np.ceil(exact)) / 2
    options = {} if weights is None else {"weights": weights}
    found: Any = np.quantile(np.arange(float(count)), fractions, method=method, **options)  # type: ignore[call-overload]
    return found
