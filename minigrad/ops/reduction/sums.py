"""Sums over axes."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.nodes import Array
from minigrad.ops.arguments import constant_array, read_constant
from minigrad.ops.axis_utils import Axis, restore_axes
from minigrad.ops.primitives import primitive

__all__ = ["sum"]


SMALL = 4096  # up to this size, copying is cheaper than the bookkeeping of a broadcast view


def _spread(g: Array, shape: tuple[int, ...]) -> Array:
    """A gradient repeated to a shape."""
    if g.__class__ is np.ndarray and math.prod(shape) <= SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return np.broadcast_to(g, shape)


def mask_of(where: Any) -> Any:
    """Which elements take part: True for all (of None, too), or a constant array of booleans.

    Raises:
        TypeError: for something that is neither booleans nor integers.
    """
    if where is None or where is True:
        return True
    # An array keeps its class: in a trace, what a rule computes of it is followed.
    mask = where if isinstance(where, np.ndarray) else constant_array(where, "where")
    if mask.dtype.kind not in "biu":
        raise TypeError(f"where must hold booleans, got {describe(where)}; compare, as in x > 0")
    return mask.astype(bool, copy=False)


def read_mask(where: Any) -> Any:
    """As `mask_of`, outside of operations: booleans are known as they are, integers are read."""
    mask = mask_of(where)
    if mask is not True and constant_array(where, "where").dtype != mask.dtype:
        read_constant(where, "where")
    return mask


def chosen(initial: Any, where: Any) -> dict[str, Any]:
    """`initial` and `where` as NumPy takes them; none that is left out."""
    options = {} if where is None else {"where": mask_of(where)}
    return options if initial is None else {"initial": starting_value(initial), **options}


def starting_value(initial: Any) -> Any:
    """A constant that a reduction begins with, as a number of Python."""
    value = constant_array(initial, "initial")
    if value.ndim:
        raise ValueError(f"initial must be a single number, got {describe(initial)}")
    return value.item()


def masked(g: Array, where: Any) -> Array:
    """A gradient with zeros where `where` leaves elements out, whatever stands there."""
    return g if where is None or where is True else np.where(mask_of(where), g, 0)


@primitive(method=True)
def sum(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The sum over `axis`.

    Args:
        x: any shape.
        axis: None for all, an int or a tuple.
        dtype: in which to add up and return it.
        keepdims: keep the reduced axes with length 1.
        initial: a constant number to begin with.
        where: booleans that broadcast to `x`, constant: which elements take part.
    """
    if initial is None and where is None:
        return x.sum(axis=axis, dtype=dtype, keepdims=keepdims)
    return np.sum(x, axis=axis, dtype=dtype, keepdims=keepdims, **chosen(initial, where))


sum.vjp(
    x=lambda g, x_shape, axis, keepdims, where: masked(
        _spread(restore_axes(g, x_shape, axis, keepdims), x_shape), where
    )
)
