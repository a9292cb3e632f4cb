"""Running results: `accumulate` and `reduce` of ufuncs."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import Input, property_test
from minigrad.testing.strategies import shapes

INF, NAN = math.inf, math.nan
SOME = shapes(min_dims=1, min_side=1)
LAST = {"axis": -1}

test_maximum = property_test(
    np.maximum.accumulate,
    Input(shape=SOME, distinct=True),
    params=LAST,
    reference=np.maximum.accumulate,
    analytic=False,
)
test_minimum = property_test(
    np.minimum.accumulate,
    Input(shape=SOME, distinct=True),
    params=LAST,
    reference=np.minimum.accumulate,
    analytic=False,
)
test_logaddexp = property_test(
    np.logaddexp.accumulate, Input(shape=SOME), params=LAST, reference=np.logaddexp.accumulate
)
test_logaddexp2 = property_test(
    np.logaddexp2.accumulate,
    Input(shape=SOME),
    params=LAST,
    reference=np.logaddexp2.accumulate,
    analytic=False,
)
test_logaddexp2_reduce = property_test(
    np.logaddexp2.reduce, Input(shape=SOME), reference=np.logaddexp2.reduce
)


def gradient_at(f, values):
    leaf = Tensor(np.array(values, np.float64), requires_grad=True)
    return mg.gradients(f(leaf).sum(), leaf).tolist()


AT_SINGULAR_POINTS = {
    "ties share evenly": (
        lambda x: np.maximum.accumulate(x)[3],
        [2, 2, 1, 2],
        [1 / 3, 1 / 3, 0, 1 / 3],
    ),
    "ties of the smallest": (lambda x: np.minimum.accumulate(x)[2], [1, 2, 1], [0.5, 0, 0.5]),
    "NaN takes all that follows": (np.maximum.accumulate, [1, NAN, 3], [1, 2, 0]),
    "logaddexp with inf": (lambda x: np.logaddexp.accumulate(x)[-1], [INF, 1], [1, 0]),
    "logaddexp of two inf": (lambda x: np.logaddexp.accumulate(x)[-1], [INF, INF], [0.5, 0.5]),
    "logaddexp of -inf": (lambda x: np.logaddexp.accumulate(x)[-1], [-INF, -INF], [0, 0]),
    "logaddexp.reduce with inf": (np.logaddexp.reduce, [INF, 1], [1, 0]),
    "logaddexp2.reduce with inf": (np.logaddexp2.reduce, [INF, 1], [1, 0]),
    "logsumexp with inf": (mg.logsumexp, [INF, 1], [1, 0]),
    "logsumexp of two inf": (mg.logsumexp, [INF, 1, INF], [0.5, 0, 0.5]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_allclose(gradient_at(f, values), expected)


def test_infinite_scores_share_the_probability():
    x = Tensor(np.array([[INF, 1.0, INF], [INF, -INF, 0.0]]), requires_grad=True)
    p = mg.softmax(x)
    assert p.tolist() == [[0.5, 0, 0.5], [1, 0, 0]]
    assert np.exp(mg.log_softmax(x)).tolist() == [[0.5, 0, 0.5], [1, 0, 0]]
    np.testing.assert_array_equal(mg.gradients(p[0, 0] + p[1, 0], x)[0].numpy(), [0.25, 0, -0.25])
    assert mg.cross_entropy(x[1], np.array(0)).item() == 0


def test_a_running_extreme_ends_with_the_extreme():
    x = Tensor(np.random.default_rng(0).integers(0, 4, (5, 9)).astype(float), requires_grad=True)
    last = mg.gradients(np.maximum.accumulate(x, axis=1)[:, -1].sum(), x)
    np.testing.assert_allclose(last.numpy(), mg.gradients(x.max(axis=1).sum(), x).numpy())


def test_reduce_takes_where_and_initial():
    x, mask = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[True, False], [True, True]])
    for ufunc in (np.add, np.multiply, np.maximum, np.logaddexp, np.logaddexp2, np.fmax):
        ours = ufunc.reduce(Tensor(x), axis=1, where=mask, initial=2.5)
        np.testing.assert_allclose(ours.numpy(), ufunc.reduce(x, axis=1, where=mask, initial=2.5))
