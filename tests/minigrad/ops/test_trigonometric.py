import math

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.testing import Input, check_gradients, property_test

INSIDE = Input(-0.9, 0.9)

test_sin = property_test(np.sin, Input(-4, 4), reference=np.sin)
test_cos = property_test(np.cos, Input(-4, 4), reference=np.cos)
test_tan = property_test(np.tan, Input(-1.2, 1.2), reference=np.tan)
test_arcsin = property_test(np.arcsin, INSIDE, reference=np.arcsin)
test_arccos = property_test(np.arccos, INSIDE, reference=np.arccos)
test_arctan = property_test(np.arctan, Input(-4, 4), reference=np.arctan)
test_sinh = property_test(np.sinh, Input(), reference=np.sinh)
test_cosh = property_test(np.cosh, Input(), reference=np.cosh)
test_arcsinh = property_test(np.arcsinh, Input(), reference=np.arcsinh)
test_arccosh = property_test(np.arccosh, Input(1.3, 4), reference=np.arccosh)
test_arctanh = property_test(np.arctanh, INSIDE, reference=np.arctanh)
test_deg2rad = property_test(np.deg2rad, Input(-180, 180), reference=np.deg2rad)
test_rad2deg = property_test(np.rad2deg, Input(), reference=np.rad2deg)
test_hypot = property_test(np.hypot, Input(0.3, 2), Input(-2, -0.3), reference=np.hypot)
test_hypot_with_a_leg_of_0 = property_test(
    lambda x: np.hypot(x, 0.0), Input(0.3, 2), reference=lambda x: np.hypot(x, 0.0)
)
test_arctan2 = property_test(np.arctan2, Input(0.3, 2), Input(-2, 2), reference=np.arctan2)
test_arctan2_below = property_test(np.arctan2, Input(-2, -0.3), Input(), reference=np.arctan2)


def gradients_at(f, *values):
    leaves = [Tensor(np.array(v, np.float64), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        return [g.tolist() for g in minigrad.gradients(f(*leaves).sum(), leaves)]


# What PyTorch 2.13 gives, but for hypot, where it gives NaN.
AT_SINGULAR_POINTS = {
    "hypot at the origin": (np.hypot, [0.0, 0.0], [0, 0]),
    "arctan2 at the origin": (np.arctan2, [0.0, 0.0], [0, 0]),
    "arcsin at the ends": (np.arcsin, [[-1.0, 1.0]], [[math.inf, math.inf]]),
    "arccos at the ends": (np.arccos, [[-1.0, 1.0]], [[-math.inf, -math.inf]]),
    "arccosh at 1": (np.arccosh, [1.0], [math.inf]),
    "arctanh at 1": (np.arctanh, [1.0], [math.inf]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradients_at(f, *values), expected)


def test_lengths_and_angles_neither_under_nor_overflow():
    for scale in (1e-200, 1.0, 1e200):
        x, z = 3 * scale, 4 * scale
        assert gradients_at(np.hypot, x, z) == pytest.approx([0.6, 0.8])
        assert gradients_at(np.arctan2, x, z) == pytest.approx([0.16 / scale, -0.12 / scale])


def test_the_origin_has_no_second_derivatives_to_spoil_others():
    x = Tensor([0.0, 3.0], requires_grad=True)
    z = Tensor([0.0, 4.0], requires_grad=True)
    (first,) = minigrad.gradients(np.hypot(x, z).sum(), [x], create_graph=True)
    second = minigrad.gradients(first.sum(), [x, z])
    np.testing.assert_allclose([g.numpy() for g in second], [[0, 16 / 125], [0, -12 / 125]], 1e-6)


def test_inverses_keep_digits_near_the_ends_of_their_domains():
    near = 1 - 2.0**-40
    exact = 2.0**20 / math.sqrt(2 - 2.0**-40)
    assert gradients_at(np.arcsin, near) == [pytest.approx(exact, rel=1e-15)]
    assert gradients_at(np.arccos, near) == [pytest.approx(-exact, rel=1e-15)]
    assert gradients_at(np.arctanh, near) == [pytest.approx(exact**2, rel=1e-15)]


def test_arcsinh_of_half_precision_does_not_overflow():
    x = Tensor(np.array([1000.0], np.float16), requires_grad=True)
    np.arcsinh(x).backward()
    assert x.grad.item() == pytest.approx(1e-3, rel=1e-3)


def test_the_array_api_names_are_the_same_operations():
    for name in ("sin", "cos", "tan", "sinh", "cosh", "tan", "tan2", "tanh"):
        if hasattr(np, f"a{name}"):
            assert getattr(minigrad, f"a{name}") is getattr(minigrad, f"arc{name}")
    assert minigrad.degrees is minigrad.rad2deg
    assert np.radians(Tensor([180.0])).item() == pytest.approx(math.pi)


def test_angles_differentiate_around_the_circle():
    angles = np.linspace(-3, 3, 9)
    check_gradients(np.arctan2, 2 * np.sin(angles), 2 * np.cos(angles))
