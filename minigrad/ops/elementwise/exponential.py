"""Exponentials and logarithms to other bases, and their numerically stable forms."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.primitives import primitive

__all__ = ["exp2", "expm1", "log1p", "log2", "log10", "logaddexp", "logaddexp2"]


LOG_2 = math.log(2)
LOG_10 = math.log(10)


@primitive(method=True)
def exp2(x: Array) -> Array:
    """2 ** x, elementwise."""
    return np.exp2(x)


exp2.vjp(x=lambda g, y: g * (y * LOG_2))


@primitive(method=True)
def expm1(x: Array) -> Array:
    """exp(x) - 1, elementwise, exact near 0."""
    return np.expm1(x)


expm1.vjp(x=lambda g, x: g * np.exp(x))  # y + 1 would lose the digits of a small exponential


@primitive(method=True)
def log1p(x: Array) -> Array:
    """log(1 + x), elementwise, exact near 0."""
    return np.log1p(x)


log1p.vjp(x=lambda g, x: g / (1 + x))


@primitive(method=True)
def log2(x: Array) -> Array:
    """The logarithm to base 2, elementwise."""
    return np.log2(x)


log2.vjp(x=lambda g, x: g / (x * LOG_2))


@primitive(method=True)
def log10(x: Array) -> Array:
    """The logarithm to base 10, elementwise."""
    return np.log10(x)


log10.vjp(x=lambda g, x: g / (x * LOG_10))


def first_share(g: Array, x1: Array, x2: Array, base: float) -> Array:
    # base ** x1 / (base ** x1 + base ** x2). The difference of equal infinities is taken as 0, so
    # that two +inf share the gradient; two -inf have no part in the result.
    equal = np.logical_and(x1 == x2, np.isinf(x1))
    difference = np.where(equal, 0, x2) - np.where(equal, 0, x1)
    share = 1 / (1 + np.exp(difference * math.log(base)))
    return np.where(np.logical_and(equal, x1 < 0), 0, g * share)


@primitive(method=True)
def logaddexp(x1: Array, x2: Array) -> Array:
    """log(exp(x1) + exp(x2)), elementwise, without overflow.

    Where both are -inf the result is -inf and the gradient 0; in PyTorch it is NaN.
    """
    if np.iscomplexobj(x1) or np.iscomplexobj(x2):
        top = np.maximum(np.real(x1), np.real(x2))
        return top + np.log(np.exp(x1 - top) + np.exp(x2 - top))
    return np.logaddexp(x1, x2)


logaddexp.vjp(
    x1=lambda g, x1, x2: first_share(g, x1, x2, math.e),
    x2=lambda g, x1, x2: first_share(g, x2, x1, math.e),
)


@primitive
def logaddexp2(x1: Array, x2: Array) -> Array:
    """log2(2 ** x1 + 2 ** x2), elementwise, without overflow; at infinities as `logaddexp`."""
    return np.logaddexp2(x1, x2)


logaddexp2.vjp(
    x1=lambda g, x1, x2: first_share(g, x1, x2, 2.0),
    x2=lambda g, x1, x2: first_share(g, x2, x1, 2.0),
)
