"""The dtype of Python floats and of the parameters of layers, one for each context."""

from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError
from minigrad.core.modes import ModeChange, current_mode, set_mode

__all__ = ["default_dtype", "set_default_dtype"]


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
