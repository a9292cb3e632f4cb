"""Pad arrays, in all of NumPy's modes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method, wrap
from minigrad.ops.arguments import constant_array, named, read_constant, source_of
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.checks import OptionError, check_option
from minigrad.ops.manipulation.assembling import linspace
from minigrad.ops.manipulation.indexing import scatter, slice_axis
from minigrad.ops.manipulation.joining import concatenate
from minigrad.ops.manipulation.reshaping import flip
from minigrad.ops.manipulation.selecting import take
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.quantiles import median
from minigrad.ops.reduction.reductions import max as max_over
from minigrad.ops.reduction.reductions import mean as mean_over
from minigrad.ops.reduction.reductions import min as min_over

__all__ = ["pad"]


Pair = tuple[int, int]

STATISTICS: dict[str, Any] = {
    "maximum": max_over,
    "mean": mean_over,
    "median": median,
    "minimum": min_over,
}
OPTIONS = {
    "constant": "constant_values",
    "edge": "",
    "empty": "",
    "linear_ramp": "end_values",
    "maximum": "stat_length",
    "mean": "stat_length",
    "median": "stat_length",
    "minimum": "stat_length",
    "reflect": "reflect_type",
    "symmetric": "reflect_type",
    "wrap": "",
}
"""The modes, and the option that each of them takes."""


@method
def pad(
    x: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = None,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str | None = None,
) -> Tensor:
    """Pad: more elements before and after those along each axis.

    Args:
        x: any shape.
        pad_width: how many: an int for all sides, (before, after) for all axes, or one such pair
            for each axis, the first axis first (PyTorch's `pad` starts from the last); or a dict
            from axes to ints or pairs.
        mode: "constant"; "edge" repeats the outermost element; "reflect" mirrors without it and
            "symmetric" with it; "wrap" goes on from the other end; "linear_ramp" goes straight
            from the edge to an end value; "maximum", "mean", "median" and "minimum" take that of
            the elements along the axis; "empty" promises no values, and here gives zeros.
        constant_values: for "constant": numbers in the same form as `pad_width`, 0 by default,
            which carry no gradient.
        end_values: for "linear_ramp", likewise.
        stat_length: for the statistics: of how many elements next to the edge, in the same form;
            None for all.
        reflect_type: for the mirrors: "even", or "odd" for twice the edge minus the mirrored
            element.

    Raises:
        ValueError: for another mode, or an option that the mode has not.
        DtypeError: for widths that are not integers.
        ShapeError: for widths that do not fit, and for empty axes with nothing to extend them.

    >>> pad(np.array([1.0, 2.0]), 2, "reflect", reflect_type="odd").tolist()
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    check_option("mode", mode, tuple(OPTIONS), "pad")
    options = {
        "constant_values": constant_values,
        "end_values": end_values,
        "stat_length": stat_length,
        "reflect_type": reflect_type,
    }
    for name, value in options.items():
        if value is not None and name != OPTIONS[mode]:
            raise ValueError(
                f"pad: mode {mode!r} takes "
                + (f"{OPTIONS[mode]}= alone" if OPTIONS[mode] else "no option")
                + f", got {name}={describe(value)}"
            )
    x = source_of(x, "pad", "x")
    x = x if isinstance(x, Tensor) else wrap(x, None)
    pairs = _widths(pad_width, x.ndim)
    kind = "even" if reflect_type is None else reflect_type
    check_option("reflect_type", kind, ("even", "odd"), "pad")
    if mode == "constant":
        return pad_constant(x, pairs, 0 if constant_values is None else constant_values)
    if mode == "empty":
        return pad_constant(x, pairs, 0)
    if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and kind == "even"):
        return pad_copies(x, pairs, mode)
    if x.dtype.kind in "biu":  # which carry no gradient: in NumPy's own way of rounding
        return pad_integers(x, pairs, mode, {OPTIONS[mode]: options[OPTIONS[mode]]})
    _check_extent(x.shape, pairs, mode)
    ends = _pairs("end_values", 0 if end_values is None else end_values, x.ndim)
    lengths = _pairs("stat_length", stat_length, x.ndim)
    for axis, pair in enumerate(pairs):
        if any(pair):
            if mode == "linear_ramp":
                before, after = _ramps(x, axis, pair, ends[axis])
            elif mode in STATISTICS:
                before, after = _statistics(x, axis, pair, mode, lengths[axis])
            else:
                before, after = _mirrored(x, axis, pair, mode)
            x = concatenate([before, x, after], axis=axis)
    padded: Tensor = x
    return padded


# -- arguments -------------------------------------------------------------------------------------


def _widths(pad_width: Any, ndim: int) -> tuple[Pair, ...]:
    """How many elements come before and after, for each axis."""
    if isinstance(pad_width, Mapping):
        rows = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            rows[normalize_axis(axis, ndim, "pad: axis")] = _widths(width, 1)[0]
        return tuple(rows)
    widths = read_constant(pad_width, "pad: pad_width")
    if widths.dtype.kind not in "iu":
        raise DtypeError(f"pad: pad_width must be integers, got {describe(pad_width)}")
    if widths.size and widths.min() < 0:
        raise ShapeError(f"pad: pad_width must be integers, 0 or more, got {describe(pad_width)}")
    return tuple((int(a), int(b)) for a, b in _pairs("pad_width", pad_width, ndim))


