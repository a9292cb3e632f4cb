"""Where everything is: the regions of a program, and a place for each value that is stored."""

from typing import Final

import numpy as np

from minigrad.compiled.graph import (
    Graph,
    Loop,
    Unsupported,
    Value,
    View,
    contiguous,
    everything,
    size_of,
)
from minigrad.compiled.llvm.planning.fuse import Region
from minigrad.compiled.llvm.planning.places import Buffer, Place, allocate, seen_from
from minigrad.compiled.llvm.vectors.ir import BYTES
from minigrad.compiled.llvm.vectors.memory import memory_kind

__all__ = ["HEADER", "Plan", "Scope", "bytes_of", "uncovered"]

HEADER: Final = 64
"""Bytes at the beginning of the workspace, where programs note errors."""


def bytes_of(value: Value) -> int:
    """The size of a value in memory."""
    return value.size * BYTES[memory_kind(value.dtype)]


class Scope:
    """The program, or the body of a loop: its region, and the buffers that live in it.

    Attributes:
        region: what runs when.
        around: the buffer that holds the buffers of a loop's body.
        bodies: the scopes of the loops in it.
        buffers: of values and of whatever needs room, in the workspace or in `around`.
    """

    def __init__(self, region: Region, around: Buffer | None = None) -> None:
        self.region, self.around = region, around
        self.bodies: dict[Value, Scope] = {}
        self.buffers: list[Buffer] = []

    def buffer(self, size: int, first: int, last: int) -> Buffer:
        """Room for `size` bytes from one level to another."""
        self.buffers.append(Buffer(size, first, last, self.around))
        return self.buffers[-1]


