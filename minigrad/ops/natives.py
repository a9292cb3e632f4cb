"""Native code in the place of an operation's function on arrays.

The compiler stands above the operations. So it tells them here where there is native code, and an
operation asks by a name; what it gets takes arrays, and gives None for those that it does not know.
"""

from collections.abc import Callable
from typing import Any, Final

from numpy import ndarray

__all__ = ["WORTH_ROWS", "Kernel", "by_elements", "by_rows", "native_kernel", "provide"]

WORTH_ROWS: Final = 65_536
"""Elements up to which NumPy is as fast, or nearly."""

STEP: Final = 64
"""Lengths of rows that there are kernels for, besides long ones, are multiples of this.

Each length has a kernel of its own, and takes a part of a second at its first call. Features and
classes keep their number; sequences do not, and should not be compiled for every length.
"""

RUN: Final = 64
"""So many elements are computed at a time, where each is by itself."""

LONG: Final = 4096
"""Rows from which on every length has a kernel: they are classes."""

Kernel = Callable[..., Any]

_sources: list[Callable[[str], Kernel | None]] = []


def provide(source: Callable[[str], Kernel | None]) -> None:
    """Ask this function for the kernel of a name from now on."""
    _sources[:] = [source]


def native_kernel(name: str) -> Kernel | None:
    """The kernel of a name, or None where there is none."""
    return _sources[0](name) if _sources else None


def by_rows(name: str, *arrays: Any) -> Any:
    """What native code for rows gives, a tuple of arrays; None where there is none.

    Args:
        name: of an operation along the last axis; see `minigrad.compiled.llvm.by_rows`.
        arrays: what it computes with, the first one in full.
    """
    whole = arrays[0]
    if whole.__class__ is not ndarray or whole.size < WORTH_ROWS or whole.ndim < 2:
        return None
    if whole.shape[-1] % STEP and whole.shape[-1] < LONG:
        return None
    kernel = native_kernel("rows")
    return None if kernel is None else kernel(name, arrays)


def by_elements(name: str, *arrays: Any) -> Any:
    """What native code for single elements gives, an array; None where there is none.

    Args:
        name: of an elementwise operation; see `minigrad.compiled.llvm.by_rows`.
        arrays: what it computes with, of one shape.
    """
    if any(array.__class__ is not ndarray for array in arrays):
        return None
    whole, *others = arrays
    shape = whole.shape
    if whole.size < WORTH_ROWS or whole.size % RUN or any(a.shape != shape for a in others):
        return None
    found = by_rows(name, *(array.reshape(-1, RUN) for array in arrays))
    return found[0].reshape(shape) if found else None
