"""What runs together: levels, kernels, and which values are stored at all.

A region, which is the program or the body of a loop, runs level by level. At each level run first
its kernels, then its products and whatever else runs alone. A value's level rises where it must
wait: for a product, for the sum over rows, for a value of another shape. Elementwise values move as
late as their readers allow, so that what only the backward pass reads is computed there again and
not stored. All elementwise values of one level and shape are one kernel, in which they pass to each
other in registers; comparisons are computed again by each of their readers.

Rows: the values of shape (..., 1) that come from sums and maxima over rows belong to the kernel of
the shape (..., n) that they were taken over. So softmax and layer norm are one kernel each.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from minigrad.compiled.graph import (
    ELEMENTWISE,
    REDUCTIONS,
    ROWS,
    Loop,
    Shape,
    Unsupported,
    Value,
    View,
    contiguous,
    size_of,
)
from minigrad.compiled.llvm.planning.places import Place, seen_from

__all__ = ["FUSED", "Kernel", "Region"]

FUSED: Final = ELEMENTWISE | ROWS | REDUCTIONS
"""Operations that are part of kernels."""

_ALONE: Final = frozenset(("matmul", "gather", "scatter_add", "loop"))
_STATIC: Final = frozenset(("assemble", "stack"))

_LARGE: Final = 1 << 18
"""Elements from which on products that could run at one level run at several."""


@dataclass
class Kernel:
    """Values that are computed in one pass over `space`, in order."""

    level: int
    space: Shape
    values: list[Value] = field(default_factory=list)


class Region:
    """The plan of a program or of the body of a loop.

    Args:
        values: in order, each after what it reads.
        kept: those that are read from outside, so they must be stored.

    Attributes:
        values: the same, and copies where a part of an `assemble` or the first value of a loop
            cannot be computed where it belongs.
        level: of each value.
        kernels: in the order in which they run.
        stored: the values that need a place in memory.
        parts: of each `assemble`, the values that are computed at their places in it.
        initials: of each loop, by body value, the copy that is its first value.

    Raises:
        Unsupported: for an operation without native code.
    """

    def __init__(self, values: Sequence[Value], kept: Iterable[Value]) -> None:
        self.kept = set(kept)
        self.parts: dict[Value, list[Value]] = {}
        self.initials: dict[Value, dict[Value, Value]] = {}
        self.values = self._with_copies(values)
        self._inside = set(self.values)
        self._inlined = self._find_inlined()
        self._space = self._find_spaces()
        self.level: dict[Value, int] = {}
        self._readers = self._find_readers()
        self._set_levels()
        self._move_late()
        self.kernels = self._find_kernels()
        self.stored = self._find_stored()

    # -- what is read -------------------------------------------------------------------------

    def reads(self, value: Value) -> Iterator[View]:
        """The views that a value needs, through comparisons that are computed with it."""
        if value.op == "loop":
            loop: Loop = value.options[0]
            yield from value.views
            yield from (View(copy) for copy in self.initials[value].values())
            yield from loop.initial.values()
        elif value.op == "assemble":
            yield from (View(part) for part in self.parts[value])
        else:
            for view in value.views:
                if view.value in self._inlined:
                    yield from self.reads(view.value)
                else:
                    yield view

    def is_inlined(self, value: Value) -> bool:
        """Whether each reader computes this value by itself."""
        return value in self._inlined

    def is_row(self, value: Value) -> bool:
        """Whether this is one number for each row of its kernel."""
        if value.op in ROWS:
            return True
        return value.op in ELEMENTWISE and self._space.get(value, value.shape) != value.shape

    def in_registers(self, reader: Value, view: View) -> bool:
        """Whether a value of the same kernel reads another one without memory, if both are in it.

        Row values are read whole by row values, and broadcast along rows by the others.
        """
        value = view.value
        if value not in self._inside or value.op not in ELEMENTWISE | ROWS:
            return False
        if value in self._inlined or self._space.get(reader) != self._space[value]:
            return False
        if view.whole and (view.shape == self._space[value] or self.is_row(value)):
            return True
        natural = contiguous(value.shape)[:-1]
        return (
            self.is_row(value)
            and view.offset == 0
            and view.shape == self._space[value]
            and view.strides[-1] == 0
            and all(
                stride == expected or length == 1
                for stride, expected, length in zip(
                    view.strides[:-1], natural, view.shape[:-1], strict=True
                )
            )
        )

    def last_read(self, value: Value) -> int:
        """The last level at which a value, or an `assemble` that it is part of, is read."""
        last = self.level[value]
        for reader, _ in self._readers.get(value, ()):
            last = max(last, self.level[reader])
            if reader.op in _STATIC:
                last = max(last, self.last_read(reader))
        return last

    # -- steps of the plan ----------------------------------------------------------------------

    def _with_copies(self, values: Sequence[Value]) -> list[Value]:
        """The values, and copies of parts and of first values of loops that need one."""
        readers: dict[Value, list[View]] = {}
        for value in values:
            for view in value.views:
                readers.setdefault(view.value, []).append(view)
        inside, taken = set(values), self.kept | _read_row_by_row(values)
        result: list[Value] = []
        for value in values:
            if value.op == "assemble":
                parts = []
                for view, (strides, offset) in zip(value.views, value.options, strict=True):
                    part = view.value
                    if not (
                        part in inside
                        and part not in taken
                        and _can_be_part(view, strides, offset, readers[part])
                    ):
                        part = Value("copy", (view,), view.shape, value.dtype, place=value.place)
                        result.append(part)
                    taken.add(part)
                    parts.append(part)
                self.parts[value] = parts
            elif value.op == "loop":
                loop: Loop = value.options[0]
                self.initials[value] = copies = {}
                for body_value, view in loop.initial.items():
                    copies[body_value] = Value("copy", (view,), view.shape, body_value.dtype)
                result.extend(copies.values())
                self.kept.update(copies.values())
            elif value.op not in FUSED | _ALONE | _STATIC | {"input", "constant"}:
                raise Unsupported(f"native code for {value.op}")
            result.append(value)
        return result

    def _find_inlined(self) -> set[Value]:
        inlined = {
            value
            for value in self.values
            if value.op in ELEMENTWISE and value.dtype == np.bool_ and value not in self.kept
        }
        for value in self.values:
            for view in value.views:
                if value.op not in FUSED or not view.whole:
                    inlined.discard(view.value)
            if value.op == "loop":
                inlined.difference_update(view.value for view in value.options[0].initial.values())
            elif value.op == "assemble":
                inlined.difference_update(self.parts[value])
        return inlined

    def _find_spaces(self) -> dict[Value, Shape]:
        """The shape that each value of a kernel is computed over."""
        space: dict[Value, Shape] = {}
        self._space = space  # `reads` of loops needs no spaces
        for value in self.values:
            if value.op in ROWS | REDUCTIONS:
                space[value] = next(value.views).shape
            elif value.op in ELEMENTWISE and value not in self._inlined:
                space[value] = value.shape
                if value.shape and value.shape[-1] == 1:
                    for view in self.reads(value):
                        rows = space.get(view.value)
                        if (
                            rows is not None
                            and rows != value.shape
                            and view.whole
                            and view.shape == value.shape
                            and self.is_row(view.value)
                        ):
                            space[value] = rows
        return space

    def _find_readers(self) -> dict[Value, list[tuple[Value, View]]]:
        readers: dict[Value, list[tuple[Value, View]]] = {}
        for value in self.values:
            if value not in self._inlined:
                for view in self.reads(value):
                    readers.setdefault(view.value, []).append((value, view))
        return readers

    def _time(self, value: Value) -> int:
        """When a value is there: twice its level, and one more for what runs after the kernels."""
        if value not in self._inside:
            return -1
        if value.op == "assemble":
            return max((self._time(part) for part in self.parts[value]), default=0)
        return 2 * self.level[value] + (value.op not in FUSED)

    def _set_levels(self) -> None:
        last = -1  # of the large products so far
        for value in self.values:
            if value in self._inlined:
                continue
            level = 0
            for view in self.reads(value):
                time = self._time(view.value)
                if value.op in FUSED:
                    waits = not self.in_registers(value, view)
                    level = max(level, (time // 2 + 1 if time >= 0 else 0) if waits else time // 2)
                elif value.op in _STATIC:
                    level = max(level, time // 2 if time >= 0 else 0)
                else:
                    level = max(level, (time + 1) // 2)
            if value.op == "matmul" and value.size >= _LARGE:
                # In the order of the program: what large ones read and give needs room in turn.
                level = last = max(level, last + 1)
            self.level[value] = level

    def _move_late(self) -> None:
        for value in reversed(self.values):
            if value.op not in ELEMENTWISE | ROWS or value in self._inlined or value in self.kept:
                continue
            readers = self._readers.get(value, ())
            if not readers or any(r.op in _STATIC or r.op == "loop" for r, _ in readers):
                continue
            latest = min(
                self.level[reader] - (reader.op in FUSED and not self.in_registers(reader, view))
                for reader, view in readers
            )
            self.level[value] = max(latest, self.level[value])

    def _find_kernels(self) -> list[Kernel]:
        kernels: dict[tuple[int, Shape], Kernel] = {}
        for value in self.values:
            if value.op in FUSED and value not in self._inlined:
                key = self.level[value], self._space[value]
                kernels.setdefault(key, Kernel(*key)).values.append(value)
        return sorted(kernels.values(), key=lambda kernel: kernel.level)

    def _find_stored(self) -> set[Value]:
        stored = self.kept & self._inside
        for value in self.values:
            if value in self._inlined:
                continue
            if value.op not in ELEMENTWISE | ROWS:
                stored.add(value)
            for view in self.reads(value):
                read = view.value
                if read in self._inside and not (
                    value.op in FUSED
                    and self.in_registers(value, view)
                    and self.level[value] == self.level[read]
                ):
                    stored.add(read)
        return stored


def _read_row_by_row(values: Iterable[Value]) -> set[Value]:
    """What gathers and sums of rows read, which must lie without gaps."""
    found: set[Value] = set()
    for value in values:
        inner = value.options[0].body if value.op == "loop" else (value,)
        for each in inner:
            if each.op in ("gather", "scatter_add"):
                read = [view.value for view in each.views]
                found.update(read)
                found.update(view.value for one in read for view in one.views)  # which one moves by
    return found


def _can_be_part(view: View, strides: Shape, offset: int, readers: list[View]) -> bool:
    """Whether a value can be computed right at its place in an `assemble`."""
    value = view.value
    if not view.whole or value.dtype == np.bool_ or not size_of(value.shape):
        return False
    if value.op == "matmul":
        if len(value.shape) != 2 or strides[-1] != 1:
            return False
    elif value.op not in ELEMENTWISE:
        return False
    try:
        for other in readers:
            seen_from(other, Place(0, offset, strides))
    except Unsupported:
        return False
    return True
