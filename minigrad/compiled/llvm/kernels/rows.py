"""Row kernels: the values of one kernel, computed in one pass over rows.

A kernel is a function `void @rows(ptr %p0, ..., ptr %scratch, i64 %lo, i64 %hi)`: loops over the
leading axes, of which the first runs from `lo` to `hi`, and vectors along each row. The last vector
ends where the row does, so it may begin within the one before: then some elements are computed
twice. Lanes without an element would raise status flags of their own.

Sums and maxima over rows cut the work on a row into phases: what a phase reads of an earlier one is
computed again if that is cheap, or else kept in a row of scratch. Sums over leading axes add to
memory, which the caller has set to zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Shape, Value, View
from minigrad.compiled.llvm.kernels.layouts import Walk
from minigrad.compiled.llvm.planning.fuse import Kernel, Region
from minigrad.compiled.llvm.planning.places import LINE, Place, seen_from
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Module
from minigrad.compiled.llvm.vectors.memory import memory_kind, register_kind

__all__ = ["RowKernel"]

_CHEAP: Final = frozenset(
    ("add", "subtract", "multiply", "negative", "copy", "where", "maximum", "minimum")
)
"""What is rather computed twice than stored."""

_UNROLLED: Final = 4
"""Up to how many vectors a row is written out without a loop."""

PlaceOf = Callable[[Value], Place]


@dataclass(frozen=True)
class Sum:
    """A sum of a kernel into memory: the number of its pointer, and the value."""

    pointer: int
    value: Value


class RowKernel:
    """A kernel as a function of a module.

    Args:
        module: where the function is added, unless it has an equal one.
        kernel, region: what is computed.
        place_of: where stored values are.
        vector_bytes: of the widest vectors.

    Attributes:
        name: of the function.
        places: of its pointers, in order, and `kinds`, of what they point to.
        sums: those that the caller has to set to zero.
        length: of the first axis, to which `lo` and `hi` refer.
        elements: how many there are in all.
        scratch_bytes: how much room there must be at `%scratch`.

    Raises:
        Unsupported: for operations and dtypes without native code.
    """

    def __init__(
        self, module: Module, kernel: Kernel, region: Region, place_of: PlaceOf, vector_bytes: int
    ) -> None:
        self._module, self._region, self._place_of = module, region, place_of
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
        self.scratch_bytes = 0
        rowed = any(value.op in ROWS or region.is_row(value) for value in kernel.values)
        self._walk = Walk(kernel.space, self._strides, rows_stay=rowed)
        self.length = self._walk.lead[0]
        self.elements = self._walk.size
        self._along_row = [0] * len(self._walk.lead) + [1]
        self._width = self._choose_width(vector_bytes)
        for value in kernel.values:
            self._find_scratch(value, value)
        self._code = Code(module)
        self._elements = Elements(self._code, self._width)
        self._hoisted: dict[int, str] = {}
        self._row_values: dict[Value, str] = {}
        self.name = self._define()

    # -- what is read and written ---------------------------------------------------------------

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

    def _find_scratch(self, value: Value, host: Value) -> None:
        for other in self._inner(value, host):
            if self._is_row(other) or self._phase[other] == self._phase[host]:
                continue
            if other in self._writes or other in self._kept_in_scratch:
                continue
            if other.op in _CHEAP and not any(
                not self._is_row(inner) for inner in self._inner(other, other)
            ):
                continue
            self._kept_in_scratch[other] = self.scratch_bytes
            size = self._walk.row * BYTES[memory_kind(other.dtype)]
            self.scratch_bytes += -(-size // LINE) * LINE + LINE  # rows at powers of two collide

    def _choose_width(self, vector_bytes: int) -> int:
        """How many elements a vector has: as many as fit, as a row has, or one.

        Vectors shorter than a register of 16 bytes would be computed with lanes of anything.
        """
        kinds = [*self.kinds, *(memory_kind(value.dtype) for value in self._values)]
        sizes = [BYTES[kind] for kind in kinds if kind != "i8"] or [4]
        least = 16 // min(sizes)
        width = max(vector_bytes // max(sizes), least)
        while width > max(self._walk.row, 1):
            width //= 2
        return width if width >= least else 1

    # -- code -----------------------------------------------------------------------------------

    def _define(self) -> str:
        self._nest(0, [f"%p{number}" for number in range(len(self.places))])
        self._code.do("ret void")
        parameters = ", ".join(f"ptr %p{number}" for number in range(len(self.places)))
        comma = ", " if parameters else ""
        head = f"({parameters}{comma}ptr %scratch, i64 %lo, i64 %hi)"
        return self._module.shared("rows", head, self._code)

    def _nest(self, axis: int, pointers: list[str]) -> None:
        if axis == len(self._walk.lead):
            self._row(pointers)
            return

        def body(i: int | str, _values: list[str]) -> None:
            moved = []
            for number, pointer in enumerate(pointers):
                stride = self._walk.strides[number][axis]
                step = self._code.multiply(i, stride)
                moved.append(self._code.at(pointer, step, self.kinds[number]))
            self._nest(axis + 1, moved)

        if axis == 0:
            self._code.loop("%lo", "%hi", 1, body)
        else:
            self._code.loop(0, self._walk.lead[axis], 1, body)

    def _row(self, pointers: list[str]) -> None:
        self._pointers = pointers
        self._hoisted, self._row_values = {}, {}
        written = set(self._writes.values())
        for number in dict.fromkeys(self._reads.values()):
            if self._walk.strides[number][-1] == 0 and number not in written:
                self._hoisted[number] = self._load(number, 0)
        for phase in range(max(self._phase.values()) + 1):
            self._now = phase
            self._compute_row_values()
            self._sweep()

    def _compute_row_values(self) -> None:
        memo: dict[Value, str] = {}
        for value in self._values:
            if self._is_row(value) and value.op in ELEMENTWISE and self._phase[value] == self._now:
                self._row_values[value] = self._compute(value, value, memo, 0)
                if value in self._writes:
                    self._store(self._row_values[value], self._writes[value], 0, 1)

    def _sweep(self) -> None:
        """One pass over the row: what this phase stores, and what it sums."""
        now = [value for value in self._values if self._phase[value] == self._now]
        targets = [
            value
            for value in now
            if value.op in ELEMENTWISE
            and not self._is_row(value)
            and (value in self._writes or value in self._kept_in_scratch)
        ]
        sums = [value for value in now if value.op in ROWS | REDUCTIONS]
        if not targets and not sums:
            return
        carried = [value for value in sums if value.op in ROWS or self._is_across(value)]
        kinds = [register_kind(value.dtype) for value in carried]
        totals = [
            self._elements.neutral(value.op, kind)
            for value, kind in zip(carried, kinds, strict=True)
        ]

        def body(j: int | str, values: list[str], fresh: int) -> list[str]:
            memo: dict[Value, str] = {}
            for value in targets:
                x = self._compute(value, value, memo, j)
                if value in self._writes:
                    self._store(x, self._writes[value], j, self._width)
                if value in self._kept_in_scratch:
                    self._store_scratch(x, value, j)
            before, after = dict(zip(carried, values, strict=True)), []
            for value in sums:
                x = self._operand(value, value, 0, memo, j)
                kind = register_kind(value.dtype)
                if value in before:
                    after.append(self._elements.accumulate(value.op, before[value], x, kind, fresh))
                else:
                    self._add_to_memory(x, self._writes[value], kind, j, fresh)
            return after

        width, row = self._width, self._walk.row
        whole = row // width
        if whole <= _UNROLLED:
            for number in range(whole):
                totals = body(number * width, totals, width)
        else:
            pairs = [(self._elements.type(k), x) for k, x in zip(kinds, totals, strict=True)]
            totals = self._code.loop(
                0, whole * width, width, lambda j, values: body(j, values, width), pairs
            )
        if row % width:
            totals = body(row - width, totals, row % width)
        for value, kind, x in zip(carried, kinds, totals, strict=True):
            result = self._elements.across(value.op, x, kind)
            if value.op in ROWS:
                self._row_values[value] = result
                if value in self._writes:
                    self._store(result, self._writes[value], 0, 1)
            else:
                old = self._load_scalar(self._writes[value])
                total = self._elements.arithmetic("add", old, result, kind)
                self._store(total, self._writes[value], 0, 1)

    def _is_across(self, value: Value) -> bool:
        """Whether a sum into memory has one element for a whole row."""
        return self._walk.strides[self._writes[value]][-1] == 0

    def _add_to_memory(self, x: str, number: int, kind: str, j: int | str, fresh: int) -> None:
        old = self._load(number, j)
        x = self._elements.fresh(x, self._elements.constant(0, kind), kind, fresh)
        total = self._elements.arithmetic("add", old, x, kind)
        self._store(total, number, j, self._width)

    def _at(self, number: int, j: int | str) -> tuple[str, int]:
        """The pointer to the element j of a row, and the stride."""
        stride = self._walk.strides[number][-1]
        step = self._code.multiply(j, stride)
        return self._code.at(self._pointers[number], step, self.kinds[number]), stride

    def _load(self, number: int, j: int | str) -> str:
        kind = self.kinds[number]
        if number in self._counted and self._walk.strides[number] == self._along_row:
            return self._elements.counted(self._code.add(j, self._counted[number]), kind)
        pointer, stride = self._at(number, j)
        return self._elements.load(pointer, "i1" if kind == "i8" else kind, stride, self._width)

    def _load_scalar(self, number: int) -> str:
        """The element at a pointer, in all lanes."""
        return self._elements.load(self._pointers[number], self.kinds[number], 0, self._width)

    def _store(self, x: str, number: int, j: int | str, lanes: int) -> None:
        pointer, stride = self._at(number, j)
        kind = self.kinds[number]
        self._elements.store(x, pointer, "i1" if kind == "i8" else kind, stride, lanes)

    def _scratch_at(self, value: Value, j: int | str) -> tuple[str, str]:
        row = self._code.at("%scratch", self._kept_in_scratch[value], "i8")
        kind = memory_kind(value.dtype)
        return self._code.at(row, j, kind), register_kind(value.dtype)

    def _store_scratch(self, x: str, value: Value, j: int | str) -> None:
        pointer, kind = self._scratch_at(value, j)
        self._elements.store(x, pointer, kind, 1, self._width)

    def _operand(
        self, value: Value, host: Value, index: int, memo: dict[Value, str], j: int | str
    ) -> str:
        view = value.operands[index]
        if not isinstance(view, View):
            return ""
        other = view.value
        if self._region.is_inlined(other):
            return self._compute(other, host, memo, j)
        if (value, index) in self._reads:
            number = self._reads[value, index]
            if number in self._hoisted:
                return self._hoisted[number]
            return self._load(number, j)
        if self._is_row(other):
            return self._row_values[other]
        if other not in memo and self._phase[other] < self._now:
            if other in self._writes:
                memo[other] = self._load(self._writes[other], j)
            elif other in self._kept_in_scratch:
                pointer, kind = self._scratch_at(other, j)
                memo[other] = self._elements.load(pointer, kind, 1, self._width)
        return self._compute(other, other, memo, j)

    def _compute(self, value: Value, host: Value, memo: dict[Value, str], j: int | str) -> str:
        if value not in memo:
            operands = [
                self._operand(value, host, index, memo, j) for index in range(len(value.operands))
            ]
            memo[value] = self._elements.compute(value, operands)
        return memo[value]


def _counts_from(view: View) -> int | None:
    """The first of integers that count up along a row, which need not be read; None for others."""
    if view.dtype.kind != "i" or not view.shape or view.strides[-1] != 1:
        return None
    row = view.value.array.reshape(-1)[view.offset :][: view.shape[-1]]  # type: ignore[union-attr]
    return int(row[0]) if len(row) > 1 and (np.diff(row) == 1).all() else None
