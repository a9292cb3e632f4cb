"""From NumPy's own functions, of arrays that are followed, to values of a graph."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, PlainArray, View
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.conversions.indexed import with_index
from minigrad.compiled.tracing.conversions.reductions import ufunc_reduction
from minigrad.compiled.tracing.conversions.registry import Recorded, convert

__all__ = ["FORMULAS", "NumpyFunction", "convert_function"]

FORMULAS: Final = ELEMENTWISE | {"invert", "matmul"}

_REDUCTIONS: Final = {
    "sum": "add.reduce",
    "max": "maximum.reduce",
    "amax": "maximum.reduce",
    "min": "minimum.reduce",
    "amin": "minimum.reduce",
    "any": "logical_or.reduce",
    "all": "logical_and.reduce",
}
_OF_AN_AXIS: Final = {"axis": None, "keepdims": False}
_OF_DEVIATIONS: Final = {"keepdims": False, "ddof": 0, "correction": None}
_OPERATIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "argmax": ("argmax", _OF_AN_AXIS),
    "argmin": ("argmin", _OF_AN_AXIS),
    "clip": ("clip_fixed", {"low": None, "high": None}),
    "concatenate": ("concatenate", {"axis": 0}),
    "cumsum": ("cumsum", {"axis": None, "dtype": None}),
    "count_nonzero": ("count_nonzero", _OF_AN_AXIS),
    "mean": ("mean", _OF_AN_AXIS),
    "roll": ("roll", {"shift": None, "axis": None}),
    "stack": ("stack", {"axis": 0}),
    "std": ("std", {"axis": None, **_OF_DEVIATIONS}),
    "tril": ("tril", {"k": 0}),
    "triu": ("triu", {"k": 0}),
    "var": ("var", {"axis": None, **_OF_DEVIATIONS}),
}
"""Functions that do what an operation of ours does, with the parameters of that, in order."""
_NAMES: Final = {"a_min": "low", "a_max": "high", "min": "low", "max": "high"}
_OF_BOOLEANS: Final = {f"bitwise_{name}": f"logical_{name}" for name in ("and", "or", "xor")}
_LIKE: Final = frozenset(("zeros_like", "ones_like"))


class NumpyFunction(NamedTuple):
    """A call of a function.

    Attributes:
        name: of the function.
        args, options: its arguments; some of the arrays among them are followed.
        result: the array that came out.
    """

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    result: PlainArray


def convert_function(
    builder: Builder,
    call: NumpyFunction,
    operand: Callable[[Any], Any],
    source: Callable[[Any], Any],
) -> View | None:
    """What a function gives; None where it must stay a call.

    Args:
        builder: makes the values.
        call: of the function.
        operand: gives the view of an argument, or the number that it is.
        source: gives the view of an array.
    """
    name, args, options, result = call
    if result.dtype == bool:
        name = _OF_BOOLEANS.get(name, name)
    if name in _LIKE:
        return builder.constant(result)
    if name == "indexing":
        read = Recorded("getitem", [operand(args[0])], {"index": args[1]}, False, result)
        found = convert(builder, read) or with_index(builder, read, source)
        return found[0] if isinstance(found, list) else found
    plain = not any(isinstance(value, np.ndarray) for value in options.values())
    if name in FORMULAS and not options and not any(isinstance(a, (list, tuple)) for a in args):
        recorded = Recorded(name, [operand(arg) for arg in args], {}, False, result)
        return convert(builder, recorded)
    if name in _REDUCTIONS and plain and 1 <= len(args) <= 2:
        given = {"axis": args[1] if len(args) == 2 else None, **options}
        return ufunc_reduction(builder, _REDUCTIONS[name], operand(args[0]), given, result.dtype)
    if name in _OPERATIONS:
        return _by_operation(builder, call, operand)
    if len(args) > 1:
        return None
    return ufunc_reduction(builder, name, operand(args[0]), options, result.dtype)


def _by_operation(
    builder: Builder, call: NumpyFunction, operand: Callable[[Any], Any]
) -> View | None:
    name, defaults = _OPERATIONS[call.name]
    first, *rest = call.args
    options = {_NAMES.get(key, key): value for key, value in call.options.items()}
    in_order = [key for key in defaults if key not in _OF_DEVIATIONS]
    params = {**defaults, **dict(zip(in_order, rest, strict=False)), **options}
    if len(rest) > len(in_order) or len(params) > len(defaults):
        return None  # something unusual
    if not all(_is_plain(value) for value in params.values()):
        return None
    several = name in ("concatenate", "stack")
    if several is not isinstance(first, (list, tuple)):
        return None
    operands = [operand(one) for one in first] if several else [operand(first)]
    return convert(builder, Recorded(name, operands, params, False, call.result))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float)
