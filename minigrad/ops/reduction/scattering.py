"""Scatter with a reduction: sum, mean, product, maximum or minimum at given places."""

from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_operand, read_constant, widen
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.checks import check_option
from minigrad.ops.elementwise.arithmetic import positive
from minigrad.ops.elementwise.casting import astype
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.elementwise.predicates import floor_divide
from minigrad.ops.manipulation.indexing import scatter_add, setitem
from minigrad.ops.manipulation.joining import concatenate
from minigrad.ops.manipulation.selecting import check_places, take
from minigrad.ops.reduction.reductions import max as max_over
from minigrad.ops.reduction.reductions import min as min_over
from minigrad.ops.reduction.reductions import prod as prod_over

__all__ = ["scatter_reduce"]


REDUCTIONS = ("sum", "mean", "prod", "amax", "amin", "max", "min")


def scatter_reduce(
    x: Any, axis: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `x` into which values are reduced at the places that an index names along an axis.

    PyTorch's ``x.scatter_reduce(dim, index, src, reduce)``: for a matrix and axis 0,
    y[index[i, j], j] combines x there and every src[i, j]. Values that tie for an extremum share
    the gradient equally, and that of a product is exact with any number of zeros.

    Args:
        x: any shape but ().
        axis: the axis along which `index` names places.
        index: integers with as many axes as `x`; along the others not longer than `x`.
        src: the values, with as many axes; nowhere shorter than `index`, which is for the first.
        reduce: "sum", "mean", "prod", "amax" (or "max") or "amin" (or "min").
        include_self: whether the element of `x` takes part where values come to it; elsewhere it
            stays.

    Raises:
        ShapeError: when the shapes do not fit.
        IndexError: when a place is out of bounds.
        ValueError: for another reduction.

    >>> scatter_reduce(np.zeros(2), 0, [0, 1, 0], np.array([1.0, 2.0, 4.0]), "amax").tolist()
    [4.0, 2.0]
    """
    name = "scatter_reduce"
    check_option("reduce", reduce, REDUCTIONS, name)
    x = as_operand(x, name)
    values = as_operand(src, name, "src", x)
    if values.dtype != x.dtype:
        raise DtypeError(
            f"{name}: x and src must have one dtype, got {describe(x)} and {describe(values)}; "
            "convert one of them with astype."
        )
    axis = normalize_axis(axis, x.ndim, f"{name}: axis")
    codes = read_constant(index, f"{name}: index")
    fits = codes.ndim == x.ndim == values.ndim and all(
        n <= v and (k == axis or n <= m)
        for k, (n, m, v) in enumerate(zip(codes.shape, x.shape, values.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"{name}: index must have as many axes as x and src, and be nowhere longer than src, "
            f"nor than x except along axis {axis}; got x: {describe(x)}, index: {describe(codes)}, "
            f"src: {describe(values)}"
        )
    try:
        codes = check_places(codes, x.shape[axis], axis)
    except (TypeError, IndexError) as error:
        raise type(error)(f"{name}: {error} (x: {describe(x)}, index: {describe(codes)})") from None
    grid = np.indices(codes.shape, sparse=True)
    places = np.ravel_multi_index(
        tuple(codes if k == axis else np.broadcast_to(grid[k], codes.shape) for k in range(x.ndim)),
        x.shape,
    ).reshape(-1)  # (count,) in the flattened x
    values = values[tuple(slice(0, n) for n in codes.shape)].reshape(-1)
    flat = x.reshape(-1)
    if not places.size:
        return positive(x)
    hits = np.bincount(places, minlength=x.size)
    if reduce in ("sum", "mean"):
        base = flat if include_self else where(hits > 0, 0, flat)
        if reduce == "sum":
            y = scatter_add(base, places, values)
        else:
            total = scatter_add(widen(base), places, widen(values))
            y = _divided(total, np.maximum(hits + include_self, 1), x.dtype)
    else:
        y = _combined(flat, places, values, hits, reduce, include_self)
    return y.reshape(x.shape)


def _divided(total: Tensor, count: Any, dtype: Any) -> Tensor:
    """Sums divided by counts; of integers, rounded down."""
    if total.dtype.kind not in "fc":
        return astype(floor_divide(total, count), dtype)
    return astype(total / count.astype(total.real.dtype), dtype)


def _combined(
    flat: Tensor, places: Any, values: Tensor, hits: Any, reduce: str, include_self: bool
) -> Tensor:
    """The values of each place in a row, filled up with what changes nothing, and reduced."""
    hit = np.flatnonzero(hits)
    rows = np.searchsorted(hit, places)
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(hits[hit])[:-1]])
    columns = np.empty(len(rows), np.intp)
    columns[order] = np.arange(len(rows)) - starts[rows[order]]
    present = np.arange(hits.max()) < hits[hit][:, None]  # (rows, columns)
    table = setitem(np.ones(present.shape, flat.dtype), values, (rows, columns))
    if include_self:
        table = concatenate([take(flat, hit)[:, None], table], axis=1)
        present = np.concatenate([np.ones((len(hit), 1), bool), present], axis=1)
    if reduce == "prod":
        y = prod_over(table, axis=1)
    else:
        over = max_over if reduce.endswith("max") else min_over
        worst = _worst(flat.dtype, largest=over is max_over)
        y = over(where(present, table, worst), axis=1)
    return setitem(flat, y, hit)


def _worst(dtype: Any, largest: bool) -> Any:
    """The number that no other one of a dtype loses to."""
    if dtype.kind == "f":
        return dtype.type(-np.inf if largest else np.inf)
    if dtype.kind == "b":
        return np.bool_(not largest)
    limits = np.iinfo(dtype)
    return dtype.type(limits.min if largest else limits.max)
