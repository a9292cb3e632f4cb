"""Which array looks at the memory of which, and memory that goes back to the system."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

from numpy import ndarray

from minigrad.compiled.graph import PlainArray, Unsupported, Value, View

__all__ = ["axes_in_memory", "give_back", "give_back_code", "owner_of", "part_of"]

_DONTNEED: Final = 4  # Linux's number for `madvise`


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


def give_back_code() -> None:
    """Let the system have back the pages of LLVM's code, 50 MB, which no program needs to run.

    Linux reads them from their file again when something is compiled next.
    """
    if sys.platform != "linux" or "llvmlite.binding" not in sys.modules:
        return
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is not None:
        for start, size in _code_of("libllvmlite"):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)


def _code_of(name: str) -> list[tuple[int, int]]:
    """Where the code of a shared library lies in memory, mapped from its file: start and size."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        if name in line and line.split()[1] == "r-xp":  # nobody writes there: it is as in the file
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            found.append((start, end - start))
    return found
