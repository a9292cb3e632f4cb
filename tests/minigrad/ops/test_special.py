import math

import numpy as np
import pytest
import scipy.special

import minigrad
from minigrad import DtypeError, Tensor
from minigrad.testing import Input, check_gradients, property_test

test_erf = property_test(
    minigrad.erf,
    Input(-3, 3),
    reference=lambda x: scipy.special.erf(x.astype(np.float64)).astype(x.dtype),
)
test_erfc = property_test(
    minigrad.erfc,
    Input(-2, 2),
    reference=lambda x: scipy.special.erfc(x.astype(np.float64)).astype(x.dtype),
)
test_sinc = property_test(np.sinc, Input(-3, 3), reference=np.sinc)

# To 20 digits, computed with mpmath.
ERF = {
    1e-300: 1.1283791670955126022e-300,
    1e-10: 1.128379167095512615e-10,
    0.1: 0.1124629160182848984,
    0.25: 0.27632639016823693299,
    0.4: 0.42839235504666847645,
    0.46875: 0.49261347321793799159,
    0.473: 0.49645541194955803349,
    0.4769: 0.49996739409753475922,
    0.477: 0.50005727370865646928,
    0.5: 0.52049987781304653768,
    0.75: 0.7111556336535151316,
    1.0: 0.84270079294971486934,
    1.5: 0.96610514647531072707,
    2.0: 0.99532226501895273416,
    3.0: 0.99997790950300141456,
    4.5: 0.99999999980338395585,
    6.0: 0.99999999999999997848,
}
ERFC = {
    -3.0: 1.9999779095030014146,
    -0.2: 1.2227025892104784662,
    0.3: 0.67137324054087258381,
    0.6: 0.39614390915207409492,
    2.0: 0.0046777349810472658379,
    3.471: 9.1665613387778158305e-7,
    4.1: 6.7000276540849184417e-9,
    10.0: 2.088487583762544757e-45,
    25.87: 4.8275427999198219889e-293,
}
GRID = np.concatenate([np.linspace(-6.5, 6.5, 20001), np.geomspace(1e-12, 0.5, 2000)])


def units_in_the_last_place(ours, exact):
    exact = np.asarray(exact)
    return np.max(
        np.abs(ours.astype(exact.dtype) - exact) / np.spacing(np.abs(exact).astype(ours.dtype))
    )


def test_erf_agrees_with_exact_values():
    ours = minigrad.erf(Tensor(np.array(list(ERF)))).numpy()
    assert units_in_the_last_place(ours, list(ERF.values())) <= 4
    negative = minigrad.erf(Tensor(-np.array(list(ERF)))).numpy()
    np.testing.assert_array_equal(negative, -ours)


def test_erf_is_within_4_units_in_the_last_place_everywhere():
    exact = [math.erf(x) for x in GRID]
    assert units_in_the_last_place(minigrad.erf(Tensor(GRID)).numpy(), exact) <= 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_erf_of_smaller_dtypes_is_as_close(dtype):
    x = GRID.astype(dtype)
    x = x[x != 0]
    exact = np.array([math.erf(v) for v in x])
    ours = minigrad.erf(Tensor(x))
    assert ours.dtype == dtype
    assert units_in_the_last_place(ours.numpy(), exact) <= 4


def test_erfc_agrees_with_exact_values_into_the_far_tail():
    ours = minigrad.erfc(Tensor(np.array(list(ERFC)))).numpy()
    assert units_in_the_last_place(ours, list(ERFC.values())) <= 8


def test_erf_at_the_ends():
    x = np.array([math.nan, math.inf, -math.inf, -0.0, 1e300])
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            t = Tensor(x.astype(dtype))
        np.testing.assert_array_equal(minigrad.erf(t).numpy(), [math.nan, 1, -1, 0, 1])
        np.testing.assert_array_equal(minigrad.erfc(t).numpy(), [math.nan, 0, 2, 1, 0])
        assert np.signbit(minigrad.erf(t).numpy()[3])


def test_erf_of_arrays_larger_than_a_block_of_any_layout():
    x = np.random.default_rng(0).standard_normal((100, 200))[::2].T
    expected = np.vectorize(math.erf)(x)
    np.testing.assert_allclose(minigrad.erf(Tensor(x)).numpy(), expected, rtol=1e-15)
    assert minigrad.erf(Tensor(np.zeros((2, 0)))).shape == (2, 0)
    assert minigrad.erf(Tensor([1, 2])).dtype == np.float64


def test_erf_refuses_complex_numbers_off_the_real_axis():
    with pytest.raises(DtypeError, match="erf: needs real numbers"):
        minigrad.erf(Tensor(np.array([1 + 1j])))


def test_sinc_at_0_has_all_its_derivatives():
    x = Tensor(np.array([0.0]), requires_grad=True)
    value, found = np.sinc(x), []
    for _ in range(6):
        value = minigrad.gradients(value.sum(), x, create_graph=True)
        found.append(value.item())
    pi2 = math.pi**2
    assert found == pytest.approx([0, -pi2 / 3, 0, pi2**2 / 5, 0, -(pi2**3) / 7], abs=1e-12)


def test_sinc_keeps_its_digits_near_0_and_on_both_sides_of_the_change_of_formula():
    check_gradients(np.sinc, np.array([1e-8, 1e-4, 0.954, 0.956, -0.956]), rtol=1e-9)
    x = Tensor(np.array([1e-6]), requires_grad=True)
    np.sinc(x).backward()
    assert x.grad.item() == pytest.approx(-(math.pi**2) / 3 * 1e-6, rel=1e-11)


def test_sinc_of_half_precision_is_1_at_0():
    assert np.sinc(Tensor(np.array([0.0, 1.0], np.float16))).tolist()[0] == 1
