"""The tests with every public operation, method and layer compiled: a plugin of pytest.

    python -m pytest -n 2 --hypothesis-profile=quick -p tests.compiled_suite --compiled plain tests

A call of an operation of `minigrad`, of a NumPy function or a method that stands for one, or of a
module, unless it comes from another one, is traced with the arguments that the test gives it, put
back, and answered by the program. So what the test then looks at (values, gradients, derivatives of
higher order, buffers, random numbers, errors) is that of compiled code. Calls that are refused are
answered as before; how many, and why, stands at the end of the report.

Tests that look at what a compiled call need not have, such as the names of the nodes on the tape,
are listed in `tests/compiled_exceptions.py`, with reasons.
"""

import contextlib
import functools
import os
import re
import tempfile
import threading
import warnings
from collections import Counter

import pytest

from tests.compiled_exceptions import LINES, reason_of

__name__ = "minigrad.compiled.suite"
"""Tracing tells the engine from the user by it; what stands around an operation is no user's."""

NOT_OPERATIONS = {"MODULES", "primitive", "fused", "seed", "default_dtype", "set_default_dtype"}


class Inside(threading.local):
    """Whether a thread is in a call that the suite answers."""

    on = False


class Suite:
    """Answers calls by programs, and counts them.

    Attributes:
        counts: of calls, by what became of them.
        refused: of kinds of calls, by the reason and the function.
        first: the test that saw a reason first.
        test: the one that runs.
    """

    def __init__(self, backend):
        self.backend = backend
        self.counts, self.refused = Counter(), Counter()
        self.first, self.test = {}, ""
        self._compiled = {}
        self._inside = Inside()
        self._suspended = False  # in all threads

    def forget(self):
        """Let go of all programs, as each test needs its own."""
        self._compiled.clear()

    def call(self, name, function, plain, args, kwargs):
        """Call a function by its program; `plain` is the function itself."""
        from minigrad.compiled.backends import switched_off
        from minigrad.core.modes import current_mode

        if self._inside.on or self._suspended:
            return plain(*args, **kwargs)
        mode = current_mode()
        if mode.watchers or mode.deriving or not mode.fused:
            self.counts["left alone: recorded for replay, or a derivative"] += 1
            return plain(*args, **kwargs)
        if switched_off():
            self.counts["left alone: the test switches programs off"] += 1
            return plain(*args, **kwargs)
        self._inside.on = True
        try:
            return self._answer(name, function, args, kwargs)
        finally:
            self._inside.on = False

    def _answer(self, name, function, args, kwargs):
        import minigrad as mg
        from minigrad.compiled.guarding.keys import flatten, key_of
        from minigrad.compiled.operation import MOST_PROGRAMS
        from minigrad.core.modes import current_mode

        compiled = self._compiled.get(id(function))
        if compiled is None:
            compiled = self._compiled[id(function)] = mg.compile(function, backend=self.backend)
        leaves = []
        key = key_of(flatten((args, kwargs), leaves), leaves, current_mode())
        if not any(_holds(entry) for entry in compiled._entries.get(key, ())):
            if sum(map(len, compiled._entries.values())) >= MOST_PROGRAMS:
                compiled._entries.clear()  # as many programs as a test has shapes
            compiled._count = 0
            refused, result = self._trace(name, compiled, args, kwargs)
            if refused:
                return result
        before = compiled._every(), sum(p.misses for p in compiled.programs)
        result = self._quietly(compiled, args, kwargs)
        made = len(compiled._every()) - len(before[0])
        if made:
            self._note("the call is traced again, as what it can read has changed", name)
        same = before == (compiled._every(), sum(p.misses for p in compiled.programs))
        self.counts["run by a program" if same else "run as before"] += 1
        return result

    def _note(self, reason, name):
        self.refused[reason, name] += 1
        self.first.setdefault(reason, self.test)

    def _trace(self, name, compiled, args, kwargs):
        """The first call: whether it is refused, and its result; else all is as it was."""
        from minigrad.core.blocks import observed_by
        from minigrad.core.modes import ModeChange, current_mode
        from minigrad.transforms.generator_search import random_sources
        from minigrad.transforms.recorded_draws import restore_state, state_of
        from minigrad.transforms.recorded_writes import Writes, put_back

        programs = len(compiled.programs)
        writes = Writes()
        states = [(s, state_of(s)) for s in random_sources(compiled.function, args, kwargs)]
        with warnings.catch_warnings(record=True) as seen:
            self._ignore_refusals()
            try:
                with ModeChange(observers=()), observed_by(writes):  # only the second call counts
                    result = compiled(*args, **kwargs)
                refused = len(compiled.programs) == programs
            except Exception:  # raised again: the test sees it, as it would without the plugin
                self.counts["an error of the call"] += 1
                refused = True
                raise
            finally:
                told = list(seen)
        watched = bool(current_mode().observers)
        if watched or not refused:
            put_back(writes.before())
            for source, state in states:
                restore_state(source, state)
        for one in told:  # those about numbers come again from the program
            if not watched and (refused or not issubclass(one.category, RuntimeWarning)):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if not refused:
            self.counts["compiled"] += 1
            return False, None
        self.counts["refused"] += 1
        reason = compiled.refusals[-1].reason if compiled.refusals else "no program is made"
        reason = re.sub(r"\(.*?\)|\[.*?\]|0x\w+|-?\d+", "...", reason)
        self._note(reason, name)
        return True, compiled.function(*args, **kwargs) if watched else result

    def _quietly(self, compiled, args, kwargs):
        with warnings.catch_warnings():
            self._ignore_refusals()
            return compiled(*args, **kwargs)

    @staticmethod
    def _ignore_refusals():
        import minigrad as mg

        warnings.simplefilter("ignore", mg.CompileWarning)

    # -- in the place of what is public ----------------------------------------------------------

    def install(self):
        """Put wrappers in the place of operations, methods and the call of modules."""
        import minigrad as mg
        from layers.base.module import Module
        from minigrad import ops
        from minigrad.core.tensors import Tensor, methods
        from minigrad.numpy_api.protocols import numpy_functions

        made = {}
        for name in set(ops.__all__) - NOT_OPERATIONS:
            function = getattr(ops, name)
            if function not in made:
                made[function] = self._wrapped(name, function)
            setattr(mg, name, made[function])
        for table in (methods, numpy_functions, vars(mg.linalg)):
            for name, function in list(table.items()):
                if callable(function) and function in made:
                    table[name] = made[function]
        for name in methods:
            setattr(Tensor, name, methods[name])
        call, suite = Module.__call__, self._hidden()

        @functools.wraps(call)
        def module_call(module, *args, **kwargs):
            plain = functools.partial(call, module)
            return suite(0).call(type(module).__name__, module, plain, args, kwargs)

        Module.__call__ = module_call

    def _wrapped(self, name, function):
        suite = self._hidden()

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return suite(0).call(name, function, function, args, kwargs)

        return wrapper

    def _hidden(self):
        """Gives the suite, for 0, where no guard finds it: its counts change at every call."""
        return (self,).__getitem__

    @contextlib.contextmanager
    def suspended(self):
        """A block without compilation."""
        self._suspended = True
        try:
            yield
        finally:
            self._suspended = False


