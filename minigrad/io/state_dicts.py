"""The entries of state dicts, checked before anything takes them over: a file may hold anything."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from minigrad.core.conversion import to_array
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.restoring import errstate

__all__ = [
    "MOST",
    "StateDictError",
    "array_of",
    "count_of",
    "entry_of",
    "number_of",
    "real_of",
    "row_of",
]

MOST: Final = 2**53
"""The largest count: up to it, every whole number is a float64, too."""


class StateDictError(KeyError, ShapeError):
    """A state dict does not fit what it is loaded into: a name, a shape, a dtype or a value."""

    __str__ = ShapeError.__str__


def array_of(what: str, value: Any) -> PlainArray:
    """What somebody wants to keep under a name, as an array, without a copy where it is one.

    Args:
        what: owner and name; begins the message.
        value: a tensor, an array, or what NumPy makes one of.

    Raises:
        DtypeError: for a masked array, whose mask would be lost.
    """
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, np.ma.MaskedArray):
        to_array(value, argument=what)  # which refuses it in words
    return np.asarray(value)


def entry_of(owner: str, state: Mapping[str, Any], name: str) -> PlainArray:
    """An entry as an array.

    Args:
        owner: begins the message, such as "History.load_state_dict".
        state: the state dict.
        name: of the entry.

    Raises:
        StateDictError: when there is none.
        DtypeError: for a masked array.
    """
    if name not in state:
        raise StateDictError(f"{owner}: missing: {name}; it holds {', '.join(state) or 'nothing'}")
    return array_of(f"{owner}: {name}", state[name])


def real_of(
    what: str,
    value: PlainArray,
    low: float = -np.inf,
    endless: bool = False,
    dtype: Any = None,
) -> PlainArray:
    """An array of real numbers.

    Args:
        what: owner and name of the entry; begins the message.
        value: of any shape.
        low: the least that is allowed.
        endless: whether infinity is allowed.
        dtype: what they are converted to, as a copy; None leaves them as they are.

    Raises:
        StateDictError: for another kind of dtype, for NaN, and for numbers out of range, also of
            `dtype`.
    """
    if value.dtype.kind not in "fiub":
        raise StateDictError(f"{what} must be real numbers, got {describe(value)}")
    if dtype is not None:
        with errstate(over="ignore"):  # refused
            value = value.astype(dtype)
    bad = ~(value >= low) if endless else ~((value >= low) & np.isfinite(value))
    if bad.any():
        words = "numbers" if low == -np.inf else f"{low:g} or more"
        seen = value[bad].flat[0] if value.ndim else value[()]
        raise StateDictError(f"{what} must be {words}{'' if endless else ', finite'}, got {seen}")
    return value


def row_of(
    what: str, value: PlainArray, low: float = -np.inf, endless: bool = False
) -> list[float]:
    """Numbers in a row, as `real_of` checks them.

    Raises:
        StateDictError: as `real_of`, and for another number of axes than one.
    """
    if value.ndim != 1:
        raise StateDictError(f"{what} must have one axis, got {describe(value)}")
    return [float(number) for number in real_of(what, value, low, endless)]


def number_of(what: str, value: PlainArray, low: float = -np.inf, endless: bool = False) -> float:
    """One number, as `real_of` checks it; old files have some in an array of one.

    Raises:
        StateDictError: as `real_of`, and for several numbers or none.
    """
    if value.size != 1:
        raise StateDictError(f"{what} must be one number, got {describe(value)}")
    return float(real_of(what, value.reshape(()), low, endless))


def count_of(what: str, value: PlainArray) -> int:
    """One whole number from 0 to `MOST`.

    Raises:
        StateDictError: when it is none.
    """
    number = number_of(what, value, 0)
    if number > MOST or number % 1:
        raise StateDictError(f"{what} must be a whole number, at most 2**53, got {number:g}")
    return int(number)
