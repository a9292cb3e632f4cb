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

__all__ = ["PlainProgram", "build"]

Instruction = tuple[Callable[..., Any], tuple[Any, ...]]


def build(graph: Graph) -> "PlainProgram":
    """A function from the arguments of a graph to its outputs.

    Raises:
        Unsupported: for an operation that it does not know.
    """
    return PlainProgram(graph)


class PlainProgram:
    """A graph as a list of NumPy calls.

    Calling it with one contiguous array for each input returns a list of new arrays. Its room is
    its own, so two threads must not run one program at once.
    """

    def __init__(self, graph: Graph) -> None:
        self._rooms: dict[Value, PlainArray] = {}
        self._list: list[Instruction] = []
        self._inputs: list[PlainArray] = []
        for value in graph.inputs:
            self._inputs.append(self._room(value))
        for value in graph.values:
            self._emit(value)
        self._outputs = [self._read(view) for view in graph.outputs]

    def __call__(self, arrays: Sequence[PlainArray]) -> list[PlainArray]:
        for room, array in zip(self._inputs, arrays, strict=True):
            room[...] = array
        for function, arguments in self._list:
            function(*arguments)
        return [np.array(output) for output in self._outputs]

    def __len__(self) -> int:
        return len(self._list)

    # -- arrays ------------------------------------------------------------------------------------

    def _room(self, value: Value) -> PlainArray:
        room = self._rooms.get(value)
        if room is None:
            if value.op == "constant":
                assert value.array is not None
                room = value.array
            elif value.op == "assemble":
                room = np.zeros(value.shape, value.dtype)  # what no part covers stays zero
            else:
                room = np.empty(value.shape, value.dtype)
            self._rooms[value] = room
        return room

    def _read(self, view: View) -> PlainArray:
        room = self._room(view.value)
        return room if view.whole else strided(room, view.shape, view.strides, view.offset)

    def _operand(self, operand: Operand) -> Any:
        return self._read(operand) if isinstance(operand, View) else operand

    # -- instructions ------------------------------------------------------------------------------

    def _emit(self, value: Value) -> None:
        emit = getattr(self, f"_emit_{value.op}", None)
        if emit is not None:
            emit(value)
        elif value.op in ELEMENTWISE:
            function = _FUNCTIONS.get(value.op) or getattr(np, value.op)
            arguments = [self._operand(o) for o in value.operands]
            if value.op != "where":
                arguments = self._typed(value, arguments)
            self._add(function, *arguments, self._room(value))
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
        self._list.append((function, arguments))

    def _emit_row_sum(self, value: Value) -> None:
        (view,) = value.views
        self._add(np.add.reduce, self._read(view), -1, None, self._room(value), True)

    def _emit_row_max(self, value: Value) -> None:
        (view,) = value.views
        self._add(np.maximum.reduce, self._read(view), -1, None, self._room(value), True)

    def _emit_lead_sum(self, value: Value) -> None:
        (view,) = value.views
        axes = tuple(range(value.options[0]))
        self._add(np.add.reduce, self._read(view), axes, None, self._room(value))

    def _emit_total(self, value: Value) -> None:
        (view,) = value.views
        self._add(np.add.reduce, self._read(view), None, None, self._room(value))

    def _emit_matmul(self, value: Value) -> None:
        self._add(np.matmul, *(self._read(v) for v in value.views), self._room(value))

    def _emit_assemble(self, value: Value) -> None:
        room = self._room(value)
        for view, (strides, offset) in zip(value.views, value.options, strict=True):
            self._add(np.copyto, strided(room, view.shape, strides, offset), self._read(view))

    def _emit_gather(self, value: Value) -> None:
        table, index = (self._read(v) for v in value.views)
        self._add(_gather, table, index, self._room(value))

    def _emit_scatter_add(self, value: Value) -> None:
        index, rows = (self._read(v) for v in value.views)
        self._add(_scatter_add, index, rows, self._room(value))

    def _emit_call(self, value: Value) -> None:
        called = value.options[0]
        results: list[Any] = []
        self._rooms[value] = results  # type: ignore[assignment]
        self._add(_call, called.run, [self._operand(o) for o in value.operands], results)

    def _emit_result(self, value: Value) -> None:
        (view,) = value.views
        results: Any = self._rooms[view.value]
        self._add(_take_result, results, value.options[0], self._room(value))

    def _emit_loop(self, value: Value) -> None:
        loop: Loop = value.options[0]
        raise Unsupported(f"a loop of {loop.count} steps")


def strided(
    room: PlainArray, shape: tuple[int, ...], strides: Sequence[int], offset: int
) -> PlainArray:
    """A view of contiguous room, with strides and offset in elements."""
    step = room.itemsize
    return np.ndarray(shape, room.dtype, room, offset * step, [s * step for s in strides])


def _call(
    run: Callable[[Sequence[Any]], list[Any]], operands: list[Any], results: list[Any]
) -> None:
    results[:] = run(operands)


def _take_result(results: list[Any], index: int, out: PlainArray) -> None:
    np.copyto(out, results[index])


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
