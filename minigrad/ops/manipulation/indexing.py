"""Indexing, and the functional update that in-place writes are made of."""

import operator
from typing import Any

import numpy as np

from minigrad.core.contributions import SlicedGradient
from minigrad.core.errors import IndexDtypeError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method
from minigrad.ops.arguments import as_numbers, index_dtype, read_numbers, source_of
from minigrad.ops.elementwise.arithmetic import add
from minigrad.ops.manipulation.index_places import add_rows, locate
from minigrad.ops.manipulation.reshaping import broadcast_to
from minigrad.ops.primitives import primitive
from minigrad.restoring import errstate

__all__ = ["scatter_add"]


_PLAIN = frozenset({int, type(None), type(Ellipsis)})


def plain_index(index: Any) -> Any:
    """An index that no caller can change later: tensors as arrays, arrays and lists copied.

    Raises:
        IndexDtypeError: when a tensor or an array in the index is not of integers or booleans.
    """
    if index.__class__ is tuple:
        for part in index:
            if part.__class__ not in _PLAIN and not _is_plain_slice(part):
                return tuple(_plain_part(part) for part in index)
        return index
    if index.__class__ in _PLAIN or _is_plain_slice(index):
        return index
    if isinstance(index, tuple):
        return tuple(_plain_part(part) for part in index)
    return _plain_part(index)


def _is_plain_slice(part: Any) -> bool:
    return (
        part.__class__ is slice
        and part.start.__class__ in _PLAIN
        and part.stop.__class__ in _PLAIN
        and part.step.__class__ in _PLAIN
    )


def _plain_part(part: Any) -> Any:
    if part.__class__ in _PLAIN or isinstance(part, bool):
        return part
    if isinstance(part, slice):
        bounds = (part.start, part.stop, part.step)
        return slice(*(None if b is None else operator.index(b) for b in bounds))
    if isinstance(part, np.generic):
        array = np.asarray(part)
    elif isinstance(part, Tensor):
        array = part._array
    elif isinstance(part, (list, range, np.ndarray)):
        array = np.array(part, dtype=None if np.size(part) else index_dtype(part))
        as_numbers(part, array)  # observers know the copy as what it is from now on
    elif hasattr(part, "__index__"):
        return operator.index(part)
    else:
        return part  # NumPy says what is wrong with it
    if array.dtype.kind not in "iub":
        raise IndexDtypeError(
            f"index: an index must hold integers or booleans, got {describe(part)}; "
            "t.astype(int) makes integers."
        )
    # Observers know an index that was computed by its array, and would take a number as given.
    return array if array.ndim or current_mode().watchers else array.item()


def read_index(index: Any) -> Any:
    """A plain index whose integers are read outside of operations, to compute others from them."""
    plain = plain_index(index)
    return read_numbers(index, plain) if isinstance(plain, np.ndarray) else plain


