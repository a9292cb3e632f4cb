"""Activations with gates and learned slopes, against their formulas."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import Input, property_test, strategies

EVEN = strategies.shapes(max_dims=2).map(lambda first: ((*first, 4, 3),))
CHANNELS = strategies.shapes(max_dims=2).map(lambda last: ((2, 3, *last), (3,)))
ONE = strategies.shapes().map(lambda shape: (shape, (1,)))
LEARNED = (Input(-3, 3, avoid=(0.0,)), Input(-1, 1))


def wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x


def halves(x, axis):
    a, b = np.split(wide(x), 2, axis=axis)
    return (a / (1 + np.exp(-b))).astype(x.dtype)


def bent(x, weight):
    if weight.size > 1:
        weight = weight.reshape(-1, *(1,) * (x.ndim - 2))
    elif weight.ndim:
        weight = weight[0]
    return np.where(x > 0, x, x * weight)


test_glu = property_test(
    mg.glu, Input(-4, 4), params={"axis": -2}, reference=halves, shapes=EVEN, analytic=True
)
test_prelu_of_channels = property_test(mg.prelu, *LEARNED, reference=bent, shapes=CHANNELS)
test_prelu_of_one_weight = property_test(mg.prelu, *LEARNED, reference=bent, shapes=ONE)


@pytest.mark.parametrize("axis", [0, -1])
def test_glu_along_any_axis(axis):
    x = np.random.default_rng(0).standard_normal((4, 6))
    np.testing.assert_allclose(mg.glu(x, axis=axis).numpy(), halves(x, axis), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.glu(np.zeros((2, 3))), r"glu: the length of axis -1 must be even.*f64\[2, 3\]"),
        (lambda: mg.glu(1.0), "glu: x must have an axis to be halved"),
        (lambda: mg.glu(np.zeros((2, 4)), axis=2), "glu: axis: 2 is out"),
        (lambda: mg.prelu(np.zeros((2, 3)), np.zeros(2)), "one for each channel, which is axis 1"),
        (lambda: mg.prelu(np.zeros(3), np.zeros(3)), "prelu: weight must hold one number"),
        (lambda: mg.prelu(np.zeros((2, 3)), np.zeros((1, 3))), "prelu: weight must hold one"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(mg.ShapeError, match=words):
        call()


def test_the_slope_of_prelu_at_zero_is_the_weight():
    x, weight = mg.Tensor([0.0, -2.0], requires_grad=True), mg.Tensor(0.25, requires_grad=True)
    mg.prelu(x, weight).sum().backward()
    assert x.grad.tolist() == [0.25, 0.25]
    assert weight.grad.item() == -2
