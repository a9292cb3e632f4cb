"""What the NumPy back end does on its own: blocks, places, kernels that stay kernels."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.numpy_calls import blocking
from minigrad.ops.fusing import FusedOperation
from minigrad.ops.primitives import operations
from tests.minigrad.compiled.evaluating import evaluate
from tests.minigrad.compiled.test_programs import F4, F8, Maker, numbers

CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@st.composite
def row_programs(draw):
    """A graph of random operations on rows, products in between, and values that are read late."""
    rows, columns = draw(st.integers(2, 9)), draw(st.integers(1, 5))
    m = Maker()
    shape = (rows, columns)
    whole = [m.input(shape, F8), m.input(shape, F8)]
    square, sums = m.input((columns, columns), F8), []
    kinds = st.sampled_from(
        ["tanh", "sigmoid", "square", "erf", "add", "multiply", "where", "row_sum", "row_max",
         "lead_sum", "total", "matmul", "reversed", "copy", "unlikely"]
    )  # fmt: skip
    for kind in draw(st.lists(kinds, min_size=2, max_size=14)):
        x, y = (draw(st.sampled_from(whole)) for _ in range(2))
        if kind in ("row_sum", "row_max"):
            whole.append(m.row(kind, x).broadcast(shape))
        elif kind == "lead_sum":
            sums.append(m.lead_sum(x, 1))
            whole.append(sums[-1].broadcast(shape))
        elif kind == "total":
            sums.append(m.add("total", x, shape=()))
        elif kind == "matmul":
            whole.append(m.matmul(x, square))
        elif kind == "reversed":  # a row of another number
            whole.append(m.add("negative", x.seen_through(lambda d: d[::-1])))
        elif kind == "unlikely":  # which some arguments need, and others do not
            needed = m.compare("greater", m.row("row_max", x), 1.5).broadcast(shape)
            other = m.add("tanh", m.add("multiply", x, 2.0))
            whole.append(m.add("subtract", m.add("where", needed, other, y, shape=shape), x))
        elif kind == "where":
            whole.append(m.add("where", m.compare("greater", x, 0.1), y, x, shape=shape))
        elif kind in ("add", "multiply"):
            whole.append(m.add(kind, x, y))
        else:
            whole.append(m.add(kind, x))
    returned = [v for v in (*draw(st.sets(st.sampled_from(whole), min_size=1)), *sums) if v.whole]
    last = m.add("add", whole[-1], whole[0])
    return m.graph(*returned, last, last)


@settings(deadline=None)
@given(row_programs(), st.integers(1, 200), st.integers(1, 5), st.integers(0, 9))
def test_blocks_of_rows_compute_what_whole_arrays_do(graph, block, most, seed):
    arrays = numbers(graph, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocking, "_LARGE", 0)
        patch.setattr(blocking, "_BLOCK", block)
        patch.setattr(blocking, "_MOST", most)
        program = plain.build(graph)
    for _ in range(2):  # a second call finds the rooms as the first one left them
        for one, other in zip(program(arrays), evaluate(graph, arrays), strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_softmax_of_infinite_scores_in_blocks(monkeypatch, block):
    monkeypatch.setattr(blocking, "_LARGE", 0)
    monkeypatch.setattr(blocking, "_BLOCK", block)
    compiled = mg.compile(lambda x: mg.softmax(x * 2.0), backend=plain)
    finite = np.random.default_rng(0).standard_normal((6, 5))
    infinite = finite.copy()
    infinite[0, 1] = infinite[3, 2] = infinite[3, 4] = np.inf
    infinite[4], infinite[5, 0] = -np.inf, -np.inf
    for x in (finite, infinite, finite, infinite):
        np.testing.assert_allclose(compiled(x).numpy(), mg.softmax(x * 2.0).numpy(), rtol=1e-12)
    (program,) = compiled.programs
    assert any(function.__name__ == "branch" for function, _ in program._forward._list)


def test_a_chain_makes_one_call_for_each_block_and_shares_rooms():
    m, shape = Maker(), (4096, 256)
    x = m.input(shape)
    y = x
    for _ in range(4):
        y = m.add("tanh", m.add("multiply", y, y))
    graph = m.graph(y)
    (chain,) = blocking.chains(graph.values)
    local = set(chain.values) - blocking.read_elsewhere(graph, chain)
    assert len(local) == 7
    assert set(chain.places(local).values()) == {0}
    assert len(plain.build(graph)) == 8 * len(chain.blocks) > 8


def test_an_output_that_is_returned_twice_is_whole_both_times():
    m = Maker()
    y = m.add("tanh", m.input((100, 200)))  # large enough to be computed where it is returned
    graph = m.graph(y, y)
    arrays = numbers(graph)
    one, two = plain.build(graph)(arrays)
    assert not np.shares_memory(one, two)
    for found in (one, two):
        np.testing.assert_allclose(found, np.tanh(arrays[0]), rtol=1e-6)


def both(function, leaves, *rest):
    """Values and gradients, eager and by the NumPy back end at its second call."""
    compiled = mg.compile(function, backend=plain)
    found = []
    for call in (function, compiled, compiled):
        for leaf in leaves:
            leaf.grad = None
        value = call(*leaves, *rest)
        (
            value * np.linspace(1, 2, value.size, dtype=value.dtype).reshape(value.shape)
        ).sum().backward()
        found.append([value.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    assert compiled.refusals == []
    return found[0], found[2]


def assert_same(function, leaves, *rest, **close):
    expected, got = both(function, leaves, *rest)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, **(close or CLOSE))


def leaf(seed, *shape):
    return mg.Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@st.composite
def gate_cells(draw):
    """A cell with gates side by side, of any order, number and functions."""
    gates = draw(st.lists(st.sampled_from(["sigmoid", "tanh", "exp"]), min_size=2, max_size=5))
    carried = draw(st.sampled_from(["product", "last", "first"]))
    return gates, carried, draw(st.integers(4, 8)), draw(st.integers(1, 3))


@settings(deadline=None)
@given(gate_cells(), st.booleans())
def test_gates_side_by_side(cell, all_steps):
    gates, carried, count, batch = cell
    n = 3

    def function(x, w, h):
        states = []
        for t in range(count):
            parts = h @ w + x[t]
            made = [
                getattr(mg, name)(parts[:, n * i : n * (i + 1)] * 0.5)
                if i % 2
                else getattr(mg, name)(parts[:, n * i : n * (i + 1)])
                for i, name in enumerate(gates)
            ]
            product = made[0]
            for each in made[1:]:
                product = product * each
            h = {"product": product, "last": made[-1] + h, "first": made[0] * h}[carried] * 0.3
            states.append(h)
        return np.stack(states) if all_steps else h

    width = n * len(gates)
    leaves = [leaf(0, count, batch, width), leaf(1, n, width), leaf(2, batch, n)]
    assert_same(function, leaves)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch", [1, 3])
def test_recurrent_layers(kind, batch):
    layer = getattr(layers, kind)(3, 4).to(F8)
    assert_same(lambda x: layer(x)[0], [leaf(0, batch, 9, 3)])


@pytest.fixture
def kept(monkeypatch):
    """Kernels stay kernels at any size."""
    for operation in operations.values():
        if isinstance(operation, FusedOperation):
            monkeypatch.setattr(operation, "whole_from", 0)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_kernels_with_class_numbers(reduction, smoothing):
    weight = np.linspace(0.5, 2.0, 7)

    def loss(x, y):
        return mg.cross_entropy(
            x, y, weight, reduction=reduction, label_smoothing=smoothing, ignore_index=2
        )

    assert_same(loss, [leaf(0, 5, 7)], np.array([0, 6, 2, 3, 3]))


@pytest.mark.usefixtures("kept")
def test_a_kept_kernel_reads_the_class_numbers_of_each_call():
    compiled = mg.compile(lambda x, y: mg.cross_entropy(x, y), backend=plain)
    x = leaf(0, 4, 6)
    for y in ([0, 1, 2, 3], [5, 4, 3, 2], [1, 1, 1, 1]):
        y = np.array(y)
        assert compiled(x, y).item() == pytest.approx(mg.cross_entropy(x, y).item(), rel=1e-12)
    (program,) = compiled.programs
    assert {v.op for g in program.graphs for v in g.values} >= {"call", "result"}


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("count", [8, 600])
def test_attention_stays_a_kernel(causal, count):
    def attend(q, k, v):
        return mg.scaled_dot_product_attention(mg.tanh(q), k, v, causal=causal) * 2.0

    leaves = [leaf(i, 1, 2, count, 4) for i in range(3)]
    assert_same(attend, leaves, rtol=1e-6, atol=1e-7)


def assert_alike(found, expected, leaves):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    slopes = [mg.gradients((y**2).sum(), leaves) for y in (found, expected)]
    for one, other in zip(*slopes, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)


def sequences_in(compiled):
    (program,) = compiled.programs
    called = [v.options[0].name for v in program.graphs[0].values if v.op == "call"]
    return [name for name in called if name.endswith("_sequence")]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("reads", ["outputs", "states", "both"])
def test_kernels_with_several_outputs(kind, reads):
    layer = getattr(layers, kind)(3, 4, num_layers=2, bidirectional=True).to(F8)

    def function(x):
        output, last = layer(x)
        last = last[0] if isinstance(last, tuple) else last
        return {"outputs": output, "states": last, "both": output.sum() * last}[reads]

    compiled, x = mg.compile(function, backend=plain), leaf(0, 2, 5, 3)
    for _ in range(2):
        assert_alike(compiled(x), function(x), [x, *layer.parameters()])
    assert sequences_in(compiled) == [f"{kind.lower()}_sequence"] * 4


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_sequences_of_the_lengths_of_each_call(kind):
    layer = getattr(layers, kind)(3, 4).to(F8)

    def function(x, lengths):
        return layer(x, lengths=lengths)[0]

    compiled, x = mg.compile(function, backend=plain), leaf(0, 3, 6, 3)
    for lengths in ([6, 2, 0], [1, 6, 4], [5, 5, 6]):
        given = x, np.array(lengths)
        assert_alike(compiled(*given), function(*given), [x, *layer.parameters()])
    assert sequences_in(compiled) == [f"{kind.lower()}_sequence"]


@pytest.mark.usefixtures("kept")
def test_a_kept_kernel_is_opened_for_second_derivatives():
    def loss(x, y):
        return mg.cross_entropy(x, y)

    compiled, y = mg.compile(loss, backend=plain), np.array([1, 0])
    found = []
    for call in (loss, compiled, compiled):
        x = leaf(0, 2, 3)
        slope = mg.gradients(call(x, y), x, create_graph=True)
        found.append(mg.gradients((slope**2).sum(), x).numpy())
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.usefixtures("kept")
def test_gradients_taken_inside_are_those_of_the_result():
    layer, y = layers.Linear(4, 3).to(F8), np.array([0, 2])

    def both_of(x):
        value = mg.cross_entropy(mg.tanh(layer(x)), y)
        return value, mg.gradients(value, [layer.weight, layer.bias])

    compiled, x = mg.compile(both_of, backend=plain), np.random.default_rng(0).normal(size=(2, 4))
    compiled(x)
    value, found = compiled(x)
    expected, slopes = both_of(x)
    np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-12)
    for one, other in zip(found, slopes, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12)
    (program,) = compiled.programs
    ops = [value.op for value in program.graphs[0].values]
    assert ops.count("matmul") == 2  # the layer, and the gradient of its weight, once
    assert sum(value.place == "_of_classes_backward" for value in program.graphs[0].values) <= 3


def test_a_program_keeps_nothing_of_a_call_alive():
    m = Maker()
    y = m.add("tanh", m.input((300, 200)))
    program = plain.build(m.graph(y))
    x = np.ones((300, 200), F4)
    before = np.sum([a is x for _, arguments in program._list for a in arguments])
    (out,) = program([x])
    held = [a for _, arguments in program._list for a in arguments]
    assert before == 0
    assert not any(
        isinstance(a, np.ndarray) and np.shares_memory(a, o) for a in held for o in (x, out)
    )


def test_threads_run_one_program_in_turn():
    layer = layers.LSTM(3, 4).to(F8)
    compiled = mg.compile(lambda x: layer(x)[0].sum(), backend=plain)
    inputs = [np.random.default_rng(i).standard_normal((2, 6, 3)) for i in range(4)]
    expected = [layer(x)[0].sum().item() for x in inputs]
    compiled(inputs[0])
    wrong = []

    def run(i):
        for _ in range(50):
            if abs(compiled(inputs[i]).item() - expected[i]) > 1e-9:
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_choice_between_choices_is_computed_whole():
    def writes(x):  # each write is a choice of rows, the next one of what it gave
        whole = mg.Tensor(np.zeros((4, 1, 3)))
        for i in range(4):
            whole[i] = x[i] * 2
        return whole

    compiled = mg.compile(writes, backend=plain)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((4, 1, 3))
        np.testing.assert_array_equal(compiled(x).numpy(), x * 2)
