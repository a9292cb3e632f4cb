"""`check_gradients` finds wrong rules of every kind, and says what is wrong with a point."""

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.testing import (
    GradientMismatch,
    Input,
    NotDifferentiable,
    arrays,
    broadcastable_shapes,
    check_gradients,
    property_test,
    shapes,
    tensors,
)


def operation(rule, forward=lambda x: x * x * x):
    @mg.primitive
    def cube(x):
        return forward(x)

    cube.vjp(x=rule)
    return cube


right = operation(lambda g, x: 3 * x * x * g)
X = np.array([0.5, -1.5])


def test_a_right_rule_passes():
    check_gradients(right, X)
    check_gradients(right, 0.5)
    check_gradients(right, mg.Tensor(X))
    check_gradients(right, np.empty((0, 2)))


WRONG = {
    "sign": lambda g, x: -3 * x * x * g,
    "factor": lambda g, x: 2 * x * x * g,
    "little": lambda g, x: 3.0001 * x * x * g,
    "g left out": lambda g, x: 3 * x * x + 0 * g,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name):
    with pytest.raises(
        GradientMismatch,
        match=r"derivative of order 1 with respect to argument 0, entry \[0\] \(where it is 0.5\)",
    ):
        check_gradients(operation(WRONG[name]), X)


def test_a_rule_that_is_wrong_only_under_create_graph_is_found():
    constant = operation(lambda g, x: 3 * g * getattr(x, "_array", x) ** 2)
    check_gradients(constant, X, order=1)
    with pytest.raises(GradientMismatch, match="derivative of order 2"):
        check_gradients(constant, X)
    other = operation(lambda g, x: (3 if isinstance(g, np.ndarray) else 2) * x * x * g)
    with pytest.raises(GradientMismatch, match="of argument 0 computed with create_graph=True"):
        check_gradients(other, X)


def test_one_wrong_entry_of_a_large_input_is_found_along_random_directions():
    def rule(g, x):
        factor = np.full((20, 20), 3.0)
        factor[7, 3] = 3.5
        return factor * x * x * g

    x = np.random.default_rng(0).uniform(1, 2, (20, 20))
    check_gradients(right, x)
    with pytest.raises(GradientMismatch, match="argument 0, along random direction 0"):
        check_gradients(operation(rule), x)


def test_which_of_several_arguments_is_wrong_is_said():
    @mg.primitive
    def product(x, z):
        return x * z

    product.vjp(x=lambda g, z: g * z, z=lambda g, x: g * x * 1.01)
    with pytest.raises(GradientMismatch, match=r"argument 1 \(where it is 3.0\)"):
        check_gradients(product, 2.0, 3.0)


# -- several outputs, containers, parameters ------------------------------------------------------


def test_functions_with_several_outputs():
    check_gradients(lambda x: [np.sin(x), x * x], X)
    check_gradients(lambda x: {"values": np.exp(x), "places": np.argmax(x), "none": 3.0}, X)
    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: (np.sin(x), operation(WRONG["sign"])(x)), X)


def test_arguments_in_containers_are_named_by_their_place():
    def f(parameters, x):
        return operation(WRONG["sign"])(parameters["inner"][0]) + x

    check_gradients(lambda p, x: p["inner"][0] * x, {"inner": [X]}, X)
    with pytest.raises(GradientMismatch, match=r"argument 0\['inner'\]\[0\], entry \[0\]"):
        check_gradients(f, {"inner": [X]}, X)


def test_parameters_that_the_function_closes_over():
    w = mg.Tensor(np.array([2.0, 3.0], np.float32), requires_grad=True)
    node, array = w._node, w._array
    check_gradients(lambda x: np.tanh(x * w) * w, X, parameters=[w])
    check_gradients(lambda: (w * w).sum(), parameters={"w": w})
    with pytest.raises(GradientMismatch, match=r"with respect to parameter \['w'\], entry \[0\]"):
        check_gradients(lambda: operation(WRONG["sign"])(w), parameters={"w": w})
    assert w._node is node
    assert w._array is array
    assert w.grad is None
    with pytest.raises(ValueError, match="must be a tensor, got"):
        check_gradients(np.sin, X, parameters=[np.ones(2)])


PACKED = [iter, set, list, lambda w: dict(enumerate(w)).values()]


@pytest.mark.parametrize("pack", PACKED)
def test_parameters_come_in_any_iterable(pack):
    w = mg.Tensor([2.0, 3.0], requires_grad=True)
    check_gradients(lambda x: np.tanh(x * w), X, parameters=pack([w]))
    with pytest.raises(GradientMismatch, match=r"with respect to parameter \[0\], entry \[0\]"):
        check_gradients(lambda: operation(WRONG["sign"])(w), parameters=pack([w]))


