"""The elementwise operations in daily use: arithmetic, exponential, extremes, comparisons.

Rules of elementwise operations do not care about broadcasting: the engine sums over the axes along
which an input was repeated.
"""

import math
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.primitives import primitive

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

METHODS = (
    "absolute",
    "astype",
    "conj",
    "exp",
    "log",
    "maximum",
    "minimum",
    "pow",
    "reciprocal",
    "sign",
    "sqrt",
    "square",
    "tanh",
)  # operations that are methods of Tensor too


@primitive
def add(x: Array, z: Array) -> Array:
    """The sum of `x` and `z`, elementwise."""
    return np.add(x, z)


add.vjp(x=lambda g: g, z=lambda g: g)


@primitive
def subtract(x: Array, z: Array) -> Array:
    """`x - z`, elementwise."""
    return np.subtract(x, z)


subtract.vjp(x=lambda g: g, z=lambda g: -g)


@primitive
def multiply(x: Array, z: Array) -> Array:
    """The product of `x` and `z`, elementwise."""
    return np.multiply(x, z)


multiply.vjp(x=lambda g, z: g * z, z=lambda g, x: g * x)


@primitive
def divide(x: Array, z: Array) -> Array:
    """`x / z`, elementwise."""
    return np.divide(x, z)


divide.vjp(x=lambda g, z: g / z, z=lambda g, y, z: -g * y / z)


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


@primitive
def exp(x: Array) -> Array:
    """The exponential, elementwise."""
    return np.exp(x)


exp.vjp(x=lambda g, y: g * y)


@primitive
def log(x: Array) -> Array:
    """The natural logarithm, elementwise."""
    return np.log(x)


log.vjp(x=lambda g, x: g / x)


@primitive
def sqrt(x: Array) -> Array:
    """The square root, elementwise. At 0 the derivative is infinite."""
    return np.sqrt(x)


sqrt.vjp(x=lambda g, y: g / (2 * y))


@primitive
def square(x: Array) -> Array:
    """`x * x`, elementwise."""
    return np.square(x)


square.vjp(x=lambda g, x: g * (2 * x))


@primitive
def cbrt(x: Array) -> Array:
    """The real cube root, elementwise, of negative numbers too. At 0 the derivative is infinite."""
    return np.cbrt(x)


cbrt.vjp(x=lambda g, y: g / (3 * y * y))


@primitive
def reciprocal(x: Array) -> Array:
    """`1 / x`, elementwise."""
    return np.reciprocal(x)


reciprocal.vjp(x=lambda g, y: -g * y * y)


@primitive
def tanh(x: Array) -> Array:
    """The hyperbolic tangent, elementwise."""
    return np.tanh(x)


tanh.vjp(x=lambda g, y: g * (1 - y * y))


def _power_x(g: Array, x: Array, z: Array) -> Array:
    # At z = 0 the derivative is 0 even where x is 0: x ** 0 is constant.
    if isinstance(z, (int, float)):
        return g * (z * x ** (z - 1)) if z else g * 0
    return g * np.where(z == 0, 0, z * x ** np.where(z == 0, 1, z - 1))


def _power_z(g: Array, x: Array, y: Array, z: Array) -> Array:
    # x ** z * log(x), with the limit 0 where x is 0 and z is not negative.
    if isinstance(x, (int, float)) and x > 0:
        return g * (y * math.log(x))
    at_zero = np.logical_and(x == 0, z >= 0)
    return g * np.where(at_zero, 0, y * np.log(np.where(at_zero, 1, x)))


@primitive
def power(x: Array, z: Array) -> Array:
    """`x ** z`, elementwise.

    0 ** 0 is 1. There the derivative is 0 with respect to `x`, and also with respect to `z`, as at
    every 0 ** z with z >= 0; so in PyTorch. Where `x` is negative there is none with respect
    to `z`: it is NaN.

    Raises:
        ValueError: for an integer to a negative integer power, as NumPy does.
    """
    # The operator takes short cuts for exponents such as 2 and 0.5; of two Python numbers, though,
    # it would make a Python number, or an error at 0 ** -1.
    return x**z if isinstance(x, np.ndarray) else np.power(x, z)


