"""Mark results that are parts of another value, such as slices, which refuse to be written.

In NumPy an index, a transpose or a reshape gives a view, and writing into it changes the array it
was taken from. Here they give values, so such a write would be lost, and it is refused. An
operation declared with `part` marks its result with itself; copies, arithmetic, `detach`, pickling
and augmented assignment (`part += 1`) make values without a mark, which can be written.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from minigrad.core.errors import ReadOnlyError, describe

__all__ = ["ROW", "Marked", "as_part", "as_value", "refuse_part", "refuse_row", "returns_value"]


class Marked(Protocol):
    """What has the mark: a tensor. It is unset unless the tensor is a part."""

    _part: Any


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Marked)

ROW = "row"
"""The mark of what iterating over a tensor gives; other marks are the operation, or its name."""


def as_part(tensor: T, mark: Any) -> T:
    """Mark the result of a function that is composed of operations as a part."""
    tensor._part = mark
    return tensor


def as_value(tensor: T) -> T:
    """Take the mark off the result of a function that ends with an index or a reshape."""
    if getattr(tensor, "_part", None) is not None:
        del tensor._part
    return tensor


def returns_value(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a composed function whose result is a value, though it ends with a reshape."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        result = function(*args, **kwargs)
        for tensor in result if isinstance(result, tuple) else (result,):
            as_value(cast(Marked, tensor))
        return result

    return wrapped


def refuse_part(tensor: Any, what: str) -> None:
    """Refuse to write into a part.

    Raises:
        ReadOnlyError: says what to write instead.
    """
    mark = getattr(tensor, "_part", None)
    if mark is None:
        return
    if mark == ROW:
        refuse_row(tensor, what)
    name = getattr(mark, "name", mark)
    own = getattr(type(tensor), name, None)
    if name == "getitem":
        source = "x[...]"
        direct = "Write into x itself with one index, x[0, 1] = ... for x[0][1] = ...,"
    else:
        source = f"x.{name}" if isinstance(own, property) else f"x.{name}(...)"
        source = source if own is not None else f"{name}(x, ...)"
        direct = "Write into x itself, at the index that the elements have there,"
    raise ReadOnlyError(
        f"{what}: this tensor {describe(tensor)} is the result of {source}, and values are not "
        f"aliases: the write would not reach x. {direct} or into a copy: r = {source}.copy()."
    )


def refuse_row(tensor: Any, what: str) -> None:
    """Refuse to change a row that iterating over a tensor gave, in place of the tensor itself.

    A number that iterating over a vector gave may be rebound, `value += 1`, as NumPy's can.
    """
    if getattr(tensor, "_part", None) != ROW:
        return
    raise ReadOnlyError(
        f"{what}: this tensor {describe(tensor)} is a row got by iterating over a tensor x, or by "
        "unpacking it, and values are not aliases: the change would not reach x. Write "
        "`for i in range(len(x)): x[i] = ...` (x[i] += ... works, too); for a new value write "
        "row = row + ..., or row = row.copy() before changing it."
    )
