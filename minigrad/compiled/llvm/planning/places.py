"""Where values are stored, and which of them share memory.

A `Buffer` is a stretch of the workspace, needed from one level of the program to another. When all
are known, `allocate` gives them offsets: buffers that are never needed together may overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from minigrad.compiled.graph import Shape, Unsupported, View, contiguous

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
    shape, natural = view.value.shape, contiguous(view.value.shape)
    if all(a == b or n == 1 for a, b, n in zip(natural, place.strides, shape, strict=True)):
        return place.part(view.offset, view.strides)
    # where the first element is, axis by axis of the value; then along which axis each one goes
    offset, rest = 0, view.offset
    lowest = []
    for length, step, physical in zip(shape, natural, place.strides, strict=True):
        index, rest = divmod(rest, step) if length > 1 else (0, rest)
        offset += index * physical
        lowest.append(index)
    highest = list(lowest)
    strides = []
    for length, stride in zip(view.shape, view.strides, strict=True):
        if length == 1 or stride == 0:
            strides.append(0)
            continue
        for axis, (n, step) in enumerate(zip(shape, natural, strict=True)):
            factor, remainder = divmod(stride, step)
            reach = factor * (length - 1)
            low, high = lowest[axis] + min(reach, 0), highest[axis] + max(reach, 0)
            if n > 1 and remainder == 0 and low >= 0 and high < n:
                lowest[axis], highest[axis] = low, high
                strides.append(factor * place.strides[axis])
                break
        else:
            raise Unsupported("a view across the gaps of its storage")
    return place.part(offset, tuple(strides))
