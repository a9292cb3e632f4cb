"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call by the bits of `flags`; then it is silent about what they say.
"""

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from minigrad.compiled import plain

__all__ = ["default_backend", "list_builder", "machine", "switched_off"]


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program


def switched_off() -> bool:
    """Whether all runs as it is written: the environment variable `MINIGRAD_COMPILE` is 0."""
    return os.environ.get("MINIGRAD_COMPILE", "") == "0"


def list_builder() -> Callable[[Any], Any] | None:
    """The function that makes programs from recipes, or None where NumPy does the same."""
    if switched_off() or default_backend() is plain:
        return None
    from minigrad.compiled.llvm import lists

    return lists.build


def machine() -> dict[str, str | int]:
    """What the bits of native code depend on: "vectors"; and "threads", how many it may have.

    Raises:
        MissingPackageError: without llvmlite.
    """
    from minigrad.compiled.llvm import crew, native

    host = native.host()
    vectors = f"{host.architecture}, {host.vector_bytes} bytes"
    return {"vectors": vectors, "threads": crew.asked_for()}
