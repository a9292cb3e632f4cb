"""Integer-array (advanced) indices on plain arrays: which places they point to."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.core.nodes import Array

__all__ = ["Places", "add_rows", "from_zero", "locate"]

BLOCK = 1 << 16  # elements added at a time, so that their positions stay in the cache


@dataclass(frozen=True, slots=True)
class Places:
    """An index taken apart into a view and the rows of it that integer arrays pick.

    Attributes:
        basic: the index with a full slice in place of every integer array.
        axes: the axes of that view from which the arrays pick.
        lengths: the lengths of those axes.
        codes: one array per such axis, of one shape, with numbers from 0.
        start: where the axes of `codes` stand in the result of the index.
    """

    basic: tuple[Any, ...]
    axes: tuple[int, ...]
    lengths: tuple[int, ...]
    codes: tuple[Array, ...]
    start: int

    @property
    def leading(self) -> bool:
        """Whether the axes picked from are the first ones, and the others are whole."""
        whole = slice(None)
        return self.axes == tuple(range(len(self.axes))) and all(p == whole for p in self.basic)

    def front(self, array: Array) -> Array:
        """The view of an array, the axes that are picked from in front."""
        return np.moveaxis(array[self.basic], self.axes, range(len(self.axes)))

    def rows(self, values: Array) -> Array:
        """Values of the shape of the result as (picked rows, what remains of the shape)."""
        count = self.codes[0].ndim
        moved = np.moveaxis(values, range(self.start, self.start + count), range(count))
        return moved.reshape((self.codes[0].size, *moved.shape[count:]))

    def flat_codes(self) -> Array:
        """The place of each picked row among all combinations of the picked axes."""
        flat = self.codes[0]
        for codes, length in zip(self.codes[1:], self.lengths[1:], strict=True):
            flat = flat * length + codes
        return flat.reshape(-1)

    def last_writes(self) -> Array | None:
        """Which of the picked rows is the last at its place; None when no place is repeated.

        Of the shape of `codes`, with axes of length 1 so that it broadcasts over the result.
        """
        flat = self.flat_codes()
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        last = np.ones(flat.shape, bool)
        last[:-1] = ordered[1:] != ordered[:-1]
        if last.all():
            return None
        kept = np.empty(flat.shape, bool)
        kept[order] = last
        return kept.reshape(self.codes[0].shape)


def locate(index: Any, shape: tuple[int, ...]) -> Places | None:
    """Take apart an index that is valid for a shape; None when it has no integer arrays.

    Without them an index reaches every element at most once, so that plain assignment will do.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts):
        return None
    whole = slice(None)
    if len(parts) == 1:  # rows, the usual case
        return Places((whole,) * len(shape), (0,), shape[:1], (from_zero(parts[0], shape[0]),), 0)
    basic: list[Any] = []
    axes: list[int] = []
    codes: list[Array] = []
    runs = 0  # groups of neighbouring arrays; an Ellipsis parts them even where it is empty
    inside = False
    picked: tuple[Array, ...]
    used = sum(_consumed(part) for part in parts)
    for part in parts:
        if part is None or part is Ellipsis or isinstance(part, slice):
            basic += [whole] * (len(shape) - used) if part is Ellipsis else [part]
            inside = False
            continue
        runs += not inside
        inside = True
        if isinstance(part, (bool, np.bool_)):  # a new axis of length 1, or 0 where it is False
            picked, place = (np.zeros(int(part), np.intp),), None
        elif isinstance(part, np.ndarray) and part.dtype == bool:
            picked, place = part.nonzero(), whole
        else:
            picked, place = (np.asarray(part),), whole
        for array in picked:
            axes.append(len(basic))
            codes.append(array)
            basic.append(place)
    lengths = np.broadcast_to(False, shape)[tuple(basic)].shape
    chosen = tuple(lengths[axis] for axis in axes)
    positive = [from_zero(c, n) for c, n in zip(codes, chosen, strict=True)]
    return Places(
        tuple(basic),
        tuple(axes),
        chosen,
        tuple(np.broadcast_arrays(*positive)),
        axes[0] if runs == 1 else 0,
    )


def from_zero(codes: Array, length: int) -> Array:
    """Integers that count from the end where they are negative, all counted from 0."""
    codes = codes.astype(np.intp, copy=False)  # int8 could not hold the sum
    return np.where(codes < 0, codes + length, codes)


def _consumed(part: Any) -> int:
    """How many axes of the array a part of an index uses up."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def add_rows(total: Array, codes: Array, rows: Array) -> None:
    """Add each of the rows (n, features) into the row of `total` that its code (n,) names.

    Positions of single elements are what NumPy adds fastest: five times faster than `np.add.at`
    on rows, and faster than sorting the codes or a product with one-hot rows.
    """
    features = total.shape[1]
    flat = total.reshape(-1)
    if features == 1:
        np.add.at(flat, codes, rows.reshape(-1))
        return
    step = max(1, BLOCK // max(features, 1))
    within = np.arange(features)
    for first in range(0, len(codes), step):
        block = slice(first, first + step)
        places = codes[block, None] * features + within
        np.add.at(flat, places.reshape(-1), rows[block].reshape(-1))
