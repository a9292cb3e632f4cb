"""The arrays of a program and the calls of NumPy functions on them."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, Operand, PlainArray, Unsupported, Value, View
from minigrad.compiled.numpy_calls.functions import (
    FUNCTIONS,
    Instruction,
    Use,
    call,
    gather,
    scatter_add,
    silently,
    strided,
    take_result,
)
from minigrad.compiled.rolling.sharing import seen_in

__all__ = ["Instructions", "Read", "Room"]

Read = Callable[[Operand], Any]
Room = Callable[[Value], PlainArray]


class Instructions:
    """Calls in order, each with the arrays that it reads and writes.

    Args:
        outside: values whose arrays may be others in each call: they go in, out, or come from an
            operation that runs as it is.
        silent: the values that raise no flags.

    Attributes:
        parts: values that are parts of others.
        turned: copies of what steps read, by keys of views.
    """

    def __init__(self, outside: Collection[Value], silent: Collection[Value]) -> None:
        self.parts: dict[Value, View] = {}
        self.turned: dict[Any, PlainArray] = {}
        self._outside, self._silent, self._is_silent = outside, silent, False
        self._rooms: dict[Value, Any] = {}  # arrays; of a call, the list of its results
        self._list: list[Instruction] = []
        self._names: list[str] = []  # of each instruction, the operation that it is of
        self._emitted = "copy"
        # Arrays that are views of values from outside, by their identity.
        self._seen: dict[int, tuple[PlainArray, View]] = {}
        self._uses: dict[Value, list[Use]] = {}
        self._results: dict[Value, int] = {}  # where in the list they are taken

    def __len__(self) -> int:
        return len(self._list)

    # -- arrays ------------------------------------------------------------------------------------

    def room_of(self, value: Value) -> PlainArray:
        """The array of a value."""
        room: PlainArray | None = self._rooms.get(value)
        if room is None:
            if value.op == "constant":
                assert value.array is not None
                room = value.array
            elif (value.options[0] if value.op == "stack" else value).op == "assemble":
                room = np.zeros(value.shape, value.dtype)  # what no part covers stays zero
            else:
                room = np.empty(value.shape, value.dtype)
            self._rooms[value] = room
            if value in self._outside:
                self._seen[id(room)] = room, View(value)
        return room

    def resolved(self, view: View) -> View:
        """A read as one of a value that has room of its own."""
        while view.value in self.parts:
            view = seen_in(view, self.parts[view.value])
        return view

    def read_view(self, view: View) -> PlainArray:
        """The array that is such a view."""
        view = self.resolved(view)
        room = self.room_of(view.value)
        if view.whole:
            return room
        array = strided(room, view.shape, view.strides, view.offset)
        return self._noted(array, view)

    def _noted(self, array: PlainArray, view: View) -> PlainArray:
        """An array that is such a view of a value, perhaps of one that goes in or out."""
        if view.value in self._outside:
            self._seen[id(array)] = array, view
        return array

    def _operand(self, operand: Operand) -> Any:
        return self.read_view(operand) if isinstance(operand, View) else operand

    # -- instructions ------------------------------------------------------------------------------

    def _emit(self, value: Value, read: Read, room: Room) -> None:
        """Add what computes a value, given how operands are read, and where results go."""
        self._is_silent, self._emitted = value in self._silent, value.op
        emit = getattr(self, f"_emit_{value.op}", None)
        if emit is not None:
            emit(value, read, room(value))
        elif value.op in ELEMENTWISE:
            function = FUNCTIONS.get(value.op) or getattr(np, value.op)
            arguments = [read(o) for o in value.operands]
            if value.op != "where":
                arguments = self._typed(value, arguments)
            self._add(function, *arguments, room(value))
        else:
            raise Unsupported(f"the NumPy back end has no {value.op}")

    def _typed(self, value: Value, arguments: list[Any]) -> list[Any]:
        """Numbers as scalars of the operands' dtype: NumPy would look at them at every call."""
        dtypes = [a.dtype for a in arguments if isinstance(a, np.ndarray)]
        return [
            a if isinstance(a, np.ndarray) else np.asarray(a, dtypes[0]) if dtypes else a
            for a in arguments
        ]

    def _add(self, function: Callable[..., Any], *arguments: Any) -> None:
        given = list(arguments)
        for i, argument in enumerate(given):
            found = self._seen.get(id(argument))
            if found is not None:
                view = found[1]
                part = None if view.whole else view
                self._uses.setdefault(view.value, []).append((given, i, part))
        if self._is_silent:
            function = functools.partial(silently, function)
        self._list.append((function, given))
        self._names.append(self._emitted)

    def _emit_row_sum(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(np.add.reduce, *map(read, value.operands), -1, None, out, True)

    def _emit_row_max(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(np.maximum.reduce, *map(read, value.operands), -1, None, out, True)

    def _emit_lead_sum(self, value: Value, read: Read, out: PlainArray) -> None:
        axes = tuple(range(value.options[0]))
        self._add(np.add.reduce, *map(read, value.operands), axes, None, out)

    def _emit_total(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(np.add.reduce, *map(read, value.operands), None, None, out)

    def _emit_matmul(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(np.matmul, *map(read, value.operands), out)

    def _emit_assemble(self, value: Value, read: Read, out: PlainArray) -> None:
        for operand, (strides, offset) in zip(value.operands, value.options, strict=True):
            home = self.parts.get(operand.value) if isinstance(operand, View) else None
            if home is not None and home.value is value:
                continue  # it was computed there
            part = read(operand)
            shape = part.shape if isinstance(part, np.ndarray) else ()
            place = strided(out, shape, strides, offset)
            if id(out) in self._seen:
                self._noted(place, View(value, shape, strides, offset))
            self._add(np.copyto, place, part)

    def _emit_gather(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(gather, *map(read, value.operands), out)

    def _emit_scatter_add(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(scatter_add, *map(read, value.operands), out)

    def _emit_call(self, value: Value, read: Read, out: PlainArray) -> None:
        results: list[Any] = []
        self._rooms[value] = results
        self._add(call, value.options[0].run, results, *map(read, value.operands))

    def _emit_result(self, value: Value, read: Read, out: PlainArray) -> None:
        (view,) = value.views
        results: Any = self._rooms[view.value]
        self._results[value] = len(self._list)
        self._list.append((take_result, [results, value.options[0], out]))
        self._names.append(value.op)
