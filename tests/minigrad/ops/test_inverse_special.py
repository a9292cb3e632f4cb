"""erfinv, logit, xlogy and xlog1py: against SciPy, exact values and differences."""

import numpy as np
import pytest
import scipy.special
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import Input, check_gradients, property_test, strategies


def in_float64(function):
    return lambda *arrays, **params: function(
        *(a.astype(np.float64) for a in arrays), **params
    ).astype(arrays[0].dtype)


test_erfinv = property_test(
    mg.erfinv, Input(-0.95, 0.95), reference=in_float64(scipy.special.erfinv), analytic=False
)
test_logit = property_test(
    mg.logit, Input(0.05, 0.95), reference=in_float64(scipy.special.logit), analytic=False
)
test_logit_within = property_test(
    mg.logit,
    Input(0.0, 1.0, avoid=(0.25, 0.75)),
    params={"eps": 0.25},
    reference=in_float64(lambda x, eps: scipy.special.logit(np.clip(x, eps, 1 - eps))),
    analytic=False,
)
test_xlogy = property_test(
    mg.xlogy, Input(-2, 2), Input(0.1, 2), reference=in_float64(scipy.special.xlogy)
)
test_xlog1py = property_test(
    mg.xlog1py, Input(-2, 2), Input(-0.9, 2), reference=in_float64(scipy.special.xlog1py)
)

# To 20 digits, computed with mpmath.
ERFINV = {
    1e-300: 8.8622692545275803586e-301,
    1e-09: 8.8622692545275806908e-10,
    0.1: 0.088855990494257691974,
    0.25: 0.22531205501217810473,
    0.5: 0.47693627620446987338,
    0.75: 0.81341984759761854169,
    0.9375: 1.3171503349861307489,
    0.999: 2.3267537655135244939,
    0.9999990463256836: 3.4655050258033307173,
    0.9999999999990905: 5.0512540852493899671,
    0.9999999999999999: 5.8635847487551679272,
}


def units(ours, exact):
    unit = np.spacing(np.abs(exact).astype(ours.dtype)).astype(np.float64)
    return np.max(np.abs(ours.astype(np.float64) - exact) / unit)


def test_erfinv_agrees_with_exact_values_into_the_far_tail():
    x, exact = np.array(list(ERFINV)), np.array(list(ERFINV.values()))
    assert units(mg.erfinv(Tensor(x)).numpy(), exact) <= 6
    np.testing.assert_array_equal(mg.erfinv(Tensor(-x)).numpy(), -mg.erfinv(Tensor(x)).numpy())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_erfinv_and_logit_are_as_scipy_has_them(dtype):
    steps = np.geomspace(1e-16, 0.5, 400)
    x = np.concatenate([np.linspace(-0.99, 0.99, 1001), steps, -steps, 1 - steps]).astype(dtype)
    wide = x.astype(np.float64)
    inside = np.abs(wide) < 1
    got = mg.erfinv(Tensor(x[inside])).numpy()
    assert units(got, scipy.special.erfinv(wide[inside])) <= 8
    x = np.concatenate([steps, 1 - steps, 0.5 + steps[:-9], 0.5 - steps[:-9]]).astype(dtype)
    x = x[(x > 0) & (x < 1)]
    assert units(mg.logit(Tensor(x)).numpy(), scipy.special.logit(x.astype(np.float64))) <= 8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ends(dtype):
    x = np.array([0.0, -0.0, 1.0, -1.0, 1.5, -2.0, np.inf, np.nan], dtype)
    for ours, theirs in ((mg.erfinv, scipy.special.erfinv), (mg.logit, scipy.special.logit)):
        got = ours(Tensor(x))
        assert got.dtype == dtype
        np.testing.assert_array_equal(got.numpy(), theirs(x.astype(np.float64)).astype(dtype))
    assert np.signbit(mg.erfinv(Tensor(x)).numpy()[1])


def test_gradients_of_logit_outside():
    x = Tensor(np.array([-0.5, 0.1, 0.5, 0.9, 2.0]), requires_grad=True)
    mg.logit(x, eps=0.2).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 4.0, 0.0, 0.0]
    x.zero_grad()
    mg.logit(x).sum().backward()
    assert np.isnan(x.grad.numpy()).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("eps", [-0.1, 0.6])
def test_logit_refuses_other_margins(eps):
    with pytest.raises(ValueError, match=r"logit: eps must be within 0 to 1/2"):
        mg.logit([0.5], eps=eps)


def test_logit_and_sigmoid_erfinv_and_erf_are_inverse():
    x = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(mg.sigmoid(mg.logit(x)).numpy(), x, rtol=1e-14)
    np.testing.assert_allclose(mg.erf(mg.erfinv(x)).numpy(), x, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["xlogy", "xlog1py"])
