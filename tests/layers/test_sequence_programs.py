"""Recurrent layers and `scan` as programs: what they compute is what the steps compute."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import GRU, LSTM, RNN, Cell, Linear, Recurrent
from minigrad.draw import draw
from tests.layers.sequences import (
    BACKENDS,
    NUMPY,
    assert_agree,
    one_by_one,
    outcome,
    programs_of,
    reasons,
    use,
)

F = np.float32
LONG = 16  # steps that run as programs


class Mixer(Cell):
    """A cell with two states of other widths, gates, dropout and a scale that may change."""

    states = ("m", "out")
    output_state = "out"
    gates = ("gate",)

    def __init__(self, input_size, hidden_size, drop=0.0):
        super().__init__(input_size, hidden_size, state_sizes=(2, hidden_size))
        self.write = Linear(input_size + hidden_size, 2)
        self.read = Linear(2, hidden_size)
        self.drop, self.scale = drop, 0.5

    def step(self, x, states):
        m, out = states
        gate = mg.sigmoid(self.write(mg.concatenate([x, out], axis=-1)))
        m = mg.dropout(gate, self.drop, self.training) + self.scale * m
        return (m, mg.tanh(self.read(m))), (gate,)


def arrays(seed, *shapes, dtype=F):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


def compare(monkeypatch, layer, x, seed=0, **options):
    """A layer twice by programs and once by its steps."""
    parameters = list(layer.parameters())

    def call():
        return outcome(lambda x: layer(x, **options), [x], parameters, seed)

    first, second = call(), call()
    wanted = one_by_one(monkeypatch, call)
    assert_agree(first, wanted)
    assert_agree(second, first, tolerance=1e-30)
    return wanted


OPTIONS = {
    "plain": {},
    "layer norm": {"layer_norm": True},
    "zoneout": {"zoneout": 0.3},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "two layers": {"num_layers": 2, "dropout": 0.3, "bidirectional": True},
    "reverse": {"reverse": True, "bias": False},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_options(monkeypatch, kind, options, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer = kind(3, 4, **options)
    (x,) = arrays(0, (3, LONG + 2, 3))
    compare(monkeypatch, layer, x)
    assert layer.fused
    compare(monkeypatch, layer, x, lengths=[LONG + 2, 0, 5])
    compare(monkeypatch, layer.eval(), x, lengths=[4, LONG, 1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_projection_states_and_gates(monkeypatch, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer = LSTM(3, 4, proj_size=2)
    x, h, c = arrays(0, (2, LONG, 3), (1, 2, 2), (1, 2, 4))
    everything = {"return_states": "all", "return_gates": True, "lengths": [LONG, 3]}
    compare(monkeypatch, layer, x, state=(h, c), **everything)
    assert programs_of(layer._cell_at("l0"))
    assert reasons(layer._cell_at("l0")) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_double_precision(monkeypatch, backend):
    use(monkeypatch, backend)
    with mg.default_dtype(np.float64):
        layer = LSTM(3, 4, layer_norm=True)
    (x,) = arrays(0, (2, 2 * LONG + 3, 3), dtype=np.float64)
    results, _ = compare(monkeypatch, layer, x, lengths=[2 * LONG + 3, LONG])
    assert results[0].dtype == np.float64
    assert layer.fused


@settings(deadline=None, max_examples=8)
@given(
    time=st.integers(1, 40),
    batch=st.integers(1, 5),
    double=st.booleans(),
    padded=st.booleans(),
    reverse=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cells_of_users(time, batch, double, padded, reverse, seed):
    with pytest.MonkeyPatch.context() as patch:
        use(patch, NUMPY)
        dtype = np.float64 if double else F
        with mg.default_dtype(dtype):
            layer = Recurrent(Mixer, 3, 4, drop=0.3, reverse=reverse)
        (x,) = arrays(seed, (batch, time, 3), dtype=dtype)
        lengths = np.random.default_rng(seed).integers(0, time + 1, batch) if padded else None
        compare(patch, layer, x, seed, lengths=lengths, return_gates=True)
        assert reasons(layer.l0) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_steps_and_one_sequence(monkeypatch, backend):
    use(monkeypatch, backend)
    layer = GRU(3, 4)
    assert layer(np.zeros((2, 0, 3), F))[0].shape == (2, 0, 4)
    (x,) = arrays(0, (LONG, 3))
    compare(monkeypatch, layer, x)
    with mg.no_grad():
        found = layer(x)[0]
        assert not found.requires_grad
        wanted = one_by_one(monkeypatch, lambda: layer(x)[0])
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [LSTM, partial(Recurrent, Mixer)], ids=["kernel", "steps"])
def test_fewer_steps_than_pay_for_a_program_run_one_by_one(monkeypatch, make):
    use(monkeypatch, NUMPY)
    for steps, programs in ((7, 0), (8, 1), (7, 0), (8, 1)):
        layer = make(3, 4)
        (x,) = arrays(0, (5, steps, 3))
        compare(monkeypatch, layer, x)
        assert len(programs_of(layer._cell_at("l0"))) == programs


def test_calls_of_other_kinds_in_turn(monkeypatch):
    """A call like the last one is recognised, and another one is not taken for it."""
    use(monkeypatch, NUMPY)
    mg.seed(1)
    layer = LSTM(3, 4)
    (x,) = arrays(0, (2, LONG, 3))

    def call(kind):
        if kind == "off":
            with mg.no_grad():
                output, _ = layer(x)
            assert not output.requires_grad
            return [output.numpy()], []
        states = "all" if kind == "all" else "last"
        run = lambda x: layer(x, return_states=states)  # noqa: E731
        return outcome(run, [x], list(layer.parameters()))

    for kind in ("last", "last", "off", "last", "all", "off", "all", "last"):
        wanted = one_by_one(monkeypatch, lambda kind=kind: call(kind))
        assert_agree(call(kind), wanted)
    assert len(programs_of(layer._cell_at("l0"))) == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_cell_reads_may_change(monkeypatch, backend):
    use(monkeypatch, backend)
    layer = Recurrent(Mixer, 3, 4, drop=0.5)
    (x,) = arrays(0, (2, LONG, 3))
    values = [compare(monkeypatch, layer, x)[0][0]]
    layer.l0.scale = 0.25
    values.append(compare(monkeypatch, layer, x)[0][0])
    layer.eval()
    values.append(compare(monkeypatch, layer, x)[0][0])
    with mg.no_grad():
        layer.l0.read.weight[...] = 0.1
    values.append(compare(monkeypatch, layer, x)[0][0])
    layer.l0.read.weight = layers.Parameter(np.full((4, 2), 0.2, F))
    values.append(compare(monkeypatch, layer, x)[0][0])
    assert all(not np.allclose(a, b) for a, b in itertools.pairwise(values))
    assert reasons(layer.l0) == []


def test_hooks_see_every_step(monkeypatch):
    use(monkeypatch, NUMPY)
    layer = Recurrent(Mixer, 3, 4)
    (x,) = arrays(0, (2, LONG, 3))
    layer(x)
    assert layer.fused
    seen = []
    for module in (layer.l0, layer.l0.read):
        handle = module.register_forward_hook(lambda *_: seen.append(1))
        layer(x)
        layer(x)
        assert len(seen) == 2 * LONG
        assert not layer.fused
        handle.remove()
        seen.clear()
    layer(x)
    assert seen == []
    assert layer.fused


class Counter(Mixer):
    """Every third step is another one."""

    number = 0

    def step(self, x, states):
        self.number += 1
        (m, out), gates = super().step(x, states)
        return (m, out if self.number % 3 else -out), gates


class Branching(Mixer):
    """A branch on a number."""

    def step(self, x, states):
        (m, out), gates = super().step(x, states)
        return (m, out if m.sum().item() > 0 else -out), gates


@pytest.mark.parametrize("kind", [Counter, Branching])
def test_what_cannot_be_compiled_runs_step_by_step(monkeypatch, kind):
    use(monkeypatch, NUMPY)
    layer = Recurrent(kind, 3, 4)
    (x,) = arrays(0, (2, LONG + 1, 3))
    for _ in range(2):
        layer.l0.number = 0
        found = outcome(layer, [x], list(layer.parameters()))
        assert layer.l0.number == (LONG + 1) * (kind is Counter)
        layer.l0.number = 0
        wanted = one_by_one(monkeypatch, lambda: outcome(layer, [x], list(layer.parameters())))
        assert_agree(found, wanted, tolerance=1e-5)
    assert reasons(layer.l0)
    assert not layer.fused


def test_derivatives_of_derivatives(monkeypatch):
    use(monkeypatch, NUMPY)
    layer = Recurrent(Mixer, 3, 4, drop=0.3, zoneout=0.2)
    (x,) = arrays(0, (2, LONG, 3))

    def second(x):
        output, (m, _) = layer(x, lengths=[LONG, 4])
        slope = mg.gradients((output**2).sum() + m.sum(), x, create_graph=True)
        return (slope**2).sum()

    def call():
        return outcome(second, [x], list(layer.parameters()), seed=4)

    assert_agree(call(), one_by_one(monkeypatch, call), tolerance=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_drawings_see_every_step(monkeypatch, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer = Recurrent(Mixer, 3, 4, drop=0.3)
    (x,) = arrays(0, (2, LONG, 3))

    def boxes():
        mg.seed(2)
        output, _ = layer(mg.Tensor(x, requires_grad=True))
        graph = draw((output**2).sum(), level="cells").graph
        nodes = [(n.kind, n.op, n.name, n.state, n.step, n.scope, n.shape) for n in graph.nodes]
        return nodes, [(e.source, e.target, e.count) for e in graph.edges], graph.scopes

    found = boxes()
    assert layer.fused
    assert found == one_by_one(monkeypatch, boxes)


def test_a_checkpoint_repeats_what_was_drawn(monkeypatch):
    use(monkeypatch, NUMPY)
    layer = Recurrent(Mixer, 3, 4, drop=0.5)
    (x,) = arrays(0, (2, LONG, 3))
    parameters = list(layer.parameters())

    def run(x):
        return layer(x)[0]

    for seed in range(2):  # the first call traces
        with monkeypatch.context() as patch:
            found = outcome(mg.checkpoint(run), [x], parameters, seed)
            patch.setenv("MINIGRAD_COMPILE", "0")
            assert_agree(found, outcome(run, [x], parameters, seed))
    assert reasons(layer.l0) == []


def test_token_ids_and_their_errors(monkeypatch):
    use(monkeypatch, NUMPY)
    table, inner = layers.Embedding(9, 4), Linear(4, 4)

    def cell(token, h):
        return mg.tanh(inner(h) + table(token))

    tokens = np.random.default_rng(0).integers(0, 9, (2, LONG))
    parameters = [*table.parameters(), *inner.parameters()]

    def call():
        scan = lambda h: layers.scan(cell, tokens, h)  # noqa: E731
        return outcome(scan, [np.zeros((2, 4), F)], parameters)

    assert_agree(call(), one_by_one(monkeypatch, call))
    assert programs_of(cell)
    assert reasons(cell) == []
    tokens[1, 7] = 9
    with pytest.raises(IndexError) as by_program:
        call()
    with pytest.raises(IndexError) as by_steps:
        one_by_one(monkeypatch, call)
    assert str(by_program.value) == str(by_steps.value)


def test_infinities_warn_as_the_steps_do(monkeypatch):
    use(monkeypatch, NUMPY)
    cell = lambda x, h: mg.exp(x + h)  # noqa: E731
    x = np.zeros((1, LONG, 2), F)
    layers.scan(cell, x - 1, x[:, 0])
    with pytest.warns(RuntimeWarning, match="overflow"):
        layers.scan(cell, x, x[:, 0])


def test_threads_share_programs(monkeypatch):
    use(monkeypatch, NUMPY)
    layer = Recurrent(Mixer, 3, 4)
    (x,) = arrays(0, (3, LONG, 3))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: outcome(layer, [x]), range(8)))
    wanted = one_by_one(monkeypatch, lambda: outcome(layer, [x]))
    for one in found:
        assert_agree(one, wanted)
    assert len(programs_of(layer.l0)) == 1


def leak(x, h):
    """A cell that begins by itself."""
    return x if h is None else 0.5 * h + x


def branching_leak(x, h):
    return x if h is None else (0.5 if h.sum().item() > 1e9 else 0.25) * h + x


@pytest.mark.parametrize(("cell", "kept"), [(leak, 0.5), (branching_leak, 0.25)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [LONG + 2, 3, 1]])
def test_a_cell_that_begins_by_itself(cell, kept, reverse, lengths):
    (x,) = arrays(0, (3, LONG + 4, 2))
    wanted, last = np.zeros_like(x), np.zeros((3, 2), F)
    for row, length in enumerate(lengths or [LONG + 4] * 3):
        for t in range(length)[:: -1 if reverse else 1]:
            last[row] = wanted[row, t] = kept * last[row] + x[row, t]
    for _ in range(2):
        for asked in ("last", "all"):
            output, state, *states = layers.scan(
                cell, x, lengths=lengths, reverse=reverse, return_states=asked
            )
            np.testing.assert_allclose(output.numpy(), wanted, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(state.numpy(), last, rtol=1e-5, atol=1e-6)
            assert all(np.array_equal(one.numpy(), output.numpy()) for (one,) in states)


def test_a_state_that_the_first_step_converts_does_not_keep_programs_away():
    cell = layers.GRUCell(2, 3)
    x, state = arrays(0, (3, LONG + 1, 2), (3, 3))
    wanted = layers.scan(cell, x, state)[0].numpy()
    found, _ = layers.scan(cell, x, state.astype(np.float64))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert reasons(cell) == []


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_of_either_kind_sees_every_step(kind):
    cell, seen = layers.GRUCell(2, 3), []
    (x,) = arrays(0, (3, LONG, 2))
    layers.scan(cell, x)
    with getattr(cell, kind)(lambda *_: seen.append(1)):
        layers.scan(cell, x)
    assert len(seen) == LONG
