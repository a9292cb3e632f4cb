"""Blocks that put back what they changed, whatever ends them."""

import sys
import threading
import warnings
from contextlib import ExitStack, suppress
from contextvars import ContextVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.ops.randomness import DrawRequest, generator_state, set_generator_state
from minigrad.restoring import Restoring, Setting, errstate, quiet
from tests.interrupted import interrupted_everywhere

WAYS = st.sampled_from(["ignore", "warn", "raise", "call", "print", "log"])
SETTINGS = st.dictionaries(st.sampled_from(["all", "divide", "over", "under", "invalid"]), WAYS)


class Noted(Restoring):
    """Notes when it begins and ends; either may be interrupted, by a number of calls."""

    def __init__(self, begin=False, end=0):
        super().__init__()
        self.notes, self.interrupted, self.ends = [], begin, end

    def begin(self):
        self.undone_by(self.finish, len(self.notes))
        self.notes.append("begin")
        if self.interrupted:
            raise KeyboardInterrupt
        return self

    def finish(self, number):
        if self.ends:
            self.ends -= 1
            raise KeyboardInterrupt
        self.notes.append(("end", number))


def test_a_block_is_undone_at_its_end_also_within_itself():
    block = Noted()
    with block as given_by_it, block:
        assert given_by_it is block
        assert block.notes == ["begin", "begin"]
    assert block.notes == ["begin", "begin", ("end", 1), ("end", 0)]


def test_errors_pass_through_it_and_an_exit_stack_knows_it():
    block = Noted()
    with ExitStack() as stack, suppress(ZeroDivisionError):
        stack.enter_context(block)
        raise ZeroDivisionError
    assert block.notes == ["begin", ("end", 0)]
    with pytest.raises(ZeroDivisionError), block:
        raise ZeroDivisionError
    assert block.notes[2:] == ["begin", ("end", 2)]


def test_an_exit_stack_ends_it_after_an_error():
    block = Noted()

    def run():
        with ExitStack() as stack:
            stack.enter_context(block)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert block.notes == ["begin", ("end", 0)]


def test_a_beginning_that_is_interrupted_is_undone():
    block = Noted(begin=True)
    with pytest.raises(KeyboardInterrupt), block:
        raise AssertionError
    assert block.notes == ["begin", ("end", 0)]
    block.interrupted = False
    with block:
        pass
    assert block.notes[2:] == ["begin", ("end", 2)]


def test_an_end_that_is_interrupted_is_repeated():
    block = Noted(end=1)
    with pytest.raises(KeyboardInterrupt), block:
        pass
    assert block.notes == ["begin", ("end", 0)]


def test_the_end_of_a_block_begins_in_c():
    """Python acts on a signal as a function of its own begins: none does before the undoing."""
    variable = ContextVar("variable", default=0)
    block = Setting(variable, 1)
    seen = []
    with block:
        sys.setprofile(lambda frame, event, argument: seen.append((event, variable.get())))
    sys.setprofile(None)
    assert variable.get() == 0
    assert ("call", 1) not in seen
    assert ("c_return", 0) in seen


def test_a_block_has_to_say_what_it_does():
    with pytest.raises(NotImplementedError, match="Restoring does not say"), Restoring():
        pass


@given(SETTINGS, SETTINGS, st.booleans())
def test_settings_are_those_of_numpy(around, settings, called):
    options = {"call": print} if called else {}
    with np.errstate(**around, **options):
        before = np.geterr(), np.geterrcall()
        with np.errstate(**settings):
            expected = np.geterr(), np.geterrcall()
        block = errstate(**settings)
        for _ in range(2):  # the second time, it knows them
            with block:
                assert (np.geterr(), np.geterrcall()) == expected
            assert (np.geterr(), np.geterrcall()) == before


def test_a_function_is_quiet_while_it_runs():
    @quiet
    def overflow(x, *, fail=False):
        y = x * x
        if fail:
            raise ZeroDivisionError
        return y

    big = np.array([1e200])
    with np.errstate(all="raise"):
        before = np.geterr()
        assert overflow(big)[0] == np.inf
        with pytest.raises(ZeroDivisionError):
            overflow(big, fail=True)
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            overflow.__wrapped__(big)


def test_each_thread_has_its_own_settings():
    inside, go, found = threading.Event(), threading.Event(), []

    def run():
        with errstate(over="raise"):
            inside.set()
            go.wait()
            found.append(np.geterr()["over"])

    thread = threading.Thread(target=run)
    thread.start()
    inside.wait()
    with warnings.catch_warnings(), errstate(over="ignore"):
        go.set()
        thread.join()
        assert np.geterr()["over"] == "ignore"
    assert found == ["raise"]


@pytest.mark.parametrize("what", ["a state that is set", "a draw that is repeated"])
def test_a_generator_that_ctrl_c_cuts_while_it_is_made_leaves_numpy_as_it_was(what):
    state, generator = generator_state(), np.random.Generator(np.random.MT19937(0))
    request = DrawRequest(generator, "test", "random", (), {})
    calls = {
        "a state that is set": lambda: set_generator_state(state),
        "a draw that is repeated": lambda: request.numbers_from(
            np.random.MT19937, generator.bit_generator.state
        ),
    }
    before = np.geterr()
    for place in interrupted_everywhere(calls[what]):
        left = np.geterr()
        np.seterr(**before)
        assert left == before, place
