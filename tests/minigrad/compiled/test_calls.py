"""Calls of native programs: threads, the slow way in, subnormal numbers, stages, errors."""

import os
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled.graph import Unsupported, View
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.crew import Pace, crew, processors
from minigrad.compiled.llvm.program import NativeProgram, build
from minigrad.compiled.llvm.stages import StagedProgram
from minigrad.ops.checks import OptionError
from tests.forked import exit_code_of_fork
from tests.minigrad.compiled.evaluating import evaluate
from tests.minigrad.compiled.programs import share_everything
from tests.minigrad.compiled.test_native_traces import compare, numbers
from tests.minigrad.compiled.test_programs import F4, F8, Maker
from tests.minigrad.compiled.test_programs import numbers as inputs_of

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))


def product(size=200):
    m = Maker()
    a, b = m.input((size, size)), m.input((size, size))
    c = m.add("tanh", m.matmul(a, b))
    return m.graph(c, m.lead_sum(c, 1))


def check_in_a_fork(holds):
    """Check something in a forked process."""
    assert exit_code_of_fork(holds) == 0


def test_small_programs_use_one_thread():
    assert build(product(20), threads=2).threads == 1
    assert build(product(400), threads=2).threads == 2


def test_the_number_of_threads_is_a_setting(monkeypatch):
    monkeypatch.setenv("MINIGRAD_THREADS", "2")
    assert build(product(400)).threads == 2
    monkeypatch.setenv("MINIGRAD_THREADS", "1")
    assert build(product(400)).threads == 1
    monkeypatch.delenv("MINIGRAD_THREADS")
    assert build(product(400)).threads == processors()


@pytest.mark.parametrize("setting", ["0", "-1", "two", "1.5", "1025", "99999", 70 * "9"])
def test_a_setting_that_is_no_number_of_threads(monkeypatch, setting):
    monkeypatch.setenv("MINIGRAD_THREADS", setting)
    with pytest.raises(OptionError, match=f"MINIGRAD_THREADS must be .* got '{setting}'"):
        build(product(20))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.1, 10), st.integers(0, 2**16))
def test_threads_take_part_where_that_is_faster(ratio, seed):
    generator = np.random.default_rng(seed)
    pace = Pace()
    times = {True: 1.0, False: ratio}
    spent = least = 0.0
    for _ in range(2000):
        together = pace.together()
        seconds = times[together] * generator.uniform(1, 1.02)
        pace.took(together, seconds)
        spent, least = spent + seconds, least + min(times.values())
    assert spent < 1.06 * least + 2 * max(times.values())


def test_a_machine_that_becomes_busy_is_noticed():
    pace, ways = Pace(), []
    for call in range(2500):
        busy = 300 <= call < 600
        ways.append(pace.together())
        pace.took(ways[-1], (20.0 if busy else 0.6) if ways[-1] else 1.0)
    assert sum(ways[10:50]) > 37, "two threads are faster at first; the other way is tried twice"
    assert sum(ways[310:600]) < 3, "and then they are not"
    assert sum(ways[-50:]) > 45, "until they are again"


@pytest.mark.parametrize("disturbed", range(4))
def test_one_slow_call_at_first_does_not_decide(disturbed):
    pace, ways = Pace(), []
    for call in range(30):
        ways.append(pace.together())
        pace.took(ways[-1], 9.0 if call == disturbed else 0.6 if ways[-1] else 1.0)
    assert sum(ways) > 22


