"""Elementwise operations."""

from typing import Any

import numpy as np

from minigrad.primitives import primitive

__all__ = [
    "absolute",
    "add",
    "astype",
    "divide",
    "equal",
    "exp",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "power",
    "relu",
    "sigmoid",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]

METHODS = (
    "exp",
    "log",
    "sqrt",
    "square",
    "tanh",
    "sigmoid",
    "relu",
    "astype",
)  # operations that are methods of Tensor too

Array = Any


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
def tanh(x: Array) -> Array:
    """The hyperbolic tangent, elementwise."""
    return np.tanh(x)


tanh.vjp(x=lambda g, y: g * (1 - y * y))


@primitive
def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)), elementwise; computed without overflow."""
    if np.iscomplexobj(x):
        return 1 / (1 + np.exp(-x))
    half = np.tanh(x * 0.5)
    return half * 0.5 + 0.5


sigmoid.vjp(x=lambda g, y: g * (y * (1 - y)))


@primitive
def relu(x: Array) -> Array:
    """max(x, 0), elementwise; the derivative at 0 is 0, as in PyTorch."""
    return np.maximum(x, 0)


relu.vjp(x=lambda g, y: g * (y > 0))


def _power_x(g: Array, x: Array, z: Array) -> Array:
    # At z = 0 the derivative is 0 even where x is 0: x ** 0 is constant.
    if isinstance(z, (int, float)):
        return g * (z * x ** (z - 1)) if z else g * 0
    return g * np.where(z == 0, 0, z * x ** np.where(z == 0, 1, z - 1))


def _power_z(g: Array, x: Array, y: Array) -> Array:
    # x ** z * log(x), with the limit 0 where x is 0.
    return g * np.where(x == 0, 0, y * np.log(np.where(x == 0, 1, x)))


@primitive
def power(x: Array, z: Array) -> Array:
    """`x ** z`, elementwise; 0 ** 0 is 1, and its derivative with respect to `x` is 0."""
    return np.power(x, z)


power.vjp(x=_power_x, z=_power_z)


@primitive
def absolute(x: Array) -> Array:
    """The absolute value, elementwise; the derivative at 0 is 0."""
    return np.abs(x)


absolute.vjp(x=lambda g, x: g * np.sign(x))


@primitive
def maximum(x: Array, z: Array) -> Array:
    """The larger of `x` and `z`, elementwise; ties split the gradient into halves."""
    return np.maximum(x, z)


maximum.vjp(
    x=lambda g, x, z: g * _share(x, z),
    z=lambda g, x, z: g * _share(z, x),
)


@primitive
def minimum(x: Array, z: Array) -> Array:
    """The smaller of `x` and `z`, elementwise; ties split the gradient into halves."""
    return np.minimum(x, z)


minimum.vjp(
    x=lambda g, x, z: g * _share(z, x),
    z=lambda g, x, z: g * _share(x, z),
)


def _share(winner: Array, loser: Array) -> Array:
    return np.where(winner == loser, 0.5, winner > loser)


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
    return np.asarray(x).astype(dtype)


astype.vjp(x=lambda g: g)


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
