"""From views, parts and joined arrays to values of a graph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import Shape, View, size_of
from minigrad.compiled.tracing.builder import Builder, blank
from minigrad.compiled.tracing.conversions.registry import FLOATS, Recorded, conversion

__all__ = ["is_basic"]

_DOUBLED = 1 << 20
"""How many elements at most are added up by doublings."""

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
    index, dtype = call.params["index"], call.result.dtype
    if not isinstance(x, View) or not is_basic(index) or not size_of(x.shape):
        return None
    x = builder.convert(x, dtype)
    there = blank(x.shape, dtype).seen_through(_reader(index)).shape
    if isinstance(value, View):
        extra = len(value.shape) - len(there)  # axes of length 1 that the place has not
        value = builder.reshape(value, value.shape[extra:]) if extra > 0 else value
        value = builder.convert(value, dtype).broadcast(there)
        if there == x.shape and is_whole(index):
            return value
        value = builder.placed(value, x.shape, _reader(index))
    return builder.elementwise("where", _written(builder, x.shape, index), value, x, dtype=dtype)


def is_whole(index: Any) -> bool:
    """Whether an index takes all elements as they are."""
    return index is Ellipsis or index == () or index == (Ellipsis,)


def _written(builder: Builder, shape: Shape, index: Any) -> View:
    """Where a basic index looks, by a constant of length 1 along axes that it takes as a whole."""
    found = np.zeros(shape, bool)
    found[_as_view(index)] = True
    for axis in range(found.ndim):
        first = found[(slice(None),) * axis + (slice(1),)]
        found = first if (found == first).all() else found
    return builder.constant(found).broadcast(shape)


@conversion("scatter")
def _scatter(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    index, shape = call.params["index"], tuple(call.params["shape"])
    if not isinstance(x, View) or not is_basic(index):
        return None
    return builder.placed(x, shape, _reader(index))


@conversion("place_diagonal")
def _diagonal(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    places = [call.params[name] for name in ("offset", "axis1", "axis2")]
    if not isinstance(x, View):
        return None
    return builder.placed(x, tuple(call.params["shape"]), lambda whole: np.diagonal(whole, *places))


@conversion("tril", "triu")
def _triangle(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    if not isinstance(x, View) or len(x.shape) < 2:
        return None
    kept = getattr(np, call.name)(np.ones(x.shape[-2:], bool), call.params["k"])
    return builder.elementwise("where", builder.constant(kept), x, 0, dtype=x.dtype)


@conversion("einsum_single")
def _reduced_einsum(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    labels, _, out = call.params["subscripts"].partition("->")
    if not isinstance(x, View) or x.dtype not in FLOATS or not size_of(x.shape):
        return None
    once = "".join(dict.fromkeys(labels))
    if once != labels:
        x = x.seen_through(lambda whole: np.einsum(f"{labels}->{once}", whole))
    summed = tuple(i for i, label in enumerate(once) if label not in out)
    left = [label for label in once if label in out]
    x = builder.reduce("sum", x, summed, keepdims=False) if summed else x
    return x.seen_through(lambda whole: whole.transpose([left.index(label) for label in out]))


@conversion("einsum_spread")
def _spread_einsum(builder: Builder, call: Recorded) -> View | None:
    (x,) = call.operands
    labels, _, out = call.params["subscripts"].partition("->")
    if not isinstance(x, View):
        return None
    once = "".join(dict.fromkeys(out))
    index = tuple(slice(None) if label in labels else None for label in once)
    apart = x.seen_through(_reader(index))
    if once == out:
        return apart.broadcast(call.result.shape)
    return builder.placed(
        apart, call.result.shape, lambda whole: np.einsum(f"{out}->{once}", whole)
    )


@conversion("repeat")
def _repeat(builder: Builder, call: Recorded) -> View | None:
    (x,), count, axis = call.operands, call.params["repeats"], call.params["axis"]
    if not isinstance(x, View) or type(count) is not int:
        return None
    if axis is None:
        x, axis = builder.reshape(x, (size_of(x.shape),)), 0
    if not x.shape:
        return None
    axis %= len(x.shape)
    spread = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
    apart = x.seen_through(lambda whole: np.expand_dims(whole, axis + 1))
    return builder.reshape(apart.broadcast(spread), call.result.shape)


@conversion("tile")
def _tile(builder: Builder, call: Recorded) -> View | None:
    (x,), reps = call.operands, call.params["reps"]
    counts = reps if isinstance(reps, tuple) else (reps,)
    if not isinstance(x, View) or not all(type(count) is int for count in counts):
        return None
    axes = max(len(counts), len(x.shape))
    shape = (1,) * (axes - len(x.shape)) + x.shape
    counts = (1,) * (axes - len(counts)) + counts
    apart = builder.reshape(x, tuple(n for length in shape for n in (1, length)))
    spread = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)
    return builder.reshape(apart.broadcast(spread), call.result.shape)


@conversion("roll")
def _roll(builder: Builder, call: Recorded) -> View | None:
    (x,), shift, axis = call.operands, call.params["shift"], call.params["axis"]
    if not isinstance(x, View) or not size_of(x.shape):
        return None
    shape = x.shape
    if axis is None:
        x, axis = builder.reshape(x, (size_of(shape),)), 0
    axes = axis if isinstance(axis, tuple) else (axis,)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    axes = axes * len(shifts) if len(axes) == 1 else axes
    if len(axes) != len(shifts) or not all(type(number) is int for number in (*axes, *shifts)):
        return None
    for along, places in zip(axes, shifts, strict=True):
        x = _moved_along(builder, x, places, along % len(x.shape))
    return builder.reshape(x, shape)


def _moved_along(builder: Builder, x: View, shift: int, axis: int) -> View:
    """The last elements along an axis in front of the others."""
    cut = -shift % x.shape[axis]
    before = (slice(None),) * axis
    ends = [x.seen_through(_reader((*before, part))) for part in (slice(cut, None), slice(cut))]
    return _joined(builder, ends, x.shape, axis) if cut else x


@conversion("pad")
def _pad(builder: Builder, call: Recorded) -> View | None:
    (x,), params = call.operands, call.params
    if not isinstance(x, View) or "values" not in params or not size_of(x.shape):
        return None  # other modes have other parameters
    pairs, values = params["pairs"], np.asarray(params["values"])
    if not values.any() and not np.signbit(values).any():
        within = [slice(a, a + n) for (a, _), n in zip(pairs, x.shape, strict=True)]
        return builder.placed(x, call.result.shape, _reader(tuple(within)))
    if values.ndim:
        return None
    number = builder.constant(values.astype(x.dtype))
    for axis, widths in enumerate(pairs):
        ends = [number.broadcast(_resized(x.shape, axis, width)) for width in widths]
        whole = _resized(x.shape, axis, sum(widths) + x.shape[axis])
        x = _joined(builder, [ends[0], x, ends[1]], whole, axis)
    return x


def _resized(shape: Shape, axis: int, length: int) -> Shape:
    return (*shape[:axis], length, *shape[axis + 1 :])


@conversion("concatenate")
def _concatenate(builder: Builder, call: Recorded) -> View | None:
    axis = call.params.get("axis", 0)
    if axis is None or call.params.get("dtype") is not None:
        return None
    shape = call.result.shape
    views = [operand for operand in call.operands if isinstance(operand, View)]
    if len(views) < len(call.operands) or not size_of(shape):
        return None
    views = [builder.convert(view, call.result.dtype) for view in views]
    return _joined(builder, views, shape, axis % len(shape))


def _joined(builder: Builder, views: Sequence[View], shape: Shape, axis: int) -> View:
    """Views of one dtype, one after the other along an axis."""
    whole, parts, start = blank(shape, views[0].dtype), [], 0
    for view in views:
        stop = start + view.shape[axis]
        if stop > start:
            index = (*(slice(None),) * axis, slice(start, stop))
            parts.append((view, whole.seen_through(_reader(index))))
        start = stop
    return builder.joined(parts, shape)


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


@conversion("cumsum")
def _cumsum(builder: Builder, call: Recorded) -> View | None:
    """By doublings, each of which adds the sums of as many elements before."""
    (x,), axis, dtype = call.operands, call.params["axis"], call.result.dtype
    if not isinstance(x, View) or not 0 < size_of(x.shape) <= _DOUBLED:
        return None
    if call.params["dtype"] is not None or dtype not in (*FLOATS, np.int64):
        return None
    x = builder.convert(x, dtype)
    if axis is None:
        x, axis = builder.reshape(x, (size_of(x.shape),)), 0
    axis %= len(x.shape)
    before, steps = (slice(None),) * axis, 1
    while steps < x.shape[axis]:
        cuts = slice(steps), slice(-steps), slice(steps, None)
        first, earlier, later = (x.seen_through(_reader((*before, cut))) for cut in cuts)
        x = _joined(builder, [first, builder.elementwise("add", later, earlier)], x.shape, axis)
        steps *= 2
    return builder.reshape(x, call.result.shape)
