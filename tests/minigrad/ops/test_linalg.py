import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad
from minigrad import GradientError, Tensor, gradients
from minigrad.testing import Input, check_gradients, property_test

LAPACK = (np.float32, np.float64)
stacks = st.sampled_from([(), (), (2,), (0,), (2, 2)])


@st.composite
def matrix(draw, square=False, tall=None):
    """The shape of a stack of matrices."""
    m, n = draw(st.integers(0 if square else 1, 3)), draw(st.integers(1, 3))
    if tall is not None:
        m, n = (max(m, n), min(m, n)) if tall else (min(m, n), max(m, n))
    return (*draw(stacks), *((m, m) if square else (m, n)))


squares = matrix(square=True).map(lambda shape: (shape,))
rectangles = st.one_of(matrix(), matrix(tall=True), matrix(tall=False)).map(lambda shape: (shape,))


def regular(a):
    """Matrices far from singular, with eigenvalues and singular values apart from each other."""
    m, n = a.shape[-2:]
    return a * 0.2 + np.eye(m, n, dtype=a.dtype) * (np.arange(1, n + 1, dtype=a.dtype) * 2)


def symmetric(a):
    """Positive definite matrices, with eigenvalues apart from each other."""
    b = regular(a)
    return b @ np.swapaxes(b, -1, -2)


def of(function, make):
    """A function of the matrices that `make` makes of any."""
    return lambda a, **options: function(make(a), **options)


test_inv = property_test(
    of(minigrad.inv, regular),
    Input(),
    shapes=squares,
    reference=of(np.linalg.inv, regular),
    dtypes=LAPACK,
    analytic=True,
)
test_det = property_test(
    minigrad.det,
    Input(),
    shapes=squares,
    reference=np.linalg.det,
    dtypes=LAPACK,
    analytic=True,
)
test_slogdet = property_test(
    of(minigrad.slogdet, regular),
    Input(),
    shapes=squares,
    reference=of(np.linalg.slogdet, regular),
    dtypes=LAPACK,
    analytic=False,
)


@st.composite
def solve_shapes(draw):
    n = draw(st.integers(0, 3))
    stack = draw(st.sampled_from([(), (2,), (0,)]))
    if draw(st.booleans()):
        return (*stack, n, n), (n,)
    other = draw(st.sampled_from([(), stack, (2, 1) if stack else ()]))
    return (*stack, n, n), (*other, n, draw(st.integers(0, 2)))


test_solve = property_test(
    lambda a, b: minigrad.solve(regular(a), b),
    Input(),
    Input(),
    shapes=solve_shapes(),
    reference=lambda a, b: np.linalg.solve(regular(a), b),
    dtypes=LAPACK,
    analytic=True,
)


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(upper):
    property_test(
        of(minigrad.cholesky, symmetric),
        Input(),
        shapes=squares,
        params={"upper": upper},
        reference=of(np.linalg.cholesky, symmetric),
        dtypes=LAPACK,
        analytic=False,
    )()


test_qr = property_test(
    of(minigrad.qr, regular),
    Input(),
    shapes=rectangles,
    reference=of(np.linalg.qr, regular),
    dtypes=LAPACK,
    analytic=False,
)


def eigh_without_signs(a, eigh=minigrad.eigh):
    values, vectors = eigh(symmetric(a))
    return values, vectors[..., :, None, :] * vectors[..., None, :, :]


def svd_without_signs(a, svd=minigrad.svd):
    u, s, vh = svd(regular(a), full_matrices=False)
    k = s.shape[-1]
    pairs = u[..., :, None, :] * np.swapaxes(vh, -1, -2)[..., None, :, :]
    return pairs, s, u[..., :, None, :k] * u[..., None, :, :k]


