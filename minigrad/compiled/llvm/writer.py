"""The main function while it is written: pointers to places, and what each thread does."""

from collections.abc import Callable

from minigrad.compiled.llvm.kernels.runtime import define_barrier
from minigrad.compiled.llvm.native import Host
from minigrad.compiled.llvm.planning.places import LINE, Buffer, Place
from minigrad.compiled.llvm.vectors.ir import Code, Index, Module

__all__ = ["Writer", "padded"]


class Writer:
    """What `Emitter` writes with.

    Args:
        target: the machine.
        threads: how many may run the program; 1 leaves out what only more of them need.

    Attributes:
        module: the text so far.
    """

    def __init__(self, target: Host, threads: int) -> None:
        self.module = Module()
        self._target, self._threads = target, threads
        self._code = Code(self.module)
        self._alone = threads == 1  # whether the code being written is run by one thread
        self._first = ""  # whether this is the first thread
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

    def _by_one(self, body: Callable[[], None]) -> None:
        """Code that one thread runs."""
        if self._alone:
            body()
            return

        def alone() -> None:
            self._alone = True
            body()
            self._alone = False

        self._code.when(self._first, alone)

    def _barrier(self) -> None:
        if not self._alone:
            define_barrier(self.module, self._target)
            self._code.call("void", "barrier", "ptr %workspace", "i64 %threads")

    def _share_of(self, count: int) -> tuple[Index, Index]:
        """The part of a count that this thread does."""
        code = self._code
        low = code.value(f"udiv i64 {code.multiply('%thread', count)}, %threads")
        after = code.multiply(code.add("%thread", 1), count)
        return low, code.value(f"udiv i64 {after}, %threads")

    def _shared(self, count: int, large: bool, body: Callable[[Index, Index], None]) -> None:
        """`body(start, end)` over a count, by one thread or by all."""
        if self._alone or not large or count == 1:
            self._by_one(lambda: body(0, count))
        else:
            body(*self._share_of(count))


def padded(size: int) -> int:
    """Bytes up to the end of a cache line, and one line more: threads share none."""
    return -(-size // LINE) * LINE + LINE
