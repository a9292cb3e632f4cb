"""What floating-point arithmetic went out of range in a program, and telling it as NumPy does."""

import sys
import warnings
from typing import Any, Final

import numpy as np

from minigrad.restoring import errstate

__all__ = ["DIVISION", "INVALID", "OVERFLOW", "Flags", "asked_for", "report", "settings"]

INVALID: Final = 1
DIVISION: Final = 2
OVERFLOW: Final = 4
"""Bits of a program's status."""

_KINDS: Final = (
    (DIVISION, "divide", "divide by zero", 1),
    (OVERFLOW, "over", "overflow", 2),
    (INVALID, "invalid", "invalid value", 8),
)
"""Each bit with NumPy's setting, words and bit; in the order in which NumPy looks."""


class Flags(errstate):
    """A block in which NumPy's operations raise flags, and nothing is told of them.

    Attributes:
        status: those that were raised.
    """

    def __init__(self) -> None:
        super().__init__(
            divide="call", over="call", invalid="call", under="ignore", call=self._note
        )
        self.status = 0

    def __enter__(self) -> "Flags":
        self.status = 0
        super().__enter__()
        return self

    def _note(self, _words: str, raised: int) -> None:
        for bit, _, _, theirs in _KINDS:
            if raised & theirs:
                self.status |= bit


def settings() -> tuple[Any, Any]:
    """By what it is decided whether a warning is shown: NumPy's settings, and Python's filters."""
    return np.geterr(), warnings.filters


def asked_for(status: int) -> int:
    """Those bits of a status that anybody is told of, by the settings of `numpy.errstate`."""
    settings: Any = np.geterr()
    return sum(bit for bit, setting, *_ in _KINDS if status & bit and settings[setting] != "ignore")


def report(status: int, name: str, stacklevel: int) -> None:
    """Tell of a status as NumPy would, by the settings of `numpy.errstate`.

    Args:
        status: of the call of a program.
        name: of the function that it stands for.
        stacklevel: of warnings, counted from the caller of this function.

    Raises:
        FloatingPointError: where the setting is "raise".
    """
    settings: Any = np.geterr()
    for bit, setting, words, theirs in _KINDS:
        how = settings[setting]
        if not status & bit or how == "ignore":
            continue
        message = f"{words} encountered in {name}"
        if how == "raise":
            raise FloatingPointError(message)
        if how == "warn":
            warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 1)
        elif how == "print":
            print(f"Warning: {message}", file=sys.stderr)
        else:
            handler: Any = np.geterrcall()
            if how == "call":
                handler(words, theirs)
            else:
                handler.write(f"Warning: {message}\n")
