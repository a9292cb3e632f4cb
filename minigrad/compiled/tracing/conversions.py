"""From calls of minigrad's operations to values of a graph.

What has no conversion here becomes a `call`: the operation itself, as it is, which the NumPy back
end runs. A conversion gives up by returning None. It is taken only if shape and dtype of what it
gives are those of the real result.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import (
    BINARY,
    BITWISE,
    COMPARISONS,
    LOGICAL,
    UNARY,
    Operand,
    View,
    size_of,
)
from minigrad.compiled.tracing.builder import Builder, as_number, blank
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


# -- elementwise -----------------------------------------------------------------------------------

_OF_TRUTHS = {
    "add": "logical_or",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "maximum": "logical_or",
    "minimum": "logical_and",
    "multiply": "logical_and",
}
"""What arithmetic of booleans is."""


_TESTS = COMPARISONS | LOGICAL


@conversion(*(UNARY | BINARY | BITWISE | _TESTS) - {"copy", "sigmoid"})
def _elementwise(builder: Builder, call: Recorded) -> View | None:
    if call.params:
        return None
    dtype = call.result.dtype
    if dtype.kind == "b" and call.name in _OF_TRUTHS:
        return builder.elementwise(_OF_TRUTHS[call.name], *call.operands)
    if call.name not in _TESTS and dtype.kind not in "fiu":
        return None
    if call.name == "power" and dtype in FLOATS:
        return _power(builder, call, as_number(call.operands[1]))
    return builder.elementwise(call.name, *call.operands, dtype=dtype)


def _power(builder: Builder, call: Recorded, exponent: Any) -> View:
    """Powers that are simpler than they look, as NumPy computes them."""
    base = call.operands[0]
    if isinstance(base, View) and base.dtype == call.result.dtype:
        if exponent == 1:
            return base.broadcast(call.result.shape)
        if exponent == 2:
            return builder.elementwise("square", base).broadcast(call.result.shape)
        if exponent == 0.5:
            return builder.elementwise("sqrt", base).broadcast(call.result.shape)
    return builder.elementwise("power", *call.operands, dtype=call.result.dtype)


@conversion("invert", "bitwise_not")
def _invert(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if call.result.dtype.kind == "b":
        return builder.elementwise("logical_not", x)
    return builder.elementwise("bitwise_xor", x, -1) if call.result.dtype.kind == "i" else None


@conversion("sigmoid", quiet=True)
def _floating(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    return builder.elementwise(call.name, x) if call.result.dtype in FLOATS else None


@conversion("positive", "dropout_off", "real", "conj")
def _same(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    changed = call.name == "conj" and call.result.dtype.kind == "c"
    return x if isinstance(x, View) and not changed else None


@conversion("fabs")
def _absolute(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("absolute", *call.operands)


@conversion("reciprocal")
def _reciprocal(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("divide", 1.0, *call.operands)


@conversion("relu")
def _relu(builder: Builder, call: Recorded) -> View | None:
    return builder.elementwise("maximum", call.operands[0], 0.0)


@conversion("where")
def _where(builder: Builder, call: Recorded) -> View | None:
    condition, x, y = call.operands
    if not isinstance(condition, View) or call.result.dtype.kind not in "fiub":
        return None
    if condition.dtype != bool:
        condition = builder.elementwise("not_equal", condition, 0)
    return builder.elementwise("where", condition, x, y, dtype=call.result.dtype)


@conversion("astype")
def _astype(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    wanted = call.result.dtype
    return builder.convert(x, wanted) if isinstance(x, View) and wanted.kind in "fiub" else None


@conversion("dropout", quiet=True)
def _dropout(builder: Builder, call: Recorded) -> View | None:
    x, keep = call.operands
    kept = builder.elementwise("multiply", x, keep)
    return builder.elementwise("multiply", kept, call.params["scale"])


@conversion("silu", quiet=True)
def _silu(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    return builder.elementwise("multiply", x, builder.elementwise("sigmoid", x))


@conversion("gelu", quiet=True)
def _gelu(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if call.params["approximate"] != "none" or call.result.dtype != np.float32:
        return None  # of float64, the exact form needs erfc
    below = builder.elementwise("erf", builder.elementwise("multiply", x, 0.5**0.5))
    half = builder.elementwise("multiply", below, 0.5)
    return builder.elementwise("multiply", x, builder.elementwise("add", half, 0.5))


# -- views -----------------------------------------------------------------------------------------

_VIEWS: dict[str, Callable[..., Any]] = {
    "squeeze": lambda d, axis: np.squeeze(d, axis),
    "expand_dims": lambda d, axis: np.expand_dims(d, axis),
    "transpose": lambda d, axes: np.transpose(d, axes),
    "swapaxes": lambda d, axis1, axis2: np.swapaxes(d, axis1, axis2),
    "moveaxis": lambda d, source, destination: np.moveaxis(d, source, destination),
    "flip": lambda d, axis: np.flip(d, axis),
    "rot90": lambda d, k, axes: np.rot90(d, int(k), axes),
    "broadcast_to": lambda d, shape: np.broadcast_to(d, shape),
}


@conversion(*_VIEWS)
def _view(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if not isinstance(x, View):
        return None
    return x.seen_through(lambda dummy: _VIEWS[call.name](dummy, **call.params))


@conversion("reshape")
def _reshape(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if call.params["order"] != "C" or not isinstance(x, View):
        return None
    return builder.reshape(x, call.result.shape)


def is_basic(index: Any) -> bool:
    """Whether an index gives a view: integers, slices, None and Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or type(part) is int or isinstance(part, slice)
        for part in parts
    )


