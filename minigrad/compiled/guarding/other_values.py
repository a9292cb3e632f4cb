"""Other values of the same kind, for the second trace of a function.

They should be ones that the function takes, too: floats are moved a little and change places,
integers change places, so that ranges stay. What is equal everywhere is changed as little as it
takes to be another value. Equal arguments become unequal ones, so that what is a copy of one is not
taken for a copy of the other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.compiled.graph import PlainArray
from minigrad.compiled.guarding.keys import wrap_like
from minigrad.core.tensors import Tensor
from minigrad.restoring import new_generator

__all__ = ["other_argument", "other_values", "turned_values"]

_AT_ONCE = 1 << 16
"""Elements that are moved at a time, so that large arrays need little room beside them."""


def turned_values(array: PlainArray, number: int = 0) -> PlainArray:
    """The same numbers in the opposite order along every axis.

    For what takes certain numbers alone, as targets of 1 and -1 or labels of which all are ignored;
    a matrix stays symmetric, and positive definite.
    """
    turned = np.empty_like(array)  # in the same order in memory
    turned[...] = array[(slice(None, None, -1),) * array.ndim]
    return turned


def other_values(array: PlainArray, signs: bool = False, number: int = 0) -> PlainArray:
    """An array of the same shape and dtype with other numbers, in the range of the old ones.

    With `signs`, integers that are all equal change their sign instead. The numbers of two
    arguments with the same values tell these apart, as far as their values allow it.

    >>> other_values(np.array([1, 2, 3])).tolist(), other_values(np.array([4, 4])).tolist()
    ([3, 2, 1], [3, 4])
    """
    other = np.empty(array.shape, array.dtype)
    flat = other.reshape(-1)
    if not flat.size:
        return other
    turned = array[(slice(None, None, -1),) * array.ndim].reshape(-1)
    first = (number + (flat.size > 3)) % flat.size
    flat[first:], flat[:first] = turned[: flat.size - first], turned[flat.size - first :]
    if array.dtype.kind in "fc":
        generator = new_generator((flat.size, number))
        parts = [flat[i : i + _AT_ONCE] for i in range(0, flat.size, _AT_ONCE)]
        for part in parts:
            part *= generator.uniform(0.9, 0.99, part.size).astype(part.real.dtype)
        if not flat.any():
            for part in parts:
                part += generator.uniform(0.01, 0.02, part.size).astype(part.real.dtype)
    elif other.tobytes() == array.tobytes():
        i = number % flat.size
        if array.dtype.kind == "b":
            flat[i] = not flat[i]
        elif array.dtype.kind in "iu":
            one = flat[i : i + 1]  # unlike a number, it warns of nothing
            one[:] = -one if signs else one - 1 if one > 0 else one + 1
    ordered = np.empty_like(array)  # in the same order in memory: a reshape may copy, or not
    ordered[...] = other
    return ordered


def other_argument(leaf: Any, change: Callable[[PlainArray], PlainArray]) -> Any:
    """Another tensor or array in the place of an argument; anything else as it is."""
    if isinstance(leaf, Tensor):
        other = wrap_like(leaf, change(leaf._array), None)
        return other.requires_grad_() if leaf.requires_grad else other
    return change(leaf) if isinstance(leaf, np.ndarray) else leaf
