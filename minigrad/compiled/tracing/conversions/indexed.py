"""From reading by integers that the graph knows, and its gradient, to values of a graph.

What is read along some axes is rows of a table, whose axes are the others; its gradient adds rows
up by their numbers. What takes one element for each place of the other axes, as
`x[np.arange(len(y)), y]` does, reads a number here and there. So where a formula is read like that,
it is computed for these elements alone. The gradient compares places with the integers, which costs
no memory.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import ELEMENTWISE, PlainArray, Shape, View, is_in_order, size_of
from minigrad.compiled.tracing.builder import Builder, read
from minigrad.compiled.tracing.conversions.registry import FLOATS, Recorded
from minigrad.ops.manipulation.index_places import from_zero, locate

__all__ = ["with_index"]

_DEEP = 32
"""How many values of a formula are computed for some elements alone, at most."""

_BY_INTEGERS = frozenset(
    ("getitem", "scatter", "take", "take_along_axis", "one_hot", "embedding")
) | {"embedding_gradient"}
_TABLES = (*FLOATS, np.dtype(np.int64))

_MOST_CODES = 1 << 22
"""How many numbers of rows are made at most where NumPy needs fewer."""

Source = Callable[[Any], Any]
"""The view of the graph that an array is."""


def with_index(builder: Builder, call: Recorded, source: Source) -> list[View] | None:
    """What an operation that reads by integers gives, or its gradient; None for others."""
    if call.name not in _BY_INTEGERS:
        return None
    x, *others = call.operands
    if not isinstance(x, View) or x.dtype not in _TABLES or not size_of(call.result.shape):
        return None
    if call.name in ("take", "take_along_axis"):
        return _taken(builder, call, x, *others)
    found: View | None = None
    if call.name == "one_hot":
        found = _one_hot(builder, x, call)
    elif call.name == "getitem":
        found = _get(builder, x, _parts(call.params["index"], source))
    elif x.dtype in FLOATS and call.name == "scatter":
        found = _scatter(builder, x, _parts(call.params["index"], source), call.result.shape)
    elif call.name.startswith("embedding"):
        found = _embedded(builder, x, source(call.params["index"]), call)
    return None if found is None else [found]


def _parts(index: Any, source: Source) -> list[Any]:
    """An index part by part, with views of arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    known = [np.array(part) if _is_known(part) else part for part in parts]
    return [source(part) if isinstance(part, np.ndarray) else part for part in known]


def _is_known(part: Any) -> bool:
    """Whether it is a list of integers, none of which is followed."""
    return isinstance(part, list) and all(type(number) is int for number in part) and bool(part)


def _get(builder: Builder, x: View, parts: list[Any]) -> View | None:
    chosen = _one_for_each(parts, x.shape)
    if chosen is not None and x.dtype in FLOATS:
        return _pick(builder, x, chosen, x.shape)
    rows = _rows(builder, parts, x.shape)
    if rows is None:
        return None
    part = x.seen_through(lambda whole: whole[rows.part])
    found = _gathered(builder, builder.reshape(part, rows.table), rows.codes)
    return found.seen_through(lambda seen: np.moveaxis(seen, *rows.axes))


def _scatter(builder: Builder, g: View, parts: list[Any], shape: Shape) -> View | None:
    chosen = _one_for_each(parts, shape)
    if chosen is not None:
        return _spread(builder, g, chosen, shape)
    rows = _rows(builder, parts, shape)
    if rows is None or not size_of(g.shape):
        return None
    given = g.seen_through(lambda seen: np.moveaxis(seen, *rows.axes[::-1]))
    part = builder.reshape(_added(builder, given, rows.codes, rows.table), rows.shape)
    if all(one == slice(None) for one in rows.part):
        return part
    return builder.placed(part, shape, lambda whole: whole[rows.part])


