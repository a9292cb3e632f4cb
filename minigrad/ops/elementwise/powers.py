"""Elementwise powers, roots, exp, log and tanh."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import method
from minigrad.ops.arguments import widen
from minigrad.ops.elementwise.comparisons import _doubled
from minigrad.ops.primitives import primitive

__all__ = [
    "cbrt",
    "exp",
    "float_power",
    "log",
    "pow",
    "power",
    "reciprocal",
    "sqrt",
    "square",
    "tanh",
]


@primitive(method=True)
def exp(x: Array) -> Array:
    """The exponential, elementwise."""
    return np.exp(x)


exp.vjp(x=lambda g, y: g * y)


@primitive(method=True)
def log(x: Array) -> Array:
    """The natural logarithm, elementwise."""
    return np.log(x)


log.vjp(x=lambda g, x: g / x)


@primitive(method=True)
def sqrt(x: Array) -> Array:
    """The square root, elementwise. At 0 the derivative is infinite."""
    return np.sqrt(x)


sqrt.vjp(x=lambda g, y: g / (2 * y))


@primitive(method=True)
def square(x: Array) -> Array:
    """`x * x`, elementwise."""
    return np.square(x)


square.vjp(x=lambda g, x: g * (2 * x))


@primitive
def cbrt(x: Array) -> Array:
    """The real cube root, elementwise, of negative numbers too. At 0 the derivative is infinite."""
    return np.cbrt(x)


cbrt.vjp(x=lambda g, y: g / (3 * y * y))


@primitive(method=True)
def reciprocal(x: Array) -> Array:
    """`1 / x`, elementwise."""
    return np.reciprocal(x)


reciprocal.vjp(x=lambda g, y: -g * y * y)


@primitive(method=True)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent, elementwise."""
    return np.tanh(x)


tanh.vjp(x=lambda g, y: g * (1 - y * y))


def _power_x1(g: Array, x1: Array, x2: Array) -> Array:
    # At x2 = 0 the derivative is 0 even where x1 is 0: x1 ** 0 is constant.
    x1 = widen(x1)  # x1 ** (x2 - 1) may be larger than the derivative, and than float16 holds
    if isinstance(x2, (int, float)):
        return g * (x2 * x1 ** (x2 - 1)) if x2 else g * 0
    x2 = widen(x2)
    return g * np.where(x2 == 0, 0, x2 * x1 ** np.where(x2 == 0, 1, x2 - 1))


def _power_x2(g: Array, x1: Array, y: Array, x2: Array) -> Array:
    # x1 ** x2 * log(x1), with the limit 0 where x1 is 0 and x2 is not negative.
    if isinstance(x1, (int, float)) and x1 > 0:
        return g * (y * math.log(x1))
    at_zero = np.logical_and(x1 == 0, x2 >= 0)
    return g * np.where(at_zero, 0, y * np.log(np.where(at_zero, 1, x1)))


@primitive
def power(x1: Array, x2: Array) -> Array:
    """`x1 ** x2`, elementwise.

    0 ** 0 is 1. There the derivative is 0 with respect to `x1`, and also with respect to `x2`, as
    at every 0 ** x2 with x2 >= 0; so in PyTorch. Where `x1` is negative there is none with respect
    to `x2`: it is NaN.

    Raises:
        ValueError: for an integer to a negative integer power, as NumPy does.
    """
    # The operator takes short cuts for exponents such as 2 and 0.5; of two Python numbers, though,
    # it would make a Python number, or an error at 0 ** -1.
    return x1**x2 if isinstance(x1, np.ndarray) else np.power(x1, x2)


power.vjp(x1=_power_x1, x2=_power_x2)


@primitive
def float_power(x1: Array, x2: Array) -> Array:
    """`x1 ** x2` in float64, whatever the dtypes, as `np.float_power` does.

    Unlike `**`, it takes no short cut by the square root: (-inf) to the power 0.5 is inf.
    """
    return np.float_power(x1, x2)


float_power.vjp(
    x1=lambda g, x1, x2: _power_x1(g, _doubled(x1), _doubled(x2)),
    x2=lambda g, x1, y, x2: _power_x2(g, _doubled(x1), y, _doubled(x2)),
)


pow = method(power, "pow")
