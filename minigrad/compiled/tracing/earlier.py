"""What a second trace of a function takes over from the first, so that only differences are made.

Where it does the same with the same, its values are those of the first trace themselves, and
nothing is converted twice. What differs gives other values, and so does all that depends on it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import Operand, View
from minigrad.compiled.tracing.conversions import Recorded

__all__ = ["Calls"]

_ATOMS = frozenset((int, float, bool, str, type(None), type(Ellipsis)))


class _Call(NamedTuple):
    """One call of an operation, and what it was converted to."""

    operation: Any
    operands: Sequence[Operand]
    params: str
    shape: tuple[int, ...]
    dtype: Any
    result: View


class Calls:
    """The converted calls of a trace by their numbers, to find each again in the next trace.

    Args:
        before: those of the first trace; None in the first one, which keeps its own.
    """

    def __init__(self, before: "Calls | None" = None) -> None:
        self._before = before
        self._calls: dict[int, _Call] = {}
        self._count = 0

    def again(self, operation: Any, call: Recorded) -> View | None:
        """What the next call gave in the first trace, if it is the same: of the same operands,
        with the same parameters, to a result of the same kind."""
        self._count += 1
        before = None if self._before is None else self._before._calls.get(self._count)
        if (
            before is None
            or before.operation is not operation
            or before.shape != call.result.shape
            or before.dtype != call.result.dtype
            or len(before.operands) != len(call.operands)
            or not all(map(_same_operand, before.operands, call.operands))
            or before.params != _text(call.params)
        ):
            return None
        return before.result

    def note(self, operation: Any, call: Recorded, result: View) -> None:
        """Keep what the call was converted to, for a second trace."""
        params = _text(call.params)
        if self._before is None and params is not None:
            shape, dtype = call.result.shape, call.result.dtype
            self._calls[self._count] = _Call(operation, call.operands, params, shape, dtype, result)


def _same_operand(one: Operand, other: Operand) -> bool:
    if one is other:
        return True
    if isinstance(one, View) and isinstance(other, View):
        return one.key == other.key
    return type(one) is type(other) and repr(one) == repr(other)


def _text(value: Any) -> str | None:
    """Parameters as text that only equal ones share; None of those that are not plain."""
    kind = type(value)
    if kind in _ATOMS:
        return repr(value)
    if kind is dict:
        return "" if not value else _text([*value, *value.values()])
    if kind is slice:
        return _text(("slice", value.start, value.stop, value.step))
    if kind is tuple or kind is list:
        parts = [_text(part) for part in value]
        inner = [part for part in parts if part is not None]
        return f"{kind.__name__}({', '.join(inner)})" if len(inner) == len(parts) else None
    if isinstance(value, np.dtype):
        return repr(value)
    return repr(value) if kind is type and value.__module__ in ("builtins", "numpy") else None
