"""eigh and svd where values are equal: the derivatives that exist, and NaN with the reason."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

W = np.random.default_rng(1).standard_normal((4, 4))


def orthogonal(seed: int, size: int = 4) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def symmetric(values: Any, seed: int) -> Any:
    q = orthogonal(seed, len(values))
    whole = (q * np.asarray(values)) @ q.T
    return (whole + whole.T) / 2


def differences(f: Any, a: Any, both: bool) -> Any:
    """The gradient by central differences; along symmetric changes if `both`."""
    found, step = np.zeros_like(a), 1e-5
    for place in np.ndindex(a.shape):
        change = np.zeros_like(a)
        change[place] = step
        change = (change + np.swapaxes(change, -1, -2)) / 2 if both else change
        found[place] = f(mg.Tensor(a + change)).item() - f(mg.Tensor(a - change)).item()
    return found / (2 * step)


def gradient(f: Any, a: Any) -> Any:
    t = mg.Tensor(a, requires_grad=True)
    f(t).backward()
    return t.grad.numpy()


SPECTRA = {
    "itself": lambda w: w,
    "logarithm": np.log,  # 0 at the identity, so that the vectors have no gradient there
    "exponential": np.exp,
    "normalised": lambda w: w / w.sum(),
    "powers": lambda w: w**3 - w,
    "constant": lambda w: w * 0 + 1,
}
AFTERWARDS = {
    "weights": lambda m: (m * W[: m.shape[0], : m.shape[1]]).sum(),
    "sum": lambda m: m.sum(),
    "sines": lambda m: np.sin(m * W[: m.shape[0], : m.shape[1]]).sum(),
}
SYMMETRIC = {
    "identity": np.eye(4),
    "two pairs": symmetric([1.0, 1.0, 2.0, 2.0], 0),
    "three": symmetric([0.5, 0.5, 0.5, 3.0], 1),
}
GENERAL = {
    "identity": np.eye(4),
    "rotation": orthogonal(3),
    "two pairs": orthogonal(4) @ np.diag([1.0, 1.0, 2.0, 2.0]) @ orthogonal(5),
    "tall": orthogonal(6)[:, :3] @ np.diag([2.0, 2.0, 1.0]),
    "wide": np.eye(2, 4),
}


@pytest.mark.parametrize("after", AFTERWARDS)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("matrix", SYMMETRIC)
def test_functions_of_symmetric_matrices(matrix, spectrum, after):
    def f(a: Any) -> Any:
        w, v = np.linalg.eigh(a)
        return AFTERWARDS[after]((v * SPECTRA[spectrum](w)) @ v.T)

    a = SYMMETRIC[matrix]
    expected = differences(f, a, both=True)
    np.testing.assert_allclose(gradient(f, a), expected, atol=1e-7 * (1 + abs(expected).max()))


@pytest.mark.parametrize("after", AFTERWARDS)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("matrix", GENERAL)
def test_functions_of_singular_values_and_vectors(matrix, spectrum, after):
    def f(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        return AFTERWARDS[after]((u * SPECTRA[spectrum](s)) @ vh)

    a = GENERAL[matrix]
    expected = differences(f, a, both=False)
    np.testing.assert_allclose(gradient(f, a), expected, atol=1e-7 * (1 + abs(expected).max()))


def rebuilt(a: Any) -> Any:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return (u * s) @ vh


@given(st.integers(0, 10**6), st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=2, max_size=5))
def test_rebuilding_is_the_identity_for_any_multiplicities(seed, values):
    a = orthogonal(seed, len(values)) @ np.diag(values) @ orthogonal(seed + 1, len(values))
    weights = np.random.default_rng(seed).standard_normal(a.shape)
    np.testing.assert_allclose(
        gradient(lambda t: (rebuilt(t) * weights).sum(), a), weights, atol=1e-12
    )
    b = symmetric(values, seed)

    def again(t: Any) -> Any:
        w, v = np.linalg.eigh(t)
        return (((v * w) @ v.T) * weights).sum()

    np.testing.assert_allclose(gradient(again, b), (weights + weights.T) / 2, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rebuilt_identity_has_the_gradient_one(dtype):
    found = gradient(lambda t: rebuilt(t).sum(), np.eye(3, dtype=dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.ones((3, 3)), rtol=1e-5)


def test_matrices_of_deficient_rank():
    a = np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 0.5])
    weights = W[:3, :3]
    np.testing.assert_allclose(
        gradient(lambda t: (rebuilt(t) * weights).sum(), a), weights, atol=1e-10
    )


@pytest.mark.parametrize(
    "a",
    [
        np.zeros((3, 3)),
        np.diag([1.0, 0.0, 0.0]),
        np.zeros((3, 2)),
        np.zeros((2, 4)),
        np.eye(3, 1) @ np.ones((1, 2)),
        np.eye(2, 1) @ np.eye(1, 4),
        np.stack([np.zeros((3, 2)), np.arange(6.0).reshape(3, 2)]),
    ],
)
def test_singular_values_of_zero(a):
    weights = np.random.default_rng(0).standard_normal(a.shape)

    def f(t: Any) -> Any:
        u, s, vh = np.linalg.svd(t, full_matrices=False)
        return ((u * s[..., None, :]) @ vh * weights).sum()

    np.testing.assert_allclose(gradient(f, a), weights, atol=1e-14)
    if not a.any():
        for choice in (0, 2):
            assert np.isnan(gradient(lambda t, i=choice: mg.svd(t, False)[i].sum(), a)).any()


def test_left_and_right_vectors_of_zeros_are_chosen_apart():
    """Rotating both alike leaves their product as it is; rotating one of them does not."""

    def polar(t: Any) -> Any:
        u, _, vh = np.linalg.svd(t)
        return ((u @ vh) * W[:3, :3]).sum()

    def onto_all(t: Any) -> Any:
        u, _, _ = np.linalg.svd(t)
        return ((u @ u.T) * W[:3, :3]).sum()

    a = np.diag([1.0, 0.0, 0.0])
    assert np.isnan(gradient(polar, a)).all()
    np.testing.assert_allclose(gradient(onto_all, a), np.zeros((3, 3)), atol=1e-12)


def test_the_vector_of_a_matrix_of_zeros_and_one_column_is_any():
    for shape, choice in (((3, 1), 0), ((1, 3), 2)):
        found = gradient(lambda t, i=choice: mg.svd(t, False)[i].sum(), np.zeros(shape))
        assert np.isnan(found).any()


def test_projections_onto_all_vectors_of_a_value_and_onto_others():
    a = symmetric([1.0, 1.0, 1.0, 3.0], 7)

    def onto(part: slice) -> Any:
        def f(t: Any) -> Any:
            chosen = np.linalg.eigh(t)[1][:, part]
            return ((chosen @ chosen.T) * W).sum()

        return f

    for part in (slice(3), slice(3, 4)):
        np.testing.assert_allclose(
            gradient(onto(part), a), differences(onto(part), a, both=True), atol=1e-7
        )
    assert np.isnan(gradient(onto(slice(2)), a)).all()  # two of three: which ones?


def test_stacks_spoil_only_what_has_no_derivative():
    stack = np.stack([np.eye(4), symmetric([1.0, 2.0, 3.0, 4.0], 0)])

    def f(t: Any) -> Any:
        return (np.linalg.eigh(t)[1] * W).sum()

    found = gradient(f, stack)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], gradient(f, stack[1]))


@pytest.mark.parametrize(
    "function",
    [
        lambda t: np.linalg.eigh(t)[1].sum(),  # stationary at the vectors that LAPACK chooses
        lambda t: (np.linalg.eigh(t)[1] * W).sum(),
        lambda t: np.linalg.svd(t)[0].sum(),
        lambda t: (np.linalg.svd(t)[2] ** 2 * W).sum(),
        lambda t: (np.linalg.svd(t)[0] * W).sum() + rebuilt(t).sum(),
    ],
)
def test_a_choice_of_vectors_has_no_derivative_and_the_reason_is_told(function):
    assert np.isnan(gradient(function, np.eye(4))).all()
    t = mg.Tensor(np.eye(4), requires_grad=True)
    with (
        mg.anomaly_mode(),
        pytest.raises(mg.AnomalyError, match=r"are determined up to a rotation only"),
    ):
        function(t).backward()


def test_second_derivatives_are_nan_and_the_reason_is_told():
    t = mg.Tensor(np.eye(3), requires_grad=True)
    for f in (
        lambda t: (rebuilt(t) ** 2).sum(),
        lambda t: (mg.eigvalsh(t) ** 2).sum(),
        lambda t: (mg.svdvals(t) ** 2).sum(),
    ):
        first = mg.gradients(f(t), t, create_graph=True)
        assert np.isfinite(first.numpy()).all()
        assert np.isnan(mg.gradients((first * W[:3, :3]).sum(), t).numpy()).any()
        with (
            mg.anomaly_mode(),
            pytest.raises(mg.AnomalyError, match="decompositions have first derivatives alone"),
        ):
            mg.gradients((mg.gradients(f(t), t, create_graph=True) * W[:3, :3]).sum(), t)


def test_the_recorded_pass_is_an_ordinary_backward_pass():
    t = mg.Tensor(np.eye(4), requires_grad=True)
    seen = []
    u, s, vh = np.linalg.svd(t)
    s.register_hook(lambda g: seen.append("s"))
    whole = (u * s) @ vh
    whole.register_hook(lambda g: seen.append("whole"))
    whole._node.register_hook(lambda inputs, outputs: seen.append("node"))
    s.retain_grad()
    (whole * W).sum().backward(retain_graph=True)
    assert seen == ["whole", "node", "s"]
    np.testing.assert_allclose(s.grad.numpy(), np.diagonal(u.numpy().T @ W @ vh.numpy().T))
    (whole * W).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), 2 * W, atol=1e-12)
    assert not t.grad.requires_grad
    with pytest.raises(mg.GradientError, match="freed"):
        (whole * W).sum().backward()


@pytest.mark.parametrize(
    "of",
    [
        lambda f: mg.grad(f),
        lambda f: lambda a: mg.vjp(f, a)[1](np.float64(1.0))[0],
        lambda f: mg.jacobian(f),
        lambda f: mg.grad(mg.checkpoint(f)),
        lambda f: mg.grad(lambda a: mg.checkpoint(lambda b: f(b) * 1)(a)),
    ],
)
def test_transforms_and_checkpoints(of):
    found = of(lambda a: (rebuilt(a) * W).sum())(np.eye(4))
    np.testing.assert_allclose(found.numpy(), W, atol=1e-12)
