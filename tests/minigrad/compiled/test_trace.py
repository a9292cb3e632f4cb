"""Traced calls: the same numbers and gradients as the eager engine, from a small graph."""

import cProfile
import pstats
import warnings

import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad.compiled.guarding.comparing import differences
from minigrad.compiled.trace import settle, trace
from minigrad.testing.random_programs import SPECIFICATIONS, programs
from tests.minigrad.compiled.programs import compare

F = np.float32


def numbers(*shape, dtype=F, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def cell(x, wx, wh, b):
    h = c = np.zeros((2, 8), x.dtype)
    total = 0.0
    for t in range(5):
        g = x[t] @ wx + h @ wh + b
        i, f, u, o = (g[:, k * 8 : (k + 1) * 8] for k in range(4))
        c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(u)
        h = mg.sigmoid(o) * mg.tanh(c)
        total = total + (h**2).mean()
    return total / 5


CASES = {
    "cell": (cell, [(5, 2, 6), (6, 32), (8, 32), (32,)]),
    "mlp": (lambda x, w, b: mg.softmax(mg.relu(x @ w + b)), [(5, 4), (4, 6), (6,)]),
    "norm": (lambda x, w, b: mg.layer_norm(x, w, b), [(3, 4, 8), (8,), (8,)]),
    "gelu": (lambda x: mg.gelu(x), [(4, 5)]),
    "log_softmax": (lambda x: mg.log_softmax(x, axis=1), [(3, 5, 2)]),
    "attention": (mg.scaled_dot_product_attention, [(2, 3, 5, 4)] * 3),
    "joined": (lambda x, y: np.concatenate([x, y * 2], axis=1).T.sum(axis=0), [(3, 2), (3, 4)]),
    "joined with nothing": (lambda x, y: np.concatenate([x, y], axis=1), [(2, 0), (2, 3)]),
    "products of nothing": (lambda x, y: x @ y, [(2, 0), (0, 3)]),
    "joined comparisons": (
        lambda x, y: np.where(np.stack([x > 0, x > y]), np.stack([x, y]), 2 * np.stack([y, x])),
        [(3, 5), (3, 5)],
    ),
    "stacked": (lambda x, y: np.stack([x, y], axis=1).mean(axis=(0, 2)), [(3, 2), (3, 2)]),
    "max": (lambda x: x.max(axis=1, keepdims=True) * x.min(), [(4, 5)]),
    "middle": (lambda x: (x * x).sum(axis=1), [(3, 4, 5)]),
    "several": (lambda x, y: (x * y, x.sum(axis=0)), [(3, 2), (3, 2)]),
    "products": (lambda x, w: (x @ w) @ w.T, [(2, 3, 4), (4, 5)]),
    "variance": (lambda x: x.var(axis=-1) + x.std(axis=-1), [(3, 6)]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_traced_call_computes_what_the_eager_engine_computes(name, dtype):
    function, shapes = CASES[name]
    arrays = [numbers(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    compare(function, arrays, rtol=1e-5 if dtype is F else 1e-12)


@settings(deadline=None)
@given(programs(max_operations=12))
def test_random_programs_are_what_the_eager_engine_computes(program):
    def loss(*leaves):
        return program.loss(program.run(leaves))

    tensors = [mg.Tensor(a, requires_grad=True) for a in program.leaves]
    if trace(loss, tensors, {}).refusal is None:
        compare(loss, list(program.leaves), rtol=1e-9)


def test_most_operations_of_random_programs_are_followed():
    assert len(SPECIFICATIONS) > 100


def test_equal_values_are_made_once():
    traced = trace(lambda x: mg.exp(x) + mg.exp(x), [mg.Tensor(numbers(3))], {})
    assert [value.op for value in traced.tracer.builder.values] == ["exp", "add"]


def test_views_and_constants_are_no_operations():
    def function(x):
        return x.T.reshape(2, -1)[::-1, None] * (np.float32(2) + np.ones((), F))

    traced = trace(function, [mg.Tensor(numbers(2, 3))], {})
    assert [value.op for value in traced.tracer.builder.values] == ["copy", "multiply"]
    # The transposed matrix has no view of two rows: that is the copy.
    assert traced.tracer.builder.values[1].operands[1] == 3.0


def test_the_gradient_of_slices_is_put_together_once():
    def function(x):
        return sum((x[i] * (i + 2)).sum() for i in range(6))

    traced = compare(function, [numbers(6, 3)], rtol=1e-6)
    (gradient,) = traced.gradients.values()
    graph = traced.graph([*traced.arguments, *traced.seeds], [gradient])
    assert [value.op for value in graph.values].count("assemble") == 1
    assert len(graph.values[-1].operands) == 6


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * np.random.default_rng().standard_normal(),
        lambda x: x * x.numpy().max(),
        lambda x: x * float(x.detach().sum().item()),
        lambda x: (x * (x.numpy() > 0).astype(F)).sum(),
        lambda x: x.sum() if x.numpy().sum() > 0 else (x * 2).sum(),
        lambda x: (x.sum(), x.numpy().max()),
    ],
)
def test_what_is_computed_outside_differs_between_two_traces(function):
    x = numbers(4)
    first = trace(function, [mg.Tensor(x, requires_grad=True)], {})
    second = trace(function, [mg.Tensor(-x * F(0.9), requires_grad=True)], {}, {})
    settle(first, {})
    settle(second, {})
    assert differences(first, second) is not None


def test_a_function_without_such_values_is_the_same_in_two_traces():
    x = numbers(4, 3)
    first = trace(lambda x: mg.dropout(x, 0.0).sum(), [mg.Tensor(x, requires_grad=True)], {})
    second = trace(lambda x: mg.dropout(x, 0.0).sum(), [mg.Tensor(-x, requires_grad=True)], {}, {})
    settle(first, {})
    settle(second, {})
    assert differences(first, second) is None


def test_a_profiler_written_in_c_goes_on_after_a_first_call():
    def seen_by_the_profiler():
        return 1

    function, profiler = mg.compile(lambda x: x * 2), cProfile.Profile()
    profiler.enable()
    function(np.ones(3))
    seen_by_the_profiler()
    profiler.disable()
    names = {name for _, _, name in pstats.Stats(profiler).stats}
    assert "seen_by_the_profiler" in names
    assert function.refusals == []


@mg.primitive
def doubled(x):
    """An operation of a user, which NumPy would not follow."""
    return np.ndarray.copy(np.asarray(x)) * 2


doubled.vjp(x=lambda g: g * 2)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda x: mg.cumprod(x, axis=0) * mg.cumprod(x, axis=0), 1),
        (lambda x: mg.cumprod(x, axis=0) * mg.cumprod(x, axis=1), 2),
        (lambda x: mg.cumprod(x, axis=0) * mg.cumprod(x + 1, axis=0), 2),
        (lambda x: doubled(x) * doubled(x), 2),
    ],
)
def test_equal_calls_of_our_own_operations_are_one(function, count):
    traced = compare(lambda x: function(x).sum(), [numbers(3, 4, dtype=np.float64)], 1e-12)
    graph = traced.graph(traced.arguments, traced.outputs)
    names = [value.options[0].name for value in graph.values if value.op == "call"]
    assert len(names) == count, names


