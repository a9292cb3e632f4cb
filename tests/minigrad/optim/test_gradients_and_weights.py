"""Clipping of gradients and averages of weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.optim import SGD, ExponentialAverage, clip_grad_norm, clip_grad_value

FLOATS = st.floats(-1e3, 1e3)


def gradients_of(*values):
    leaves = [mg.Tensor(np.zeros(np.shape(v)), requires_grad=True) for v in values]
    for leaf, value in zip(leaves, values, strict=True):
        leaf.grad = np.asarray(value, float)
    return leaves


@given(
    st.lists(hnp.arrays(np.float64, hnp.array_shapes(min_side=0), elements=FLOATS), max_size=4),
    st.floats(0, 100),
    st.sampled_from([1.0, 2.0, 3.5, math.inf]),
)
def test_the_clipped_norm_is_at_most_the_largest_and_the_direction_stays(arrays, largest, order):
    leaves = gradients_of(*arrays)
    norm = clip_grad_norm(leaves, largest, order)
    flat = np.concatenate([np.zeros(1), *(array.ravel() for array in arrays)])
    assert norm == pytest.approx(np.linalg.norm(flat, order), rel=1e-9)
    scale = min(1.0, largest / (norm + 1e-6))
    for leaf, array in zip(leaves, arrays, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), array * scale, rtol=1e-12)


def test_clipping_leaves_small_gradients_alone():
    leaves = gradients_of([0.3, 0.4])
    kept = leaves[0].grad
    assert clip_grad_norm(leaves, 1.0) == pytest.approx(0.5)
    assert leaves[0].grad is kept
    assert clip_grad_norm([mg.Tensor([1.0], requires_grad=True)], 1.0) == 0
    assert clip_grad_norm(leaves[0], 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_squares_that_leave_the_dtype_do_not_matter(dtype):
    for size in (np.finfo(dtype).max / 8, float(np.finfo(dtype).tiny) * 8):
        leaf = mg.Tensor(np.zeros(2, dtype), requires_grad=True)
        leaf.grad = np.array([3 * size, 4 * size], dtype) / dtype(2)
        assert clip_grad_norm([leaf], 1.0) == pytest.approx(2.5 * size, rel=2e-3)
        assert leaf.grad.dtype == dtype


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_clipping_names_what_is_not_finite(wrong, order):
    for values in ([1.0], [wrong, 1.0]), ([1.0], [1.0, wrong]):
        leaves = gradients_of(*values)
        leaves[1].name = "bias"
        with pytest.raises(mg.GradientError, match=r"not finite \(in bias\)"):
            clip_grad_norm(leaves, 1.0, order)
        np.testing.assert_array_equal(leaves[0].grad.numpy(), [1.0])


def test_clipping_refuses_limits_that_make_no_sense():
    leaves = gradients_of([1.0])
    with pytest.raises(ValueError, match="max_norm must be 0 or more, got -1"):
        clip_grad_norm(leaves, -1.0)
    with pytest.raises(ValueError, match="norm_type must be above 0, got 0"):
        clip_grad_norm(leaves, 1.0, 0)
    with pytest.raises(ValueError, match="max_value must be 0 or more"):
        clip_grad_value(leaves, -1.0)


def test_clipping_by_value_clips_infinity_and_refuses_nan():
    leaves = gradients_of([np.inf, -0.2], [-7.0])
    clip_grad_value(leaves, 0.5)
    np.testing.assert_array_equal(leaves[0].grad.numpy(), [0.5, -0.2])
    np.testing.assert_array_equal(leaves[1].grad.numpy(), [-0.5])
    leaves = gradients_of([np.nan])
    leaves[0].name = "weight"
    with pytest.raises(mg.GradientError, match="NaN in the gradients of weight"):
        clip_grad_value(leaves, 0.5)


# -- averages --------------------------------------------------------------------------------------


def set_values(tensor, *values):
    tensor.write(np.array(values, tensor.dtype))


@given(st.lists(FLOATS, min_size=1, max_size=10), st.floats(0, 1))
def test_the_average_is_the_weighted_sum_of_its_past(values, decay):
    weight = mg.Tensor(np.zeros(1), requires_grad=True)
    average = ExponentialAverage([weight], decay)
    for value in values:
        set_values(weight, value)
        average.update()
    expected = values[0]
    for value in values[1:]:
        expected = decay * expected + (1 - decay) * value
    assert average.averages[0].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_swapping_in_gives_the_weights_back_even_after_an_error():
    weight = mg.Tensor([1.0], requires_grad=True)
    average = ExponentialAverage([weight], 0.5)
    average.update()
    set_values(weight, 3.0)
    average.update()

    def fail():
        with average.swapped_in():
            assert weight.item() == 2.0
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert weight.item() == 3.0
    assert average.averages[0].item() == 2.0


def test_training_while_swapped_in_is_noticed():
    weight = mg.Tensor([1.0], requires_grad=True)
    weight.name = "gain"
    average = ExponentialAverage([weight])
    weight.grad = [1.0]
    with pytest.raises(mg.GradientError, match=r"gain .* was written while"), average.swapped_in():
        SGD([weight], rate=0.5).step()
    assert weight.item() == 1.0


def test_a_saved_average_goes_on_exactly_and_checks_what_it_gets():
    weights = [mg.Tensor([1.0, 2.0], requires_grad=True), mg.Tensor([[3.0]], requires_grad=True)]
    first, second = ExponentialAverage(weights, 0.9), ExponentialAverage(weights, 0.9)
    first.update()
    second.load_state_dict(first.state_dict())
    set_values(weights[0], 5.0, 6.0)
    for average in (first, second):
        average.update()
    np.testing.assert_array_equal(first.averages[0], second.averages[0])
    with pytest.raises(KeyError, match="2 parameters here, and names for 1 there"):
        first.load_state_dict(ExponentialAverage(weights[:1]).state_dict())
    wrong = first.state_dict() | {"averages.0": np.zeros(3)}
    with pytest.raises(mg.ShapeError, match=r"averages.0 has shape \(3,\) there and \(2,\) here"):
        first.load_state_dict(wrong)


@pytest.mark.parametrize(
    ("parameters", "decay", "message"),
    [([], 0.9, "is empty"), ([mg.Tensor([1.0])], 1.5, "decay must be between 0 and 1")],
)
def test_averages_check_their_options(parameters, decay, message):
    with pytest.raises(ValueError, match=message):
        ExponentialAverage(parameters, decay)
