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
    REDUCTIONS,
    Graph,
    Loop,
    Operand,
    PlainArray,
    Unsupported,
    Value,
    View,
)
from minigrad.compiled.stepwise.blocking import Chain, Unlikely, chains, read_elsewhere
from minigrad.compiled.stepwise.functions import (
    FUNCTIONS,
    Instruction,
    Use,
    branch,
    call,
    gather,
    hand,
    hand_result,
    scatter_add,
    strided,
    take_result,
)
from minigrad.compiled.stepwise.placing import place_body, seen_in, users_of
from minigrad.compiled.stepwise.steps import Block, Step

__all__ = ["KERNELS", "LIFTS", "PlainProgram", "build"]

KERNELS = True  # a large kernel makes fewer passes than what it consists of
LIFTS = True  # one call for all steps instead of one for each

Read = Callable[[Operand], Any]
Room = Callable[[Value], PlainArray]

_MANY_STEPS = 4  # from which a matrix is copied rather than read down its columns
_WORTH = 4096  # bytes that are copied in the time in which one view is made


def build(graph: Graph) -> "PlainProgram":
    """A function from the arguments of a graph to its outputs.

    Raises:
        Unsupported: for an operation that it does not know.
    """
    try:
        return PlainProgram(graph)
    except Unsupported:  # perhaps of the places alone
        return PlainProgram(graph, place=False)


