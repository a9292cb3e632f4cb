"""Are the tests any good? Change the code in one place at a time, and see who notices.

    python tests/mutation.py [TARGET ...] [--sample N] [--seed N] [--budget SECONDS] [--jobs N]
    python tests/mutation.py rules [--ops PATTERN] [--examples N] [--programs N] [--jobs N]
    python tests/mutation.py TARGET ... --list

The targets are `rules`, the derivative rules, which is what runs without a target, and those of
mutation_of_functions.py: `backward`, the engine's loop; `optim`; `io`; `training`; `init`; `gpt`,
with its first weights; `decoding`; `cells`, `basic` and `transformer`, the layers.

Each derivative rule (with the helpers that only rules call, and the backwards of kernels) is
changed in one place at a time: a sign is flipped, a term or factor dropped, arguments or operands
swapped, a comparison reversed. With each change the tests that use the operation run, the most
specific first, then random programs that use it. A change that nothing notices is a survivor: a
gap in the tests, unless EQUIVALENT below says why it changes nothing. Exits with 1 when less than
98 % of the changes are noticed or a survivor is not explained.

Of the other targets, all functions and methods are changed: also bounds are moved by one, constants
changed, conditions negated and statements left out. The tests that call the changed function run,
the quickest first, as many as take SECONDS in all (30 unless given). Exits with 1 when of one
target less than 95 % of the changes are noticed that are not explained. A target takes from
minutes to hours; --sample changes some places only, the same ones for a seed.
"""

import argparse
import contextlib
import fnmatch
import importlib.util
import inspect
import itertools
import os
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from minigrad.core.plans import PlanTable
from minigrad.ops.primitives import operations
from minigrad.testing.mutants import Mutant, rule_mutants
from minigrad.testing.random_programs import check_program, programs
from tests import mutation_of_functions as functions

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
REQUIRED = 0.98
SECONDS = 60  # a changed rule may loop for ever
POOL = 1500  # random programs to choose from

# Changes that change no result, by "operation, function: change" (with * as a wildcard).
EQUIVALENT: dict[str, str] = {
    "setitem, *: flip in `len(value_shape) - *": "more axes of length 1, summed away again",
    "setitem, *: drop right in `len(value_shape) - *": "more axes of length 1, summed away again",
    "einsum_pair, _pair_rule: reverse in `kept == own`": "a short cut: the spread would be a copy",
    "sum, _spread: reverse in *SMALL`": "chooses between a copy and a view of the same numbers",
    "cumsum, _reversed: flip result *": "called on the way in and out: the signs cancel",
    "cumprod, _cumprod_rule: drop left in `length - 1`": "the slice ends at -1 all the same",
    "cumprod, _shifted: flip result *": "both factors of each product change sign",
    "matmul, _matmul_x2: reverse in `x1.ndim > 2`": "a short cut: the engine sums over the stack",
    "vecdot, _move: flip result *": "called on the way in and out: the signs cancel",
    "layer_norm, *: swap in `_dot(*": "a sum of products, symmetric",
    "layer_norm, *: swap in `_weight_gradient(*": "a sum of products, symmetric",
    "svd, _svd_equal_part: swap in `turns.get(0, 0)`": "the same",
    "svd, _svd_equal_part: flip in `part + unless_zero(*": "adds 0 or NaN, which have no sign",
    "svd, _svd_equal_part: flip in `beyond + outside`": "adds 0 or NaN, which have no sign",
    "eigvalsh, _once: flip result *": "vectors stand twice in every product",
    "*: swap in `np.result_type(*": "symmetric",
    "*softmax, *: swap in `is_last(*": "then NumPy computes it, not native code",
    "*softmax, *: swap in `by_rows(*": "then NumPy computes it, not native code",
    "prod, divisible: flip result *": "the negative of True is true, too",
    "gelu, gelu_rule: swap in `by_elements(*": "then NumPy computes it, not native code",
    "layer_norm, _layer_norm_backward: * `axes == (normal.ndim - 1,)`": "NumPy computes it then",
    "layer_norm, _layer_norm_backward: * `normal.ndim - 1`": "NumPy computes it then",
    "layer_norm, _layer_norm_backward: swap in `by_rows(*": "NumPy computes it then",
    "rms_norm, _rms_norm_rule: * `axes == (x.ndim - 1,)`": "NumPy computes it then",
    "rms_norm, _rms_norm_rule: * `x.ndim - 1`": "NumPy computes it then",
    "rms_norm, _rms_norm_rule: swap in `by_rows(*": "NumPy computes it then",
    "copysign, _nothing: flip result *": "the negative of zeros",
}

