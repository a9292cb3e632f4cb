"""Changes of ordinary functions, and the tests that should notice: used by mutation.py.

pytest collects the tests of a target once, in this process. Each test runs alone, with its
fixtures, to see how long it takes and which of the functions it calls. Then a process is forked for
each change, in which the tests that call the changed function run, the quickest first, until one
fails.
"""

import glob
import itertools
import math
import os
import random
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item

from minigrad.testing.function_mutants import module_mutants
from minigrad.testing.mutants import Mutant
from tests.mutation_reasons import reason

REQUIRED = 0.95
SLOWEST = 30.0  # seconds; a test that takes longer without any change is left out
PATIENCE = 20.0  # seconds that any test may take with a change, and ten times its usual
MEMORY = 12 << 30  # bytes that a process with a change may address


@dataclass(frozen=True)
class Target:
    """Modules whose functions are changed, and the files with the tests that should notice.

    The docstrings of the modules are among the tests. Paths may have wildcards.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The files and folders with the tests, from the working folder."""
        return [path for pattern in self.tests for path in sorted(glob.glob(pattern))]


TARGETS = {
    "backward": Target(
        ("minigrad.core.backward",),
        (
            "tests/minigrad/test_graphs.py",
            "tests/minigrad/test_hooks.py",
            "tests/minigrad/test_observe*.py",
            "tests/minigrad/test_tape.py",
            "tests/minigrad/test_tensors.py",
            "tests/minigrad/test_inplace.py",
            "tests/minigrad/test_anomaly.py",
            "tests/minigrad/test_custom.py",
            "tests/minigrad/test_transforms.py",
            "tests/minigrad/test_transform_results.py",
            "tests/minigrad/test_checkpoints.py",
            "tests/minigrad/ops/test_equal_values.py",
            "tests/minigrad/ops/test_indexing.py",
            "tests/minigrad/draw/test_flow_oracles.py",
            "tests/minigrad/draw/test_views.py",
            "tests/minigrad/testing/test_engine_machine.py",
            "tests/minigrad/testing/test_programs.py",
        ),
    ),
    "optim": Target(("minigrad.optim",), ("tests/minigrad/optim",)),
    "io": Target(
        ("minigrad.io",),
        (
            "tests/minigrad/test_checksums.py",
            "tests/minigrad/test_memory.py",
            "tests/minigrad/test_npz_*.py",
            "tests/minigrad/test_resuming.py",
            "tests/minigrad/test_serialize.py",
            "tests/minigrad/test_whole_files.py",
        ),
    ),
    "training": Target(
        (  # all but what draws and what shows a bar
            "layers.training.averages",
            "layers.training.batches",
            "layers.training.interrupts",
            "layers.training.loop",
            "layers.training.options",
            "layers.training.pairs",
            "layers.training.run",
            "layers.training.run_folder",
            "layers.training.texts",
        ),
        (
            "tests/layers/test_averages.py",
            "tests/layers/test_compiled_training.py",
            "tests/layers/test_kept_weights.py",
            "tests/layers/test_plots.py",
            "tests/layers/test_run_state.py",
            "tests/layers/test_training.py",
            "tests/layers/test_training_options.py",
            "tests/layers/test_training_parts.py",
            "tests/layers/test_signals.py",
            "tests/layers/test_pairs.py",
            "tests/layers/test_progress.py",
            "tests/layers/test_saved_files.py",
        ),
    ),
    "init": Target(("layers.base.init",), ("tests/layers/test_init.py",)),
    "gpt": Target(
        ("layers.models.gpt",),
        (
            "tests/layers/test_*gpt*.py",
            "tests/layers/test_models.py",
            "tests/layers/test_decoding.py",
            "tests/layers/test_saved_files.py",
            "tests/layers/test_steps.py",
        ),
    ),
    "decoding": Target(
        ("layers.models.generation",),
        (
            "tests/layers/test_beams.py",
            "tests/layers/test_decoding.py",
            "tests/layers/test_models.py",
            "tests/layers/test_ngram.py",
            "tests/layers/test_saved_files.py",
            "tests/layers/test_steps.py",
        ),
    ),
    "cells": Target(
        ("layers.cells",),
        (
            "tests/layers/test_*cell*.py",
            "tests/layers/test_compiled_lengths.py",
            "tests/layers/test_recurrent*.py",
            "tests/layers/test_scan.py",
            "tests/layers/test_sequence_programs.py",
            "tests/layers/test_every_layer.py",
        ),
    ),
    "basic": Target(
        ("layers.basic",),
        (
            "tests/layers/test_activations.py",
            "tests/layers/test_convolution.py",
            "tests/layers/test_dropout.py",
            "tests/layers/test_embedding.py",
            "tests/layers/test_every_layer.py",
            "tests/layers/test_init.py",
            "tests/layers/test_inputs.py",
            "tests/layers/test_layer_parity.py",
            "tests/layers/test_learnable_scalars.py",
            "tests/layers/test_linear.py",
            "tests/layers/test_losses.py",
            "tests/layers/test_module_parts.py",
            "tests/layers/test_normalization.py",
            "tests/layers/test_shown_layers.py",
        ),
    ),
    "transformer": Target(
        ("layers.transformer",),
        (
            "tests/layers/test_attention*.py",
            "tests/layers/test_every_layer.py",
            "tests/layers/test_positional.py",
            "tests/layers/test_steps.py",
            "tests/layers/test_transformer*.py",
        ),
    ),
}
"""By the name that the command line takes."""


