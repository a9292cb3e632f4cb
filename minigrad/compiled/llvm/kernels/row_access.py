"""What a row kernel reads and writes, in which order, and what it keeps in between.

Sums and maxima over rows cut the work on a row into phases: what a phase reads of an earlier one is
computed again if that is cheap, or else kept in a row of scratch. Sums over leading axes add to
memory, which the caller has set to zero.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Shape, Value, View
from minigrad.compiled.llvm.kernels.layouts import Walk
from minigrad.compiled.llvm.planning.fuse import Kernel, Region
from minigrad.compiled.llvm.planning.places import LINE, Place, seen_from
from minigrad.compiled.llvm.vectors.ir import BYTES
from minigrad.compiled.llvm.vectors.memory import memory_kind

__all__ = ["Choice", "PlaceOf", "RowAccess", "Sum"]

_CHEAP: Final = frozenset(
    ("add", "subtract", "multiply", "negative", "copy", "where", "maximum", "minimum")
)
"""What is rather computed twice than stored."""

PlaceOf = Callable[[Value], Place]


@dataclass(frozen=True)
class Sum:
    """A sum of a kernel into memory: the number of its pointer, and the value."""

    pointer: int
    value: Value


@dataclass(frozen=True)
class Choice:
    """Of the integers that count along a row from `first` on, one equals a number of that row.

    Attributes:
        comparison: of both.
        first: of the integers.
        number: of the pointer to what they are compared with.
    """

    comparison: Value
    first: int
    number: int


class RowAccess:
    """The memory that a kernel goes through.

    Args:
        kernel, region: what is computed.
        place_of: where stored values are.
        vector_bytes: of the widest vectors.
        by_rows: whether to walk row by row even where nothing belongs to a row as a whole.

    Attributes:
        places: of its pointers, in order, and `kinds`, of what they point to.
        sums: those that the caller has to set to zero.
        length: of the first axis.
        elements: how many there are in all.
        scratch_bytes: how much room there must be at `%scratch`.
    """

    def __init__(
        self,
        kernel: Kernel,
        region: Region,
        place_of: PlaceOf,
        vector_bytes: int,
        by_rows: bool = False,
    ) -> None:
        self._region, self._place_of = region, place_of
        self._values = kernel.values
        self._members = set(kernel.values)
        self.places: list[Place] = []
        self.kinds: list[str] = []
        self.sums: list[Sum] = []
        self._strides: list[Shape] = []
        self._reads: dict[tuple[Value, int], int] = {}
        self._counted: dict[int, int] = {}
        self._writes: dict[Value, int] = {}
        self._phase: dict[Value, int] = {}
        self._space = kernel.space
        for value in kernel.values:
            self._find_reads(value, value)
            self._find_writes(value)
            self._phase[value] = self._phase_of(value)
        self._kept_in_scratch: dict[Value, int] = {}
        self._kept_in_place: dict[Value, int] = {}
        self.scratch_bytes = 0
        by_rows = by_rows or any(v.op in ROWS or region.is_row(v) for v in kernel.values)
        self._walk = Walk(kernel.space, self._strides, rows_stay=by_rows)
        self.length = self._walk.lead[0]
        self.elements = self._walk.size
        self._along_row = [0] * len(self._walk.lead) + [1]
        self._width = self._choose_width(vector_bytes)
        kept: dict[Value, None] = {}
        for value in kernel.values:
            self._find_kept(value, value, kept)
        self._find_scratch(list(kept))

    def _pointer(self, place: Place, strides: Sequence[int], kind: str) -> int:
        """The number of a pointer; equal ones are one."""
        strides = tuple(strides)
        for number, (other, theirs) in enumerate(zip(self.places, self._strides, strict=True)):
            if other == place and theirs == strides and self.kinds[number] == kind:
                return number
        self.places.append(place)
        self._strides.append(strides)
        self.kinds.append(kind)
        return len(self.places) - 1

    def _in_rows(self, strides: Shape, shape: Shape) -> Shape:
        """Strides over the space, of something that may have one element for each row."""
        if shape == self._space:
            return strides
        return (*strides[:-1], 0)

    def _is_here(self, host: Value, view: View) -> bool:
        return view.value in self._members and self._region.in_registers(host, view)

    def _find_reads(self, value: Value, host: Value) -> None:
        for index, view in enumerate(value.operands):
            if not isinstance(view, View):
                continue
            if self._region.is_inlined(view.value):
                self._find_reads(view.value, host)
            elif not self._is_here(host, view):
                place = seen_from(view, self._place_of(view.value))
                strides = self._in_rows(place.strides, view.shape)
                at = Place(place.base, place.offset, (), place.step, place.slots, place.shift)
                number = self._pointer(at, strides, memory_kind(view.dtype))
                self._reads[value, index] = number
                if view.value.op == "constant" and (start := _counts_from(view)) is not None:
                    self._counted[number] = start

    def _find_writes(self, value: Value) -> None:
        if value not in self._region.stored:
            return
        place, kind = self._place_of(value), memory_kind(value.dtype)
        at = Place(place.base, place.offset, (), place.step, place.slots, place.shift)
        if value.op == "total":
            strides: Shape = (0,) * len(self._space)
        elif value.op == "lead_sum":
            strides = (0,) * value.options[0] + place.strides
        else:
            strides = self._in_rows(place.strides, value.shape)
        self._writes[value] = self._pointer(at, strides, kind)
        if value.op in REDUCTIONS:
            self.sums.append(Sum(self._writes[value], value))

    def _inner(self, value: Value, host: Value) -> list[Value]:
        """The members that a value reads, also through inlined ones."""
        found = []
        for view in value.views:
            if self._region.is_inlined(view.value):
                found += self._inner(view.value, host)
            elif self._is_here(host, view):
                found.append(view.value)
        return found

    def _phase_of(self, value: Value) -> int:
        return max(
            (self._phase[other] + (other.op in ROWS) for other in self._inner(value, value)),
            default=0,
        )

    def _is_row(self, value: Value) -> bool:
        return self._region.is_row(value)

    def _find_kept(self, value: Value, host: Value, kept: dict[Value, None]) -> None:
        for other in self._inner(value, host):
            if self._is_row(other) or self._phase[other] == self._phase[host]:
                continue
            if other in self._writes:
                continue
            if other.op in _CHEAP and not any(
                not self._is_row(inner) for inner in self._inner(other, other)
            ):
                continue
            kept[other] = None

    def _find_scratch(self, kept: list[Value]) -> None:
        """A row of scratch for what is kept, or that row of the result which is written last.

        A long row of scratch takes the room in the cache that the result needs.
        """
        last = max(self._phase.values())
        results = [v for v in self._writes if self._phase[v] == last and v.op in ELEMENTWISE]
        for value in kept:
            number = self._writes[results[-1]] if results else -1
            if (
                results
                and not self._is_row(results[-1])
                and not self._kept_in_place
                and memory_kind(value.dtype) == self.kinds[number]
                and self._walk.strides[number][-1] == 1
                and self._walk.row % self._width == 0  # else the end is computed twice
                and number not in self._reads.values()
            ):
                self._kept_in_place[value] = number
                continue
            self._kept_in_scratch[value] = self.scratch_bytes
            size = self._walk.row * BYTES[memory_kind(value.dtype)]
            self.scratch_bytes += -(-size // LINE) * LINE + LINE  # rows at powers of two collide

    # -- what a phase computes ------------------------------------------------------------------

    def _is_kept(self, value: Value) -> bool:
        return value in self._kept_in_scratch or value in self._kept_in_place

    def _is_there(self, value: Value, now: int) -> bool:
        """Whether a phase before `now` left the row of a value in memory."""
        return self._phase[value] < now and (value in self._writes or self._is_kept(value))

    def _computed(self, wanted: Iterable[Value], now: int) -> list[Value]:
        """The values whose elements a phase computes for those that are wanted, and these."""
        found = dict.fromkeys(wanted)
        waiting = list(found)
        while waiting:
            value = waiting.pop()
            for other in self._inner(value, value):
                if not (other in found or self._is_row(other) or self._is_there(other, now)):
                    found[other] = None
                    waiting.append(other)
        return list(found)

    def _row_conditions(self, computed: Iterable[Value]) -> list[Value]:
        """The comparisons of rows by which elements are chosen."""
        chosen = (self._inner(value, value) for value in computed if value.op == "where")
        found = dict.fromkeys(other for inner in chosen for other in inner)
        return [other for other in found if self._is_row(other) and other.dtype == np.bool_]

    def _comparisons(self, value: Value) -> Iterator[Value]:
        """Those that a value makes by itself."""
        for view in value.views:
            if self._region.is_inlined(view.value):
                yield view.value
                yield from self._comparisons(view.value)

    def _choice_of_one(self, computed: Iterable[Value]) -> Choice | None:
        """The comparison by which a number of each row chooses one element, if it is the only one.

        All of the row can be computed as if nothing were chosen, and the vector around that element
        again: so cross-entropy compares one vector of a row with the class.
        """
        found: dict[Value, Choice] = {}
        for value in computed:
            for comparison in self._comparisons(value):
                pairs = [self._reads.get((comparison, index), -1) for index in (0, 1)]
                for along, number in (pairs, pairs[::-1]):
                    if (
                        comparison.op == "equal"
                        and number >= 0
                        and along in self._counted
                        and self._walk.strides[along] == self._along_row
                        and self._walk.strides[number][-1] == 0
                        and number not in self._writes.values()
                    ):
                        found[comparison] = Choice(comparison, self._counted[along], number)
        return next(iter(found.values())) if len(found) == 1 else None

    def _choose_width(self, vector_bytes: int) -> int:
        """How many elements a vector has: as many as fit, as a row has, or one.

        Vectors shorter than a register of 16 bytes would be computed with lanes of anything.
        Integers that count along a row, or belong to it as a whole, lie in no memory of that
        width: the numbers of classes do not halve the vectors of their scores.
        """
        kinds = [
            kind
            for number, kind in enumerate(self.kinds)
            if not kind.startswith("i")
            or (self._walk.strides[number][-1] and number not in self._counted)
        ]
        kinds += [memory_kind(v.dtype) for v in self._values if not self._is_row(v)]
        sizes = [BYTES[kind] for kind in kinds if kind != "i8"] or [4]
        least = 16 // min(sizes)
        width = max(vector_bytes // max(sizes), least)
        while width > max(self._walk.row, 1):
            width //= 2
        return width if width >= least else 1


def _counts_from(view: View) -> int | None:
    """The first of integers that count up along a row, which need not be read; None for others."""
    if view.dtype.kind != "i" or not view.shape or view.strides[-1] != 1:
        return None
    row = view.value.array.reshape(-1)[view.offset :][: view.shape[-1]]  # type: ignore[union-attr]
    return int(row[0]) if len(row) > 1 and (np.diff(row) == 1).all() else None
