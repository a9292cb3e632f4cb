"""How a kernel walks over memory: axes put together, long rows cut."""

import math
from collections.abc import Sequence
from typing import Final

from minigrad.compiled.graph import Shape

__all__ = ["Walk"]

_LONG: Final = 8192
_CUTS: Final = (4096, 2048, 1024, 512)


class Walk:
    """A nest of loops over a space that several pointers move through.

    Args:
        space: the lengths of the axes.
        strides: of each pointer, by the axes.
        rows_stay: whether the last axis must remain as it is.

    Attributes:
        lead: the lengths of the outer loops, at least one.
        row: the length of the innermost one.
        strides: of each pointer, by the outer loops and the innermost one.

    >>> walk = Walk((2, 3, 4), [(12, 4, 1), (0, 0, 1)], rows_stay=False)
    >>> walk.lead, walk.row, walk.strides
    ([6], 4, [[4, 1], [0, 1]])
    """

    def __init__(self, space: Shape, strides: Sequence[Shape], rows_stay: bool) -> None:
        lengths = list(space) or [1]
        moves = [list(one) or [0] for one in strides]
        for axis in reversed(range(len(lengths) - rows_stay)):
            if lengths[axis] == 1 and len(lengths) > 1:
                del lengths[axis]
                for one in moves:
                    del one[axis]
        for axis in reversed(range(len(lengths) - 1 - rows_stay)):
            if all(one[axis] == one[axis + 1] * lengths[axis + 1] for one in moves):
                lengths[axis] *= lengths.pop(axis + 1)
                for one in moves:
                    del one[axis]
        if not rows_stay and len(lengths) > 1 and 0 not in lengths:
            _put_long_axis_last(lengths, moves)
        last = lengths[-1]
        if len(lengths) == 1:
            cut = next((cut for cut in _CUTS if last >= _LONG and last % cut == 0), last)
            if rows_stay:
                cut = last
            lengths = [last // cut if cut else 1, cut]
            moves = [[one[0] * cut, one[0]] for one in moves]
        self.lead, self.row, self.strides = lengths[:-1], lengths[-1], moves

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.lead) * self.row


def _put_long_axis_last(lengths: list[int], moves: list[list[int]]) -> None:
    """A short last axis changes places with one along which pointers move as well or better."""

    def cost(axis: int) -> float:
        """Roughly, instructions for each element: gathers are dear, so are vectors half empty."""
        each = sum(1 if one[axis] in (0, 1) else 12 for one in moves)
        return each * (-(-lengths[axis] // 16) * 16) / lengths[axis]

    best = min(reversed(range(len(lengths))), key=cost)
    if cost(best) * 1.5 < cost(len(lengths) - 1):
        for one in (lengths, *moves):
            one.append(one.pop(best))
