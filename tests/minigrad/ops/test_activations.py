"""Activations: derivatives on random shapes, tails, singular points and dtypes."""

import math
import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, property_test

EVERY = ("celu", "elu", "gelu", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax")
EVERY += ("mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus")
EVERY += ("hardswish", "softmin", "softsign")
CURVED = Input(-3, 3, avoid=(0.0,))
SMOOTH = Input(-4, 4)


def wide(x):
    """Where float16 is computed in float32, as references should be."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def in_dtype(function):
    return lambda x, **params: function(wide(x), **params).astype(x.dtype)


def exponentials(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def axes(arrays):
    n = arrays[0].ndim
    several = st.just(None) | (st.integers(-n, n - 1) if n else st.nothing())
    return st.fixed_dictionaries({"axis": several | st.just(tuple(range(n)))})


test_sigmoid = property_test(
    mg.sigmoid, SMOOTH, reference=in_dtype(lambda x: 1 / (1 + np.exp(-x))), analytic=True
)
test_log_sigmoid = property_test(
    mg.log_sigmoid,
    SMOOTH,
    reference=in_dtype(lambda x: -np.log(1 + np.exp(-x))),
    analytic=True,
)
test_softplus = property_test(
    mg.softplus,
    SMOOTH,
    params={"beta": st.sampled_from([1.0, 0.5, 3.0])},
    reference=in_dtype(lambda x, beta: np.log(1 + np.exp(beta * x)) / beta),
    analytic=True,
)
test_softplus_above_a_threshold = property_test(
    mg.softplus,
    Input(-3, 3, avoid=(0.25, 0.5)),
    params={"beta": st.sampled_from([1.0, 2.0]), "threshold": 0.5},
    reference=in_dtype(
        lambda x, beta, threshold: np.where(
            beta * x > threshold, x, np.log(1 + np.exp(beta * x)) / beta
        )
    ),
)
test_softsign = property_test(
    mg.softsign, CURVED, reference=in_dtype(lambda x: x / (1 + np.abs(x)))
)
test_softmin = property_test(
    mg.softmin, SMOOTH, params=axes, reference=in_dtype(lambda x, axis: exponentials(-x, axis))
)
test_hardswish = property_test(
    mg.hardswish,
    Input(-5, 5, avoid=(-3.0, 3.0)),
    reference=in_dtype(lambda x: x * np.clip(x + 3, 0, 6) / 6),
)
test_relu = property_test(mg.relu, CURVED, reference=lambda x: x * (x > 0))
test_relu6 = property_test(
    mg.relu6, Input(-3, 9, avoid=(0.0, 6.0)), reference=lambda x: np.clip(x, 0, 6)
)
test_hardtanh = property_test(
    mg.hardtanh,
    Input(-3, 3, avoid=(-0.5, 2.0)),
    params={"min_val": -0.5, "max_val": 2.0},
    reference=lambda x, min_val, max_val: np.clip(x, min_val, max_val),
)
test_leaky_relu = property_test(
    mg.leaky_relu,
    CURVED,
    params={"negative_slope": st.sampled_from([0.01, 0.3, -0.5])},
    reference=lambda x, negative_slope: x * np.where(x > 0, x.dtype.type(1), negative_slope),
)
test_elu = property_test(
    mg.elu,
    CURVED,
    params={"alpha": st.sampled_from([1.0, 0.5, -0.7])},
    reference=in_dtype(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x))),
)
test_celu = property_test(
    mg.celu,
    CURVED,
    params={"alpha": st.sampled_from([1.0, 0.5, -0.7])},
    reference=in_dtype(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha))),
)
test_selu = property_test(
    mg.selu,
    CURVED,
    reference=in_dtype(
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
    ),
)
test_gelu = property_test(
    mg.gelu,
    SMOOTH,
    reference=in_dtype(
        lambda x: x * np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[x.dtype])(x)
    ),
    analytic=False,
)
test_gelu_tanh = property_test(
    mg.gelu,
    SMOOTH,
    params={"approximate": "tanh"},
    reference=in_dtype(
        lambda x, approximate: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    analytic=True,
)
test_silu = property_test(
    mg.silu, SMOOTH, reference=in_dtype(lambda x: x / (1 + np.exp(-x))), analytic=True
)
test_mish = property_test(
    mg.mish,
    SMOOTH,
    reference=in_dtype(lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    analytic=True,
)
test_softmax = property_test(
    mg.softmax, SMOOTH, params=axes, reference=in_dtype(exponentials), analytic=True
)
test_log_softmax = property_test(
    mg.log_softmax,
    SMOOTH,
    params=axes,
    reference=in_dtype(lambda x, axis: np.log(exponentials(x, axis))),
    analytic=True,
)


def gradient(name, x, **params):
    t = mg.Tensor(x, requires_grad=True)
    y = getattr(mg, name)(t, **params)
    y.backward(np.ones(y.shape, y.dtype))
    return t.grad.numpy()


@pytest.mark.parametrize(
    ("name", "place", "slope"),
    [
        ("relu", 0.0, 0.0),
        ("relu6", 0.0, 0.0),
        ("relu6", 6.0, 0.0),
        ("hardtanh", -1.0, 0.0),
        ("hardtanh", 1.0, 0.0),
        ("leaky_relu", 0.0, 0.01),
        ("elu", 0.0, 1.0),
        ("selu", 0.0, 1.0507009873554805 * 1.6732632423543772),
        ("celu", 0.0, 1.0),
        ("hardswish", -3.0, 0.0),
        ("hardswish", 3.0, 1.0),
        ("softsign", 0.0, 1.0),
    ],
)
def test_slopes_at_kinks_are_those_of_pytorch(name, place, slope):
    np.testing.assert_allclose(gradient(name, np.array([place])), [slope], rtol=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "celu", "hardtanh"])
def test_second_derivatives_at_kinks_are_zero_as_in_pytorch(name):
    x = mg.Tensor([0.0, -1e-3], dtype="float64", requires_grad=True)
    slope = mg.gradients(getattr(mg, name)(x).sum() + (x * x * x).sum(), x, create_graph=True)
    assert mg.gradients(slope.sum(), x).numpy()[0] == 0


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_huge_numbers_neither_warn_nor_give_nan(name, dtype):
    # Warnings are errors in these tests; "raise" catches what NumPy would not warn of by default.
    x = np.array([-1.0, 1.0, -1e-3, 0.3], dtype) * dtype(np.finfo(dtype).max)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = getattr(mg, name)(x)
    assert not np.isnan(y.numpy()).any()
    assert not np.isnan(gradient(name, x)).any()


@pytest.mark.parametrize("name", EVERY)
def test_infinities_and_nan_do_not_warn(name):
    x = np.array([np.inf, -np.inf, np.nan, 1.0])
    assert np.isnan(getattr(mg, name)(x).numpy()[2])
    assert gradient(name, x).shape == (4,)


@pytest.mark.parametrize("name", EVERY)
def test_scalars_and_no_elements_at_all(name):
    assert getattr(mg, name)(mg.Tensor(0.5)).shape == ()
    assert getattr(mg, name)(np.zeros((2, 0))).shape == (2, 0)
    assert gradient(name, np.zeros((0, 3))).shape == (0, 3)


def test_tails_keep_their_digits():
    x = np.array([-700.0, -40.0, -20.0])
    np.testing.assert_allclose(mg.sigmoid(x).numpy(), np.exp(x), rtol=1e-8)
    np.testing.assert_allclose(mg.softplus(x).numpy(), np.exp(x), rtol=1e-8)
    np.testing.assert_allclose(mg.silu(x).numpy(), x * np.exp(x), rtol=1e-8)
    np.testing.assert_allclose(mg.log_sigmoid(-x).numpy(), -np.exp(x), rtol=1e-8)
    np.testing.assert_allclose(gradient("softplus", x), np.exp(x), rtol=1e-8)
    half = mg.sigmoid(np.array([-12.0], np.float16)).numpy()
    np.testing.assert_allclose(half, np.exp(-12.0), rtol=1e-2)
    tail = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in (-8.0, -12.0)]
    np.testing.assert_allclose(mg.gelu(np.array([-8.0, -12.0])).numpy(), tail, rtol=1e-13)


def test_infinities_have_the_limits():
    x = np.array([-np.inf, np.inf])
    assert mg.softsign(x).tolist() == [-1, 1]
    assert mg.hardswish(x).tolist() == [0, np.inf]
    assert mg.softplus(x, threshold=20.0).tolist() == [0, np.inf]


def test_a_threshold_makes_softplus_straight():
    x = np.array([19.0, 21.0])
    assert mg.softplus(x, threshold=20.0).numpy()[1] == 21
    assert mg.softplus(x).numpy()[1] > 21
    assert gradient("softplus", x, threshold=20.0)[1] == 1 > gradient("softplus", x)[1]


def test_softmax_where_scores_are_minus_infinity():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf] * 3])
    np.testing.assert_array_equal(mg.softmax(x).numpy(), [[0.5, 0, 0.5], [0, 0, 0]])
    log_p = mg.log_softmax(x).numpy()
    np.testing.assert_allclose(np.exp(log_p), [[0.5, 0, 0.5], [0, 0, 0]], rtol=1e-15)
    t = mg.Tensor(x, requires_grad=True)
    (mg.softmax(t) * np.arange(3.0)).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), [[-0.5, 0, 0.5], [0, 0, 0]], atol=1e-15)


def test_softmax_as_a_method():
    t = mg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(t.softmax(axis=0).numpy(), mg.softmax(t, axis=0).numpy())
    np.testing.assert_array_equal(t.sigmoid().numpy(), mg.sigmoid(t).numpy())


def test_integers_become_floats():
    assert mg.sigmoid(np.array([0, 1])).dtype == np.float64
    assert mg.gelu(np.array([0, 1], np.int16)).dtype == np.float32
    assert mg.softmax(np.array([0, 1])).numpy().sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.gelu([1.0], approximate="erf"), "gelu: approximate must be one of 'none'"),
        (lambda: mg.hardtanh([1.0], 2.0, 1.0), "hardtanh: min_val must not be above max_val"),
        (lambda: mg.celu([1.0], alpha=0), "celu: alpha must not be 0"),
        (lambda: mg.softplus([1.0], beta=0), "softplus: beta must not be 0"),
        (lambda: mg.softmax(np.zeros((2, 3)), axis=2), "softmax: axis 2 is out of bounds"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


# What PyTorch 2.13 gives.
SLOPES_AT_NAN = [
    (mg.relu, 1),
    (mg.relu6, 1),
    (mg.hardtanh, 1),
    (mg.leaky_relu, 0.01),
    (lambda x: mg.maximum(x, 0.0), 1),
    (lambda x: mg.clip(x, 0.0, 1.0), 0),
    (lambda x: mg.clip(x, mg.Tensor(0.0), mg.Tensor(1.0)), 0),
]


@pytest.mark.parametrize(("function", "slope"), SLOPES_AT_NAN)
def test_the_slope_at_nan(function, slope):
    x = mg.Tensor(np.array([np.nan, 0.5]), requires_grad=True)
    y = function(x)
    assert np.isnan(y[0].item())
    assert mg.gradients(y.sum(), x).tolist() == [slope, 1]


@pytest.mark.parametrize("function", [mg.elu, mg.selu, mg.celu, mg.silu, mg.gelu, mg.tanh, mg.abs])
def test_the_gradient_of_curves_at_nan_is_nan(function):
    x = mg.Tensor(np.array([np.nan, 0.5]), requires_grad=True)
    first = mg.gradients(function(x).sum(), x).numpy()
    assert np.isnan(first[0])
    assert np.isfinite(first[1])
