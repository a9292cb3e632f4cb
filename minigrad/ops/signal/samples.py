"""Functions of samples: interpolation, gradient, convolution, covariance, polynomials."""

import numbers
import warnings
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_operand, named, read_constant
from minigrad.ops.axis_utils import normalize_axes, whole_number
from minigrad.ops.checks import check_option
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.elementwise.powers import sqrt
from minigrad.ops.linalg.products import matmul
from minigrad.ops.manipulation.indexing import slice_axis
from minigrad.ops.manipulation.joining import concatenate, stack
from minigrad.ops.manipulation.reshaping import atleast_2d, flip, ones_like, zeros_like
from minigrad.ops.manipulation.selecting import searchsorted
from minigrad.ops.manipulation.triangles import diagonal
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.cumulative import diff
from minigrad.ops.reduction.reductions import mean
from minigrad.ops.signal.convolution import conv1d
from minigrad.restoring import errstate

__all__ = [
    "convolve",
    "corrcoef",
    "correlate",
    "cov",
    "interp",
    "polyval",
    "vander",
]


def _as_dtype(dtype: Any, x: Tensor) -> Tensor:
    """A tensor converted to at least a dtype, in the way of `np.result_type`."""
    wide = np.result_type(x.dtype, dtype)
    return x if x.dtype == wide else x.astype(wide)


def _vector(value: Any, name: str, argument: str, *others: Any) -> Tensor:
    x = as_operand(value, name, argument, *others)
    if x.ndim != 1 or not x.size:
        raise ShapeError(
            f"{name}: {argument} must have one axis and not be empty, got {describe(x)}"
        )
    return x


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Tensor:
    """Linear interpolation between samples, at `x`, in float64; differentiable by all of them.

    At a sample the derivative with respect to `x` is the slope to its right, at the last one that
    to its left; outside it is 0. NumPy's `period` is not supported: reduce `x` with np.mod.

    Args:
        x: places of any shape.
        xp: the places of the samples, increasing, two or more.
        fp: the values of the samples.
        left, right: values for `x` outside of the samples; None for that of the nearest sample.

    Raises:
        ShapeError: when the samples are not two vectors of one length, two or more, or `xp` does
            not increase.
    """
    # In float64 always, as NumPy does.
    places, values, x = (
        _as_dtype(np.float64, value)
        for value in (
            _vector(xp, "interp", "xp"),
            _vector(fp, "interp", "fp"),
            as_operand(x, "interp", "x"),
        )
    )
    if places.shape != values.shape or places.size < 2:
        raise ShapeError(
            "interp: xp and fp must have one length, two or more, got "
            f"xp: {describe(places)}, fp: {describe(values)}"
        )
    if not (diff(places) > 0).all():
        raise ShapeError("interp: xp must increase; sort xp, and fp by the same np.argsort(xp)")
    found = searchsorted(places.detach(), x.detach(), side="right") - 1
    i = found.clip(0, places.size - 2)
    slope = (values[i + 1] - values[i]) / (places[i + 1] - places[i])
    y = values[i] + slope * (x - places[i])
    y = where(x < places[0], values[0] if left is None else left, y)
    return where(x > places[-1], values[-1] if right is None else right, y)


