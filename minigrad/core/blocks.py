"""Blocks that change the mode, and questions to it."""

from typing import Any

from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.core.observer import Observer

__all__ = ["enable_grad", "is_recording", "no_grad", "observed_by"]


class no_grad(ModeChange):
    """Record nothing: results do not require grad, and leaves may be written in place.

    Use as ``with no_grad():`` or as a decorator ``@no_grad()``.

    >>> import minigrad as mg
    >>> x = mg.Tensor(2.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__()

    def value(self, before: Mode) -> Mode:
        """The mode within, which is made once."""
        return before.unrecorded()


class enable_grad(ModeChange):
    """Record again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(recording=True)


class observed_by(ModeChange):
    """A block at which an observer looks on, besides those that do already."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The observers with this one, the innermost."""
        return {"observers": (*mode.observers, self._observer)}


def is_recording() -> bool:
    """Whether operations are being recorded just now."""
    return current_mode().recording
