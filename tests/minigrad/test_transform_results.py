"""What comes out of transforms: connected or plain, zero, nested like the input; and errors."""

import dataclasses
import math
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.errors import DtypeError, GradientError, ShapeError
from minigrad.transforms import traces

# -- what stays connected ------------------------------------------------------------------------


def test_results_are_plain_when_nothing_else_requires_grad():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    inputs = np.array([1.0, 2.0])
    value, gradient = mg.value_and_grad(lambda x: (x * x).sum())(inputs)
    assert not value.requires_grad
    assert not gradient.requires_grad
    nested = mg.grad(lambda x: x * mg.grad(lambda y: x * y * y)(1.0))(2.0)
    assert not nested.requires_grad  # although the inner transform made an input of its own
    assert x.grad is None


def test_a_closed_over_parameter_keeps_results_connected():
    w = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    value, slope = mg.value_and_grad(lambda x: w * x**3)(np.float64(3.0))
    assert value.requires_grad
    assert slope.requires_grad
    (slope + value).backward()
    assert w.grad.item() == 27.0 + 27.0
    outputs, pullback = mg.vjp(lambda x: w * x, np.float64(5.0))
    assert mg.gradients(pullback(np.float64(7.0))[0], w).item() == 7.0
    assert mg.gradients(outputs, w).item() == 5.0
    _, tangent = mg.jvp(lambda x: w * x**2, np.float64(5.0), 1.0)
    assert mg.gradients(tangent, w).item() == 10.0
    assert mg.gradients(mg.jacobian(lambda x: w * x)(np.ones(2)).sum(), w).item() == 2.0
    assert mg.gradients(mg.hvp(lambda x: w * x**2, np.float64(1.0), 1.0), w).item() == 2.0


def test_an_input_that_requires_grad_keeps_results_connected():
    x = mg.Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    gradient = mg.grad(lambda x: (x**3).sum())(x)
    gradient.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 12.0])


def test_only_the_connected_part_of_aux_stays_on_the_tape():
    w = mg.Tensor(2.0, requires_grad=True)
    (value, aux), slope = mg.value_and_grad(lambda x: (x * x, (x + 1, w * x)), has_aux=True)(3.0)
    assert not value.requires_grad
    assert not slope.requires_grad
    assert not aux[0].requires_grad
    assert mg.gradients(aux[1], w).item() == 3.0


def test_a_seed_or_tangent_on_the_tape_keeps_results_connected():
    u = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    _, pullback = mg.vjp(np.sin, np.float64(0.0))
    assert mg.gradients(pullback(u)[0], u).item() == 1.0
    _, tangent = mg.jvp(np.sin, np.float64(0.0), u)
    assert mg.gradients(tangent, u).item() == 1.0
    x = mg.Tensor(3.0, dtype="float64", requires_grad=True)
    assert mg.gradients(mg.gradients(x * x, x, gradient=u), u).item() == 6.0


def test_transforms_record_under_no_grad_and_give_plain_results():
    w = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    x = mg.Tensor(3.0, dtype="float64", requires_grad=True)
    with mg.no_grad():
        value, slope = mg.value_and_grad(lambda x: w * x * x)(x)
        second = mg.grad(mg.grad(lambda x: w * x**3))(x)
        out, tangent = mg.jvp(lambda x: w * x, x, 1.0)
        _, pullback = mg.vjp(lambda x: w * x, x)
        jac = mg.jacobian(lambda x: w * x)(x)
        pulled = pullback(1.0)[0]
        product = mg.hvp(lambda x: w * x**3, x, 1.0)
    results = [value, slope, second, out, tangent, jac, pulled, product]
    assert [r.item() for r in results] == [18.0, 12.0, 36.0, 6.0, 2.0, 2.0, 2.0, 36.0]
    assert not any(r.requires_grad for r in results)


def test_gradients_under_no_grad_are_plain_unless_asked_for():
    w = mg.Tensor(2.0, requires_grad=True)
    x = mg.Tensor(3.0, requires_grad=True)
    y = w * x * x
    with mg.no_grad():
        assert not mg.gradients(y, x).requires_grad
        assert mg.gradients(y, x, create_graph=True).requires_grad
    assert mg.gradients(y, x).requires_grad