test_eigh = property_test(
    eigh_without_signs,
    Input(),
    shapes=squares,
    reference=lambda a: eigh_without_signs(a, np.linalg.eigh),
    dtypes=LAPACK,
    analytic=False,
)
test_svd = property_test(
    svd_without_signs,
    Input(),
    shapes=rectangles,
    reference=lambda a: svd_without_signs(a, np.linalg.svd),
    dtypes=LAPACK,
    analytic=False,
)
test_eigvalsh = property_test(
    of(minigrad.eigvalsh, symmetric),
    Input(),
    shapes=squares,
    reference=of(np.linalg.eigvalsh, symmetric),
    dtypes=LAPACK,
    analytic=False,
)
test_svdvals = property_test(
    of(minigrad.svdvals, regular),
    Input(),
    shapes=rectangles,
    reference=of(np.linalg.svdvals, regular),
    dtypes=LAPACK,
    analytic=False,
)
test_pinv = property_test(
    of(minigrad.pinv, regular),
    Input(),
    shapes=rectangles,
    reference=of(np.linalg.pinv, regular),
    dtypes=LAPACK,
    analytic=False,
)
test_matrix_power = property_test(
    minigrad.matrix_power,
    Input(),
    shapes=squares,
    params={"n": st.integers(0, 5)},
    reference=np.linalg.matrix_power,
    analytic=True,
)
test_negative_matrix_power = property_test(
    of(minigrad.matrix_power, regular),
    Input(),
    shapes=squares,
    params={"n": st.integers(-3, -1)},
    reference=of(np.linalg.matrix_power, regular),
    dtypes=LAPACK,
)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (5, 1), (1, 1)])
@pytest.mark.parametrize("targets", [(), (2,)])
def test_lstsq(shape, targets):
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal(shape), generator.standard_normal((shape[0], *targets))
    out, expected = np.linalg.lstsq(Tensor(a), Tensor(b)), np.linalg.lstsq(a, b)
    for mine, theirs in zip(out, expected, strict=True):
        assert mine.shape == np.shape(theirs)
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-9, atol=1e-12)
    check_gradients(lambda a, b: minigrad.lstsq(a, b)[:2], a, b)


def test_tensorinv_and_tensorsolve():
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((2, 3, 6)), generator.standard_normal((2, 3))
    out = np.linalg.tensorsolve(Tensor(a), b)
    np.testing.assert_allclose(out.numpy(), np.linalg.tensorsolve(a, b))
    check_gradients(np.linalg.tensorsolve, a, b)
    turned = np.moveaxis(a, 2, 0)
    out = np.linalg.tensorsolve(Tensor(turned), b, axes=(0,))
    np.testing.assert_allclose(out.numpy(), np.linalg.tensorsolve(turned, b, axes=(0,)))
    inverse = np.linalg.tensorinv(Tensor(a), ind=2)
    np.testing.assert_allclose(inverse.numpy(), np.linalg.tensorinv(a, ind=2))
    check_gradients(lambda t: np.linalg.tensorinv(t, ind=2), a)


def test_results_have_the_names_of_numpy():
    t = Tensor(symmetric(np.ones((3, 3))), requires_grad=True)
    for name in ("eigh", "qr", "svd", "slogdet"):
        ours, theirs = getattr(np.linalg, name)(t), getattr(np.linalg, name)(t.detach().numpy())
        assert type(ours)._fields == type(theirs)._fields
        assert type(ours).__name__ == type(theirs).__name__
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.requires_grad
            np.testing.assert_array_equal(mine.numpy(), other)


# -- singular matrices, equal eigenvalues --------------------------------------------------------


def minors(rank, size=4):
    generator = np.random.default_rng(rank)
    return generator.standard_normal((size, rank)) @ generator.standard_normal((rank, size))


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_det_of_singular_matrices_has_first_and_second_derivatives(rank):
    check_gradients(minigrad.det, minors(rank), analytic=True)


def test_det_of_equal_singular_values_has_second_derivatives():
    check_gradients(minigrad.det, np.eye(3), analytic=True)
    check_gradients(minigrad.det, np.stack([np.zeros((2, 2)), np.ones((2, 2))]), analytic=True)


