import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import Adam, clip_grad_norm


def textbook_adam(value, gradients, rate, beta1, beta2, epsilon):
    """Algorithm 1 of Kingma and Ba (2015)."""
    m = v = np.zeros_like(value)
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        value = value - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return value


@given(
    rate=st.floats(1e-4, 1.0),
    beta1=st.floats(0, 0.99),
    beta2=st.floats(0, 0.999),
    steps=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
def test_adam_equals_the_paper(rate, beta1, beta2, steps, seed):
    generator = np.random.default_rng(seed)
    start, gradients = generator.standard_normal(3), generator.standard_normal((steps, 3))
    parameter = mg.Tensor(start, requires_grad=True)
    optimizer = Adam([parameter], rate, (beta1, beta2), 1e-8)
    for g in gradients:
        parameter.grad = g
        optimizer.step()
    expected = textbook_adam(start, gradients, rate, beta1, beta2, 1e-8)
    np.testing.assert_allclose(parameter.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_adam_state_moves_to_another_optimizer():
    def run(steps, parameter, optimizer):
        for _ in range(steps):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()

    one = mg.Tensor([1.0, -2.0], requires_grad=True)
    whole = Adam([one], 0.1)
    run(6, one, whole)
    two = mg.Tensor([1.0, -2.0], requires_grad=True)
    first = Adam([two], 0.1)
    run(3, two, first)
    second = Adam([two], 0.5)
    second.load_state_dict(first.state_dict())
    run(3, two, second)
    np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_parameters_without_gradient_stay():
    used, unused = (mg.Tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = Adam([used, unused], 0.1)
    (used * 2).sum().backward()
    optimizer.step()
    assert used.item() != 1
    assert unused.item() == 1
    assert used.dtype == np.float32


def test_optimizer_refuses_what_it_cannot_write():
    leaf = mg.Tensor([1.0], requires_grad=True)
    with pytest.raises(mg.GradientError, match=r"parameters\[0\] f32\[1\] is not a leaf"):
        Adam([leaf * 2])
    with pytest.raises(mg.GradientError, match="is empty"):
        Adam([])
    with pytest.raises(ValueError, match="rate must be 0 or more"):
        Adam([leaf], -1.0)
    with pytest.raises(ValueError, match="betas"):
        Adam([leaf], betas=(0.9, 1.0))
    with pytest.raises(KeyError, match="state of parameter 3"):
        Adam([leaf]).load_state_dict({"3.mean": np.zeros(1), "steps": 1, "rate": 0.1})


def gradients_of(*values):
    leaves = [mg.Tensor(np.zeros(np.shape(v)), requires_grad=True) for v in values]
    for leaf, value in zip(leaves, values, strict=True):
        leaf.grad = np.asarray(value, float)
    return leaves


def test_clipping_scales_to_the_common_norm():
    leaves = gradients_of([3.0, 0.0], [[4.0]])
    assert clip_grad_norm(leaves, 2.5) == pytest.approx(5.0)
    np.testing.assert_allclose(leaves[0].grad.numpy(), [1.5, 0])
    np.testing.assert_allclose(leaves[1].grad.numpy(), [[2.0]])


def test_clipping_leaves_small_gradients_alone():
    leaves = gradients_of([0.3, 0.4])
    assert clip_grad_norm(leaves, 1.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(leaves[0].grad.numpy(), [0.3, 0.4])
    assert clip_grad_norm([mg.Tensor([1.0], requires_grad=True)], 1.0) == 0


def test_clipping_names_what_is_not_finite():
    leaves = gradients_of([1.0], [np.nan, 1.0])
    leaves[1].name = "bias"
    with pytest.raises(mg.GradientError, match=r"not finite \(in bias\)"):
        clip_grad_norm(leaves, 1.0)
    np.testing.assert_array_equal(leaves[0].grad.numpy(), [1.0])