def _holds(entry):
    """Whether what was made of a call answers another one."""
    program = entry.program
    if not hasattr(program, "held"):  # a refusal
        return program.guards is None or program.guards.hold()
    return entry.held.alive and program.held() is not None


def pytest_addoption(parser):
    parser.addoption(
        "--compiled",
        choices=["plain", "native"],
        default="plain",
        help="the back end that runs operations and layers (with -p tests.compiled_suite)",
    )


def pytest_sessionstart(session):
    session.config.stash[FOLDER] = folder = tempfile.TemporaryDirectory()
    os.environ.setdefault("MINIGRAD_CACHE", folder.name)
    session.config.stash[SUITE] = suite = Suite(session.config.getoption("--compiled"))
    suite.install()


SUITE = pytest.StashKey()
FOLDER = pytest.StashKey()


def pytest_collection_modifyitems(config, items):
    for item in items:
        if reason_of(item.nodeid) == LINES:  # the others run uncompiled, and have to pass
            item.add_marker(pytest.mark.xfail(reason=LINES, strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup():
    os.environ.pop("MINIGRAD_COMPILE", None)  # one fixture sets it where trainings are short
    return (yield)


def _apart(item):
    """A block in which a test's calls run as they always do, if it is excepted."""
    suite = item.config.stash[SUITE]
    suite.test = item.nodeid
    os.environ.pop("MINIGRAD_COMPILE", None)
    return suite.suspended() if reason_of(item.nodeid) is not None else contextlib.nullcontext()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    with _apart(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        with _apart(item):
            return (yield)
    finally:
        item.config.stash[SUITE].forget()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # in a process of pytest-xdist
        suite = session.config.stash[SUITE]
        told = list(suite.counts.items()), list(suite.refused.items()), list(suite.first.items())
        session.config.workeroutput["compiled"] = told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    suite = node.config.stash[SUITE]
    counts, refused, first = map(dict, getattr(node, "workeroutput", {}).get("compiled", [()] * 3))
    suite.counts.update(counts)
    suite.refused.update(refused)
    suite.first = first | suite.first


def pytest_terminal_summary(terminalreporter, config):
    suite = config.stash[SUITE]
    terminalreporter.section("compiled calls")
    for what, count in suite.counts.most_common():
        terminalreporter.write_line(f"{count:8} {what}")
    terminalreporter.section("refused, by reason")
    reasons = {}
    for (reason, name), count in suite.refused.items():
        reasons.setdefault(reason, Counter())[name] += count
    for reason, names in sorted(reasons.items(), key=lambda pair: -pair[1].total()):
        some = ", ".join(f"{name} {count}" for name, count in names.most_common(8))
        terminalreporter.write_line(f"{names.total():8} {reason}: {some}")
        terminalreporter.write_line(f"{'':8} first in {suite.first[reason]}")
