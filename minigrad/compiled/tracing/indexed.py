"""From reading by integers that the graph knows, and its gradient, to values of a graph.

What takes one element for each place of the other axes, as `x[np.arange(len(y)), y]` does, reads a
number here and there. So where a formula is read like that, it is computed for these elements
alone. The gradient compares places with the integers, which costs no memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, PlainArray, Shape, View, contiguous, size_of
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.conversions import FLOATS, Recorded

__all__ = ["with_index"]

_DEEP = 32
"""How many values of a formula are computed for some elements alone, at most."""

Source = Callable[[Any], Any]
"""The view of the graph that an array is."""


def with_index(builder: Builder, call: Recorded, source: Source) -> View | None:
    """The result of an operation that has integers as its parameter `index`; None for others."""
    x, *others = call.operands
    if others or not isinstance(x, View) or x.dtype not in FLOATS:
        return None
    index = call.params["index"]
    if call.name in ("getitem", "scatter"):
        shape = x.shape if call.name == "getitem" else tuple(call.params["shape"])
        chosen = _one_for_each(index, shape, source)
        if chosen is None or not size_of(shape):
            return None
        return (_pick if call.name == "getitem" else _spread)(builder, x, chosen, shape)
    if call.name not in ("embedding", "embedding_gradient") or not isinstance(index, np.ndarray):
        return None
    known = source(index)
    if known.value.op == "constant" or known.dtype.kind not in "iu":
        return None
    known = builder.copied(builder.convert(known, np.int64))
    if call.name == "embedding" and x.strides == contiguous(x.shape):
        return builder.make("gather", [x, known], (*known.shape, *x.shape[1:]), x.dtype)
    if call.name == "embedding_gradient" and call.params["padding_idx"] is None:
        rows = (call.params["rows"], x.shape[-1])
        return builder.make("scatter_add", [known, builder.copied(x)], rows, x.dtype)
    return None


class _Chosen(NamedTuple):
    """Integers that choose an element along `axis`, for each place of the other axes in order."""

    axis: int
    codes: View


def _one_for_each(index: Any, shape: Shape, source: Source) -> _Chosen | None:
    if index.__class__ is not tuple or len(index) != len(shape) or len(shape) < 2:
        return None
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in index):
        return None
    spread = np.broadcast_arrays(*index)
    views = [source(part) for part in index]
    for axis in reversed(range(len(shape))):
        rest = _without(shape, axis)
        if size_of(rest) != spread[0].size:
            continue
        places = np.unravel_index(np.arange(size_of(rest)), rest)
        others = [
            np.array_equal(part.reshape(-1), place) and view.value.op == "constant"
            for part, view, place in zip(
                _without(spread, axis), _without(views, axis), places, strict=True
            )
        ]
        if all(others):
            return _Chosen(axis, views[axis].broadcast(spread[0].shape))
    return None


def _without(parts: Any, axis: int) -> Any:
    return tuple(parts[:axis]) + tuple(parts[axis + 1 :])


def _checked(builder: Builder, codes: View, length: int) -> View:
    """Integers counted from 0; as a program runs, one out of bounds is an error."""
    codes = builder.convert(codes, np.int64)
    below = builder.elementwise("less", codes, 0)
    codes = builder.elementwise("where", below, builder.elementwise("add", codes, length), codes)
    zeros = builder.constant(np.zeros((), np.int64)).broadcast((length,))  # checks, and no more
    whole = builder.copied(codes)
    return builder.elementwise(
        "add", whole, builder.make("gather", [zeros, whole], whole.shape, np.int64)
    )


def _pick(builder: Builder, x: View, chosen: _Chosen, shape: Shape) -> View:
    axis = chosen.axis
    codes = _checked(builder, chosen.codes, shape[axis])
    made: dict[Any, View] = {}

    def read(view: View) -> View:
        value = view.value
        if value.op == "copy" and view.whole:
            return pick(next(value.views))
        if value.op in ELEMENTWISE and view.whole and len(made) < _DEEP:
            if value.op == "convert":
                return builder.convert(pick(next(value.views)), value.dtype)
            operands = [pick(o) if isinstance(o, View) else o for o in value.operands]
            return builder.elementwise(value.op, *operands, dtype=value.dtype)
        start = builder.constant(_starts(view, axis).reshape(codes.shape))
        step = builder.elementwise("multiply", codes, view.strides[axis])
        places = builder.copied(builder.elementwise("add", start, step))
        table = View(value, (value.size,), (1,))
        return builder.make("gather", [table, places], places.shape, view.dtype)

    def pick(view: View) -> View:
        if view.key not in made:
            if view.strides[axis] == 0 or shape[axis] == 1:
                one = view.seen_through(lambda dummy: dummy[(slice(None),) * axis + (0,)])
                made[view.key] = builder.reshape(one, codes.shape)
            else:
                made[view.key] = read(view)
        return made[view.key]

    return pick(x)


def _starts(view: View, axis: int) -> PlainArray:
    """Where the element 0 along an axis is in memory, for each place of the other axes."""
    rest = _without(view.shape, axis)
    places = np.unravel_index(np.arange(size_of(rest)), rest)
    strides = _without(view.strides, axis)
    moved = (place * stride for place, stride in zip(places, strides, strict=True))
    return np.asarray(view.offset + sum(moved))


def _spread(builder: Builder, g: View, chosen: _Chosen, shape: Shape) -> View:
    """Zeros with each element of `g` where it was chosen."""
    axis, length = chosen.axis, shape[chosen.axis]
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    codes = builder.reshape(_checked(builder, chosen.codes, length), kept)
    places = builder.constant(np.arange(length).reshape(-1, *(1,) * (len(shape) - axis - 1)))
    there = builder.elementwise("equal", codes, places)
    rows = builder.copied(builder.reshape(g, kept))
    full = builder.elementwise("where", there, rows, 0.0, dtype=g.dtype)
    if axis == len(shape) - 1:
        builder.equate(rows, "row_sum", full)
    return full
