"""Triangles, diagonals and traces of matrices."""

import operator
from typing import Any

import numpy as np

from minigrad.core.errors import AxisError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method
from minigrad.ops.arguments import source_of
from minigrad.ops.axis_utils import normalize_axis, whole_number
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.reshaping import ravel
from minigrad.ops.primitives import primitive

__all__ = ["diag", "diag_embed", "diagflat", "diagonal", "trace", "tril", "triu"]


@primitive(method=True)
def tril(x: Array, /, k: int = 0) -> Array:
    """The lower triangle of the last two axes, zeros above the `k`-th diagonal."""
    return np.tril(x, k)


tril.vjp(x=lambda g, k: np.tril(g, k))


@primitive(method=True)
def triu(x: Array, /, k: int = 0) -> Array:
    """The upper triangle of the last two axes, zeros below the `k`-th diagonal."""
    return np.triu(x, k)


triu.vjp(x=lambda g, k: np.triu(g, k))


@primitive
def place_diagonal(
    x: Array, /, shape: tuple[int, ...], offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Array:
    """Zeros of `shape` with `x` on a diagonal, its places along the last axis of `x`."""
    x = np.asarray(x)
    out = np.zeros(shape, x.dtype)
    lanes = np.moveaxis(out, (axis1, axis2), (-2, -1))
    along = np.arange(x.shape[-1])
    lanes[..., along + max(-offset, 0), along + max(offset, 0)] = x
    return out


place_diagonal.vjp(
    x=lambda g, offset, axis1, axis2: np.diagonal(g, offset=offset, axis1=axis1, axis2=axis2)
)


@primitive(view=True, method=True)
def diagonal(x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements with axis2 - axis1 = `offset` of two axes, as a new last axis."""
    return np.diagonal(x, offset, axis1, axis2)


diagonal.vjp(
    x=lambda g, x_shape, offset, axis1, axis2: place_diagonal.generic(
        g, x_shape, offset=offset, axis1=axis1, axis2=axis2
    )
)


@method
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    """The sum along a diagonal of two axes, added up in `dtype`.

    Raises:
        AxisError: for an `x` without such axes.
        ShapeError: when they are one.
    """
    x = source_of(x, "trace")
    offset = whole_number(offset, "trace: offset")
    first = normalize_axis(axis1, x.ndim, "trace: axis1")
    if first == normalize_axis(axis2, x.ndim, "trace: axis2"):
        raise ShapeError(f"trace: axis1 and axis2 must differ, got {axis1} and {axis2}")
    return diagonal(x, offset, axis1, axis2).sum(axis=-1, dtype=dtype)


def diag(x: Any, k: int = 0) -> Tensor:
    """The `k`-th diagonal of a matrix, or a square matrix with a vector on that diagonal.

    Raises:
        ShapeError: when there are neither one nor two axes.
    """
    x, k = source_of(x, "diag"), whole_number(k, "diag: k")
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(
            f"diag: needs a vector or a matrix, got {describe(x)}; diagonal takes any axes."
        )
    length = x.shape[0] + abs(k)
    return place_diagonal(x, (length, length), k)


@names_its_errors
def diagflat(x: Any, k: int = 0) -> Tensor:
    """A square matrix with all elements of `x` on its `k`-th diagonal."""
    return diag(ravel(x), k)


def diag_embed(x: Any, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """Matrices with the last axis of `x` on a diagonal, zeros elsewhere: PyTorch's `diag_embed`.

    Args:
        x: vectors (..., n).
        offset: the diagonal, 0 for the main one, above it if positive.
        axis1, axis2: where the two axes of the matrices stand in the result.

    Returns:
        The axes of `x` but the last, and two of length n + abs(offset).

    Raises:
        AxisError: when `x` has no axis, or the result no such axes.
        ShapeError: when both are one axis.

    >>> diag_embed(np.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    x = source_of(x, "diag_embed")
    if not x.ndim:
        raise AxisError(f"diag_embed: x must have vectors along its last axis, got {describe(x)}")
    first, second = (
        normalize_axis(axis, x.ndim + 1, f"diag_embed: {name}")
        for axis, name in ((axis1, "axis1"), (axis2, "axis2"))
    )
    if first == second:
        raise ShapeError(f"diag_embed: axis1 and axis2 must differ, got {axis1} and {axis2}")
    length = x.shape[-1] + abs(operator.index(offset))
    others = iter(x.shape[:-1])
    shape = tuple(length if i in (first, second) else next(others) for i in range(x.ndim + 1))
    return place_diagonal(x, shape, operator.index(offset), first, second)


def matrix_diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """The diagonal of each matrix (..., m, n), along a new last axis: `np.linalg.diagonal`."""
    return diagonal(x, offset, -2, -1)


def matrix_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum along the diagonal of each matrix (..., m, n): `np.linalg.trace`."""
    return trace(x, offset, -2, -1, dtype)


NUMPY = {np.linalg.diagonal: matrix_diagonal, np.linalg.trace: matrix_trace}
