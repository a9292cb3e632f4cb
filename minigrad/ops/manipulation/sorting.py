"""Sort, partition and top-k. Equal elements keep their order, and NaN comes last."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method
from minigrad.ops.arguments import named, source_of
from minigrad.ops.axis_utils import normalize_axis, whole_number
from minigrad.ops.checks import check_option
from minigrad.ops.manipulation.indexing import scatter
from minigrad.ops.manipulation.selecting import along_axis, take_along_axis
from minigrad.ops.primitives import primitive

__all__ = ["argpartition", "argsort", "partition", "sort", "topk"]


SORTS = (None, "quicksort", "mergesort", "heapsort", "stable")


def _order(x: Array, axis: int, descending: bool) -> Array:
    """The places of the elements in sorted order, equal ones in the order of their places."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # Sorted from behind, so that among equal elements the later ones come first, and reversed.
    order = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - order, axis)


def _unsort(g: Array, x_shape: tuple[int, ...], order: Array, axis: int | None) -> Array:
    shape = g.shape if axis is None else x_shape
    k = 0 if axis is None else normalize_axis(axis, len(shape))
    return scatter.generic(g, shape, along_axis(order, shape, k)).reshape(x_shape)


@primitive(aux=("order",))
def sort(
    x: Array,
    /,
    axis: int | None = -1,
    kind: str | None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
) -> Array:
    """The elements in ascending order along an axis; equal ones keep their order.

    Args:
        x: any array.
        axis: the axis to sort along; None sorts the flattened array.
        kind, stable: without effect, since the sort is always stable.
        descending: in descending order.
    """
    check_option("kind", kind, SORTS)
    x = x.reshape(-1) if axis is None else x
    k = -1 if axis is None else axis
    order = _order(x, k, descending)
    return np.take_along_axis(x, order, k), order


sort.vjp(x=_unsort)


@primitive(constant=True, method=True)
def argsort(
    x: Array,
    /,
    axis: int | None = -1,
    kind: str | None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
) -> Array:
    """The places of the elements in the order of `sort`: integers, which carry no gradient."""
    check_option("kind", kind, SORTS)
    return _order(x.reshape(-1) if axis is None else x, -1 if axis is None else axis, descending)


@primitive(aux=("order",))
def partition(x: Array, /, kth: int | Sequence[int], axis: int | None = -1) -> Array:
    """The elements along an axis so that the `kth` is where sorting would put it.

    Smaller ones stand before it and larger ones after it, in any order.
    """
    x = x.reshape(-1) if axis is None else x
    k = -1 if axis is None else axis
    order = np.argpartition(x, kth, k)
    return np.take_along_axis(x, order, k), order


partition.vjp(x=_unsort)


@primitive(constant=True, method=True)
def argpartition(x: Array, /, kth: int | Sequence[int], axis: int | None = -1) -> Array:
    """The places of the elements in the order of `partition`: integers."""
    return np.argpartition(x, kth, axis)


@primitive(constant=True)
@named("topk")
def topk_places(x: Array, /, k: int, axis: int, largest: bool) -> Array:
    place = normalize_axis(axis, x.ndim)
    length = x.shape[place]
    if not 0 <= k <= length:
        raise ValueError(f"k must be from 0 to the length {length} of axis {axis}, got {k}")
    lead = (slice(None),) * place
    return _order(x, axis, largest)[(*lead, slice(0, k))]


@method
def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) elements along an axis, in order, and their places.

    Of equal elements those that come first are taken. As in PyTorch, NaN counts as the largest.

    Args:
        x: a tensor or an array with one axis or more.
        k: how many.
        axis: the axis to search.
        largest: False takes the smallest.

    Returns:
        The values, which are differentiable, and their places along the axis, integers.

    Raises:
        ShapeError: when `k` is negative or more than the length of the axis.

    >>> values, places = topk(np.array([3.0, 9.0, 4.0]), 2)
    >>> values.tolist(), places.tolist()
    ([9.0, 4.0], [1, 2])
    """
    x = source_of(x, "topk")
    places = topk_places(x, whole_number(k, "topk: k"), axis, largest)
    return take_along_axis(x, places, axis), places
