"""Which array looks at the memory of which."""

from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View

__all__ = ["owner_of", "part_of"]


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
