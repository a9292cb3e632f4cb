import math

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.testing import Input, check_gradients, property_test

test_clip = property_test(
    lambda x: np.clip(x, -0.5, 1.0),
    Input(avoid=(-0.5, 1.0)),
    reference=lambda x: np.clip(x, -0.5, 1.0),
)
test_clip_from_below = pytest.mark.present_numpy(  # 2.1 brought min=
    property_test(
        lambda x: np.clip(x, min=0.0),
        Input(avoid=(0.0,)),
        reference=lambda x: np.clip(x, 0.0, None),
    )
)
test_clip_with_bounds_of_tensors = property_test(
    minigrad.clip, Input(), Input(-4.0, -3.0), Input(3.0, 4.0), reference=np.clip
)
test_clip_that_is_all_bound = property_test(
    minigrad.clip, Input(), Input(3.0, 4.0), Input(5.0, 6.0), reference=np.clip
)
test_fmax = property_test(np.fmax, Input(), Input(3.0, 4.0), reference=np.fmax)
test_fmin = property_test(np.fmin, Input(), Input(3.0, 4.0), reference=np.fmin)
# x / z lies between the integers 2 and 3.
test_remainder = property_test(
    np.remainder, Input(2.2, 2.8), Input(0.99, 1.01), reference=np.remainder
)
test_remainder_of_negative = property_test(
    np.remainder, Input(-2.8, -2.2), Input(0.99, 1.01), reference=np.remainder
)
test_fmod = property_test(np.fmod, Input(-2.8, -2.2), Input(0.99, 1.01), reference=np.fmod)
test_nextafter = property_test(
    np.nextafter, Input(), Input(low=3.0, high=4.0), reference=np.nextafter, analytic=False
)
test_copysign = property_test(
    np.copysign, Input(avoid=(0.0,)), Input(avoid=(0.0,)), reference=np.copysign
)
test_heaviside = property_test(np.heaviside, Input(avoid=(0.0,)), Input(), reference=np.heaviside)
test_ldexp = property_test(
    lambda x: np.ldexp(x, np.array([-1, 0, 3])),
    Input(shape=(2, 3)),
    reference=lambda x: np.ldexp(x, np.array([-1, 0, 3])),
)
test_modf = property_test(np.modf, Input(0.1, 0.9), reference=np.modf)
test_nan_to_num = property_test(np.nan_to_num, Input(), reference=np.nan_to_num)


def gradients_at(f, *values):
    leaves = [Tensor(np.array(v, np.float64), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        return [g.tolist() for g in minigrad.gradients(f(*leaves).sum(), leaves)]


INF, NAN = math.inf, math.nan

# What PyTorch 2.13 gives; it has no derivative of heaviside.
AT_SINGULAR_POINTS = {
    "clip on the bounds": (
        lambda x: np.clip(x, 0, 1),
        [[0.0, 1.0, 0.5, 2.0, NAN]],
        [[1, 1, 1, 0, 0]],
    ),
    "clip from below on the bound": (lambda x: np.clip(x, 0, None), [[0.0, -1.0]], [[1, 0]]),
    "clip with bounds that require grad": (
        minigrad.clip,
        [[0.0, 1.0, 0.5, 2.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0, 3.0], [1.0] * 6],
        [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]],
    ),
    "fmax at a tie and with NaN": (
        np.fmax,
        [[1.0, NAN, 1.0], [1.0, 2.0, NAN]],
        [[1, 0, 1], [0, 1, 0]],
    ),
    "fmin at a tie and with NaN": (
        np.fmin,
        [[1.0, NAN, 1.0], [1.0, 2.0, NAN]],
        [[1, 0, 1], [0, 1, 0]],
    ),
    "remainder at a multiple": (np.remainder, [[4.0, 5.0], [2.0, -3.0]], [[1, 1], [-2, 2]]),
    "fmod at a multiple": (np.fmod, [[4.0, -5.0], [2.0, 3.0]], [[1, 1], [-2, 1]]),
    "copysign of 0 and to 0": (
        np.copysign,
        [[0.0, -2.0, 2.0], [-1.0, -0.0, 0.0]],
        [[0, 1, 1], [0, 0, 0]],
    ),
    "nan_to_num": (np.nan_to_num, [[NAN, INF, -INF, 1.0]], [[0, 0, 0, 1]]),
    "heaviside at 0": (np.heaviside, [[0.0, 1.0], [0.3, 0.3]], [[0, 0], [1, 0]]),
}


@pytest.mark.parametrize("name", AT_SINGULAR_POINTS)
def test_gradients_at_singular_points(name):
    f, values, expected = AT_SINGULAR_POINTS[name]
    np.testing.assert_array_equal(gradients_at(f, *values), expected)


def test_clip_takes_bounds_by_all_their_names():
    x = Tensor([-2.0, 0.5, 2.0])
    for clipped in (
        np.clip(x, -1, 1),
        np.clip(x, a_min=-1, a_max=1),
        x.clip(min=-1, max=1),
        minigrad.clip(x, -1, max=Tensor(1.0)),
    ):
        assert clipped.tolist() == [-1, 0.5, 1]
        assert clipped.dtype == np.float32
    assert minigrad.clip(x).tolist() == x.tolist()
    with pytest.raises(ValueError, match="bound is given twice"):
        minigrad.clip(x, 0, min=1)


def test_clip_sums_the_gradient_of_broadcast_bounds():
    check_gradients(minigrad.clip, np.array([[-2.0, 0.3], [2.0, 0.1]]), np.array([-1.0, -0.5]), 1.0)


def test_fmod_near_a_multiple_counts_the_exact_quotient():
    z = 0.1
    x = np.nextafter(3 * z, 0)
    quotient = (x - math.fmod(x, z)) / z
    assert gradients_at(np.fmod, x, z) == [1, -round(quotient)]


def test_divmod_and_modf_give_a_constant_and_a_remainder():
    x = Tensor([-5.5, 5.5], requires_grad=True)
    whole, rest = np.divmod(x, 2)
    assert whole.tolist() == [-3, 2]
    assert rest.tolist() == [0.5, 1.5]
    assert (whole.requires_grad, rest.requires_grad) == (False, True)
    fraction, whole = np.modf(Tensor([-1.25, INF, -INF, -0.0]))
    assert whole.tolist() == [-1, INF, -INF, 0]
    assert fraction.tolist() == [-0.25, 0, 0, 0]
    assert np.signbit(fraction).tolist() == [True, False, True, True]


def test_nan_to_num_takes_replacements_and_refuses_to_write_in_place():
    x = Tensor([math.nan, math.inf, -math.inf])
    assert np.nan_to_num(x, nan=1, posinf=2, neginf=3).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="copy=False would write in place"):
        np.nan_to_num(x, copy=False)


def test_slopes_at_nan_are_those_of_pytorch():
    functions = {
        minigrad.relu: 1,
        minigrad.relu6: 1,
        minigrad.hardtanh: 1,
        minigrad.hardswish: 1,
        minigrad.leaky_relu: 0.01,
        lambda x: np.maximum(x, 0.0): 1,
        lambda x: np.minimum(x, 0.0): 1,
        lambda x: np.clip(x, -1, 1): 0,
        lambda x: np.clip(x, Tensor([0.0]), None): 0,
        lambda x: np.clip(x, None, Tensor([0.0])): 0,
    }
    for function, slope in functions.items():
        x = Tensor([math.nan], requires_grad=True)
        assert minigrad.gradients(function(x).sum(), x).item() == pytest.approx(slope)
