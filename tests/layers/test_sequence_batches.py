"""Batches and lengths of any size by few programs, and steps for which that would be wrong."""

import copy
import gc
import pickle
import weakref
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import GRU, LSTM, Cell, Linear, Recurrent
from minigrad.compiled.stepping.parts import CHUNKS
from minigrad.compiled.stepping.scanned import MOST_ALIKE
from minigrad.compiled.stepping.sequences import Sequences
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


class Plain(Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.inner = Linear(input_size + hidden_size, hidden_size)

    def step(self, x, states):
        (h,) = states
        return 0.5 * h + self.change(x, mg.tanh(self.inner(mg.concatenate([x, h], axis=-1))))

    def change(self, x, a):
        return a


class Dropping(Plain):
    def change(self, x, a):
        return mg.dropout(a, 0.4, self.training)


class Centred(Plain):
    def change(self, x, a):
        return a - a.mean(axis=0)


class Counted(Plain):
    def change(self, x, a):
        return a / x.shape[0]


class Ranked(Plain):
    def change(self, x, a):
        return a * np.linspace(0, 1, x.shape[0], dtype=F)[:, None]


class Turned(Plain):
    def change(self, x, a):
        return a[::-1]


class Shared(Plain):
    def change(self, x, a):
        return a + x[:1, :1]


@mg.primitive
def spread(x):
    """x, with a rule that looks at the batch."""
    return 1.0 * x


spread.vjp(x=lambda g: g + 0.1)


class Leaking(Plain):
    """Each row is by itself, but a row without gradient would add to those of the weights."""

    def change(self, x, a):
        return spread(a)


def check(monkeypatch, layer, batch, time, seed, lengths=None):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((batch, time, 3)).astype(F)
    counts = None if lengths is None else generator.integers(0, time + 1, batch)

    def call():
        run = lambda x: layer(x, lengths=counts)  # noqa: E731
        return outcome(run, [x], list(layer.parameters()), seed)

    assert_agree(call(), one_by_one(monkeypatch, call))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("padded", [None, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Recurrent(Plain, 3, 4),
        lambda: Recurrent(Dropping, 3, 16, zoneout=0.2),  # as many units as a piece has rows
        lambda: LSTM(3, 17, recurrent_dropout=0.3),
        lambda: GRU(3, 4, layer_norm=True, reverse=True),
    ],
    ids=["plain", "dropping", "lstm", "gru"],
)
def test_batches_of_any_size(monkeypatch, make, padded, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer = make()
    for seed, (batch, time) in enumerate([(2, 16), (7, 19), (16, 17), (1, 18), (35, 21), (5, 16)]):
        check(monkeypatch, layer, batch, time, seed, padded)
    assert reasons(layer._cell_at("l0")) == []
    assert len(programs_of(layer._cell_at("l0"))) == 3


@pytest.mark.parametrize("kind", [Centred, Counted, Ranked, Turned, Shared, Leaking])
def test_rows_that_are_not_by_themselves(monkeypatch, kind):
    use(monkeypatch, NUMPY)
    mg.seed(1)
    layer = Recurrent(kind, 3, 4)
    for seed, batch in enumerate((2, 3, 4, 17, 2, 4)):
        check(monkeypatch, layer, batch, 16, seed)
    (reason,) = reasons(layer.l0)
    assert "batch" in reason
    programs = [p for p in programs_of(layer.l0) if isinstance(p, Sequences)]
    assert len(programs) == 4


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_any_length(seed):
    with pytest.MonkeyPatch.context() as patch:
        use(patch, NUMPY)
        mg.seed(1)
        layer = Recurrent(Plain, 3, 4)
        for time in np.random.default_rng(seed).integers(16, 300, 2):
            check(patch, layer, 2, int(time), seed)
        (program,) = programs_of(layer.l0)
        assert {count for built in program._chunks._built for count in built} <= set(CHUNKS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_lengths_that_take_turns(monkeypatch, backend):
    """Programs of other lengths leave nothing behind in the memory that they share."""
    use(monkeypatch, backend)
    mg.seed(1)
    layer = LSTM(3, 4)
    alone = copy.deepcopy(layer)  # with programs of its own, which see one length
    x = np.random.default_rng(0).standard_normal((2, 23, 3)).astype(F)

    def run(layer, time):
        results, slopes = outcome(layer, [x[:, :time]], [*layer.parameters()])
        return [array.tobytes() for array in (*results, *slopes)]

    wanted = run(alone, 23)
    for time in (16, 23, 18, 23):
        found = run(layer, time)
    assert found == wanted
    (program,) = programs_of(layer._cell_at("l0"))
    assert [sorted(built) for built in program._chunks._built] == [[1, 2, 4, 16]] * 2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [LSTM, partial(Recurrent, Dropping)], ids=["lstm", "dropping"])
def test_steps_beyond_the_end_are_not_seen(monkeypatch, make, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer = make(3, 4)
    x = np.random.default_rng(0).standard_normal((5, 19, 3)).astype(F)
    x[:, 18] *= 1e30  # the step that is repeated

    def run():
        results, slopes = outcome(layer, [x], [*layer.parameters()])
        return [array.tobytes() for array in (*results, *slopes)]

    mine = run()
    (program,) = programs_of(layer._cell_at("l0"))
    assert list(program._chunks._built[0]) == [32]
    program._chunks._in_vain = 0
    assert run() == mine
    assert sorted(program._chunks._built[0]) == [1, 2, 16, 32]


def test_few_rows_and_errors_end_with_the_sequence(monkeypatch):
    """Where bits would tell, and where a step too many would look beyond a table."""
    use(monkeypatch, NUMPY)
    table = mg.Tensor(np.eye(19, 3, dtype=F), requires_grad=True)
    places = lambda x, s: (s[0] + table[s[1]] * x, s[1] + 1)  # noqa: E731
    x = np.ones((5, 19, 3), F)
    start = np.zeros((5, 3), F), np.zeros(5, np.int64)
    found = outcome(lambda x: layers.scan(places, x, start), [x], [table])
    wanted = one_by_one(
        monkeypatch, lambda: outcome(lambda x: layers.scan(places, x, start), [x], [table])
    )
    assert_agree(found, wanted)
    (program,) = programs_of(places)
    assert program.failure is None
    assert program._chunks._in_vain == 0
    layer = LSTM(3, 4)
    layer(x[:4])
    (program,) = programs_of(layer._cell_at("l0"))
    assert program._chunks._in_vain == 0


def test_scan_keeps_the_form_of_the_state(monkeypatch):
    use(monkeypatch, NUMPY)
    x = np.random.default_rng(0).standard_normal((2, 20, 3)).astype(F)
    zero = np.zeros((2, 3), F)
    one = lambda x, h: mg.tanh(x + 0.5 * h)  # noqa: E731
    two = lambda x, s: (mg.tanh(x + s[0]), s[1] + 1)  # noqa: E731 - a counter of steps
    alone = lambda x, h: x if h is None else x + 0.5 * h  # noqa: E731
    wide = lambda x, h: mg.tanh(x + 0.5 * h)  # noqa: E731

    cases = [
        (one, zero, F),
        (two, (zero, np.zeros((2, 1), int)), F),
        (alone, None, F),
        (wide, np.zeros((2, 3)), float),
    ]
    for cell, state, dtype in cases:
        for options in ({}, {"lengths": [20, 3]}, {"reverse": True, "lengths": [7, 18]}):

            def call(cell=cell, state=state, options=options):
                scan = lambda x: layers.scan(cell, x, state, return_states="all", **options)  # noqa: E731
                return outcome(scan, [x])

            found = call()
            assert found[0][0].dtype == dtype
            assert_agree(found, one_by_one(monkeypatch, call))
        assert reasons(cell) == []
        assert programs_of(cell)
        scan = lambda x, cell=cell, state=state: layers.scan(cell, x, state)[0]  # noqa: E731
        second = lambda x, scan=scan: mg.gradients(  # noqa: E731
            (scan(x) ** 2).sum(), x, create_graph=True
        )
        found = outcome(second, [x])
        assert_agree(found, one_by_one(monkeypatch, lambda: outcome(second, [x])))  # noqa: B023
    last = layers.scan(one, x, zero)[1]
    assert isinstance(last, mg.Tensor)
    assert isinstance(layers.scan(two, x, cases[1][1])[1], tuple)


def test_functions_that_are_made_anew_do_not_compile_for_ever(monkeypatch):
    use(monkeypatch, NUMPY)
    x = np.ones((1, 16, 2), F)
    traced = 0
    for i in range(MOST_ALIKE + 3):
        cell = lambda x, h, i=i: x + h / (i + 2)  # noqa: E731
        output, _ = layers.scan(cell, x, x[:, 0])
        expected = 1.0
        for _ in range(16):
            expected = 1 + expected / (i + 2)
        assert output.numpy()[0, -1, 0] == pytest.approx(expected, rel=1e-5)
        traced += bool(programs_of(cell))
    assert traced == MOST_ALIKE


def test_programs_die_with_their_cell(monkeypatch):
    use(monkeypatch, NUMPY)
    layer = LSTM(3, 4)
    x = np.ones((2, 16, 3), F)
    first = layer(x)[0].numpy()
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert programs_of(again._cell_at("l0")) == []
        assert np.array_equal(again(x)[0].numpy(), first)
    cell = weakref.ref(layer._cell_at("l0"))
    del layer, again
    gc.collect()
    assert cell() is None