class _Rows(NamedTuple):
    """What integers read of an array.

    Attributes:
        part: an index without them, of the part of the array that they read from.
        shape: of that part.
        table: of its rows, one for each combination of the axes up to the last that is picked from.
        codes: the rows that are read.
        axes: where the axes of the integers are among those of the rows, and of the result.
    """

    part: tuple[Any, ...]
    shape: Shape
    table: Shape
    codes: View
    axes: tuple[Sequence[int], Sequence[int]]


def _rows(builder: Builder, parts: list[Any], shape: Shape) -> _Rows | None:
    picked = [part for part in parts if isinstance(part, View) or type(part) is int]
    usual = [p for p in parts if p is None or p is Ellipsis or isinstance(p, slice)]
    if len(picked) + len(usual) < len(parts) or not size_of(shape):
        return None
    if not all(part.dtype.kind in "iu" for part in picked if isinstance(part, View)):
        return None
    stand_ins = [np.zeros(p.shape, np.intp) if isinstance(p, View) else p for p in parts]
    places = locate(tuple(stand_ins), shape)
    if places is None:
        return None
    views = [p if isinstance(p, View) else builder.constant(np.asarray(p)) for p in picked]
    chosen = dict(zip(places.axes, views, strict=True))
    count, end = places.codes[0].ndim, max(places.axes) + 1
    seen = np.broadcast_to(False, shape)[places.basic].shape
    before = [axis for axis in range(end) if axis not in chosen]
    if before and math.prod(seen[axis] for axis in before) * places.codes[0].size > _MOST_CODES:
        return None
    flat: View | None = None
    for axis, length in enumerate(seen[:end]):
        if axis in chosen:
            codes = _counted(builder, chosen[axis], length, checked=len(views) + len(before) > 1)
        else:
            along = np.arange(length).reshape(-1, *(1,) * (len(before) - before.index(axis) - 1))
            codes = builder.constant(along.reshape(*along.shape, *(1,) * count))
        if flat is not None:
            codes = builder.elementwise("add", builder.elementwise("multiply", flat, length), codes)
        flat = codes
    assert flat is not None
    there = range(places.start, places.start + count)
    table = (math.prod(seen[:end]), *seen[end:])
    axes = range(len(before), len(before) + count)
    return _Rows(places.basic, seen, table, flat, (axes, there))


def _counted(builder: Builder, codes: View, length: int, checked: bool) -> View:
    """Integers counted from 0; if they are checked, one out of bounds is an error in a program.

    A gather finds such an error by itself.
    """
    if codes.value.op == "constant":
        return builder.constant(from_zero(read(codes.value.array, codes), length))
    codes = builder.convert(codes, np.int64)
    below = builder.elementwise("less", codes, 0)
    codes = builder.elementwise("where", below, builder.elementwise("add", codes, length), codes)
    return _checked(builder, codes, length) if checked else codes


def _checked(builder: Builder, codes: View, length: int) -> View:
    """The same integers; as a program runs, one that is no number of a row is an error."""
    zeros = builder.constant(np.zeros((), np.int64)).broadcast((length,))
    whole = builder.copied(builder.convert(codes, np.int64))
    check = builder.make("gather", [zeros, whole], whole.shape, np.int64)
    return builder.elementwise("add", whole, check)


def _gathered(builder: Builder, table: View, codes: View) -> View:
    """Rows of a table by their numbers."""
    row = table.shape[1:]
    if not is_in_order(row, table.strides[1:]):
        table = builder.copied(table)
    return builder.make("gather", [table, builder.copied(codes)], (*codes.shape, *row), table.dtype)


def _added(builder: Builder, rows: View, codes: View, shape: Shape) -> View:
    """Zeros with rows added by their numbers."""
    given = [builder.copied(builder.convert(codes, np.int64)), builder.copied(rows)]
    return builder.make("scatter_add", given, shape, rows.dtype)


