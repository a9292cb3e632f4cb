"""Exponentials and logarithms of other bases, and forms that stay exact where those do not."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.primitives import primitive

__all__ = ["exp2", "expm1", "log1p", "log2", "log10", "logaddexp", "logaddexp2"]

METHODS = ("exp2", "expm1", "log1p", "log2", "log10", "logaddexp")


LOG_2 = math.log(2)
LOG_10 = math.log(10)


@primitive
def exp2(x: Array) -> Array:
    """2 ** x, elementwise."""
    return np.exp2(x)


exp2.vjp(x=lambda g, y: g * (y * LOG_2))


@primitive
def expm1(x: Array) -> Array:
    """exp(x) - 1, elementwise, exact near 0."""
    return np.expm1(x)


expm1.vjp(x=lambda g, x: g * np.exp(x))  # y + 1 would lose the digits of a small exponential


@primitive
def log1p(x: Array) -> Array:
    """log(1 + x), elementwise, exact near 0."""
    return np.log1p(x)


log1p.vjp(x=lambda g, x: g / (1 + x))


@primitive
def log2(x: Array) -> Array:
    """The logarithm to base 2, elementwise."""
    return np.log2(x)


log2.vjp(x=lambda g, x: g / (x * LOG_2))


@primitive
def log10(x: Array) -> Array:
    """The logarithm to base 10, elementwise."""
    return np.log10(x)


log10.vjp(x=lambda g, x: g / (x * LOG_10))


def first_share(g: Array, x: Array, z: Array, base: float) -> Array:
    # base ** x / (base ** x + base ** z). The difference of equal infinities is taken as 0, so
    # that two +inf share the gradient; two -inf have no part in the result.
    equal = np.logical_and(x == z, np.isinf(x))
    difference = np.where(equal, 0, z) - np.where(equal, 0, x)
    share = 1 / (1 + np.exp(difference * math.log(base)))
    return np.where(np.logical_and(equal, x < 0), 0, g * share)


@primitive
def logaddexp(x: Array, z: Array) -> Array:
    """log(exp(x) + exp(z)), elementwise, without overflow.

    Where both are -inf the result is -inf and the gradient 0; in PyTorch it is NaN.
    """
    if np.iscomplexobj(x) or np.iscomplexobj(z):
        top = np.maximum(np.real(x), np.real(z))
        return top + np.log(np.exp(x - top) + np.exp(z - top))
    return np.logaddexp(x, z)


logaddexp.vjp(
    x=lambda g, x, z: first_share(g, x, z, math.e),
    z=lambda g, x, z: first_share(g, z, x, math.e),
)


@primitive
def logaddexp2(x: Array, z: Array) -> Array:
    """log2(2 ** x + 2 ** z), elementwise, without overflow; at infinities as `logaddexp`."""
    return np.logaddexp2(x, z)


logaddexp2.vjp(
    x=lambda g, x, z: first_share(g, x, z, 2.0),
    z=lambda g, x, z: first_share(g, z, x, 2.0),
)
