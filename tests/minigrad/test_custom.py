"""Functions with a derivative of the user's own."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.errors import GradientError, ShapeError
from minigrad.testing import check_gradients


@mg.custom_vjp
def safe_norm(x):
    """The Euclidean norm, with gradient 0 at 0."""
    return np.sqrt((x * x).sum())


@safe_norm.vjp
def _(g, y, x):
    return g * x / np.where(y == 0, 1, y)


@mg.custom_vjp
def combine(pair, scale, *rest, power=2, **named):
    total = pair["a"] * scale + sum(rest, 0.0)
    return {"out": total**power, "count": len(rest), "named": named.get("z", 0.0) * scale}


@combine.vjp
def _(g, y, pair, scale, rest, power, named):
    assert (y["count"], g["count"]) == (len(rest), None)
    slope = power * (pair["a"] * scale + sum(rest, 0.0)) ** (power - 1) * g["out"]
    return (
        {"a": slope * scale, "unused": None},
        (slope * pair["a"]).sum() + named["z"] * g["named"],
        tuple(slope for _ in rest),
        None,
        {"z": g["named"] * scale},
    )


def test_value_gradient_and_second_order():
    check_gradients(safe_norm, np.array([1.0, -2.0, 0.5]))
    assert safe_norm.__doc__ == "The Euclidean norm, with gradient 0 at 0."
    x = mg.Tensor(np.zeros(3), requires_grad=True)
    safe_norm(x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(3))


def test_transforms_of_it():
    x = np.array([3.0, 4.0])
    np.testing.assert_allclose(mg.grad(safe_norm)(x).numpy(), [0.6, 0.8])
    expected = (np.eye(2) - np.outer(x, x) / 25) / 5
    np.testing.assert_allclose(mg.hessian(safe_norm)(x).numpy(), expected, atol=1e-15)
    np.testing.assert_allclose(mg.jvp(safe_norm, x, np.array([1.0, 0.0]))[1].numpy(), 0.6)
    np.testing.assert_allclose(mg.hvp(mg.checkpoint(safe_norm), x, x).numpy(), 0, atol=1e-15)


def test_containers_variable_arguments_and_several_outputs():
    def f(a, scale, r, s, z):
        out = combine({"a": a, "unused": 7}, scale, r, s, power=3, z=z)
        assert out["count"] == 2
        return out["out"], out["named"]

    check_gradients(f, np.array([1.0, 2.0]), 0.5, np.array(0.3), np.array([1.0, -1.0]), 2.0)


def test_an_output_without_gradient_and_one_unused():
    x = mg.Tensor(2.0, requires_grad=True)
    out = combine({"a": x, "unused": 1}, 3.0, z=5.0)
    out["out"].backward()
    assert x.grad.item() == 2 * 6 * 3
    assert out["named"].item() == 15.0


def test_the_function_runs_on_plain_tensors_and_may_leave_numpy():
    @mg.custom_vjp
    def through_math(x):
        assert not x.requires_grad
        return math.exp(x)

    @through_math.vjp
    def _(g, y):
        return g * y

    x = mg.Tensor(0.5, requires_grad=True)
    y = through_math(x)
    assert isinstance(y, mg.Tensor)
    y.backward()
    assert x.grad.item() == pytest.approx(math.exp(0.5), rel=1e-6)
    with mg.no_grad():
        assert isinstance(through_math(x), mg.Tensor)
    assert not through_math(mg.Tensor(1.0)).requires_grad
    assert mg.grad(mg.grad(mg.grad(through_math)))(np.float64(0.5)).item() == pytest.approx(
        math.exp(0.5), rel=1e-6
    )


def test_only_what_the_rule_reads_is_kept():
    @mg.custom_vjp
    def double(x, scale):
        return 2 * x

    double.vjp(lambda g: (2 * g, None))
    x = mg.Tensor(np.ones(1000), requires_grad=True)
    y = double(x * 1, mg.Tensor(1.0, requires_grad=True))
    assert mg.graph(y).summary().by_op["double"].nbytes == 0
    y.sum().backward()
    assert x.grad.numpy()[0] == 2.0


def test_a_leaf_written_after_the_call_is_noticed_if_the_rule_reads_it():
    x = mg.Tensor([3.0, 4.0], requires_grad=True)
    y = safe_norm(x)
    with mg.no_grad():
        x *= 2
    with pytest.raises(GradientError, match="written in place"):
        y.backward()


def test_stop_gradient():
    w = mg.Tensor(2.0, requires_grad=True)
    stopped = mg.stop_gradient({"w": [w, 3, None], "array": np.ones(2)})
    assert not stopped["w"][0].requires_grad
    assert stopped["w"][1:] == [3, None]
    assert isinstance(stopped["array"], np.ndarray)
    assert mg.grad(lambda x: mg.stop_gradient(x**2) * x)(3.0).item() == 9.0
    assert mg.jvp(lambda x: mg.stop_gradient(x**2) * x, 3.0, 1.0)[1].item() == 9.0


def test_mistakes_say_what_to_do():
    x = mg.Tensor(2.0, requires_grad=True)

    @mg.custom_vjp
    def nothing(x):
        return x

    with pytest.raises(GradientError, match=r"declare a rule with @nothing\.vjp"):
        nothing(x)
    with pytest.raises(GradientError, match=r"Pass it as an argument"):
        mg.custom_vjp(lambda t: t * x)(mg.Tensor(1.0))
    with pytest.raises(ValueError, match="'g', which stands for the gradient"):
        mg.custom_vjp(lambda g: g)
    with pytest.raises(ValueError, match="'y', which stands for the output"):
        mg.custom_vjp(lambda y: y)
    with pytest.raises(ValueError, match="asks for 'z'; it may read g, y, x"):
        nothing.vjp(lambda g, z: g)
    with pytest.raises(TypeError, match="takes a function, got int"):
        mg.custom_vjp(3)
    two = mg.custom_vjp(lambda a, b: a * b)
    two.vjp(lambda g: g)
    with pytest.raises(ShapeError, match="must return a tuple of 2 gradients, for a, b"):
        two(x, 1.0).backward()
    nested = mg.custom_vjp(lambda p: p["w"])
    nested.vjp(lambda g: g)
    with pytest.raises(ShapeError, match="gradient for p must be nested like the argument"):
        nested({"w": x}).backward()
    misshapen = mg.custom_vjp(lambda a: a * 1)
    misshapen.vjp(lambda g: np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"returned a gradient of shape \(2, 2\)"):
        misshapen(mg.Tensor(np.ones(3), requires_grad=True)).sum().backward()

    class Layer:
        @mg.custom_vjp
        def forward(self, x):
            return x

    layer = Layer()
    with pytest.raises(TypeError, match="declared inside a class"):
        layer.forward(x)


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_primitive_that_gives_several_results_has_to_name_them(kind):
    @mg.primitive
    def both(a):
        return kind([a, a])

    with pytest.raises(
        mg.DtypeError, match=rf"returned a {kind.__name__} of 2; .* outputs by name"
    ):
        both(np.ones(3))