def test_programs_run_at_once_by_several_callers(monkeypatch):
    share_everything(monkeypatch)
    graph = product()
    arrays = inputs_of(graph)
    expected = build(graph, threads=1)(arrays)
    wrong = []

    def call(mine):
        for _ in range(20):
            for x, y in zip(mine(arrays), expected, strict=True):
                if not np.array_equal(x, y):
                    wrong.append(x)

    callers = [threading.Thread(target=call, args=(build(graph, threads=2),)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_thread_that_never_comes_is_not_waited_for(monkeypatch):
    share_everything(monkeypatch)
    graph = product()
    arrays = inputs_of(graph)
    mine = build(graph, threads=2)
    expected = mine(arrays)
    held = threading.Event()
    seized = threading.Event()

    class Busy:
        def run(self, number, size):
            seized.set()
            held.wait()

    crew(2)._queues[0].put(Busy())
    seized.wait()
    try:
        for x, y in zip(mine(arrays), expected, strict=True):
            np.testing.assert_array_equal(x, y)
    finally:
        held.set()


@FORKS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(monkeypatch):
    share_everything(monkeypatch)
    graph = product()
    arrays = inputs_of(graph)
    mine = build(graph, threads=2)
    expected = mine(arrays)
    check_in_a_fork(lambda: all(map(np.array_equal, mine(arrays), expected)))


@FORKS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_may_call_what_another_thread_was_calling():
    inside, go = threading.Event(), threading.Event()

    def loss(x):
        return (mg.tanh(x) ** 2).sum()

    compiled = mg.compile(loss)
    x = mg.Tensor(np.ones(3), requires_grad=True)
    expected = compiled(x).item()

    def hold():
        with compiled._tracing, compiled.programs[0]._lock:
            inside.set()
            go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    try:
        check_in_a_fork(lambda: compiled(x).item() == expected)  # its program
        check_in_a_fork(lambda: compiled(x.detach()).item() == expected)  # traced there
    finally:
        go.set()
        holder.join()


@FORKS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_may_build_while_another_thread_does():
    done = threading.Event()

    def build_many():
        for size in range(1, 1000):
            if done.is_set():
                return
            build(product(size))

    builder = threading.Thread(target=build_many)
    builder.start()
    try:
        for size in range(5):
            check_in_a_fork(lambda size=size: bool(build(product(2000 + size))))
    finally:
        done.set()
        builder.join()


def test_the_slow_way_in(monkeypatch):
    monkeypatch.setattr(native, "layout", lambda: None)
    graph = product(8)
    arrays = inputs_of(graph)
    for x, y in zip(build(graph)(arrays), evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_subnormal_numbers_are_zero_in_programs_of_float32_alone():
    for dtype in (F4, F8):
        m = Maker()
        built = build(m.graph(m.add("multiply", m.input((5,), dtype), 0.5)))
        smallest = np.full(5, np.finfo(dtype).smallest_normal)
        expected = 0 if dtype is F4 else smallest / 2
        np.testing.assert_array_equal(built([smallest])[0], expected)
        assert np.all(smallest / dtype(2) > 0)  # outside, all is as it was


def test_outputs_are_new_arrays_also_where_they_repeat():
    m = Maker()
    x = m.input((3,))
    y = m.add("exp", x)
    constant = m.constant(np.ones(2, F4))
    arrays = [np.zeros(3, F4)]
    first = build(m.graph(y, y, x, constant))(arrays)
    second = build(m.graph(y, y, x, constant))(arrays)
    everything = [*first, *second, *arrays, constant.value.array]
    for i, one in enumerate(everything):
        assert not any(np.shares_memory(one, other) for other in everything[:i])
    np.testing.assert_array_equal(first[1], first[0])
    np.testing.assert_array_equal(first[3], 1)


def test_memory_is_used_again():
    m = Maker()
    x = m.input((64, 64))
    for _ in range(20):
        x = m.matmul(x, x)
    built = build(m.graph(x))
    assert built.size < 8 * 64 * 64 * 4


def test_what_native_code_does_not_know_is_done_by_numpy():
    m = Maker()
    x = m.input((4, 5), F8)
    y = m.add("tanh", m.add("remainder", m.add("exp", x), 0.7))
    z = m.add("cbrt", m.add("add", y, x))
    graph = m.graph(z, m.add("multiply", z, 2.0), x)
    built = build(graph)
    assert isinstance(built, StagedProgram)
    assert built.stages == 5
    arrays = inputs_of(graph)
    for mine, right in zip(built(arrays), evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-12)
    assert isinstance(build(product(4)), NativeProgram)


def test_recurrences_with_a_step_that_native_code_does_not_know():
    def run(x, w):
        h = np.zeros((3, 8), x.dtype)
        for t in range(12):
            h = mg.softplus(x[t] @ w + h) - 1.0
        return (h**2).mean()

    compare(run, [numbers(12, 3, 4), numbers(4, 8, seed=1)], rtol=3e-5)


def test_dtypes_that_nobody_knows_are_refused():
    m = Maker()
    x = m.input((2,))
    with pytest.raises(Unsupported, match="no nonsense"):
        build(m.graph(m.add("nonsense", View(x.value))))
