"""Transforms against closed forms, against each other and nested."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import strategies
from minigrad.transforms import jacobians

generator = np.random.default_rng(7)


def lstm_like(w: Any) -> Any:
    """Two steps of an LSTM-like cell of two units; `w` holds its 24 weights."""
    w = w.reshape(8, 3)
    h, c = np.zeros(2), np.zeros(2)
    for x in (0.5, -1.0):
        z = w @ mg.concatenate([np.array([x]), h])
        i, f, o = (mg.sigmoid(z[2 * k : 2 * k + 2]) for k in range(3))
        c = f * c + i * np.tanh(z[6:])
        h = o * np.tanh(c)
    return (h * h).sum()


def differences(f: Any, x: Any, h: float = 1e-5) -> Any:
    """The Jacobian by central differences."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = h
        e = e.reshape(x.shape)
        columns.append((f(x + e) - f(x - e)) / (2 * h))
    return np.stack(columns, axis=-1)


# -- closed forms --------------------------------------------------------------------------------


@given(st.floats(-2, 2))
def test_derivatives_of_sine_to_sixth_order(x):
    f = np.sin
    for order in range(1, 7):
        f = mg.grad(f)
        expected = math.sin(x + order * math.pi / 2)
        assert f(np.float64(x)).item() == pytest.approx(expected, abs=1e-12)


def test_sixth_derivative_of_a_power():
    f = lambda x: x**7  # noqa: E731
    for _ in range(6):
        f = mg.grad(f)
    assert f(np.float64(2.0)).item() == pytest.approx(math.factorial(7) * 2.0)


def test_sixth_derivative_of_tanh_through_composed_operations():
    def tanh(x):
        e = np.exp(-2 * x)
        return (1 - e) / (1 + e)

    mine, composed = np.tanh, tanh
    for _ in range(6):
        mine, composed = mg.grad(mine), mg.grad(composed)
    x = np.float64(0.3)
    assert mine(x).item() == pytest.approx(composed(x).item(), rel=1e-11)


def test_python_float_gives_the_default_dtype():
    slope = mg.grad(lambda x: x * x)(2.0)
    assert isinstance(slope, mg.Tensor)
    assert slope.dtype == np.float32
    assert slope.item() == 4.0
    with mg.default_dtype("float64"):
        assert mg.grad(lambda x: x * x)(2.0).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept(dtype):
    x = np.array([1.0, 2.0], dtype)
    assert mg.grad(lambda x: (x * x).sum())(x).dtype == dtype
    assert mg.jacobian(np.tanh)(x).dtype == dtype
    assert mg.hessian(lambda x: (x**3).sum())(x).dtype == dtype
    out, tangent = mg.jvp(np.tanh, x, np.ones(2))
    assert out.dtype == tangent.dtype == dtype


def test_value_and_grad_with_aux_and_argnums():
    def f(x, y, scale=1.0):
        return (x * y).sum() * scale, {"twice": 2 * x, "note": "kept", "nothing": None}

    x, y = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    (value, aux), (by_y, by_x) = mg.value_and_grad(f, argnums=(1, 0), has_aux=True)(x, y, scale=2.0)
    assert value.item() == 26.0
    np.testing.assert_array_equal(by_x.numpy(), 2 * y)
    np.testing.assert_array_equal(by_y.numpy(), 2 * x)
    assert aux["note"] == "kept"
    assert aux["nothing"] is None
    assert not aux["twice"].requires_grad
    gradient, _ = mg.grad(f, argnums=-1, has_aux=True)(x, y)
    np.testing.assert_array_equal(gradient.numpy(), x)


def test_jacobian_in_both_modes_and_of_several_arguments():
    x, w = generator.standard_normal(3), generator.standard_normal((2, 3))
    f = lambda x, w: np.tanh(w @ x)  # noqa: E731
    expected = (1 - np.tanh(w @ x) ** 2)[:, None] * w
    for mode in ("reverse", "forward", None):
        by_x, by_w = mg.jacobian(f, argnums=(0, 1), mode=mode)(x, w)
        np.testing.assert_allclose(by_x.numpy(), expected, rtol=1e-12)
        assert by_w.shape == (2, 2, 3)
        np.testing.assert_allclose(by_w.numpy()[0, 1], np.zeros(3))
        np.testing.assert_allclose(by_w.numpy()[1, 1], (1 - np.tanh(w @ x)[1] ** 2) * x, rtol=1e-12)


def test_jacobian_chooses_forward_for_few_inputs(monkeypatch):
    used = []
    original = jacobians.by_columns
    monkeypatch.setattr(
        jacobians, "by_columns", lambda *args: used.append("forward") or original(*args)
    )
    jac = mg.jacobian(lambda x: x * np.arange(50.0))(np.float64(2.0))
    np.testing.assert_array_equal(jac.numpy(), np.arange(50.0))
    assert used == ["forward"]


