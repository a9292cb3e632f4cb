"""What optimisers keep of a parameter: its arrays, and how they are moved on."""

from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor

__all__ = [
    "PlainArray",
    "State",
    "fitting",
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


def fitting(owner: str, parameter: Tensor, state: State, shaped: bool) -> State:
    """A state itself; or a converted one, when the parameter was converted in between.

    Args:
        owner: whose step it is, for errors.
        parameter, state: as they are now.
        shaped: arrays must have the shape of the parameter.

    Raises:
        ShapeError: when they have another one.
    """
    shape = parameter._array.shape or (1,)
    dtype, fits = working_dtype(parameter._array), True
    for name, entry in state.items():
        if entry.__class__ is np.ndarray:
            fits = fits and entry.dtype == dtype
            if entry.shape != shape and shaped:
                raise ShapeError(
                    f"{owner}.step: {name!r} of the state of {describe(parameter)} has shape "
                    f"{entry.shape}: the parameter was given another shape"
                )
    if fits:
        return state
    return {
        name: entry.astype(dtype) if isinstance(entry, np.ndarray) else entry
        for name, entry in state.items()
    }
