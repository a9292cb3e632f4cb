"""Where values are at one step of a loop, and in one block of a chain."""

from typing import Any, Protocol

from minigrad.compiled.graph import REDUCTIONS, Loop, Operand, PlainArray, Value, View, contiguous
from minigrad.compiled.numpy_calls.functions import strided

__all__ = ["Block", "Step"]


class Rooms(Protocol):
    """What a program tells.

    Attributes:
        parts: values that are parts of others.
        turned: copies of what steps read, by keys of views.
    """

    parts: dict[Value, View]
    turned: dict[Any, PlainArray]

    def room_of(self, value: Value) -> PlainArray:
        """The array of a value."""

    def read_view(self, view: View) -> PlainArray:
        """A view of it."""

    def resolved(self, view: View) -> View:
        """A read as one of a value that has room of its own."""


class Block:
    """Some rows of a chain: where its values are."""

    def __init__(
        self,
        program: Rooms,
        rooms: dict[Value, PlainArray],
        rows: int,
        start: int,
        count: int,
    ) -> None:
        self._program, self._rooms = program, rooms
        self._rows, self._start, self._count = rows, start, count

    def room(self, value: Value) -> PlainArray:
        """Where these rows of a value go."""
        if value.op in REDUCTIONS:
            return self._program.room_of(value)
        natural = contiguous(value.shape)
        found: PlainArray = self.read(View(value, value.shape, natural))
        return found

    def read(self, operand: Operand) -> Any:
        """These rows of an operand."""
        if not isinstance(operand, View):
            return operand
        shape, strides = (self._count, *operand.shape[1:]), operand.strides
        room = self._rooms.get(operand.value)
        if room is not None:
            return strided(room, shape, strides, operand.offset)
        at = operand.offset + self._start * strides[0]
        return self._program.read_view(View(operand.value, shape, strides, at))


class Step:
    """One step of a loop: where its values are."""

    def __init__(self, program: Rooms, loop: Loop, stacks: dict[Value, PlainArray], t: int) -> None:
        self._program, self._stacks, self._t = program, stacks, t
        self._now, self._before = t + loop.current_slot, t + loop.previous_slot

    def room(self, value: Value) -> PlainArray:
        """Where a value of this step goes."""
        part = self._program.parts.get(value)
        if part is not None:
            found: PlainArray = self.read(View(value))
            return found
        stack = self._stacks[value]
        slot: PlainArray = stack[self._now % len(stack)]
        if slot.ndim == 0:
            slot = stack[self._now % len(stack), ...]
        return slot

    def read(self, operand: Operand) -> Any:
        """What an operand is at this step."""
        if not isinstance(operand, View):
            return operand
        operand = self._program.resolved(operand)
        turned = self._program.turned.get(operand.key)
        if turned is not None:
            return turned
        value = operand.value
        if value.op == "moving":
            (view,) = value.views
            offset, strides = operand.within(view.strides)
            at = view.offset + self._t * value.options[0] + offset
            return self._program.read_view(View(view.value, operand.shape, strides, at))
        slot = self._now
        if value.op == "previous":
            operand = self._program.resolved(operand.of(value.options[0]))
            value, slot = operand.value, self._before
        if value not in self._stacks:
            return self._program.read_view(operand)
        stack = self._stacks[value]
        at = (slot % len(stack)) * value.size + operand.offset
        return strided(stack, operand.shape, operand.strides, at)
