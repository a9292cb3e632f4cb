"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call by the bits of `flags`; then it is silent about what they say. A back end may also have a
function `build_lists`, which makes a program from a recipe.
"""

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from minigrad.compiled import plain

__all__ = ["default_backend", "is_native", "list_builder", "switched_off"]


def switched_off() -> bool:
    """Whether all runs as it is written: the environment variable `MINIGRAD_COMPILE` is 0."""
    return os.environ.get("MINIGRAD_COMPILE", "") == "0"


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program


def list_builder() -> Callable[[Any], Any] | None:
    """The function that makes programs from recipes, or None where NumPy does the same."""
    return None if switched_off() else getattr(default_backend(), "build_lists", None)


def is_native(backend: Any) -> bool:
    """Whether a back end makes native code; then it has a function `machine`, too."""
    return hasattr(backend, "build_lists")
