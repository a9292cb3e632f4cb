"""Compiled functions under a profile: they stay compiled, and are one operation or their parts."""

import re
from collections import Counter

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.core.blocks import observed_by
from minigrad.core.observer import Observer
from minigrad.profiling import watching

F = np.float32
BACKENDS = {id(backend): backend for backend in (plain, default_backend())}.values()


def tensor(*shape, seed=0):
    numbers = np.random.default_rng(seed).standard_normal(shape).astype(F)
    return mg.Tensor(numbers, requires_grad=True)


def network(x, w):
    return mg.softmax(mg.tanh(x @ w) @ w).sum(axis=0)


def kinds(p):
    return [(r.operation, r.phase) for r in p.records]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.__name__.rpartition(".")[2])
def compiled(request):
    return mg.compile(network, backend=request.param)


def test_a_call_is_one_operation_and_stays_compiled(compiled):
    x, w = tensor(5, 4), tensor(4, 4, seed=1)
    compiled(x, w)
    expected = compiled(x, w)
    with mg.profile() as p:
        found = compiled(x, w)
        found.backward(np.ones(4, F))
    assert kinds(p) == [("compiled network", "forward"), ("compiled network", "backward")]
    assert len(compiled.programs) == 1
    assert compiled.refusals == []
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert p.records[0].allocated >= found.numpy().nbytes


def test_the_first_call_is_one_piece_of_compiling(compiled):
    x, w = tensor(5, 4), tensor(4, 4, seed=1)
    with mg.profile() as p:
        first = compiled(x, w)
        second = compiled(x, w)
    assert kinds(p) == [("compile network", "forward"), ("compiled network", "forward")]
    assert len(compiled.programs) == 1
    assert p.records[0].seconds > p.records[1].seconds
    assert p.records[0].allocated == first.numpy().nbytes
    np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-5)


def test_an_observer_of_calls_beside_a_profile_sees_the_function_as_it_is_written():
    class Calls(Observer):
        seen = 0

        def call(self, applied):
            self.seen += 1

    compiled = mg.compile(network, backend=plain)
    x, w = tensor(5, 4), tensor(4, 4, seed=1)
    compiled(x, w)
    calls = Calls()
    with observed_by(calls), mg.profile() as p:
        compiled(x, w)
    operations = ["matmul", "tanh", "matmul", "softmax", "sum"]
    assert [r.operation for r in p.records] == operations
    assert calls.seen == len(operations)


def test_what_runs_as_before_is_seen_as_it_runs():
    def refused(x):
        return mg.tanh(x) * float(x.numpy()[0])

    compiled = mg.compile(refused, backend=plain)
    x = tensor(3)
    with mg.profile() as p, pytest.warns(mg.CompileWarning):
        compiled(x)
    with p:
        compiled(x)
    assert [r.operation for r in p.records] == ["compile " + compiled._label, "tanh", "multiply"]


def test_a_second_derivative_runs_the_function_within_the_node():
    compiled = mg.compile(lambda x: (mg.tanh(x) ** 2).sum(), backend=plain)
    x = tensor(3)
    compiled(x)
    with mg.profile() as p:
        (g,) = mg.gradients(compiled(x), [x], create_graph=True)
    assert g.requires_grad
    whole = next(r for r in p.records if r.phase == "backward")
    assert whole.operation.startswith("compiled")
    assert {"tanh", "power"} <= {r.operation for r in p.records if r.phase == "backward"}
    assert whole.own_seconds < whole.seconds


def test_the_module_that_calls_a_program_has_its_time_and_that_of_its_parts():
    class Model(layers.Module):
        def __init__(self):
            super().__init__()
            self.weight = layers.Parameter(np.eye(4, dtype=F))
            self.step = mg.compile(network, backend=plain)

        def forward(self, x):
            return self.step(x, self.weight)

    model, x = Model(), np.ones((5, 4), F)
    model(x)
    with mg.profile(inside=True) as p:
        y = model(x)
    with p:
        y.backward(np.ones(4, F))
    assert {r.module for r in p.records} == {"Model"}
    assert {r.phase for r in p.records if r.part_of} == {"forward", "backward"}


