"""Arithmetic, exponentials and the like: properties of each operation, then singular points."""

import math

import numpy as np
import pytest

import minigrad
from minigrad import DtypeError, Tensor
from minigrad.testing import Input, check_gradients, property_test

POSITIVE = Input(0.2, 3.0)
NONZERO = Input(avoid=(0.0,))

test_add = property_test(np.add, Input(), Input(), reference=np.add)
test_subtract = property_test(np.subtract, Input(), Input(), reference=np.subtract)
test_multiply = property_test(np.multiply, Input(), Input(), reference=np.multiply)
test_divide = property_test(np.divide, Input(), Input(0.5, 2.0), reference=np.divide)
test_negative = property_test(np.negative, Input(), reference=np.negative)
test_positive = property_test(np.positive, Input(), reference=np.positive)
test_reciprocal = property_test(np.reciprocal, Input(0.5, 2.0), reference=np.reciprocal)
test_absolute = property_test(np.abs, NONZERO, reference=np.abs)
test_fabs = property_test(np.fabs, NONZERO, reference=np.fabs)
test_square = property_test(np.square, Input(), reference=np.square)
test_sqrt = property_test(np.sqrt, POSITIVE, reference=np.sqrt)
test_cbrt = property_test(np.cbrt, Input(0.3, 3.0), reference=np.cbrt)
test_cbrt_of_negative_numbers = property_test(np.cbrt, Input(-3.0, -0.3), reference=np.cbrt)
test_exp = property_test(np.exp, Input(), reference=np.exp)
test_exp2 = property_test(np.exp2, Input(), reference=np.exp2)
test_expm1 = property_test(np.expm1, Input(), reference=np.expm1)
test_log = property_test(np.log, POSITIVE, reference=np.log)
test_log2 = property_test(np.log2, POSITIVE, reference=np.log2)
test_log10 = property_test(np.log10, POSITIVE, reference=np.log10)
test_log1p = property_test(np.log1p, Input(-0.7, 2.0), reference=np.log1p)
test_logaddexp = property_test(np.logaddexp, Input(), Input(), reference=np.logaddexp)
test_logaddexp2 = property_test(np.logaddexp2, Input(), Input(), reference=np.logaddexp2)
test_tanh = property_test(np.tanh, Input(), reference=np.tanh)
test_power = property_test(np.power, POSITIVE, Input(), reference=np.power)
test_power_of_negative_numbers = property_test(
    lambda x: x**3 - x**-2 + x**0, NONZERO, reference=lambda x: x**3 - x**-2 + x**0
)
test_number_to_a_power = property_test(lambda x: 3.0**x, Input(), reference=lambda x: 3.0**x)
test_maximum = property_test(
    lambda x: np.maximum(x, 0.5), Input(avoid=(0.5,)), reference=lambda x: np.maximum(x, 0.5)
)
test_minimum = property_test(
    lambda x: np.minimum(0.5, x), Input(avoid=(0.5,)), reference=lambda x: np.minimum(0.5, x)
)
test_maximum_of_two = property_test(np.maximum, Input(), Input(3.0, 4.0), reference=np.maximum)
test_minimum_of_two = property_test(np.minimum, Input(), Input(3.0, 4.0), reference=np.minimum)
test_where = property_test(
    lambda x, z: np.where(np.array([True, False, True]), x, z),
    Input(shape=(2, 3)),
    Input(shape=(3,)),
    reference=lambda x, z: np.where(np.array([True, False, True]), x, z),
)
test_real = property_test(np.real, Input(), reference=np.real)
test_conj = property_test(np.conj, Input(), reference=np.conj)


