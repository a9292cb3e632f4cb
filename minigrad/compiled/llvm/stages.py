"""Graphs that native code knows in part: native programs and NumPy calls in turn."""

import functools
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, TypeAlias

import numpy as np

from minigrad.compiled import plain
from minigrad.compiled.graph import (
    ELEMENTWISE,
    Graph,
    Loop,
    PlainArray,
    Unsupported,
    Value,
    View,
    is_in_order,
)
from minigrad.compiled.llvm.planning.fuse import FUSED
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import Code, Module
from minigrad.compiled.llvm.vectors.memory import register_kind
from minigrad.profiling.tables import KernelWork
from minigrad.profiling.watching import PartNote

__all__ = ["StagedProgram", "is_native"]

Program: TypeAlias = Callable[[Sequence[PlainArray]], list[PlainArray]]

_KNOWN = FUSED | {"matmul", "gather", "scatter_add", "assemble", "stack", "loop"}


def is_native(value: Value) -> bool:
    """Whether there is native code for what computes a value."""
    if value.op not in _KNOWN:
        return False
    if value.op == "stack":
        return is_native(next(value.views).value)
    if value.op == "loop":
        loop: Loop = value.options[0]
        return all(is_native(inner) and inner.op != "loop" for inner in loop.body)
    if value.op in ELEMENTWISE:
        given = (o.dtype if isinstance(o, View) else o for o in value.operands)
        return _is_native_elementwise(value.op, value.dtype, *given)
    try:
        kinds = [register_kind(value.dtype), *(register_kind(view.dtype) for view in value.views)]
    except Unsupported:
        return False
    if value.op == "matmul":
        return kinds[0] in ("float", "double")
    if value.op == "gather":
        table, _ = value.views
        return is_in_order(table.shape[1:], table.strides[1:])
    if value.op == "row_max" and value.dtype.kind == "u":
        return False
    return "i1" not in kinds or value.op == "assemble"


@functools.lru_cache(maxsize=1024, typed=True)
def _is_native_elementwise(op: str, dtype: Any, *operands: Any) -> bool:
    """The same of an elementwise operation of numbers, and of arrays of some dtypes."""
    given = [View(Value("input", (), (), o)) if isinstance(o, np.dtype) else o for o in operands]
    try:
        Elements(Code(Module()), 4).compute(Value(op, given, (), dtype), ["%x"] * len(given))
    except Unsupported:
        return False
    return True


class StagedProgram:
    """A graph run stage by stage, each by a program of its own.

    Args:
        graph: what is computed.
        build: makes the program of a native stage.

    Attributes:
        stages: how many there are.
        status: the status flags of the native stages of the last call.
    """

    def __init__(self, graph: Graph, build: Callable[[Graph], Program]) -> None:
        stage = _stages(graph)
        last: dict[Value, int] = {}
        for value in graph.values:
            for view in _reads(value):
                last[view.value] = max(last.get(view.value, 0), stage[value])
        end = max(stage.values(), default=0) + 1
        last.update((view.value, end) for view in graph.outputs)
        # Each with the slots of what it is given, of what it makes, and of what nobody needs then.
        self._programs: list[tuple[Program, list[int], list[int], list[int]]] = []
        self._slots = {value: number for number, value in enumerate(graph.inputs)}
        for number in sorted(set(stage.values())):
            values = [value for value in graph.values if stage[value] == number]
            inside = set(values)
            read = {
                view.value: None
                for value in values
                for view in _reads(value)
                if view.value not in inside and view.value.op != "constant"
            }
            given = [self._slots[value] for value in read]
            made = [value for value in values if last.get(value, -1) > number]
            made = [value for value in made if value.op not in ("loop", "call")]
            part = Graph(list(read), values, [View(value) for value in made])
            program = plain.build(part) if number % 2 else build(part)
            for value in made:
                self._slots[value] = len(self._slots)
            over = [self._slots[value] for value in read if last[value] == number]
            slots = [self._slots[value] for value in made]
            self._programs.append((program, given, slots, over))
        self._outputs = [view.value for view in graph.outputs]
        self._given = len(graph.inputs)
        self.stages = len(self._programs)
        self.status = 0

    @property
    def native_parts(self) -> list[Any]:
        """What works in a workspace: the programs of its native stages."""
        return [program for program, *_ in self._programs if hasattr(program, "work_in")]

    @property
    def kernels(self) -> list[KernelWork]:
        """What its native stages consist of, with an estimate of the work."""
        return [k for program, *_ in self._programs for k in getattr(program, "kernels", ())]

    def __call__(self, arrays: Sequence[PlainArray]) -> list[PlainArray]:
        return self._run(arrays, lambda _, program, given: program(given))

    def run_parts(self, arrays: Sequence[PlainArray], note: PartNote) -> list[PlainArray]:
        """The same, telling when each NumPy call and each native stage began and ended."""

        def run(number: int, program: Any, given: list[Any]) -> list[PlainArray]:
            if hasattr(program, "run_parts"):
                results: list[PlainArray] = program.run_parts(given, note)
                return results
            begun = perf_counter_ns()
            results = program(given)
            note(f"native stage {number}", begun, perf_counter_ns())
            return results

        return self._run(arrays, run)

    def _run(
        self,
        arrays: Sequence[PlainArray],
        run: Callable[[int, Program, list[Any]], list[PlainArray]],
    ) -> list[PlainArray]:
        """The outputs, given the inputs and what runs a stage."""
        found: list[Any] = [*arrays, *[None] * (len(self._slots) - self._given)]
        self.status = 0
        for number, (program, given, made, over) in enumerate(self._programs):
            results = run(number, program, [found[slot] for slot in given])
            self.status |= getattr(program, "status", 0)
            for slot, result in zip(made, results, strict=True):
                found[slot] = result
            for slot in over:
                found[slot] = None
        return self._returned(found)

    def _returned(self, found: list[Any]) -> list[PlainArray]:
        """The outputs, each an array of its own."""
        results, seen = [], set(range(self._given))
        for value in self._outputs:
            slot = self._slots.get(value)
            if slot is None:
                results.append(np.array(value.array))
            elif slot in seen:
                results.append(np.array(found[slot]))
            else:
                seen.add(slot)
                results.append(found[slot])
        return results


def _reads(value: Value) -> list[View]:
    """What a value reads; of a loop, also what its steps read from outside."""
    views = list(value.views)
    if value.op == "loop":
        loop: Loop = value.options[0]
        body = set(loop.body)
        views += loop.initial.values()
        for inner in loop.body:
            for view in inner.views:
                if view.value.op == "moving":
                    views += view.value.views
                elif view.value not in body and view.value.op != "previous":
                    views.append(view)
    return views


def _stages(graph: Graph) -> dict[Value, int]:
    """When each value is computed: native code in even stages, NumPy in odd ones."""
    stage: dict[Value, int] = {}
    for value in graph.values:
        odd = not is_native(value)
        before = [stage[view.value] for view in _reads(value) if view.value in stage]
        stage[value] = max((at + ((at % 2 == 1) != odd) for at in before), default=0)
        stage[value] = max(stage[value], int(odd))
    return stage
