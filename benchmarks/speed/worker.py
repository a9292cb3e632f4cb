"""The process of one contestant and one case: reads lines of JSON, and answers each with one.

    python -m benchmarks.speed.worker CONTESTANT CASE SIZE THREADS

It first says how long it took from the inputs to the end of the first step, or why it failed. Then
``{"measure": SECONDS}`` gives the median and the minimum of as many steps as fit, and
``{"results": PATH}`` writes what was computed. It ends with its input.
"""

import contextlib
import importlib
import json
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.speed.cases import CASES, inputs_of
from benchmarks.speed.contestants import CONTESTANTS
from benchmarks.speed.peers import Absent, Program

__all__ = ["main", "timed"]

LEAST: Final = 3  # steps are measured, however long they take
MOST: Final = 10_000
STATUS: Final = Path("/proc/self/status")


def memory() -> dict[str, float]:
    """Resident megabytes now and at most, where the system tells; else nothing."""
    if not STATUS.exists():
        return {}
    found = dict(re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB", STATUS.read_text(), re.MULTILINE))
    return {name: int(value) / 1024 for name, value in found.items()}


def forget_peak() -> None:
    """Let the peak begin at what is resident now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def timed(step: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Median and minimum of the seconds of a step, and how many were measured."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST or (time.perf_counter() < end and len(times) < MOST):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"median": statistics.median(times), "min": min(times), "steps": len(times)}


def prepare(threads: int, hidden: str) -> None:
    """Keep to as many processors as there are threads, and hide a package."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if hidden:
        sys.modules[hidden] = None  # type: ignore[assignment]  # as if it were not installed


def begin(contestant: str, case: str, size: str, threads: int) -> tuple[Program, dict[str, Any]]:
    """Build a case and make the first step."""
    who = CONTESTANTS[contestant]
    prepare(threads, who.hidden)
    peer = importlib.import_module(f"benchmarks.speed.peers.{who.peer}")
    if who.peer == "pytorch":
        importlib.import_module("torch").set_num_threads(threads)
    inputs = inputs_of(CASES[case], size)
    forget_peak()
    before = memory()
    start = time.perf_counter()
    program = peer.build(CASES[case], size, inputs, who.form)
    program.step()
    first = time.perf_counter() - start
    after = memory()
    found = {"first": first}
    if before and after:
        found |= {"base": before["VmRSS"], "peak of first": after["VmHWM"] - before["VmRSS"]}
    return program, found


def running(program: Program, seconds: float, base: float) -> dict[str, Any]:
    """Times of a step, and the most megabytes meanwhile beyond those before it was built."""
    forget_peak()
    found: dict[str, Any] = timed(program.step, seconds)
    now = memory()
    return found | ({"peak": now["VmHWM"] - base} if now else {})


def say(answer: dict[str, Any], stream: Any) -> None:
    print(json.dumps(answer), file=stream, flush=True)


def main() -> None:
    """Answer until the input ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            contestant, case, size, threads = sys.argv[1:]
            program, found = begin(contestant, case, size, int(threads))
        except Absent as reason:
            say({"absent": str(reason)}, answers)
            return
        except Exception as error:
            say({"failed": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}, answers)
            return
        say(found, answers)
        for line in sys.stdin:
            order = json.loads(line)
            try:
                if "results" in order:
                    arrays: dict[str, Any] = program.results()
                    np.savez(order["results"], **arrays)
                    answer: dict[str, Any] = {}
                else:
                    answer = running(program, order["measure"], found.get("base", 0.0))
            except Exception as error:
                answer = {"failed": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
            ours = [str(w.message) for w in caught if w.category.__name__ == "CompileWarning"]
            say(answer | {"notes": list(dict.fromkeys(ours))}, answers)


if __name__ == "__main__":
    main()
