"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells by the bits
of `flags` what its last call may have raised; NumPy then finds out what it did, and warns. A back
end may set `LIFTS`, see `minigrad.compiled.rolling.rolled.roll`, and `KERNELS`, see
`minigrad.compiled.tracing.kernels`; and have `share_workspace`, see `build_in_turn`.
"""

import functools
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from minigrad.compiled import plain
from minigrad.compiled.tracing.watching import Watch
from minigrad.forks import importing
from minigrad.io.packages import require
from minigrad.ops.natives import Kernel, provide

__all__ = ["build_in_turn", "chosen_backend", "compiles_natively", "default_backend"]
__all__ += ["list_builder", "machine", "native_kernel", "prepare", "switched_off", "to_pickle"]
__all__ += ["word_comparer"]

_SWITCH: Final = "MINIGRAD_COMPILE"
_KEPT_SWITCH: Final = os.environ.encodekey(_SWITCH)
_KEPT_OFF: Final = os.environ.encodevalue("0")


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    with importing:
        from minigrad.compiled.llvm import program

    return program


def chosen_backend(asked: Any) -> Any:
    """The back end of a name, "native" or "plain"; one that is an object; the default of None.

    Raises:
        TypeError, ValueError: for what is neither.
        MissingPackageError: for "native" without llvmlite.
    """
    if asked is None:
        return default_backend()
    if isinstance(asked, str):
        if asked not in ("native", "plain"):
            raise ValueError(f'compile: backend must be "native" or "plain", got {asked!r}')
        if asked == "plain":
            return plain
        require("llvmlite", "fast", 'compile: backend "native"')
        return default_backend()
    if not callable(getattr(asked, "build", None)):
        raise TypeError(
            'compile: backend must be "native", "plain" or an object with a function '
            f"build(graph), got {asked!r}"
        )
    return asked


def build_in_turn(backend: Any, graphs: Iterable[Any], others: Sequence[Any] = ()) -> list[Any]:
    """Programs of some graphs, no two of which ever run at once: they may share their memory.

    Args:
        backend: has a function `build`.
        graphs: what is computed.
        others: programs made before, with which these take turns, too.
    """
    built = [backend.build(graph) for graph in graphs]
    share = getattr(backend, "share_workspace", None)
    if share is not None:
        share([*others, *built])
    return built


def to_pickle(backend: Any) -> Any:
    """What `chosen_backend` is to be asked for elsewhere: modules cannot be pickled."""
    if backend is default_backend():
        return None  # the best that is there
    return "plain" if backend is plain else backend


def switched_off() -> bool:
    """Whether all runs as it is written: the environment variable `MINIGRAD_COMPILE` is 0."""
    # Each call of a compiled function asks, and `os.environ` raises an exception within itself for
    # what is not set, which takes ten times as long as to look into the dict that it keeps.
    kept = getattr(os.environ, "_data", None)
    if kept is None:
        return os.environ.get(_SWITCH, "") == "0"
    return bool(kept.get(_KEPT_SWITCH) == _KEPT_OFF)


def compiles_natively() -> bool:
    """Whether there is native code, and `MINIGRAD_COMPILE` does not turn it off."""
    return not switched_off() and default_backend() is not plain


def native_kernel(name: str) -> Kernel | None:
    """The native code of an operation by itself; none without llvmlite, or `MINIGRAD_COMPILE=0`."""
    return _kernel(name) if compiles_natively() else None


@functools.cache
@Watch.unwatched  # in a trace: what an import runs may be anybody's code
def _kernel(name: str) -> Kernel | None:
    """The native code that operations ask for by a name, imported for the first of them."""
    with importing:
        from minigrad.compiled.llvm import by_rows
        from minigrad.compiled.llvm.attention import calls

    kernels: dict[str, Kernel] = {
        "rows": by_rows.by_rows,
        "attention": calls.attention,
        "attention_gradient": calls.attention_gradient,
    }
    return kernels.get(name)


def prepare() -> None:
    """Load llvmlite, if it is there, before a trace begins, for the operations in it."""
    if default_backend() is not plain:
        with importing:
            from minigrad.compiled.llvm import native

        native.host()


def list_builder() -> Callable[[Any], Any] | None:
    """The function that makes programs from recipes, or None where NumPy does the same."""
    if not compiles_natively():
        return None
    with importing:
        from minigrad.compiled.llvm import lists

    return lists.build


def word_comparer() -> Callable[[int, int, int], int] | None:
    """The function that compares words in memory, or None where there is no native code."""
    if not compiles_natively():
        return None
    with importing:
        from minigrad.compiled.llvm import words

    return words.first_change()


def machine() -> dict[str, str | int]:
    """What the bits of native code depend on: "vectors"; and "threads", how many it may have.

    Raises:
        MissingPackageError: without llvmlite.
    """
    with importing:
        from minigrad.compiled.llvm import crew, native

    host = native.host()
    vectors = f"{host.architecture}, {host.vector_bytes} bytes"
    return {"vectors": vectors, "threads": crew.asked_for()}


provide(native_kernel)
