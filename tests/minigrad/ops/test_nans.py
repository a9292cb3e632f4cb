import math

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.ops.manipulation.indexing import setitem
from minigrad.testing import check_gradients

NAN = math.nan
X = np.array([[1.0, NAN, 3.0], [-2.0, 0.5, NAN], [4.0, -1.0, 7.0]])
NAMES = ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name, axis):
    theirs = getattr(np, name)
    for keepdims in (False, True):
        ours = theirs(Tensor(X), axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(ours.numpy(), theirs(X, axis=axis, keepdims=keepdims))
    present = ~np.isnan(X)

    def of_the_others(values):
        return theirs(setitem(Tensor(X), values, present), axis=axis)

    check_gradients(of_the_others, X[present], analytic=False)
    x = Tensor(X.astype(np.float32), requires_grad=True)
    y = theirs(x, axis=axis)
    assert y.dtype == np.float32
    y.sum().backward()
    assert (x.grad.numpy()[~present] == 0).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_nothing_but_nan_warns_as_numpy_does():
    x = Tensor([[NAN, NAN], [1.0, NAN]], requires_grad=True)
    assert np.nansum(x, axis=1).tolist() == [0, 1]
    assert np.nanprod(x, axis=1).tolist() == [1, 1]
    for function in (np.nanmean, np.nanmax, np.nanmin, np.nanmedian):
        with pytest.warns(RuntimeWarning, match="Mean of empty slice|All-NaN slice"):
            y = function(x, axis=1)
        np.testing.assert_array_equal(y.numpy(), [NAN, 1])
        assert minigrad.gradients(y[1], x).tolist() == [[0, 0], [1, 0]]
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        np.testing.assert_array_equal(np.nanvar(x, axis=1, ddof=1).numpy(), [NAN, NAN])


QUANTILES = {
    "nanquantile": {"q": [0.1, 0.5, 0.8]},
    "nanpercentile": {"q": 30, "method": "hazen"},
    "nanmedian": {},
}


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)])
@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_of_the_others(name, axis):
    theirs, options = getattr(np, name), QUANTILES[name]
    for keepdims in (False, True):
        ours = theirs(Tensor(X), axis=axis, keepdims=keepdims, **options)
        expected = theirs(X, axis=axis, keepdims=keepdims, **options)
        np.testing.assert_allclose(ours.numpy(), expected)
    present = ~np.isnan(X)

    def of_the_others(values):
        return theirs(setitem(Tensor(X), values, present), axis=axis, **options)

    check_gradients(of_the_others, X[present], analytic=False)


def test_nanmax_shares_ties_and_leaves_nan_out():
    x = Tensor([2.0, NAN, 2.0], requires_grad=True)
    np.nanmax(x).backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize("name", [*NAMES, *QUANTILES])
def test_a_replay_finds_other_gaps(name):
    def f(x):
        return getattr(np, name)(x, **QUANTILES.get(name, {}))

    x = Tensor(np.array([1.0, NAN, 3.0, 2.0]), requires_grad=True)
    other = np.array([1.0, 4.0, NAN, NAN])
    with minigrad.recording(replay=True):
        y = f(x)
    again = minigrad.graph(y).replay({x: other})
    np.testing.assert_array_equal(again.numpy(), f(Tensor(other)).numpy())


@pytest.mark.parametrize("method", ["lower", "higher", "nearest", "inverted_cdf", "linear"])
@pytest.mark.parametrize("function", ["quantile", "percentile", "nanquantile", "nanpercentile"])
@pytest.mark.parametrize("dtype", ["int64", "uint64", "int8", "float16"])
def test_quantiles_of_integers_keep_their_digits(function, method, dtype):
    numbers = [2**53 + 1, 3, 7] if dtype.endswith("64") else [100, 3, 7]
    x = np.array(numbers, dtype)
    top = 100.0 if function.endswith("percentile") else 1.0
    for q in (top, [0, top]):
        expected = getattr(np, function)(x, q, method=method)
        got = getattr(np, function)(Tensor(x), q, method=method)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.numpy(), expected)
