"""Elementwise arithmetic, powers, exp and log, absolute values, maxima and comparisons.

Rules of elementwise operations do not care about broadcasting: the engine sums over the axes along
which an input was repeated.
"""

import math
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import method
from minigrad.ops.primitives import primitive

__all__ = [
    "abs",
    "absolute",
    "add",
    "astype",
    "cbrt",
    "conj",
    "divide",
    "equal",
    "exp",
    "fabs",
    "float_power",
    "greater",
    "greater_equal",
    "imag",
    "less",
    "less_equal",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "pow",
    "power",
    "real",
    "reciprocal",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]


@primitive
def add(x1: Array, x2: Array) -> Array:
    """The sum of `x1` and `x2`, elementwise."""
    return np.add(x1, x2)


add.vjp(x1=lambda g: g, x2=lambda g: g)


@primitive
def subtract(x1: Array, x2: Array) -> Array:
    """`x1 - x2`, elementwise."""
    return np.subtract(x1, x2)


subtract.vjp(x1=lambda g: g, x2=lambda g: -g)


@primitive
def multiply(x1: Array, x2: Array) -> Array:
    """The product of `x1` and `x2`, elementwise."""
    return np.multiply(x1, x2)


multiply.vjp(x1=lambda g, x2: g * x2, x2=lambda g, x1: g * x1)


@primitive
def divide(x1: Array, x2: Array) -> Array:
    """`x1 / x2`, elementwise."""
    return np.divide(x1, x2)


divide.vjp(x1=lambda g, x2: g / x2, x2=lambda g, y, x2: -g * y / x2)


@primitive
def negative(x: Array) -> Array:
    """`-x`, elementwise."""
    return np.negative(x)


negative.vjp(x=lambda g: -g)


@primitive
def positive(x: Array) -> Array:
    """`+x`: the same values."""
    return np.positive(x)


positive.vjp(x=lambda g: g)


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
    if isinstance(x2, (int, float)):
        return g * (x2 * x1 ** (x2 - 1)) if x2 else g * 0
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


def _doubled(x: Array) -> Array:
    """Numbers of at least float64."""
    return x if isinstance(x, (int, float)) else x.astype(np.result_type(x.dtype, np.float64))


float_power.vjp(
    x1=lambda g, x1, x2: _power_x1(g, _doubled(x1), _doubled(x2)),
    x2=lambda g, x1, y, x2: _power_x2(g, _doubled(x1), y, _doubled(x2)),
)


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

pow = method(power, "pow")


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


@primitive(method=True)
def astype(x: Array, /, dtype: Any) -> Array:
    """`x` converted to another dtype. To a dtype that is not floating only without grad."""
    if np.dtype(dtype).kind not in "fiubc":
        raise TypeError(f"tensors hold numbers or booleans, not dtype {np.dtype(dtype)}")
    return np.asarray(x).astype(dtype)


astype.vjp(x=lambda g: g)


@primitive(view=True)
def real(x: Array) -> Array:
    """The real part, elementwise; of real numbers, themselves."""
    return np.real(x)


real.vjp(x=lambda g: g)


@primitive(constant=True, part=True)
def imag(x: Array) -> Array:
    """The imaginary part, elementwise; of real numbers, 0."""
    return np.imag(x)


@primitive(method=True)
def conj(x: Array) -> Array:
    """The complex conjugate, elementwise; of real numbers, themselves."""
    return np.conj(x)


conj.vjp(x=lambda g: g)


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
