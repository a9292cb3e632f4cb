"""From calls of minigrad's operations to values of a graph.

What has no conversion here becomes a `call`: the operation itself, as it is, which the NumPy back
end runs. A conversion gives up by returning None. It is taken only if shape and dtype of what it
gives are those of the real result.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import Operand, View
from minigrad.compiled.tracing.builder import Builder
from minigrad.core.observer import Applied

__all__ = ["FLOATS", "Recorded", "conversion", "convert", "what_hinders"]


class Recorded(NamedTuple):
    """A call of an operation.

    Attributes:
        name: of the operation.
        operands: its inputs: views, and numbers.
        params: the parameters of the call.
        traced: whether arrays that the graph knows are among the parameters.
        result: the array that came out.
    """

    name: str
    operands: Sequence[Operand]
    params: dict[str, Any]
    traced: bool
    result: Any


Conversion = Callable[[Builder, Recorded], View | None]
_table: dict[str, Conversion] = {}
_quiet: set[str] = set()

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def convert(builder: Builder, call: Recorded) -> View | None:
    """The result of a call as values of the graph; None where it must stay a call."""
    conversion = _table.get(call.name)
    if conversion is None or call.traced or not any(isinstance(o, View) for o in call.operands):
        return None
    if call.result.dtype.kind != "c" and any(
        isinstance(o, View) and o.dtype.kind == "c" for o in call.operands
    ):
        return None  # operands are converted to the dtype of the result, which would lose a part
    heard = builder.heard
    builder.heard = heard and call.name not in _quiet
    view = conversion(builder, call)
    builder.heard = heard
    if view is None or view.shape != call.result.shape:
        return None
    return view if view.dtype == call.result.dtype else None


def conversion(*names: str, quiet: bool = False) -> Callable[[Conversion], Conversion]:
    """Register the conversion of operations of these names.

    Args:
        names: of the operations.
        quiet: whether they warn of nothing, as those that `minigrad.ops.arguments.quiet` decorates.
    """

    def register(function: Conversion) -> Conversion:
        _table.update(dict.fromkeys(names, function))
        _quiet.update(names if quiet else ())
        return function

    return register


def what_hinders(applied: Applied, operands: Sequence[Operand], known: Sequence[View]) -> str:
    """What of an operation that has no conversion depends on values, if a program cannot hold it.

    Args:
        applied: the operation.
        operands: its inputs: views, and numbers.
        known: the views among its parameters.
    """
    name, params = applied.operation.name, applied.params
    varies = any(isinstance(o, View) and o.value.op != "constant" for o in operands)
    if varies and name in ("argwhere", "flatnonzero"):
        return "shape"
    if varies and name == "one_hot" and params["num_classes"] is None:
        return "shape"
    known = [view for view in known if view.value.op != "constant"]
    if known and name in ("repeat", "tile"):
        return "shape"
    if name == "getitem" and any(view.dtype == bool for view in known):
        return "shape"
    return "derivative" if applied.operation.rerun is not None else ""
