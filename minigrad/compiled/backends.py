"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call whether a number overflowed, was divided by zero, or was invalid; then it is silent about that.
"""

import functools
import importlib.util
from typing import Any, Final

from minigrad.compiled import plain

__all__ = ["DIVISION", "INVALID", "OVERFLOW", "default_backend"]

INVALID: Final = 1
DIVISION: Final = 2
OVERFLOW: Final = 4


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program
