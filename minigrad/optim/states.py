"""What optimisers keep of a parameter: its arrays, and how they are moved on."""

from typing import Any

import numpy as np

from minigrad.core.nodes import PlainArray

__all__ = [
    "PlainArray",
    "State",
    "converted",
    "follow",
    "follow_square",
    "working",
    "working_dtype",
]

State = dict[str, Any]  # what an optimiser keeps of one parameter: by name, and its "steps"


def follow(average: PlainArray, value: PlainArray, keep: float) -> None:
    """Move an average of a state one step on: keep average + (1 - keep) value."""
    average *= keep
    average += (1 - keep) * value


def follow_square(average: PlainArray, gradient: PlainArray, keep: float) -> None:
    """Move an average of squares one step on: keep average + (1 - keep) gradient^2."""
    square = gradient * gradient
    square *= 1 - keep
    average *= keep
    average += square


def working_dtype(array: PlainArray) -> Any:
    """The dtype in which a parameter is updated and its state is kept."""
    return np.dtype(np.float32) if array.dtype == np.float16 else array.dtype


def working(array: PlainArray) -> PlainArray:
    """An array as updates see it: of one axis or more, since ufuncs make scalars of others."""
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    return wide if wide.ndim else wide.reshape(1)


def converted(state: State, dtype: Any) -> State:
    """A state with its arrays in another dtype."""
    return {
        name: entry.astype(dtype) if isinstance(entry, np.ndarray) else entry
        for name, entry in state.items()
    }
