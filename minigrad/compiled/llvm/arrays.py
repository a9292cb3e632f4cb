"""Functions that look at many arrays at once, in the memory of their objects.

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

__all__ = ["Kinds", "is_known"]

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
def _alike() -> tuple[int, Callable[[int, int, int], int]]:
    """Where the items of a tuple begin, and the function, which keeps the interpreter's lock."""
    memory = _memory()
    assert memory is not None, "nobody asks where it is not known"
    text = _TEXT
    for name in ("kind", "axes", "lengths", "dtype", "flags"):
        text = text.replace(name.upper(), str(getattr(memory, name)))
    library = native.load_code(text)
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    alike = ctypes.PYFUNCTYPE(integer, pointer, pointer, integer)(library.address("alike"))
    alike.code = library  # type: ignore[attr-defined]  # which lives as long
    return memory.items, alike


class Kinds:
    """The shapes and dtypes of arrays, all in the order of their axes.

    Args:
        kinds: shape and dtype of each.
        own: so many of the first have their own memory, too, which can be written.

    Raises:
        MissingPackageError: without llvmlite.
    """

    def __init__(self, kinds: Iterable[tuple[tuple[int, ...], Any]], own: int = 0) -> None:
        self._kinds = [(shape, np.dtype(dtype)) for shape, dtype in kinds]  # dtypes must live on
        table = [id(np.ndarray)]
        for number, (shape, dtype) in enumerate(self._kinds):
            needed = _OWN if number < own else _CONTIGUOUS
            table += [id(dtype), needed, len(shape), *shape]
        self._table, self._count = np.array(table, np.int64), len(self._kinds)
        self._address = self._table.__array_interface__["data"][0]
        self._items, self._alike = _alike()

    def are_of(self, arrays: tuple[Any, ...]) -> bool:
        """Whether arrays, as many and not of subclasses, are like that.

        False tells little of arrays whose dtype is only equal, not the same object.
        """
        return self._alike(id(arrays) + self._items, self._address, self._count) == self._count
