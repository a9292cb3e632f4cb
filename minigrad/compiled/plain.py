"""The NumPy back end: every value is one call, into an array that was made beforehand.

It computes what the eager engine computes, by the same NumPy functions, without tensors, nodes and
new arrays on the way. So it is what runs where llvmlite is not installed, and what tests compare
other back ends with.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import (
    ELEMENTWISE,
    Graph,
    Loop,
    Operand,
    PlainArray,
    Unsupported,
    Value,
    View,
)
from minigrad.ops.elementwise.special import erf

__all__ = ["KERNELS", "LIFTS", "PlainProgram", "build"]

KERNELS = True  # a large kernel makes fewer passes than what it consists of
LIFTS = True  # one call for all steps instead of one for each

Instruction = tuple[Callable[..., Any], list[Any]]
# Arguments, the place among them, and what is read there; None for a value as it is.
Use = tuple[list[Any], int, View | None]
Read = Callable[[Operand], Any]

_WORTH = 4096  # bytes that are copied in the time in which one view is made


def build(graph: Graph) -> "PlainProgram":
    """A function from the arguments of a graph to its outputs.

    Raises:
        Unsupported: for an operation that it does not know.
    """
    return PlainProgram(graph)


class PlainProgram:
    """A graph as a list of NumPy calls, the steps of loops one after the other.

    Calling it with one array for each input returns a list of new arrays. Its room is its own, so
    two threads must not run one program at once. NumPy's warnings are off.
    """

    def __init__(self, graph: Graph) -> None:
        self._rooms: dict[Value, Any] = {}  # arrays; of a call, the list of its results
        self._list: list[Instruction] = []
        results = [value for value in graph.values if value.op == "result"]
        self._outside = {*graph.inputs, *results, *(view.value for view in graph.outputs)}
        # Arrays that are views of values that go in, out, or come from a call, by their identity.
        self._seen: dict[int, tuple[PlainArray, View]] = {}
        self._uses: dict[Value, list[Use]] = {}
        self._results: dict[Value, int] = {}  # where in the list they are taken
        self._inputs = [self._room(value) for value in graph.inputs]
        for value in graph.values:
            if value.op == "loop":
                self._loop(value.options[0])
            elif value.op != "stack":
                self._emit(value, self._operand, self._room)
        self._outputs = [self._read(view) for view in graph.outputs]
        returned = {view.value for view in graph.outputs}
        self._handed = [None if value in returned else self._worth(value) for value in graph.inputs]
        made = {"input", "constant", "stack", "result"}
        first = {view.value: i for i, view in reversed(list(enumerate(graph.outputs)))}
        self._sources = [first[view.value] for view in graph.outputs]
        self._fresh = [
            self._worth(view.value)
            if view.value.op not in made and first[view.value] == i
            else None
            for i, view in enumerate(graph.outputs)
        ]
        self._zeroed = [view.value.op == "assemble" for view in graph.outputs]
        self._lent = [uses for uses in (*self._handed, *self._fresh) if uses is not None]
        self._made = [self._rooms[value] for value in graph.values if value.op == "call"]
        self._taken = self._take_results(results, first)
        self._seen.clear()

    def __call__(self, arrays: Sequence[PlainArray]) -> list[PlainArray]:
        for room, uses, array in zip(self._inputs, self._handed, arrays, strict=True):
            if uses is None:
                room[...] = array
            else:
                _hand(uses, np.ascontiguousarray(array))
        results = list(self._outputs)
        for i, uses in enumerate(self._fresh):
            if uses is not None:
                make = np.zeros if self._zeroed[i] else np.empty
                results[i] = array = make(results[i].shape, results[i].dtype)
                _hand(uses, array)
        with np.errstate(all="ignore"):
            for function, arguments in self._list:
                function(*arguments)
        for i, taken in enumerate(self._taken):
            if taken is not None:
                results[i] = taken.pop()
            elif self._sources[i] != i:
                results[i] = results[self._sources[i]].copy()
            elif self._fresh[i] is None:
                results[i] = np.array(results[i])
        self._release()
        return results

    def _release(self) -> None:
        """Keep nothing alive that came from outside or from calls, so that it can be used again."""
        for uses in self._lent:
            for arguments, place, _ in uses:
                arguments[place] = None
        for made in self._made:
            made.clear()

    def _worth(self, value: Value) -> "list[Use] | None":
        """The uses of a value, if making views for them is cheaper than to copy it."""
        uses = self._uses.get(value, [])
        return uses if len(uses) * _WORTH < self._rooms[value].nbytes else None

    def _take_results(
        self, values: Sequence[Value], first: dict[Value, int]
    ) -> "list[list[PlainArray] | None]":
        """Let large results of calls be used where they are.

        Returns for each output the list in which its call leaves it; None for others.
        """
        taken: list[list[PlainArray] | None] = [None] * len(self._outputs)
        for value in values:
            uses = self._worth(value)
            if uses is None:
                continue
            made: list[PlainArray] = []
            _, arguments = self._list[self._results[value]]
            (call,) = value.views
            if value in first and not call.value.options[0].fresh:
                continue
            if value in first:
                taken[first[value]] = made
            self._lent.append(uses)
            self._made.append(made)
            self._list[self._results[value]] = _hand_result, [*arguments[:2], uses, made]
        return taken

    def __len__(self) -> int:
        return len(self._list)

    # -- arrays ------------------------------------------------------------------------------------

    def _room(self, value: Value) -> PlainArray:
        room = self._rooms.get(value)
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

    def _read(self, view: View) -> PlainArray:
        room = self._room(view.value)
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
        return self._read(operand) if isinstance(operand, View) else operand

    # -- instructions ------------------------------------------------------------------------------

    def _emit(self, value: Value, read: Read, room: Callable[[Value], PlainArray]) -> None:
        """Add what computes a value, given how operands are read, and where results go."""
        emit = getattr(self, f"_emit_{value.op}", None)
        if emit is not None:
            emit(value, read, room(value))
        elif value.op in ELEMENTWISE:
            function = _FUNCTIONS.get(value.op) or getattr(np, value.op)
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
        self._list.append((function, given))

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
            part = read(operand)
            shape = part.shape if isinstance(part, np.ndarray) else ()
            place = strided(out, shape, strides, offset)
            if id(out) in self._seen:
                self._noted(place, View(value, shape, strides, offset))
            self._add(np.copyto, place, part)

    def _emit_gather(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(_gather, *map(read, value.operands), out)

    def _emit_scatter_add(self, value: Value, read: Read, out: PlainArray) -> None:
        self._add(_scatter_add, *map(read, value.operands), out)

    def _emit_call(self, value: Value, read: Read, out: PlainArray) -> None:
        results: list[Any] = []
        self._rooms[value] = results
        self._add(_call, value.options[0].run, results, *map(read, value.operands))

    def _emit_result(self, value: Value, read: Read, out: PlainArray) -> None:
        (view,) = value.views
        results: Any = self._rooms[view.value]
        self._results[value] = len(self._list)
        self._list.append((_take_result, [results, value.options[0], out]))

    # -- loops -------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> None:
        """The steps of a loop, with views for each made now."""
        stacks: dict[Value, PlainArray] = {}
        for value in loop.body:
            stacked = loop.stacked.get(value)
            if stacked is not None:
                stacks[value] = self._room(stacked)
            else:  # two slots in turn where the next step reads it
                slots = 2 if value in loop.initial else 1
                make = np.zeros if value.op == "assemble" else np.empty
                stacks[value] = make((slots, *value.shape), value.dtype)
        for value, initial in loop.initial.items():
            stack = stacks[value]
            self._add(np.copyto, stack[loop.initial_slot % len(stack)], self._read(initial))
        steps = range(loop.count)
        for t in reversed(steps) if loop.down else steps:
            step = _Step(self, loop, stacks, t)
            for value in loop.body:
                self._emit(value, step.read, step.room)


class _Step:
    """One step of a loop: where its values are."""

    def __init__(
        self, program: PlainProgram, loop: Loop, stacks: dict[Value, PlainArray], t: int
    ) -> None:
        self._program, self._stacks, self._t = program, stacks, t
        self._now, self._before = t + loop.current_slot, t + loop.previous_slot

    def room(self, value: Value) -> PlainArray:
        """Where a value of this step goes."""
        stack = self._stacks[value]
        slot: PlainArray = stack[self._now % len(stack)]
        if slot.ndim == 0:
            slot = stack[self._now % len(stack), ...]
        return slot

    def read(self, operand: Operand) -> Any:
        """What an operand is at this step."""
        if not isinstance(operand, View):
            return operand
        value = operand.value
        if value.op == "moving":
            (view,) = value.views
            offset, strides = operand.within(view.strides)
            at = view.offset + self._t * value.options[0] + offset
            return self._program._read(View(view.value, operand.shape, strides, at))
        slot = self._now
        if value.op == "previous":
            value, slot = value.options[0], self._before
        if value not in self._stacks:
            return self._program._read(operand)
        stack = self._stacks[value]
        at = (slot % len(stack)) * value.size + operand.offset
        return strided(stack, operand.shape, operand.strides, at)


def _hand(uses: Sequence[Use], array: PlainArray) -> None:
    """Put an array where its value is used."""
    for arguments, place, view in uses:
        if view is not None:
            arguments[place] = strided(array, view.shape, view.strides, view.offset)
        else:
            arguments[place] = array


def strided(
    room: PlainArray, shape: tuple[int, ...], strides: Sequence[int], offset: int
) -> PlainArray:
    """A view of contiguous room, with strides and offset in elements."""
    step = room.itemsize
    return np.ndarray(shape, room.dtype, room, offset * step, [s * step for s in strides])


def _call(
    run: Callable[[Sequence[Any]], list[Any]], results: list[Any], *operands: PlainArray
) -> None:
    results[:] = run(operands)
    for i, result in enumerate(results):  # operands are written again by the next call
        if isinstance(result, np.ndarray) and any(
            np.may_share_memory(result, operand) for operand in operands
        ):
            results[i] = result.copy()


def _take_result(results: list[Any], index: int, out: PlainArray) -> None:
    out[()] = results[index]


def _hand_result(
    results: list[Any], index: int, uses: Sequence[Use], made: list[PlainArray]
) -> None:
    made[:] = (np.asarray(results[index], order="C"),)
    _hand(uses, made[0])


def _gather(table: PlainArray, index: PlainArray, out: PlainArray) -> None:
    if index.size and index.min() < 0:
        raise IndexError("an index is negative")
    np.take(table, index, 0, out, "raise")


def _scatter_add(index: PlainArray, rows: PlainArray, out: PlainArray) -> None:
    out[...] = 0
    np.add.at(out, index, rows)


def _sigmoid(x: PlainArray, out: PlainArray) -> None:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    np.divide(1, out, out)


def _where(condition: PlainArray, x: Any, y: Any, out: PlainArray) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=condition)


def _copy(x: Any, out: PlainArray) -> None:
    np.copyto(out, x, casting="unsafe")


def _maximum(x: Any, y: Any, out: PlainArray) -> None:
    np.maximum(x, y, out=out)


def _minimum(x: Any, y: Any, out: PlainArray) -> None:
    np.minimum(x, y, out=out)


def _erf(x: PlainArray, out: PlainArray) -> None:
    np.copyto(out, erf.operation.forward(x))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "convert": _copy,
    "copy": _copy,
    "erf": _erf,
    "maximum": _maximum,
    "minimum": _minimum,
    "sigmoid": _sigmoid,
    "where": _where,
}
"""What NumPy has no function for that writes into an array."""
