"""The main function while it is written: pointers to places, and what each thread does."""

from collections.abc import Callable
from typing import Final

from minigrad.compiled.llvm.kernels.runtime import define_take, define_wait
from minigrad.compiled.llvm.native import Host
from minigrad.compiled.llvm.planning.places import LINE, Buffer, Place
from minigrad.compiled.llvm.vectors.ir import Code, Index, Module

__all__ = ["COUNTERS", "Writer", "padded"]

COUNTERS: Final = 2 * LINE
"""Bytes of the two counters of a piece of work, of chunks taken and of chunks done."""


class Writer:
    """What `Emitter` writes with.

    Args:
        target: the machine.
        threads: how many may run the program; 1 leaves out what only more of them need.

    Attributes:
        module: the text so far.
    """

    def __init__(self, target: Host, threads: int) -> None:
        self.module = Module(target.scales, target.fences)
        self._target, self._threads = target, threads
        self._code = Code(self.module)
        self._alone = threads == 1  # whether the code being written is run by one thread
        self._jobs = 0  # how many pieces of work threads share
        self._counters = 0  # where in the workspace their counters are
        self._epoch: Index = 0  # how often a piece of work in a loop was done
        self._open: list[tuple[str, Index]] = []  # what was begun, and how many chunks it has
        self._counter: Index = 0  # of the loop around
        self._arguments: list[str] = []
        self._rooms: dict[object, Buffer] = {}

    # -- pointers ---------------------------------------------------------------------------------

    def _base(self, base: int | Buffer) -> str:
        if isinstance(base, Buffer):
            return self._code.at("%workspace", base.start, "i8")
        return self._arguments[base]

    def _pointer(self, place: Place, kind: str) -> str:
        """The first element of a place at the present step of the loop."""
        pointer = self._code.at(self._base(place.base), place.offset, kind)
        if place.step:
            step = self._code.add(self._counter, place.shift)
            if place.slots:
                step = step & 1 if isinstance(step, int) else self._code.value(f"and i64 {step}, 1")
            pointer = self._code.at(pointer, self._code.multiply(step, place.step), kind)
        return pointer

    def _room(self, key: object, each: int) -> str:
        """Room of this thread, of `each` bytes."""
        if key not in self._rooms:
            return "null"
        start = self._base(self._rooms[key])
        if self._threads == 1:
            return start
        return self._code.at(start, self._code.multiply("%thread", each), "i8")

    def _zero(self, pointer: str, size: int) -> None:
        self._code.intrinsic(
            "void", "llvm.memset.p0.i64", f"ptr {pointer}", "i8 0", f"i64 {size}", "i1 false"
        )

    # -- threads ----------------------------------------------------------------------------------
    #
    # Work is cut into chunks, and each thread takes the next one that nobody has taken. So a thread
    # that the system does not run for a while holds up the others by one chunk at most.

    def _by_one(self, body: Callable[[], None]) -> None:
        """Code that one thread runs, whichever comes first."""
        if self._alone:
            body()
            return

        def alone(_chunk: Index) -> None:
            self._alone = True
            body()
            self._alone = False

        self._in_chunks(1, alone)

    def _shared(
        self, count: int, large: bool, chunks: int, body: Callable[[Index, Index], None]
    ) -> None:
        """`body(start, end)` over a count: by one thread, or if it is large in chunks by all."""
        chunks = min(count, chunks)
        if self._alone or not large or chunks == 1:
            self._by_one(lambda: body(0, count))
            return
        code = self._code

        def part(chunk: Index) -> None:
            start = code.value(f"udiv i64 {code.multiply(chunk, count)}, {chunks}")
            after = code.multiply(code.add(chunk, 1), count)
            body(start, code.value(f"udiv i64 {after}, {chunks}"))

        self._in_chunks(chunks, part)

    def _in_chunks(self, chunks: int, body: Callable[[Index], None]) -> None:
        code, line = self._code, self._counters + COUNTERS * self._jobs
        self._jobs += 1
        define_take(self.module)
        taken = code.at("%workspace", line, "i8")
        done = code.at("%workspace", line + LINE, "i8")
        base = code.multiply(self._epoch, chunks)
        limit = code.add(base, chunks)
        found = ""

        def another() -> str:
            nonlocal found
            found = code.call("i64", "take", f"ptr {taken}, i64 {limit}")
            return code.value(f"icmp sge i64 {found}, 0")

        def one() -> None:
            body(code.subtract(found, base))
            code.do(f"atomicrmw add ptr {done}, i64 1 release")

        code.repeat(another, one)
        self._open.append((done, limit))

    def _barrier(self) -> None:
        """Wait for all chunks of what was begun."""
        if self._open:
            define_wait(self.module, self._target)
        for done, limit in self._open:
            self._code.call("void", "wait", f"ptr {done}, i64 {limit}")
        self._open.clear()


def padded(size: int) -> int:
    """Bytes up to the end of a cache line, and one line more: threads share none."""
    return -(-size // LINE) * LINE + LINE
