"""Reductions: sums, means, products, extremes and where they stand."""

import math
from typing import Any

import numpy as np

from minigrad.ops.arguments import widen
from minigrad.ops.shapes import normalize_axes, restore_axes
from minigrad.primitives import primitive

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "sum",
]

METHODS = (
    "all",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "sum",
)  # operations that are methods of Tensor too

Array = Any
Axis = Any

SMALL = 4096  # up to this size, copying is cheaper than the bookkeeping of a broadcast view


def _spread(g: Array, shape: tuple[int, ...]) -> Array:
    """A gradient repeated to a shape."""
    if g.__class__ is np.ndarray and math.prod(shape) <= SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return np.broadcast_to(g, shape)


@primitive
def sum(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    """The sum over `axis` (None: all; an int; a tuple), added up and returned in `dtype`."""
    return x.sum(axis=axis, dtype=dtype, keepdims=keepdims)


sum.vjp(
    x=lambda g, x_shape, axis, keepdims: _spread(restore_axes(g, x_shape, axis, keepdims), x_shape)
)


@primitive
def mean(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    """The mean over `axis` (None: all; an int; a tuple); of float16, added up in float32."""
    if dtype is None and x.size and x.dtype.kind == "f" and x.itemsize > 2:
        total = x.sum(axis=axis, keepdims=keepdims)
        return total / (x.size / total.size)
    return np.mean(x, axis=axis, dtype=dtype, keepdims=keepdims)


mean.vjp(
    x=lambda g, x_shape, axis, keepdims: _spread(
        restore_axes(g / (math.prod(x_shape) / (g.size or 1)), x_shape, axis, keepdims), x_shape
    )
)


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


def _prod_rule(g: Array, x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    g, shape = restore_axes(g, x.shape, axis, keepdims), x.shape
    if bool(np.logical_and(y != 0, np.isfinite(y)).all()):
        return g * restore_axes(y, shape, axis, keepdims) / x
    axes = normalize_axes(axis, x.ndim)
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    order = (*kept, *axes)
    lengths = tuple(shape[a] for a in order)
    rows = x.transpose(order).reshape((*lengths[: len(kept)], math.prod(lengths[len(kept) :])))
    back = tuple(order.index(a) for a in range(len(order)))
    return g * _products_of_others(rows).reshape(lengths).transpose(back)


@primitive
def prod(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    """The product over `axis`; the derivative is exact with any number of zeros, to any order."""
    return x.prod(axis=axis, dtype=dtype, keepdims=keepdims)


prod.vjp(x=_prod_rule)


def _extremum_rule(g: Array, x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    chosen = x == restore_axes(y, x.shape, axis, keepdims)
    count = chosen.sum(axis=axis, keepdims=True).astype(x.dtype)
    return restore_axes(g, x.shape, axis, keepdims) * (chosen / count)


@primitive
def max(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The largest element over `axis`; ties share the gradient evenly, as in `torch.amax`.

    NaN is the largest of all, and makes the gradient NaN, as there.
    """
    return x.max(axis=axis, keepdims=keepdims)


max.vjp(x=_extremum_rule)


@primitive
def min(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """The smallest element over `axis`; ties share the gradient evenly, as in `torch.amin`.

    NaN is the smallest of all, and makes the gradient NaN, as there.
    """
    return x.min(axis=axis, keepdims=keepdims)


min.vjp(x=_extremum_rule)


def _logsumexp_rule(g: Array, x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    # Empty rows (all -inf) keep a finite stand-in: exp(-inf - 0) is 0, while -inf + inf is NaN.
    y = restore_axes(y, x.shape, axis, keepdims)
    return restore_axes(g, x.shape, axis, keepdims) * np.exp(x - np.where(y == -np.inf, 0, y))


@primitive
def logsumexp(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`, without overflow.

    Where all elements are -inf the result is -inf and the gradient 0; in PyTorch it is NaN.
    """
    dtype = np.result_type(x, np.float16)  # of integers, what NumPy's own functions return
    x = widen(x.astype(dtype, copy=False))
    top = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # log(0) of empty rows
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    y = y.astype(dtype, copy=False)
    return y if keepdims else np.squeeze(y, axis=normalize_axes(axis, x.ndim))


logsumexp.vjp(x=_logsumexp_rule)


@primitive(constant=True)
def argmax(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """The index of the first largest element along `axis`; with None, in the flattened array."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def argmin(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """The index of the first smallest element along `axis`; with None, in the flattened array."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def count_nonzero(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """How many elements over `axis` are not 0."""
    return np.count_nonzero(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def all(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are true."""
    return np.all(x, axis=axis, keepdims=keepdims)


@primitive(constant=True)
def any(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Whether any element over `axis` is true."""
    return np.any(x, axis=axis, keepdims=keepdims)


NUMPY = {np.amax: max, np.amin: min}
