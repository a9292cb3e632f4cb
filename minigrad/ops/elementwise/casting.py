"""Elementwise conversions: dtypes, real and imaginary parts."""

from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.primitives import primitive

__all__ = ["astype", "conj", "imag", "real"]


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
