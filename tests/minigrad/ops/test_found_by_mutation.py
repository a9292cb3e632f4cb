"""Rules that `tests/mutation.py` found to be changeable without any other test noticing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.ops.fusing import kernels_kept
from minigrad.ops.natives import WORTH_ROWS
from minigrad.testing import Input, check_gradients, examples, property_test


def leaf(value):
    return Tensor(np.array(value, np.float64), requires_grad=True)


@pytest.mark.parametrize("extremum", [np.maximum, np.minimum])
def test_ties_share_a_gradient_that_is_not_1(extremum):
    x, z = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    extremum(x, z).backward(np.array([3.0, -4.0]))
    assert x.grad.tolist() == [1.5, -2.0]
    assert z.grad.tolist() == [1.5, -2.0]


def test_the_exponent_of_a_negative_number_has_no_derivative():
    z = leaf([2.0, 3.0])
    with np.errstate(invalid="ignore"):
        y = (-2.0) ** z
    y.sum().backward()
    assert y.tolist() == [4.0, -8.0]
    assert np.isnan(z.grad.numpy()).all()


test_assigned_values_may_have_leading_axes_of_length_1 = property_test(
    lambda x, value: _assigned(x, value),
    Input(shape=(3, 2)),
    Input(shape=st.sampled_from([(1, 1, 2), (1, 2), (1, 1, 1, 1), (1,)])),
)


def _assigned(x, value):
    y = x * 1
    y[1] = value
    return y


test_repeats_along_the_last_axis = property_test(
    lambda x: mg.repeat(x, [0, 2, 1], axis=-1),
    Input(shape=st.sampled_from([(2, 3), (2, 2, 3), (3,)])),
    reference=lambda x: np.repeat(x, [0, 2, 1], axis=-1),
)


@pytest.mark.parametrize("options", [{"p": 0.0}, {"p": 0.5, "training": False}])
def test_dropout_that_drops_nothing_passes_gradients_on(options):
    x = leaf([1.0, 2.0])
    mg.dropout(x, **options).backward(np.array([3.0, -4.0]))
    assert x.grad.tolist() == [3.0, -4.0]


@examples(0.2)
@given(seed=st.integers(0, 100), n=st.integers(1, 3), stack=st.sampled_from([(), (2,)]))
def test_third_derivatives_of_determinants(seed, n, stack):
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((*stack, n, n)) + 3 * np.eye(n)
    weights = generator.standard_normal((*stack, n, n))

    def slope(a):
        # Squared, so that the gradient that comes back depends on the matrix as well.
        return (mg.grad(lambda t: mg.det(t).sum())(a) ** 2 * weights).sum()

    check_gradients(slope, a, rtol=1e-5)


@pytest.mark.parametrize("function", [np.logaddexp, np.logaddexp2])
def test_cumulative_sums_over_no_elements_have_empty_gradients(function):
    x = leaf(np.ones((3, 0)))
    function.accumulate(x, axis=1).sum().backward()
    assert x.grad.shape == (3, 0)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_slope_of_many_elements_is_that_of_a_few(approximate):
    """Many are computed by native code, where there is some."""
    numbers = np.linspace(-6, 6, WORTH_ROWS, dtype=np.float32)
    gradient = np.linspace(1, 2, WORTH_ROWS, dtype=np.float32)
    many = Tensor(numbers, requires_grad=True)
    mg.gelu(many, approximate).backward(gradient)
    for part in (slice(0, 99), slice(32_700, 32_800), slice(WORTH_ROWS - 99, None)):
        few = Tensor(numbers[part], requires_grad=True)
        mg.gelu(few, approximate).backward(gradient[part])
        np.testing.assert_allclose(many.grad.numpy()[part], few.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_rows_of_an_embedding_share_by_how_often_they_are_taken():
    weight = leaf(np.ones((3, 2)))
    gradient = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    mg.embedding(weight, [2, 0, 2], scale_grad_by_freq=True).backward(gradient)
    assert weight.grad.tolist() == [[3.0, 4.0], [0.0, 0.0], [3.0, 4.0]]


def test_the_slope_of_a_cross_entropy_of_many_rows_is_the_softmax_less_the_class():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(WORTH_ROWS // 64, 64)).astype(np.float32)
    classes = rng.integers(0, 64, len(numbers))
    x = Tensor(numbers, requires_grad=True)
    mg.cross_entropy(x, classes, reduction="sum").backward()
    exponentials = np.exp(numbers.astype(np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(64)[classes]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("norm", [mg.rms_norm, mg.layer_norm])
def test_norms_of_many_rows_have_the_slopes_of_a_few(norm):
    numbers, gradient = (
        np.random.default_rng(i).normal(size=(WORTH_ROWS // 64, 64)).astype(np.float32)
        for i in range(2)
    )
    many = Tensor(numbers, requires_grad=True)
    norm(many).backward(gradient)
    few = Tensor(numbers[:5], requires_grad=True)
    norm(few).backward(gradient[:5])
    np.testing.assert_allclose(many.grad.numpy()[:5], few.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_attention_in_blocks_has_the_slopes_of_the_plain_one_where_kernels_are_kept():
    numbers = np.random.default_rng(0).normal(size=(4, 2, 5, 3)).astype(np.float32)

    def slopes(method):
        inputs = [Tensor(part, requires_grad=True) for part in numbers[:3]]
        token = kernels_kept.set(True)
        try:
            mg.scaled_dot_product_attention(*inputs, method=method).backward(numbers[3])
        finally:
            kernels_kept.reset(token)
        return [x.grad.numpy() for x in inputs]

    for one, other in zip(slopes("blockwise"), slopes("plain"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_compiled_embedding_of_indices_in_a_tensor_leaves_the_padding_out():
    numbers = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    index = Tensor(np.array([0, 2]))

    def slope(w):
        y = (mg.embedding(w, index, padding_idx=0) ** 3).sum()
        return (mg.gradients(y, w, create_graph=True) ** 2).sum()  # (3 w^2)^2 of row 2

    compiled = mg.compile(lambda w: mg.gradients(slope(w), w))
    for factor in (1, 2, -3):
        expected = np.zeros((3, 2))
        expected[2] = 36 * (factor * numbers[2]) ** 3
        np.testing.assert_allclose(compiled(leaf(factor * numbers)).numpy(), expected)
