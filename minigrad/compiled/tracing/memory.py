"""Which array looks at the memory of which, and memory that goes back to the system."""

import ctypes
import os

from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View

__all__ = ["give_back", "owner_of", "part_of"]


def owner_of(array: PlainArray) -> PlainArray:
    """The array whose memory an array looks at."""
    while isinstance(array.base, ndarray):
        array = array.base
    return array


def part_of(array: PlainArray, base: PlainArray, known: View) -> View | None:
    """The view of an array that looks at the memory of a known contiguous one."""
    if not known.whole or not base.flags.c_contiguous or array.dtype != base.dtype:
        return None
    step = base.itemsize
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    if start % step or any(stride % step for stride in array.strides):
        return None
    strides = tuple(stride // step for stride in array.strides)
    return View(known.value, array.shape, strides, start // step if array.size else 0)


def give_back() -> None:
    """Let the C library return to the system what was freed, where it has a function for that.

    Traces need room as a step of eager training does, in pieces of all sizes. It would stay with
    the process, and beside it the room of the program.
    """
    trim = None if os.name == "nt" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
