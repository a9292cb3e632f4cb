"""log gamma, digamma and polygamma: against exact values, SciPy and differences."""

import math

import numpy as np
import pytest
import scipy.special

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import Input, check_gradients, property_test

POLES = (0.0, -1.0, -2.0, -3.0)
RANGE = Input(-3.0, 6.0, avoid=POLES)


def in_float64(function):
    return lambda x, **params: function(x.astype(np.float64), **params).astype(x.dtype)


test_gammaln = property_test(mg.gammaln, RANGE, analytic=False)
test_digamma = property_test(mg.digamma, RANGE, analytic=False, rtol=1e-5)
test_trigamma = property_test(
    lambda x: mg.polygamma(1, x), Input(0.3, 5.0), analytic=False, rtol=1e-5
)
test_polygamma = property_test(
    lambda x: mg.polygamma(3, x),
    Input(0.6, 5.0),
    reference=in_float64(lambda x: scipy.special.polygamma(3, x)),
    analytic=False,
    rtol=1e-5,
)

# To 20 digits, computed with mpmath: log |gamma|, digamma, polygamma of order 1, 2 and 4.
EXACT = {
    1e-10: (
        23.025850929882735237,
        -1.00000000005772153e10,
        9.9999999999999992715e19,
        -1.9999999999999997814e30,
        -2.3999999999999995628e51,
    ),
    0.25: (
        1.2880225246980774574,
        -4.2274535333762654081,
        17.197329154507110739,
        -129.32773993753692033,
        -24584.375388637933734,
    ),
    0.999: (
        0.00057803853289138023817,
        -0.57886180210864542792,
        1.6473414317770505536,
        -2.4106202092316710716,
        -25.008711141730255094,
    ),
    1.0009765625: (
        -0.0005629031799912046317,
        -0.57561042934062190862,
        1.6425893921526170408,
        -2.3977839163960630064,
        -24.767391638642998277,
    ),
    1.4609375: (
        -0.12148605702013094402,
        -0.00067240239024288040438,
        0.9682877462855092558,
        -0.88660468133063473581,
        -3.9436254183716818769,
    ),
    1.462890625: (
        -0.12148552454375247032,
        0.0012170954769772858586,
        0.96655905514214705666,
        -0.88357754872473392701,
        -3.9183826844314685401,
    ),
    1.75: (
        -0.084401121020485555958,
        0.24747245354686116371,
        0.76410186989382872062,
        -0.56189247559689889069,
        -1.6648033462816700698,
    ),
    1.9990234375: (
        -0.00041256773597148940171,
        0.4221543239006285854,
        0.64532894490351644014,
        -0.40459659194460214807,
        -0.88830138320691660628,
    ),
    2.0009765625: (
        0.00041318279306425426426,
        0.4234139609032805304,
        0.64453965985041597001,
        -0.40363186590347003763,
        -0.88423659667478509181,
    ),
    3.5: (
        1.2009736023470742248,
        1.1031566406452431872,
        0.33035775610023486497,
        -0.108204051641727403,
        -0.067995999506731363375,
    ),
    9.75: (
        12.242204940050762559,
        2.225109535044576012,
        0.10800324333663185456,
        -0.011653444287958333701,
        -0.00081169640922486223428,
    ),
    10.25: (
        13.368023671476046295,
        2.2777047906867239693,
        0.1024745215179918668,
        -0.010491898534015282791,
        -0.00065819933156970185721,
    ),
    31.0: (
        74.658236348830164385,
        3.4177714660188582099,
        0.032783949246628833103,
        -0.0010746911296545257699,
        -6.9272870191933697209e-6,
    ),
    100000.0: (
        1.0512877089736568949e6,
        11.512920464961895087,
        1.0000050000166666667e-5,
        -1.00001000005e-10,
        -6.0001200009999999999e-20,
    ),
    1e200: (
        4.5951701859880912287e202,
        460.51701859880913677,
        1.0000000000000000303e-200,
        -1.0000000000000000605e-400,
        -6.0000000000000007264e-800,
    ),
    -0.25: (
        1.5895753125511859903,
        2.9141391202135278304,
        18.541879647671606498,
        122.69736678366236037,
        24473.199394184582527,
    ),
    -0.5: (
        1.2655121234846453965,
        0.036489973978576520559,
        8.9348022005446793094,
        -0.8287966442343199956,
        -3.4742498266672251905,
    ),
    -1.5: (
        0.86004701537648101451,
        0.70315664064524318723,
        9.3792466449891237539,
        -0.236204051641727403,
        -0.31375599950673136338,
    ),
    -2.75: (
        0.0044878975359557733115,
        -1.9590552649779970098,
        19.433868949488464162,
        -124.11765305971517997,
        -24481.624740671532816,
    ),
    -9.875: (
        -12.705912885191709216,
        -5.2446900613726620091,
        67.297563239733956075,
        -1022.3036595961284631,
        -7.8639799302079378971e5,
    ),
    -33.3125: (
        -84.823999092931682639,
        5.6200120958880431282,
        14.246441846334930061,
        59.933977515206079336,
        7901.4367110046586311,
    ),
}
FUNCTIONS = {
    "gammaln": (mg.gammaln, scipy.special.gammaln),
    "digamma": (mg.digamma, scipy.special.digamma),
    "polygamma 1": (lambda x: mg.polygamma(1, x), lambda x: scipy.special.polygamma(1, x)),
    "polygamma 2": (lambda x: mg.polygamma(2, x), lambda x: scipy.special.polygamma(2, x)),
    "polygamma 4": (lambda x: mg.polygamma(4, x), lambda x: scipy.special.polygamma(4, x)),
}
ENDS = np.array([0.0, -0.0, -1.0, -2.0, -50.0, np.inf, -np.inf, np.nan, -1e17, 1e300, 1e-300])