def gradients_at(f, *values, order=1):
    """The gradients of sum(f(*values)), of order 1, or of their sum, of order 2."""
    leaves = [Tensor(np.array(v, np.float64), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        total = f(*leaves).sum()
        for _ in range(order - 1):
            firsts = minigrad.gradients(total, leaves, create_graph=True)
            total = sum(g.sum() for g in firsts)
    return [None if g is None else g.tolist() for g in minigrad.gradients(total, leaves)]


INF, NAN = math.inf, math.nan

# What PyTorch 2.13 gives, but for the rows that say otherwise.
AT_SINGULAR_POINTS = {
    "abs at 0": (np.abs, [[0.0, -0.0]], [[0, 0]]),
    "sqrt at 0": (np.sqrt, [0.0], [INF]),
    "cbrt at 0": (np.cbrt, [0.0], [INF]),
    "maximum at a tie": (np.maximum, [1.0, 1.0], [0.5, 0.5]),
    "minimum at a tie": (np.minimum, [1.0, 1.0], [0.5, 0.5]),
    "maximum with NaN": (np.maximum, [[NAN, 1.0], [2.0, NAN]], [[1, 1], [1, 1]]),
    "minimum with NaN": (np.minimum, [[NAN, 1.0], [2.0, NAN]], [[1, 1], [1, 1]]),
    "0 ** z": (
        np.power,
        [[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, -1.0, 0.5]],
        [[0, 1, 0, -INF, INF], [0, 0, 0, -INF, 0]],
    ),
    "negative ** z": (np.power, [-1.0, 2.0], [-2, NAN]),
    "0.0 ** z of a number": (lambda z: 0.0**z, [[0.0, 2.0]], [[0, 0]]),
    "x ** 0 of a number": (lambda x: x**0, [[0.0, 2.0]], [[0, 0]]),
    "x ** 1 of a number": (lambda x: x**1, [[0.0, 2.0]], [[1, 1]]),
    "where with NaN in the other branch": (
        lambda x: np.where(x > 0, np.where(x > 0, x, 1) ** 0.5, 0),
        [[0.0, 4.0]],
        [[0, 0.25]],
    ),
    # PyTorch: NaN wherever an argument is infinite but the first column.
    "logaddexp at infinities": (
        np.logaddexp,
        [[-INF, INF, INF, -INF, 2.0], [1.0, 1.0, INF, -INF, 2.0]],
        [[0, 1, 0.5, 0, 0.5], [1, 0, 0.5, 0, 0.5]],
    ),
    # PyTorch: NaN.
    "logaddexp2 at infinities": (np.logaddexp2, [-INF, -INF], [0, 0]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradients_at(f, *values), expected)


# Sums over the second derivatives, with all mixed ones.
SECOND_ORDER = {
    "0 ** z": (np.power, [[0.0, 0.0, 0.0], [0.0, 2.0, 3.0]], [[0, 2, 0], [0, 0, 0]]),
    "x ** 2 at 0": (lambda x: x**2, [0.0], [2]),
    "x ** 1 at 0": (lambda x: x**1, [0.0], [0]),
    "x abs(x) at 0": (lambda x: x * np.abs(x), [0.0], [0]),
    "logaddexp of -inf": (np.logaddexp, [-INF, -INF], [0, 0]),
    "logaddexp of equals": (np.logaddexp, [1.0, 1.0], [0, 0]),
    "maximum at a tie": (lambda x, z: np.maximum(x * x, z * z), [1.0, 1.0], [1, 1]),
}


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_derivatives_at_singular_points(name):
    f, values, expected = SECOND_ORDER[name]
    np.testing.assert_array_equal(gradients_at(f, *values, order=2), expected)


def test_mixed_second_derivatives_of_logaddexp_at_equal_arguments():
    check_gradients(np.logaddexp, np.array([1.0, 2.0]), np.array([1.0, -3.0]))


def test_expm1_keeps_the_digits_of_a_small_derivative():
    assert gradients_at(np.expm1, -40.0) == [pytest.approx(math.exp(-40), rel=1e-14)]


def test_power_takes_numpys_short_cuts_and_its_dtypes():
    x = Tensor(np.array([1.5, 2.5], np.float32))
    assert (x**2).dtype == (x**0.5).dtype == (2**x).dtype == (x**-1.5).dtype == np.float32
    assert np.power(2.0, 3.0) == minigrad.power(2.0, 3.0).item()
    assert minigrad.float_power(x, 2).dtype == np.float64


def test_power_of_integers_to_negative_powers_says_so():
    with pytest.raises(minigrad.ShapeError, match="power: an integer to a negative power"):
        minigrad.power(Tensor([1, 2]), -1)


def test_float_power_is_float64_and_its_gradient_is_not():
    x = Tensor(np.array([2.0], np.float32), requires_grad=True)
    y = np.float_power(x, 3)
    y.backward()
    assert y.dtype == np.float64
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [12]


def test_astype_carries_gradients_between_floating_dtypes_only():
    x = Tensor(np.array([2.0], np.float32), requires_grad=True)
    (x.astype(np.float64) * 3).sum().backward()
    assert x.grad.dtype == np.float32
    with pytest.raises(DtypeError, match="cannot carry the gradient"):
        x.astype(int)


def test_where_with_the_condition_alone_finds_indices():
    (index,) = np.where(Tensor([1.0, -1.0, 2.0]) > 0)
    assert index.tolist() == [0, 2]


def test_where_refuses_a_condition_that_requires_grad():
    x = Tensor([1.0, 0.0], requires_grad=True)
    with pytest.raises(DtypeError, match=r"condition\.detach\(\)"):
        np.where(x, x, 0)


def test_sign_and_comparisons_are_constants():
    x = Tensor([-2.0, 0.0, 3.0], requires_grad=True)
    for constant in (np.sign(x), x > 0, x >= 0, x < 0, x <= 0, x == 0, x != 0, np.imag(x)):
        assert not constant.requires_grad
    assert np.sign(x).tolist() == [-1, 0, 1]
    assert (x * np.sign(x)).requires_grad


def test_complex_numbers_pass_where_nothing_requires_grad():
    z = Tensor(np.array([1 + 2j]))
    assert np.real(z).tolist() == [1]
    assert np.imag(z).tolist() == [2]
    assert np.conj(z).tolist() == [1 - 2j]


def test_float_power_takes_no_short_cut():
    x = minigrad.Tensor(np.array([-np.inf, -0.0, 4.0], np.float32), requires_grad=True)
    y = np.float_power(x, 0.5)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.numpy(), np.float_power(x.detach().numpy(), 0.5))
    four = minigrad.Tensor(4.0, requires_grad=True)
    assert minigrad.gradients(np.float_power(four, 0.5), four).item() == 0.25
