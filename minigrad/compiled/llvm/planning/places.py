"""Where values are stored, and which of them share memory.

A `Buffer` is a stretch of the workspace, needed from one level of the program to another. When all
are known, `allocate` gives them offsets: buffers that are never needed together may overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from minigrad.compiled.graph import Shape, View

__all__ = ["LINE", "Buffer", "Place", "allocate", "seen_from"]

LINE: Final = 64
"""Bytes of a cache line; every buffer begins at one."""


@dataclass(eq=False)
class Buffer:
    """A stretch of the workspace.

    Attributes:
        bytes: its size.
        first, last: the levels from and to which it is needed.
        inside: the buffer that this one is part of, if it is not part of the workspace itself.
        offset: in bytes, from the beginning of that; set by `allocate`.
    """

    bytes: int
    first: int
    last: int
    inside: "Buffer | None" = None
    offset: int = -1

    @property
    def start(self) -> int:
        """The offset in the workspace, in bytes."""
        return self.offset + (self.inside.start if self.inside else 0)


def allocate(buffers: Iterable[Buffer], start: int = 0) -> int:
    """Give buffers their offsets, the largest first, each as low as it fits; returns the end.

    >>> one, two, three = Buffer(100, 0, 1), Buffer(64, 2, 3), Buffer(10, 1, 2)
    >>> allocate([one, two, three])
    192
    >>> one.offset, two.offset, three.offset
    (0, 0, 128)
    """
    order = sorted(buffers, key=lambda buffer: -buffer.bytes)
    first = np.array([buffer.first for buffer in order])
    last = np.array([buffer.last for buffer in order])
    begins, ends = np.full((2, len(order)), start, np.int64)  # of the buffers that have a place
    for count, buffer in enumerate(order):
        size = _lines(buffer.bytes)
        beside = np.flatnonzero((first[:count] <= buffer.last) & (last[:count] >= buffer.first))
        beside = beside[np.argsort(begins[beside])]
        free = np.maximum.accumulate(np.concatenate([[start], ends[beside]]))  # from there on
        fits = np.flatnonzero(free[:-1] + size <= begins[beside])
        buffer.offset = int(free[fits[0]] if len(fits) else free[-1])
        begins[count], ends[count] = buffer.offset, buffer.offset + size
    return int(ends.max(initial=start))


def _lines(size: int) -> int:
    return -(-max(size, 1) // LINE) * LINE


@dataclass(frozen=True)
class Place:
    """Where the elements of a value are.

    Attributes:
        base: an argument of the program by its number, or a buffer.
        offset: of the first element, in elements.
        strides: by the axes of the value, in elements.
        step: how many elements further they are at each step of the loop around.
        slots: 2 if the values of two steps take turns, so that the step counts modulo 2; 0 else.
        shift: what is added to the number of the step before that.
    """

    base: "int | Buffer"
    offset: int
    strides: Shape
    step: int = 0
    slots: int = 0
    shift: int = 0

    def part(self, offset: int, strides: Shape) -> "Place":
        """Some of these elements."""
        return Place(self.base, self.offset + offset, strides, self.step, self.slots, self.shift)


def seen_from(view: View, place: Place) -> Place:
    """Where the elements of a view are, when those of its value are at a place with gaps.

    Raises:
        Unsupported: the view goes across axes in a way that gaps do not allow.
    """
    return place.part(*view.within(place.strides))
