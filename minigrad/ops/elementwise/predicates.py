"""Piecewise constant operations: rounding, predicates, logic and bits.

Their derivative is 0 wherever it exists, so nothing is recorded: the results do not require grad.
"""

from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError
from minigrad.core.nodes import Array
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import constant_array
from minigrad.ops.elementwise.comparisons import equal
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.primitives import Primitive, primitive

__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
    "around",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "digitize",
    "fix",
    "floor",
    "floor_divide",
    "gcd",
    "invert",
    "isclose",
    "iscomplex",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "lcm",
    "left_shift",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "right_shift",
    "rint",
    "round",
    "signbit",
    "spacing",
    "trunc",
]


def constant(
    function: Any, inputs: int, text: str, method: bool = False, name: str = ""
) -> Primitive[...]:
    """Declare an operation that records nothing, from a NumPy function of one or two arrays."""

    def unary(x: Array) -> Array:
        return function(x)

    def binary(x1: Array, x2: Array) -> Array:
        return function(x1, x2)

    forward: Any = unary if inputs == 1 else binary
    forward.__name__ = forward.__qualname__ = name or function.__name__
    forward.__doc__ = text
    made: Primitive[...] = primitive(constant=True, method=method)(forward)
    return made


floor = constant(np.floor, 1, "The largest integer up to `x`, elementwise.", method=True)
ceil = constant(np.ceil, 1, "The smallest integer from `x` on, elementwise.", method=True)
trunc = constant(np.trunc, 1, "The integer part of `x`, elementwise.", method=True)
# NumPy 2.5 warns of its own `fix`, which is the same.
fix = constant(np.trunc, 1, "The integer part of `x`, elementwise.", name="fix")
rint = constant(np.rint, 1, "The nearest integer, the even one of two, elementwise.")
floor_divide = constant(np.floor_divide, 2, "floor(x1 / x2), elementwise.", method=True)
spacing = constant(np.spacing, 1, "The distance from `x` to the next number, elementwise.")

isnan = constant(np.isnan, 1, "Whether `x` is NaN, elementwise.", method=True)
isinf = constant(np.isinf, 1, "Whether `x` is infinite, elementwise.", method=True)
isfinite = constant(
    np.isfinite, 1, "Whether `x` is neither infinite nor NaN, elementwise.", method=True
)
isposinf = constant(np.isposinf, 1, "Whether `x` is +inf, elementwise.")
isneginf = constant(np.isneginf, 1, "Whether `x` is -inf, elementwise.")
isreal = constant(np.isreal, 1, "Whether the imaginary part of `x` is 0, elementwise.")
iscomplex = constant(np.iscomplex, 1, "Whether the imaginary part of `x` is not 0, elementwise.")
signbit = constant(np.signbit, 1, "Whether the sign is negative, also of -0.0, elementwise.")

logical_and = constant(np.logical_and, 2, "Whether both are true, elementwise.", method=True)
logical_or = constant(np.logical_or, 2, "Whether any of the two is true, elementwise.", method=True)
logical_xor = constant(
    np.logical_xor, 2, "Whether just one of the two is true, elementwise.", method=True
)
logical_not = constant(np.logical_not, 1, "Whether `x` is false, elementwise.", method=True)

bitwise_and = constant(np.bitwise_and, 2, "The bits set in both integers, elementwise.")
bitwise_or = constant(np.bitwise_or, 2, "The bits set in any of two integers, elementwise.")
bitwise_xor = constant(np.bitwise_xor, 2, "The bits set in one of two integers, elementwise.")
invert = constant(np.invert, 1, "The bits not set in an integer, elementwise.")
left_shift = constant(np.left_shift, 2, "The bits of `x1` moved up by `x2`, elementwise.")
right_shift = constant(np.right_shift, 2, "The bits of `x1` moved down by `x2`, elementwise.")

bitwise_count = constant(np.bitwise_count, 1, "How many bits of abs(x) are set, elementwise.")
gcd = constant(np.gcd, 2, "The greatest common divisor of integers, elementwise.")
lcm = constant(np.lcm, 2, "The least common multiple of integers, elementwise.")

bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@primitive(constant=True, method=True)
def round(x: Array, /, decimals: int = 0) -> Array:
    """Rounded to a number of decimals, of two neighbours to the even one, elementwise."""
    return np.round(x, decimals)


around = round


@primitive(constant=True)
def isclose(
    a: Array, b: Array, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Array:
    """Whether abs(a - b) <= atol + rtol * abs(b), elementwise."""
    near, far = constant_array(atol, "atol"), constant_array(rtol, "rtol")
    return np.isclose(a, b, rtol=far, atol=near, equal_nan=equal_nan)


@names_its_errors
def allclose(
    a: TensorLike, b: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere, as a Python bool."""
    return bool(isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan).all())


@primitive(constant=True)
def same(a1: Array, a2: Array, /, equal_nan: bool) -> Array:
    """What `array_equal` computes."""
    return np.array_equal(a1, a2, equal_nan=equal_nan)


def array_equal(a1: TensorLike, a2: TensorLike, equal_nan: bool = False) -> bool:
    """Whether two arrays have one shape and equal elements, as a Python bool."""
    return bool(same(a1, a2, equal_nan))


def array_equiv(a1: TensorLike, a2: TensorLike) -> bool:
    """Whether two arrays broadcast together and have equal elements, as a Python bool."""
    try:
        return bool(equal(a1, a2).all())
    except ShapeError:
        return False


@primitive(constant=True)
def isin(
    element: Array, test_elements: Array, assume_unique: bool = False, invert: bool = False
) -> Array:
    """Whether each element is among the test elements."""
    return np.isin(element, test_elements, assume_unique=assume_unique, invert=invert)


@primitive(constant=True)
def digitize(x: Array, bins: Array, right: bool = False) -> Array:
    """The number of the bin, between neighbours in sorted `bins`, in which each element lies."""
    return np.digitize(x, bins, right)