def test_det_to_the_third_derivative():
    weights = np.random.default_rng(1).standard_normal((3, 3))

    def slope(a):
        g = gradients(minigrad.det(a), [a], create_graph=True)[0]
        return (g * weights).sum()

    a = np.random.default_rng(0).standard_normal((3, 3))
    t = Tensor(a, requires_grad=True)
    second = gradients(slope(t), [t], create_graph=True)[0]
    third = gradients((second * weights).sum(), [t])[0].numpy()
    step = 1e-4
    around = []
    for sign in (1, -1):
        moved = Tensor(a + sign * step * weights, requires_grad=True)
        around.append(gradients(slope(moved), [moved])[0].numpy())
    np.testing.assert_allclose(third, (around[0] - around[1]) / (2 * step), rtol=1e-6)


def test_slogdet_of_a_singular_matrix():
    t = Tensor(np.ones((2, 2)), requires_grad=True)
    sign, logarithm = np.linalg.slogdet(t)
    assert (sign.item(), logarithm.item()) == (0, -np.inf)
    with pytest.raises(
        np.linalg.LinAlgError, match=r"slogdet: there is no derivative at a singular"
    ):
        logarithm.backward()


def test_equal_eigenvalues():
    t = Tensor(np.eye(3), requires_grad=True)
    for values in (minigrad.eigvalsh(t), minigrad.eigh(t).eigenvalues, minigrad.svdvals(t)):
        t.grad = None
        (values * values).sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), 2 * np.eye(3), atol=1e-15)
    t.grad = None
    minigrad.eigh(t).eigenvectors.sum().backward()
    assert not np.isfinite(t.grad.numpy()).all()


def test_pinv_of_deficient_rank():
    # The derivative is that along matrices of the same rank: x z^T of two vectors is one.
    x, z = np.array([1.0, 2.0, -1.0]), np.array([0.5, 1.5])
    check_gradients(lambda x, z: minigrad.pinv(np.outer(x, z), rcond=1e-9), x, z)


@pytest.mark.parametrize("dtype", LAPACK)
def test_hermitian_pinv_reads_one_triangle_and_has_a_symmetric_gradient(dtype):
    a = symmetric(np.random.default_rng(0).standard_normal((3, 3)))
    check_gradients(lambda a: np.linalg.pinv(symmetric(a), hermitian=True), a)
    t = Tensor(a.astype(dtype), requires_grad=True)
    np.linalg.pinv(t, hermitian=True)[0].sum().backward()
    assert t.grad.dtype == dtype
    np.testing.assert_allclose(t.grad.numpy(), t.grad.numpy().T, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "upper"),
    [
        (minigrad.cholesky, False),
        (lambda t: minigrad.cholesky(t, upper=True), True),
        (minigrad.eigvalsh, False),
        (lambda t: minigrad.eigvalsh(t, "U"), True),
        (lambda t: minigrad.eigh(t).eigenvectors ** 2, False),
        (lambda t: minigrad.eigh(t, UPLO="U").eigenvectors ** 2, True),
    ],
)
def test_one_triangle_is_read_and_the_gradient_is_symmetric(function, upper):
    whole = symmetric(np.random.default_rng(0).standard_normal((3, 3)))
    half = np.triu(whole) if upper else np.tril(whole)
    results = []
    for values in (whole, half):
        t = Tensor(values, requires_grad=True)
        out = function(t)
        out.backward(np.arange(out.size).reshape(out.shape))
        results.append((out.numpy(), t.grad.numpy()))
    for of_whole, of_half in zip(*results, strict=True):
        np.testing.assert_allclose(of_half, of_whole, rtol=1e-12)
    np.testing.assert_allclose(results[0][1], results[0][1].T, rtol=1e-12)


def test_qr_of_dependent_columns():
    a = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 0.0], [3.0, 6.0, 2.0]])
    for values in (a, a[:, :2], np.ones((2, 3))):
        t = Tensor(values, requires_grad=True)
        with pytest.raises(np.linalg.LinAlgError, match=r"qr: .*columns are linearly dependent"):
            np.linalg.qr(t).R.sum().backward()