def test_no_grad_inside_is_a_constant():
    def f(x):
        with mg.no_grad():
            constant = x * x
        return constant * x

    assert mg.grad(f)(3.0).item() == 9.0

    def inner_slope_is_constant(x):
        with mg.no_grad():
            slope = mg.grad(lambda y: y**3)(x)
        return slope * x

    assert mg.grad(inner_slope_is_constant)(2.0).item() == 12.0


def test_gradients_inside_a_transform_stay_connected_to_its_input():
    w = mg.Tensor(2.0, dtype="float64", requires_grad=True)  # older than the transform's handle
    outer = mg.grad(lambda x: mg.gradients(w * w * x, w))(np.float64(3.0))
    assert outer.item() == 4.0


def test_grad_of_leaves_is_never_touched():
    w = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).retain_grad()
    f = lambda x: (w * x).sum() + y.sum()  # noqa: E731
    mg.grad(f)(w)
    mg.value_and_grad(f)(w)
    mg.vjp(f, w)[1](1.0)
    mg.jvp(f, w, np.ones(2))
    mg.jacobian(f)(w)
    mg.hessian(f)(w)
    mg.hvp(f, w, np.ones(2))
    mg.gradients(f(w), [w, y])
    assert w.grad is None
    assert y.grad is None


def test_transforms_do_not_keep_an_exception_from_leaving():
    with pytest.raises(ZeroDivisionError, match="division"):
        mg.grad(lambda x: x * (1 / 0))(2.0)
    assert mg.grad(lambda x: x * x)(2.0).item() == 4.0


def test_an_inner_transform_costs_what_its_own_function_recorded(monkeypatch):
    # A loop of inner gradients, as in learning to learn: the walk must not grow with the history.
    seen = []
    original = traces.needed_nodes

    def counted(outputs, targets):
        needed, beyond = original(outputs, targets)
        seen.append(len(needed or ()) + len(beyond))
        return needed, beyond

    monkeypatch.setattr(traces, "needed_nodes", counted)

    def learned(rate):
        w = np.float64(1.0)
        for _ in range(50):
            w = w - rate * mg.grad(lambda w: np.tanh(w) ** 2)(w)
        return w

    mg.grad(learned)(np.float64(0.1))
    assert max(seen[10:50]) == min(seen[10:50])


# -- independent of the input --------------------------------------------------------------------


def test_independent_functions_have_zero_gradients_of_the_right_shape():
    x = np.ones((2, 3), np.float32)
    for f in (lambda x: 3.0, lambda x: np.float64(2.0), lambda x: mg.Tensor(1.0)):
        gradient = mg.grad(f)(x)
        assert gradient.shape == (2, 3)
        assert gradient.dtype == np.float32
        assert not gradient.numpy().any()
    assert mg.jacobian(lambda x: np.ones(2))(x).shape == (2, 2, 3)
    assert mg.jacobian(lambda x: np.ones(2), mode="forward")(x).shape == (2, 2, 3)
    assert mg.hessian(lambda x: x.sum())(x).shape == (2, 3, 2, 3)
    assert not mg.hvp(lambda x: x.sum(), x, x).numpy().any()
    _, tangent = mg.jvp(lambda x: np.ones(4), x, x)
    assert tangent.shape == (4,)
    assert not tangent.numpy().any()
    w = mg.Tensor(2.0, requires_grad=True)
    by_x, by_y = mg.grad(lambda x, y: w * y, argnums=(0, 1))(1.0, 2.0)
    assert (by_x.item(), by_y.item()) == (0.0, 2.0)


def test_nothing_is_detached_silently():
    with pytest.raises(mg.DetachError, match="requires grad"):
        mg.grad(lambda x: math.exp(x))(1.0)
    with pytest.raises(mg.DetachError, match="requires grad"):
        mg.grad(lambda x: np.asarray(x).sum())(np.ones(2))


# -- containers ----------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: Any
    rest: Any = None

    def __post_init__(self):
        if self.w is None:
            raise ValueError("w is needed")


@dataclasses.dataclass(slots=True)
class Slotted:
    v: Any


class Listed(list):
    pass


