"""Elementwise absolute values, maxima and minima, choices and comparisons."""

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.primitives import primitive

__all__ = [
    "abs",
    "absolute",
    "equal",
    "fabs",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "not_equal",
    "sign",
    "where",
]


def _doubled(x: Array) -> Array:
    """Numbers of at least float64."""
    return x if isinstance(x, (int, float)) else x.astype(np.result_type(x.dtype, np.float64))


@primitive(method=True)
def absolute(x: Array) -> Array:
    """The absolute value, elementwise; the derivative at 0 is 0, as in PyTorch."""
    return np.abs(x)


absolute.vjp(x=lambda g, x: g * np.sign(x))


abs = absolute


@primitive
def fabs(x: Array) -> Array:
    """The absolute value as a floating number, elementwise; the derivative at 0 is 0."""
    return np.abs(x) if x.dtype.kind == "c" else np.fabs(x)


fabs.vjp(x=lambda g, x: g * np.sign(x))


def _larger(g: Array, winner: Array, loser: Array) -> Array:
    # Written with `<`, so that NaN passes the gradient on to both, as in PyTorch.
    return np.where(winner < loser, 0, np.where(winner == loser, g * 0.5, g))


@primitive(method=True)
def maximum(x1: Array, x2: Array) -> Array:
    """The larger of `x1` and `x2`, elementwise; ties halve the gradient, as in PyTorch.

    NaN wins, and passes the gradient on to both.
    """
    return np.maximum(x1, x2)


maximum.vjp(
    x1=lambda g, x1, x2: _larger(g, x1, x2),
    x2=lambda g, x1, x2: _larger(g, x2, x1),
)


@primitive(method=True)
def minimum(x1: Array, x2: Array) -> Array:
    """The smaller of `x1` and `x2`, elementwise; ties halve the gradient, as in PyTorch.

    NaN wins, and passes the gradient on to both.
    """
    return np.minimum(x1, x2)


minimum.vjp(
    x1=lambda g, x1, x2: _smaller(g, x1, x2),
    x2=lambda g, x1, x2: _smaller(g, x2, x1),
)


def _smaller(g: Array, winner: Array, loser: Array) -> Array:
    return np.where(winner > loser, 0, np.where(winner == loser, g * 0.5, g))


@primitive
def where(condition: Array, x1: Array, x2: Array, /) -> Array:
    """`x1` where `condition` holds and `x2` elsewhere."""
    return np.where(condition, x1, x2)


where.vjp(
    x1=lambda g, condition: np.where(condition, g, 0),
    x2=lambda g, condition: np.where(condition, 0, g),
)


@primitive(constant=True, method=True)
def sign(x: Array) -> Array:
    """-1, 0 or 1: piecewise constant, so nothing is recorded."""
    return np.sign(x)


@primitive(constant=True)
def equal(x1: Array, x2: Array) -> Array:
    """Whether `x1` equals `x2`, elementwise."""
    return np.equal(x1, x2)


@primitive(constant=True)
def not_equal(x1: Array, x2: Array) -> Array:
    """Whether `x1` differs from `x2`, elementwise."""
    return np.not_equal(x1, x2)


@primitive(constant=True)
def less(x1: Array, x2: Array) -> Array:
    """Whether `x1 < x2`, elementwise."""
    return np.less(x1, x2)


@primitive(constant=True)
def less_equal(x1: Array, x2: Array) -> Array:
    """Whether `x1 <= x2`, elementwise."""
    return np.less_equal(x1, x2)


@primitive(constant=True)
def greater(x1: Array, x2: Array) -> Array:
    """Whether `x1 > x2`, elementwise."""
    return np.greater(x1, x2)


@primitive(constant=True)
def greater_equal(x1: Array, x2: Array) -> Array:
    """Whether `x1 >= x2`, elementwise."""
    return np.greater_equal(x1, x2)