@conversion("getitem")
def _getitem(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    index = call.params["index"]
    if not isinstance(x, View) or not is_basic(index):
        return None
    return x.seen_through(_reader(index))


def _as_view(index: Any) -> Any:
    """An index that gives an array of no axes where the bare one would give a number."""
    parts = index if isinstance(index, tuple) else (index,)
    return parts if any(part is Ellipsis for part in parts) else (*parts, ...)


def _reader(index: Any) -> Callable[[Any], Any]:
    return lambda dummy: dummy[_as_view(index)]


@conversion("setitem")
def _setitem(builder: Builder, call: Recorded) -> View | None:
    x, value = call.operands
    index = call.params["index"]
    whole = index is Ellipsis or index == () or index == (Ellipsis,)
    if not whole or not isinstance(x, View) or not isinstance(value, View):
        return None
    return builder.convert(value, x.dtype).broadcast(x.shape)


@conversion("scatter")
def _scatter(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    index, shape = call.params["index"], tuple(call.params["shape"])
    if not isinstance(x, View) or not is_basic(index):
        return None
    return builder.placed(x, shape, _reader(index))


@conversion("concatenate")
def _concatenate(builder: Builder, call: Recorded) -> View | None:
    axis = call.params.get("axis", 0)
    if axis is None or call.params.get("dtype") is not None:
        return None
    shape = call.result.shape
    axis %= len(shape)
    whole, parts, start = blank(shape, call.result.dtype), [], 0
    for operand in call.operands:
        if not isinstance(operand, View):
            return None
        stop = start + operand.shape[axis]
        index = (*(slice(None),) * axis, slice(start, stop))
        if stop > start:
            parts.append(
                (builder.convert(operand, call.result.dtype), whole.seen_through(_reader(index)))
            )
        start = stop
    return builder.joined(parts, shape) if parts else None


@conversion("stack")
def _stack(builder: Builder, call: Recorded) -> View | None:
    axis = call.params.get("axis", 0)
    shape = call.result.shape
    axis %= len(shape)
    whole, parts = blank(shape, call.result.dtype), []
    for i, operand in enumerate(call.operands):
        if not isinstance(operand, View):
            return None
        index = (*(slice(None),) * axis, i)
        parts.append(
            (builder.convert(operand, call.result.dtype), whole.seen_through(_reader(index)))
        )
    return builder.joined(parts, shape)


# -- products and rows ----------------------------------------------------------------------------


@conversion("matmul")
def _matmul(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if not isinstance(a, View) or not isinstance(b, View) or call.result.dtype not in FLOATS:
        return None
    if not size_of(call.result.shape) or not a.shape[-1]:
        return None
    a, b = (builder.convert(v, call.result.dtype) for v in (a, b))
    if len(a.shape) == 1:
        a = builder.reshape(a, (1, *a.shape))
    if len(b.shape) == 1:
        b = builder.reshape(b, (*b.shape, 1))
    return builder.reshape(builder.matmul(a, b), call.result.shape)


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
