import math

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import DetachError, DtypeError, ShapeError, Tensor
from minigrad.ops.reduction.quantiles import QUANTILE_METHODS
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import shapes


def axes(arrays):
    ndim = arrays[0].ndim
    some = [st.none()]
    if ndim:
        one = st.integers(-ndim, ndim - 1)
        several = st.lists(one, unique_by=lambda a: a % ndim, min_size=1, max_size=ndim).map(tuple)
        some += [one, several]
    return st.fixed_dictionaries({"axis": st.one_of(some), "keepdims": st.booleans()})


FULL = Input(shape=shapes(min_side=2))
DISTINCT = Input(shape=shapes(min_side=1), distinct=True)


def quantiles(arrays):
    methods = st.sampled_from(QUANTILE_METHODS)
    fractions = st.sampled_from([0.3, 1.0, [0.0, 0.21], [[0.5], [0.9]]])
    return st.tuples(axes(arrays), methods, fractions).map(
        lambda drawn: {**drawn[0], "method": drawn[1], "q": drawn[2]}
    )


# NumPy's variance of complex numbers is not analytic, so complex steps tell nothing.
test_var = property_test(np.var, FULL, params=axes, reference=np.var, analytic=False)
test_sample_var = property_test(
    lambda x: np.var(x, ddof=1, axis=-1),
    Input(shape=(2, 3)),
    reference=lambda x: np.var(x, ddof=1, axis=-1),
    analytic=False,
)
test_std = property_test(
    np.std,
    Input(shape=shapes(min_dims=1, min_side=2), distinct=True),
    params=lambda a: st.fixed_dictionaries({"keepdims": st.booleans()}),
    reference=np.std,
    analytic=False,
)
test_std_over_an_axis = property_test(
    lambda x: x.std(axis=0, correction=0.5),
    Input(shape=(4, 2), distinct=True),
    reference=lambda x: np.std(x, axis=0, ddof=0.5),
    analytic=False,
)
test_median = property_test(np.median, DISTINCT, params=axes, reference=np.median, analytic=False)
test_quantile = property_test(
    np.quantile,
    DISTINCT,
    params=quantiles,
    reference=np.quantile,
    dtypes=(np.float64,),
    analytic=False,
)
test_percentile = property_test(
    lambda x: np.percentile(x, [10, 75.0], axis=0),
    Input(shape=(5, 2), distinct=True),
    reference=lambda x: np.percentile(x, [10, 75.0], axis=0),
    dtypes=(np.float64,),
    analytic=False,
)
test_ptp = property_test(np.ptp, DISTINCT, params=axes, reference=np.ptp, analytic=False)
test_average = property_test(np.average, Input(shape=(2, 3)), reference=np.average)
test_average_with_weights = property_test(
    lambda x, w: np.average(x, weights=w),
    Input(shape=(2, 3)),
    Input(0.5, 2.0, shape=(2, 3)),
    reference=lambda x, w: np.average(x, weights=w),
)
test_average_over_an_axis = property_test(
    lambda x, w: np.average(x, axis=0, weights=w, keepdims=True),
    Input(shape=(2, 3)),
    Input(0.5, 2.0, shape=(2,)),
    reference=lambda x, w: np.average(x, axis=0, weights=w, keepdims=True),
)


def gradient_at(f, values):
    leaf = Tensor(np.array(values, np.float64), requires_grad=True)
    with np.errstate(all="ignore"):
        return minigrad.gradients(f(leaf).sum(), leaf).tolist()


# What PyTorch 2.13 gives; for the median, its quantile(0.5); it has no ptp.
AT_SINGULAR_POINTS = {
    "std of equals": (lambda x: np.std(x, axis=-1), [[1, 1], [1, 2]], [[0, 0], [-0.5, 0.5]]),
    "median of equals": (np.median, [2, 2, 2, 2], [0, 0.5, 0.5, 0]),
    "quantile of ties": (lambda x: np.quantile(x, 0.25), [3, 1, 1, 3, 3], [0, 0, 1, 0, 0]),
    "median of infinities": (np.median, [math.inf, math.inf], [0.5, 0.5]),
    "ptp of equals": (np.ptp, [1, 1], [0, 0]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradient_at(f, values), expected)


def test_second_derivatives_of_std_at_0_are_0():
    x = Tensor(np.array([1.0, 1.0]), requires_grad=True)
    first = minigrad.gradients(np.std(x), x, create_graph=True)
    assert minigrad.gradients(first.sum(), x).tolist() == [0, 0]


def test_variance_without_degrees_of_freedom_has_no_gradient():
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        assert np.isnan(gradient_at(lambda x: np.var(x, ddof=1), [3.0])).all()


def test_ddof_and_correction_are_one():
    x = Tensor([1.0, 3.0])
    assert x.var(correction=1).item() == x.var(ddof=1).item() == 2
    with pytest.raises(ValueError, match="two names of one number"):
        x.var(ddof=1, correction=1)


def test_variance_keeps_its_digits_far_from_0():
    x = 1e6 + np.arange(4.0)
    check_gradients(np.var, x, analytic=False, rtol=1e-5)


def test_quantiles_with_infinities_and_nan():
    x = Tensor(np.array([[-math.inf, 1.0, math.inf], [1.0, math.nan, 2.0]]), requires_grad=True)
    y = np.quantile(x, [0.0, 0.5, 1.0, 0.25], axis=1)
    np.testing.assert_array_equal(y[:, 0].numpy(), [-math.inf, 1, math.inf, -math.inf])
    assert np.isnan(y[:, 1].numpy()).all()
    y[1].sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_quantile_refuses_what_it_cannot_do():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
        np.quantile(x, 1.5)
    with pytest.raises(ValueError, match=r"percentile: q must lie in \[0, 100\], got -1"):
        np.percentile(x, -1)
    with pytest.raises(
        ValueError, match=r"method must be one of 'inverted_cdf', .*, 'nearest'; got"
    ):
        np.quantile(x, 0.5, method="middle")
    with pytest.raises(ValueError, match='weights= need method="inverted_cdf"'):
        np.quantile(x, 0.5, weights=[1.0, 2.0])
    with pytest.raises(ShapeError, match=r"weights must have the shape \(2,\) of a"):
        np.quantile(x, 0.5, weights=[1.0], method="inverted_cdf")
    with pytest.raises(DtypeError, match="quantile: is not defined for dtype bool"):
        np.quantile(Tensor([True]), 0.5)
    with pytest.raises(ShapeError, match=r"no elements over axis=1 of f32\[2, 0\]"):
        np.median(Tensor(np.zeros((2, 0), np.float32)), axis=1)
    with pytest.raises(DetachError, match="quantile: q is a constant"):
        np.quantile(x, x[0])


def test_average_checks_its_weights_and_returns_their_sum():
    x = Tensor(np.arange(6.0).reshape(2, 3))
    y, total = np.average(x, axis=1, weights=[1.0, 2.0, 3.0], returned=True)
    assert (y.tolist(), total.tolist()) == ([8 / 6, 26 / 6], [6, 6])
    y, total = np.average(x, returned=True)
    assert (y.item(), total.item()) == (2.5, 6)
    y = np.average(x, axis=(1, 0), weights=np.arange(6.0).reshape(3, 2))
    assert y.item() == np.average(x.numpy(), axis=(1, 0), weights=np.arange(6.0).reshape(3, 2))
    with pytest.raises(
        ShapeError, match=r"weights must have the shape of a, \(2, 3\), or .*\(3,\)"
    ):
        np.average(x, axis=1, weights=[1.0, 2.0])
