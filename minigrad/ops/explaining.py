"""Translate NumPy's errors into errors that name the operation and its arguments."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minigrad.core.errors import (
    AxisError,
    DetachError,
    DtypeError,
    GradientError,
    ShapeError,
    describe,
)
from minigrad.core.modes import current_mode
from minigrad.core.nodes import place
from minigrad.ops.checks import OptionError
from minigrad.ops.primitives import Operation

__all__ = ["explain", "name_the_call", "names_its_errors"]

P = ParamSpec("P")
R = TypeVar("R")

_BROADCAST = (
    "the shapes do not broadcast together; lengths must be equal or 1, from the last axis on"
)

LEADS: tuple[tuple[str, str], ...] = (
    (r"remapped shapes", "does not broadcast to this shape; lengths must be equal or 1"),
    (r"could not be broadcast|shape mismatch: objects", _BROADCAST),
    (
        r"could not broadcast input array from shape (\([^)]*\)) into shape (\([^)]*\))",
        r"values of shape \1 do not fit a place of shape \2",
    ),
    (
        r"mismatch in its core dimension.*\(size (\d+) is different from (\d+)\)",
        r"the lengths summed over differ, \2 and \1",
    ),
    (
        r"does not have enough dimensions",
        "a number has no axis to sum over; multiply by it with `*`",
    ),
    (r"ufunc '(bit|left|right|invert)", "works on integers and booleans alone; see t.astype"),
    (r"ufunc '.*not supported for the input types", "is not defined for these dtypes"),
    (r"does not have an identity", "where= needs initial=, the result where nothing is chosen"),
    (r"zero-size array to reduction|of an empty sequence", "there are no elements to choose from"),
    (r"^object too deep", "the first argument must be a vector"),
    (r"axes don't match array|repeated axis in transpose", "axes must name every axis once"),
    (r"cannot select an axis to squeeze", "only axes of length 1 can be squeezed away"),
    (
        r"Cannot interpret '(True|False)' as a data type",
        r"this argument is dtype; write keepdims=\1",
    ),
    (r"cannot be interpreted as an integer", "an axis, a length or a count must be an integer"),
    (r"requires an array of at least two", "needs two axes or more"),
    (r"must have same number of dimensions", "arrays must have equally many axes; see stack"),
    (r"all the input array dimensions except", "shapes may differ along the joined axis alone"),
    (r"negative dimensions are not allowed", "a count must not be negative"),
    (r"^only integers, slices", "an index must be made of integers, slices and the like"),
    (r"^too many indices", "there are more indices than axes"),
    (r"^boolean index did not match", "a mask must have the shape of the axes that it stands for"),
    (r"invalid literal|^could not convert string", "numbers are needed, not text"),
    (
        r"^Integers to negative integer powers",
        "an integer to a negative power is no integer; write a floating exponent, such as -1.0",
    ),
)
"""What to say first, by a pattern of NumPy's own text."""

_OF_VALUES = re.compile(r"All-NaN slice|negative integer powers")
"""What NumPy says of values, not of shapes."""

_AS_THEY_ARE = (DetachError, DtypeError, GradientError, ShapeError, IndexError)


def explain(op: Operation, error: Exception, values: Sequence[Any], params: Any) -> Any:
    """The error of a forward that failed, with the operation, its place and its arguments."""
    text, original = str(error).strip(), ""
    for pattern, lead in LEADS:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            text, original = found.expand(lead), f". NumPy: {text}"
            break
    inputs = [f"{n}: {describe(v)}" for n, v in zip(op.inputs, values, strict=True)]
    others = [f"{n}={describe(v)}" for n, v in params.items() if v is not op.defaults.get(n, op)]
    message = (
        f"{place(op.name, current_mode().scope)}: {text} "
        f"(called with {', '.join(inputs + others)})"
        + (f". {op.hint}" if op.hint else "")
        + original
    )
    if isinstance(error, np.exceptions.AxisError):
        return AxisError(message)
    if isinstance(error, OptionError) or _OF_VALUES.search(text):
        return ValueError(message)
    if isinstance(error, (*_AS_THEY_ARE, np.linalg.LinAlgError)):
        return type(error)(message)
    if isinstance(error, ValueError):
        return ShapeError(message)
    if isinstance(error, TypeError):
        return DtypeError(message)
    return type(error)(message)


# The engine knows nothing of the texts of NumPy.
Operation.explain = explain  # type: ignore[assignment, method-assign]


_RENAMED = (
    TypeError,
    ValueError,
    IndexError,
    AxisError,
    DtypeError,
    ShapeError,
    np.exceptions.DTypePromotionError,
)


def name_the_call(error: Any, name: str, args: tuple[Any, ...], kwargs: Any) -> Any:
    """An error of a composed function, beginning with the function that was called.

    It is the error itself when it begins so, or with the NumPy function that called this one, or
    when it is none of the arguments.

    Args:
        error: what the function raised.
        name: the function's name, "np.linalg.norm" or "average".
        args, kwargs: what it was called with.
    """
    text, last = str(error), name.rpartition(".")[2]
    if type(error) not in _RENAMED or re.match(rf"(\w+\.)*{last}\b|np\.\w+: ", text):
        return error
    given = [*map(describe, args), *(f"{k}={describe(v)}" for k, v in kwargs.items())]
    return type(error)(f"{name}: {text} ({name}({', '.join(given)}))")


def names_its_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a composed function whose arguments go on to others, which would name themselves."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            named = name_the_call(error, function.__name__, args, kwargs)
            if named is error:
                raise
            raise named from error

    return wrapped