# -- the tests that should notice ------------------------------------------------------------------


def load_profile(examples: int) -> None:
    """Few examples, always the same ones, and no time spent on making failures smaller."""
    settings.register_profile(
        "mutation",
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")


def load_tests() -> dict[str, Callable[[], Any]]:
    """The tests of the operations that need no fixtures, one by one for each parameter set."""
    found: dict[str, Callable[[], Any]] = {}
    for path in sorted((HERE / "minigrad" / "ops").glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"mutation_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for name, test in vars(module).items():
            if name.startswith("test_") and callable(test):
                for label, call in expanded(test):
                    found[f"{path.stem}.{name}{label}"] = call
    return found


def expanded(test: Any) -> list[tuple[str, Callable[[], Any]]]:
    """A test with each set of its parameters; none when it needs fixtures."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    sets: list[list[dict[str, Any]]] = []
    for mark in marks:
        given_names, values = mark.args[:2]
        names = given_names.split(",") if isinstance(given_names, str) else given_names
        rows = [v.values if hasattr(v, "marks") else v for v in values]  # pytest.param has marks
        sets.append(
            [
                dict(
                    zip(
                        (name.strip() for name in names),
                        row if len(names) > 1 or hasattr(value, "marks") else (row,),
                        strict=True,
                    )
                )
                for row, value in zip(rows, values, strict=True)
            ]
        )
    combined = [
        {name: value for part in row for name, value in part.items()}
        for row in itertools.product(*sets)
    ]
    if set(inspect.signature(test).parameters) - set(combined[0] if combined else {}):
        return []
    return [
        (f"[{i}]" if marks else "", lambda keywords=keywords: test(**keywords))
        for i, keywords in enumerate(combined)
    ]


class Usage:
    """Which operations a backward goes through."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.original = PlanTable.__missing__

    def __enter__(self) -> "Usage":
        usage, names = self, {id(op): name for name, op in operations.items()}

        def missing(table: Any, mask: int) -> Any:
            plan = usage.original(table, mask)
            name = names.get(id(table.operation), "")
            for method in ("vjp", "vjp_recorded"):
                setattr(plan, method, usage.noting(name, getattr(plan, method)))
            return plan

        PlanTable.__missing__ = missing  # type: ignore[method-assign]
        self.clear()
        return self

    def noting(self, name: str, method: Any) -> Any:
        """A method that notes the name first."""

        def noted(*args: Any) -> Any:
            self.used.add(name)
            return method(*args)

        return noted

    @staticmethod
    def clear() -> None:
        """Make all plans anew."""
        for op in operations.values():
            op.plans.clear()

    def __exit__(self, *exc: object) -> None:
        PlanTable.__missing__ = self.original  # type: ignore[method-assign]
        self.clear()


class TimedOut(BaseException):
    """A test took too long."""


def fails(call: Callable[[], Any]) -> bool:
    """Whether a test fails, or does not end in time."""

    def stop(*args: Any) -> None:
        raise TimedOut

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        call()
    except KeyboardInterrupt:
        raise
    except BaseException:  # pytest's own failures are no Exceptions
        return True
    finally:
        signal.alarm(0)
    return False


class Suite:
    """The tests and programs of each operation, the most specific first."""

    def __init__(self, examples: int, count: int) -> None:
        load_profile(examples)
        tests = load_tests()
        drawn: list[Any] = []

        @settings(max_examples=POOL)
        @given(programs())
        def collect(program: Any) -> None:
            drawn.append(program)

        collect()
        self.tests: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.programs: dict[str, list[Any]] = defaultdict(list)
        self.broken: list[str] = []
        for name, call in tests.items():
            with Usage() as usage:
                start = time.perf_counter()
                if fails(call):
                    self.broken.append(name)
                    continue
                seconds = time.perf_counter() - start
            for op in usage.used:
                self.tests[op].append((len(usage.used), seconds, name, call))
        for program in drawn:
            with Usage() as usage:
                check_program(program)
            for op in usage.used:
                if len(self.programs[op]) < count:
                    self.programs[op].append(program)
        for rows in self.tests.values():
            rows.sort(key=lambda row: row[:3])

    def killer(self, mutant: Mutant) -> str | None:
        """The first test or program that notices a mutant, by name; None if it survives."""
        function, original = mutant.function, mutant.function.__code__
        rows = sorted(
            {row[2]: row for owner in mutant.owners for row in self.tests[owner]}.values(),
            key=lambda row: row[:3],
        )
        function.__code__ = mutant.code
        try:
            for _, _, name, call in rows:
                if fails(call):
                    return str(name)
            for owner in mutant.owners:
                for number, program in enumerate(self.programs[owner]):
                    if fails(lambda program=program: check_program(program)):
                        return f"random program {number}"
        finally:
            function.__code__ = original
        return None


# -- the command -----------------------------------------------------------------------------------

_state: dict[str, Any] = {}  # what worker processes inherit


def _run(number: int) -> str | None:
    result: str | None = _state["suite"].killer(_state["mutants"][number])
    return result


def reason(label: str) -> str | None:
    """Why a survivor is equivalent, if that is known."""
    return next((why for key, why in EQUIVALENT.items() if fnmatch.fnmatchcase(label, key)), None)


def main() -> int:
    threads = dict.fromkeys(THREADS, "1")
    if not threads.items() <= os.environ.items():  # NumPy has read them already
        os.environ.update(threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    names = ["rules", *functions.TARGETS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names))
    parser.add_argument("--sample", type=int, help="changes of each target; all unless given")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests per change")
    parser.add_argument("--ops", default="", help="part of a qualified name, such as softmax")
    parser.add_argument("--examples", type=int, default=25, help="of each property test")
    parser.add_argument("--programs", type=int, default=200, help="random programs per operation")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--list", action="store_true", help="list the changes and stop")
    options = parser.parse_args()
    targets = options.targets or ["rules"]
    if unknown := set(targets) - set(names):
        parser.error(f"there is no target {', '.join(unknown)}; there are: {', '.join(names)}")
    failed = False
    for target in targets:
        failed |= bool(check_rules(options) if target == "rules" else check(target, options))
    return int(failed)


def check(target: str, options: argparse.Namespace) -> int:
    """Check the functions of a target."""
    if options.list:
        print("\n".join(functions.listed(target, options)))
        return 0
    load_profile(options.examples)
    start = time.perf_counter()
    count, survivors = functions.check(target, options, partial(print, flush=True))
    part = 1 - len(survivors) / max(count, 1)
    print(
        f"{target}: killed {count - len(survivors)} of {count} ({part:.1%}) in "
        f"{time.perf_counter() - start:.0f} s"
    )
    for label in survivors:
        print(f"- {label}")
    return int(part < functions.REQUIRED)


def check_rules(options: argparse.Namespace) -> int:
    """Check the derivative rules."""
    warnings.simplefilter("error")
    mutants = functions.sampled(rule_mutants(options.ops), options.sample, options.seed)
    if options.list:
        print("\n".join(mutant.label for mutant in mutants))
        return 0
    start = time.perf_counter()
    suite = Suite(options.examples, options.programs)
    for name in suite.broken:
        print(f"left out, fails without any change: {name}")
    print(f"{len(mutants)} changes; ready after {time.perf_counter() - start:.0f} s", flush=True)
    _state.update(suite=suite, mutants=mutants)
    survivors: list[str] = []
    by_programs = 0
    with contextlib.ExitStack() as stack:
        apply: Callable[..., Any] = map
        if options.jobs > 1:
            pool = ProcessPoolExecutor(options.jobs, mp_context=get_context("fork"))
            apply = partial(stack.enter_context(pool).map, chunksize=4)
        for mutant, killer in zip(mutants, apply(_run, range(len(mutants))), strict=True):
            if killer is None:
                survivors.append(mutant.label)
                print(f"survived: {mutant.label}", flush=True)
            elif killer.startswith("random program"):
                by_programs += 1
    killed = len(mutants) - len(survivors)
    part = killed / max(len(mutants), 1)
    print(
        f"killed {killed} of {len(mutants)} ({part:.1%}), {by_programs} of them by random programs "
        f"alone, in {time.perf_counter() - start:.0f} s"
    )
    for label in survivors:
        print(f"- {label}\n    {reason(label) or 'NOT EXPLAINED: a gap in the tests'}")
    return int(part < REQUIRED or any(reason(label) is None for label in survivors))


if __name__ == "__main__":
    sys.exit(main())
