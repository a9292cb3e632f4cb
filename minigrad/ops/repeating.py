"""Repeating, padding and shifting."""

import math
from typing import Any

import numpy as np

from minigrad.errors import describe
from minigrad.ops.arguments import whole_numbers, widen
from minigrad.ops.indexing import constant_array, scatter
from minigrad.ops.shapes import normalize_axis
from minigrad.primitives import primitive

__all__ = ["pad", "repeat", "roll", "tile"]

METHODS = ("pad", "repeat", "roll", "tile")

Array = Any

PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@primitive(aux=("counts",))
def tile(x: Array, /, reps: Any) -> Array:
    """`x` laid out again and again: `reps` times along each axis, the last one last."""
    x = np.asarray(x)
    counts = tuple(int(r) for r in np.atleast_1d(whole_numbers(reps, "reps")))
    return np.tile(x, counts), (1,) * (x.ndim - len(counts)) + counts


def _tile_rule(g: Array, x_shape: tuple[int, ...], counts: tuple[int, ...]) -> Array:
    lengths = (1,) * (len(counts) - len(x_shape)) + x_shape
    pairs = tuple(n for pair in zip(counts, lengths, strict=True) for n in pair)
    return widen(g).reshape(pairs).sum(axis=tuple(range(0, len(pairs), 2))).reshape(x_shape)


tile.vjp(x=_tile_rule)


@primitive(aux=("codes",))
def repeat(x: Array, /, repeats: Any, axis: int | None = None) -> Array:
    """Each element `repeats` times, next to each other.

    Args:
        x: any array.
        repeats: how often: an int, or one for each element along the axis.
        axis: the axis along which to repeat; None flattens first.
    """
    x = np.asarray(x)
    counts = whole_numbers(repeats, "repeats")
    x = x if x.ndim or axis is None else x.reshape(1)  # as NumPy, which takes a number as a vector
    y = np.repeat(x, counts, axis)
    length = x.size if axis is None else x.shape[axis]
    return y, int(counts.reshape(())) if counts.size == 1 else np.repeat(np.arange(length), counts)


def _repeat_rule(g: Array, x_shape: tuple[int, ...], axis: int | None, codes: Any) -> Array:
    flat = (math.prod(x_shape),) if axis is None or not x_shape else x_shape
    k = 0 if axis is None else normalize_axis(axis, len(flat))
    if isinstance(codes, int):
        total = widen(g).reshape((*flat[: k + 1], codes, *flat[k + 1 :])).sum(axis=k + 1)
    else:
        total = scatter.generic(g, flat, (slice(None),) * k + (codes,))
    return total.reshape(x_shape)


repeat.vjp(x=_repeat_rule)


@primitive(aux=("back",))
def roll(x: Array, /, shift: Any, axis: Any = None) -> Array:
    """The elements shifted along `axis`, the last ones coming in at the front.

    Args:
        x: any array.
        shift: by how many places; an int or, with a tuple of axes, a tuple.
        axis: an int, a tuple, or None to shift the flattened array.
    """
    places = constant_array(shift, "shift")  # of any size: NumPy takes them around the axis
    if not all(isinstance(s, (int, np.integer)) for s in places.reshape(-1).tolist()):
        raise TypeError(f"shift must be integers, got {describe(shift)}")
    shifts = tuple(_around(int(s), x.size) for s in places.reshape(-1).tolist())
    chosen: Any = shifts if places.ndim else shifts[0]
    return np.roll(x, chosen, axis), tuple(-s for s in shifts) if places.ndim else -shifts[0]


def _around(shift: int, size: int) -> int:
    """A shift that does the same, within 64 bits: every length of an axis divides the size."""
    return shift if abs(shift) < 2**62 else shift % max(size, 1)


roll.vjp(x=lambda g, back, axis: np.roll(g, back, axis))


@primitive(aux=("layout",))
def pad(
    x: Array,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Array:
    """More elements before and after those along each axis.

    Args:
        x: any array.
        pad_width: how many: an int for all sides, (before, after) for all axes, or one such pair
            for each axis, the first axis first (PyTorch's `pad` starts from the last).
        mode: "constant"; "edge" repeats the outermost element; "reflect" mirrors without it and
            "symmetric" with it; "wrap" goes on from the other end.
        constant_values: for "constant": numbers in the same form as `pad_width`, which carry no
            gradient.
        reflect_type: "even"; NumPy's "odd" is not supported.
    """
    x = np.asarray(x)
    if mode not in PAD_MODES:
        raise ValueError(f"mode must be one of {', '.join(PAD_MODES)}; got {mode!r}")
    if reflect_type != "even":
        raise ValueError(f'reflect_type must be "even", got {reflect_type!r}')
    widths = constant_array(pad_width, "pad_width")
    if widths.dtype.kind not in "iu" or (widths.size and widths.min() < 0):
        raise ValueError(f"pad_width must be integers, 0 or more, got {pad_width!r}")
    try:
        pairs = [(int(a), int(b)) for a, b in np.broadcast_to(widths, (x.ndim, 2))]
    except ValueError:
        raise ValueError(
            f"pad_width must be an int, a pair, or one pair for each of {x.ndim} axes, "
            f"got {pad_width!r}"
        ) from None
    if mode == "constant":
        values = constant_array(constant_values, "constant_values")
        inside = tuple(slice(a, a + n) for (a, _), n in zip(pairs, x.shape, strict=True))
        return np.pad(x, pairs, constant_values=values) if pairs else x.copy(), inside
    sources: list[Array | None] = []
    y = x
    for axis, (pair, length) in enumerate(zip(pairs, x.shape, strict=True)):
        if not any(pair):
            sources.append(None)
            continue
        if not length:
            raise ValueError(f"mode {mode!r} has nothing to repeat along the empty axis {axis}")
        codes: Array = np.pad(np.arange(length), pair, mode=mode)  # type: ignore[call-overload]
        sources.append(codes)
        y = np.take(y, codes, axis)
    return y if y is not x else x.copy(), sources


def _pad_rule(g: Array, x_shape: tuple[int, ...], mode: str, layout: Any) -> Array:
    if mode == "constant":
        return g[layout]
    for axis, codes in enumerate(layout):
        if codes is not None:
            shape = (*g.shape[:axis], x_shape[axis], *g.shape[axis + 1 :])
            g = scatter.generic(g, shape, (slice(None),) * axis + (codes,))
    return g


pad.vjp(x=_pad_rule)
