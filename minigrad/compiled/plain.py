"""The NumPy back end: every value is one call, into an array that was made beforehand.

It computes what the eager engine computes, by the same NumPy functions, without tensors, nodes and
new arrays on the way. So it is what runs where llvmlite is not installed, and what tests compare
other back ends with.
"""

from collections.abc import Callable, Collection, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from minigrad.compiled.flags import Flags
from minigrad.compiled.graph import (
    REDUCTIONS,
    Graph,
    Loop,
    PlainArray,
    Unsupported,
    Value,
    View,
)
from minigrad.compiled.numpy_calls.blocking import Chain, Unlikely, chains, read_elsewhere
from minigrad.compiled.numpy_calls.functions import Use, branch, hand, hand_result, strided
from minigrad.compiled.numpy_calls.instructions import Instructions, Read, Room
from minigrad.compiled.numpy_calls.placing import place_body, users_of
from minigrad.compiled.numpy_calls.steps import Block, Step
from minigrad.profiling.watching import PartNote

__all__ = ["KERNELS", "LIFTS", "PlainProgram", "build"]

KERNELS = True  # a large kernel makes fewer passes than what it consists of
LIFTS = True  # one call for all steps instead of one for each

_MANY_STEPS = 4  # from which a matrix is copied rather than read down its columns
_WORTH = 4096  # bytes that are copied in the time in which one view is made


def build(graph: Graph, silent: Collection[Value] = ()) -> "PlainProgram":
    """A function from the arguments of a graph to its outputs.

    Args:
        graph: what is computed.
        silent: the values that raise no flags.

    Raises:
        Unsupported: for an operation that it does not know.
    """
    if silent:  # a place would be that of values which raise flags and of others
        return PlainProgram(graph, silent, place=False)
    try:
        return PlainProgram(graph)
    except Unsupported:  # perhaps of the places alone
        return PlainProgram(graph, place=False)


class PlainProgram(Instructions):
    """A graph as a list of NumPy calls, the steps of loops one after the other.

    Calling it with one array for each input returns a list of new arrays. Its room is its own, so
    two threads must not run one program at once: `minigrad.compiled.programs.Program` has a lock.
    NumPy's warnings are off.

    Attributes:
        status: the flags that the last call raised.
    """

    status = 0

    def __init__(self, graph: Graph, silent: Collection[Value] = (), place: bool = True) -> None:
        results = [value for value in graph.values if value.op == "result"]
        outside = {*graph.inputs, *results, *(view.value for view in graph.outputs)}
        super().__init__(outside, silent)
        self._flags, self._place = Flags(), place
        self._users = users_of(graph)
        self._returned = {view.value for view in graph.outputs}
        self._inputs: list[Any] = [self.room_of(value) for value in graph.inputs]
        for value in chains(graph.values):
            if isinstance(value, Chain):
                self._chain(value, graph)
            elif value.op == "loop":
                self._loop(value.options[0])
            elif value.op != "stack":
                self._emit(value, self._operand, self.room_of)
        self._outputs: list[Any] = [self.read_view(view) for view in graph.outputs]
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
        self._let_go()

    def __call__(self, arrays: Sequence[PlainArray]) -> list[PlainArray]:
        return self._ran(arrays, self._run)

    def run_parts(self, arrays: Sequence[PlainArray], note: PartNote) -> list[PlainArray]:
        """The same, telling when each NumPy call began and ended."""

        def run() -> None:
            begun = perf_counter_ns()
            for name, (function, arguments) in zip(self._names, self._list, strict=True):
                function(*arguments)
                ended = perf_counter_ns()
                note(name, begun, ended)
                begun = perf_counter_ns()

        return self._ran(arrays, run)

    def _run(self) -> None:
        for function, arguments in self._list:
            function(*arguments)

    def _ran(self, arrays: Sequence[PlainArray], run: Callable[[], None]) -> list[PlainArray]:
        """The outputs, given the inputs and what runs the instructions."""
        for room, uses, array in zip(self._inputs, self._handed, arrays, strict=True):
            if room is not None:
                room[...] = array
            elif uses is not None:
                hand(uses, np.ascontiguousarray(array))
        results: list[Any] = list(self._outputs)
        for i, uses in enumerate(self._fresh):
            if uses is not None:
                make = np.zeros if self._zeroed[i] else np.empty
                results[i] = array = make(*self._kinds[i])
                hand(uses, array)
        with self._flags:
            run()
        self.status = self._flags.status
        for i, taken in enumerate(self._taken):
            if taken is not None:
                results[i] = taken.pop()
            elif self._sources[i] != i:
                results[i] = results[self._sources[i]].copy()
            elif self._fresh[i] is None:
                results[i] = np.array(results[i])
        self._release()
        return results

    def _let_go(self) -> None:
        """Keep no room in whose place each call uses an array of its own."""
        self._seen.clear()
        self._rooms.clear()
        self._release()
        handed = zip(self._inputs, self._handed, strict=True)
        self._inputs = [room if uses is None else None for room, uses in handed]
        self._kinds = [(room.shape, room.dtype) for room in self._outputs]
        for i, uses in enumerate(self._fresh):
            if uses is not None or self._taken[i] is not None or self._sources[i] != i:
                self._outputs[i] = None

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
        if value.dtype.hasobject:
            return None  # what a kernel keeps for its backward, in a box: no array of numbers
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
        named = len(self._names)
        self._list = where_any
        for each in (*values, value):
            self._emit(each, read, room)
        self._list = other
        self._emit(
            value,
            lambda o: read(otherwise if isinstance(o, View) and o.value is chosen else o),
            room,
        )
        self._list, self._is_silent = outer, False  # the calls of both lists are what they are
        del self._names[named:]
        shape = (*condition.shape[:-1], 1)
        of_rows = View(condition.value, shape, condition.strides, condition.offset)
        self._add(branch, read(of_rows), where_any, other)

    # -- loops -------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> None:
        """The steps of a loop, with views for each made now."""
        placing = place_body(loop, self._users if self._place else {}, self._returned)
        self.parts.update(placing.parts)
        stacks: dict[Value, PlainArray] = {}
        self._emitted, self._is_silent = "copy", False
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
        self._emitted = "copy"
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