def with_gradients(x, w):
    loss = (mg.tanh(x @ w) ** 2).sum()
    return loss, *mg.gradients(loss, [x, w])


def test_gradients_that_a_function_returns_are_not_computed_again():
    x, w = (mg.Tensor(numbers(*shape), requires_grad=True) for shape in [(2, 3), (3, 4)])
    traced = trace(with_gradients, [x, w], {})
    found = [traced.gradients[value].key for value in traced.arguments]
    assert found == [view.key for view in traced.outputs[1:]]


@pytest.mark.parametrize(
    "function",
    [
        with_gradients,
        lambda x, w: (loss := (x * w.sum()).sum(), mg.gradients(loss, x)),
        lambda x, w: (loss := (x * w.sum()).sum(), mg.gradients(loss, w, gradient=2.0)),
        lambda x, w: (loss := (x**2).sum(), mg.gradients([loss, loss], x), w * 1),
        lambda x, w: ((loss := (x**2).sum()) * 1, mg.gradients(loss, x, create_graph=False)),
    ],
    ids=["of all", "of one", "of another seed", "of several outputs", "of another output"],
)
def test_returned_gradients_leave_the_derivative_what_it_is(function):
    x, w = (mg.Tensor(numbers(*shape), requires_grad=True) for shape in [(2, 3), (3, 4)])
    compiled = mg.compile(function)
    expected = mg.gradients(function(x, w)[0], x, create_graph=False).numpy()
    for _ in range(2):
        found = mg.gradients(compiled(x, w)[0], x, create_graph=False).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert compiled.refusals == []


def test_returned_gradients_after_hooks_are_not_those_of_the_program():
    x, w = (mg.Tensor(numbers(*shape), requires_grad=True) for shape in [(2, 3), (3, 4)])
    x.register_hook(lambda g: g + g)
    traced = trace(with_gradients, [x, w], {})
    found = [traced.gradients[value].key for value in traced.arguments]
    assert found[0] != traced.outputs[1].key


@pytest.mark.parametrize("saved", ["gy", "gx"])
def test_a_rule_of_ones_own_may_look_at_numbers(saved):
    """It runs as it does without compile: its gradient is not recorded, so `float` may take it."""
    clipped = mg.custom_vjp(lambda x: mg.tanh(x))

    def by_output(g, y):
        return g * (1 - y * y) if float(g.sum()) < 1 else g * float(y.max())

    def by_input(g, x):
        return g * 2 if float(x.max()) < 1 else -g

    clipped.vjp(by_output if saved == "gy" else by_input)
    function = mg.value_and_grad(lambda x: (clipped(x) ** 2).sum())
    compiled = mg.compile(function)
    for scale in (0.1, 1.0, 2.0):
        x = np.linspace(0, scale, 5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mg.CompileWarning)
            found = compiled(mg.Tensor(x))
        for one, other in zip(found, function(mg.Tensor(x)), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert "float() takes numbers out of the graph" in compiled.refusals[0].reason
