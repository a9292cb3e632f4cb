"""A function that compares words in memory with what they were."""

import ctypes
import functools
from collections.abc import Callable
from typing import Final

from minigrad.compiled.llvm import native

__all__ = ["first_change"]

_TEXT: Final = """
define i64 @first_change(ptr %pairs, i64 %start, i64 %count) {
  br label %next
next:
  %i = phi i64 [%start, %0], [%after, %same]
  %any = icmp slt i64 %i, %count
  br i1 %any, label %look, label %end
look:
  %place = getelementptr [2 x i64], ptr %pairs, i64 %i
  %address = load ptr, ptr %place
  %now = load i64, ptr %address
  %second = getelementptr i64, ptr %place, i64 1
  %kept = load i64, ptr %second
  %after = add i64 %i, 1
  %equal = icmp eq i64 %now, %kept
  br i1 %equal, label %same, label %end
same:
  br label %next
end:
  ret i64 %i
}
"""


@functools.cache
def first_change() -> Callable[[int, int, int], int]:
    """A function from the address of pairs, a number to start at, and how many there are.

    A pair is the address of a word and what was there. The function gives the number of the first
    pair whose word is another one now, and how many there are where none is. It keeps the lock of
    the interpreter, whose objects the words belong to.

    Raises:
        MissingPackageError: without llvmlite.
    """
    library = native.load_code(_TEXT)
    number = ctypes.c_void_p  # which ctypes takes sooner than an integer of the same size
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, number, number, number)
    compare: Callable[[int, int, int], int] = library.function("first_change", kind)
    return compare
