import math

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import ShapeError, Tensor
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import shapes

INF = math.inf
AWAY = Input(avoid=(0.0,), shape=shapes(min_dims=1, min_side=1), distinct=True)


def orders(*numbers):
    return lambda arrays: st.fixed_dictionaries(
        {
            "ord": st.sampled_from(numbers),
            "axis": st.integers(-arrays[0].ndim, arrays[0].ndim - 1),
            "keepdims": st.booleans(),
        }
    )


# The absolute values of distinct numbers may be equal: these are all positive.
POSITIVE = Input(0.2, 2.0, shape=shapes(min_dims=1, min_side=1), distinct=True)

test_norm = property_test(
    np.linalg.norm,
    AWAY,
    params=orders(None, 1, 2, 3, 1.5, -1, 2.5),
    reference=np.linalg.norm,
    dtypes=(np.float32, np.float64),
    analytic=False,
)
test_half_precision_norm = property_test(
    np.linalg.norm, AWAY, params=orders(None, 1, 2), dtypes=(np.float16,), analytic=False
)
test_extreme_norm = property_test(
    np.linalg.norm,
    POSITIVE,
    params=orders(INF, -INF),
    reference=np.linalg.norm,
    analytic=False,
)
test_vector_norm_over_axes = property_test(
    lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3),
    Input(avoid=(0.0,), shape=(2, 3, 2)),
    reference=lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3),
    analytic=False,
)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, INF, -INF])
@pytest.mark.parametrize("axis", [(0, 1), (-1, 0)])
def test_norms_of_matrices(ord, axis):
    x = np.random.default_rng(3).uniform(0.5, 2.0, (3, 2, 4))
    for keepdims in (False, True):
        ours = np.linalg.norm(Tensor(x), ord, axis, keepdims)
        theirs = np.linalg.norm(x, ord, axis, keepdims)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)
    check_gradients(lambda t: np.linalg.norm(t, ord, axis), x, analytic=False)


def gradient_at(f, values):
    leaf = Tensor(np.array(values, np.float64), requires_grad=True)
    with np.errstate(all="ignore"):
        return minigrad.gradients(f(leaf).sum(), leaf).tolist()


# What PyTorch 2.13 gives.
AT_SINGULAR_POINTS = {
    "2 at 0": (None, [0, 0], [0, 0]),
    "1 with 0": (1, [0, -2], [0, -1]),
    "1.5 with 0": (1.5, [0, 1], [0, 1]),
    "0.5 with 0": (0.5, [0, 1], [0, 1]),
    "3 at 0": (3, [0, 0], [0, 0]),
    "-1 with 0": (-1, [2, -2, 0], [0, 0, 0]),
    "inf with ties": (INF, [2, -2, 1], [0.5, -0.5, 0]),
    "-inf with ties": (-INF, [2, -2, 3], [0.5, -0.5, 0]),
    "inf at 0": (INF, [0, 0], [0, 0]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    ord, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradient_at(lambda x: np.linalg.norm(x, ord), values), expected)


def test_frobenius_norm_of_0():
    assert gradient_at(np.linalg.norm, [[0, 0], [0, 0]]) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("ord", [1, 1.5, 2, 3])
def test_a_zero_vector_does_not_spoil_second_derivatives(ord):
    x = Tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True)
    y = np.linalg.norm(x, ord, axis=1)
    first = minigrad.gradients((y * y).sum(), x, create_graph=True)
    second = minigrad.gradients((first * np.array([1.0, 0.0])).sum(), x).numpy()
    assert second[0].tolist() == [0, 0]
    assert np.isfinite(second).all()
    check_gradients(lambda t: np.linalg.norm(t, ord, axis=1) ** 2, x.numpy()[1:], analytic=False)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e200])
def test_the_norm_neither_under_nor_overflows(scale):
    x = np.array([3.0, 4.0]) * scale
    assert np.linalg.norm(Tensor(x)).item() == pytest.approx(5 * scale)
    assert gradient_at(np.linalg.norm, x) == pytest.approx([0.6, 0.8])


def test_the_norm_of_half_precision_adds_up_in_single():
    x = Tensor(np.full(10000, 3.0, np.float16))
    assert np.linalg.norm(x).item() == 300
    assert np.linalg.norm(x, 1.5).dtype == np.float16


def test_counting_norm_is_constant():
    x = Tensor([1.0, 0.0, 2.0], requires_grad=True)
    y = np.linalg.norm(x, 0)
    assert (y.item(), y.requires_grad, y.dtype) == (2, False, np.float32)


def test_norms_of_integers_complex_numbers_and_nothing():
    assert np.linalg.norm(Tensor([3, 4])).dtype == np.float64
    assert np.linalg.norm(Tensor(np.array([3j, 4.0]))).item() == 5
    assert np.linalg.norm(Tensor(np.zeros((2, 0))), axis=1).tolist() == [0, 0]


def test_wrong_orders_and_axes_are_named():
    x = Tensor(np.ones((2, 2, 2)))
    with pytest.raises(ShapeError, match=r"norm: ord=3 needs one or two axes, got f64\[2, 2, 2\]"):
        np.linalg.norm(x, 3)
    with pytest.raises(ShapeError, match="norm: axis must be an int or two axes"):
        np.linalg.norm(x, axis=(0, 1, 2))
    with pytest.raises(ValueError, match="vector_norm: ord must be a number, got 'fro'"):
        np.linalg.norm(x, "fro", axis=0)
    with pytest.raises(ValueError, match="matrix_norm: ord must be"):
        np.linalg.norm(x, 7, axis=(0, 1))


def test_norms_of_nothing_are_zero():
    for shape in ((0,), (2, 0), (0, 2)):
        x = Tensor(np.zeros(shape), requires_grad=True)
        assert np.linalg.vector_norm(x, ord=np.inf).item() == 0
        if len(shape) == 2:
            for order in (1, 2, np.inf, "nuc", "fro", None):
                assert np.linalg.matrix_norm(x, ord=order).item() == 0
        with pytest.raises(ShapeError, match="no elements to choose from"):
            np.linalg.vector_norm(x, ord=-np.inf)
