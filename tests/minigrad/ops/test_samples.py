"""Interpolation, slopes, convolution, covariance, polynomials; blocks, insertions and ranges."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, check_gradients, property_test

VECTOR = st.tuples(st.integers(3, 6))
SAME = st.integers(3, 6).map(lambda n: ((n,), (n,)))

test_convolve = property_test(
    np.convolve,
    Input(shape=VECTOR),
    Input(shape=VECTOR),
    params={"mode": st.sampled_from(["full", "same", "valid"])},
    dtypes=(np.float32, np.float64),
)
test_correlate = property_test(
    np.correlate,
    Input(shape=VECTOR),
    Input(shape=VECTOR),
    params={"mode": st.sampled_from(["full", "same", "valid"])},
    dtypes=(np.float32, np.float64),
)
test_interp = property_test(
    lambda x, fp: np.interp(x, np.linspace(-2.1, 2.1, fp.size), fp),
    Input(avoid=tuple(np.linspace(-2.1, 2.1, 4))),
    Input(shape=(4,)),
    dtypes=(np.float64,),
)
test_polyval = property_test(np.polyval, Input(shape=VECTOR), Input(), dtypes=(np.float64,))
test_vander = property_test(
    np.vander, Input(shape=VECTOR), reference=np.vander, dtypes=(np.float64,)
)
test_block = property_test(
    lambda a, b: np.block([[a, b], [b, a]]), Input(shape=(2, 2)), Input(shape=(2, 2))
)
test_insert = property_test(
    lambda x, v: np.insert(x, [1, 3], v, axis=-1), Input(shape=(2, 3)), Input(shape=(2, 2))
)
test_linspace = property_test(lambda a, b: np.linspace(a, b, 5, axis=-1), Input(), Input())
test_nancumsum = property_test(np.nancumsum, Input(shape=VECTOR), reference=np.nancumsum)
test_nancumprod = property_test(np.nancumprod, Input(shape=VECTOR), reference=np.nancumprod)


@pytest.mark.parametrize("rowvar", [True, False])
def test_covariance_and_correlation(rowvar):
    x = np.random.default_rng(0).normal(size=(4, 5))
    y = np.random.default_rng(1).normal(size=(4, 5))
    for function in (np.cov, np.corrcoef):
        for args in ((x,), (x, y), (x[0],), (x[0], y[0])):
            got = function(*map(mg.Tensor, args), rowvar=rowvar)
            np.testing.assert_allclose(got.numpy(), function(*args, rowvar=rowvar), atol=1e-14)
    np.testing.assert_allclose(np.cov(mg.Tensor(x), bias=True).numpy(), np.cov(x, bias=True))
    check_gradients(lambda t: np.corrcoef(t, rowvar=rowvar), x)


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("even", [True, False])
def test_slopes_of_samples(edge_order, even):
    f = np.random.default_rng(0).normal(size=(4, 5))
    places = (0.5, 0.25) if even else (np.array([0, 1, 1.5, 4]), np.array([0, 0.5, 2, 3, 3.5]))
    got = np.gradient(mg.Tensor(f), *places, edge_order=edge_order)
    for mine, theirs in zip(got, np.gradient(f, *places, edge_order=edge_order), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs)
    check_gradients(lambda t: np.gradient(t, places[0], axis=0, edge_order=edge_order), f)


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("m", range(1, 6))
def test_convolution_has_numpys_borders(n, m):
    a, v = np.arange(1.0, n + 1), np.arange(2.0, m + 2) ** 2
    for function in (np.convolve, np.correlate):
        for mode in ("full", "same", "valid"):
            got = function(mg.Tensor(a), mg.Tensor(v), mode).numpy()
            np.testing.assert_allclose(got, function(a, v, mode))


@pytest.mark.parametrize(
    ("obj", "values", "axis"),
    [
        (2, 9.0, None),
        ([1, 3], [8.0, 9.0], None),
        (slice(0, 4, 2), 7.0, None),
        (-1, [1.0, 2.0, 3.0], None),
        ([0, 0], 1.0, None),
        (20, 1.0, None),
        (1, 9.0, 1),
        (1, np.arange(5.0), 0),
        (2, np.arange(4.0), 1),
        ([1, 2], np.ones((2, 5)), 0),
        (1, np.ones((2, 5)), 0),
        pytest.param(  # older versions took booleans for integers
            *(np.array([True, False, True, False]), 3.0, 0), marks=pytest.mark.present_numpy
        ),
    ],
)
def test_insertions_are_numpys(obj, values, axis):
    x = np.arange(20.0).reshape(4, 5)
    got = np.insert(mg.Tensor(x), obj, values, axis)
    np.testing.assert_array_equal(got.numpy(), np.insert(x, obj, values, axis))


def test_interpolation_at_and_beyond_the_samples():
    places, values = np.array([0.0, 1.0, 3.0]), np.array([1.0, 3.0, 2.0])
    at = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    x = mg.Tensor(at, requires_grad=True)
    y = np.interp(x, places, values)
    np.testing.assert_allclose(y.numpy(), np.interp(at, places, values))
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, -0.5, -0.5, -0.5, 0]
    assert mg.interp(at, places, values, left=7.0, right=8.0).tolist()[::5] == [7, 8]
    check_gradients(lambda p, v: mg.interp(np.array([0.4, 2.2]), p, v), places, values)


def test_facts_without_a_derivative():
    t = mg.Tensor([0.5, np.nan, 2.5], requires_grad=True)
    assert np.nanargmax(t).item() == 2
    assert np.nanargmin(t).item() == 0
    assert np.isin(t, [0.5]).tolist() == [True, False, False]
    assert np.digitize(t, [0.0, 1.0, 2.0]).tolist() == [1, 3, 3]
    assert np.array_equiv(mg.Tensor([[1.0], [1.0]]), 1.0)
    assert not np.array_equiv(t, np.ones(2))


def test_an_axis_counts_once():
    x = mg.Tensor(np.zeros((3, 4)))
    for axis in ((1, 1), (0, -2)):
        with pytest.raises(mg.ShapeError, match=r"gradient: axis: \(.*\) names an axis twice"):
            np.gradient(x, axis=axis)
    with pytest.raises(mg.AxisError, match="out of bounds"):
        np.gradient(x, axis=2)


def test_covariance_without_degrees_of_freedom_warns_as_numpy_does():
    x = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 1.0]])
    for ddof in (3, 5):
        with pytest.warns(RuntimeWarning, match="degrees of freedom <= 0"):
            got = np.cov(mg.Tensor(x), ddof=ddof)
        with pytest.warns(RuntimeWarning):
            np.testing.assert_array_equal(got.numpy(), np.cov(x, ddof=ddof))
    with pytest.raises(ValueError, match=r"cov: ddof must be an integer, got 0\.5"):
        np.cov(mg.Tensor(x), ddof=0.5)


def test_interpolation_and_covariance_are_in_float64_as_in_numpy():
    x = mg.Tensor(np.array([1.0, 2.0, 4.0], np.float32), requires_grad=True)
    for y in (np.interp(x, x, x), np.cov(x), np.corrcoef(x, x * x)):
        assert y.dtype == np.float64
        y.sum().backward()
    assert x.grad.dtype == np.float32
    assert np.cov(x, dtype=np.float32).dtype == np.float32


def test_steps_of_ranges_and_convolutions_of_integers():
    stop = mg.Tensor(np.array([2.0, 4.0], np.float32), requires_grad=True)
    y, step = np.linspace(0, stop, 5, retstep=True)
    assert y.dtype == step.dtype == np.float32
    mg.gradients(step.sum(), stop)
    assert step.tolist() == [0.5, 1.0]
    assert np.convolve(mg.Tensor([1, 2, 3]), [1, 1]).tolist() == [1, 3, 5, 3]
