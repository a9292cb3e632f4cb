"""What a property test says when an operation is not as it should be."""

import numpy as np
import pytest
from hypothesis import Phase, settings

import minigrad as mg
from minigrad.testing import Input, property_test


def wide(x):
    return np.tanh(x + np.float64(0))


@mg.primitive
def without_half(x):
    if x.dtype == np.float16:
        raise TypeError("no float16 here")
    return np.tanh(x)


without_half.vjp(x=lambda g, y: g * (1 - y * y))


def detached(x):
    return np.tanh(x.detach())


def message(test):
    test = settings(phases=[Phase.generate])(test)  # nothing need be shrunk
    with pytest.raises((AssertionError, ExceptionGroup)) as caught:
        test()
    error = caught.value
    while isinstance(error, ExceptionGroup):  # hypothesis found several failures
        error = error.exceptions[0]
    return str(error)


def test_a_dtype_that_does_not_come_back_is_named_with_the_way_out():
    text = message(property_test(wide, Input(), dtypes=(np.float16, np.float64)))
    assert text.startswith("property_test of wide: inputs of float16 must give results of float16")
    assert "output 0 is f64" in text
    assert text.endswith("property_test(..., dtypes=(np.float64,)).")
    text = message(property_test(wide, Input(), reference=np.tanh, dtypes=(np.float32,)))
    assert "the reference gives f32" in text


def test_a_dtype_that_is_refused_is_named_with_the_way_out():
    for reference in (None, np.tanh):
        text = message(property_test(without_half, Input(), reference=reference))
        assert "property_test of without_half fails for float16 inputs" in text
        assert "no float16 here" in text
        assert text.endswith("dtypes=(np.float32, np.float64)).")
    property_test(without_half, Input(), dtypes=(np.float32, np.float64))()


def test_an_input_without_gradient_is_named():
    text = message(property_test(detached, Input()))
    assert "no gradient arrived at input 0" in text


def test_arguments_of_the_wrong_kind_are_named():
    with pytest.raises(ValueError, match=r"^property_test: inputs: needs one Input for each array"):
        property_test(np.tanh)
    with pytest.raises(
        TypeError, match=r"^property_test: op must be a function of tensors, got 'x'"
    ):
        property_test("x", Input())
    with pytest.raises(TypeError, match=r"^property_test: inputs\[1\] must be an Input, got 3"):
        property_test(np.add, Input(), 3)
    for dtypes in (["foo"], "float32", (), (np.int64,), [None]):
        with pytest.raises(TypeError, match=r"^property_test: dtypes must be floating dtypes"):
            property_test(np.tanh, Input(), dtypes=dtypes)
    with pytest.raises(ValueError, match=r"^property_test: order must be 1 or 2, got 3"):
        property_test(np.tanh, Input(), order=3)


@mg.primitive
def without_a_rule(x):
    return np.tanh(x)


@pytest.mark.parametrize("reference", [None, np.tanh])
def test_the_dtype_is_not_blamed_for_what_fails_in_every_dtype(reference):
    text = message(property_test(without_a_rule, Input(), reference=reference))
    assert text.startswith("property_test of without_a_rule fails, whatever the dtype: ")
    assert "there is no derivative with respect to 'x'" in text
    text = message(property_test(np.add, Input()))
    assert text.startswith("property_test of add fails, whatever the dtype: ")
    assert "dtypes=" not in text
