"""Derivative rules of the user's: what they read from outside counts as what the function reads."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.tracing.watching import Watch

F = np.float32
scale = 2.0


def scaled(g):
    return scale * g


@mg.primitive
def square(x):
    return x * x


square.vjp(x=lambda g, x: scaled(g) * x)


@mg.custom_vjp
def rounded(x):
    return x * x


@rounded.vjp
def rule_of_rounded(g, x):
    return scaled(g) * x


def recomputed(x):
    return mg.checkpoint(square)(x)


class Leaky(layers.Cell):
    """h * 0.5 + x ** 2, with the rule above."""

    gates = ("added",)
    routes = layers.Routes("h", ("added",))

    def step(self, x, states):
        (h,) = states
        with mg.scope("added"):
            added = square(x)
        return h * 0.5 + added, (added,)


def gradient(function, x):
    x.grad = None
    function(x).backward()
    return x.grad.numpy()


@pytest.mark.parametrize("operation", [square, rounded, recomputed], ids=lambda f: f.__name__)
def test_a_global_that_a_rule_reads_is_guarded(operation, monkeypatch):
    compiled = mg.compile(lambda x: operation(x).sum(), backend=plain)
    x = mg.Tensor(np.arange(3.0), requires_grad=True)
    for _ in range(2):
        np.testing.assert_array_equal(gradient(compiled, x), 2 * np.arange(3.0))
    monkeypatch.setitem(globals(), "scale", 5.0)
    for _ in range(2):
        np.testing.assert_array_equal(gradient(compiled, x), 5 * np.arange(3.0))
    assert (len(compiled.programs), compiled.refusals) == (2, [])


def test_so_it_is_in_the_steps_of_a_scan(monkeypatch):
    cell, x = Leaky(3, 3), mg.Tensor(np.ones((2, 20, 3)), requires_grad=True)

    def total(x):
        return layers.scan(cell, x)[0].sum()

    weights = 2 - 0.5 ** np.arange(19, -1, -1.0)  # of a step: in all states that come after it
    for factor in (2.0, 5.0, 2.0):
        monkeypatch.setitem(globals(), "scale", factor)
        for _ in range(2):
            expected = np.broadcast_to(factor * weights[None, :, None], x.shape)
            np.testing.assert_allclose(gradient(total, x), expected, rtol=1e-12)


def test_a_rule_that_prints_is_refused(capsys):
    noisy = mg.primitive(double)
    noisy.vjp(x=lambda g: print("asked") or 2 * g)
    compiled = mg.compile(lambda x: noisy(x).sum(), backend=plain)
    x = mg.Tensor(np.ones(3), requires_grad=True)
    with pytest.warns(mg.CompileWarning, match="it calls print"):
        gradient(compiled, x)
    capsys.readouterr()
    np.testing.assert_array_equal(gradient(compiled, x), 2 * np.ones(3))
    assert capsys.readouterr().out == "asked\n"


def double(x):
    return 2 * x


def kernel_of_double(x):
    return 2 * x, ()


def test_a_derivative_by_more_inputs_is_no_change_of_an_operation():
    compiled = mg.compile(lambda x, y, f=mg.multiply: f(x, y).sum(), backend=plain)
    x, y = (mg.Tensor(np.ones(3), requires_grad=flag) for flag in (True, False))
    compiled(x, y)
    operation = mg.multiply.operation
    operation.plans.pop(3, None)
    compiled(x, y)
    mg.multiply(x, x)
    assert 3 in operation.plans
    compiled(x, y)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("operation", [square, rounded, recomputed])
def test_a_rule_is_watched_in_a_pass_within_the_function(operation, monkeypatch):
    compiled = mg.compile(mg.grad(lambda x: (mg.tanh(x) + operation(x)).sum()), backend=plain)
    x = np.arange(3.0)
    for factor in (2.0, 5.0):
        monkeypatch.setitem(globals(), "scale", factor)
        for _ in range(2):
            expected = 1 - np.tanh(x) ** 2 + factor * x
            np.testing.assert_allclose(compiled(x).numpy(), expected, rtol=1e-12)
    assert (len(compiled.programs), compiled.refusals) == (2, [])


def test_a_reference_is_watched_in_a_pass_within_the_function():
    def reference(x):
        print("asked")
        return x * 2

    kernel = mg.fused(reference=reference, backward=lambda *_: ())(kernel_of_double)
    weight = mg.Tensor(np.ones(3), requires_grad=True)
    before = kernel(weight)
    compiled = mg.compile(lambda x: mg.gradients((x * before).sum(), weight), backend=plain)
    with pytest.warns(mg.CompileWarning, match="it calls print"):
        compiled(np.arange(3.0))


def test_a_hook_is_watched_in_a_pass_within_the_function(capsys):
    weight = mg.Tensor(np.ones(3), requires_grad=True)
    before = weight * 1.0
    before.register_hook(lambda g: print("asked") or 2 * g)
    compiled = mg.compile(lambda x: mg.gradients((x * before).sum(), weight), backend=plain)
    with pytest.warns(mg.CompileWarning, match="it calls print"):
        np.testing.assert_array_equal(compiled(np.arange(3.0)).numpy(), 2 * np.arange(3.0))
    capsys.readouterr()
    np.testing.assert_array_equal(compiled(np.arange(3.0)).numpy(), 2 * np.arange(3.0))
    assert capsys.readouterr().out == "asked\n"


def test_a_pass_of_our_own_rules_is_not_watched(monkeypatch):
    told, hook_of = [], Watch._hook

    def counting(self):
        hook = hook_of(self)

        def counted(*event):
            told.append(event[1])
            hook(*event)

        counted.of_watch = self
        return counted

    def steps(x):
        for _ in range(30):
            x = mg.tanh(x) * x
        return x.sum()

    monkeypatch.setattr(Watch, "_hook", counting)
    counts = []
    for function in (steps, mg.value_and_grad(steps)):
        told.clear()
        mg.compile(function, backend=plain)(np.ones(3))
        counts.append(len(told))
    assert 0 < counts[1] < 1.5 * counts[0]


def test_a_rule_that_looks_at_a_constant_is_refused():
    @mg.primitive
    def weighted(x, c):
        return x * c

    weighted.vjp(x=lambda g, x, c: g * c if c.max() > 2.5 else -g * c)
    compiled = mg.compile(lambda x, c: weighted(x, c).sum())
    for size in (1.0, 1.0, 3.0, 1.0):
        x, c = mg.Tensor(np.ones(2, F), requires_grad=True), np.full(2, size, F)
        if not compiled.refusals:
            with pytest.warns(mg.CompileWarning, match="takes numbers out of the graph"):
                loss = compiled(x, c)
        else:
            loss = compiled(x, c)
        loss.backward()
        assert x.grad.tolist() == [size if size > 2.5 else -size] * 2


POSITIVE, WEIGHT = np.array([0.5, 1.0, 2.0], F), np.array([0.25], F)
WITH_CONSTANTS = {
    "power by a constant": (lambda x, c: x**c, POSITIVE, WEIGHT, 2.0),
    "a constant power": (lambda x, c: c**x, WEIGHT, POSITIVE, 2.0),
    "float power": (mg.float_power, POSITIVE, WEIGHT, 3.0),
    "prelu": (lambda w, x: mg.prelu(x, w), WEIGHT, POSITIVE - 1, -1.0),
    "copysign": (mg.copysign, POSITIVE, POSITIVE - 1, -1.0),
    "sorted": (lambda x, c: weighted_by_order(x, c), POSITIVE, POSITIVE - 1, -1.0),
}


@mg.primitive
def weighted_by_order(x, c):
    return x * np.sort(c)


weighted_by_order.vjp(x=lambda g, c: g * np.sort(c))


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_what_rules_compute_of_constants_is_computed_anew(name, backend):
    function, values, constant, factor = WITH_CONSTANTS[name]
    compiled = mg.compile(function, backend=backend)
    for scale in (1.0, 1.0, factor):
        found, expected = (mg.Tensor(values, requires_grad=True) for _ in range(2))
        given = constant * F(scale)
        compiled(found, given).sum().backward()
        function(expected, given).sum().backward()
        np.testing.assert_allclose(found.grad.numpy(), expected.grad.numpy(), rtol=1e-5)
    assert len(compiled.programs) == 1
