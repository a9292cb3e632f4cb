"""Select elements by integers and by conditions: take, compress, select, choose."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, IndexDtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method
from minigrad.ops.arguments import (
    constant_array,
    read_constant,
    source_of,
    whole_numbers,
)
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.checks import check_option
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.index_places import from_zero
from minigrad.ops.manipulation.indexing import getitem, read_index, scatter, scatter_add, setitem
from minigrad.ops.manipulation.joining import stack
from minigrad.ops.manipulation.reshaping import broadcast_arrays, ravel
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive

__all__ = [
    "add_along_axis",
    "argwhere",
    "choose",
    "compress",
    "delete",
    "extract",
    "flatnonzero",
    "nonzero",
    "put_along_axis",
    "searchsorted",
    "select",
    "take",
    "take_along_axis",
]


INDEX_MODES = ("raise", "wrap", "clip")


def check_places(codes: Array, length: int, axis: Any) -> Array:
    """Integers that pick from an axis, counted from 0."""
    if codes.dtype.kind not in "iu":
        raise IndexDtypeError(f"indices must be integers, got dtype {codes.dtype}")
    if codes.size:
        low, high = int(codes.min()), int(codes.max())
        if low < -length or high >= length:
            where_ = "the flattened array" if axis is None else f"axis {axis}"
            raise IndexError(
                f"index {low if low < -length else high} is out of bounds for {where_}, of "
                f"length {length}"
            )
    return from_zero(codes, length)


@primitive(aux=("codes",), method=True)
def take(x: Array, indices: Array, axis: int | None = None, mode: str = "raise") -> Array:
    """The elements at integer places along an axis.

    Args:
        x: a tensor or an array.
        indices: integers of any shape, which takes the place of the axis.
        axis: the axis to pick from; None picks from the flattened array.
        mode: what to do with integers out of bounds: "raise", "wrap" around, or "clip".
    """
    check_option("mode", mode, INDEX_MODES)
    x = x.reshape(1) if not x.ndim and axis in (0, -1) else x  # a number as a vector, as in NumPy
    length = x.size if axis is None else x.shape[normalize_axis(axis, x.ndim)]
    codes = np.array(indices, dtype=None if np.size(indices) else np.intp)
    if codes.dtype == object:
        codes = whole_numbers(indices, "indices")
    if mode == "wrap" and length:
        codes = codes % length
    elif mode == "clip" and length:
        codes = codes.clip(0, length - 1)
    codes = check_places(codes, length, axis)
    return np.take(x, codes, axis), codes


def _take_rule(g: Array, x_shape: tuple[int, ...], codes: Array, axis: int | None) -> Array:
    flat = (math.prod(x_shape),) if axis is None or not x_shape else x_shape
    k = 0 if axis is None else normalize_axis(axis, len(flat))
    index: Any = (slice(None),) * k + (codes if codes.ndim else int(codes),)
    return scatter.generic(g, flat, index).reshape(x_shape)


take.vjp(x=_take_rule)


def along_axis(codes: Array, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The index that picks `codes` along an axis and every place, one to one, along the others."""
    count = len(shape)
    return tuple(
        codes if k == axis else np.arange(n).reshape((1,) * k + (n,) + (1,) * (count - k - 1))
        for k, n in enumerate(shape)
    )


def _along_codes(indices: Array, shape: tuple[int, ...], axis: int) -> tuple[Array, int]:
    """Checked indices for the functions along an axis, and the axis counted from 0."""
    codes = np.array(indices)
    axis = normalize_axis(axis, len(shape))
    if codes.ndim != len(shape):
        raise ValueError(
            f"indices must have as many axes as the array, got {codes.ndim} and {len(shape)}; "
            "np.expand_dims adds one, and take picks the same places everywhere"
        )
    return check_places(codes, shape[axis], axis), axis


@primitive(aux=("codes",), method=True)
def take_along_axis(arr: Array, indices: Array, axis: int | None = -1) -> Array:
    """The elements that `indices` name along an axis, one to one along the other axes.

    Args:
        arr: a tensor or an array.
        indices: integers with as many axes as `arr`; the others broadcast against those of `arr`.
        axis: the axis to pick from; None picks from the flattened array.
    """
    source = arr.reshape(-1) if axis is None else arr
    codes, k = _along_codes(indices, source.shape, 0 if axis is None else axis)
    return source[along_axis(codes, source.shape, k)], codes


def _take_along_axis_rule(
    g: Array, arr_shape: tuple[int, ...], codes: Array, axis: int | None
) -> Array:
    shape = (int(np.prod(arr_shape)),) if axis is None else arr_shape
    k = 0 if axis is None else normalize_axis(axis, len(shape))
    return scatter.generic(g, shape, along_axis(codes, shape, k)).reshape(arr_shape)


take_along_axis.vjp(arr=_take_along_axis_rule)