def test_gradients_come_in_the_containers_of_the_argument():
    params = {
        "list": [np.float64(1.0), Listed([2.0])],
        "tuple": (np.ones(2), Pair(np.float64(3.0), {"deep": mg.Tensor(4.0)})),
        "frozen": Frozen(np.float64(5.0), Slotted(np.float64(6.0))),
        "none": None,
        "ordered": OrderedDict(b=np.float64(7.0)),
        "default": defaultdict(list, c=np.float64(8.0)),
        "empty": [],
    }

    def f(p):
        assert isinstance(p["tuple"][1], Pair)
        assert isinstance(p["frozen"], Frozen)
        return (
            p["list"][0] * p["list"][1][0]
            + p["tuple"][0].sum() * p["tuple"][1].b["deep"]
            + p["tuple"][1].a ** 2
            + p["frozen"].w * p["frozen"].rest.v
            + p["ordered"]["b"] * p["default"]["c"]
        )

    g = mg.grad(f)(params)
    assert g["list"][0].item() == 2.0
    assert isinstance(g["list"][1], Listed)
    assert g["list"][1][0].item() == 1.0
    np.testing.assert_array_equal(g["tuple"][0].numpy(), [4.0, 4.0])
    assert isinstance(g["tuple"][1], Pair)
    assert g["tuple"][1].a.item() == 6.0
    assert g["tuple"][1].b["deep"].item() == 2.0
    assert isinstance(g["frozen"], Frozen)
    assert (g["frozen"].w.item(), g["frozen"].rest.v.item()) == (6.0, 5.0)
    assert g["none"] is None
    assert isinstance(g["ordered"], OrderedDict)
    assert g["default"].default_factory is list
    assert g["default"]["c"].item() == 7.0
    assert g["empty"] == []
    assert params["frozen"].w == 5.0  # the arguments themselves are left alone


def test_containers_through_every_transform():
    p = {"w": np.array([1.0, 2.0]), "b": np.float64(3.0)}
    f = lambda p: {"out": [p["w"] * p["b"], p["b"] ** 2]}  # noqa: E731
    outputs, pullback = mg.vjp(f, p)
    np.testing.assert_array_equal(outputs["out"][0].numpy(), [3.0, 6.0])
    (g,) = pullback({"out": [np.array([1.0, 10.0]), np.float64(100.0)]})
    np.testing.assert_array_equal(g["w"].numpy(), [3.0, 30.0])
    assert g["b"].item() == 21.0 + 600.0
    _, tangent = mg.jvp(f, p, {"w": np.array([1.0, 0.0]), "b": 1.0})
    np.testing.assert_array_equal(tangent["out"][0].numpy(), [3.0 + 1.0, 2.0])
    assert tangent["out"][1].item() == 6.0
    jac = mg.jacobian(f)(p)
    np.testing.assert_array_equal(jac["out"][0]["w"].numpy(), 3 * np.eye(2))
    np.testing.assert_array_equal(jac["out"][0]["b"].numpy(), [1.0, 2.0])
    assert jac["out"][1]["b"].item() == 6.0
    scalar = lambda p: (p["w"] ** 2).sum() * p["b"]  # noqa: E731
    hess = mg.hessian(scalar)(p)
    np.testing.assert_array_equal(hess["w"]["w"].numpy(), 6 * np.eye(2))
    np.testing.assert_array_equal(hess["w"]["b"].numpy(), [2.0, 4.0])
    np.testing.assert_array_equal(hess["b"]["w"].numpy(), [2.0, 4.0])
    product = mg.hvp(scalar, p, {"w": np.array([1.0, 0.0]), "b": 1.0})
    np.testing.assert_array_equal(product["w"].numpy(), [6.0 + 2.0, 4.0])
    assert product["b"].item() == 2.0


def test_arguments_are_copied_and_not_written():
    x = np.array([1.0, 2.0])

    def f(t):
        t += 1
        t[0] = 5.0
        return (t * t).sum()

    np.testing.assert_array_equal(mg.grad(f)(x).numpy(), [0.0, 6.0])
    np.testing.assert_array_equal(x, [1.0, 2.0])
    _, pullback = mg.vjp(lambda t: t * t, x)
    x[:] = 100.0
    np.testing.assert_array_equal(pullback(np.ones(2))[0].numpy(), [2.0, 4.0])


# -- bad input -----------------------------------------------------------------------------------

