"""Which array looks at the memory of which, and memory that goes back to the system."""

import ctypes
import os

from numpy import ndarray

from minigrad.compiled.graph import PlainArray, Unsupported, Value, View

__all__ = ["axes_in_memory", "give_back", "owner_of", "part_of"]


def owner_of(array: PlainArray) -> PlainArray:
    """The array whose memory an array looks at."""
    while isinstance(array.base, ndarray):
        array = array.base
    return array


def axes_in_memory(array: PlainArray) -> list[int]:
    """The axes of an array in the order in which a copy that keeps it lies in memory."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def part_of(array: PlainArray, base: PlainArray, known: View) -> View | None:
    """The view of an array that looks at the memory of a known one.

    Args:
        array: looks at elements of `base`.
        base: fills its memory without gaps, with its axes in any order; else there is no answer.
        known: what `base` is, perhaps itself a part of a value, of which it is a copy. Then there
            is no answer, either, where axes of the part that do not join were made one.
    """
    order = axes_in_memory(base)
    base = base.transpose(order)
    if not base.flags.c_contiguous or array.dtype != base.dtype:
        return None
    step = base.itemsize
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    if start % step or any(stride % step for stride in array.strides):
        return None
    strides = tuple(stride // step for stride in array.strides)
    copied = Value("input", (), base.shape, base.dtype)
    known = known.seen_through(lambda dummy: dummy.transpose(order))
    seen = View(copied, array.shape, strides, start // step if array.size else 0)
    try:
        offset, strides = seen.within(known.strides)
    except Unsupported:
        return None
    return View(known.value, array.shape, strides, known.offset + offset)


def give_back() -> None:
    """Let the C library return to the system what was freed, where it has a function for that.

    Traces need room as a step of eager training does, in pieces of all sizes. It would stay with
    the process, and beside it the room of the program.
    """
    trim = None if os.name == "nt" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
