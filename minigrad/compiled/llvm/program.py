"""The native back end: `build(graph)` gives a function from arrays to arrays."""

import ctypes
import functools
import math
import time
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy import empty

from minigrad.compiled.graph import Graph, Value
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.arrays import Checked, Kinds, is_known
from minigrad.compiled.llvm.crew import Pace, asked_for, crew
from minigrad.compiled.llvm.recalled import Recalled, key_of, recall, remember
from minigrad.forks import importing
from minigrad.profiling.tables import KernelWork

if TYPE_CHECKING:
    from minigrad.compiled.llvm.stages import StagedProgram

__all__ = ["LIFTS", "NativeProgram", "aligned", "build", "kernels_of", "share_workspace"]

PlainArray: TypeAlias = np.ndarray[Any, Any]

_WORTH_THREADS: Final = 35_000_000
"""Multiplications, or elements times ten, from which on a second thread pays: waking it costs 30 to
50 microseconds."""

OTHER: Final = Checked.OTHER

LIFTS: Final = True
"""One kernel over all steps rather than one in each."""


def build(
    graph: Graph, threads: int | None = None, target: native.Host | None = None
) -> "NativeProgram | StagedProgram":
    """A function from the arguments of a graph to its outputs.

    What native code does not know is done by NumPy, in between.

    Args:
        graph: what is computed.
        threads: at most so many; if None, what the environment variable `MINIGRAD_THREADS` says,
            or else as many as there are processors. Large programs alone use more than one, as
            long as that is faster, and results have the same bits with any number.
        target: the machine to build for, this one by default.

    Raises:
        MissingPackageError: without llvmlite.
        OptionError: `MINIGRAD_THREADS` is no positive number.
        Unsupported: for operations and dtypes that neither knows.
    """
    host = target or native.host()
    if threads is None:
        threads = asked_for()
    try:
        return NativeProgram(graph, threads, host)
    except _Partly:
        pass
    stages: list[NativeProgram] = []

    def stage(part: Graph) -> NativeProgram:
        stages.append(NativeProgram(part, threads, host))
        return stages[-1]

    program: StagedProgram = _writing().StagedProgram(graph, stage)
    share_workspace(stages)  # they run one after the other
    return program


def share_workspace(programs: Iterable[Any]) -> None:
    """Let programs work in the same memory, which so stays in the processor's caches.

    Args:
        programs: which `build` made; no two of them may ever run at once.
    """
    parts = [part for program in programs for part in getattr(program, "native_parts", ())]
    workspace = max(parts, key=lambda part: part.size).workspace if parts else None
    for part in parts:
        part.work_in(workspace)


def kernels_of(graph: Graph, count: int = 0) -> dict[Value, int]:
    """The values that run together, numbered by kernel; those in loops, too.

    Args:
        graph: what is computed.
        count: of the kernels before.

    Returns:
        Nothing for a graph that is not native as a whole.
    """
    found: dict[Value, int] = _writing().kernels_of(graph, count)
    return found


def _writing() -> ModuleType:
    """The compiler, imported for the first program that is not on disk."""
    with importing:
        from minigrad.compiled.llvm import writing

    return writing


class _Partly(Exception):
    """Native code knows only parts of a graph."""


