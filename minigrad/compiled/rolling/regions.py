"""Where a straight list of values repeats itself.

In a stretch with the period p, equal values read values whose places move by constants from one
step to the next, and so do the offsets of what they read, and whole numbers. So second differences
vanish, and the longest such stretches are found without knowing of the program that made them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.compiled.graph import COUNTED, Value, View

__all__ = ["Region", "find_regions"]

FEWEST = 3  # steps of a loop
_SPACING = 1 << 20  # keeps what is outside of the list apart from what is in it


class Region(NamedTuple):
    """A stretch of `steps` steps of `period` values each, from place `start` on."""

    start: int
    period: int
    steps: int

    @property
    def stop(self) -> int:
        """The place after its last value."""
        return self.start + self.period * self.steps


def find_regions(values: Sequence[Value]) -> list[Region]:
    """The stretches, in order, that do not overlap."""
    if len(values) < 2 * FEWEST:
        return []
    table = _Table(values)
    found: list[Region] = []
    waiting = [(0, len(values))]
    while waiting:
        low, high = waiting.pop()
        best = table.longest(low, high)
        if best is not None:
            found.append(best)
            waiting += [(low, best.start), (best.stop, high)]
    return sorted(found)


class _Table:
    """The list as numbers: what each value is, which places it reads, at which offsets."""

    def __init__(self, values: Sequence[Value]) -> None:
        places = {value: i for i, value in enumerate(values)}
        kinds: dict[Any, int] = {}
        slots = max((len(v.operands) for v in values if v.op != "assemble"), default=1)
        slots = max(slots, 1)
        self.kinds = np.array([kinds.setdefault(_kind(v), len(kinds)) for v in values])
        self.reads = np.zeros((len(values), slots), np.int64)
        self.offsets = np.zeros((len(values), slots), np.int64)
        outside: dict[Any, int] = {}
        for i, value in enumerate(values):
            for slot, operand in enumerate(value.operands[:slots]):
                if isinstance(operand, View):
                    place = places.get(operand.value)
                    if place is None:
                        place = _apart(outside.setdefault(operand.value, len(outside)))
                    self.reads[i, slot], self.offsets[i, slot] = place, operand.offset
                elif value.op in COUNTED and type(operand) is int and abs(operand) < _SPACING:
                    self.reads[i, slot] = _apart(outside.setdefault(int, len(outside)))
                    self.offsets[i, slot] = operand
                else:
                    key = type(operand), repr(operand)
                    self.reads[i, slot] = _apart(outside.setdefault(key, len(outside)))

    def longest(self, low: int, high: int) -> Region | None:
        """The stretch between two places that covers most."""
        best: Region | None = None
        for period in self._periods(low, high):
            region = self._stretch(low, high, period)
            if region is None:
                continue
            if best is None or region.stop - region.start > 1.05 * (best.stop - best.start):
                best = region
        return best

    def _periods(self, low: int, high: int) -> list[int]:
        """Likely periods: common distances between values of one kind."""
        votes: dict[int, int] = {}
        kinds = self.kinds[low:high]
        order = np.argsort(kinds, kind="stable")
        starts = np.flatnonzero(np.diff(kinds[order], prepend=-1))
        for at in np.split(order, starts[1:]):
            for several in range(1, 9):
                if len(at) <= 2 * several:
                    break
                distances, counts = np.unique(at[several:] - at[:-several], return_counts=True)
                distance = int(distances[counts.argmax()])
                votes[distance] = votes.get(distance, 0) + int(counts.max())
        return sorted(sorted(votes, key=lambda period: -votes[period])[:24])

    def _stretch(self, low: int, high: int, period: int) -> Region | None:
        """The longest stretch of a period."""
        if high - low < FEWEST * period:
            return None
        kinds = self.kinds
        start, length = _longest_run(kinds[low : high - period] == kinds[low + period : high])
        if length < (FEWEST - 1) * period:
            return None
        start, stop = low + start, low + start + length + period
        moves = self._moves(start, stop, period)
        steady = (moves[period:] == moves[:-period]).all(axis=1)
        first, length = _longest_run(steady)
        if not length:
            return None
        begin, end = start + first, start + first + length + 2 * period
        earlier = (b for b in range(max(start, begin - period), begin))
        begin = next((b for b in earlier if self._begins(b, begin, period)), begin)
        count = (end - begin) // period
        return Region(begin, period, count) if count >= FEWEST else None

    def _moves(self, start: int, stop: int, period: int) -> NDArray[np.int64]:
        """By what reads and offsets differ from one step to the next."""
        both = np.concatenate([self.reads[start:stop], self.offsets[start:stop]], axis=1)
        moves: NDArray[np.int64] = both[period:] - both[:-period]
        return moves

    def _begins(self, begin: int, steady: int, period: int) -> bool:
        """Whether a first step may begin where reads are not steady yet: what is odd about it are
        only the values that it is given in the place of those of a step before."""
        reads, offsets = self.reads, self.offsets
        for i in range(begin, steady):
            one, two = i + period, i + 2 * period
            odd = (reads[one] - reads[i] != reads[two] - reads[one]) | (
                offsets[one] - offsets[i] != offsets[two] - offsets[one]
            )
            for slot in np.flatnonzero(odd):
                carried = reads[two, slot] - reads[one, slot] == period
                if not carried or not begin <= reads[one, slot] < begin + period:
                    return False
        return True


def _apart(number: int) -> int:
    """A place for what is outside: no three of them are evenly spaced by a period."""
    return -(number * number + 1) * _SPACING


def _longest_run(true: NDArray[np.bool_]) -> tuple[int, int]:
    """The start and the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    longest = int((stops - starts).argmax())
    return int(starts[longest]), int(stops[longest] - starts[longest])


def _kind(value: Value) -> Any:
    """What equal values at two steps share; an operation as it is has no equal."""
    if value.op in ("call", "result", "loop", "stack"):
        return value.number
    return value.op, value.shape, value.dtype, value.options, len(value.operands)
