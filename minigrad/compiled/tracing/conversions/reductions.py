"""From sums, maxima, softmax and the like to values of a graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import View, size_of
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.conversions.registry import FLOATS, Recorded, conversion
from minigrad.ops.axis_utils import normalize_axes

__all__ = ["ufunc_reduction"]


def _plain_reduction(call: Recorded) -> bool:
    """Whether it reduces floating numbers that are there, and nothing else is asked for."""
    (x,) = call.operands
    params = call.params
    usual = all(params.get(name) is None for name in ("dtype", "initial"))
    everywhere = params.get("where") is None or params["where"] is True
    known = isinstance(x, View) and x.dtype in FLOATS and size_of(x.shape) > 0
    return known and usual and everywhere


def _axes(x: View, axis: Any) -> tuple[int, ...]:
    """The axes, counted from 0; numbers may be given one that they do not have."""
    return tuple(normalize_axes(axis, len(x.shape))) if x.shape else ()


def _reduced(builder: Builder, call: Recorded, op: str) -> View:
    (x,) = call.operands
    assert isinstance(x, View)
    axes = _axes(x, call.params["axis"])
    return builder.reduce(op, x, axes, call.params["keepdims"])


@conversion("sum")
def _sum(builder: Builder, call: Recorded) -> View | None:
    return _reduced(builder, call, "sum") if _plain_reduction(call) else None


@conversion("max")
def _max(builder: Builder, call: Recorded) -> View | None:
    return _reduced(builder, call, "max") if _plain_reduction(call) else None


@conversion("min")
def _min(builder: Builder, call: Recorded) -> View | None:
    if not _plain_reduction(call):
        return None
    (x,) = call.operands
    assert isinstance(x, View)
    return _extreme(builder, "min", x, call.params["axis"], call.params["keepdims"])


def _extreme(builder: Builder, op: str, x: View, axis: Any, keepdims: bool) -> View:
    """The largest or smallest: the smallest is the largest with the order turned around."""
    axes = _axes(x, axis)
    if op == "max":
        return builder.reduce("max", x, axes, keepdims)
    largest = builder.reduce("max", _turned(builder, x), axes, keepdims)
    return _turned(builder, largest)


def _turned(builder: Builder, x: View) -> View:
    """Numbers in the opposite order; of integers the complement, as negation may overflow."""
    if x.dtype in FLOATS:
        return builder.elementwise("negative", x)
    return builder.elementwise("bitwise_xor", x, -1)


def _any(builder: Builder, x: View, axis: Any, keepdims: bool) -> View:
    axes = _axes(x, axis)
    most = builder.reduce("max", builder.convert(x, np.int64), axes, keepdims)
    return builder.elementwise("not_equal", most, 0)


def ufunc_reduction(
    builder: Builder, name: str, x: Any, options: dict[str, Any], dtype: Any
) -> View | None:
    """What `np.add.reduce` and the like give, if nothing unusual is asked of them."""
    usual = {"axis", "keepdims", "dtype"} | {
        key
        for key, value in options.items()
        if value is None or value is True or value is np._NoValue
    }
    op = {"maximum.reduce": "max", "minimum.reduce": "min"}.get(name)
    initial: Any = options.get("initial")
    limited = type(initial) is int or (type(initial) is float and dtype in FLOATS)
    if op and limited:
        usual.add("initial")
    if not isinstance(x, View) or not usual.issuperset(options) or not size_of(x.shape):
        return None
    axis, keepdims = options.get("axis", 0), bool(options.get("keepdims", False))
    if name in ("logical_or.reduce", "logical_and.reduce") and x.dtype.kind == "b":
        if name == "logical_or.reduce":
            return _any(builder, x, axis, keepdims)
        missing = _any(builder, builder.elementwise("logical_not", x), axis, keepdims)
        return builder.elementwise("logical_not", missing)
    if name == "add.reduce" and dtype in (*FLOATS, np.int64):
        x = builder.convert(x, dtype)
    if x.dtype != dtype or x.dtype not in (*FLOATS, np.int64):
        return None
    if name == "add.reduce":
        return builder.reduce("sum", x, _axes(x, axis), keepdims)
    if op is None:
        return None
    found = _extreme(builder, op, x, axis, keepdims)
    return builder.elementwise(f"{op}imum", found, initial) if limited else found


@conversion("var")
def _var(builder: Builder, call: Recorded) -> View | None:
    if not _plain_reduction(call):
        return None
    (x,) = call.operands
    assert isinstance(x, View)
    axes = _axes(x, call.params["axis"])
    mean = builder.reduce("sum", x, axes, keepdims=True)
    count = size_of(x.shape) // size_of(mean.shape)
    correction = call.params["correction"]
    freedom = count - (call.params["ddof"] if correction is None else correction)
    if freedom <= 0:
        return None
    distance = builder.elementwise("subtract", x, builder.elementwise("divide", mean, count))
    squares = builder.elementwise("square", distance)
    total = builder.reduce("sum", squares, axes, call.params["keepdims"])
    return builder.elementwise("divide", total, freedom)


@conversion("std")
def _std(builder: Builder, call: Recorded) -> View | None:
    variance = _var(builder, call)
    return None if variance is None else builder.elementwise("sqrt", variance)


_LARGE_UNIT = {np.dtype(np.float32): 2.0**100, np.dtype(np.float64): 2.0**900}
"""By what numbers are divided whose sum leaves the range of a dtype."""


@conversion("p_norm")
def _norm(builder: Builder, call: Recorded) -> View | None:
    """The norm of numbers divided by the sum of their sizes: no square over- or underflows."""
    (x,), p = call.operands, call.params["p"]
    if p not in (1, 2) or not isinstance(x, View) or x.dtype not in FLOATS or not size_of(x.shape):
        return None
    axes, keepdims = _axes(x, call.params["axis"]), call.params["keepdims"]
    size = builder.elementwise("absolute", x)
    if p == 1:
        return builder.reduce("sum", size, axes, keepdims)
    heard, builder.heard = builder.heard, False  # a sum that overflows is not used
    total = builder.reduce("sum", size, axes, keepdims=True)
    finite = builder.elementwise("isfinite", total)
    unit = builder.elementwise("where", finite, total, _LARGE_UNIT[x.dtype])
    unit = builder.elementwise("where", builder.elementwise("equal", total, 0), 1.0, unit)
    squares = builder.elementwise("square", builder.elementwise("divide", x, unit))
    root = builder.elementwise("sqrt", builder.reduce("sum", squares, axes, keepdims=True))
    builder.heard = heard
    norm = builder.elementwise("multiply", root, unit)
    return builder.reshape(norm, call.result.shape)


@conversion("any", "all")
def _truths(builder: Builder, call: Recorded) -> View | None:
    (x,), params = call.operands, call.params
    if not isinstance(x, View) or not size_of(x.shape) or params["where"] is not None:
        return None
    if call.name == "any":
        return _any(builder, _nonzero(builder, x), params["axis"], params["keepdims"])
    zero = builder.elementwise("logical_not", _nonzero(builder, x))
    return builder.elementwise(
        "logical_not", _any(builder, zero, params["axis"], params["keepdims"])
    )


@conversion("count_nonzero")
def _count(builder: Builder, call: Recorded) -> View | None:
    (x,), params = call.operands, call.params
    if not isinstance(x, View) or not size_of(x.shape):
        return None
    ones = builder.convert(_nonzero(builder, x), np.int64)
    return builder.reduce("sum", ones, _axes(x, params["axis"]), params["keepdims"])


def _nonzero(builder: Builder, x: View) -> View:
    return x if x.dtype.kind == "b" else builder.elementwise("not_equal", x, 0)


@conversion("argmax", "argmin")
def _argmax(builder: Builder, call: Recorded) -> View | None:
    """The first place of the largest: of counts down from the end, the largest."""
    (x,) = call.operands
    if not isinstance(x, View) or x.dtype not in FLOATS or not size_of(x.shape):
        return None
    axis, keepdims = call.params["axis"], bool(call.params.get("keepdims"))
    if axis is None or not x.shape:  # a number may be given an axis that it does not have
        if keepdims:
            return None
        x, axis = builder.reshape(x, (size_of(x.shape),)), 0
    (axis,) = _axes(x, axis)
    if call.name == "argmin":
        x = builder.elementwise("negative", x)
    most = builder.reduce("max", x, (axis,), keepdims=True)
    found = builder.elementwise("equal", x, most)
    found = builder.elementwise("logical_or", found, builder.elementwise("isnan", x))
    last = x.shape[axis] - 1
    down = builder.constant(np.arange(last, -1, -1).reshape(-1, *[1] * (len(x.shape) - axis - 1)))
    counts = builder.elementwise("where", found, down.broadcast(x.shape), -1, dtype=np.int64)
    most = builder.reduce("max", counts, (axis,), keepdims)
    return builder.elementwise("subtract", last, most)


@conversion("mean")
def _mean(builder: Builder, call: Recorded) -> View | None:
    (x,), dtype = call.operands, call.result.dtype
    if isinstance(x, View) and x.dtype.kind in "biu":  # whose mean is of float64
        x = builder.convert(x, dtype)
    call = call._replace(operands=[x])
    if not isinstance(x, View) or not _plain_reduction(call):
        return None
    total = _reduced(builder, call, "sum")
    return builder.elementwise("divide", total, size_of(x.shape) / size_of(total.shape))


@conversion("softmax", "log_softmax", quiet=True)
def _softmax(builder: Builder, call: Recorded) -> View | None:
    parts = _partition(builder, call)
    if parts is None:
        return None
    shifted, _, exponentials, total = parts
    share = builder.elementwise("divide", 1.0, total)  # of totals from 1 on, never out of range
    y = builder.elementwise("multiply", exponentials, share)
    if call.name == "log_softmax":
        logarithm = builder.elementwise("log", total)
        y, probabilities = builder.elementwise("subtract", shifted, logarithm), y
        builder.equate(probabilities, "exp", y)
    return y


@conversion("logsumexp")
def _logsumexp(builder: Builder, call: Recorded) -> View | None:
    parts = _partition(builder, call)
    if parts is None:
        return None
    _, top, _, total = parts
    y = builder.elementwise("add", builder.elementwise("log", total), top)
    return builder.reshape(y, call.result.shape)


def _partition(builder: Builder, call: Recorded) -> tuple[View, View, View, View] | None:
    """The scores minus their largest, that, the exponentials, and their sums: 1 where all are 0, as
    no score is possible."""
    (x,) = call.operands
    if not isinstance(x, View) or x.dtype not in FLOATS or not size_of(x.shape):
        return None
    axes = _axes(x, call.params["axis"])
    shifted, top = _shifted(builder, x, axes)
    exponentials = builder.elementwise("exp", shifted)
    total = builder.reduce("sum", exponentials, axes, keepdims=True)
    empty = builder.elementwise("equal", total, 0.0)
    return shifted, top, exponentials, builder.elementwise("where", empty, 1.0, total)


def _shifted(builder: Builder, x: View, axes: Sequence[int]) -> tuple[View, View]:
    """`x` minus its largest, and that; infinite scores as `minigrad.ops.reduction.softmaxes` takes
    them."""
    top = builder.reduce("max", x, axes, keepdims=True)
    zero, least = (builder.constant(np.array(n, x.dtype)) for n in (0, -np.inf))
    chosen = builder.elementwise("where", builder.elementwise("equal", x, np.inf), zero, least)
    certain = builder.elementwise("equal", top, np.inf)
    finite = builder.elementwise("isfinite", top)
    scores = builder.elementwise("where", certain, chosen, x)
    below = builder.elementwise("where", finite, top, 0.0)
    return builder.elementwise("subtract", scores, below), top
