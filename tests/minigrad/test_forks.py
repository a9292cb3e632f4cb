"""A process that is forked beside threads: no lock is held there by a thread that it has not."""

import gc
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import backward
from minigrad.ops.randomness import default_generator
from tests.forked import exit_code_of_fork

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@contextmanager
def held_by_a_thread(block):
    """Another thread is inside of a block meanwhile."""
    inside, go = threading.Event(), threading.Event()

    def hold():
        with block:
            inside.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        go.set()
        thread.join()


def uses_everything():
    """Take every lock once; whether all is as it should be in a new process."""
    w = mg.Tensor(np.ones(3), requires_grad=True)
    with mg.profile() as measured, mg.paused_gc():
        (w * w).sum().backward()
    default_generator().random()
    return gc.isenabled() and len(measured.records) > 0 and w.grad.sum().item() == 6


@pytest.mark.parametrize("lock", [lambda: backward._adding, lambda: mg.paused_gc._lock])
def test_a_lock_that_another_thread_holds_is_free_in_a_fork(lock):
    with held_by_a_thread(lock()):
        assert exit_code_of_fork(uses_everything) == 0


def test_the_collector_runs_in_a_fork_though_another_thread_paused_it():
    with held_by_a_thread(mg.paused_gc()):
        assert exit_code_of_fork(gc.isenabled) == 0
        with mg.paused_gc():  # this thread does go on there
            assert exit_code_of_fork(lambda: not gc.isenabled()) == 0
    assert gc.isenabled()


def test_a_profile_that_other_threads_measure_with_serves_in_a_fork():
    shared = mg.profile()

    def measures():
        with shared:
            mg.exp(mg.Tensor(1.0))
        return True

    with held_by_a_thread(shared._lock), held_by_a_thread(shared._observer.live._lock):
        assert exit_code_of_fork(measures) == 0


def test_150_forks_beside_a_thread_that_trains():
    stop = threading.Event()
    w = mg.Tensor(np.ones((3, 3)), requires_grad=True)

    def train():
        while not stop.is_set():
            mg.tanh(mg.dropout(w @ w, 0.1)).sum().backward()
            with mg.paused_gc():
                default_generator().random(2000)
            stop.wait(1e-4)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        codes = [exit_code_of_fork(uses_everything) for _ in range(150)]
    finally:
        stop.set()
        thread.join()
    assert codes == [0] * 150


FORKS_WHILE_COMPILING = """
import os, threading, time, warnings
import numpy as np
import minigrad as mg
warnings.simplefilter("ignore", DeprecationWarning)
w = mg.Tensor(np.ones((8, 8)), requires_grad=True)
first, second = mg.compile(lambda x: np.tanh(x @ w).sum()), mg.compile(lambda x: (x @ w).mean())
thread = threading.Thread(target=first, args=(np.ones((4, 8)),))
thread.start()
children = []
while thread.is_alive():
    child = os.fork()
    if not child:
        second(np.ones((4, 8)))
        os._exit(len(second.programs) != 1)
    children.append(child)
    time.sleep(0.02)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_forks_while_another_thread_imports_and_compiles(tmp_path):
    """A fork waits for what is being imported: nobody would let go of its lock in the child."""
    environment = {**os.environ, "MINIGRAD_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", FORKS_WHILE_COMPILING]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert not found.stderr
    assert set(found.stdout.strip()) <= set("[0, ]")
    assert found.stdout.count("0") >= 2
