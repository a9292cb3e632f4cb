"""Assemble arrays: nested blocks, insertion, linspace."""

from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.arguments import source_of
from minigrad.ops.axis_utils import normalize_axis, whole_number
from minigrad.ops.elementwise.predicates import floor
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.indexing import read_index
from minigrad.ops.manipulation.joining import concatenate
from minigrad.ops.manipulation.reshaping import (
    broadcast_arrays,
    broadcast_to,
    moveaxis,
    ravel,
    reshape,
)
from minigrad.ops.manipulation.selecting import take
from minigrad.ops.parts import returns_value

__all__ = ["block", "insert", "linspace"]


@returns_value
def block(arrays: Any) -> Tensor:
    """Nested lists of arrays joined: the innermost lists along the last axis, and so on outwards.

    Raises:
        ShapeError: when lists are nested to different depths, or are empty.
    """
    depth = _depth(arrays)
    others: list[Any] = []
    _collect(arrays, others)
    parts = [source_of(x, "block", "arrays", *others) for x in others]
    ndim = max(depth, *(np.ndim(x) for x in parts))
    wide = iter([reshape(x, (1,) * (ndim - np.ndim(x)) + tuple(x.shape)) for x in parts])

    def join(nested: Any, level: int) -> Tensor:
        if not isinstance(nested, list):
            return next(wide)
        return concatenate([join(part, level - 1) for part in nested], axis=-level)

    return join(arrays, depth)


def _depth(nested: Any) -> int:
    """How deeply lists are nested; the same everywhere."""
    if not isinstance(nested, list):
        return 0
    depths = {_depth(part) for part in nested}
    if len(depths) != 1:
        raise ShapeError(
            "block: lists must not be empty, and be nested to one depth, got "
            + ("an empty one" if not depths else f"depths {sorted(depths)} side by side")
        )
    return 1 + depths.pop()


def _collect(nested: Any, found: list[Any]) -> None:
    for part in nested if isinstance(nested, list) else [nested]:
        if isinstance(part, list):
            _collect(part, found)
        else:
            found.append(part)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """A copy of `arr` with `values` put in before the places that `obj` names along an axis.

    Args:
        arr: a tensor or an array; with axis None it is flattened.
        obj: an int, a slice or a sequence of ints, places in `arr` as it is.
        values: what to put in; broadcasts to the shape of the places.
        axis: the axis.

    Raises:
        ShapeError: when there is no such axis, or the values do not fit.
        IndexError: when a place is out of bounds.
    """
    x = source_of(arr, "insert", "arr")
    values = source_of(values, "insert", "values", x)
    x = ravel(x) if axis is None else x
    k = 0 if axis is None else normalize_axis(axis, x.ndim, "insert: axis")
    length = x.shape[k]
    index = read_index(obj)
    single = not isinstance(index, slice) and not np.ndim(index)
    places = np.arange(length)[index] if isinstance(index, slice) else np.atleast_1d(index)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    if places.size and (places.min() < -length or places.max() > length):
        raise IndexError(
            f"insert: a place in {obj!r} is out of bounds for axis {k} of {describe(x)}"
        )
    places = np.where(places < 0, places + length, places)
    if single:
        # NumPy reads values for one place as if that axis came first, several of them too.
        wide = reshape(values, (1,) * (x.ndim - values.ndim) + tuple(values.shape))
        values = moveaxis(wide, 0, k)
        places = np.repeat(places, values.shape[k])
    shape = (*x.shape[:k], places.size, *x.shape[k + 1 :])
    if values.dtype != x.dtype and values.dtype.kind != "c":
        values = values.astype(x.dtype)
    order = np.insert(np.arange(length), places, np.arange(length, length + places.size))
    return take(concatenate([x, broadcast_to(values, shape)], axis=k), order, k)


@names_its_errors
@returns_value
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Evenly spaced numbers from `start` to `stop`, which may be tensors that require grad.

    Args:
        start, stop: the ends, of shapes that broadcast together.
        num: how many numbers, along a new axis.
        endpoint: whether `stop` is the last one.
        retstep: return a pair, the numbers and their distance.
        dtype: of the result; None for that of the ends. To integers it rounds down.
        axis: where the new axis stands in the result.

    Raises:
        ValueError: for a negative `num`.
    """
    num = whole_number(num, "linspace: num", 0)
    sources = (
        source_of(start, "linspace", "start", stop),
        source_of(stop, "linspace", "stop", start),
    )
    given = zip((start, stop), sources, strict=True)
    kinds = [
        x if isinstance(x, (int, float)) else getattr(x, "dtype", source.dtype)
        for x, source in given
    ]
    kind = np.result_type(*kinds, 1.0)
    ends = broadcast_arrays(*sources)
    first, last = (end if end.dtype == kind else end.astype(kind) for end in ends)
    share = np.linspace(0, 1, num, endpoint).astype(kind).reshape((num,) + (1,) * first.ndim)
    y = first * wrap(1 - share, None) + last * wrap(share, None)
    if dtype is not None:
        y = (floor(y) if np.dtype(dtype).kind in "iu" else y).astype(dtype)
    y = moveaxis(y, 0, axis)
    if not retstep:
        return y
    parts = num - 1 if endpoint else num
    return y, (last - first) / (parts if parts > 0 else np.nan)