def _embedded(builder: Builder, x: View, codes: Any, call: Recorded) -> View | None:
    """As rows, but that numbers below 0 are errors; no gradient arrives at a row of padding."""
    if not isinstance(codes, View) or codes.dtype.kind not in "iu":
        return None
    if not size_of(x.shape) or not size_of(codes.shape):
        return None
    codes = builder.convert(codes, np.int64)
    if call.name == "embedding":
        return _gathered(builder, x, codes)
    total = _added(builder, x, codes, call.result.shape)
    padding = call.params["padding_idx"]
    if padding is None:
        return total
    used = np.ones((len(call.result), 1), bool)
    used[padding] = False
    return builder.elementwise("where", builder.constant(used), total, 0.0, dtype=x.dtype)


def _one_hot(builder: Builder, codes: View, call: Recorded) -> View | None:
    count = call.params["num_classes"]
    if type(count) is not int or codes.dtype.kind not in "iu":
        return None
    codes = builder.reshape(_checked(builder, codes, count), (*codes.shape, 1))
    there = builder.elementwise("equal", codes, builder.constant(np.arange(count)))
    return builder.convert(there, call.result.dtype)


def _taken(builder: Builder, call: Recorded, x: View, indices: Any) -> list[View] | None:
    """The elements, and the integers counted from 0 by which the gradient reads."""
    axis = call.params["axis"]
    if not isinstance(indices, View) or call.params.get("mode", "raise") != "raise":
        return None
    if axis is None:
        x, axis = builder.reshape(x, (size_of(x.shape),)), 0
    if not x.shape or indices.dtype.kind not in "iu":
        return None
    axis %= len(x.shape)
    parts: list[Any] = [slice(None)] * axis + [indices]
    if call.name == "take_along_axis":
        axes = range(len(x.shape))
        parts = [indices if k == axis else builder.constant(_along(x.shape, k)) for k in axes]
    found = _get(builder, x, parts)
    codes = _counted(builder, indices, x.shape[axis], checked=False)
    return None if found is None else [found, codes]


def _along(shape: Shape, axis: int) -> PlainArray:
    """All places along an axis, as they broadcast over the others."""
    return np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))


class _Chosen(NamedTuple):
    """Integers that choose an element along `axis`, for each place of the other axes in order."""

    axis: int
    codes: View


def _one_for_each(views: Sequence[Any], shape: Shape) -> _Chosen | None:
    if len(views) != len(shape) or len(shape) < 2 or not size_of(shape):
        return None
    if not all(isinstance(view, View) and view.dtype.kind in "iu" for view in views):
        return None
    common = np.broadcast_shapes(*(view.shape for view in views))
    spread = [
        np.broadcast_to(read(view.value.array, view), common)
        if view.value.op == "constant"
        else None
        for view in views
    ]
    for axis in reversed(range(len(shape))):
        rest = _without(shape, axis)
        if size_of(rest) != size_of(common):
            continue
        places = np.unravel_index(np.arange(size_of(rest)), rest)
        others = zip(_without(spread, axis), places, strict=True)
        if all(part is not None and np.array_equal(part.reshape(-1), at) for part, at in others):
            return _Chosen(axis, views[axis].broadcast(common))
    return None


def _without(parts: Any, axis: int) -> Any:
    return tuple(parts[:axis]) + tuple(parts[axis + 1 :])


def _pick(builder: Builder, x: View, chosen: _Chosen, shape: Shape) -> View:
    axis = chosen.axis
    codes = _counted(builder, chosen.codes, shape[axis], checked=True)
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

    found = pick(x)
    if codes.value.op == "constant" or any(view.value.op == "gather" for view in made.values()):
        return found
    below = builder.elementwise("less", codes, 0)  # never: but nothing else reads the integers
    return builder.elementwise("where", below, 0.0, found, dtype=found.dtype)


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
    codes = builder.reshape(_counted(builder, chosen.codes, length, checked=True), kept)
    places = builder.constant(_along(shape, axis))
    there = builder.elementwise("equal", codes, places)
    rows = builder.copied(builder.reshape(g, kept))
    full = builder.elementwise("where", there, rows, 0.0, dtype=g.dtype)
    if axis == len(shape) - 1:
        builder.equate(rows, "row_sum", full)
    return full
