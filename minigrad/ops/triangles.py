"""Triangles and diagonals of matrices."""

from typing import Any

import numpy as np

from minigrad.errors import ShapeError, describe
from minigrad.ops.shape import ravel, source_of
from minigrad.primitives import primitive
from minigrad.tensors import Tensor

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]

METHODS = ("diagonal", "trace", "tril", "triu")

Array = Any


@primitive
def tril(x: Array, /, k: int = 0) -> Array:
    """The lower triangle of the last two axes, zeros above the `k`-th diagonal."""
    return np.tril(x, k)


tril.vjp(x=lambda g, k: np.tril(g, k))


@primitive
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


@primitive(view=True)
def diagonal(x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements with axis2 - axis1 = `offset` of two axes, as a new last axis."""
    return np.diagonal(x, offset, axis1, axis2)


diagonal.vjp(
    x=lambda g, x_shape, offset, axis1, axis2: place_diagonal.generic(
        g, x_shape, offset=offset, axis1=axis1, axis2=axis2
    )
)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum along a diagonal of two axes."""
    return diagonal(x, offset, axis1, axis2).sum(axis=-1)


def diag(x: Any, k: int = 0) -> Tensor:
    """The `k`-th diagonal of a matrix, or a square matrix with a vector on that diagonal.

    Raises:
        ShapeError: when there are neither one nor two axes.
    """
    x = source_of(x, "diag")
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(
            f"diag: needs a vector or a matrix, got {describe(x)}; diagonal takes any axes."
        )
    length = x.shape[0] + abs(k)
    return place_diagonal(x, (length, length), k)


def diagflat(x: Any, k: int = 0) -> Tensor:
    """A square matrix with all elements of `x` on its `k`-th diagonal."""
    return diag(ravel(x), k)


def _last_diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    return diagonal(x, offset, -2, -1)


def _last_trace(x: Any, /, *, offset: int = 0) -> Tensor:
    return trace(x, offset, -2, -1)


NUMPY = {np.linalg.diagonal: _last_diagonal, np.linalg.trace: _last_trace}