def sample_gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """``np.gradient``: slopes of samples by central differences, even or not.

    Args:
        f: the samples; at least `edge_order` + 1 along each axis.
        varargs: their distance, or their places, as one constant for all axes or one for each.
        axis: an int or a tuple; None for all axes.
        edge_order: 1 or 2, the order of the differences at both ends.

    Returns:
        One tensor in the shape of `f`, or a tuple of one per axis.

    Raises:
        ShapeError: when there are too few samples, the places do not fit, or an axis comes twice.
        TypeError: for another number of distances.
    """
    f = as_operand(f, "gradient", "f")
    if f.dtype.kind in "iu":
        f = f.astype(np.float64)
    axes = normalize_axes(axis, f.ndim, "gradient: axis")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError(
            f"gradient: needs no distance, one for all axes or one for each of {len(axes)} axes, "
            f"got {len(varargs)}"
        )
    given = varargs or (1.0,)
    spacings = given * len(axes) if len(given) == 1 else given
    slopes = tuple(_slope(f, k, h, edge_order) for k, h in zip(axes, spacings, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    count = f.shape[axis]
    h = read_constant(spacing, "gradient: varargs")
    if h.dtype.kind not in "biuf":
        raise DtypeError(
            f"gradient: varargs, the distance or the places of samples, must be numbers, got "
            f"{describe(spacing)}"
        )
    if count <= edge_order or h.shape not in ((), (count,)):
        raise ShapeError(
            f"gradient: axis {axis} of {describe(f)} needs {edge_order + 1} samples or more, and "
            f"as many places or one distance, got {describe(h)}"
        )
    steps = (np.diff(h) if h.ndim else np.full(count - 1, h)).astype(f.real.dtype)
    column = (-1,) + (1,) * (f.ndim - axis - 1)
    one, two = steps[:-1].reshape(column), steps[1:].reshape(column)
    before, at, after = (slice_axis(f, axis, k, count - 2 + k) for k in range(3))
    inner = (after - before) / (2 * two)
    if h.ndim:  # the parabola through three samples
        inner = (after - at) * (one / (two * (one + two))) + (at - before) * (
            two / (one * (one + two))
        )
    first, last = (
        (slice_axis(f, axis, k, k + 1) - slice_axis(f, axis, k - 1, k)) / step
        for k, step in ((1, steps[0]), (count - 1, steps[-1]))
    )
    if edge_order == 2:  # the slope at the end of the parabola, twice the mean less the inner one
        first = 2 * first - slice_axis(inner, axis, 0, 1)
        last = 2 * last - slice_axis(inner, axis, -1, None)
    return concatenate([first, inner, last], axis=axis)


CONVOLUTION_MODES = ("full", "same", "valid")


def _pair(name: str, a: Any, v: Any, mode: str) -> tuple[Tensor, Tensor]:
    """Two vectors in the dtype that they have together."""
    check_option("mode", mode, CONVOLUTION_MODES, name)
    a, v = _vector(a, name, "a", v), _vector(v, name, "v", a)
    return _as_dtype(v.dtype, a), _as_dtype(a.dtype, v)


@primitive(constant=True)
@named("convolve")
def convolve_integers(x1: Array, x2: Array, /, mode: Any) -> Array:
    return np.convolve(x1, x2, mode)


@returns_value
def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    """The convolution of two vectors: the coefficients of the product of two polynomials.

    Args:
        a, v: vectors of n and m numbers.
        mode: "full" (n + m - 1 numbers), "same" (as many as the longer one, the middle of them) or
            "valid" (those that no border enters).

    Raises:
        ShapeError: when one is not a vector, or is empty.
        ValueError: for another `mode`.
    """
    a, v = _pair("convolve", a, v, mode)
    if a.dtype.kind in "biu":
        return convolve_integers(a, v, mode)
    long, short = (a, v) if a.size >= v.size else (v, a)
    padding = short.size - 1
    full = conv1d(long[None, None], flip(short)[None, None], padding=padding)[0, 0]
    if mode == "full":
        return full
    start, size = (padding // 2, long.size) if mode == "same" else (padding, long.size - padding)
    return full[start : start + size]


def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """The correlation of two vectors, sum over n of a[n + k] * v[n]; see `convolve`."""
    a, v = _pair("correlate", a, v, mode)
    if a.size < v.size:  # as NumPy: the longer one stands, and the result is turned round
        return flip(convolve(v, flip(a), mode))
    return convolve(a, flip(v), mode)


@returns_value
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    *,
    dtype: Any = None,
) -> Tensor:
    """The covariances of variables, estimated from their samples.

    Args:
        m: a variable in each row and a sample in each column; or one variable.
        y: more variables, to be added below.
        rowvar: False for a variable in each column.
        bias: divide by the number of samples n instead of n - 1.
        ddof: divide by n - ddof instead; where that is not above 0, by 0, with a warning, as NumPy.
        dtype: of the result and in which to compute it; None for float64 or more, as in NumPy.

    Returns:
        A matrix (variables, variables); for one variable, its variance.

    Raises:
        ShapeError: for more than two axes.
        ValueError: for a `ddof` that is not an integer.
    """
    return _covariances("cov", m, y, rowvar, bias, ddof, dtype)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Real) and float(value).is_integer()


def _covariances(
    name: str, m: Any, y: Any, rowvar: bool, bias: bool, ddof: int | None, dtype: Any
) -> Tensor:
    if ddof is not None and not _is_whole(ddof):
        raise ValueError(f"{name}: ddof must be an integer, got {ddof!r}")
    groups = [_variables(m, name, "m", rowvar)]
    if y is not None:
        groups.append(_variables(y, name, "y", rowvar))
    wide = np.result_type(np.float64, *(g.dtype for g in groups)) if dtype is None else dtype
    rows = concatenate([g if g.dtype == wide else g.astype(wide) for g in groups])
    freedom = rows.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    if freedom <= 0:
        warnings.warn(f"{name}: degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
    distance = rows - mean(rows, 1, keepdims=True)
    with errstate(divide="ignore", invalid="ignore"):
        share = np.divide(1.0, np.float64(max(freedom, 0)), dtype=rows.real.dtype)
        total: Tensor = matmul(distance, distance.swapaxes(0, 1)) * share
    return total[0, 0] if total.shape == (1, 1) else total


def _variables(value: Any, name: str, argument: str, rowvar: bool) -> Tensor:
    x = as_operand(value, name, argument)
    if x.ndim > 2:
        raise ShapeError(f"{name}: {argument} must have one or two axes, got {describe(x)}")
    rows: Tensor = atleast_2d(x)
    return rows.swapaxes(0, 1) if x.ndim == 2 and not rowvar else rows


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Pearson's correlations of variables; see `cov`."""
    c = _covariances("corrcoef", x, y, rowvar, False, None, dtype)
    if not c.ndim:
        return c / c
    deviation = sqrt(diagonal(c))
    return c / deviation[:, None] / deviation


def polyval(p: Any, x: Any) -> Tensor:
    """A polynomial at `x`, from its coefficients: that of the highest power first (Horner)."""
    coefficients = _vector(p, "polyval", "p")
    x = as_operand(x, "polyval", "x", coefficients)
    y: Tensor = zeros_like(x)
    for i in range(coefficients.size):
        y = y * x + coefficients[i]
    return y


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers 0 to N - 1 of the elements of a vector, those of each one in a row.

    Args:
        x: a vector.
        N: how many powers; None for as many as elements.
        increasing: from power 0 on; else from power N - 1 down.

    Returns:
        A matrix (elements, N), of the dtype that `x` and an integer have together, as in NumPy:
        float64 for float32.
    """
    x = _as_dtype(np.int64, _vector(x, "vander", "x"))
    count = x.size if N is None else whole_number(N, "vander: N", 0)
    powers = [ones_like(x)][:count]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    if not powers:
        return zeros_like(x, shape=(x.size, 0))
    return stack(powers if increasing else powers[::-1], axis=-1)


NUMPY = {np.gradient: sample_gradient}
"""`minigrad.gradient` would be taken for a derivative of functions: it has NumPy's name alone."""
