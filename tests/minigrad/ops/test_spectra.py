"""Second derivatives of eigenvalues and singular values, some of which are equal."""

import numpy as np
import pytest

import minigrad as mg

W = np.random.default_rng(1).standard_normal((4, 4))


def difference_of_gradients(f, a, direction, step=1e-5):
    """How the gradient of `f` changes in a direction, by differences."""
    sides = []
    for sign in (1, -1):
        t = mg.Tensor(a + sign * step * direction, requires_grad=True)
        sides.append(mg.gradients(f(t), t).numpy())
    return (sides[0] - sides[1]) / (2 * step)


def second(f, a, direction):
    t = mg.Tensor(a, requires_grad=True)
    first = mg.gradients(f(t), t, create_graph=True)
    return mg.gradients((first * direction).sum(), t).numpy()


Q = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
P = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
SYMMETRIC = (W[:4, :4] + W[:4, :4].T) / 2


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [2.0, 2.0, 2.0, -1.0], [0, 0, 0, 3]])
@pytest.mark.parametrize("values", [[1, 1, 1, 4], [2, 2, 2, 2.5], [0, 0, 0, 1], [1, 2, 3, 4]])
def test_sums_of_equal_eigenvalues_have_second_derivatives(values, weights):
    a = (Q * np.array(values, float)) @ Q.T
    a = (a + a.T) / 2

    def f(t):
        return (mg.eigvalsh(t) * np.array(weights, float)).sum()

    expected = difference_of_gradients(f, a, SYMMETRIC)
    np.testing.assert_allclose(second(f, a, SYMMETRIC), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(second(lambda t: mg.eigvalsh(t).sum(), 2 * np.eye(4), W), 0)


@pytest.mark.parametrize("weights", [[1, 1, 1], [2.0, 2.0, -1.0], [3, 3, 0]])
@pytest.mark.parametrize("values", [[2, 2, 1], [3, 3, 0.5], [3, 2, 1]])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("square", [False, True])
def test_sums_of_equal_singular_values_have_second_derivatives(values, weights, turned, square):
    a = ((P if square else Q[:, :3]) * np.array(values, float)) @ P.T
    a, direction = (a.T, W[:4, :3].T) if turned else (a, W[: len(a), :3])
    direction = direction[: a.shape[0], : a.shape[1]]

    def f(t):
        return (mg.svdvals(t) * np.array(weights, float)).sum()

    expected = difference_of_gradients(f, a, direction)
    np.testing.assert_allclose(second(f, a, direction), expected, rtol=1e-5, atol=1e-7)


def test_the_nuclear_norm_at_the_identity_is_twice_differentiable():
    found = second(lambda t: np.linalg.norm(t, "nuc"), np.eye(3), W[:3, :3])
    np.testing.assert_allclose(found, (W[:3, :3] - W[:3, :3].T) / 2, atol=1e-12)


def test_weights_that_differ_or_depend_on_the_values_have_none_there():
    for f in (
        lambda t: (mg.eigvalsh(t) * np.array([1.0, 2.0, 2.0])).sum(),
        lambda t: (mg.svdvals(t) * np.array([1.0, 2.0, 2.0])).sum(),
        lambda t: np.exp(mg.eigvalsh(t)).sum(),
        lambda t: np.log(mg.svdvals(t).sum()),
    ):
        assert np.isnan(second(f, np.eye(3), W[:3, :3])).any()
