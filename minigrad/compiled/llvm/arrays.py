"""Functions that look at many arrays at once, in the memory of their objects.

`Kinds` tells whether arrays are of given shapes and dtypes, and `Checked` runs a program if they
are.

NumPy makes a tuple for each `array.shape` and an object for each `array.flags`. To ask for those of
all parameters of a model so takes longer than to update the parameters.
"""

import ctypes
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.llvm import native

__all__ = ["Checked", "Kinds", "is_known"]

PlainArray: TypeAlias = np.ndarray[Any, Any]

_WORD: Final = 8
_CONTIGUOUS: Final = 0x1 | 0x100  # in the order of the axes, and aligned
_OWN: Final = _CONTIGUOUS | 0x4 | 0x400  # its own memory, and writeable

_TEXT: Final = """
define i64 @alike(ptr %arrays, ptr %expected, i64 %count) {
entry:
  %kind = load i64, ptr %expected
  %start = getelementptr i64, ptr %expected, i64 1
  br label %next
next:
  %i = phi i64 [0, %entry], [%after, %same]
  %row = phi ptr [%start, %entry], [%end, %same]
  %any = icmp slt i64 %i, %count
  br i1 %any, label %look, label %done
look:
  %item = getelementptr ptr, ptr %arrays, i64 %i
  %array = load ptr, ptr %item
  %kind.at = getelementptr i8, ptr %array, i64 KIND
  %kind.now = load i64, ptr %kind.at
  %kind.same = icmp eq i64 %kind.now, %kind
  br i1 %kind.same, label %inside, label %done
inside:
  %dtype.at = getelementptr i8, ptr %array, i64 DTYPE
  %dtype.now = load i64, ptr %dtype.at
  %dtype = load i64, ptr %row
  %dtype.same = icmp eq i64 %dtype.now, %dtype
  %axes.at = getelementptr i8, ptr %array, i64 AXES
  %axes.now = load i32, ptr %axes.at
  %needed.there = getelementptr i64, ptr %row, i64 1
  %needed = load i64, ptr %needed.there
  %axes.there = getelementptr i64, ptr %row, i64 2
  %axes = load i64, ptr %axes.there
  %axes.wide = sext i32 %axes.now to i64
  %axes.same = icmp eq i64 %axes.wide, %axes
  %flags.at = getelementptr i8, ptr %array, i64 FLAGS
  %flags = load i32, ptr %flags.at
  %flags.wide = zext i32 %flags to i64
  %right = and i64 %flags.wide, %needed
  %flags.same = icmp eq i64 %right, %needed
  %two = and i1 %dtype.same, %axes.same
  %three = and i1 %two, %flags.same
  %lengths.at = getelementptr i8, ptr %array, i64 LENGTHS
  %lengths = load ptr, ptr %lengths.at
  %first = getelementptr i64, ptr %row, i64 3
  %end = getelementptr i64, ptr %first, i64 %axes
  br i1 %three, label %axis, label %done
axis:
  %k = phi i64 [0, %inside], [%further, %length]
  %more = icmp slt i64 %k, %axes
  br i1 %more, label %length, label %same
length:
  %now.at = getelementptr i64, ptr %lengths, i64 %k
  %now = load i64, ptr %now.at
  %was.at = getelementptr i64, ptr %first, i64 %k
  %was = load i64, ptr %was.at
  %further = add i64 %k, 1
  %equal = icmp eq i64 %now, %was
  br i1 %equal, label %axis, label %done
same:
  %after = add i64 %i, 1
  br label %next
done:
  ret i64 %i
}

define i32 @checked(ptr %frame, ptr %record) {
entry:
  %skipped = load i64, ptr %record
  %arrays = getelementptr i8, ptr %frame, i64 %skipped
  %count.at = getelementptr i64, ptr %record, i64 1
  %count = load i64, ptr %count.at
  %expected.at = getelementptr i64, ptr %record, i64 2
  %expected = load ptr, ptr %expected.at
  %found = call i64 @alike(ptr %arrays, ptr %expected, i64 %count)
  %right = icmp eq i64 %found, %count
  br i1 %right, label %run, label %other
run:
  %main.at = getelementptr i64, ptr %record, i64 3
  %main = load ptr, ptr %main.at
  %room.at = getelementptr i64, ptr %record, i64 4
  %room = load ptr, ptr %room.at
  %status = call i32 %main(ptr %frame, ptr %room)
  ret i32 %status
other:
  ret i32 -1
}
"""


