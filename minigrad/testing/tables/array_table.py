"""The operations over axes and on the places of arrays that random programs are made of."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad import ops
from minigrad.testing import hyperdual
from minigrad.testing.hyperdual import linear
from minigrad.testing.tables import parameters as draws
from minigrad.testing.tables.specifications import (
    ANY,
    POSITIVE,
    SMALL,
    SOME,
    TWO,
    Shape,
    distinct,
    ndim,
    same_shapes,
    specify,
)

__all__ = ["ARRAYS"]


def _nonzero(x: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> bool:
    """For roots of sums of squares: none of the sums is nearly zero."""
    return bool((hyperdual.two_norm(x, axis).value > 0.1).all())


def _spread_out(x: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> bool:
    count = hyperdual.rows(x, axis)[0].shape[-1]
    return count > 1 and bool((hyperdual.variance(x, axis).value > 0.05).all())


def _same_but(axis: int, *shapes: Shape) -> bool:
    return len({(len(s), *s[:axis], *s[axis + 1 :]) for s in shapes}) == 1 and len(shapes[0]) > axis


def _stacked(function: Any) -> Any:
    return lambda x, z, **params: function([x, z], **params)


def _setitem(x: Any, value: Any, index: Any) -> Any:
    copy = x * 1.0
    copy[index] = value
    return copy


REDUCTIONS = [
    specify("sum", hyperdual.total, ANY, draws.reducing),
    specify("mean", hyperdual.average, ANY, draws.reducing),
    specify("prod", hyperdual.prod, ANY, draws.reducing, domains=(SMALL,)),
    specify("max", hyperdual.largest, ANY, draws.reducing, distinct),
    specify("min", hyperdual.smallest, ANY, draws.reducing, distinct),
    specify("logsumexp", hyperdual.logsumexp, ANY, draws.reducing),
    specify("var", hyperdual.variance, ANY, draws.reducing),
    specify("std", hyperdual.deviation, ANY, draws.reducing, _spread_out),
    specify("norm", hyperdual.two_norm, ndim(1, 2), draws.axis, _nonzero),
    specify(
        "norm_of_order",
        hyperdual.p_norm,
        SOME,
        lambda draw, shapes: {
            "ord": draw(st.sampled_from([3.0, 1.0, 1.5])),
            **draws.axis(draw, shapes),
            "keepdims": draw(st.booleans()),
        },
        function=lambda x, **params: ops.norm(x, **params),
        domains=(POSITIVE,),
    ),
    specify(
        "quantile",
        hyperdual.quantile,
        ANY,
        lambda draw, shapes: {
            "q": draw(st.sampled_from([0.5, 0.3])),
            **draws.reducing(draw, shapes),
        },
        distinct,
    ),
    specify("softmax", hyperdual.softmax, SOME, draws.axes),
    specify("log_softmax", hyperdual.log_softmax, SOME, draws.axes),
    specify("cumsum", linear(np.cumsum), SOME, draws.axis),
    specify("cumprod", hyperdual.cumulative_product, SOME, draws.axis, domains=(SMALL,)),
    specify("diff", linear(np.diff), SOME, draws.axis),
    specify("trace", linear(np.trace), ndim(2, 3)),
]

SHAPES = [
    specify("reshape", linear(np.reshape), ANY, draws.reshape),
    specify("transpose", linear(np.transpose), ANY, draws.transpose),
    specify("swapaxes", linear(np.swapaxes), SOME, draws.two_axes("axis1", "axis2")),
    specify("moveaxis", linear(np.moveaxis), SOME, draws.two_axes("source", "destination")),
    specify("squeeze", linear(np.squeeze), ANY),
    specify("expand_dims", linear(np.expand_dims), ndim(0, 1, 2), draws.fixed(axis=(0, -1))),
    specify("flip", linear(np.flip), ANY, draws.axes),
    specify("rot90", linear(np.rot90), ndim(2, 3), draws.fixed(k=(1, 2, -1))),
    specify("broadcast_to", linear(np.broadcast_to), ANY, draws.wider),
    specify("tile", linear(np.tile), ANY, draws.fixed(reps=(2, (2, 1), (1, 2)))),
    specify("repeat", linear(np.repeat), SOME, draws.repeats),
    specify("roll", linear(np.roll), SOME, draws.shifts),
    specify("pad", linear(np.pad), SOME, draws.widths),
    specify("tril", linear(np.tril), ndim(2, 3), draws.triangle),
    specify("triu", linear(np.triu), ndim(2, 3), draws.triangle),
    specify("diagonal", linear(np.diagonal), ndim(2, 3), draws.diagonal),
    specify("diag", linear(np.diag), ndim(1, 2), draws.fixed(k=(0, 1, -1))),
]

PLACES = [
    specify(
        "getitem",
        lambda x, index: x[index],
        SOME,
        draws.index,
        function=lambda x, index: x[index],
    ),
    specify(
        "setitem",
        hyperdual.updated,
        lambda x, z=None: len(x) > 0 and z in (None, x[1:]),
        draws.fixed(index=(0, -1)),
        domains=TWO,
        function=_setitem,
    ),
    specify("take", linear(np.take), SOME, draws.places),
    specify("take_along_axis", linear(np.take_along_axis), SOME, draws.places_along),
    specify(
        "scatter_add",
        lambda x, z, index: x + hyperdual.added_at(z, x.shape, index),
        lambda x, z=None: len(x) > 0 and z in (None, x),
        lambda draw, shapes: {
            "index": [draw(st.integers(0, shapes[0][0] - 1)) for _ in range(shapes[0][0])]
        },
        domains=TWO,
        function=lambda x, z, index: ops.scatter_add(x, index, z),
    ),
    specify("sort", hyperdual.sort, SOME, draws.axis, distinct),
    specify("embedding", lambda x, index: x[index], ndim(2), draws.table_rows),
    specify(
        "concatenate",
        _stacked(linear(np.concatenate)),
        lambda *shapes: _same_but(0, *shapes),
        function=_stacked(ops.concatenate),
        domains=TWO,
    ),
    specify(
        "stack",
        _stacked(linear(np.stack)),
        same_shapes,
        draws.fixed(axis=(0, -1)),
        function=_stacked(ops.stack),
        domains=TWO,
    ),
    specify(
        "topk",
        lambda x, k: hyperdual.sort(x, descending=True)[..., :k],
        SOME,
        lambda draw, shapes: {"k": draw(st.integers(1, shapes[0][-1]))},
        distinct,
        function=lambda x, k: ops.topk(x, k)[0],
    ),
]

ARRAYS = [*REDUCTIONS, *SHAPES, *PLACES]
