"""Elementwise arithmetic: add, subtract, multiply, divide.

Rules of elementwise operations do not care about broadcasting: the engine sums over the axes along
which an input was repeated.
"""

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.primitives import primitive

__all__ = ["add", "divide", "multiply", "negative", "positive", "subtract"]


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


divide.vjp(x1=lambda g, x2: g / x2, x2=lambda g, y, x2: -g * (y / x2))


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