@dataclass(frozen=True)
class _Memory:
    """Where things lie, in bytes from the beginning of a tuple or of an array."""

    items: int
    kind: int
    axes: int
    lengths: int
    dtype: int
    flags: int


@functools.cache
def _memory() -> _Memory | None:
    """What objects look like here; None where that cannot be told."""
    frame = native.layout()
    if frame is None or ctypes.sizeof(ctypes.c_void_p) != _WORD:
        return None
    data = frame.data
    kind = object.__basicsize__ - _WORD
    found = _Memory(frame.items, kind, data + 8, data + 16, data + 40, data + 48)
    room = np.zeros((4, 6), np.float32)
    examples: tuple[PlainArray, ...] = (
        *(room, room[1:], room.T, np.array(1.0), np.zeros((0, 2), np.int8)),
        np.frombuffer(b"12345678", np.int16),
    )
    for example in examples:
        at = id(example)
        fits = (
            _word(at + found.kind) == id(np.ndarray)
            and _word(at + found.dtype) == id(example.dtype)
            and _word(at + found.axes) & 0xFFFFFFFF == example.ndim
            and _word(at + found.flags) & 0xFFFF == example.flags.num
        )
        if not fits:
            return None
        lengths = _word(at + found.lengths)
        if [_word(lengths + _WORD * k) for k in range(example.ndim)] != [*example.shape]:
            return None
    return found


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def is_known() -> bool:
    """Whether objects look here as this module expects."""
    return _memory() is not None


@functools.cache
def _library() -> tuple[_Memory, native.Library]:
    memory = _memory()
    assert memory is not None, "nobody asks where it is not known"
    text = _TEXT
    for name in ("kind", "axes", "lengths", "dtype", "flags"):
        text = text.replace(name.upper(), str(getattr(memory, name)))
    return memory, native.load_code(text)


@functools.cache
def _alike() -> tuple[int, Callable[[int, int, int], int]]:
    """Where the items of a tuple begin, and the function, which keeps the interpreter's lock."""
    memory, library = _library()
    number = ctypes.c_void_p  # which ctypes takes sooner than an integer of the same size
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, number, number, number)
    return memory.items, library.function("alike", kind)


@functools.cache
def _checked() -> Callable[[int, int], int]:
    """The function that looks and runs, which lets go of the interpreter's lock."""
    _, library = _library()
    kind = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)
    checked: Callable[[int, int], int] = library.function("checked", kind)
    return checked


class Kinds:
    """The shapes and dtypes of arrays, all in the order of their axes.

    Args:
        kinds: shape and dtype of each.
        own: so many of the first have their own memory, too, which can be written.

    Attributes:
        count: how many.
        address: of the table that native code reads.
        items: where those of a tuple begin.

    Raises:
        MissingPackageError: without llvmlite.
    """

    def __init__(self, kinds: Iterable[tuple[tuple[int, ...], Any]], own: int = 0) -> None:
        self._kinds = [(shape, np.dtype(dtype)) for shape, dtype in kinds]  # dtypes must live on
        table = [id(np.ndarray)]
        for number, (shape, dtype) in enumerate(self._kinds):
            needed = _OWN if number < own else _CONTIGUOUS
            table += [id(dtype), needed, len(shape), *shape]
        self._table, self.count = np.array(table, np.int64), len(self._kinds)
        self.address: int = self._table.__array_interface__["data"][0]
        self.items, self._alike = _alike()

    def are_of(self, arrays: tuple[Any, ...]) -> bool:
        """Whether arrays, as many and not of subclasses, are like that.

        False tells little of arrays whose dtype is only equal, not the same object.
        """
        return self._alike(id(arrays) + self.items, self.address, self.count) == self.count


class Checked:
    """Looks at the arrays for a program for one thread, and runs it, in one call.

    Args:
        kinds: of its inputs.
        outputs: how many arrays stand before them in its frame.
        main: the address of its code.

    Attributes:
        run: takes the frame and `record`; returns the status flags, or `OTHER` without having run
            where the inputs are not, or may not be, of those kinds.
        record: the address of what it needs to know.
    """

    OTHER: Final = 0xFFFFFFFF

    def __init__(self, kinds: Kinds, outputs: int, main: int) -> None:
        self._kinds, self.run = kinds, _checked()
        skipped = kinds.items + outputs * _WORD
        self._record = np.array([skipped, kinds.count, kinds.address, main, 0], np.int64)
        self.record: int = self._record.__array_interface__["data"][0]

    def work_in(self, room: int) -> None:
        """Hand the program this address as its workspace."""
        self._record[-1] = room
