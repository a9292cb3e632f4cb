"""Any cell over time, carried states, and what graphs know of them."""

from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    Linear,
    LSTMCell,
    Module,
    RNNCell,
    Routes,
    detach_state,
    run_in_chunks,
    scan,
)
from layers.cells import steps
from minigrad.core.errors import DtypeError, ShapeError

PAIRS = [(RNNCell, RNN), (LSTMCell, LSTM), (GRUCell, GRU)]


def make(kind, *sizes, **options):
    mg.seed(0)
    with mg.default_dtype("float64"):
        return kind(*(sizes or (3, 2)), **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def listed(last):
    return list(last) if isinstance(last, tuple) else [last]


def labelled(*outputs):
    """The scope and number of every node that is labelled as a state."""
    recorded = [output for output in outputs if output.requires_grad]
    nodes = {node for output in recorded for node in mg.graph(output).nodes}
    marked = [node for node in nodes if node.scope is not None and node.scope.state]
    return sorted(marked, key=lambda node: node.number)


@given(
    pair=st.sampled_from(PAIRS),
    padded=st.booleans(),
    reverse=st.booleans(),
    given_state=st.booleans(),
    seed=st.integers(0, 100),
)
def test_scan_of_a_cell_equals_the_layer(pair, padded, reverse, given_state, seed):
    cell, layer = make(pair[0]), make(pair[1], reverse=reverse)
    cell.load_state_dict({n.removesuffix("_l0"): a for n, a in layer.state_dict().items()})
    values, lengths = draw(3, 4, 3, seed=seed), [2, 0, 4] if padded else None
    if padded:
        values[0, 2:] = values[1] = np.nan
    count = len(cell.states)
    starts = [draw(1, 3, 2, seed=k) for k in range(count)]
    state = (tuple(starts) if count > 1 else starts[0]) if given_state else None
    begin = tuple(s[0] for s in starts) if count > 1 else starts[0][0]
    x, y = (mg.Tensor(values, requires_grad=True) for _ in range(2))
    output, last, series = scan(
        cell,
        x,
        begin if given_state else None,
        lengths=lengths,
        reverse=reverse,
        return_states="all",
    )
    expected, ends = layer(y, state, lengths=lengths)
    np.testing.assert_allclose(output.numpy(), expected.numpy(), atol=1e-12)
    np.testing.assert_array_equal(series[0].numpy(), output.numpy())
    assert len(series) == count
    for value, end in zip(listed(last), listed(ends), strict=True):
        np.testing.assert_allclose(value.numpy(), end.numpy()[0], atol=1e-12)
    for one, other in ((output, last), (expected, ends)):
        ((one**3).sum() + sum((v**3).sum() for v in listed(other))).backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=1e-10)
    for name, parameter in cell.named_parameters():
        other = getattr(layer, f"{name}_l0")
        np.testing.assert_allclose(parameter.grad.numpy(), other.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("lengths", [None, [3, 1]])
@pytest.mark.parametrize("pair", PAIRS)
def test_steps_states_and_routes_are_in_the_graph(pair, lengths):
    class Model(Module):
        def __init__(self):
            super().__init__()
            self.cell = pair[0](3, 2)

        def forward(self, x):
            return scan(self.cell, x, lengths=lengths)

    model = Model()
    output, last = model(draw(2, 3, 3))
    nodes = labelled(output, *listed(last))
    states = pair[0].states
    assert {(n.scope.time_step, n.scope.state) for n in nodes} == {
        (t, s) for t in range(3) for s in states
    }
    assert len(nodes) == 3 * len(states)
    for node in nodes:
        assert node.scope.path == "Model.cell"
        assert node.scope.kind == pair[0].__name__
        assert node.scope.routes is pair[0].routes


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_layers_tag_their_steps_too(pair, reverse):
    layer = make(pair[1], num_layers=2, reverse=reverse)
    with mg.recording(fused=False):
        output, _ = layer(draw(2, 3, 3), lengths=[3, 2])
    nodes = labelled(output)
    found = [(n.scope.path.rpartition(".")[2], n.scope.time_step, n.scope.state) for n in nodes]
    times = [2, 1, 0] if reverse else [0, 1, 2]
    assert [t for name, t, state in found if name == "l0" and state == "h"] == times
    expected = {(f"l{k}", t, state) for k in (0, 1) for t in times for state in pair[0].states}
    # The c of the last step leads nowhere.
    assert all(part[1:] == (times[-1], "c") for part in expected - set(found))
    assert set(found) <= expected
    cells = {scope for n in nodes for scope in n.scope.chain() if scope.kind == pair[0].__name__}
    assert {scope.routes for scope in cells} == {pair[0].routes}


def test_declared_routes_name_scopes_of_the_cell():
    for kind in (LSTMCell, GRUCell):
        output = make(kind)(draw(2, 3))
        names = {
            scope.name
            for value in listed(output)
            for node in mg.graph(value).nodes
            if node.scope is not None
            for scope in node.scope.chain()
        }
        assert isinstance(kind.routes, Routes)
        assert kind.routes.highway in kind.states
        assert set(kind.routes.detours) <= names


def test_a_cell_of_ones_own():
    class Leaky(Module):
        states = ("level", "trend")
        routes = Routes("level", ())

        def __init__(self):
            super().__init__()
            self.inner = Linear(3, 2)

        def forward(self, x, state):
            level, trend = state
            return self.inner(x) + 0.5 * level, mg.tanh(trend + x.sum(axis=-1, keepdims=True))

    cell = Leaky()
    state = (np.zeros((2, 2), np.float32), np.zeros((2, 1), np.float32))
    output, (level, trend) = scan(cell, draw(2, 3, 3).astype(np.float32), state)
    assert output.shape == (2, 3, 2)
    np.testing.assert_array_equal(output.numpy()[:, -1], level.numpy())
    nodes = labelled(output, trend)
    assert {n.scope.state for n in nodes} == {"level"}  # the trend does not require grad
    assert all(n.scope.path == "Leaky" and n.scope.routes is cell.routes for n in nodes)


def test_a_function_as_a_cell():
    w = mg.Tensor(0.5, dtype="float64", requires_grad=True)

    def decay(x, state):
        return x if state is None else w * state + x

    x = np.ones((1, 4, 1))
    output, last = scan(decay, x)
    np.testing.assert_allclose(output.numpy().ravel(), [1, 1.5, 1.75, 1.875])
    last.sum().backward()
    np.testing.assert_allclose(w.grad.item(), 1 + 2 * 0.5 + 3 * 0.25)
    assert [n.scope.time_step for n in labelled(last)] == [1, 2, 3]
    assert {n.scope.path for n in labelled(last)} == {"decay"}


@pytest.mark.parametrize("asked", ["last", "all"])
def test_one_step_of_a_cell_that_begins_by_itself(asked):
    x = draw(2, 1, 3)
    output, last, *_ = scan(lambda x, h: 2 * x if h is None else h, x, return_states=asked)
    np.testing.assert_array_equal(output.numpy(), 2 * x)
    np.testing.assert_array_equal(last.numpy(), 2 * x[:, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: scan(GRUCell(3, 2), np.zeros(3)), ShapeError, r"\(batch, time, \.\.\.\), got"),
        (lambda: scan(GRUCell(3, 2), [[1.0]]), ShapeError, r"scan: inputs must have shape"),
        (lambda: scan(GRUCell(3, 2), np.zeros((2, 0, 3))), ShapeError, r"must have a time step"),
        (
            lambda: scan(lambda x, s: None, np.zeros((2, 1, 3))),
            DtypeError,
            r"must return its state",
        ),
        (
            lambda: scan(lambda x, s: (x, x), mg.Tensor(np.zeros((2, 1, 3))), np.zeros((2, 3))),
            ShapeError,
            r"as many states as it is given",
        ),
        (
            lambda: scan(GRUCell(3, 2), np.zeros((2, 1, 3)), lengths=[1]),
            ShapeError,
            r"scan: lengths must have shape \(2,\)",
        ),
        (
            lambda: scan(GRUCell(3, 2), np.zeros((2, 1, 3)), return_states="h"),
            ValueError,
            r'"last" or "all", got',
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_detached_states():
    layer = make(LSTM)
    _, state = layer(draw(2, 3, 3))
    assert all(value.requires_grad for value in state)
    cut = detach_state(state)
    assert isinstance(cut, tuple)
    assert not any(value.requires_grad for value in cut)
    for value, constant in zip(state, cut, strict=True):
        np.testing.assert_array_equal(value.numpy(), constant.numpy())
    assert detach_state(None) is None
    assert not detach_state(make(GRU)(draw(2, 3, 3))[1]).requires_grad


@given(
    kind=st.sampled_from([RNN, LSTM, GRU]),
    steps=st.integers(1, 8),
    padded=st.booleans(),
    time_first=st.booleans(),
)
def test_chunks_give_the_output_of_one_call_and_cut_the_gradient(kind, steps, padded, time_first):
    layer = make(kind, batch_first=not time_first)
    values = draw(2, 7, 3)
    x = mg.Tensor(values.swapaxes(0, 1) if time_first else values, requires_grad=True)
    axis, lengths = 1 - time_first, [7, 3] if padded else None
    whole, ends = layer(x, lengths=lengths)
    options = {} if lengths is None else {"lengths": lengths}
    pieces = []
    for part, output, last in run_in_chunks(layer, x, steps, axis=axis, **options):
        pieces.append(output.numpy())
        reached = last
        slope = mg.gradients(output.sum(), x).numpy()
        outside = np.ones(7, bool)
        outside[part] = False
        assert not np.compress(outside, slope, axis=axis).any()
    np.testing.assert_allclose(np.concatenate(pieces, axis=axis), whole.numpy(), atol=1e-12)
    for value, end in zip(listed(reached), listed(ends), strict=True):
        np.testing.assert_allclose(value.numpy(), end.numpy(), atol=1e-12)


def test_backward_between_two_chunks():
    layer, x = make(GRU), draw(2, 6, 3)
    for _, output, _ in run_in_chunks(layer, x, 2):
        output.sum().backward()
    added = layer.weight_hh_l0.grad.numpy()
    layer.zero_grad()
    state = None
    for start in (0, 2, 4):
        output, state = layer(x[:, start : start + 2], detach_state(state))
        output.sum().backward()
    np.testing.assert_array_equal(layer.weight_hh_l0.grad.numpy(), added)


def test_wrong_chunks():
    with pytest.raises(ValueError, match="steps must be 1 or more, got 0"):
        run_in_chunks(make(GRU), draw(2, 6, 3), 0)
    with pytest.raises(ShapeError, match=r"f64\[6\] have no axis 1"):
        run_in_chunks(make(GRU), draw(6), 2)


def test_a_function_with_a_long_sequence_is_not_traced_step_by_step():
    cell = layers.RNNCell(2, 3)
    compiled = mg.compile(lambda x: (layers.scan(cell, x)[0] ** 2).mean())
    x = np.random.default_rng(0).standard_normal((1, 300, 2), np.float32)
    with pytest.warns(mg.CompileWarning, match="a sequence of 300 steps is in it, more than 256"):
        first = compiled(x)
    assert compiled(x).item() == pytest.approx(first.item(), rel=1e-5)
    assert not compiled.programs


@pytest.mark.parametrize("lengths", [None, [300, 7]])
def test_a_long_sequence_in_a_trace_runs_by_its_own_program_at_once(lengths, monkeypatch):
    cell = layers.RNNCell(2, 3).requires_grad_(False)
    x = np.random.default_rng(0).standard_normal((2, 300, 2), np.float32)

    def loss(x, lengths):
        return (layers.scan(cell, x, lengths=lengths)[0] ** 2).sum()

    lengths = None if lengths is None else np.array(lengths)
    by_steps = Mock(wraps=steps._one_by_one)
    monkeypatch.setattr(steps, "_one_by_one", by_steps)
    with pytest.warns(mg.CompileWarning, match="a sequence of 300 steps is in it"):
        value, grad = mg.compile(mg.value_and_grad(loss))(x, lengths)
    assert not by_steps.call_args_list
    expected, gradient = mg.value_and_grad(loss)(x.astype(float), lengths)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(grad, gradient, rtol=1e-4, atol=1e-6)