def sampled(mutants: list[Mutant], count: int | None, seed: int) -> list[Mutant]:
    """Some of the changes, the same ones for a seed; all where none are left out."""
    if count is None or count >= len(mutants):
        return mutants
    places = random.Random(seed).sample(range(len(mutants)), count)
    return [mutants[place] for place in sorted(places)]


# -- running tests ---------------------------------------------------------------------------------


class Calls:
    """A block that notes which of some functions are called, by their code."""

    def __init__(self, codes: set[Any]) -> None:
        self.codes, self.seen = codes, set[Any]()

    def __enter__(self) -> "Calls":
        codes, note = self.codes, self.seen.add

        def look(frame: Any, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code in codes:
                note(frame.f_code)

        sys.setprofile(look)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)


def passes(item: Any) -> bool:
    """Whether a test passes, alone and with fixtures of its own."""
    example = getattr(item, "dtest", None)
    names = {} if example is None else dict(example.globs)  # which doctest clears when it has run
    with catch_warnings_for_item(item.config, item.ihook, "runtest", item, record=False):
        reports = runtestprotocol(item, log=False, nextitem=None)
    if example is not None:
        example.globs.update(names)
    return not any(report.failed for report in reports)


def clear_caches() -> None:
    """Forget what functions remember: it may stem from the function as it was."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("minigrad", "layers"):
            for value in list(vars(module).values()):
                # Not the class of such functions, which is a value of one module.
                if not isinstance(value, type) and callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def notice(mutant: Mutant, items: list[tuple[float, Any]], pipe: int) -> None:
    """In a process of its own: make the change, run the tests, and write which one noticed."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever the code catches
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    mutant.function.__code__ = mutant.code
    clear_caches()
    for seconds, item in items:
        signal.alarm(math.ceil(PATIENCE + 10 * seconds))
        if not passes(item):
            os.write(pipe, item.nodeid.encode())
            break
    signal.alarm(0)


