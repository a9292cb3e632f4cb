"""Trigonometric and hyperbolic functions, their inverses, angles and lengths."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.primitives import primitive

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "hypot",
    "rad2deg",
    "radians",
    "sin",
    "sinh",
    "tan",
]


@primitive(method=True)
def sin(x: Array) -> Array:
    """The sine of an angle in radians, elementwise."""
    return np.sin(x)


sin.vjp(x=lambda g, x: g * np.cos(x))


@primitive(method=True)
def cos(x: Array) -> Array:
    """The cosine of an angle in radians, elementwise."""
    return np.cos(x)


cos.vjp(x=lambda g, x: g * -np.sin(x))


@primitive(method=True)
def tan(x: Array) -> Array:
    """The tangent of an angle in radians, elementwise."""
    return np.tan(x)


tan.vjp(x=lambda g, y: g * (1 + y * y))


@primitive(method=True)
def sinh(x: Array) -> Array:
    """The hyperbolic sine, elementwise."""
    return np.sinh(x)


sinh.vjp(x=lambda g, x: g * np.cosh(x))


@primitive(method=True)
def cosh(x: Array) -> Array:
    """The hyperbolic cosine, elementwise."""
    return np.cosh(x)


cosh.vjp(x=lambda g, x: g * np.sinh(x))

# The rules of the inverses keep their factors apart, (1 - x) (1 + x) for 1 - x * x: near the ends
# of the domain the difference of squares would lose most of its digits.


@primitive(method=True)
def arcsin(x: Array) -> Array:
    """The angle in [-pi / 2, pi / 2] with sine `x`, elementwise. At +-1 the derivative is inf."""
    return np.arcsin(x)


arcsin.vjp(x=lambda g, x: g / np.sqrt((1 - x) * (1 + x)))


@primitive(method=True)
def arccos(x: Array) -> Array:
    """The angle in [0, pi] with cosine `x`, elementwise. At +-1 the derivative is -inf."""
    return np.arccos(x)


arccos.vjp(x=lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))


@primitive(method=True)
def arctan(x: Array) -> Array:
    """The angle in (-pi / 2, pi / 2) with tangent `x`, elementwise."""
    return np.arctan(x)


arctan.vjp(x=lambda g, x: g / (1 + x * x))


@primitive(method=True)
def arcsinh(x: Array) -> Array:
    """The inverse of the hyperbolic sine, elementwise."""
    return np.arcsinh(x)


arcsinh.vjp(x=lambda g, x: g / np.hypot(x, 1))


@primitive(method=True)
def arccosh(x: Array) -> Array:
    """The inverse of the hyperbolic cosine, for x >= 1, elementwise. At 1 the derivative is inf."""
    return np.arccosh(x)


arccosh.vjp(x=lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))


@primitive(method=True)
def arctanh(x: Array) -> Array:
    """The inverse of the hyperbolic tangent, for -1 < x < 1, elementwise."""
    return np.arctanh(x)


arctanh.vjp(x=lambda g, x: g / ((1 - x) * (1 + x)))


@primitive
def deg2rad(x: Array) -> Array:
    """Degrees as radians, elementwise."""
    return np.deg2rad(x)


deg2rad.vjp(x=lambda g: g * (math.pi / 180))


@primitive
def rad2deg(x: Array) -> Array:
    """Radians as degrees, elementwise."""
    return np.rad2deg(x)


rad2deg.vjp(x=lambda g: g * (180 / math.pi))


def _cosine(x: Array, y: Array) -> Array:
    """x / y for a hypotenuse y, and 0, with derivative 0, where that is 0."""
    return np.where(y == 0, 0, x / np.where(y == 0, 1, y))


@primitive
def hypot(x1: Array, x2: Array) -> Array:
    """sqrt(x1 * x1 + x2 * x2), elementwise, without overflow.

    At (0, 0) the gradient is 0, the smallest subgradient, as for a norm; in PyTorch it is NaN.
    """
    return np.hypot(x1, x2)


hypot.vjp(x1=lambda g, x1, y: g * _cosine(x1, y), x2=lambda g, x2, y: g * _cosine(x2, y))


def _arctan2_rule(g: Array, side: Array, x1: Array, x2: Array) -> Array:
    # side / (x1 * x1 + x2 * x2) in two divisions, so that the squares cannot under- or overflow.
    length = np.hypot(x1, x2)
    nowhere = np.logical_or(length == 0, length == np.inf)
    length = np.where(nowhere, 1, length)
    return g * np.where(nowhere, 0, side / length / length)


@primitive(method=True)
def arctan2(x1: Array, x2: Array) -> Array:
    """The angle in [-pi, pi] of the point with ordinate `x1` and abscissa `x2`, elementwise.

    At (0, 0) the gradient is 0, as in PyTorch, and so it is at infinite numbers, the limit.
    """
    return np.arctan2(x1, x2)


arctan2.vjp(
    x1=lambda g, x1, x2: _arctan2_rule(g, x2, x1, x2),
    x2=lambda g, x1, x2: _arctan2_rule(-g, x1, x1, x2),
)

acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh
degrees, radians = rad2deg, deg2rad

NUMPY = {np.degrees: rad2deg, np.radians: deg2rad}
