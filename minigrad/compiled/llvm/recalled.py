"""What an earlier process found out about a graph: with it, nothing is planned or written again.

It is kept on disk under a key of everything that the code of a program depends on: the graph with
all its numbers, the processor, versions, and the very source of this folder.
"""

import functools
import hashlib
import json
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.compiled.graph import Graph, Loop, Operand, Value, View
from minigrad.compiled.llvm import cache, native

__all__ = ["Recalled", "key_of", "recall", "remember"]


class Recalled(NamedTuple):
    """What a program is, besides its graph.

    Attributes:
        code: the key of its object code.
        counters, size: of its workspace, in bytes, without and with counters.
        copied: by output, the argument that it is a copy of.
        constants: those that are arguments, by their places among those of the graph.
    """

    code: str
    counters: int
    size: int
    copied: dict[int, int]
    constants: list[int]


def key_of(graph: Graph, target: native.Host, threads: int) -> str | None:
    """A name for the program of a graph; None where it cannot be told what it depends on."""
    source = _source()
    if source is None:
        return None
    try:
        text = _Description(graph).text()
    except TypeError:
        return None
    versions = native.binding_version(), sys.version, native.FORMAT, source
    return cache.key_of(text, repr(target), repr(native.layout()), str(threads), *versions)


def recall(key: str) -> Recalled | None:
    """What is kept under a key, or None."""
    data = cache.read(key)
    if data is None:
        return None
    code, counters, size, copied, constants = json.loads(data)
    return Recalled(code, counters, size, dict(copied), constants)


def remember(key: str, found: Recalled) -> None:
    """Keep what was found out."""
    cache.write(key, json.dumps([*found[:3], list(found.copied.items()), found.constants]).encode())


@functools.cache
def _source() -> str | None:
    """The checksum of all code that plans and writes programs; None if there are no files of it."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    try:
        for path in sorted([*folder.rglob("*.py"), folder.parent / "graph.py"]):
            digest.update(path.read_bytes())
    except OSError:
        return None
    return digest.hexdigest()


class _Description:
    """A graph as text that only equal graphs share, with the numbers of constants as checksums."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._numbers: dict[Value, int] = {}
        self._waiting: deque[Value] = deque()

    def text(self) -> str:
        """The text.

        Raises:
            TypeError: it holds what has no text of its own.
        """
        graph = self._graph
        lines = [self._all(graph.inputs), self._all(graph.values)]
        lines += [self._operand(view) for view in graph.outputs]
        while self._waiting:
            lines.append(self._line(self._waiting.popleft()))
        # The order in which they were made, too: passes may sort by it.
        order = sorted(self._numbers, key=lambda value: value.number)
        return "\n".join([*lines, self._all(order)])

    def _all(self, values: Iterable[Value]) -> str:
        return " ".join([self._number(value) for value in values])

    def _number(self, value: Value) -> str:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._numbers)
            self._waiting.append(value)
        return f"v{found}"

    def _line(self, value: Value) -> str:
        operands = [self._operand(operand) for operand in value.operands]
        options = [self._option(option) for option in value.options]
        content = "" if value.array is None else hashlib.sha256(value.array.tobytes()).hexdigest()
        return f"{value.op} {value.shape} {value.dtype.str} {operands} {options} {content}"

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, View):
            number = self._number(operand.value)
            return f"{number} {operand.shape} {operand.strides} {operand.offset}"
        return f"{type(operand).__name__} {operand!r}"

    def _option(self, option: Any) -> str:
        if isinstance(option, Value):
            return self._number(option)
        if isinstance(option, Loop):
            return self._loop(option)
        if isinstance(option, tuple):
            return f"({', '.join([self._option(part) for part in option])})"
        if type(option) not in (int, str, bool):
            raise TypeError(f"{type(option).__name__} has no text")
        return repr(option)

    def _loop(self, loop: Loop) -> str:
        initial = [f"{self._number(v)} {self._operand(o)}" for v, o in loop.initial.items()]
        stacked = [self._all(pair) for pair in loop.stacked.items()]
        return f"{loop.count} {loop.down} {self._all(loop.body)} {initial} {stacked}"
