"""Repeat, tile and roll arrays."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.nodes import Array
from minigrad.ops.arguments import constant_array, whole_numbers, widen
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.manipulation.indexing import scatter
from minigrad.ops.primitives import primitive

__all__ = ["repeat", "roll", "tile"]


@primitive(aux=("counts",), method=True)
def tile(x: Array, /, reps: Any) -> Array:
    """`x` repeated as a whole: `reps` times along each axis, the last one last."""
    x = np.asarray(x)
    counts = tuple(int(r) for r in np.atleast_1d(whole_numbers(reps, "reps")))
    return np.tile(x, counts), (1,) * (x.ndim - len(counts)) + counts


def _tile_rule(g: Array, x_shape: tuple[int, ...], counts: tuple[int, ...]) -> Array:
    lengths = (1,) * (len(counts) - len(x_shape)) + x_shape
    pairs = tuple(n for pair in zip(counts, lengths, strict=True) for n in pair)
    return widen(g).reshape(pairs).sum(axis=tuple(range(0, len(pairs), 2))).reshape(x_shape)


tile.vjp(x=_tile_rule)


@primitive(aux=("codes",), method=True)
def repeat(x: Array, /, repeats: Any, axis: int | None = None) -> Array:
    """Each element `repeats` times, next to each other.

    Args:
        x: any array.
        repeats: how often: an int, or one for each element along the axis.
        axis: the axis along which to repeat; None flattens first.
    """
    x = np.asarray(x)
    counts = whole_numbers(repeats, "repeats")
    x = x.reshape(1) if not x.ndim and axis in (0, -1) else x  # a number as a vector, as in NumPy
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


@primitive(aux=("back",), method=True)
def roll(x: Array, /, shift: Any, axis: Any = None) -> Array:
    """The elements shifted cyclically along `axis`: the last ones come in at the front.

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