power.vjp(x=_power_x, z=_power_z)


@primitive
def float_power(x: Array, z: Array) -> Array:
    """`x ** z` in float64, whatever the dtypes, as `np.float_power` does.

    Unlike `**`, it takes no short cut by the square root: (-inf) to the power 0.5 is inf.
    """
    return np.float_power(x, z)


def _doubled(x: Array) -> Array:
    """Numbers of at least float64."""
    return x if isinstance(x, (int, float)) else x.astype(np.result_type(x.dtype, np.float64))


float_power.vjp(
    x=lambda g, x, z: _power_x(g, _doubled(x), _doubled(z)),
    z=lambda g, x, y, z: _power_z(g, _doubled(x), y, _doubled(z)),
)


@primitive
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

pow = power


def _larger(g: Array, winner: Array, loser: Array) -> Array:
    # Written with `<`, so that NaN passes the gradient on to both, as in PyTorch.
    return np.where(winner < loser, 0, np.where(winner == loser, g * 0.5, g))


@primitive
def maximum(x: Array, z: Array) -> Array:
    """The larger of `x` and `z`, elementwise; ties split the gradient into halves, as in PyTorch.

    NaN wins, and passes the gradient on to both.
    """
    return np.maximum(x, z)


maximum.vjp(
    x=lambda g, x, z: _larger(g, x, z),
    z=lambda g, x, z: _larger(g, z, x),
)


@primitive
def minimum(x: Array, z: Array) -> Array:
    """The smaller of `x` and `z`, elementwise; ties split the gradient into halves, as in PyTorch.

    NaN wins, and passes the gradient on to both.
    """
    return np.minimum(x, z)


minimum.vjp(
    x=lambda g, x, z: _smaller(g, x, z),
    z=lambda g, x, z: _smaller(g, z, x),
)


def _smaller(g: Array, winner: Array, loser: Array) -> Array:
    return np.where(winner > loser, 0, np.where(winner == loser, g * 0.5, g))


@primitive
def where(condition: Array, x: Array, z: Array, /) -> Array:
    """`x` where `condition` holds and `z` elsewhere."""
    return np.where(condition, x, z)


where.vjp(
    x=lambda g, condition: np.where(condition, g, 0),
    z=lambda g, condition: np.where(condition, 0, g),
)


@primitive
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


@primitive
def conj(x: Array) -> Array:
    """The complex conjugate, elementwise; of real numbers, themselves."""
    return np.conj(x)


conj.vjp(x=lambda g: g)


@primitive(constant=True)
def sign(x: Array) -> Array:
    """-1, 0 or 1: piecewise constant, so nothing is recorded."""
    return np.sign(x)


@primitive(constant=True)
def equal(x: Array, z: Array) -> Array:
    """Whether `x` equals `z`, elementwise."""
    return np.equal(x, z)


@primitive(constant=True)
def not_equal(x: Array, z: Array) -> Array:
    """Whether `x` differs from `z`, elementwise."""
    return np.not_equal(x, z)


@primitive(constant=True)
def less(x: Array, z: Array) -> Array:
    """Whether `x < z`, elementwise."""
    return np.less(x, z)


@primitive(constant=True)
def less_equal(x: Array, z: Array) -> Array:
    """Whether `x <= z`, elementwise."""
    return np.less_equal(x, z)


@primitive(constant=True)
def greater(x: Array, z: Array) -> Array:
    """Whether `x > z`, elementwise."""
    return np.greater(x, z)


@primitive(constant=True)
def greater_equal(x: Array, z: Array) -> Array:
    """Whether `x >= z`, elementwise."""
    return np.greater_equal(x, z)
