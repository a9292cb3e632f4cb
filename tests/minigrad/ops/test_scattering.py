"""scatter_reduce against a plain loop, and its derivatives."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import check_gradients

REDUCTIONS = ["sum", "mean", "prod", "amax", "amin"]
FUNCTIONS = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min}


def loop(x, axis, index, src, reduce, include_self):
    arriving = {}
    for place in np.ndindex(index.shape):
        target = list(place)
        target[axis] = index[place]
        arriving.setdefault(tuple(target), []).append(src[place])
    y = x.copy()
    for target, values in arriving.items():
        y[target] = FUNCTIONS[reduce]([x[target]] * include_self + values)
    return y


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_values_and_derivatives(reduce, include_self):
    rng = np.random.default_rng(0)
    for shape, index_shape, axis in (
        ((4,), (7,), 0),
        ((3, 4), (5, 2), 0),
        ((3, 4), (2, 6), -1),
        ((2, 3, 2), (2, 4, 1), 1),
        ((3,), (0,), 0),
    ):
        x, src = rng.normal(size=shape), rng.normal(size=index_shape)
        index = rng.integers(0, shape[axis], index_shape)

        def f(x, src, axis=axis, index=index):
            return mg.scatter_reduce(x, axis, index, src, reduce, include_self=include_self)

        expected = loop(x, axis, index, src, reduce, include_self)
        np.testing.assert_allclose(f(Tensor(x), Tensor(src)).numpy(), expected)
        if src.size:
            check_gradients(f, x, src, analytic=False)


def test_ties_share_evenly_and_products_of_zeros_are_exact():
    x = Tensor(np.array([2.0, 1.0]), requires_grad=True)
    src = Tensor(np.array([2.0, 2.0, 0.0]), requires_grad=True)
    y = mg.scatter_reduce(x, 0, [0, 0, 1], src, "max")
    gx, gs = mg.gradients(y.sum(), (x, src))
    np.testing.assert_allclose(gx.numpy(), [1 / 3, 1])
    np.testing.assert_allclose(gs.numpy(), [1 / 3, 1 / 3, 0])
    zeros = np.array([0.0, 0.0, 5.0])
    check_gradients(
        lambda s: mg.scatter_reduce(np.array([3.0, 1.0]), 0, [0, 0, 0], s, "prod"), zeros
    )


def test_integers_and_what_is_not_hit():
    x = np.array([7, 8, 9])
    for reduce, expected in (("amax", [7, 5, 9]), ("amin", [7, 2, 9]), ("mean", [7, 3, 9])):
        y = mg.scatter_reduce(x, 0, [1, 1], np.array([5, 2]), reduce, include_self=False)
        assert y.dtype == x.dtype
        assert y.tolist() == expected


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: mg.scatter_reduce(x, 0, [3], x, "sum"), IndexError, "index 3 is out of bounds"),
        (lambda x: mg.scatter_reduce(x, 1, [0], x, "sum"), mg.AxisError, "axis: 1 is out of"),
        (lambda x: mg.scatter_reduce(x, 0, [[0]], x, "sum"), mg.ShapeError, "as many axes as x"),
        (lambda x: mg.scatter_reduce(x, 0, [0] * 4, x, "sum"), mg.ShapeError, "longer than src"),
        (lambda x: mg.scatter_reduce(x, 0, [0], x.astype(int), "sum"), mg.DtypeError, "one dtype"),
        (lambda x: mg.scatter_reduce(x, 0, [0.5], x, "sum"), mg.DtypeError, "must be integers"),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, message):
    with pytest.raises(kind, match=f"scatter_reduce: .*{message}"):
        call(Tensor(np.arange(3.0)))
