"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call by the bits of `flags`; then it is silent about what they say. A back end may set `LIFTS`, see
`minigrad.compiled.rolling.rolled.roll`, and `KERNELS`, see `minigrad.compiled.tracing.kernels`.
"""

import functools
import importlib.util
from typing import Any

from minigrad.compiled import plain

__all__ = ["default_backend"]


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program