def _along_index(name: str, x: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    codes = read_index(indices)
    try:
        checked, axis = _along_codes(codes, x.shape, axis)
    except (TypeError, ValueError, IndexError) as error:
        kind = ShapeError if type(error) is ValueError else type(error)
        raise kind(
            f"{name}: {error} (called with {describe(x)}, indices: {describe(codes)})"
        ) from None
    return along_axis(checked, x.shape, axis)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> Tensor:
    """A copy of `arr` with `values` at the places that `indices` name along an axis.

    The tensor itself is left alone; ``np.put_along_axis(t, ...)`` writes it in place. Of places
    that repeat the last write counts.

    Args:
        arr: a tensor or an array.
        indices: integers with as many axes as `arr`.
        values: what to write; broadcasts to the shape of the indices.
        axis: the axis along which to write.
    """
    arr = source_of(arr, "put_along_axis", "arr")
    values = source_of(values, "put_along_axis", "values", arr)
    return setitem(arr, values, _along_index("put_along_axis", arr, indices, axis))


def add_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> Tensor:
    """A copy of `arr` with `values` added at the places that `indices` name along an axis.

    PyTorch's ``scatter_add(axis, indices, values)``; places that repeat get every addition.
    """
    arr = source_of(arr, "add_along_axis", "arr")
    return scatter_add(arr, _along_index("add_along_axis", arr, indices, axis), values)


# -- conditions ----------------------------------------------------------------------------------


@names_its_errors
def compress(condition: Any, x: Any, axis: int | None = None) -> Tensor:
    """The parts along an axis for which a condition holds; None picks from the flattened array."""
    x = source_of(x, "compress")
    chosen = read_constant(condition, "compress: condition")
    if chosen.ndim != 1:
        raise ShapeError(f"compress: condition must have one axis, got {describe(chosen)}")
    return take(x, np.flatnonzero(chosen), axis)


def extract(condition: Any, x: Any) -> Tensor:
    """The elements of the flattened array for which a condition of its size holds."""
    return compress(np.ravel(read_constant(condition, "extract: condition")), x)


def delete(x: Any, obj: Any, axis: int | None = None) -> Tensor:
    """Without the parts that an int, a slice or an array of them names along an axis."""
    x = source_of(x, "delete")
    x = ravel(x) if axis is None else x
    k = 0 if axis is None else normalize_axis(axis, x.ndim, "delete: axis")
    kept = np.ones(x.shape[k], bool)
    try:
        kept[read_index(obj)] = False
    except IndexError as error:
        raise IndexError(f"delete: {error} (called with x: {describe(x)}, axis={axis})") from None
    return take(x, np.flatnonzero(kept), k)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Elementwise, the choice that belongs to the first condition that holds, or the default.

    Raises:
        ShapeError: when there are not as many conditions as choices, or none.
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ShapeError(
            f"select: needs one choice for each condition, got {len(condlist)} conditions and "
            f"{len(choicelist)} choices"
        )
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        chosen = constant_array(condition, "select: condition")
        if chosen.dtype != bool:
            raise DtypeError(f"select: conditions must be booleans, got {describe(condition)}")
        result = where(chosen, choice, result)
    return result  # type: ignore[no-any-return]  # a tensor, since there is a condition


@method
@returns_value
def choose(a: Any, choices: Any, mode: str = "raise") -> Tensor:
    """Elementwise, the choice that the integer `a` names; all broadcast together.

    Args:
        a: integers that number the choices.
        choices: a sequence of tensors, or one tensor with the choices along its first axis.
        mode: what to do with integers out of bounds: "raise", "wrap" around, or "clip".
    """
    check_option("mode", mode, INDEX_MODES, "choose")
    codes = read_constant(a, "choose: a")
    values = list(choices)
    if mode == "raise" and codes.size and not 0 <= codes.min() <= codes.max() < len(values):
        raise IndexError(
            f"choose: a must number the {len(values)} choices from 0 on, got {codes.min()} to "
            f'{codes.max()}; mode= "wrap" or "clip" takes others'
        )
    places, *options = broadcast_arrays(codes, *values)
    numbers = take(np.arange(len(values)), places.detach(), mode=mode)
    joined = stack(options)
    return getitem(take_along_axis(joined, numbers[None], axis=0), 0)


# -- places, which are constants ------------------------------------------------------------------


@primitive(constant=True)
def argwhere(x: Array, /) -> Array:
    """The places of the elements that are not 0, one per row: integers (count, axes)."""
    return np.argwhere(x)


@primitive(constant=True)
def flatnonzero(x: Array, /) -> Array:
    """The places in the flattened array of the elements that are not 0."""
    return np.flatnonzero(x)


@method
@returns_value
def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The places of the elements that are not 0, as one array of integers per axis.

    Raises:
        ShapeError: when there are no axes.
    """
    x = source_of(x, "nonzero")
    if not x.ndim:
        raise ShapeError("nonzero: needs one axis or more, got one number; use atleast_1d first")
    rows = argwhere(x)
    return tuple(rows[:, k] for k in range(x.ndim))


def _where(condition: Any, *choices: Any) -> Any:
    """``np.where`` of a condition alone is `nonzero`."""
    if len(choices) == 1:
        raise ValueError("where: needs both x and y, or neither; got one of them")
    return where(condition, *choices) if choices else nonzero(condition)


@primitive(constant=True, method=True)
def searchsorted(a: Array, v: Array, side: str = "left", sorter: Any = None) -> Array:
    """The places at which to insert `v` into the sorted vector `a` so that it stays sorted."""
    order = None if sorter is None else constant_array(sorter, "sorter")
    check_option("side", side, ("left", "right"))
    return np.searchsorted(a, v, side=side, sorter=order)  # type: ignore[call-overload]


NUMPY = {np.where: _where}
