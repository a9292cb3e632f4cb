"""Ctrl-C at many places of real work: nothing stays switched, and nothing is swallowed."""

import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from benchmarks.reliability.interrupts import CASES, Case, at_random, everywhere, main, shares
from minigrad.compiled.llvm.crew import Crew
from minigrad.restoring import new_generator

pytestmark = [
    pytest.mark.usefixtures("hearing_ctrl_c"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timers that send signals"),
    # What is interrupted in a destructor is dropped by Python, and counted apart.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("name", CASES)
def test_nothing_stays_switched(name):
    case = CASES[name]()
    many = {"blocks": 60, "drawing": 4}.get(name, 12)
    for found in (everywhere(case, many), at_random(case, 5)):
        assert not found.left
        assert not found.swallowed
        assert found.interrupts


def test_a_generator_is_made_without_a_trace():
    """NumPy switches its `errstate` meanwhile, and Ctrl-C may come before it knows the way back."""
    found = everywhere(Case(lambda: new_generator(3) and None))
    assert found.interrupts
    assert not found.left
    assert not found.swallowed
    assert new_generator(3).random() == np.random.default_rng(3).random()


class Careless:
    """A block as it is usually written."""

    def __enter__(self):
        self.before = np.seterr(all="raise")

    def __exit__(self, *exc):
        np.seterr(**self.before)


def test_faults_are_found():
    def careless():
        with Careless():
            pass

    def deaf():
        with suppress(KeyboardInterrupt):
            sum([])

    assert everywhere(Case(careless)).left
    assert everywhere(Case(deaf)).swallowed


def test_the_script_prints_a_line_for_each_case_and_way(capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["interrupts", "--cases", "blocks", "--most", "5", "--signals", "2"]
    )
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()  # also of what Python dropped
    first, second = (line for line in lines if line.startswith("blocks"))
    assert first.split()[:4] == ["blocks", "each", "place", "5"]
    assert second.split()[:5] == ["blocks", "by", "a", "timer", "2"]


def test_cases_share_signals_so_that_each_takes_as_long():
    assert shares([0.1, 0.3], 8) == [6, 2]
    assert shares([1.0], 5) == [5]
    assert sum(shares([0.01, 0.02, 0.07], 1000)) == 1000


def test_ctrl_c_waits_until_no_thread_works_on_the_arrays_any_more():
    begun, working = threading.Event(), []

    def program(frame, room, number, size):
        if not number:
            begun.wait(10)
            raise KeyboardInterrupt
        working.append(number)
        begun.set()
        time.sleep(0.05)
        working.clear()
        return 0

    with pytest.raises(KeyboardInterrupt):
        Crew(2).run(program, 0, 0)
    assert not working
