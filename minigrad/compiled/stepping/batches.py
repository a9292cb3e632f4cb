"""Batches of any size by programs of a fixed number of rows.

A batch is cut into pieces. The last one is filled up by repeating a row, which has no gradient. The
random numbers are those that the batch would draw as a whole.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled.graph import PlainArray
from minigrad.compiled.stepping.rows import FREE, Mixed, Role, row_wise
from minigrad.compiled.trace import Traced
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.ops.randomness import DrawRequest

__all__ = ["OTHER", "PIECE", "Pieces", "Resized", "filled", "resized"]

PIECE: Final = 16
"""The rows of a piece."""

OTHER: Final = PIECE + 1
"""The rows of a second trace, which has to agree with one of a piece but for their number."""


def filled(array: PlainArray, rows: int, axis: int = 0) -> PlainArray:
    """An array with so many rows along an axis: the last of them repeated.

    >>> filled(np.array([1, 2]), 4).tolist()
    [1, 2, 2, 2]
    """
    missing = rows - array.shape[axis]
    if not missing:
        return np.ascontiguousarray(array)
    last = array.take([-1], axis)
    return np.concatenate([array, np.repeat(last, missing, axis)], axis)


class Pieces:
    """A batch as pieces of some rows each; all of it is one piece if that is None.

    Attributes:
        slices: of the batch, one for each piece.
    """

    def __init__(self, batch: int, rows: int | None) -> None:
        self._rows = rows
        size = rows or batch
        self.slices = [slice(i, min(i + size, batch)) for i in range(0, batch, size)]

    def cut(self, array: PlainArray, piece: slice, axis: int, zero: bool = False) -> PlainArray:
        """The rows of a piece, filled up by a repeated row, or by zeros."""
        if self._rows is None:
            return array
        part = array[(slice(None),) * axis + (piece,)]
        missing = self._rows - part.shape[axis]
        if missing and zero:
            widths = [(0, missing if i == axis else 0) for i in range(part.ndim)]
            return np.pad(part, widths)
        return filled(part, self._rows, axis)

    def joined(self, parts: Sequence[PlainArray], axis: int) -> PlainArray:
        """The rows of all pieces, without those that were added."""
        if self._rows is None:
            return parts[0]
        whole = np.concatenate(parts, axis)
        return whole[(slice(None),) * axis + (slice(self.slices[-1].stop),)]


class Resized:
    """Random numbers of a batch of any size, from what batches of two sizes asked for.

    Attributes:
        role: how the numbers depend on the rows.

    Raises:
        Mixed: when what is asked for does not depend on the size in a known way.
    """

    def __init__(
        self, one: DrawRequest, other: DrawRequest, sizes: tuple[int, int], shapes: Sequence[Any]
    ) -> None:
        leaves = [[leaf for _, leaf in labelled_leaves((r.args, r.options))] for r in (one, other)]
        alike = len(leaves[0]) == len(leaves[1]) and one.generator is other.generator
        if not alike or one.method != other.method or sizes[0] == sizes[1]:
            raise Mixed("it draws otherwise in batches of other sizes")
        self._leaves, self._places = leaves[0], []
        for i, (a, b) in enumerate(zip(*leaves, strict=True)):
            if type(a) is int and (a, b) == sizes:
                self._places.append(i)
            elif type(a) is not type(b) or repr(a) != repr(b):
                raise Mixed("it draws otherwise in batches of other sizes")
        self.role: Role = FREE
        if self._places:
            first = tuple(shape[:1] for shape in shapes)
            if first != ((sizes[0],), (sizes[1],)) or shapes[0][1:] != shapes[1][1:]:
                raise Mixed("it draws numbers of which the batch is not the first axis")
            self.role = row_wise()

    def request(self, traced: DrawRequest, batch: int) -> DrawRequest:
        """What a batch asks for in the place of what was traced."""
        leaves = list(self._leaves)
        for place in self._places:
            leaves[place] = batch
        args, options = replace_leaves((traced.args, traced.options), leaves)
        return traced._replace(args=args, options=options)


def resized(one: Traced, other: Traced, sizes: tuple[int, int]) -> list[Resized]:
    """How batches of any size draw, from traces with two.

    Raises:
        Mixed: when that is not known.
    """
    if len(one.draws) != len(other.draws):
        raise Mixed("it draws otherwise in batches of other sizes")
    return [
        Resized(a.request, b.request, sizes, (a.value.shape, b.value.shape))
        for a, b in zip(one.draws, other.draws, strict=True)
    ]
