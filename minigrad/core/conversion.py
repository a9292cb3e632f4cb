"""From whatever people call data to arrays, with the dtypes of the contract."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.errors import DetachError, DtypeError, describe
from minigrad.core.modes import current_mode

__all__ = ["any_complex", "refuse_dtype", "to_array"]


def to_array(data: Any, dtype: Any = None, argument: str = "data") -> "ndarray[Any, Any]":
    """A new array of the data, with the contract's dtypes. `argument` is its name in errors.

    Raises:
        DtypeError: for text, objects, dates and ragged sequences.
        DetachError: for a sequence that contains tensors which require grad.
    """
    data = getattr(data, "_array", data)  # of a tensor
    if isinstance(data, ndarray) and hasattr(data, "mask"):
        raise DtypeError(
            f"{argument}: a masked array {describe(data)} would lose its mask: choose the values "
            "under the mask with a.filled(0), and keep the mask apart, for minigrad.where."
        )
    if dtype is not None:
        try:
            np.dtype(dtype)
        except TypeError:
            raise DtypeError(f"dtype: {dtype!r} is not a dtype of NumPy") from None
    try:
        array = np.array(data, dtype=dtype)
    except DetachError:
        raise DetachError(
            f"{argument}: a sequence of tensors that require grad cannot be made into one tensor "
            "without losing their history. Use minigrad.stack([...]) or "
            "minigrad.concatenate([...])."
        ) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise DtypeError(
            f"{argument}: cannot be made into an array of numbers ({error}); got {describe(data)}. "
            "Rows must have equal lengths and hold numbers."
        ) from error
    if array.dtype.kind not in "fiubc":
        text = "Encode text as integers first, for example with layers.datasets.CharacterTokenizer."
        advice = text if array.dtype.kind in "US" else "Convert it to numbers first."
        raise DtypeError(
            f"{argument}: must be numbers or booleans, got dtype {array.dtype} ({describe(data)}). "
            f"{advice}"
        )
    if dtype is None and array.dtype.type is np.float64 and not _holds_arrays(data):
        array = array.astype(current_mode().dtype)
    if isinstance(data, ndarray):
        for observer in current_mode().watchers:
            observer.numbers(data, array)
    return array


def _holds_arrays(data: Any) -> bool:
    """Whether numbers come from NumPy (whose dtype is kept) rather than from Python."""
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, (ndarray, np.generic)) or hasattr(value, "__array__"):
            return True
        if isinstance(value, (list, tuple)):
            stack.extend(value)
    return False


def any_complex(arrays: Sequence[Any]) -> bool:
    """Whether an array is complex: kernels are written for real numbers, references are not."""
    return any(isinstance(array, ndarray) and array.dtype.kind == "c" for array in arrays)


def refuse_dtype(name: str, out: Any) -> None:
    """Refuse to record a result that cannot carry a gradient."""
    raise DtypeError(
        f"{name}: the result {describe(out)} is not floating, so it cannot carry the gradient of "
        "an input that requires grad. "
        + (
            "Complex numbers are supported only while nothing requires grad."
            if out.dtype.kind == "c"
            else "Use t.detach() first if a constant is meant."
        )
    )
