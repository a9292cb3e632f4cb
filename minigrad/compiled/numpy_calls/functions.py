"""NumPy functions in the form in which programs call them: the last argument is written."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import PlainArray, View
from minigrad.ops.elementwise.special import erf
from minigrad.restoring import errstate

__all__ = [
    "FUNCTIONS",
    "Instruction",
    "Use",
    "branch",
    "call",
    "gather",
    "hand",
    "hand_result",
    "scatter_add",
    "silently",
    "strided",
    "take_result",
]

Instruction = tuple[Callable[..., Any], list[Any]]
# Arguments, the place among them, and what is read there; None for a value as it is.
Use = tuple[list[Any], int, View | None]


def hand(uses: Sequence[Use], array: PlainArray) -> None:
    """Put an array where its value is used."""
    for arguments, place, view in uses:
        if view is not None:
            arguments[place] = strided(array, view.shape, view.strides, view.offset)
        else:
            arguments[place] = array


def strided(
    room: PlainArray, shape: tuple[int, ...], strides: Sequence[int], offset: int
) -> PlainArray:
    """A view of contiguous room, with strides and offset in elements."""
    step = room.itemsize
    return np.ndarray(shape, room.dtype, room, offset * step, [s * step for s in strides])


def call(
    run: Callable[[Sequence[Any]], list[Any]], results: list[Any], *operands: PlainArray
) -> None:
    """Run an operation as it is, and keep its results."""
    results[:] = run(operands)
    for i, result in enumerate(results):  # operands are written again by the next call
        if isinstance(result, np.ndarray) and any(
            np.may_share_memory(result, operand) for operand in operands
        ):
            results[i] = result.copy()


def take_result(results: list[Any], index: int, out: PlainArray) -> None:
    """Copy a result to its room."""
    out[()] = results[index]


def hand_result(
    results: list[Any], index: int, uses: Sequence[Use], made: list[PlainArray]
) -> None:
    """Have a result read where it is."""
    made[:] = (np.asarray(results[index], order="C"),)
    hand(uses, made[0])


def branch(
    condition: PlainArray, where_any: Sequence[Instruction], otherwise: Sequence[Instruction]
) -> None:
    """Run one of two lists."""
    for function, arguments in where_any if condition.any() else otherwise:
        function(*arguments)


def silently(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that raises no flags."""
    with errstate(all="ignore"):
        return function(*arguments)


def gather(table: PlainArray, index: PlainArray, out: PlainArray) -> None:
    """Rows of a table; an index out of bounds is an error."""
    if index.size and index.min() < 0:
        raise IndexError("an index is negative")
    np.take(table, index, 0, out, "raise")


def scatter_add(index: PlainArray, rows: PlainArray, out: PlainArray) -> None:
    """Add rows up by their numbers."""
    out[...] = 0
    np.add.at(out, index, rows)


def _sigmoid(x: PlainArray, out: PlainArray) -> None:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    np.divide(1, out, out)


def _where(condition: PlainArray, x: Any, y: Any, out: PlainArray) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=condition)


def _copy(x: Any, out: PlainArray) -> None:
    np.copyto(out, x, casting="unsafe")


def _maximum(x: Any, y: Any, out: PlainArray) -> None:
    np.maximum(x, y, out=out)


def _minimum(x: Any, y: Any, out: PlainArray) -> None:
    np.minimum(x, y, out=out)


def _erf(x: PlainArray, out: PlainArray) -> None:
    np.copyto(out, erf.operation.forward(x))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "convert": _copy,
    "copy": _copy,
    "erf": _erf,
    "maximum": _maximum,
    "minimum": _minimum,
    "sigmoid": _sigmoid,
    "where": _where,
}
"""What NumPy has no function for that writes into an array."""
