"""What recurrent cells and layers refuse, with messages that say what to write instead."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import current_mode

__all__ = [
    "check_features",
    "check_lengths",
    "check_nonlinearity",
    "check_probability",
    "check_sizes",
    "check_state",
    "states_of",
    "zeros",
]

BATCH_FIRST = (
    "Layers here take the batch first, unlike PyTorch's: pass batch_first=False for "
    "(time, batch, features)."
)


def zeros(shape: tuple[int, ...], dtype: Any) -> "np.ndarray[Any, Any]":
    """Zeros in a floating dtype, or in the default one."""
    kind = np.dtype(dtype)
    return np.zeros(shape, kind if kind.kind in "fc" else current_mode().dtype)


def check_sizes(layer: str, **sizes: Any) -> None:
    """Refuse sizes that are not whole numbers above zero.

    Raises:
        ValueError: naming the argument.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{layer}: {name} must be an integer of 1 or more, got {size!r}")


def check_probability(layer: str, **probabilities: Any) -> None:
    """Refuse probabilities outside of 0 to 1.

    Raises:
        ValueError: naming the argument.
    """
    for name, p in probabilities.items():
        if not 0 <= p <= 1:
            raise ValueError(f"{layer}: {name} is a probability and must be 0 to 1, got {p!r}")


def check_nonlinearity(layer: str, given: str, known: Iterable[str]) -> None:
    """Refuse an unknown nonlinearity.

    Raises:
        ValueError: listing the known ones.
    """
    if given not in known:
        raise ValueError(
            f"{layer}: nonlinearity must be one of {', '.join(map(repr, known))}, got {given!r}"
        )


def check_features(
    layer: str, x: Any, axes: tuple[Any, ...], optional: int, hint: str = ""
) -> None:
    """Refuse inputs of another shape than a layer takes.

    Args:
        layer: its name.
        x: the inputs.
        axes: the names of the axes; the last one is the number of features.
        optional: how many axes may be missing besides the full number.
        hint: what to write instead.

    Raises:
        ShapeError: for another number of axes or features.
        DtypeError: when x is no array.
    """
    if type(x).__name__ == "PackedSequence":
        raise DtypeError(
            f"{layer}: x is a PackedSequence; pass the padded array, and lengths= beside it: "
            "x, lengths = layers.pad_packed_sequence(packed)"
        )
    if not isinstance(x, (Tensor, np.ndarray)):
        raise DtypeError(f"{layer}: x must be a tensor or an array, got {type(x).__name__}")
    wanted = [axes, tuple(axis for axis in axes if axis != "batch")] if optional else [axes]
    if x.ndim not in {len(shape) for shape in wanted} or x.shape[-1] != axes[-1]:
        shapes = " or ".join(
            f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for shape in wanted
        )
        raise ShapeError(f"{layer}: x must have shape {shapes}, got {describe(x)}. {hint}".rstrip())


def states_of(layer: str, state: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The states in a tuple, from the form in which a cell takes them.

    Raises:
        ShapeError: when there are more or fewer than the cell has.
    """
    alone = isinstance(state, (Tensor, np.ndarray))
    if len(names) == 1 and alone:
        return (state,)
    wanted = "one array h" if len(names) == 1 else f"a tuple ({', '.join(names)})"
    if alone or not isinstance(state, (tuple, list)) or len(state) != len(names):
        raise ShapeError(f"{layer}: state must be {wanted}, got {describe(state)}")
    if len(names) == 1:
        raise ShapeError(f"{layer}: state must be {wanted}, got a tuple; pass its element alone")
    return tuple(state)


def check_state(
    layer: str, name: str, value: Any, shape: tuple[int, ...], x: Any, hint: str = ""
) -> None:
    """Refuse an initial state of another shape.

    Raises:
        ShapeError: with both shapes and that of the inputs.
    """
    if not isinstance(value, (Tensor, np.ndarray)) or tuple(value.shape) != shape:
        raise ShapeError(
            f"{layer}: state {name} must have shape {shape} for x {describe(x)}, got "
            f"{describe(value)}. {hint}".rstrip()
        )


def check_lengths(layer: str, lengths: Any, batch: int, time: int, x: Any) -> Any:
    """The lengths as an array of integers; None when all sequences are full.

    Raises:
        ShapeError: when there is not one length for each sequence.
        DtypeError: when they are not integers.
        ValueError: when one is negative or beyond the time steps.
    """
    if lengths is None:
        return None
    array = np.asarray(lengths.numpy() if isinstance(lengths, Tensor) else lengths)
    if array.shape != (batch,):
        raise ShapeError(
            f"{layer}: lengths must have shape ({batch},), one for each sequence of x "
            f"{describe(x)}, got {describe(array)}. {BATCH_FIRST}"
        )
    if array.dtype.kind not in "iu" and array.size:
        raise DtypeError(
            f"{layer}: lengths must be integers, got {describe(array)}; from a mask (batch, time) "
            "of booleans they are mask.sum(axis=1)"
        )
    array = array.astype(np.intp)
    if array.size and (array.min() < 0 or array.max() > time):
        wrong = int(np.flatnonzero((array < 0) | (array > time))[0])
        raise ValueError(
            f"{layer}: lengths must be 0 to {time}, the time steps of x {describe(x)}, got "
            f"{int(array[wrong])} at place {wrong}. {BATCH_FIRST}"
        )
    return None if (array == time).all() else array
