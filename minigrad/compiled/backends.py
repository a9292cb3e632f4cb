"""The back ends: each makes a program from a graph, with a function `build`.

A program is called with arrays and returns arrays. It may have a `status`, which tells of its last
call whether a number overflowed, was divided by zero, or was invalid; then it is silent about that.
"""

import functools
import importlib.util
import warnings
from typing import Any, Final

import numpy as np

from minigrad.compiled import plain

__all__ = ["DIVISION", "INVALID", "OVERFLOW", "default_backend", "report"]

INVALID: Final = 1
DIVISION: Final = 2
OVERFLOW: Final = 4

_WORDS: Final = {
    OVERFLOW: ("over", "overflow"),
    DIVISION: ("divide", "divide by zero"),
    INVALID: ("invalid", "invalid value"),
}


@functools.cache
def default_backend() -> Any:
    """The best one that is there: native code with llvmlite, or else NumPy."""
    if importlib.util.find_spec("llvmlite") is None:
        return plain
    from minigrad.compiled.llvm import program

    return program


def report(status: int) -> None:
    """Warn of what a status says, raise it or ignore it, as `np.errstate` has it.

    >>> with np.errstate(all="ignore"):
    ...     report(DIVISION)
    """
    state: dict[str, Any] = dict(np.geterr())
    for bit, (name, words) in _WORDS.items():
        if status & bit and state[name] != "ignore":
            message = f"{words} encountered in a compiled function"
            if state[name] == "raise":
                raise FloatingPointError(message)
            warnings.warn(message, RuntimeWarning, stacklevel=4)
