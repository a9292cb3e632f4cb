"""Operations that change the shape or the order of elements, and none of their values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.ops.shapes import normalize_axis
from minigrad.primitives import primitive

__all__ = [
    "broadcast_to",
    "concatenate",
    "reshape",
    "stack",
    "swapaxes",
    "transpose",
]

METHODS = ("swapaxes",)

Array = Any


@primitive(view=True)
def reshape(x: Array, /, shape: Any) -> Array:
    """The same elements in another shape; -1 stands for the length that is left over."""
    return np.reshape(x, shape)


reshape.vjp(x=lambda g, x_shape: g.reshape(x_shape))


@primitive(view=True)
def transpose(x: Array, /, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order; without `axes`, in reverse order."""
    return np.transpose(x, axes)


transpose.vjp(
    x=lambda g, axes: np.transpose(
        g, None if axes is None else tuple(int(i) for i in np.argsort([a % g.ndim for a in axes]))
    )
)


@primitive(view=True)
def swapaxes(x: Array, /, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


swapaxes.vjp(x=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))


@primitive(view=True)
def broadcast_to(x: Array, /, shape: Any) -> Array:
    """`x` repeated along new axes and along axes of length 1."""
    return np.broadcast_to(x, shape)


broadcast_to.vjp(x=lambda g: g)  # the engine sums over broadcast axes


@primitive(list_input=True)
def concatenate(arrays: Sequence[Array], /, axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis; with axis None, flattened first."""
    return np.concatenate(arrays, axis=axis)


def _concatenate_rule(g: Array, arrays: Sequence[Array], axis: int | None) -> list[Array]:
    parts, start = [], 0
    for array in arrays:
        if axis is None:
            parts.append(g[start : start + array.size].reshape(array.shape))
            start += array.size
        else:
            k = normalize_axis(axis, array.ndim)
            index = (slice(None),) * k + (slice(start, start + array.shape[k]),)
            parts.append(g[index])
            start += array.shape[k]
    return parts


concatenate.vjp(arrays=_concatenate_rule)


@primitive(list_input=True)
def stack(arrays: Sequence[Array], /, axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis=axis)


def _stack_rule(g: Array, arrays: Sequence[Array], axis: int) -> list[Array]:
    lead = (slice(None),) * (axis % g.ndim)
    return [g[(*lead, i)] for i in range(len(arrays))]


stack.vjp(arrays=_stack_rule)
