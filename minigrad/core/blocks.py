"""Blocks that change the mode, and questions to it."""

from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError
from minigrad.core.modes import Mode, ModeChange, current_mode, set_mode
from minigrad.core.observer import Observer

__all__ = ["default_dtype", "enable_grad", "is_recording", "no_grad", "observed_by"]
__all__ += ["set_default_dtype"]


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
        super().__init__(recording=False)


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


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of Python floats and of the parameters of layers in this context.

    Raises:
        DtypeError: when it is not a floating dtype.
    """
    set_mode(current_mode().replace(dtype=_floating(dtype)))


class default_dtype(ModeChange):
    """A block in which Python floats and the parameters of layers get another dtype.

    >>> import minigrad as mg
    >>> with mg.default_dtype("float64"):
    ...     mg.Tensor(1.5).dtype
    dtype('float64')
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(dtype=_floating(dtype))


def _floating(dtype: Any) -> "np.dtype[Any]":
    try:
        resolved: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"the default dtype {dtype!r} is not a dtype of NumPy") from None
    if resolved.kind != "f":
        raise DtypeError(
            f"the default dtype must be floating (float16, float32, float64), got {resolved}"
        )
    return resolved
