"""Where values are stored, and which of them share memory.

A `Buffer` is a stretch of the workspace, needed from one level of the program to another. When all
are known, `allocate` gives them offsets: buffers that are never needed together may overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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
    placed: list[Buffer] = []
    end = start
    for buffer in sorted(buffers, key=lambda buffer: -buffer.bytes):
        offset = start
        for other in placed:  # in the order of offsets
            if buffer.first <= other.last and other.first <= buffer.last:
                if offset + _lines(buffer.bytes) <= other.offset:
                    break
                offset = max(offset, other.offset + _lines(other.bytes))
        buffer.offset = offset
        place = next((i for i, b in enumerate(placed) if b.offset > offset), len(placed))
        placed.insert(place, buffer)
        end = max(end, offset + _lines(buffer.bytes))
    return end


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