class Plan:
    """Places for the values of a graph.

    The arguments of the program are its outputs, then inputs, then constants.

    Attributes:
        scope: the program's.
        constants: in the order of arguments.
        places: of what is stored.
        copied: by output, the argument that it is a copy of; the program does not write these.
    """

    def __init__(self, graph: Graph) -> None:
        self.places: dict[Value, Place] = {}
        self._counts: dict[Value, int] = {}
        self._stack_reads: dict[Value, list[View]] = {}
        for value in everything(graph.values):
            for view in value.views:
                _check(view)
                if view.value.op == "stack":
                    self._read_stack(view, value.options[0] if value.op == "moving" else 0)
            if value.op == "loop":
                for view in value.options[0].initial.values():
                    self._read_stack(view, 0)
        for view in graph.outputs:
            self._read_stack(view, 0)
        self.constants = graph.constants
        self.copied: dict[int, int] = {}
        count = len(graph.outputs)
        for number, value in enumerate([*graph.inputs, *self.constants]):
            self.places[value] = Place(count + number, 0, contiguous(value.shape))
        for number, view in enumerate(graph.outputs):
            place = self.places.setdefault(
                view.value, Place(number, 0, contiguous(view.value.shape))
            )
            assert isinstance(place.base, int)
            if place.base != number:
                self.copied[number] = place.base
        inside = set(graph.values)
        kept = [view.value for view in graph.outputs if view.value in inside]
        self.scope = Scope(Region(graph.values, kept))
        self._place(self.scope)

    def finish(self) -> int:
        """Give all buffers their offsets; returns how many bytes the workspace has."""
        for body in self.scope.bodies.values():
            assert body.around is not None
            body.around.bytes = allocate(body.buffers)
        return allocate(self.scope.buffers, HEADER)

    def place_of(self, value: Value) -> Place:
        """Where a value is, also one that moves with the steps of a loop."""
        place = self.places.get(value)
        if place is None:
            place = self.places[value] = self._of_steps(value)
        return place

    # -- assigning --------------------------------------------------------------------------------

    def _place(self, scope: Scope) -> None:
        region = scope.region
        for value in region.values:
            if value.op == "loop":
                self._place_loop(scope, value)
        for value in reversed(region.values):
            if value.op == "assemble":
                self._place_parts(scope, value)
        for value in region.values:
            if value in region.stored and value.op != "loop" and value not in self.places:
                first, last = region.level[value], region.last_read(value)
                buffer = scope.buffer(bytes_of(value), first, last)
                self.places[value] = Place(buffer, 0, contiguous(value.shape))

    def _place_parts(self, scope: Scope, value: Value) -> None:
        region = scope.region
        parts = region.parts[value]
        if value not in self.places:
            first = min((region.level[part] for part in parts), default=region.level[value])
            # a part may be read, at its place, later than the whole is
            last = max(map(region.last_read, (value, *parts)))
            buffer = scope.buffer(bytes_of(value), first, last)
            self.places[value] = Place(buffer, 0, contiguous(value.shape))
        whole = self.places[value]
        for part, (strides, offset) in zip(parts, value.options, strict=True):
            self.places[part] = seen_from(View(value, part.shape, strides, offset), whole)

    def _read_stack(self, view: View, step: int) -> None:
        """Note what is read of a stack; of what moves with the steps of a loop, all."""
        read = View(view.value) if step else view
        self._stack_reads.setdefault(view.value, []).append(read)

    def _is_last_read_alone(self, loop: Loop, stack: Value) -> bool:
        """Whether nothing is read of a stack but the value of the last step."""
        first = _last_slot(loop) * size_of(stack.shape[1:])
        reaches = [_reach(view) for view in self._stack_reads[stack] if size_of(view.shape)]
        end = first + size_of(stack.shape[1:])
        return all(first <= low and high < end for low, high in reaches)

    def _place_loop(self, scope: Scope, value: Value) -> None:
        loop: Loop = value.options[0]
        region = scope.region
        level = region.level[value]
        copies = region.initials[value]
        stacks = set(region.values)
        stacked = {b: stack for b, stack in loop.stacked.items() if stack in stacks}
        last_alone = {
            b
            for b, stack in stacked.items()
            if stack not in self.places and self._is_last_read_alone(loop, stack)
        }
        kept = [b for b in loop.body if b in stacked or b in loop.initial]
        for inner in kept:
            first = region.level[copies[inner]] if inner in copies else level
            turns = 2 if inner not in stacked or inner in last_alone else 0
            slots = turns or loop.count + 1
            stack = stacked.get(inner)
            if stack is not None and stack in self.places:
                base = self.places[stack]
            else:
                last = level if stack is None else region.last_read(stack)
                buffer = scope.buffer(slots * bytes_of(inner), min(first, level), max(last, level))
                base = Place(buffer, 0, contiguous(inner.shape))
            natural, size = contiguous(inner.shape), inner.size
            if stack is not None and stack not in self.places:
                # As if there were all values: only the last one is read where it is.
                before = (_last_slot(loop) & ~1) * size if turns else 0
                self.places[stack] = Place(base.base, base.offset - before, contiguous(stack.shape))
            self.places[inner] = Place(
                base.base, base.offset, natural, size, turns, loop.current_slot
            )
            if inner in copies:
                slot = loop.initial_slot & 1 if turns else loop.initial_slot
                offset = base.offset + slot * size
                self.places[copies[inner]] = Place(base.base, offset, natural)
        for inner in loop.body:
            for view in inner.views:
                if view.value.op == "previous":
                    self._place_previous(loop, view.value)
                elif view.value.op == "moving":
                    self._counts[view.value] = loop.count
        around = scope.buffer(0, level, level)
        body = scope.bodies[value] = Scope(Region(loop.body, kept), around)
        if body.region.initials:
            raise Unsupported("native code for loops in loops")
        self._place(body)

    def _place_previous(self, loop: Loop, value: Value) -> None:
        at = self.places[value.options[0]]
        self.places[value] = Place(
            at.base, at.offset, at.strides, at.step, at.slots, loop.previous_slot
        )

    def _of_steps(self, value: Value) -> Place:
        """The place of a `moving` value."""
        if value.op != "moving":
            raise Unsupported(f"native code that reads {value.op} before it is computed")
        (view,) = value.views
        step, count = value.options[0], self._counts[value]
        outer = self.place_of(view.value)
        all_steps = View(view.value, (count, *view.shape), (step, *view.strides), view.offset)
        seen = seen_from(all_steps, outer)
        moves = seen.strides[0] if count > 1 else 0
        return Place(seen.base, seen.offset, seen.strides[1:], moves)


def _check(view: View) -> None:
    """A program reads what a view says, so a view must be within its value.

    Raises:
        Unsupported: it is not.
    """
    if view.value.op == "loop" or not size_of(view.shape):
        return
    lowest, highest = _reach(view)
    if lowest < 0 or highest >= view.value.size:
        raise Unsupported(f"a view beyond its value, {view}")


def _reach(view: View) -> tuple[int, int]:
    """The first and the last element that a view reads."""
    reaches = [s * (n - 1) for s, n in zip(view.strides, view.shape, strict=True)]
    lowest = view.offset + sum(min(0, reach) for reach in reaches)
    return lowest, view.offset + sum(max(0, reach) for reach in reaches)


def _last_slot(loop: Loop) -> int:
    """Where in its stack the value of the last step is."""
    return loop.current_slot + (0 if loop.down else loop.count - 1)


def uncovered(value: Value) -> bool:
    """Whether an `assemble` has elements that no part covers.

    Raises:
        Unsupported: two parts cover the same element.
    """
    if sum(size_of(view.shape) for view in value.views) < value.size:
        return True
    written = np.zeros(value.size, np.uint8)
    for view, (strides, offset) in zip(value.views, value.options, strict=True):
        at = np.ndarray(view.shape, np.uint8, written, offset, strides)
        at += 1
    if written.max(initial=0) > 1:
        raise Unsupported("parts of an array that overlap")
    return bool(written.min(initial=1) == 0)