def _pairs(argument: str, value: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A value for both ends of each axis."""
    if value is None:
        return [(None, None)] * ndim
    values = read_constant(value, f"pad: {argument}")
    try:
        return [tuple(pair) for pair in np.broadcast_to(values, (ndim, 2)).tolist()]
    except ValueError:
        raise ShapeError(
            f"pad: {argument} must be a number, a pair, or one pair for each of {ndim} axes, got "
            f"{describe(value)}"
        ) from None


def _check_extent(shape: tuple[int, ...], pairs: tuple[Pair, ...], mode: str) -> None:
    for axis, (pair, length) in enumerate(zip(pairs, shape, strict=True)):
        if any(pair) and not length:
            raise ShapeError(
                f"pad: mode {mode!r} has nothing to repeat along the empty axis {axis} of shape "
                f'{shape}; "constant" needs nothing'
            )


# -- constants and copies --------------------------------------------------------------------------


@primitive
@named("pad")
def pad_constant(x: Array, /, pairs: tuple[Pair, ...], values: Any) -> Array:
    values = constant_array(values, "constant_values")
    return np.pad(x, pairs, constant_values=values) if pairs else np.array(x)


pad_constant.vjp(
    x=lambda g, x_shape, pairs: g[
        tuple(slice(a, a + n) for (a, _), n in zip(pairs, x_shape, strict=True))
    ]
)


@primitive(aux=("sources",))
@named("pad")
def pad_copies(x: Array, /, pairs: tuple[Pair, ...], mode: str) -> Array:
    _check_extent(x.shape, pairs, mode)
    sources: list[Array | None] = []
    y = x
    for axis, (pair, length) in enumerate(zip(pairs, x.shape, strict=True)):
        codes: Array = np.pad(np.arange(length), pair, mode=mode) if any(pair) else None  # type: ignore[call-overload]
        sources.append(codes)
        y = y if codes is None else np.take(y, codes, axis)
    return np.array(x) if y is x else y, sources


def _pad_copies_rule(g: Array, x_shape: tuple[int, ...], sources: Any) -> Array:
    for axis, codes in enumerate(sources):
        if codes is not None:
            shape = (*g.shape[:axis], x_shape[axis], *g.shape[axis + 1 :])
            g = scatter.generic(g, shape, (slice(None),) * axis + (codes,))
    return g


pad_copies.vjp(x=_pad_copies_rule)


@primitive(constant=True)
@named("pad")
def pad_integers(x: Array, /, pairs: tuple[Pair, ...], mode: str, options: dict[str, Any]) -> Array:
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return np.pad(x, pairs, mode=mode, **given)  # type: ignore[call-overload]
    except ValueError as error:
        raise OptionError(str(error)) from None


# -- composed of other operations, one axis after the other ----------------------------------------


def _repeated(x: Tensor, axis: int, times: int) -> Tensor:
    """An axis of length 1 as one of length `times`."""
    return np.broadcast_to(x, (*x.shape[:axis], times, *x.shape[axis + 1 :]))  # type: ignore[return-value]


def _ramps(x: Tensor, axis: int, pair: Pair, ends: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    """From the end values to the edges, without these."""

    def ramp(edge: Tensor, count: int, end: Any) -> Tensor:
        line: Tensor = linspace(end, edge.squeeze(axis), count, endpoint=False, axis=axis)
        return line if line.dtype == x.dtype else line.astype(x.dtype)

    last = x.shape[axis] - 1
    return (
        ramp(slice_axis(x, axis, 0, 1), pair[0], ends[0]),
        flip(ramp(slice_axis(x, axis, last, None), pair[1], ends[1]), axis),
    )


def _statistics(
    x: Tensor, axis: int, pair: Pair, mode: str, lengths: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    """A statistic of the elements next to each edge."""
    length = x.shape[axis]
    counts = [length if n is None else min(int(n), length) for n in lengths]
    for count, given in zip(counts, lengths, strict=True):
        if count < 1:
            raise ValueError(
                f"pad: stat_length must be 1 or more, got {given}: mode {mode!r} needs elements"
            )
    parts = (slice_axis(x, axis, 0, counts[0]), slice_axis(x, axis, length - counts[1], None))
    before, after = (STATISTICS[mode](part, axis, keepdims=True) for part in parts)
    return _repeated(before, axis, pair[0]), _repeated(after, axis, pair[1])


def _mirrored(x: Tensor, axis: int, pair: Pair, mode: str) -> tuple[Tensor, Tensor]:
    """What mirroring at a point gives: a sum of an element and both edges.

    Each element is sign * x[code] + first * x[0] + last * x[-1]. The codes are those of even
    mirrors, and the sign changes at each mirror on the way. Constants stay themselves, so the
    three add up to 1; what comes of 0, 1, 2, ... tells `last`.
    """
    length = x.shape[axis]
    codes: Array = np.pad(np.arange(length), pair, mode=mode)  # type: ignore[call-overload]
    counted: Array = np.pad(np.arange(length), pair, mode=mode, reflect_type="odd")  # type: ignore[call-overload]
    period = max(length - (mode == "reflect"), 1)
    place = np.arange(len(codes)) - pair[0]
    sign = np.where((place // period) % 2 == 0, 1, -1) if length > 1 or mode != "reflect" else 1
    inside = (place >= 0) & (place < length)
    sign = np.where(inside, 1, sign)
    last = (counted - sign * codes) // max(length - 1, 1)
    first = 1 - sign - last

    def side(start: int, stop: int) -> Tensor:
        column = (-1,) + (1,) * (x.ndim - axis - 1)
        total = None
        for coefficient, source in ((sign, codes), (first, 0 * codes), (last, 0 * codes - 1)):
            chosen = coefficient[start:stop]
            if chosen.any():
                part = take(x, source[start:stop], axis) * chosen.astype(x.dtype).reshape(column)
                total = part if total is None else total + part
        return slice_axis(x, axis, 0, 0) if total is None else total

    return side(0, pair[0]), side(len(codes) - pair[1], len(codes))
