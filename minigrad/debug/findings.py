"""What anomaly mode says: numbers that are not finite, counted, and the line of user code."""

import linecache
import math
import os
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.core.contributions import OutputGradients, SlicedGradient
from minigrad.core.errors import describe
from minigrad.numpy_api.call_sites import OWN_DIRECTORIES

__all__ = ["count_bad", "has_nan", "is_finite", "summary", "user_line", "with_source"]

# Frames in these directories belong to the engine, its layers or NumPy's own Python code.
_OWN_DIRECTORIES = (
    *OWN_DIRECTORIES,
    os.path.join(os.path.dirname(os.path.abspath(np.__file__)), ""),
)
_own_files: dict[str, bool] = {}

_SMALL = 8192  # up to here a dot product is the faster check, and BLAS uses one thread for it


def is_finite(value: Any) -> bool:
    """Whether every number in an array, tensor or bundle of gradients is finite."""
    if isinstance(value, OutputGradients):
        return all(is_finite(g) for g in value.slots.values())
    array = _numbers(value)
    if array.dtype.kind not in "fc":
        return True
    # A sum of squares cannot lose NaN or infinity; when it overflows the numbers are looked at.
    if array.size <= _SMALL and array.dtype.kind == "f" and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def user_line() -> str:
    """The file and line outside minigrad, layers and NumPy from which the running call came."""
    frame = sys._getframe(1)
    while True:
        name = frame.f_code.co_filename
        own = _own_files.get(name)
        if own is None:
            own = name.startswith("<minigrad ") or os.path.abspath(name).startswith(
                _OWN_DIRECTORIES
            )
            _own_files[name] = own
        if not own or frame.f_back is None:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back


def with_source(line: str) -> str:
    """A file and line followed by what is written there, if it can be read."""
    name, _, number = line.rpartition(":")
    text = linecache.getline(name, int(number)).strip()
    return f"{line}: {text}" if text else line


def count_bad(values: Iterable[Any]) -> str:
    """How many of the numbers are NaN and how many infinite."""
    nans = infinities = total = 0
    for value in values:
        array = _numbers(value)
        nans += int(np.isnan(array).sum())
        infinities += int(np.isinf(array).sum())
        total += array.size
    parts = [f"{nans} NaN"] * (nans > 0) + [f"{infinities} infinite"] * (infinities > 0)
    return f"{' and '.join(parts) or 'none'} of {total}"


def _numbers(value: Any) -> "np.ndarray[Any, Any]":
    """The array of an array, tensor, number or patch of a gradient."""
    if value.__class__ is np.ndarray:
        return value
    part = value.part if value.__class__ is SlicedGradient else value
    return np.asarray(getattr(part, "_array", part))


def has_nan(value: Any) -> bool:
    """Whether a number is NaN."""
    return bool(np.isnan(_numbers(value)).any())


def summary(name: str, value: Any) -> str:
    """An argument with its shape, and its range or what is wrong with it."""
    text = f"{name}: {describe(value)}"
    array = _numbers(value)
    if not is_finite(array):
        return f"{text} ({count_bad([array])})"
    if array.dtype.kind == "f" and array.size > 0 and hasattr(value, "shape"):
        return f"{text} from {array.min() + 0:.4g} to {array.max() + 0:.4g}"
    return text