def slice_axis(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """``x[..., start:stop, ...]`` along one axis, counted from 0."""
    return x[(slice(None),) * axis + (slice(start, stop),)]


@primitive
def scatter(x: Array, /, shape: tuple[int, ...], index: Any) -> Array:
    """Zeros of `shape` with `x` added at `index`; repeated indices add up.

    The index is a plain one, see `plain_index`. Sums of float16 are made in float32.
    """
    x = np.asarray(x)
    places = locate(index, shape)
    if places is None:
        out = np.zeros(shape, x.dtype)
        out[index] = x
        return out
    wide = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
    rows = places.rows(x.astype(wide, copy=False))
    front = places.front(np.broadcast_to(np.zeros((), wide), shape))  # for its shape alone
    total = np.zeros(front.shape, wide)
    if rows.size:
        features = rows[0].size
        add_rows(
            total.reshape(-1, features), places.flat_codes(), rows.reshape(len(rows), features)
        )
    total = total.astype(x.dtype, copy=False)
    if places.leading and front.shape == shape:
        return total
    out = np.zeros(shape, x.dtype)
    places.front(out)[...] = total
    return out


scatter.vjp(x=lambda g, index: g[index])


def _getitem_rule(g: Array, x_shape: tuple[int, ...], index: Any) -> Any:
    recorded = isinstance(g, Tensor) or current_mode().recording
    if recorded or locate(index, x_shape) is not None:
        return scatter.generic(g, x_shape, index)
    return SlicedGradient(x_shape, index, g)


@primitive(view=True)
def getitem(x: Array, /, index: Any) -> Array:
    """`x[index]` for any index that NumPy knows; a value, never an alias to write through."""
    return x[index]


getitem.vjp(x=_getitem_rule)


@primitive(aux=("kept",))
def setitem(x: Array, value: Array, /, index: Any) -> Array:
    """A copy of `x` in which `x[index]` is `value`; of repeated places the last write counts."""
    dtype = _check_fits(x, value)
    out = np.array(x, dtype)
    places = locate(index, out.shape)
    kept = None if places is None else places.last_writes()
    if places is None or kept is None:
        out[index] = value
        return out, None
    target = out[index]
    target[...] = value
    rows, last = places.rows(target), kept.reshape(-1)
    codes = tuple(c.reshape(-1)[last] for c in places.codes)
    places.front(out)[codes] = rows[last]
    return out, kept.reshape(kept.shape + (1,) * (target.ndim - kept.ndim - places.start))


def _check_fits(x: Array, value: Array) -> Any:
    """The dtype of an array after writing: its own, unless that would change the value's kind."""
    given = np.asarray(value)
    if given.dtype.kind == "c" and not isinstance(value, complex):
        # Complex steps run through the functional update; `rebind` refuses it for tensors.
        return np.result_type(x, given)
    if not np.can_cast(given.dtype, x.dtype, "same_kind"):
        with errstate(all="ignore"):
            exact = isinstance(value, (bool, int, float)) and given.astype(x.dtype) == given
        if not exact:
            raise TypeError(
                f"a value of dtype {given.dtype} cannot be written into {describe(x)}; convert "
                "one of them with astype first"
            )
    return x.dtype


def _setitem_value_rule(g: Array, value_shape: tuple[int, ...], index: Any, kept: Any) -> Array:
    part = g[index] if kept is None else np.where(kept, g[index], 0)
    # NumPy lets a value have leading axes of length 1 that the place written to has not.
    extra = len(value_shape) - part.ndim
    return part.reshape((1,) * extra + part.shape) if extra > 0 else part


setitem.vjp(x=lambda g, index: setitem.generic(g, 0, index), value=_setitem_value_rule)


@method
def scatter_add(x: Any, index: Any, values: Any) -> Tensor:
    """A copy of `x` with `values` added at `x[index]`; places that repeat get every addition.

    What ``np.add.at(x, index, values)`` does in place. PyTorch's ``scatter_add``, which adds along
    one axis, is `add_along_axis`.

    Args:
        x: a tensor or an array.
        index: any index of `x`: integers, slices, integer and boolean arrays, tuples of them.
        values: of a shape that broadcasts to that of ``x[index]``.

    Raises:
        IndexError: when the index does not fit `x`.
        ShapeError: when the values do not broadcast to the shape of ``x[index]``.

    >>> scatter_add(np.zeros(3), [0, 2, 0], np.array([1.0, 2.0, 3.0]))
    Tensor([4., 0., 2.], f64[3])
    """
    x = source_of(x, "scatter_add", "x")
    values = source_of(values, "scatter_add", "values", x)
    index = plain_index(index)
    try:
        shape = np.broadcast_to(False, x.shape)[index].shape
    except IndexError as error:
        raise IndexError(f"scatter_add: {error} (x: {describe(x)}, index={index!r})") from None
    if np.shape(values) != shape:
        try:
            values = broadcast_to(values, shape)
        except ShapeError:
            raise ShapeError(
                f"scatter_add: values {describe(values)} do not broadcast to the shape {shape} of "
                f"x[index], for x: {describe(x)}"
            ) from None
    return add(x, scatter(values, x.shape, index))