def test_jacobian_of_a_matrix_valued_function_of_a_matrix():
    x = generator.standard_normal((2, 2))
    jac = mg.jacobian(lambda x: x @ x)(x).numpy()
    eye = np.eye(2)
    expected = np.einsum("ik,lj->ijkl", eye, x) + np.einsum("ik,jl->ijkl", x, eye)
    np.testing.assert_allclose(jac, expected)
    np.testing.assert_allclose(
        mg.jacobian(lambda x: x @ x, mode="forward")(x).numpy(), expected, atol=1e-14
    )


def test_hessian_of_a_quadratic_form_and_of_an_lstm():
    a = generator.standard_normal((4, 4))
    x = generator.standard_normal(4)
    np.testing.assert_allclose(mg.hessian(lambda x: x @ a @ x)(x).numpy(), a + a.T, rtol=1e-12)
    w = generator.standard_normal(24)
    hess = mg.hessian(lstm_like)(w).numpy()
    np.testing.assert_allclose(hess, hess.T, atol=1e-13)
    expected = differences(lambda w: mg.grad(lstm_like)(w).numpy(), w)
    np.testing.assert_allclose(hess, expected, atol=1e-8)
    v = generator.standard_normal(24)
    np.testing.assert_allclose(mg.hvp(lstm_like, w, v).numpy(), hess @ v, rtol=1e-10, atol=1e-12)


def test_third_derivative_tensor_by_nested_jacobians():
    f = lambda x: (x**3).sum() + x[0] * x[1] * x[2]  # noqa: E731
    x = np.array([1.0, 2.0, 3.0])
    third = mg.jacobian(mg.jacobian(mg.jacobian(f)))(x).numpy()
    expected = np.zeros((3, 3, 3))
    for i in range(3):
        expected[i, i, i] = 6
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 1
    np.testing.assert_allclose(third, expected)


def test_nested_jvp_is_the_higher_derivative():
    def along(f):
        return lambda x: mg.jvp(f, x, np.float64(1.0))[1]

    f = np.sin
    for order in range(1, 6):
        f = along(f)
        expected = math.sin(0.4 + order * math.pi / 2)
        assert f(np.float64(0.4)).item() == pytest.approx(expected)


def test_modes_mix():
    f = lambda x: np.exp(2 * x) * x  # noqa: E731
    second = 4 * math.exp(1.0) * (0.5 + 1)  # (4 x + 4) exp(2 x) at x = 0.5
    x = np.float64(0.5)
    forward_over_reverse = mg.jvp(mg.grad(f), x, 1.0)[1]
    reverse_over_forward = mg.grad(lambda x: mg.jvp(f, x, np.float64(1.0))[1])(x)
    assert forward_over_reverse.item() == pytest.approx(second)
    assert reverse_over_forward.item() == pytest.approx(second)


# -- perturbation confusion ----------------------------------------------------------------------


def test_inner_and_outer_variables_are_not_confused():
    # Siskind and Pearlmutter, "Perturbation confusion and referential transparency" (2005).
    assert mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))(1.0).item() == 1.0
    assert mg.grad(lambda x: x * mg.grad(lambda y: x * y)(2.0))(3.0).item() == 6.0
    assert mg.grad(lambda x: mg.grad(lambda y: x * y * y)(x))(3.0).item() == 12.0


def test_the_same_tensor_as_input_and_closed_over():
    x = mg.Tensor(3.0, dtype="float64", requires_grad=True)
    slope = mg.grad(lambda y: x * y)(x)  # only the argument counts
    assert slope.item() == 3.0
    assert mg.gradients(slope, x).item() == 1.0


def test_confusion_in_forward_mode():
    # Manzyuk and others, "Perturbation confusion in forward automatic differentiation" (2019).
    def derivative(f):
        return lambda x: mg.jvp(f, x, np.float64(1.0))[1]

    assert derivative(lambda x: x * derivative(lambda y: x * y)(2.0))(np.float64(3.0)).item() == 6.0

    def shifted(u):
        return lambda f: lambda x: f(x + u)

    # The derivative of a curried function by its first argument, applied twice.
    def by_shift(f):
        return lambda x: derivative(lambda u: shifted(u)(f)(x))(np.float64(0.0))

    assert by_shift(by_shift(np.sin))(np.float64(0.7)).item() == pytest.approx(-math.sin(0.7))


# -- consistency ---------------------------------------------------------------------------------

FUNCTIONS = {
    "elementwise": lambda x, w: np.tanh(x * w) + np.exp(-x),
    "matmul": lambda x, w: np.sin(x) @ np.cos(w),
    "index": lambda x, w: x[np.array([0, 1, 1])] * w[::-1][:1],
    "reduce": lambda x, w: (x * x).mean(axis=0) * w.sum(),
    "softmax": lambda x, w: mg.softmax(x @ w, axis=-1),
    "several": lambda x, w: [x.sum(axis=0), (x @ w) ** 2],
}


