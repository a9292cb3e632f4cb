"""The sum of squares of all gradients, and gradients times a number, by native code."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled.backends import list_builder
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import PlainArray

__all__ = ["contiguous", "is_plain", "scaled", "sum_of_squares"]

_SINGLE: Final = np.dtype(np.float32)
_DOUBLE: Final = np.dtype(np.float64)


def is_plain(array: PlainArray) -> bool:
    """Whether native code can run over an array as it lies in memory."""
    dtype = array.dtype
    return (
        array.__class__ is np.ndarray
        and (dtype is _SINGLE or dtype is _DOUBLE or dtype in (_SINGLE, _DOUBLE))
        and array.flags.c_contiguous
    )


def contiguous(array: PlainArray) -> PlainArray:
    """The array, or a copy that lies in memory in the order of its axes."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def sum_of_squares(arrays: Sequence[PlainArray]) -> float | None:
    """Of all elements, added in float64; None where there is no native code for it."""
    build = list_builder()
    if build is None or not all(map(is_plain, arrays)):
        return None
    return math.fsum(
        _squares(build, dtype)([(a,) for a in arrays if a.dtype == dtype], ())[0]
        for dtype in {array.dtype for array in arrays}
    )


@functools.cache
def _squares(build: Callable[[Recipe], Any], dtype: Any) -> Any:
    steps = ("array", (), dtype.name), ("convert", (0,), "float64"), ("square", (1,), "float64")
    return build(Recipe(steps, (), 2))


def scaled(arrays: Sequence[PlainArray], factor: float) -> list[PlainArray] | None:
    """New arrays, multiplied with a number; None where there is no native code for it."""
    build = list_builder()
    if build is None or not all(map(is_plain, arrays)):
        return None
    made = [np.empty(array.shape, array.dtype) for array in arrays]
    for dtype in {array.dtype for array in arrays}:
        some = [(new, array) for new, array in zip(made, arrays, strict=True) if new.dtype == dtype]
        _times(build, dtype)(some, (factor,))
    return made


@functools.cache
def _times(build: Callable[[Recipe], Any], dtype: Any) -> Any:
    name = dtype.name
    steps = ("array", (), name), ("number", (), name), ("multiply", (0, 1), name)
    return build(Recipe(steps, (2,)))