class PlainProgram:
    """A graph as a list of NumPy calls, the steps of loops one after the other.

    Calling it with one array for each input returns a list of new arrays. Its room is its own, so
    two threads must not run one program at once: `minigrad.compiled.programs.Program` has a lock.
    NumPy's warnings are off.
    """

    def __init__(self, graph: Graph, place: bool = True) -> None:
        self._place = place
        self._rooms: dict[Value, Any] = {}  # arrays; of a call, the list of its results
        self._list: list[Instruction] = []
        results = [value for value in graph.values if value.op == "result"]
        self._outside = {*graph.inputs, *results, *(view.value for view in graph.outputs)}
        # Arrays that are views of values that go in, out, or come from a call, by their identity.
        self._seen: dict[int, tuple[PlainArray, View]] = {}
        self._uses: dict[Value, list[Use]] = {}
        self._results: dict[Value, int] = {}  # where in the list they are taken
        self._users = users_of(graph)
        self._returned = {view.value for view in graph.outputs}
        self.parts: dict[Value, View] = {}  # values that are parts of others
        self.turned: dict[Any, PlainArray] = {}  # copies of what steps read, by keys of views
        self._inputs = [self.room_of(value) for value in graph.inputs]
        for value in chains(graph.values):
            if isinstance(value, Chain):
                self._chain(value, graph)
            elif value.op == "loop":
                self._loop(value.options[0])
            elif value.op != "stack":
                self._emit(value, self._operand, self.room_of)
        self._outputs = [self.read_view(view) for view in graph.outputs]
        self._handed = [
            None if value in self._returned else self._worth(value) for value in graph.inputs
        ]
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
                hand(uses, np.ascontiguousarray(array))
        results = list(self._outputs)
        for i, uses in enumerate(self._fresh):
            if uses is not None:
                make = np.zeros if self._zeroed[i] else np.empty
                results[i] = array = make(results[i].shape, results[i].dtype)
                hand(uses, array)
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
            self._list[self._results[value]] = hand_result, [*arguments[:2], uses, made]
        return taken

    def __len__(self) -> int:
        return len(self._list)

    # -- arrays ------------------------------------------------------------------------------------

    def room_of(self, value: Value) -> PlainArray:
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

    def resolved(self, view: View) -> View:
        """A read as one of a value that has room of its own."""
        while view.value in self.parts:
            view = seen_in(view, self.parts[view.value])
        return view

    def read_view(self, view: View) -> PlainArray:
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

    # -- chains ------------------------------------------------------------------------------------

    def _chain(self, chain: Chain, graph: Graph) -> None:
        """A chain, block by block."""
        chain.set_aside(self._users)
        blocks = chain.blocks
        if len(blocks) == 1:
            self._rows(chain, self._operand, self.room_of)
            return
        local = set(chain.values) - read_elsewhere(graph, chain)
        places = chain.places(local)
        rooms: dict[int, PlainArray] = {}
        _, count = blocks[0]
        for value, place in places.items():
            if place not in rooms:
                size = value.size // chain.rows * count
                rooms[place] = np.empty(size, value.dtype)
        block = {value: rooms[place] for value, place in places.items()}
        for start, count in blocks:
            part = Block(self, block, chain.rows, start, count)
            self._rows(chain, part.read, part.room, add=start > 0)

    def _rows(self, chain: Chain, read: Read, room: Room, add: bool = False) -> None:
        """Some rows of a chain; perhaps with sums added to those of the rows before."""
        aside = {value for unlikely in chain.unlikely.values() for value in unlikely.values}
        for value in chain.values:
            if value in aside:
                continue
            if value in chain.unlikely:
                self._emit_unlikely(value, chain.unlikely[value], read, room)
            elif value.op in REDUCTIONS and add:
                more, out = np.empty(value.shape, value.dtype), self.room_of(value)
                self._emit(value, read, {value: more}.__getitem__)
                self._add(np.add, out, more, out)
            else:
                self._emit(value, read, room)

    def _emit_unlikely(self, value: Value, unlikely: Unlikely, read: Read, room: Room) -> None:
        """A value that is computed in one of two ways."""
        condition, chosen, otherwise, values = unlikely
        outer, where_any, other = self._list, [], []  # type: ignore[var-annotated]
        self._list = where_any
        for each in (*values, value):
            self._emit(each, read, room)
        self._list = other
        self._emit(
            value,
            lambda o: read(otherwise if isinstance(o, View) and o.value is chosen else o),
            room,
        )
        self._list = outer
        shape = (*condition.shape[:-1], 1)
        of_rows = View(condition.value, shape, condition.strides, condition.offset)
        self._add(branch, read(of_rows), where_any, other)

    # -- loops -------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> None:
        """The steps of a loop, with views for each made now."""
        placing = place_body(loop, self._users if self._place else {}, self._returned)
        self.parts.update(placing.parts)
        stacks: dict[Value, PlainArray] = {}
        for value in placing.body:
            if value in placing.parts:
                continue
            stacked = placing.stacked.get(value)
            if stacked is not None:
                stacks[value] = self.room_of(stacked)
            else:  # two slots in turn where the next step reads it
                slots = 2 if value in placing.carried else 1
                make = np.zeros if value.op == "assemble" else np.empty
                stacks[value] = make((slots, *value.shape), value.dtype)
        for value, initial in loop.initial.items():
            part = self.resolved(View(value))
            stack = stacks[part.value]
            at = loop.initial_slot % len(stack) * part.value.size + part.offset
            place = strided(stack, part.shape, part.strides, at)
            self._add(np.copyto, place, self.read_view(initial))
        self._turn_weights(loop)
        steps = range(loop.count)
        for t in reversed(steps) if loop.down else steps:
            step = Step(self, loop, stacks, t)
            for value in placing.body:
                self._emit(value, step.read, step.room)

    def _turn_weights(self, loop: Loop) -> None:
        """Copy matrices that every step reads transposed: OpenBLAS would do so at every step."""
        if loop.count < _MANY_STEPS:
            return
        inside = set(loop.body)
        for value in loop.body:
            view = list(value.views)[-1] if value.op == "matmul" else None
            if view is None or view.value in inside or view.value.op in ("moving", "previous"):
                continue
            if len(view.shape) == 2 and view.strides[0] == 1 and view.key not in self.turned:
                turned = self.turned[view.key] = np.empty(view.shape, view.dtype)
                self._add(np.copyto, turned, self.read_view(view))
