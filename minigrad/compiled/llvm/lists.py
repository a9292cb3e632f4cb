"""One recipe over the elements of many arrays: what an optimiser does in a step.

Lengths are known at a call alone, and numbers such as a learning rate come with it, so one program
serves every list of parameters. Each operation is rounded as NumPy rounds it, and subnormal numbers
are kept: results have the bits of NumPy's. Work is cut into chunks, which threads take in turn; a
sum is one of the sums of chunks.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.graph import Value, View
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.crew import asked_for, crew
from minigrad.compiled.llvm.kernels.runtime import define_take, define_wait
from minigrad.compiled.llvm.planning.places import LINE
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Module
from minigrad.compiled.llvm.vectors.memory import register_kind
from minigrad.compiled.recipes import Recipe

__all__ = ["ListProgram", "build"]

PlainArray: TypeAlias = np.ndarray[Any, Any]

_CHUNK: Final = 16384
"""Elements of a chunk: with four arrays of float32 they fill a cache of the second level."""

_WORTH_THREADS: Final = 3_500_000
"""Elements from which on a second thread pays."""

_CHUNKS, _NUMBERS, _TOTALS, _FIRST = range(4)
"""Where in the frame what is, before the arrays that are written and read."""

_WORKSPACE: Final = 3 * LINE // 8
"""Chunks taken, chunks done, and how many there are of chunks and entries: in three cache lines."""

_LIMITS: Final = 2 * LINE // 8

_SUMS: Final = 4
"""Vectors of sums side by side."""

_NOTHING: Final = np.zeros(0)
"""The sums of chunks where none are wanted, and the numbers where there are none."""


@functools.cache
def build(recipe: Recipe) -> "ListProgram":
    """A function from arrays of any lengths, and numbers, to what a recipe makes of them.

    Raises:
        MissingPackageError: without llvmlite.
        Unsupported: for operations and dtypes without native code.
    """
    return ListProgram(recipe, _WORTH_THREADS, native.host())


class ListProgram:
    """Native code for a recipe.

    Args:
        recipe: what is computed.
        worth: from how many elements on threads share the work.
        target: the machine to build for.

    Attributes:
        arrays: how many are read for each entry.

    Raises:
        Unsupported: for operations and dtypes without native code.
    """

    def __init__(self, recipe: Recipe, worth: int, target: native.Host) -> None:
        self._worth, self._layout = worth, native.layout()
        self._sums, self.arrays = recipe.total is not None, recipe.arrays
        self.text = _module(recipe, target, self._layout)
        self._library = native.load_code(self.text, target)
        self._main = self._library.main()
        self._rooms: list[_Room] = []  # those that no call uses now

    @staticmethod
    def cut(arrays: Sequence[PlainArray]) -> PlainArray:
        """By chunk of the work on arrays: which of them, where it begins, and its length."""
        return _chunks(tuple([array.size for array in arrays]))

    def __call__(
        self,
        chunks: PlainArray,
        written: Sequence[PlainArray],
        read: Sequence[PlainArray],
        numbers: Sequence[float],
    ) -> tuple[float, int]:
        """Run it over all entries.

        Args:
            chunks: which `cut` gives for one array of each entry; those of an entry are of one
                length.
            written: for each result of the recipe, the arrays of all entries, contiguous.
            read: the same for each array that the recipe reads. One that is written may be there
                in the place of one that is read.
            numbers: in the order of the recipe.

        Returns:
            The sum over everything, 0 if none is wanted; and the status flags.
        """
        count = len(chunks)
        totals = np.zeros(count) if self._sums else _NOTHING
        try:
            room = self._rooms.pop()
        except IndexError:
            room = _Room()
        room.begin(count, len(read) // self.arrays)
        apart = np.array(numbers, np.float64) if numbers else _NOTHING
        given = (chunks, apart, totals, *written, *read)
        frame, alive = native.make_frame(given, self._layout)
        threads = asked_for() if count * _CHUNK >= self._worth else 1
        if threads == 1:
            status = self._main(frame, room.address, 0, 1)
        else:
            status = crew(threads).run(self._main, frame, room.address)
        del alive
        self._rooms.append(room)
        return (math.fsum(totals.tolist()) if self._sums else 0.0), status


class _Room:
    """Where the threads of one call agree on who takes which chunk.

    Attributes:
        address: where it begins.
    """

    def __init__(self) -> None:
        self._counters = np.zeros(_WORKSPACE, np.int64)
        self.address: int = self._counters.__array_interface__["data"][0]

    def begin(self, chunks: int, entries: int) -> None:
        """None of so many chunks are taken, of the work on so many entries."""
        self._counters.fill(0)
        self._counters[_LIMITS : _LIMITS + 2] = chunks, entries


@functools.lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> PlainArray:
    """By chunk: its entry, where it begins, and its length."""
    cuts = [
        (number, start, min(_CHUNK, size - start))
        for number, size in enumerate(sizes)
        for start in range(0, size, _CHUNK)
    ]
    return np.array(cuts, np.int64).reshape(-1, 3)


def _module(recipe: Recipe, target: native.Host, layout: native.Layout | None) -> str:
    module = Module()
    _define_chunk(module, recipe, target)
    code = Code(module)
    saved = native.enter(code, target, flush=False)
    define_take(module)
    define_wait(module, target)
    chunks, numbers, totals = (_array(code, place, layout) for place in range(_FIRST))
    limit, entries = (
        code.value(f"load i64, ptr {code.at('%workspace', _LIMITS + k, 'i64')}") for k in range(2)
    )
    done = code.at("%workspace", LINE, "i8")
    taken = ""

    def another() -> str:
        nonlocal taken
        taken = code.call("i64", "take", "ptr %workspace", f"i64 {limit}")
        return code.value(f"icmp sge i64 {taken}, 0")

    def one() -> None:
        at = code.at(chunks, code.multiply(taken, 3), "i64")
        entry, start, count = (
            code.value(f"load i64, ptr {code.at(at, k, 'i64')}") for k in range(3)
        )
        pointers = []
        for k, kind in enumerate(_kinds(recipe)):
            place = code.add(code.add(code.multiply(entries, k), entry), _FIRST)
            pointers.append(code.at(_array(code, place, layout), start, kind))
        total = code.at(totals, taken, "double")
        given = [f"ptr {pointer}" for pointer in [*pointers, numbers, total]]
        code.call("void", "chunk", *given, f"i64 {count}")
        code.do(f"atomicrmw add ptr {done}, i64 1 release")

    code.repeat(another, one)
    code.call("void", "wait", f"ptr {done}", f"i64 {limit}")
    code.do(f"ret i32 {native.leave(code, target, saved)}")
    head = "define i32 @main(ptr %frame, ptr %workspace, i64 %thread, i64 %threads)"
    module.define("main", code.finish(head))
    return module.text()


def _array(code: Code, place: Index, layout: native.Layout | None) -> str:
    """The elements of an array in the frame."""
    size = BYTES["i64"]
    item = code.at("%frame", code.multiply(place, size), "i8")
    if layout is None:
        return code.value(f"load ptr, ptr {item}")
    array = code.value(f"load ptr, ptr {code.at(item, layout.items, 'i8')}")
    return code.value(f"load ptr, ptr {code.at(array, layout.data, 'i8')}")


def _kinds(recipe: Recipe) -> list[str]:
    """The types of elements: of what is written, and of what is read."""
    written = [recipe.steps[step][2] for step in recipe.results]
    read = [dtype for op, _, dtype in recipe.steps if op == "array"]
    return [register_kind(dtype) for dtype in written + read]


def _define_chunk(module: Module, recipe: Recipe, target: native.Host) -> None:
    """`chunk(arrays..., numbers, total, count)`: whole vectors, then element by element."""
    code = Code(module)
    kinds = _kinds(recipe)
    numbers = [
        _number(code, k, dtype)
        for k, dtype in enumerate(dtype for op, _, dtype in recipe.steps if op == "number")
    ]
    width = target.vector_bytes // BYTES[kinds[-1]]
    if recipe.total is not None:  # several vectors at once: each addition waits for one before it
        width *= _SUMS
    whole = code.multiply(code.value(f"udiv i64 %count, {width}"), width)
    total = _run(code, recipe, kinds, numbers, ("0", whole), width)
    rest = _run(code, recipe, kinds, numbers, (whole, "%count"), 1)
    if recipe.total is not None:
        parts = [
            Elements(code, lanes, rounded=True).across("row_sum", part, "double")
            for part, lanes in ((total, width), (rest, 1))
        ]
        one, other = (
            code.value(f"extractelement <{lanes} x double> {part}, i64 0")
            for part, lanes in zip(parts, (width, 1), strict=True)
        )
        code.do(f"store double {code.value(f'fadd double {one}, {other}')}, ptr %total")
    code.do("ret void")
    pointers = "".join(f"ptr %p{k}, " for k in range(len(kinds)))
    head = f"define internal void @chunk({pointers}ptr %numbers, ptr %total, i64 %count) noinline"
    module.define("chunk", code.finish(head))


def _number(code: Code, place: int, dtype: str) -> tuple[str, str]:
    """A number of the call, rounded to its dtype; and its type."""
    kind = register_kind(dtype)
    found = code.value(f"load double, ptr {code.at('%numbers', place, 'double')}")
    return (found if kind == "double" else code.value(f"fptrunc double {found} to {kind}")), kind


def _run(
    code: Code,
    recipe: Recipe,
    kinds: Sequence[str],
    numbers: Sequence[tuple[str, str]],
    limits: tuple[Index, Index],
    width: int,
) -> str:
    """The recipe from one element to another, `width` at a time; returns the sums by lane."""
    elements = Elements(code, width, rounded=True)
    splats = [elements.floats(kind).splat(number) for number, kind in numbers]
    written = len(recipe.results)

    def body(i: Index, sums: list[str]) -> list[str]:
        values: list[Value] = []
        registers: list[str] = []
        arrays, given = iter(range(written, len(kinds))), iter(splats)
        for op, operands, dtype in recipe.steps:
            values.append(Value(op, [View(values[k]) for k in operands], (), dtype))
            if op == "array":
                place = next(arrays)
                pointer = code.at(f"%p{place}", i, kinds[place])
                registers.append(elements.load(pointer, kinds[place], 1, width))
            elif op == "number":
                registers.append(next(given))
            else:
                registers.append(elements.compute(values[-1], [registers[k] for k in operands]))
        for place, step in enumerate(recipe.results):
            pointer = code.at(f"%p{place}", i, kinds[place])
            elements.store(registers[step], pointer, kinds[place], 1, width)
        if recipe.total is None:
            return []
        return [elements.arithmetic("add", sums[0], registers[recipe.total], "double")]

    zeros = [(elements.type("double"), elements.constant(0, "double"))]
    found = code.loop(*limits, width, body, zeros if recipe.total is not None else ())
    return found[0] if found else ""
