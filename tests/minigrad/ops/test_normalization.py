"""Layer and root-mean-square normalisation."""

import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, fused_test, property_test


def normal(x, axes, eps, center=True):
    x = x.astype(np.float64)
    if center:
        x = x - x.mean(axis=axes, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + eps)


SHAPES = st.sampled_from([(3,), (2, 3), (2, 2, 3)])
# Numbers well apart: nearly equal ones are divided by nearly nothing, which magnifies rounding.
SPREAD = Input(distinct=True, shape=SHAPES)
EMPTY = st.sampled_from([(0, 3), (2, 0, 3)])


def any_axes(arrays):
    n = arrays[0].ndim
    axes = st.sampled_from([-1, 0, tuple(range(n)), (-1, 0) if n > 1 else 0])
    return st.fixed_dictionaries({"axis": axes, "eps": st.sampled_from([1e-5, 0.1])})


test_layer_norm_alone = fused_test(
    mg.layer_norm,
    SPREAD,
    params=any_axes,
    reference=lambda x, axis, eps: normal(x, axis, eps).astype(x.dtype),
)
test_layer_norm = fused_test(
    mg.layer_norm,
    SPREAD,
    Input(),
    Input(),
    shapes=(SHAPES | EMPTY).map(lambda shape: (shape, shape[-1:], shape[-1:])),
    params={"eps": 1e-3},
    reference=lambda x, weight, bias, eps: (
        normal(x, -1, eps) * weight.astype(float) + bias.astype(float)
    ).astype(x.dtype),
)
test_layer_norm_without_bias = fused_test(
    mg.layer_norm, SPREAD, Input(), shapes=st.just(((2, 3), (3,)))
)
test_layer_norm_of_two_axes_that_are_not_the_last = fused_test(
    mg.layer_norm,
    SPREAD,
    Input(),
    shapes=st.just(((2, 3, 2), (2, 3))),
    params={"axis": (1, 0)},
    reference=lambda x, weight, axis: (
        normal(x, (0, 1), 1e-5) * weight.astype(float)[..., None]
    ).astype(x.dtype),
)
test_rms_norm = property_test(
    mg.rms_norm,
    Input(shape=SHAPES),
    params=any_axes,
    reference=lambda x, axis, eps: normal(x, axis, eps, center=False).astype(x.dtype),
    analytic=True,
)
test_rms_norm_with_weight = property_test(
    mg.rms_norm,
    Input(),
    Input(),
    shapes=(SHAPES | EMPTY).map(lambda shape: (shape, shape[-1:])),
    reference=lambda x, weight: (
        normal(x, -1, float(np.finfo(x.dtype).eps), center=False).astype(x.dtype) * weight
    ),
)


@pytest.mark.parametrize("function", [mg.layer_norm, mg.rms_norm])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_that_are_all_equal_or_zero(function, dtype):
    for value in (0.0, 3.0):
        x = mg.Tensor(np.full((2, 4), value, dtype), requires_grad=True)
        y = function(x)
        assert np.isfinite(y.numpy()).all()
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("function", [mg.layer_norm, mg.rms_norm])
def test_squares_that_float16_cannot_hold(function):
    x = mg.Tensor(np.array([[1000.0, -1000.0, 3000.0, 1.0]], np.float16), requires_grad=True)
    y = function(x)
    expected = function(x.numpy().astype(float)).numpy()
    np.testing.assert_allclose(y.numpy(), expected, rtol=2e-3, atol=2e-3)
    y[0, 0].backward()
    assert np.abs(x.grad.numpy()).max() > 0


def test_normalising_does_not_write_to_its_input():
    x = np.arange(6.0).reshape(2, 3)
    t = mg.Tensor(x, requires_grad=True)
    mg.layer_norm(t).backward(np.ones((2, 3)), retain_graph=True)
    mg.layer_norm(t).backward(np.ones((2, 3)))
    np.testing.assert_array_equal(t.numpy(), x)


def test_backward_twice_gives_the_same():
    t = mg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = mg.layer_norm(t)
    upstream = np.array([[1.0, 2, 4], [0, 1, 0]])
    y.backward(upstream, retain_graph=True)
    first = t.grad.numpy().copy()
    t.zero_grad()
    y.backward(upstream)
    np.testing.assert_array_equal(t.grad.numpy(), first)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: mg.layer_norm(np.ones((2, 3)), np.ones(2)),
            "layer_norm: weight must have the shape (3,) of x f64[2, 3] over the axes (1,), got",
        ),
        (lambda: mg.layer_norm(np.ones((2, 3)), bias=np.ones((2, 3))), "layer_norm: bias must"),
        (lambda: mg.rms_norm(np.ones((2, 3)), np.ones(1)), "rms_norm: weight must have the shape"),
        (lambda: mg.layer_norm(np.ones((2, 3)), axis=2), "axis: 2 is out of bounds for 2 axes"),
        (lambda: mg.layer_norm(np.array(1.0)), "layer_norm: x must have an axis"),
        (lambda: mg.layer_norm(np.ones(3, int)), "layer_norm: x must be floating, got i64[3]"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((mg.ShapeError, mg.DtypeError), match=re.escape(words)):
        call()