class Checker:
    """A plugin of pytest that runs the tests of a target against its changes.

    Args:
        mutants: the changes.
        jobs: processes at a time.
        budget: seconds of tests for each change, as they take without it.
        tell: is given a line of text now and then.

    Attributes:
        killers: by the place of each change that was noticed, the test that did.
        broken: tests that do not pass without any change, and those that are too slow.
        uncalled: the places of changes of functions that no test calls.
    """

    def __init__(
        self, mutants: list[Mutant], jobs: int, budget: float, tell: Callable[[str], object]
    ) -> None:
        self.mutants, self.jobs, self.budget, self.tell = mutants, jobs, budget, tell
        self.killers: dict[int, str] = {}
        self.broken: list[str] = []
        self.uncalled: set[int] = set()

    def pytest_runtestloop(self, session: Any) -> bool:
        """In the place of pytest's own loop over the tests."""
        tests = self.callers(session.items)
        clear_caches()  # an error here would end every process early, as if a test had noticed
        running: dict[int, tuple[int, int]] = {}  # place and pipe, by process
        for place, mutant in enumerate(self.mutants):
            items = list(self.affordable(tests[mutant.function.__code__]))
            if not items:
                self.uncalled.add(place)
                continue
            while len(running) == self.jobs:
                self.wait(running)
            there, here = os.pipe()
            process = os.fork()
            if not process:
                status = 1
                try:
                    notice(mutant, items, here)
                    status = 0
                finally:
                    os._exit(status)
            os.close(here)
            running[process] = (place, there)
        while running:
            self.wait(running)
        return True

    def callers(self, items: list[Any]) -> dict[Any, list[tuple[float, Any]]]:
        """The tests that call each function, by its code, with the seconds that they take."""
        codes = {mutant.function.__code__ for mutant in self.mutants}
        found = defaultdict(list)
        for item in items:
            with Calls(codes) as calls:
                start = time.perf_counter()
                good = passes(item)
                seconds = time.perf_counter() - start
            if not good or seconds > SLOWEST:
                self.broken.append(item.nodeid)
                continue
            for code in calls.seen:
                found[code].append((seconds, item))
        for rows in found.values():
            rows.sort(key=lambda row: row[0])
        return found

    def affordable(self, rows: list[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
        """The quickest tests, as many as the budget allows, and one at least."""
        ends = itertools.accumulate(seconds for seconds, _ in rows)
        for place, (row, end) in enumerate(zip(rows, ends, strict=True)):
            if place and end > self.budget:
                return
            yield row

    def wait(self, running: dict[int, tuple[int, int]]) -> None:
        """Wait for a process, and note what noticed its change."""
        process, status = os.wait()
        if process not in running:  # one that a test left behind
            return
        place, pipe = running.pop(process)
        with os.fdopen(pipe) as file:
            killer = file.read()
        label = self.mutants[place].label
        if not killer and status:
            killer = "the process ended early"  # by the alarm, without memory, or by os._exit
            self.tell(f"{killer}: {label}")  # many of these speak of something else than the change
        if killer:
            self.killers[place] = killer
        elif reason(label) is None:
            self.tell(f"survived: {label}")


def listed(name: str, options: Any) -> list[str]:
    """The changes of a target, in words."""
    mutants = module_mutants(*TARGETS[name].modules)
    return [mutant.label for mutant in sampled(mutants, options.sample, options.seed)]


def check(name: str, options: Any, tell: Callable[[str], object]) -> tuple[int, list[str]]:
    """Check a target: how many changes count, and the labels of those that nothing noticed.

    Those that are known to be equivalent do not count.
    """
    target = TARGETS[name]
    every = module_mutants(*target.modules)
    mutants = sampled(every, options.sample, options.seed)
    tell(f"{name}: {len(mutants)} of {len(every)} changes")
    checker = Checker(mutants, options.jobs, options.budget, tell)
    sources = dict.fromkeys(sys.modules[m.function.__module__].__file__ for m in every)
    code = pytest.main(
        [
            *target.files,
            *(path for path in sources if path is not None),
            *("-q", "-n", "0", "-p", "no:cacheprovider", "--capture=sys", "--no-header"),
            "--hypothesis-profile=mutation",
            *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # hypothesis is imported already
        ],
        plugins=[checker],
    )
    if code != 0:
        raise RuntimeError(f"the tests of {name} could not be run: pytest ended with {code}")
    for test in checker.broken:
        tell(f"left out, fails or takes long without any change: {test}")
    survivors = []
    counted = 0
    for place, mutant in enumerate(mutants):
        if reason(mutant.label) is not None:
            continue
        counted += 1
        if place not in checker.killers:
            survivors.append(mutant.label)
        if place in checker.uncalled:
            tell(f"called by no test: {mutant.label}")
    return counted, survivors
