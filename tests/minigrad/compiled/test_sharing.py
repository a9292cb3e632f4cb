"""What two sums, or a loop and what reads its steps, have in common is kept once."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import compiles_natively
from minigrad.compiled.graph import everything
from minigrad.compiled.rolling.rolled import roll
from minigrad.compiled.rolling.sharing import share_stacks
from minigrad.compiled.trace import settle, trace
from tests.minigrad.compiled.programs import compare

F = np.float32
STEPS, ROWS, WIDTH = 12, 3, 4


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F) / 2


def graph_of(function, *arrays):
    tensors = [mg.Tensor(array, requires_grad=True) for array in arrays]
    traced = trace(function, tensors, {})
    settle(traced, {})
    gradients = [traced.gradients[value] for value in traced.arguments]
    return traced.graph([*traced.arguments, *traced.seeds], [*traced.outputs, *gradients])


def two_products(a, b, x, y):
    """The gradients of a product and of another one, which share that of a part."""
    p, q = x @ a, y @ b
    return (mg.tanh(p[:, :2] + q[:, :2]) * mg.exp(p[:, 2:]) * q[:, 2:]).sum()


def test_a_part_may_be_in_the_sums_of_two_arrays():
    arrays = [numbers(3, 4), numbers(2, 4, seed=1), numbers(5, 3, seed=2), numbers(5, 2, seed=3)]
    graph = graph_of(two_products, *arrays)
    assembled = [value for value in graph.values if value.op == "assemble"]
    assert [len(value.operands) for value in assembled] == [2, 2]
    assert not any(
        view.value.op == "assemble"
        for value in graph.values if value.op == "add"
        for view in value.views
    )  # fmt: skip
    compare(two_products, arrays, rtol=1e-5)


def test_an_array_that_others_read_too_stays_beside_the_sum():
    def function(x):
        y = x * 2
        left, right = mg.pad(y[:2], (0, 2)), mg.pad(y[2:], (2, 0))
        return left + right, left * 3

    graph = graph_of(function, numbers(4))
    assert any(value.op == "assemble" for value in graph.values)
    compare(function, [numbers(4)], rtol=1e-6)


def gated(x, w, v):
    """Gates that see the state by one product and the input by another, as those of a GRU."""
    state = mg.Tensor(np.zeros((ROWS, WIDTH), F))
    for t in range(STEPS):
        a, b = x[t] @ v, state @ w
        kept = mg.sigmoid(a[:, :WIDTH] + b[:, :WIDTH])
        new = mg.tanh(a[:, WIDTH:] + kept * b[:, WIDTH:])
        state = kept * state + (1 - kept) * new
    return (state**2).sum()


GATED = (numbers(STEPS, ROWS, 2), numbers(WIDTH, 2 * WIDTH, seed=1), numbers(2, 2 * WIDTH, seed=2))


@pytest.mark.parametrize("lift", [False, True])
def test_a_loop_keeps_the_parts_of_what_it_keeps_once(lift):
    straight = graph_of(gated, *GATED)
    graph = roll(straight, lift)
    loops = [value.options[0] for value in graph.values if value.op == "loop"]
    assert len(loops) == 2
    for loop in loops:
        kept = set(loop.stacked)
        for whole in kept:
            if whole.op == "assemble":
                parts = {view.value for view in whole.views if view.whole}
                assert len(parts & kept) <= 1  # the part that only one of both products has
    place = {value: i for i, value in enumerate(graph.values)}
    for i, value in enumerate(graph.values):
        assert all(place.get(view.value, -1) < i for view in value.views)
    expected = plain.build(straight)(GATED)
    for found, wanted in zip(plain.build(graph)(GATED), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_of_shared_steps():
    compare(gated, list(GATED), rtol=1e-4)
    compare(gated, list(GATED), rtol=1e-4, build=lambda graph: plain.build(roll(graph, lift=True)))


def test_without_loops_nothing_changes():
    graph = graph_of(two_products, numbers(3, 4), numbers(2, 4), numbers(5, 3), numbers(5, 2))
    assert [v.key for v in share_stacks(graph).outputs] == [view.key for view in graph.outputs]


def test_a_gru_layer_keeps_what_its_derivative_reads_once():
    layer = layers.GRU(8, 16, batch_first=False)
    compiled = mg.compile(lambda x: (layer(x)[0] ** 2).mean())
    (graph,) = compiled.lowered(mg.Tensor(numbers(40, 4, 8), requires_grad=True)).graphs
    stacks = {view.value for v in everything(graph.values) for view in v.views}
    columns = [value.shape[-1] for value in stacks if value.op == "stack"]
    # The state, three gates, 1 - z and a third of the product with the state; then the gradients of
    # the state, of all of that product, and of the gate that the reset gate is in.
    count = 16 * (1 + 3 + 1 + 1 + 1 + 3 + 1)
    assert sum(columns) == (count if compiles_natively() else count + 2 * 16)


@pytest.mark.parametrize("part", [slice(0, 2), slice(3, 4), slice(2, 8), slice(7, None, -1)])
def test_of_what_is_read_in_some_columns_the_others_are_not_kept(part):
    def function(x, w):
        state = mg.Tensor(np.zeros((ROWS, WIDTH), F))
        read = []
        for t in range(STEPS):
            wide = x[t] + state @ w
            read.append(wide[:, part])
            state = mg.tanh(wide[:, :WIDTH] * wide[:, WIDTH:])
        return mg.stack(read), mg.stack(read[::-1])[1:, :2].exp()

    arrays = [numbers(STEPS, ROWS, 2 * WIDTH), numbers(WIDTH, 2 * WIDTH, seed=1)]
    compare(function, arrays, rtol=1e-4, build=lambda graph: plain.build(roll(graph, lift=True)))


def test_a_stack_that_is_returned_is_kept_whole():
    def function(x, w):
        state, states = mg.Tensor(np.zeros((ROWS, WIDTH), F)), []
        for t in range(STEPS):
            state = mg.tanh(x[t] + state @ w)
            states.append(state * 2)
        return mg.stack(states), mg.stack(states)[:, :, :1] * 3

    arrays = [numbers(STEPS, ROWS, WIDTH), numbers(WIDTH, WIDTH, seed=1)]
    compare(function, arrays, rtol=1e-4, build=lambda graph: plain.build(roll(graph, lift=True)))


def test_numbers_of_a_few_steps_have_no_columns():
    def function(x):
        kept = []
        for _ in range(STEPS):
            kept.append((x * x).sum())
            x = mg.tanh(x + kept[-1])
        return x + kept[0] * 2 + kept[2]

    compiled = mg.compile(function)  # a program that cannot be made would warn
    for seed in range(2):
        x = numbers(ROWS, WIDTH, seed=seed)
        np.testing.assert_allclose(compiled(x).numpy(), function(x).numpy(), rtol=1e-5)
