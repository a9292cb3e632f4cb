"""The operations on whole arrays that random programs are made of: axes, places, matrices."""

import math
from typing import Any

import minigrad
import numpy as np
from hypothesis import strategies as st

from minigrad.testing import naive
from minigrad.testing.naive import Jet, bilinear, linear
from minigrad.testing.specifications import (
    Draw,
    Shape,
    Specification,
    distinct,
    same_shapes,
)

__all__ = ["ARRAYS"]

SMALL, POSITIVE = (-2.0, 2.0), (0.3, 3.0)
WELL_CONDITIONED = 20.0


def _ndim(*counts: int) -> Any:
    return lambda x, *others: len(x) in counts


# -- parameters ----------------------------------------------------------------------------------


def _axis(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count = len(shapes[0])
    return {"axis": draw(st.integers(-count, count - 1))}


def _axes(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """None, an axis, or several."""
    count = len(shapes[0])
    several = st.lists(st.integers(0, count - 1), min_size=1, unique=True).map(tuple)
    choice = st.none() if not count else st.none() | st.integers(-count, count - 1) | several
    return {"axis": draw(choice)}


def _reducing(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {**_axes(draw, shapes), "keepdims": draw(st.booleans())}


def _triangle(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"k": draw(st.integers(-1, 1))}


def _diagonal(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    rows, columns = shapes[0][:2]
    return {"offset": draw(st.integers(-rows + 1, columns - 1))}


def _reshape(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    size = math.prod(shapes[0])
    rows = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    return {
        "shape": draw(st.sampled_from([(rows, -1), (-1,), (rows, 1, size // rows)])),
        "order": draw(st.sampled_from("CF")),
    }


def _transpose(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"axes": tuple(draw(st.permutations(range(len(shapes[0])))))}


def _two_axes(first: str, second: str) -> Any:
    def params(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
        places = st.integers(-len(shapes[0]), len(shapes[0]) - 1)
        return {first: draw(places), second: draw(places)}

    return params


def _wider(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    (shape,) = shapes
    grown = tuple(draw(st.integers(1, 3)) if n == 1 else n for n in shape)
    return {"shape": (*draw(st.sampled_from([(), (2,)])), *grown)}


def _index(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """An index of each kind that NumPy has."""
    length = shapes[0][0]
    place = st.integers(-length, length - 1)
    several = st.lists(place, min_size=1, max_size=4)
    kinds = [
        place,
        place.map(lambda i: (Ellipsis, slice(i % length, None))[::-1]),
        st.just((None, slice(None, None, -1))),
        several,
        st.lists(st.booleans(), min_size=length, max_size=length).map(np.array),
    ]
    if len(shapes[0]) > 1:
        kinds += [
            several.map(lambda rows: (rows, -1)),
            several.map(lambda rows: (np.array(rows)[:, None], slice(0, 1))),
        ]
    return {"index": draw(st.one_of(kinds))}


def _places(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count = len(shapes[0])
    axis = draw(st.integers(0, count - 1))
    place = st.integers(-shapes[0][axis], shapes[0][axis] - 1)
    return {"indices": draw(st.lists(place, min_size=1, max_size=4)), "axis": axis}


def _places_along(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    """One to three places along an axis, the same for each line or not."""
    shape = list(shapes[0])
    axis = draw(st.integers(0, len(shape) - 1))
    length, shape[axis] = shape[axis], draw(st.integers(1, 3))
    code = draw(st.integers(0, 1000))
    numbers = np.arange(math.prod(shape)) * 7 + code
    return {"indices": numbers.reshape(shape) % length, "axis": axis}


def _repeats(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    axis = draw(st.integers(0, len(shapes[0]) - 1))
    length = shapes[0][axis]
    counts = st.lists(st.integers(0, 2), min_size=length, max_size=length)
    return {"repeats": draw(st.integers(1, 2) | counts), "axis": axis}


def _shifts(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"shift": draw(st.integers(-3, 3)), **_axis(draw, shapes)}


def _widths(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    pair = st.tuples(st.integers(0, 2), st.integers(0, 1))
    modes = st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"])
    return {"pad_width": [draw(pair) for _ in shapes[0]], "mode": draw(modes)}


def _contracted(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"axes": draw(st.sampled_from([0, 1, (-1, 0), ([0], [-1])]))}


def _table_rows(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    place = st.integers(0, shapes[0][0] - 1)
    return {"index": np.array(draw(st.lists(place, min_size=1, max_size=4)))}


def _targets(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    count, classes = shapes[0]
    places = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    smoothing = draw(st.sampled_from([0.0, 0.1]))
    return {"target": np.array(draw(places)), "label_smoothing": smoothing}


def _windows(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
    return {"stride": draw(st.integers(1, 2)), "padding": draw(st.integers(0, 1))}


def _fixed(**choices: Any) -> Any:
    def params(draw: Draw, shapes: list[Shape]) -> dict[str, Any]:
        return {name: draw(st.sampled_from(values)) for name, values in choices.items()}

    return params


# -- what fits together --------------------------------------------------------------------------


def _shapes_of(function: Any, first: int = 1, second: int = 0) -> Any:
    """Whether a function takes two arrays of given shapes, with so many axes at least."""

    def fits(x: Shape, z: Shape | None = None) -> bool:
        if z is None or len(x) < first or len(z) < second:
            return z is None and len(x) >= first
        try:
            function(np.zeros(x), np.zeros(z))
        except (ValueError, IndexError):
            return False
        return True

    return fits


def _square(x: Shape, *others: Shape) -> bool:
    return len(x) >= 2 and x[-1] == x[-2] <= 3


def _solvable(a: Shape, b: Shape | None = None) -> bool:
    return _square(a) and (b is None or (len(b) == 2 and b[0] == a[-1]))


def _attention(query: Shape, key: Shape | None = None, value: Shape | None = None) -> bool:
    if key is None or value is None:
        # No fewer keys than queries, so that each query may attend to one.
        return len(query) == 2 and (
            key is None or (len(key) == 2 and key[1] == query[1] and key[0] >= query[0])
        )
    return len(value) == 2 and value[0] == key[0]


def _filters(x: Shape, weight: Shape | None = None) -> bool:
    if weight is None:
        return len(x) == 3
    return len(x) == len(weight) == 3 and weight[1] == x[1] and weight[2] <= x[2]


def _affine(x: Shape, weight: Shape | None = None, bias: Shape | None = None) -> bool:
    return len(x) > 0 and x[-1] > 1 and all(s is None or s == x[-1:] for s in (weight, bias))


def _invertible(a: Any, *others: Any, **params: Any) -> bool:
    return bool((np.linalg.cond(a) < WELL_CONDITIONED).all())


def _nonzero(x: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> bool:
    """For roots of sums of squares: none of the sums is nearly zero."""
    return bool((naive.two_norm(x, axis).value > 0.1).all())


def _spread_out(x: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> bool:
    count = naive.rows(x, axis)[0].shape[-1]
    return count > 1 and bool((naive.variance(x, axis).value > 0.05).all())


def _same_but(axis: int, *shapes: Shape) -> bool:
    return len({(len(s), *s[:axis], *s[axis + 1 :]) for s in shapes}) == 1 and len(shapes[0]) > axis


def _stacked(function: Any) -> Any:
    return lambda x, z, **params: function([x, z], **params)


def _einsum(x: Any, z: Any, subscripts: str) -> Any:
    return minigrad.einsum(subscripts, x, z)


def _naive_einsum(subscripts: str) -> Any:
    return bilinear(lambda p, q: np.einsum(subscripts, p, q))


def _setitem(x: Any, value: Any, index: Any) -> Any:
    copy = x * 1.0
    copy[index] = value
    return copy


def _positive_definite(a: Any) -> Any:
    return a @ a.swapaxes(-1, -2) + np.eye(a.shape[-1])


def _naive_positive_definite(a: Jet) -> Jet:
    return a @ linear(np.swapaxes)(a, -1, -2) + np.eye(a.shape[-1])


def _specify(
    name: str, naive_function: Any, fits: Any, params: Any = None, smooth: Any = None, **more: Any
) -> Specification:
    function = more.pop("function", None) or getattr(minigrad, name)
    return Specification(
        name, function, naive_function, fits=fits, params=params, smooth=smooth, **more
    )


_ANY, _SOME = _ndim(0, 1, 2, 3, 4), _ndim(1, 2, 3, 4)
TWO, THREE = (SMALL, SMALL), (SMALL, SMALL, SMALL)

REDUCTIONS = [
    _specify("sum", naive.total, _ANY, _reducing),
    _specify("mean", naive.average, _ANY, _reducing),
    _specify("prod", naive.prod, _ANY, _reducing, domains=(SMALL,)),
    _specify("max", naive.largest, _ANY, _reducing, distinct),
    _specify("min", naive.smallest, _ANY, _reducing, distinct),
    _specify("logsumexp", naive.logsumexp, _ANY, _reducing),
    _specify("var", naive.variance, _ANY, _reducing),
    _specify("std", naive.deviation, _ANY, _reducing, _spread_out),
    _specify("norm", naive.two_norm, _ndim(1, 2), _axis, _nonzero),
    _specify(
        "norm_of_order",
        naive.p_norm,
        _SOME,
        lambda draw, shapes: {
            "ord": draw(st.sampled_from([3.0, 1.0, 1.5])),
            **_axis(draw, shapes),
            "keepdims": draw(st.booleans()),
        },
        function=lambda x, **params: minigrad.norm(x, **params),
        domains=(POSITIVE,),
    ),
    _specify(
        "quantile",
        naive.quantile,
        _ANY,
        lambda draw, shapes: {"q": draw(st.sampled_from([0.5, 0.3])), **_reducing(draw, shapes)},
        distinct,
    ),
    _specify("softmax", naive.softmax, _SOME, _axes),
    _specify("log_softmax", naive.log_softmax, _SOME, _axes),
    _specify("cumsum", linear(np.cumsum), _SOME, _axis),
    _specify("cumprod", naive.cumulative_product, _SOME, _axis, domains=(SMALL,)),
    _specify("diff", linear(np.diff), _SOME, _axis),
    _specify("trace", linear(np.trace), _ndim(2, 3)),
]

SHAPES = [
    _specify("reshape", linear(np.reshape), _ANY, _reshape),
    _specify("transpose", linear(np.transpose), _ANY, _transpose),
    _specify("swapaxes", linear(np.swapaxes), _SOME, _two_axes("axis1", "axis2")),
    _specify("moveaxis", linear(np.moveaxis), _SOME, _two_axes("source", "destination")),
    _specify("squeeze", linear(np.squeeze), _ANY),
    _specify("expand_dims", linear(np.expand_dims), _ndim(0, 1, 2), _fixed(axis=(0, -1))),
    _specify("flip", linear(np.flip), _ANY, _axes),
    _specify("rot90", linear(np.rot90), _ndim(2, 3), _fixed(k=(1, 2, -1))),
    _specify("broadcast_to", linear(np.broadcast_to), _ANY, _wider),
    _specify("tile", linear(np.tile), _ANY, _fixed(reps=(2, (2, 1), (1, 2)))),
    _specify("repeat", linear(np.repeat), _SOME, _repeats),
    _specify("roll", linear(np.roll), _SOME, _shifts),
    _specify("pad", linear(np.pad), _SOME, _widths),
    _specify("tril", linear(np.tril), _ndim(2, 3), _triangle),
    _specify("triu", linear(np.triu), _ndim(2, 3), _triangle),
    _specify("diagonal", linear(np.diagonal), _ndim(2, 3), _diagonal),
    _specify("diag", linear(np.diag), _ndim(1, 2), _fixed(k=(0, 1, -1))),
]

PLACES = [
    _specify(
        "getitem",
        lambda x, index: x[index],
        _SOME,
        _index,
        function=lambda x, index: x[index],
    ),
    _specify(
        "setitem",
        naive.updated,
        lambda x, z=None: len(x) > 0 and z in (None, x[1:]),
        _fixed(index=(0, -1)),
        domains=TWO,
        function=_setitem,
    ),
    _specify("take", linear(np.take), _SOME, _places),
    _specify("take_along_axis", linear(np.take_along_axis), _SOME, _places_along),
    _specify(
        "scatter_add",
        lambda x, z, index: x + naive.added_at(z, x.shape, index),
        lambda x, z=None: len(x) > 0 and z in (None, x),
        lambda draw, shapes: {
            "index": [draw(st.integers(0, shapes[0][0] - 1)) for _ in range(shapes[0][0])]
        },
        domains=TWO,
        function=lambda x, z, index: minigrad.scatter_add(x, index, z),
    ),
    _specify("sort", naive.sort, _SOME, _axis, distinct),
    _specify("embedding", lambda x, index: x[index], _ndim(2), _table_rows),
    _specify(
        "concatenate",
        _stacked(linear(np.concatenate)),
        lambda *shapes: _same_but(0, *shapes),
        function=_stacked(minigrad.concatenate),
        domains=TWO,
    ),
    _specify(
        "stack",
        _stacked(linear(np.stack)),
        same_shapes,
        _fixed(axis=(0, -1)),
        function=_stacked(minigrad.stack),
        domains=TWO,
    ),
    _specify(
        "topk",
        lambda x, k: naive.sort(x, descending=True)[..., :k],
        _SOME,
        lambda draw, shapes: {"k": draw(st.integers(1, shapes[0][-1]))},
        distinct,
        function=lambda x, k: minigrad.topk(x, k)[0],
    ),
]

MATRICES = [
    *(
        _specify(name, bilinear(function), _shapes_of(function), domains=TWO)
        for name, function in (
            ("matmul", np.matmul),
            ("dot", np.dot),
            ("inner", np.inner),
            ("outer", np.outer),
            ("kron", np.kron),
            ("vdot", np.vdot),
        )
    ),
    # Products by their definition: NumPy has them only since 2.1.
    *(
        _specify(name, bilinear(function), _shapes_of(function, *ndims), domains=TWO)
        for name, function, *ndims in (
            ("vecdot", lambda p, q: np.matmul(p[..., None, :], q[..., None])[..., 0, 0], 1, 1),
            ("matvec", lambda p, q: np.matmul(p, q[..., None])[..., 0], 2, 1),
            ("vecmat", lambda p, q: np.matmul(p[..., None, :], q)[..., 0, :], 1, 2),
        )
    ),
    _specify(
        "tensordot",
        bilinear(np.tensordot),
        lambda x, z=None: len(x) > 0 and (z is None or z[-1:] + z[:1] == (x[0], x[-1])),
        _contracted,
        domains=TWO,
    ),
    _specify(
        "cross",
        bilinear(np.cross),
        lambda x, z=None: len(x) > 0 and x[-1] == 3 and z in (None, x),
        domains=TWO,
    ),
    _specify(
        "einsum_product",
        _naive_einsum("ij,kj->ik"),
        lambda x, z=None: len(x) == 2 and (z is None or (len(z) == 2 and z[1] == x[1])),
        function=lambda x, z: _einsum(x, z, "ij,kj->ik"),
        domains=TWO,
    ),
    _specify(
        "einsum_broadcast",
        _naive_einsum("...i,i->...i"),
        lambda x, z=None: len(x) > 0 and z in (None, x[-1:]),
        function=lambda x, z: _einsum(x, z, "...i,i->...i"),
        domains=TWO,
    ),
    _specify(
        "einsum_diagonal",
        linear(lambda p: np.einsum("ii->i", p)),
        lambda x: len(x) == 2 and x[0] == x[1],
        function=lambda x: minigrad.einsum("ii->i", x),
    ),
    _specify("inv", naive.inverse, _square, None, _invertible, domains=(SMALL,)),
    _specify("det", naive.determinant, _square, domains=(SMALL,)),
    _specify(
        "logabsdet",
        lambda a: naive.log(naive.absolute(naive.determinant(a))),
        _square,
        None,
        _invertible,
        domains=(SMALL,),
        function=lambda a: minigrad.slogdet(a)[1],
    ),
    _specify(
        "solve",
        lambda a, b: naive.inverse(a) @ b,
        _solvable,
        None,
        _invertible,
        domains=TWO,
    ),
    _specify(
        "pinv",
        naive.inverse,
        _square,
        None,
        _invertible,
        domains=(SMALL,),
    ),
    _specify(
        "cholesky",
        lambda a: naive.cholesky(_naive_positive_definite(a)),
        _square,
        domains=(SMALL,),
        function=lambda a: minigrad.cholesky(_positive_definite(a)),
    ),
]

NETWORKS = [
    _specify(
        "layer_norm",
        lambda x, weight, bias: naive.layer_norm(x, weight, bias, 0.1),
        _affine,
        function=lambda x, weight, bias: minigrad.layer_norm(x, weight, bias, eps=0.1),
        domains=THREE,
    ),
    _specify(
        "rms_norm",
        lambda x: naive.rms_norm(x, 0.1),
        _SOME,
        function=lambda x: minigrad.rms_norm(x, eps=0.1),
    ),
    _specify(
        "attention",
        naive.attention,
        _attention,
        _fixed(causal=(False, True)),
        function=lambda q, k, v, causal: minigrad.scaled_dot_product_attention(
            q, k, v, causal=causal
        ),
        domains=THREE,
    ),
    _specify(
        "cross_entropy",
        lambda x, target, label_smoothing: naive.cross_entropy(x, target, label_smoothing),
        _ndim(2),
        _targets,
    ),
    _specify(
        "nll_loss",
        lambda x, target, **params: -naive.average(x[np.arange(len(target)), target]),
        _ndim(2),
        _targets,
        function=lambda x, target, **params: minigrad.nll_loss(x, target),
    ),
    _specify(
        "conv1d",
        naive.convolution,
        _filters,
        _windows,
        domains=TWO,
    ),
    _specify(
        "max_pool1d",
        lambda x: naive.max_pool(x, 2, 1),
        lambda x: len(x) == 3 and x[-1] > 1,
        None,
        distinct,
        function=lambda x: minigrad.max_pool1d(x, 2, stride=1),
    ),
]

ARRAYS = [*REDUCTIONS, *SHAPES, *PLACES, *MATRICES, *NETWORKS]