square = lambda x: x * x  # noqa: E731
BAD_CALLS = {
    "integer": (lambda: mg.grad(square)(2), DtypeError, r"argument 0 is the int 2.*Write 2\.0"),
    "boolean": (lambda: mg.grad(square)(True), DtypeError, r"is the bool True"),
    "integer array": (
        lambda: mg.grad(square)(np.arange(3)),
        DtypeError,
        r"argument 0 is i64\[3\].*\.astype\(float\)",
    ),
    "integer tensor": (lambda: mg.grad(square)(mg.Tensor([1, 2])), DtypeError, r"i64\[2\]"),
    "complex": (lambda: mg.grad(square)(np.array([1j])), DtypeError, "real and the imaginary"),
    "text in a container": (
        lambda: mg.grad(lambda p: p["w"])({"w": 1.0, "name": "me"}),
        DtypeError,
        r"argument 0\['name'\] is a str 'me'.*argnums",
    ),
    "non-scalar": (
        lambda: mg.grad(square)(np.ones(3)),
        GradientError,
        r"one element, got f64\[3\].*jacobian.*vjp",
    ),
    "non-scalar in hessian": (
        lambda: mg.hessian(square)(np.ones(3)),
        GradientError,
        r"hessian: .*one element, got f64\[3\]",
    ),
    "nothing returned": (lambda: mg.grad(lambda x: None)(1.0), GradientError, "return missing"),
    "tuple returned": (lambda: mg.grad(lambda x: (x, x))(1.0), GradientError, "has_aux=True"),
    "aux missing": (lambda: mg.grad(square, has_aux=True)(1.0), GradientError, r"\(value, aux\)"),
    "text returned": (lambda: mg.grad(lambda x: "no")(1.0), DtypeError, "is a str 'no'"),
    "result for function": (
        lambda: mg.grad(mg.Tensor(1.0)),
        TypeError,
        r"given its result, a Tensor.*minigrad\.gradients",
    ),
    "number for function": (lambda: mg.vjp(3), TypeError, "takes a function, got int"),
    "argnums too large": (lambda: mg.grad(square, 1)(1.0), ValueError, "names argument 1"),
    "by keyword": (lambda: mg.grad(lambda *, x: x)(x=1.0), ValueError, "passed by keyword"),
    "argnums twice": (
        lambda: mg.grad(lambda x, y: x, (0, -2))(1.0, 2.0),
        ValueError,
        "an argument twice",
    ),
    "tangent shape": (
        lambda: mg.jvp(np.sin, np.ones(3), np.ones(2)),
        ShapeError,
        r"tangents\[0\] must have the shape \(3,\).*\(2,\)",
    ),
    "tangents not a tuple": (
        lambda: mg.jvp(np.add, (1.0, 2.0), 1.0),
        ShapeError,
        "one entry for each of the 2 arguments",
    ),
    "tangent nesting": (
        lambda: mg.jvp(lambda p: p["a"], {"a": 1.0}, {"b": 1.0}),
        ShapeError,
        r"\['a'\], got \[0\]\['b'\]",
    ),
    "pullback shape": (
        lambda: mg.vjp(np.sin, np.ones(3))[1](np.ones(2)),
        ShapeError,
        r"the gradient must have the shape \(3,\)",
    ),
    "pullback nesting": (
        lambda: mg.vjp(lambda x: [x, x], 1.0)[1](1.0),
        ShapeError,
        r"expected entries \[0\], \[1\], got \(one array\)",
    ),
    "mode": (lambda: mg.jacobian(square, mode="up"), ValueError, '"reverse", "forward" or None'),
    "gradients without requires_grad": (
        lambda: mg.gradients(mg.Tensor(1.0), mg.Tensor(1.0)),
        GradientError,
        r"inputs\[0\] f32\[\] does not require grad",
    ),
    "gradients of another graph": (
        lambda: mg.gradients(
            mg.Tensor(1.0, requires_grad=True) * 2, mg.Tensor(1.0, requires_grad=True)
        ),
        GradientError,
        r"no output depends on inputs\[0\]",
    ),
    "gradients with too few starts": (
        lambda: mg.gradients([mg.Tensor(1.0)] * 2, [], gradient=[1.0]),
        GradientError,
        "each of the 2 outputs, got 1",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls_say_what_to_do(name):
    call, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        call()
