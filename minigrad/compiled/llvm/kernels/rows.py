"""Row kernels: the values of one kernel, computed in one pass over rows.

A kernel is a function `void @rows(ptr %p0, ..., ptr %scratch, i64 %lo, i64 %hi)`: loops over the
leading axes, of which the first runs from `lo` to `hi`, and vectors along each row. The last vector
ends where the row does, so it may begin within the one before: then some elements are computed
twice. Lanes without an element would raise status flags of their own.
"""

from collections.abc import Callable, Sequence
from typing import Final

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Value, View
from minigrad.compiled.llvm.kernels.row_access import Choice, PlaceOf, RowAccess
from minigrad.compiled.llvm.planning.fuse import Kernel, Region
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import Code, Module
from minigrad.compiled.llvm.vectors.memory import memory_kind, register_kind

__all__ = ["RowKernel"]

_UNROLLED: Final = 4
"""Up to how many vectors a row is written out without a loop."""

_TOTALS: Final = 4
"""In how many parts a long row is summed, where nothing else is done with it."""

Sweep = Callable[[int | str, list[str], int], list[str]]


class RowKernel(RowAccess):
    """A kernel as a function of a module.

    Args:
        module: where the function is added, unless it has an equal one.
        kernel, region: what is computed.
        place_of: where stored values are.
        vector_bytes: of the widest vectors.
        by_rows: whether to walk row by row even where nothing belongs to a row as a whole.

    Attributes:
        name: of the function, of which `lo` and `hi` refer to `length`.

    Raises:
        Unsupported: for operations and dtypes without native code.
    """

    def __init__(
        self,
        module: Module,
        kernel: Kernel,
        region: Region,
        place_of: PlaceOf,
        vector_bytes: int,
        by_rows: bool = False,
    ) -> None:
        super().__init__(kernel, region, place_of, vector_bytes, by_rows)
        self._module = module
        self._code = Code(module)
        self._elements = Elements(self._code, self._width)
        self._hoisted: dict[int, str] = {}
        self._row_values: dict[Value, str] = {}
        self._assumed: dict[Value, str] = {}
        self.name = self._define()

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
            and (value in self._writes or self._is_kept(value))
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
            memo = dict(self._assumed)
            for value in self._kept_in_place:  # before it is written over
                if self._phase[value] < self._now:
                    memo[value] = self._load_kept(value, j)
            for value in targets:
                self._keep(self._compute(value, value, memo, j), value, j)
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
            several = 1 if targets else _TOTALS
            computed = self._computed([*targets, *sums], self._now)
            choice = None if sums else self._choice_of_one(computed)

            def long() -> list[str]:
                return self._long_sweep(whole, body, carried, totals, several)

            def all_but_one() -> list[str]:
                return long() if choice is None else self._with_one(choice, targets, long)

            totals = self._unless(self._row_conditions(computed), all_but_one, kinds)
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

    def _long_sweep(
        self, whole: int, body: Sweep, carried: Sequence[Value], totals: list[str], several: int
    ) -> list[str]:
        """A loop over whole vectors; sums in `several` parts need not wait for each other."""
        width, count = self._width, len(carried)
        kinds = [register_kind(value.dtype) for value in carried]
        several = several if carried and whole >= 4 * several else 1
        types = [self._elements.type(kind) for kind in kinds]
        pairs = list(zip(types, totals, strict=True)) * several

        def step(j: int | str, values: list[str]) -> list[str]:
            after: list[str] = []
            for part in range(several):
                at = self._code.add(j, part * width)
                after += body(at, values[part * count :][:count], width)
            return after

        rounds = whole // several * several
        values = self._code.loop(0, rounds * width, several * width, step, pairs)
        totals = values[:count]
        for part in range(1, several):
            totals = [
                self._elements.combine(value.op, total, x, kind)
                for value, total, x, kind in zip(
                    carried, totals, values[part * count :][:count], kinds, strict=True
                )
            ]
        for number in range(rounds, whole):
            totals = body(number * width, totals, width)
        return totals

    def _unless(
        self, conditions: list[Value], sweep: Callable[[], list[str]], kinds: list[str]
    ) -> list[str]:
        """A sweep, and a second one for rows where no condition holds: it need not choose.

        So softmax pays for infinities only in the rows that have them.
        """
        if not conditions:
            return sweep()
        holds = "false"
        for value in conditions:
            mask = f"{self._elements.type('i1')} {self._row_values[value]}"
            one = self._code.value(f"extractelement {mask}, i64 0")
            holds = self._code.value(f"or i1 {holds}, {one}")

        def without() -> list[str]:
            known = dict(self._row_values)
            self._row_values |= dict.fromkeys(conditions, "zeroinitializer")
            totals = sweep()
            self._row_values = known
            return totals

        types = [self._elements.type(kind) for kind in kinds]
        return self._code.choose(holds, sweep, without, types)

    def _with_one(
        self, choice: Choice, targets: list[Value], sweep: Callable[[], list[str]]
    ) -> list[str]:
        """A sweep as if no element were chosen, and the vector around the one that is."""
        kind = self.kinds[choice.number]
        index = self._code.value(
            f"extractelement {self._elements.type(kind)} {self._hoisted[choice.number]}, i64 0"
        )
        if kind != "i64":
            index = self._code.value(f"sext {kind} {index} to i64")
        at = self._code.subtract(index, choice.first)
        last = f"i64 {self._walk.row - self._width}"
        at = self._code.intrinsic("i64", "llvm.umin.i64", f"i64 {at}", last)
        memo: dict[Value, str] = {}
        found = [self._compute(value, value, memo, at) for value in targets]
        self._assumed = {choice.comparison: "zeroinitializer"}
        totals = sweep()
        self._assumed = {}
        for value, x in zip(targets, found, strict=True):
            self._keep(x, value, at)
        return totals

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

    def _keep(self, x: str, value: Value, j: int | str) -> None:
        """Write a vector of a value, where it is stored and where a later phase reads it."""
        if value in self._writes:
            self._store(x, self._writes[value], j, self._width)
        if self._is_kept(value):
            pointer, kind = self._kept_at(value, j)
            self._elements.store(x, pointer, kind, 1, self._width)

    def _kept_at(self, value: Value, j: int | str) -> tuple[str, str]:
        """Where the element j of a row waits for a later phase, and its type."""
        if value in self._kept_in_place:
            pointer, _ = self._at(self._kept_in_place[value], j)
        else:
            row = self._code.at("%scratch", self._kept_in_scratch[value], "i8")
            pointer = self._code.at(row, j, memory_kind(value.dtype))
        return pointer, register_kind(value.dtype)

    def _load_kept(self, value: Value, j: int | str) -> str:
        pointer, kind = self._kept_at(value, j)
        return self._elements.load(pointer, kind, 1, self._width)

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
        if other not in memo and self._is_there(other, self._now):
            if other in self._writes:
                memo[other] = self._load(self._writes[other], j)
            else:
                memo[other] = self._load_kept(other, j)
        return self._compute(other, other, memo, j)

    def _compute(self, value: Value, host: Value, memo: dict[Value, str], j: int | str) -> str:
        if value not in memo:
            operands = [
                self._operand(value, host, index, memo, j) for index in range(len(value.operands))
            ]
            memo[value] = self._elements.compute(value, operands)
        return memo[value]