def test_products_with_logarithms_at_every_edge(name, dtype):
    edges = np.array([0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e-4], dtype)
    first, second = (a.reshape(-1) for a in np.meshgrid(edges, edges))
    got = getattr(mg, name)(Tensor(first), Tensor(second))
    with np.errstate(all="ignore"):
        expected = getattr(scipy.special, name)(first.astype(float), second.astype(float))
    assert got.dtype == dtype
    np.testing.assert_allclose(
        got.numpy(), expected.astype(dtype), rtol=8 * np.finfo(dtype).eps, atol=0
    )


def test_gradients_of_products_with_logarithms_at_zero():
    for function, edge in ((mg.xlogy, 0.0), (mg.xlog1py, -1.0)):
        x1 = Tensor(np.zeros(3), requires_grad=True)
        x2 = Tensor(np.array([edge, edge - 1, edge + 2]), requires_grad=True)
        first = mg.gradients(function(x1, x2).sum(), [x1, x2], create_graph=True)
        assert first[0].tolist() == [0.0, 0.0, np.log(2.0)]
        assert first[1].tolist() == [0.0, 0.0, 0.0]
        second = mg.gradients(first[1].sum(), [x1, x2])
        assert second[0].tolist() == [0.0, 0.0, 0.5]
        assert second[1].tolist() == [0.0, 0.0, 0.0]
    check_gradients(mg.xlogy, np.array([0.0, 1.0]), np.array([0.5, 2.0]), analytic=False)


def test_an_entropy_has_finite_gradients():
    p = Tensor(np.array([0.0, 0.25, 0.75]), requires_grad=True)
    with mg.anomaly_mode():
        (-mg.xlogy(p, p)).sum().backward()
    np.testing.assert_allclose(p.grad.numpy()[1:], -np.log([0.25, 0.75]) - 1)


# -- distances -------------------------------------------------------------------------------------


def pairs(draw):
    sizes = st.integers(0, 3)
    p, r, m = draw(sizes), draw(sizes), draw(st.integers(1, 3))
    lead = draw(strategies.shapes(max_dims=1))
    return ((*lead, p, m), (*draw(st.sampled_from([(), lead])), r, m))


def loop(x1, x2, p=2.0):
    difference = np.abs(x1[..., :, None, :] - x2[..., None, :, :])
    if p == np.inf:
        return difference.max(axis=-1)
    return (difference**p).sum(axis=-1) ** (1 / p)


def of_order(p):
    return property_test(
        lambda x1, x2: mg.cdist(x1, x2, p),
        Input(-2.0, -0.5),
        Input(0.5, 2.0),
        shapes=st.composite(pairs)(),
        reference=lambda x1, x2: in_float64(lambda a, b: loop(a, b, p))(x1, x2),
        analytic=False,
    )


test_cdist = of_order(2.0)
test_cdist_of_order_1 = of_order(1.0)
test_cdist_of_order_3 = of_order(3.0)
test_cdist_of_order_half = of_order(1.5)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, np.inf])
def test_cdist_at_equal_vectors(p):
    x = Tensor(np.array([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]]), requires_grad=True)
    d = mg.cdist(x, x, p)
    assert d.shape == (3, 3)
    assert np.diagonal(d.numpy()).tolist() == [0.0, 0.0, 0.0]
    if not p:
        assert d.tolist()[2] == [2.0, 2.0, 0.0]
        return
    first = mg.gradients(d.sum(), x, create_graph=True)
    assert np.isfinite(first.numpy()).all()
    if first.requires_grad:  # with p = inf the gradient is a constant
        second = mg.gradients((first * first).sum(), x)
        assert np.isfinite(second.numpy()).all()


def test_cdist_agrees_with_scipy():
    generator = np.random.default_rng(0)
    x1, x2 = generator.standard_normal((2, 5, 4))
    from scipy.spatial import distance

    for p in (1, 2, 3.5, np.inf):
        expected = distance.cdist(x1, x2, "minkowski", p=p) if p < np.inf else None
        expected = distance.cdist(x1, x2, "chebyshev") if expected is None else expected
        np.testing.assert_allclose(mg.cdist(x1, x2, p).numpy(), expected, rtol=1e-14)
    assert mg.cdist(np.zeros((2, 0)), np.zeros((3, 0)), np.inf).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mg.cdist(np.ones(3), np.ones((2, 3))), r"cdist: x1 must be \(..., P, M\)"),
        (lambda: mg.cdist(np.ones((2, 3)), np.ones((2, 4))), "vectors of one length M"),
        (lambda: mg.cdist(np.ones((2, 3)), np.ones((2, 3)), -1), "cdist: p must be 0 or more"),
        (lambda: mg.cdist(np.ones((2, 3)), np.ones((2, 3)), np.nan), "cdist: p must be 0 or more"),
    ],
)
def test_cdist_refuses(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_counts_of_differing_elements_are_constants():
    x = mg.Tensor(np.array([[1.0, 2.0], [1.0, 3.0]]), requires_grad=True)
    d = mg.cdist(x, x, 0)
    np.testing.assert_array_equal(d.numpy(), [[0, 1], [1, 0]])
    with pytest.raises(mg.GradientError, match="compared or counted"):
        mg.gradients(d.sum(), x)
