"""Reductions: mean, prod, max, min, argmax, all, any."""

import math
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import widen
from minigrad.ops.axis_utils import Axis, normalize_axes, restore_axes
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.sums import _spread, chosen, mask_of, masked, starting_value

__all__ = ["all", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "min", "prod"]


def count_over(shape: tuple[int, ...], axis: Axis, where: Any) -> Any:
    """How many elements over `axis` take part: an int, or for a mask an array with axes kept."""
    if where is None:
        return math.prod(shape[a] for a in normalize_axes(axis, len(shape)))
    return np.broadcast_to(mask_of(where), shape).sum(axis=axis, keepdims=True)


def shared(g: Array, count: Any) -> Array:
    """A gradient divided by a count of elements, which float16 may be too small for."""
    if not isinstance(count, (int, float)):
        count = count.astype(np.result_type(g.dtype, np.float32))
    return (widen(g) / count).astype(g.dtype) if g.dtype == np.float16 else g / count


@primitive(method=True)
def mean(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: Any = None,
) -> Array:
    """The mean over `axis`, with the arguments of `sum`; float16 is added up in float32."""
    simple = x.size and x.ndim and x.dtype.kind == "f" and x.itemsize > 2
    if simple and dtype is None and where is None:
        total = x.sum(axis=axis, keepdims=keepdims)
        return total / (x.size / total.size)
    return np.mean(x, axis=axis, dtype=dtype, keepdims=keepdims, where=mask_of(where))


def _mean_rule(g: Array, x_shape: tuple[int, ...], axis: Axis, keepdims: bool, where: Any) -> Array:
    g = shared(restore_axes(g, x_shape, axis, keepdims), count_over(x_shape, axis, where))
    return masked(_spread(g, x_shape), where)


mean.vjp(x=_mean_rule)


def _products_of_others(x: Array) -> Array:
    """For each element along the last axis, the product of all the others, without a division.

    Pairs are multiplied up a tree; on the way down, each node hands to either child what it got
    from above, times the other child.
    """
    levels = []
    while x.shape[-1] > 1:
        length = x.shape[-1]
        if length % 2:
            ones = np.ones((*x.shape[:-1], 1), x.dtype)
            x = np.concatenate([x, ones], axis=-1)
        left, right = x[..., ::2], x[..., 1::2]
        levels.append((left, right, length))
        x = left * right
    others = np.ones(x.shape, x.dtype)
    for left, right, length in reversed(levels):
        pairs = np.stack([others * right, others * left], axis=-1)
        others = pairs.reshape((*left.shape[:-1], 2 * left.shape[-1]))[..., :length]
    return others


def divisible(y: Array) -> bool:
    """Whether products can be divided by their factors: none is 0, infinite or subnormal."""
    size = np.abs(y)
    return bool(np.logical_and(size >= np.finfo(size.dtype).tiny, np.isfinite(size)).all())


def _prod_rule(
    g: Array, x: Array, y: Array, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Array:
    g, shape = restore_axes(g, x.shape, axis, keepdims), x.shape
    if where is not None:
        x = np.where(mask_of(where), x, 1)
    if divisible(y):
        return masked(g * (restore_axes(y, shape, axis, keepdims) / x), where)
    axes = normalize_axes(axis, x.ndim)
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    order = (*kept, *axes)
    lengths = tuple(shape[a] for a in order)
    rows = x.transpose(order).reshape((*lengths[: len(kept)], math.prod(lengths[len(kept) :])))
    back = tuple(order.index(a) for a in range(len(order)))
    others = _products_of_others(rows).reshape(lengths).transpose(back)
    return masked(g * others * (1 if initial is None else starting_value(initial)), where)


@primitive(method=True)
def prod(
    x: Array,
    /,
    axis: Axis = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The product over `axis`, with the arguments of `sum`.

    The derivative is exact with any number of zeros, to any order.
    """
    if initial is None and where is None:
        return x.prod(axis=axis, dtype=dtype, keepdims=keepdims)
    return np.prod(x, axis=axis, dtype=dtype, keepdims=keepdims, **chosen(initial, where))


prod.vjp(x=_prod_rule)


def extremum_rule(
    g: Array, x: Array, y: Array, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Array:
    """The gradient of an extremum: all elements that are equal to it share it equally.

    An `initial` that ties takes its share, too. Where nothing is equal to it, as NaN, it is NaN.
    """
    y = restore_axes(y, x.shape, axis, keepdims)
    equal = x == y
    if where is not None:
        equal = np.logical_and(equal, mask_of(where))
    count = equal.sum(axis=axis, keepdims=True)
    if initial is not None:
        count = count + (y == starting_value(initial))
    share = equal / count.astype(np.result_type(x.dtype, np.float32))
    return masked(restore_axes(g, x.shape, axis, keepdims) * share, where)


@primitive(method=True)
def max(
    x: Array,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The largest element over `axis`; ties share the gradient equally, as in `torch.amax`.

    NaN is the largest of all, and makes the gradient NaN, as there. The arguments are those of
    `sum`; `where` needs an `initial`, the smallest possible result.
    """
    if initial is None and where is None:
        return x.max(axis=axis, keepdims=keepdims)
    return np.max(x, axis=axis, keepdims=keepdims, **chosen(initial, where))


max.vjp(x=extremum_rule)


@primitive(method=True)
def min(
    x: Array,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The smallest element over `axis`; ties share the gradient equally, as in `torch.amin`.

    NaN is the smallest of all, and makes the gradient NaN, as there. The arguments are those of
    `sum`; `where` needs an `initial`, the largest possible result.
    """
    if initial is None and where is None:
        return x.min(axis=axis, keepdims=keepdims)
    return np.min(x, axis=axis, keepdims=keepdims, **chosen(initial, where))


min.vjp(x=extremum_rule)


@primitive(constant=True, method=True)
def argmax(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """The index of the first largest element along `axis`; with None, in the flattened array."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(constant=True, method=True)
def argmin(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """The index of the first smallest element along `axis`; with None, in the flattened array."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def count_nonzero(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """How many elements over `axis` are not 0."""
    return np.count_nonzero(x, axis=axis, keepdims=keepdims)


@primitive(constant=True, method=True)
def all(x: Array, /, axis: Axis = None, *, keepdims: bool = False, where: Any = None) -> Array:
    """Whether all elements over `axis`, and in `where`, are true."""
    return np.all(x, axis=axis, keepdims=keepdims, where=mask_of(where))


@primitive(constant=True, method=True)
def any(x: Array, /, axis: Axis = None, *, keepdims: bool = False, where: Any = None) -> Array:
    """Whether any element over `axis`, and in `where`, is true."""
    return np.any(x, axis=axis, keepdims=keepdims, where=mask_of(where))


NUMPY = {np.amax: max, np.amin: min}
