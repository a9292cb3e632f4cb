"""`fused_test` fails for kernels that are wrong, each in a way that a user might get wrong."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientMismatch, Input, fused_test

PAIR = {"shapes": st.just(((2,), (2,)))}


def kernel(forward=None, reference=None, backward=None):
    """The product of x and the square of z, fused; parts may be replaced by wrong ones."""

    def right_backward(grads, residuals, inputs, needed):
        (g,), (x, z) = grads, inputs
        return g * z * z, g * 2 * x * z

    @mg.fused(
        reference=reference or (lambda x, z: x * z * z),
        backward=backward or right_backward,
    )
    def product_with_square(x, z, /):
        return (forward or (lambda x, z: x * z * z))(x, z), None

    return product_with_square


def test_a_right_kernel_passes():
    fused_test(kernel(), Input(), Input(), reference=lambda x, z: x * z * z, **PAIR)()


def test_a_wrong_backward_is_found():
    wrong = kernel(backward=lambda grads, residuals, inputs, needed: (grads[0],) * 2)
    with pytest.raises(GradientMismatch, match="derivative of order 1"):
        fused_test(wrong, Input(), Input(), **PAIR)()


def test_a_wrong_reference_is_found():
    # It agrees in values, but not in what is differentiated: z is a constant to it.
    wrong = kernel(reference=lambda x, z: x * z * mg.Tensor(getattr(z, "_array", z)))
    with pytest.raises((AssertionError, GradientMismatch)):
        fused_test(wrong, Input(), Input(), **PAIR)()


def test_a_reference_with_other_values_is_found():
    # By a part that no derivative sees.
    wrong = kernel(reference=lambda x, z: x * z * z + 1.0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        fused_test(wrong, Input(), Input(), **PAIR)()


def test_a_backward_that_loses_digits_is_found():
    def narrow(grads, residuals, inputs, needed):
        (g,), (x, z) = grads, inputs
        g = g.astype(np.float16)  # loses digits that the reference keeps
        return g * z * z, g * 2 * x * z

    with pytest.raises(AssertionError):
        fused_test(kernel(backward=narrow), Input(), Input(), **PAIR)()


def test_an_operation_that_is_not_fused_is_refused():
    with pytest.raises(AssertionError, match="no fused operation was recorded"):
        fused_test(lambda x, z: x * z, Input(), Input(), **PAIR)()