def test_the_parts_of_a_numpy_program_are_its_calls(monkeypatch):
    ticks = iter(range(0, 10**9, 100))
    compiled = mg.compile(network, backend=plain)
    x, w = tensor(5, 4), tensor(4, 4, seed=1)
    compiled(x, w)
    monkeypatch.setattr(watching, "perf_counter_ns", lambda: next(ticks))
    monkeypatch.setattr(plain, "perf_counter_ns", lambda: next(ticks))
    (program,) = compiled.programs
    with mg.profile(inside=True) as p:
        compiled(x, w)
    parts = [r for r in p.records if r.part_of]
    assert len(parts) == len(program._forward)
    assert all(r.part_of == "compiled network" for r in parts)
    assert all(round(1e9 * r.seconds) == 100 for r in parts)
    ran = Counter(r.operation for r in parts if r.operation != "assemble")
    values = Counter(v.op for v in program.graphs[0].values if v.op != "assemble")
    assert ran <= values
    assert values - ran == {"where": 2, "equal": 1}  # which only infinite scores need
    whole = p.records[0]
    inside = sum(round(1e9 * r.seconds) for r in parts)
    assert round(1e9 * whole.seconds) - round(1e9 * whole.own_seconds) == inside
    assert "compiled network: matmul" in p.table()


def test_looking_inside_changes_no_number(compiled):
    x, w = tensor(5, 4), tensor(4, 4, seed=1)
    compiled(x, w)

    def run():
        x.grad = w.grad = None
        y = compiled(x, w)
        y.backward(np.arange(4, dtype=F))
        return [t.numpy() for t in (y, x.grad, w.grad)]

    expected = run()
    with mg.profile(inside=True):
        found = run()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_native_programs_list_their_kernels():
    compiled = mg.compile(network)
    x, w = tensor(6, 4), tensor(4, 4, seed=1)
    compiled(x, w)
    with mg.profile(inside=True) as p:
        compiled(x, w)
    assert kinds(p) == [("compiled network", "forward")]
    text = p.table()
    forward = text.split("compiled network, forward")[1].split("compiled network, backward")[0]
    rows = [re.split(r"\s{2,}", line) for line in forward.splitlines()[1:] if line.strip()]
    products = next(row for row in rows if row[0] == "matmul [6, 4] by [4, 4]")
    assert products[1:] == ["2", str(2 * 2 * 6 * 4 * 4), f"{2 * 4 * (24 + 16 + 24)} B"]
    assert any(row[0] == "tanh over [6, 4]" and row[2] == "24" for row in rows)


def test_kernels_of_a_loop_count_its_steps():

    def recurrent(x, w):
        h = x[0]
        for t in range(12):
            h = mg.tanh(h @ w + x[t])
        return h.sum()

    compiled = mg.compile(recurrent)
    x, w = np.ones((12, 2, 8), F), np.eye(8, dtype=F)
    compiled(x, w)
    with mg.profile(inside=True) as p:
        compiled(x, w)
    lines = [re.split(r"\s{2,}", line) for line in p.table().splitlines()]
    products = [line for line in lines if line[0] == "matmul [2, 8] by [8, 8]"]
    assert [int(line[1]) for line in products] == [12]
    assert [int(line[2].replace(",", "")) for line in products] == [12 * 2 * 2 * 8 * 8]


def test_what_numpy_does_between_native_stages_is_told_apart():

    def mixed(x):
        return mg.tanh(mg.cumprod(mg.exp(x), axis=0)) * 2

    compiled = mg.compile(mixed)
    x = tensor(4, 5)
    compiled(x)
    assert compiled.refusals == []
    with mg.profile(inside=True) as p:
        compiled(x)
    parts = [r.operation for r in p.records if r.part_of]
    assert parts[0] == "native stage 0"
    assert parts[-1] == f"native stage {len(compiled.programs[0]._forward._programs) - 1}"
    assert "call" in parts
    assert "exp over [4, 5]" in p.table()
