"""From products of arrays to values of a graph."""

import math

import numpy as np

from minigrad.compiled.graph import View, size_of
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.conversions.registry import FLOATS, Recorded, conversion

__all__: list[str] = []


@conversion("matmul")
def _matmul(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if not isinstance(a, View) or not isinstance(b, View) or call.result.dtype not in FLOATS:
        return None
    if not size_of(call.result.shape) or not a.shape[-1]:
        return None
    a, b = (builder.convert(v, call.result.dtype) for v in (a, b))
    if len(a.shape) == 1:
        a = builder.reshape(a, (1, *a.shape))
    if len(b.shape) == 1:
        b = builder.reshape(b, (*b.shape, 1))
    return builder.reshape(builder.matmul(a, b), call.result.shape)


@conversion("outer")
def _outer(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if not isinstance(a, View) or not isinstance(b, View):
        return None
    a, b = builder.reshape(a, (size_of(a.shape), 1)), builder.reshape(b, (1, size_of(b.shape)))
    return builder.elementwise("multiply", a, b, dtype=call.result.dtype)


@conversion("vecdot")
def _vecdot(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if not isinstance(a, View) or not isinstance(b, View) or call.result.dtype not in FLOATS:
        return None
    axis = call.params["axis"]
    if axis >= 0 and len(a.shape) != len(b.shape):
        return None
    products = builder.elementwise("multiply", a, b, dtype=call.result.dtype)
    if not size_of(products.shape):
        return None
    return builder.reduce("sum", products, (axis % len(products.shape),), keepdims=False)


@conversion("tensordot", "inner")
def _tensordot(builder: Builder, call: Recorded) -> View | None:
    a, b = call.operands
    if not isinstance(a, View) or not isinstance(b, View) or call.result.dtype not in FLOATS:
        return None
    if not a.shape or not b.shape or not size_of(a.shape) or not size_of(b.shape):
        return None
    axes = ((-1,), (-1,)) if call.name == "inner" else call.params["axes"]
    if isinstance(axes, int):
        axes = range(len(a.shape) - axes, len(a.shape)), range(axes)
    first, second = (tuple(np.atleast_1d(part).tolist()) for part in axes)
    rows = _as_matrix(builder, a, first, last=True)
    columns = _as_matrix(builder, b, second, last=False)
    rows, columns = (builder.convert(v, call.result.dtype) for v in (rows, columns))
    return builder.reshape(builder.matmul(rows, columns), call.result.shape)


def _as_matrix(builder: Builder, x: View, summed: tuple[int, ...], last: bool) -> View:
    """The axes that are summed over as the last axis, or the first, and the others as one."""
    count = len(x.shape)
    summed = tuple(axis % count for axis in summed)
    rest = tuple(axis for axis in range(count) if axis not in summed)
    turned = x.seen_through(lambda d: d.transpose(rest + summed if last else summed + rest))
    sizes = [math.prod(x.shape[axis] for axis in axes) for axes in (rest, summed)]
    return builder.reshape(turned, tuple(sizes if last else sizes[::-1]))
