import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import Tensor
from minigrad.testing import Input, property_test

ORDERS = ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]
shapes = st.sampled_from([(2, 3), (3, 2), (1, 1), (2, 2, 3), (0, 2, 2)])


def apart(a):
    """Matrices of which no two columns, rows or singular values have the same sum or size."""
    m, n = a.shape[-2:]
    return a * np.outer(4.0 ** np.arange(m), 2.0 ** np.arange(n)).astype(a.dtype)


def regular(a):
    m, n = a.shape[-2:]
    return a * 0.2 + np.eye(m, n, dtype=a.dtype) * (np.arange(1, n + 1, dtype=a.dtype) * 2)


@pytest.mark.parametrize("ord", ORDERS)
def test_matrix_norm(ord):
    lapack = ord in ("nuc", 2, -2)
    make = regular if lapack else apart
    property_test(
        lambda a, **options: minigrad.matrix_norm(make(a), ord=ord, **options),
        Input(1.0, 1.4, shape=shapes),
        params={"keepdims": st.booleans()},
        reference=lambda a, **options: np.linalg.matrix_norm(make(a), ord=ord, **options),
        dtypes=(np.float32, np.float64) if lapack else (np.float16, np.float32, np.float64),
        analytic=False,
    )()


@pytest.mark.parametrize("p", [None, *ORDERS])
def test_cond(p):
    property_test(
        lambda a: minigrad.cond(a * 0.2 + np.diag(np.array([1, 2], a.dtype)), p),
        Input(-1, 1, shape=st.sampled_from([(2, 2), (3, 2, 2), (0, 2, 2)])),
        reference=lambda a: np.linalg.cond(a * 0.2 + np.diag(np.array([1, 2], a.dtype)), p),
        dtypes=(np.float32, np.float64),
        analytic=False,
    )()


def test_cond_of_singular_and_of_wide_matrices():
    assert minigrad.cond(Tensor(np.ones((2, 2)) * 0)).item() == np.inf
    wide = np.arange(6.0).reshape(2, 3)
    assert minigrad.cond(Tensor(wide)).item() == pytest.approx(np.linalg.cond(wide))


@pytest.mark.parametrize("ord", ["fro", "nuc", 2])
def test_zero_matrices_have_a_finite_gradient(ord):
    t = Tensor(np.zeros((2, 2)), requires_grad=True)
    norm = np.linalg.matrix_norm(t, ord=ord)
    norm.backward(create_graph=True)
    assert norm.item() == 0
    assert np.isfinite(t.grad.numpy()).all()
    if ord == "fro":
        assert (t.grad.numpy() == 0).all()
        (again,) = minigrad.gradients(t.grad.sum(), [t])
        assert (again.numpy() == 0).all()


def test_frobenius_norms_do_not_overflow():
    t = Tensor(np.full((2, 2), 1e200), requires_grad=True)
    norm = minigrad.matrix_norm(t)
    norm.backward()
    assert norm.item() == pytest.approx(2e200)
    np.testing.assert_allclose(t.grad.numpy(), 0.5)


@pytest.mark.parametrize("ord", ORDERS)
def test_integers_become_floats_first(ord):
    whole = np.array([[100, 50], [7, 100]], np.int8)
    norm = minigrad.matrix_norm(whole, ord=ord)
    assert norm.dtype == np.float64
    assert norm.item() == pytest.approx(np.linalg.norm(whole.astype(float), ord))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: minigrad.matrix_norm(t[0]), r"matrix_norm: x must hold matrices .* f64\[3\]"),
        (lambda t: minigrad.matrix_norm(t, ord=3), "matrix_norm: ord must be 'fro'.* got 3"),
        (lambda t: minigrad.cond(t[:0]), "cond: needs matrices .* that are not empty"),
    ],
)
def test_wrong_calls(call, words):
    with pytest.raises(ValueError, match=words):
        call(Tensor(np.eye(3), requires_grad=True))