class NativeProgram:
    """Native code for a graph, and the workspace that it runs in.

    Calling it with one array for each input returns a list of new arrays. Its room is its own, so
    two threads must not run one program at once.

    Attributes:
        status: the status flags of the last call, 0 if no number overflowed or was invalid.
        threads: how many run it.
        from_disk: whether the code was built by an earlier process.
        size: of the workspace that it needs, in bytes.
        workspace: what it works in.
    """

    def __init__(self, graph: Graph, threads: int, target: native.Host) -> None:
        self.threads = threads if threads > 1 and _work(graph) >= _WORTH_THREADS else 1
        self._graph, self._layout = graph, native.layout()
        key = key_of(graph, target, self.threads)
        known = None if key is None else recall(key)
        library = None if known is None else native.from_disk(known.code, target)
        if known is None or library is None:
            known, library = self._built(target)
            if key is not None:
                remember(key, known)
        constants = graph.constants
        self._constants = [np.ascontiguousarray(constants[i].array) for i in known.constants]
        self._library, self.from_disk = library, library.from_disk
        self._main = library.main()
        self._kinds: Kinds | None = None
        self._checked: Checked | None = None
        if is_known():
            self._kinds = Kinds((value.shape, value.dtype) for value in graph.inputs)
        if self._kinds is not None and self._layout is not None and self.threads == 1:
            self._checked = Checked(self._kinds, len(graph.outputs), library.address("main"))
        self.size, self._first_counter = known.size, known.counters
        self.work_in(aligned(self.size))
        self._shapes = [view.value.shape for view in graph.outputs]
        self._dtypes = [view.value.dtype for view in graph.outputs]
        self._copied = known.copied
        self._pace = Pace()
        self.status = 0

    @property
    def native_parts(self) -> tuple["NativeProgram"]:
        """What works in a workspace: this alone."""
        return (self,)

    def work_in(self, workspace: PlainArray) -> None:
        """Use a workspace of `size` bytes or more, with zeros at its beginning, perhaps with others
        that run before and after."""
        self.workspace = workspace
        self._room = workspace.__array_interface__["data"][0]
        self._bad_index = ctypes.c_int64.from_address(self._room + native.BAD_INDEX)
        self._counters = workspace[self._first_counter : self.size]
        if self._checked is not None:
            self._checked.work_in(self._room)

    @functools.cached_property
    def kernels(self) -> list[KernelWork]:
        """What it consists of, with an estimate of the work."""
        found: list[KernelWork] = _writing().work_of(self._graph)
        return found

    def _built(self, target: native.Host) -> tuple[Recalled, native.Library]:
        """The code, planned and written, and what else is known of it then."""
        writing = _writing()
        if not writing.is_whole(self._graph):
            raise _Partly
        flush = _flushes(self._graph)
        found, text = writing.written(self._graph, target, self._layout, flush, self.threads)
        return found, native.load_code(text, target)

    def __call__(self, arrays: Sequence[PlainArray]) -> list[PlainArray]:
        outputs = list(map(empty, self._shapes, self._dtypes))
        given = (*outputs, *arrays, *self._constants)
        checked = self._checked
        status = OTHER if checked is None else checked.run(id(given), checked.record)
        if status == OTHER:
            given = (*outputs, *self._readable(arrays), *self._constants)
            frame, alive = native.make_frame(given, self._layout)
            if self.threads == 1:
                status = self._main(frame, self._room, 0, 1)
            else:
                status = self._run_with_threads(frame)
            del alive
        if self._bad_index.value:
            self._bad_index.value = 0
            raise IndexError("an index is negative, or not below the number of rows")
        if self._copied:
            for number, source in self._copied.items():
                np.copyto(outputs[number], given[source])
        self.status = status
        return outputs

    def _readable(self, arrays: Sequence[PlainArray]) -> Sequence[PlainArray]:
        """The arrays in the order that the program reads."""
        if self._kinds is not None and self._kinds.are_of(tuple(arrays)):
            return arrays
        # A scalar has no pointer where the program looks; a transposed or spread array has other
        # strides.
        return [np.require(each, requirements=("C", "A")) for each in arrays]

    def _run_with_threads(self, frame: int) -> int:
        """The status flags of a call that others may take part in, if that is faster."""
        self._counters.fill(0)
        together, start = self._pace.together(), time.perf_counter()
        if together:
            status = crew(self.threads).run(self._main, frame, self._room)
        else:
            status = self._main(frame, self._room, 0, self.threads)
        self._pace.took(together, time.perf_counter() - start)
        return status


def aligned(size: int) -> PlainArray:
    """Zeros that begin at a page, of which only what is written takes memory."""
    room = np.zeros(size + 4096, np.uint8)
    start = -room.__array_interface__["data"][0] % 4096
    return room[start : start + size]


def _flushes(graph: Graph) -> bool:
    """Whether subnormal numbers become zero: where nothing that goes in or out is float64.

    What is float64 only in between, as the sum of weights, ends as float32, which has no such
    small numbers.
    """
    values = (*graph.inputs, *(view.value for view in graph.outputs))
    return not any(value.dtype == np.float64 for value in values)


def _work(graph: Graph) -> int:
    return sum(_work_of(value) for value in graph.values)


def _work_of(value: Value) -> int:
    if value.op == "loop":
        loop = value.options[0]
        return int(loop.count * sum(_work_of(inner) for inner in loop.body))
    if value.op == "matmul":
        first = next(value.views)
        return value.size * first.shape[-1]
    return 10 * max((math.prod(view.shape) for view in value.views), default=0)
