"""What was converted is not converted again: in the backward pass, or in a second trace.

A second trace takes over the values of the first. Where it does the same with the same, nothing is
made; what differs gives other values, and so does all that depends on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import Operand, View

__all__ = ["Calls", "is_plain"]

_ATOMS = frozenset((int, float, bool, str, type(None), type(Ellipsis)))
_BOUNDS = frozenset((int, type(None)))


class Calls:
    """The calls that were converted, with what they gave.

    Args:
        before: those of the first trace; None in the first one.
    """

    def __init__(self, before: "Calls | None" = None) -> None:
        self._first = before is None
        self._results: dict[Any, View] = {} if before is None else before._results

    def key(self, operation: Any, operands: Sequence[Operand], params: dict[str, Any]) -> Any:
        """What equal calls share: of one operation, with the same operands and parameters. None
        if arrays may be among the parameters."""
        text = ""
        if params:
            if not all(map(is_plain, params.values())):
                return None
            text = repr(params)
        read = [o.key if isinstance(o, View) else (type(o), repr(o)) for o in operands]
        return operation, text, *read

    def again(self, key: Any) -> View | None:
        """What an equal call was converted to; None if there was none."""
        return self._results.get(key)

    def note(self, key: Any, result: View) -> None:
        """Keep what a call of the first trace was converted to."""
        if self._first and key is not None:
            self._results[key] = result

    def mark(self) -> int:
        """How many there are."""
        return len(self._results)

    def back_to(self, mark: int) -> None:
        """Forget those that were noted since then."""
        while len(self._results) > mark:
            self._results.popitem()


def is_plain(value: Any) -> bool:
    """Whether a parameter cannot hold an array, and has a text that only equal ones share.

    >>> is_plain((slice(None), 1)), is_plain([np.arange(2)])
    (True, False)
    """
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is slice:
        return _BOUNDS.issuperset((type(value.start), type(value.stop), type(value.step)))
    if kind is tuple or kind is list:
        return all(map(is_plain, value))
    if isinstance(value, np.dtype):
        return True
    return kind is type and value.__module__ in ("builtins", "numpy")
