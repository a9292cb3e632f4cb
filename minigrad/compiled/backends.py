"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call by the bits of `flags`; then it is silent about what they say.
"""

import functools
import importlib.util
import os
from typing import Any

from minigrad.compiled import plain
from minigrad.ops.natives import Kernel, provide

__all__ = ["compiles_natively", "default_backend", "native_kernel", "native_kernels"]


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program


def compiles_natively() -> bool:
    """Whether there is native code, and `MINIGRAD_COMPILE` does not turn it off."""
    return os.environ.get("MINIGRAD_COMPILE") != "0" and default_backend() is not plain


def native_kernel(name: str) -> Kernel | None:
    """The native code of an operation by itself; none without llvmlite, or `MINIGRAD_COMPILE=0`."""
    return native_kernels().get(name) if compiles_natively() else None


@functools.cache
def native_kernels() -> dict[str, Kernel]:
    """All of them by the names that operations ask for."""
    if default_backend() is plain:
        return {}
    from minigrad.compiled.llvm import by_rows
    from minigrad.compiled.llvm.attention import calls

    return {
        "attention": calls.attention,
        "attention_gradient": calls.attention_gradient,
        "rows": by_rows.by_rows,
    }


provide(native_kernel)