@given(st.sampled_from(sorted(FUNCTIONS)), st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_jvp_and_vjp_are_adjoint(name, seed, n):
    rng = np.random.default_rng(seed)
    f = FUNCTIONS[name]
    x, w, dx, dw = (rng.standard_normal((n, n)) for _ in range(4))
    outputs, pullback = mg.vjp(f, x, w)
    same, tangents = mg.jvp(f, (x, w), (dx, dw))
    single = not isinstance(outputs, list)
    outs, tans, sames = ([v] if single else v for v in (outputs, tangents, same))
    us = [rng.standard_normal(out.shape) for out in outs]
    gx, gw = pullback(us[0] if single else us)
    left = sum(float((u * t.numpy()).sum()) for u, t in zip(us, tans, strict=True))
    right = float((gx.numpy() * dx).sum() + (gw.numpy() * dw).sum())
    assert left == pytest.approx(right, rel=1e-9, abs=1e-11)
    for a, b in zip(outs, sames, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@given(
    strategies.arrays(strategies.shapes(max_dims=2, max_side=3)),
    st.sampled_from([np.tanh, np.sin, lambda x: x * x, lambda x: np.exp(x).sum(axis=0)]),
)
def test_both_modes_of_jacobian_agree(x, f):
    if x.ndim == 0:
        f = np.tanh
    reverse = mg.jacobian(f, mode="reverse")(x)
    forward = mg.jacobian(f, mode="forward")(x)
    assert reverse.shape == forward.shape == np.shape(f(x)) + x.shape
    np.testing.assert_allclose(reverse.numpy(), forward.numpy(), rtol=1e-12, atol=1e-14)


@given(st.integers(0, 2**32 - 1))
def test_hvp_is_the_hessian_times_the_vector(seed):
    rng = np.random.default_rng(seed)
    a, x, v = rng.standard_normal((3, 3)), rng.standard_normal(3), rng.standard_normal(3)
    f = lambda x: np.exp(np.sin(a @ x)).sum()  # noqa: E731
    hess = mg.hessian(f)(x).numpy()
    np.testing.assert_allclose(mg.hvp(f, x, v).numpy(), hess @ v, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(hess, hess.T, rtol=1e-9, atol=1e-11)
    z = a @ x
    inner = np.exp(np.sin(z)) * (np.cos(z) ** 2 - np.sin(z))
    np.testing.assert_allclose(hess, a.T @ np.diag(inner) @ a, rtol=1e-9, atol=1e-11)


def square_times(x, z):
    return x * x * z


@mg.fused(
    reference=square_times,
    backward=lambda grads, residuals, inputs, needed: (
        2 * grads[0] * inputs[0] * inputs[1],
        grads[0] * residuals,
    ),
)
def fused_square_times(x, z):
    """x * x * z as one kernel."""
    return x * x * z, x * x


def test_fused_operations_with_repeated_inputs_in_every_transform():
    x = np.float64(0.7)
    plain = lambda x: square_times(x, np.tanh(x)) + square_times(x, x)  # noqa: E731
    kernel = lambda x: fused_square_times(x, np.tanh(x)) + fused_square_times(x, x)  # noqa: E731
    for transform in (
        mg.grad,
        mg.hessian,
        lambda f: mg.grad(mg.hessian(f)),
        lambda f: lambda x: mg.jvp(f, x, 1.0)[1],
        lambda f: lambda x: mg.jvp(mg.grad(f), x, 1.0)[1],
        lambda f: lambda x: mg.hvp(f, x, 1.0),
    ):
        assert transform(kernel)(x).item() == pytest.approx(transform(plain)(x).item(), rel=1e-12)


KERNELS = {
    "cross_entropy": lambda x: mg.cross_entropy(x * x, np.arange(5) % 4),
    "layer_norm": lambda x: mg.layer_norm(x, x[0], np.tanh(x[1])),
    "attention": lambda x: mg.scaled_dot_product_attention(x, x, np.tanh(x), causal=True),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_in_both_directions_and_to_second_order(name):
    f = KERNELS[name]
    x, v = generator.standard_normal((5, 4)), generator.standard_normal((5, 4))

    def along(f, h=1e-4):
        # Central differences at two step sizes, extrapolated.
        wide, narrow = (f(x + s * v) - f(x - s * v) for s in (2 * h, h))
        return (8 * narrow - wide) / (12 * h)

    out, tangent = mg.jvp(f, x, v)
    np.testing.assert_allclose(tangent.numpy(), along(lambda x: f(x).numpy()), atol=1e-9)
    u = generator.standard_normal(out.shape)
    (g,) = mg.vjp(f, x)[1](u)
    assert (g.numpy() * v).sum() == pytest.approx((u * tangent.numpy()).sum(), rel=1e-10)
    scalar = lambda x: (f(x) ** 2).sum()  # noqa: E731
    product = mg.hvp(scalar, x, v).numpy()
    np.testing.assert_allclose(product, along(lambda x: mg.grad(scalar)(x).numpy()), atol=1e-8)
    forward_over_reverse = mg.jvp(mg.grad(scalar), x, v)[1].numpy()
    np.testing.assert_allclose(forward_over_reverse, product, rtol=1e-9, atol=1e-11)
