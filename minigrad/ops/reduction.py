"""Reductions."""

import math
from typing import Any

import numpy as np

from minigrad.ops.shapes import restore_axes
from minigrad.primitives import primitive

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "max",
    "mean",
    "min",
    "sum",
]

METHODS = (
    "sum",
    "mean",
    "max",
    "min",
    "argmax",
    "argmin",
    "all",
    "any",
)  # operations that are methods of Tensor too

Array = Any
Axis = Any


@primitive
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over `axis` (None: all; an int; a tuple)."""
    return np.sum(x, axis=axis, keepdims=keepdims)


sum.vjp(
    x=lambda g, x_shape, axis, keepdims: np.broadcast_to(
        restore_axes(g, x_shape, axis, keepdims), x_shape
    )
)


@primitive
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over `axis`."""
    return np.mean(x, axis=axis, keepdims=keepdims)


mean.vjp(
    x=lambda g, x_shape, axis, keepdims: np.broadcast_to(
        restore_axes(g / (math.prod(x_shape) / (g.size or 1)), x_shape, axis, keepdims), x_shape
    )
)


def _extremum_rule(g: Array, x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    chosen = x == restore_axes(y, x.shape, axis, keepdims)
    count = chosen.sum(axis=axis, keepdims=True).astype(x.dtype)
    return restore_axes(g, x.shape, axis, keepdims) * (chosen / count)


@primitive
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over `axis`; ties share the gradient evenly, as in `torch.amax`."""
    return np.max(x, axis=axis, keepdims=keepdims)


max.vjp(x=_extremum_rule)


@primitive
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; ties share the gradient evenly, as in `torch.amin`."""
    return np.min(x, axis=axis, keepdims=keepdims)


min.vjp(x=_extremum_rule)


@primitive(constant=True)
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest element along `axis`."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest element along `axis`."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are true."""
    return np.all(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element over `axis` is true."""
    return np.any(x, axis=axis, keepdims=keepdims)
