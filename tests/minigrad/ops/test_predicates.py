import math

import numpy as np
import pytest

import minigrad
from minigrad import Tensor

VALUES = [-2.5, -0.0, 0.5, 1.5, math.inf, math.nan]
UNARY = [
    "floor",
    "ceil",
    "trunc",
    "fix",
    "rint",
    "round",
    "around",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
    "isreal",
    "iscomplex",
    "signbit",
    "spacing",
    "logical_not",
]
BINARY = ["floor_divide", "logical_and", "logical_or", "logical_xor", "isclose"]
BITS = ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "gcd", "lcm"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array_are_numpys_and_record_nothing(name, dtype):
    x = np.array(VALUES, dtype)
    theirs = getattr(np, name)
    reference = np.trunc if name == "fix" else theirs  # NumPy 2.5 warns of its own `fix`
    with np.errstate(all="ignore"):
        ours = theirs(Tensor(x, requires_grad=True))
        expected = reference(x)
    assert isinstance(ours, Tensor)
    assert not ours.requires_grad
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours.numpy(), expected)
    assert getattr(minigrad, name)(Tensor(x[:4])).shape == (4,)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays_are_numpys_and_record_nothing(name):
    x, z = np.array(VALUES), np.array([[2.0], [-0.7]])
    theirs = getattr(np, name)
    with np.errstate(all="ignore"):
        ours, expected = theirs(Tensor(x, requires_grad=True), z), theirs(x, z)
    assert not ours.requires_grad
    np.testing.assert_array_equal(ours.numpy(), expected)
    assert ours.dtype == expected.dtype


@pytest.mark.parametrize("name", BITS)
def test_bits_are_numpys(name):
    x, z = np.array([1, 6, 7]), np.array([3, 1, 2])
    theirs = getattr(np, name)
    np.testing.assert_array_equal(theirs(Tensor(x), z).numpy(), theirs(x, z))
    with pytest.raises(minigrad.DtypeError, match=name):
        theirs(Tensor([1.5]), z)


def test_the_array_api_names_are_the_same_operations():
    assert minigrad.bitwise_invert is minigrad.bitwise_not is minigrad.invert
    assert np.bitwise_left_shift(Tensor([1]), 2).tolist() == [4]
    assert np.bitwise_count(Tensor([7, 8])).tolist() == [3, 1]
    assert np.invert(Tensor([True, False])).tolist() == [False, True]


def test_round_takes_decimals():
    assert np.round(Tensor([1.25, 1.35], dtype=np.float64), 1).tolist() == [1.2, 1.4]
    assert np.around(Tensor([123.0]), -1).tolist() == [120]


def test_comparisons_of_whole_arrays_give_python_bools():
    x = Tensor([1.0, math.nan], requires_grad=True)
    assert np.allclose(x, x.detach()) is False
    assert np.allclose(x, x.detach(), equal_nan=True) is True
    assert np.array_equal(x, x, equal_nan=True) is True
    assert np.array_equal(x, [1.0]) is False
    assert np.array_equal(x[:1], [1.0]) is True
    assert np.iscomplexobj(x) is False
    assert np.isrealobj(x) is True
