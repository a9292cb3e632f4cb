"""The operations over axes and on the places of arrays that random programs are made of."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad import ops
from minigrad.testing import hyperdual
from minigrad.testing.hyperdual import linear
from minigrad.testing.tables import parameters
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
    specify("sum", hyperdual.total, ANY, parameters.reducing),
    specify("mean", hyperdual.average, ANY, parameters.reducing),
    specify("prod", hyperdual.prod, ANY, parameters.reducing, domains=(SMALL,)),
    specify("max", hyperdual.largest, ANY, parameters.reducing, distinct),
    specify("min", hyperdual.smallest, ANY, parameters.reducing, distinct),
    specify("logsumexp", hyperdual.logsumexp, ANY, parameters.reducing),
    specify("var", hyperdual.variance, ANY, parameters.reducing),
    specify("std", hyperdual.deviation, ANY, parameters.reducing, _spread_out),
    specify("norm", hyperdual.two_norm, ndim(1, 2), parameters.axis, _nonzero),
    specify(
        "norm_of_order",
        hyperdual.p_norm,
        SOME,
        lambda draw, shapes: {
            "ord": draw(st.sampled_from([3.0, 1.0, 1.5])),
            **parameters.axis(draw, shapes),
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
            **parameters.reducing(draw, shapes),
        },
        distinct,
    ),
    specify("softmax", hyperdual.softmax, SOME, parameters.axes),
    specify("log_softmax", hyperdual.log_softmax, SOME, parameters.axes),
    specify("cumsum", linear(np.cumsum), SOME, parameters.axis),
    specify("cumprod", hyperdual.cumulative_product, SOME, parameters.axis, domains=(SMALL,)),
    specify("diff", linear(np.diff), SOME, parameters.axis),
    specify("trace", linear(np.trace), ndim(2, 3)),
]

SHAPES = [
    specify("reshape", hyperdual.reshape, ANY, parameters.reshape),
    specify("transpose", linear(np.transpose), ANY, parameters.transpose),
    specify("swapaxes", linear(np.swapaxes), SOME, parameters.two_axes("axis1", "axis2")),
    specify("moveaxis", linear(np.moveaxis), SOME, parameters.two_axes("source", "destination")),
    specify("squeeze", linear(np.squeeze), ANY),
    specify("expand_dims", linear(np.expand_dims), ndim(0, 1, 2), parameters.fixed(axis=(0, -1))),
    specify("flip", linear(np.flip), ANY, parameters.axes),
    specify("rot90", linear(np.rot90), ndim(2, 3), parameters.fixed(k=(1, 2, -1))),
    specify("broadcast_to", linear(np.broadcast_to), ANY, parameters.wider),
    specify("tile", linear(np.tile), ANY, parameters.fixed(reps=(2, (2, 1), (1, 2)))),
    specify("repeat", linear(np.repeat), SOME, parameters.repeats),
    specify("roll", linear(np.roll), SOME, parameters.shifts),
    specify("pad", linear(np.pad), SOME, parameters.widths),
    specify("tril", linear(np.tril), ndim(2, 3), parameters.triangle),
    specify("triu", linear(np.triu), ndim(2, 3), parameters.triangle),
    specify("diagonal", linear(np.diagonal), ndim(2, 3), parameters.diagonal),
    specify("diag", linear(np.diag), ndim(1, 2), parameters.fixed(k=(0, 1, -1))),
]

PLACES = [
    specify(
        "getitem",
        lambda x, index: x[index],
        SOME,
        parameters.index,
        function=lambda x, index: x[index],
    ),
    specify(
        "setitem",
        hyperdual.updated,
        lambda x, z=None: len(x) > 0 and z in (None, x[1:]),
        parameters.fixed(index=(0, -1)),
        domains=TWO,
        function=_setitem,
    ),
    specify("take", linear(np.take), SOME, parameters.places),
    specify("take_along_axis", linear(np.take_along_axis), SOME, parameters.places_along),
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
    specify("sort", hyperdual.sort, SOME, parameters.axis, distinct),
    specify("embedding", lambda x, index: x[index], ndim(2), parameters.table_rows),
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
        parameters.fixed(axis=(0, -1)),
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