def test_unused_outputs_leave_the_others_right():
    a = regular(np.random.default_rng(0).standard_normal((4, 2)))
    for choose in range(3):
        check_gradients(lambda t, i=choose: minigrad.svd(t, full_matrices=False)[i] ** 2, a)
        check_gradients(lambda t, i=choose: minigrad.svd(t.T, full_matrices=False)[i] ** 2, a)
    for choose in range(2):
        check_gradients(lambda t, i=choose: minigrad.qr(t)[i], a)
        check_gradients(lambda t, i=choose: minigrad.qr(t.T)[i], a)
        check_gradients(lambda t, i=choose: minigrad.eigh(t.T @ t)[i] ** 2, a)
    check_gradients(lambda t: minigrad.qr(t, mode="r"), a)


# -- forms without a derivative ------------------------------------------------------------------


def test_full_matrices():
    a = np.random.default_rng(0).standard_normal((4, 2))
    for name, options in [
        ("svd", {}),
        ("svd", {"hermitian": True}),
        ("qr", {"mode": "complete"}),
        ("qr", {"mode": "raw"}),
    ]:
        values = a[:2] + a[:2].T if "hermitian" in options else a
        function = getattr(np.linalg, name)
        with pytest.raises(GradientError, match=rf"{name}: .* has no derivative for f64"):
            function(Tensor(values, requires_grad=True), **options)
        expected = function(values, **options)
        with minigrad.no_grad():
            constants = function(Tensor(values, requires_grad=True), **options)
        for mine, theirs in zip(constants, expected, strict=True):
            assert not mine.requires_grad
            np.testing.assert_array_equal(mine.numpy(), theirs)


def test_full_matrices_of_square_ones_are_the_same():
    a = regular(np.random.default_rng(0).standard_normal((3, 3)))
    for options in ({}, {"full_matrices": False}):
        check_gradients(lambda t, o=options: np.linalg.svd(t, **o).U ** 2, a)
    check_gradients(lambda t: np.linalg.qr(t, "complete").Q, a)
    check_gradients(lambda t: np.linalg.svd(t, compute_uv=False), a)


def test_matrix_rank_is_a_constant():
    t = Tensor(minors(2), requires_grad=True)
    assert np.linalg.matrix_rank(t).item() == 2
    assert not minigrad.matrix_rank(t, rtol=1e-3).requires_grad
    assert minigrad.matrix_rank(np.ones((2, 3, 3))).tolist() == [1, 1]


def test_matrix_power_of_zero_has_a_zero_gradient():
    t = Tensor(np.full((2, 2), np.inf), requires_grad=True)
    out = np.linalg.matrix_power(t, 0)
    np.testing.assert_array_equal(out.numpy(), np.eye(2))
    out.sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), np.zeros((2, 2)))


def test_integers_promote_as_in_numpy():
    whole = np.array([[2, 1], [1, 3]])
    for name in ("inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"):
        out = getattr(minigrad, name)(Tensor(whole))
        assert out.dtype == np.float64
        np.testing.assert_array_equal(out.numpy(), getattr(np.linalg, name)(whole))
    t = Tensor(np.ones(2, np.float32), requires_grad=True)
    assert minigrad.solve(whole, t).dtype == np.linalg.solve(whole, t.numpy()).dtype
    assert minigrad.solve(whole.astype(np.float32), t).dtype == np.float32


def test_complex_matrices_pass_without_grad():
    a = symmetric(np.random.default_rng(0).standard_normal((3, 3)))
    skew = np.triu(np.ones((3, 3)), 1)
    a = a + 1j * (skew - skew.T)
    for name in ("inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"):
        expected = getattr(np.linalg, name)(a)
        np.testing.assert_allclose(getattr(minigrad, name)(Tensor(a)).numpy(), expected)
    np.testing.assert_array_equal(minigrad.qr(Tensor(a)).R.numpy(), np.linalg.qr(a).R)
