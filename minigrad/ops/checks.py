"""Checks of arguments that operations and layers share: sizes, probabilities, lengths, shapes.

Each stands here once, with one wording. `name` is the operation or layer that asks: the message
begins with it.
"""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.ops.arguments import as_constant

__all__ = [
    "OptionError",
    "check_broadcasts",
    "check_lengths",
    "check_option",
    "check_probabilities",
    "check_same_shape",
    "check_sizes",
    "is_size",
]


class OptionError(ValueError):
    """An option of a forward has a value that it cannot have; users get a plain ValueError."""


def check_option(argument: str, value: Any, options: tuple[Any, ...], name: str = "") -> None:
    """Refuse a value that is none of the options, and list them.

    Args:
        name: the function; inside of a forward none, since it is added to its errors.

    Raises:
        ValueError: naming the argument.
    """
    if not any(type(value) is type(option) and value == option for option in options):
        listed = ", ".join(map(repr, options))
        kind = ValueError if name else OptionError
        raise kind(
            f"{name}{': ' if name else ''}{argument} must be one of {listed}; got {describe(value)}"
        )


def check_sizes(name: str, least: int = 0, **sizes: Any) -> None:
    """Refuse sizes that are no integers, or too small.

    Raises:
        ValueError: naming the argument.

    >>> check_sizes("Linear", 1, in_features=3)
    """
    for argument, size in sizes.items():
        if not is_size(size, least):
            raise ValueError(
                f"{name}: {argument} must be an integer of {least} or more, got {size!r}"
            )


def is_size(value: Any, least: int) -> bool:
    """Whether a value is an integer, and not too small; True and False are none."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and bool(value >= least)


def check_probabilities(name: str, **probabilities: Any) -> None:
    """Refuse numbers outside of 0 to 1, NaN among them.

    Raises:
        ValueError: naming the argument.
        DtypeError: for what is no number.
    """
    for argument, p in probabilities.items():
        try:
            within = bool(0 <= p <= 1)
        except TypeError:
            raise DtypeError(
                f"{name}: {argument} must be a number, 0 to 1, got {describe(p)}"
            ) from None
        if not within:
            raise ValueError(f"{name}: {argument} must be 0 to 1, got {p!r}")


def check_same_shape(name: str, **arrays: Any) -> None:
    """Refuse arguments that would broadcast against each other.

    Raises:
        ShapeError: when the shapes differ.
    """
    if len({tuple(array.shape) for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{argument}: {describe(array)}" for argument, array in arrays.items())
        raise ShapeError(
            f"{name}: the shapes must be equal, got {shapes}. A loss does not broadcast, since "
            "that would compare each number with many; reshape or index one of the two."
        )


def check_broadcasts(name: str, argument: str, value: Any, shape: tuple[int, ...], of: str) -> None:
    """Refuse a value that does not broadcast to a shape, or would enlarge it.

    Args:
        name: who asks.
        argument: the name of the value.
        value: a tensor or an array.
        shape: what it should broadcast to.
        of: what has that shape, such as "the losses".

    Raises:
        ShapeError: with both shapes.
    """
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: {argument} must broadcast to the shape {shape} of {of}, got {describe(value)}"
        )


def check_lengths(
    name: str,
    argument: str,
    lengths: Any,
    shapes: Iterable[tuple[int, ...]],
    time: int,
    what: str,
    x: Any,
    advice: str = "",
) -> PlainArray:
    """The lengths of padded sequences as an array of integers.

    Args:
        name: who asks.
        argument: the name of the lengths.
        lengths: integers, which are constant.
        shapes: the shapes that they may have.
        time: the number of time steps, padding included.
        what: the name of the padded array.
        x: the padded array.
        advice: a sentence for the end of messages about shapes and time steps.

    Raises:
        ShapeError: when there is not one length for each sequence.
        DtypeError: when they are not integers.
        ValueError: when one is negative or beyond the time steps.
        DetachError: when they require grad.
    """
    counts = as_constant(lengths, name, argument)
    shapes = list(dict.fromkeys(shapes))
    if counts.shape not in shapes:
        raise ShapeError(
            f"{name}: {argument} must have shape {' or '.join(map(str, shapes))}, one for each "
            f"sequence of {what} {describe(x)}, got {describe(counts)}. {advice}".rstrip()
        )
    if counts.dtype.kind not in "iu" and counts.size:
        raise DtypeError(
            f"{name}: {argument} must be integers, got {describe(counts)}; from a mask (batch, "
            "time) of booleans they are mask.sum(axis=1)"
        )
    outside = (counts < 0) | (counts > time)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        where = f" at place {place[0] if len(place) == 1 else place}" if place else ""
        raise ValueError(
            f"{name}: {argument} must be 0 to {time}, the time steps of {what} {describe(x)}, got "
            f"{int(counts[place])}{where}. {advice}".rstrip()
        )
    return cast(PlainArray, counts.astype(np.intp))