def test_a_module_is_no_parameter():
    class Module:
        def parameters(self):
            return []

    for wrong, message in [
        (Module(), "parameter must be a tensor, got .*pass module.parameters"),
        (np.ones(2), r"parameter must be a tensor, got f64\[2\]"),
        ((x for x in [1.0]), r"parameter \[0\] must be a tensor, got"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_gradients(np.sin, X, parameters=wrong)


# -- points without a derivative -------------------------------------------------------------------

NO_DERIVATIVE = {
    "a kink": (
        np.abs,
        [0.5, 0.0],
        r"of order 1 with respect to argument 0, entry \[1\] \(where it is 0.0\): the slope of "
        r"entry \[1\] of output 0 is -1 from the left and 1 from the right",
    ),
    "a kink of the first derivative": (
        lambda x: x * np.abs(x),
        [0.5, 0.0],
        r"of order 2 with respect to argument 0, entry \[1\].*order=1 checks|of order 2.*from the",
    ),
    "a jump": (lambda x: np.floor(x) * x, [1.0], r"entry \[0\] of output 0 jumps there"),
    "an edge of the domain": (np.sqrt, [0.0], "not finite just below the point"),
    "a vertical tangent": (np.cbrt, [0.0], "its slope grows without bound"),
    "a tie": (lambda x: np.max(x), [1.0, 2.0, 2.0], r"entry \[1\] \(where it is 2.0\): the slope"),
}


@pytest.mark.parametrize("name", NO_DERIVATIVE)
def test_a_point_without_a_derivative_is_said(name):
    f, place, message = NO_DERIVATIVE[name]
    with pytest.raises(NotDifferentiable, match=message):
        check_gradients(f, np.array(place))


def test_a_kink_somewhere_in_a_large_input_is_located():
    x = np.random.default_rng(0).uniform(1, 2, (10, 10))
    x[3, 4] = 0
    with pytest.raises(NotDifferentiable, match=r"argument 0, entry \[3, 4\] \(where it is 0.0\)"):
        check_gradients(np.abs, x)


@pytest.mark.parametrize("distance", [1e-4, 5e-4, 2e-3])
def test_a_kink_nearby_does_no_harm(distance):
    check_gradients(mg.relu, np.array([distance, -distance, 1.0]))


def test_smooth_points_with_tiny_slopes_are_no_kinks():
    check_gradients(lambda x: (x - 0.5478467492858172) ** 2, np.array(0.5478467492858172))
    check_gradients(lambda x: 1e6 + x**4, np.array([0.0, 1e-3]))


def test_first_derivatives_can_be_checked_where_there_is_no_second():
    check_gradients(lambda x: x * np.abs(x), np.array(0.0), order=1)


# -- precision, complex steps ----------------------------------------------------------------------


def test_float32_arguments_are_checked_in_float64():
    check_gradients(right, X.astype(np.float32))
    with pytest.raises(GradientMismatch):
        check_gradients(operation(WRONG["little"]), X.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_functions_that_compute_in_a_lower_precision(dtype):
    check_gradients(lambda x: np.sin(x.astype(dtype)) * 2, X)
    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: operation(WRONG["factor"])(x.astype(dtype)), X)
    with pytest.raises(NotDifferentiable):
        check_gradients(lambda x: np.abs(x.astype(dtype)), np.array([0.0, 1.0]))


def test_complex_steps_show_errors_that_differences_cannot():
    slightly_wrong = operation(lambda g, x: 3 * x * x * g * (1 + 1e-12))
    check_gradients(slightly_wrong, X, order=1)
    with pytest.raises(GradientMismatch):
        check_gradients(slightly_wrong, X, order=1, analytic=True, rtol=0, atol=1e-13)


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="order must be 1 or 2, got 3"):
        check_gradients(np.sin, X, order=3)
    with pytest.raises(ValueError, match="there is nothing to check"):
        check_gradients(np.sin, np.array([1, 2]))


def test_property_tests_find_wrong_rules():
    with pytest.raises(GradientMismatch):
        property_test(operation(WRONG["factor"]), Input(avoid=(0.0,)))()


# -- strategies ------------------------------------------------------------------------------------


@given(shapes(max_dims=2), broadcastable_shapes(3), arrays((2, 3), avoid=(0.0,)), tensors((2,)))
def test_strategies_give_what_they_promise(shape, group, array, tensor):
    assert len(shape) <= 2
    np.broadcast_shapes(*group)
    assert len(group) == 3
    assert array.shape == (2, 3)
    assert np.abs(array).min() >= 0.05
    assert tensor.requires_grad
    assert tensor.shape == (2,)


@given(tensors(shapes(1, 1), requires_grad=False, dtype=np.float32, distinct=True))
def test_tensors_take_the_options_of_arrays(tensor):
    assert not tensor.requires_grad
    assert tensor.dtype == np.float32
    assert len(set(tensor.tolist())) == tensor.size
