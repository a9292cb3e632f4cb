"""What a first call keeps, and how much room it needs."""

import gc
import os
import sys
import threading
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.guarding.other_values import other_values
from minigrad.compiled.llvm import program as native
from minigrad.compiled.operation import Compiled
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.known import KnownArrays
from minigrad.compiled.tracing.memory import give_back, give_back_code
from minigrad.compiled.tracing.tracer import Tracer
from tests.forked import exit_code_of_fork

F = np.float32
MEGABYTE = 1 << 20


@pytest.fixture
def traced_memory():
    mg.compile(mg.tanh)(np.ones(2, F))  # what is imported and looked up once
    tracemalloc.start()
    yield tracemalloc.get_traced_memory
    tracemalloc.stop()


def test_a_program_does_not_hold_its_traces(monkeypatch):
    made, begin = [], Tracer.__init__

    def noted(self, *args):
        begin(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Tracer, "__init__", noted)
    x = mg.Tensor(np.ones((3, 4), F), None, True)
    compiled = mg.compile(lambda x: mg.tanh(x).sum())
    compiled(x).backward()
    gc.collect()
    assert len(made) == 2
    assert [reference() for reference in made] == [None, None]
    assert compiled.refusals == []


@pytest.mark.parametrize("steps", [40, 41])
def test_what_dies_in_the_function_dies_in_trace_and_program(steps, traced_memory):
    x = np.linspace(-1, 1, MEGABYTE // 4, dtype=F)

    def function(x):
        for _ in range(steps):
            x = mg.tanh(x) * 1.5
        return x

    compiled, (before, _) = mg.compile(function), traced_memory()
    compiled(x)
    found = compiled(x).numpy()
    _, peak = traced_memory()
    assert peak - before < 20 * MEGABYTE
    np.testing.assert_allclose(found, function(x).numpy(), rtol=1e-4, atol=1e-5)


def test_a_derivative_is_traced_in_the_room_of_a_backward_pass(traced_memory):
    x = mg.Tensor(np.ones(MEGABYTE // 4, F), None, True)

    def function(x):
        for _ in range(20):
            x = mg.tanh(x)
        return x.sum()

    before, _ = traced_memory()
    mg.compile(function)(x).backward()
    _, peak = traced_memory()
    # two tapes of twenty arrays, the room of a program for as many, and what passes by
    assert peak - before < 100 * MEGABYTE


def test_other_values_need_the_room_of_the_array(traced_memory):
    x = np.linspace(0, 1, MEGABYTE, dtype=F)
    before, _ = traced_memory()
    other = other_values(x)
    _, peak = traced_memory()
    assert peak - before < 3 * x.nbytes
    assert not np.isin(other[1:-1], x).all()
    assert other.max() <= x.max()


def test_memory_goes_back_on_every_system(monkeypatch):
    give_back()
    give_back_code()
    monkeypatch.setattr("minigrad.compiled.tracing.memory.ctypes.CDLL", lambda name: object())
    give_back()  # a C library without such a function
    give_back_code()


def test_stages_share_one_workspace(tmp_path, monkeypatch):
    """Between them are sorts, which native code does not know."""
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))

    def function(x):
        for _ in range(3):
            x = np.sort(mg.tanh(x @ x) @ x, axis=0)
        return x

    compiled, x = mg.compile(function, backend=native), np.ones((50, 50), F) / 50
    compiled(x)
    np.testing.assert_allclose(compiled(x).numpy(), function(mg.Tensor(x)).numpy(), rtol=1e-5)
    (program,) = compiled.programs
    stages = [stage for stage, *_ in program.built[0]._programs]
    rooms = {stage._room for stage in stages if isinstance(stage, native.NativeProgram)}
    assert len(stages) > 4
    assert len(rooms) == 1


def resident_code():
    """Bytes of LLVM's code in memory."""
    found, here = 0, False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        if "-" in line.split()[0] and not line.split()[0].endswith(":"):
            here = "libllvmlite" in line and " r-xp " in line
        elif here and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such lists of memory")
def test_the_pages_of_llvm_are_given_back_once_programs_run(monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", "0")  # everything is built here
    x = np.ones((3, 5), F)

    def function(x):
        return mg.tanh(x * 1.25).sum()

    for _ in range(2):  # what LLVM needs again is read again
        compiled = mg.compile(function, backend=native)
        expected = compiled(x)
        for _ in range(3):
            np.testing.assert_allclose(compiled(x).numpy(), expected.numpy(), rtol=1e-6)
        (program,) = compiled.programs
        assert not program.built[0].from_disk
        assert resident_code() < 10 * MEGABYTE
    native.build(program.graphs[0])
    assert resident_code() > 10 * MEGABYTE
    give_back_code()
    assert resident_code() < 5 * MEGABYTE


def test_a_program_of_numpy_calls_keeps_no_room_for_what_it_is_given(traced_memory):
    x = mg.Tensor(np.ones(MEGABYTE, F))
    compiled, (before, _) = mg.compile(lambda x: np.sort(x).sum(), backend=plain), traced_memory()
    compiled(x)
    assert compiled(x).item() == MEGABYTE
    after, _ = traced_memory()
    assert after - before < MEGABYTE  # a quarter of the array
    assert compiled.refusals == []


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_collector_is_as_before_when_two_threads_have_compiled(order, running):
    (gc.enable if running else gc.disable)()
    try:
        threads = [TracedByAThread() for _ in range(2)]
        assert not gc.isenabled()
        for number in order:
            threads[number].end()
        assert gc.isenabled() == running
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_collector_runs_in_a_process_forked_while_a_thread_compiles():
    thread = TracedByAThread()
    try:
        assert not gc.isenabled()
        assert exit_code_of_fork(gc.isenabled) == 0
    finally:
        thread.end()
    assert gc.isenabled()


class TracedByAThread:
    """A function that another thread traces, until `end`."""

    def __init__(self):
        begun, self._go = threading.Event(), threading.Event()
        go = self._go

        def waits(x):
            begun.set()
            go.wait()
            return x * 2

        told = []  # that it calls a function of threads
        compiled = Compiled(waits, 0, plain, told.append)
        self._thread = threading.Thread(target=compiled, args=(mg.Tensor(1.0),))
        self._thread.start()
        begun.wait()

    def end(self):
        self._go.set()
        self._thread.join()


def test_no_ctrl_c_keeps_a_dead_array_known():
    """Python drops what a callback raises, and Ctrl-C comes as a function of Python's begins."""
    known, array = KnownArrays(Builder()), np.ones((2, 3), F)
    view, owner = known.builder.constant(array), np.zeros(4, F)
    parts = [owner[i:] for i in range(3)]
    for one in (array, *parts):
        known.know(one, view)
    assert {id(one) for one in known.sharing(owner)} == {id(one) for one in parts}
    kept, called = parts.pop(), []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: called.append(frame) if event == "call" else None)
    try:
        del array, parts, one
    finally:
        sys.setprofile(before)
    assert not called
    assert [known.alive(), known.sharing(owner)] == [[kept]] * 2
    assert known.view_of(kept) is view
    assert known.view_of(owner) is None