def units(ours, exact, size=None):
    """The largest difference in units in the last place, of the exact value or of its terms."""
    dtype = ours.dtype
    scale = np.abs(exact) if size is None else np.maximum(np.abs(exact), size)
    unit = np.spacing(scale.astype(dtype)).astype(np.float64)
    return np.max(np.abs(ours.astype(np.float64) - exact) / unit)


@pytest.mark.parametrize(("column", "name"), list(enumerate(FUNCTIONS)))
def test_exact_values(column, name):
    x = np.array(list(EXACT))
    ours = FUNCTIONS[name][0](Tensor(x)).numpy()
    assert units(ours, np.array([row[column] for row in EXACT.values()])) <= 8


@pytest.mark.parametrize("name", FUNCTIONS)
def test_positive_numbers_are_as_scipy_has_them(name):
    ours, theirs = FUNCTIONS[name]
    x = np.concatenate([np.geomspace(1e-8, 1e8, 3001), np.linspace(0.01, 40, 3001)])
    if name == "gammaln":  # SciPy's loses digits near its zeros 1 and 2, for which see below
        x = x[(x < 0.5) | (x > 2.8)]
    expected = theirs(x)
    assert units(ours(Tensor(x)).numpy(), expected) <= 12  # the sum of both errors


def test_zeros_of_log_gamma_and_digamma():
    steps = np.geomspace(1e-14, 0.1, 200)
    near = np.concatenate([1 + steps, 1 - steps, 2 + steps, 2 - steps])
    assert units(mg.gammaln(Tensor(near)).numpy(), scipy.special.loggamma(near + 0j).real) <= 8
    assert mg.gammaln(Tensor([1.0, 2.0])).tolist() == [0.0, 0.0]
    for root in (1.4616321449683623, -0.5040830082644554):
        near = np.concatenate([root + steps, root - steps])
        assert units(mg.digamma(Tensor(near)).numpy(), scipy.special.digamma(near)) <= 8


@pytest.mark.parametrize("name", FUNCTIONS)
def test_negative_numbers(name):
    """Near zeros between poles the terms cancel: there, units of the terms are what can be had."""
    ours, theirs = FUNCTIONS[name]
    x = -np.random.default_rng(0).uniform(0, 60, 3000)
    x = x[np.abs(x - np.rint(x)) > 0.01]
    d = x - np.rint(x)
    size = {
        "gammaln": np.abs(scipy.special.gammaln(1 - x)) + 1,
        "digamma": np.abs(np.pi / np.tan(np.pi * d)) * 60 + np.log(1 - x),
    }.get(name)
    if size is None:
        order = int(name[-1])
        size = math.factorial(order) * np.abs(d) ** -(1.0 + order)
    assert units(ours(Tensor(x)).numpy(), theirs(x), size) <= 16


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_poles_infinities_and_nan(name, dtype):
    ours, theirs = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        x = ENDS.astype(dtype)
        expected = theirs(x.astype(np.float64)).astype(dtype)
    got = ours(Tensor(x))
    assert got.dtype == dtype
    np.testing.assert_allclose(got.numpy(), expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_smaller_dtypes_are_rounded_once(name, dtype):
    ours, theirs = FUNCTIONS[name]
    x = np.concatenate([np.geomspace(0.05, 100, 500), np.linspace(-8.3, -0.2, 99)]).astype(dtype)
    with np.errstate(over="ignore"):
        expected = theirs(x.astype(np.float64))
    kept = np.abs(expected) < np.finfo(dtype).max
    assert units(ours(Tensor(x)).numpy()[kept], expected[kept]) <= 1


def test_integers_lists_empty_and_layouts():
    assert mg.gammaln(Tensor([1, 5])).dtype == np.float64
    np.testing.assert_allclose(mg.gammaln([5, 6]).numpy(), np.log([24, 120]), rtol=1e-15)
    assert mg.digamma(np.zeros((0, 3))).shape == (0, 3)
    x = np.linspace(0.1, 9, 24).reshape(4, 6)
    np.testing.assert_array_equal(mg.digamma(x.T).numpy(), mg.digamma(x).numpy().T)


def test_polygamma_of_order_zero_and_of_tensors():
    x = Tensor([0.5, 2.0], dtype="float64")
    np.testing.assert_array_equal(mg.polygamma(0, x).numpy(), mg.digamma(x).numpy())
    np.testing.assert_array_equal(mg.polygamma(Tensor(2), x).numpy(), mg.polygamma(2, x).numpy())
    check_gradients(lambda x: mg.polygamma(0, x), np.array([0.4, 1.7]), analytic=False, rtol=1e-5)


@pytest.mark.parametrize("n", [-1, 1.5, [1, 2], "1", None])
def test_polygamma_refuses_other_orders(n):
    with pytest.raises(mg.DtypeError, match="polygamma: n must be an integer of 0 or more"):
        mg.polygamma(n, 1.0)


def test_complex_numbers_are_refused():
    for function, _ in FUNCTIONS.values():
        with pytest.raises(TypeError, match=r"scipy\.special"):
            function(Tensor(np.array([1.0 + 2.0j])))
