"""All systems, each in a process of its own, several at once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from layers.systems.results import BROKEN, Figure, Result, System
from minigrad.compiled.llvm.crew import processors

__all__ = ["RESULT_FILE", "run_systems"]

RESULT_FILE = "result.json"
LONGEST_FIRST = ("gpt", "lstm", "translation", "dalle", "masked-decoder", "dependencies")
"""What takes minutes begins first, so that the processes end together."""

CHILD: Final = Path(__file__).parents[1] / "cli" / f"__main__{Path(__file__).suffix}"
GRACE: Final = 10.0  # seconds for a process to end before it is killed


class Children:
    """The processes of a run: none outlives it.

    Processes are started in threads, and ended in the main one, where signals arrive.

    Args:
        at_once: how many run at once. They share the processors: programs of two processes that
            each use all of them wait for each other. `MINIGRAD_THREADS` of the user comes first.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._threads = str(max(1, processors() // at_once))
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ending = False

    def run(self, command: Sequence[str]) -> str:
        """Run a command to its end; what it printed on standard error, and what ended it."""
        environment = {
            "MINIGRAD_THREADS": self._threads,
            **os.environ,
            "PYTHONIOENCODING": "utf-8",
        }
        with self._lock:
            if self._ending:
                return "ended before it began"
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, encoding="utf-8", errors="replace", env=environment,
            )  # fmt: skip
            self._running.add(process)
        try:
            printed = process.communicate()[1]
            if process.returncode < 0:  # such as SIGKILL, where memory runs out
                return f"{printed}\nended by {signal.Signals(-process.returncode).name}"
            return printed
        finally:
            with self._lock:
                self._running.discard(process)

    def end(self) -> None:
        """End all processes, and start no more."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        for process in running:
            process.terminate()
        last = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, last - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def run_systems(
    systems: Sequence[System],
    out: Path,
    *,
    seed: int = 0,
    scale: float = 1.0,
    jobs: int = 2,
    pictures: bool = True,
    tell: Callable[[Result], None] = lambda result: None,
    watch: Callable[[dict[str, float]], None] = lambda running: None,
) -> list[Result]:
    """Run systems and give their results in the order of the systems.

    Args:
        systems: which.
        out: a folder; each system has one of its name in it.
        seed, scale, pictures: as in `Setting`.
        jobs: how many processes at once.
        tell: is called with each result as it comes.
        watch: is called when systems begin or end, and every few seconds in between, with the
            names of those that run, and for how many seconds.

    A system whose process fails has a result that says so. An exception, such as Ctrl-C, ends the
    processes.
    """
    children = Children(jobs)
    begun: dict[str, float] = {}
    changed = threading.Event()  # something began or ended

    def run(system: System) -> Result:
        begun[system.name] = time.monotonic()
        changed.set()
        folder = out / system.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT_FILE).unlink(missing_ok=True)
        command = [sys.executable, "-P", str(CHILD), "run", system.name, "--out", str(folder)]
        command += ["--seed", str(seed), "--scale", repr(scale), "--quiet"]
        command += [] if pictures else ["--no-pictures"]
        try:
            printed = children.run(command)
        finally:
            del begun[system.name]
        if (folder / RESULT_FILE).is_file():
            content = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
            return Result.from_dict(content)
        reason = (printed.strip().splitlines() or ["no message"])[-1]
        failed = Figure(BROKEN, 0.0, "1", "", False, reason)
        return Result(system.number, system.name, system.title, (failed,), 0.0, seed, scale)

    def turn(system: System) -> int:
        name = system.name
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    def look() -> None:
        now = time.monotonic()
        watch({name: now - since for name, since in list(begun.items())})

    found: dict[int, Result] = {}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run, system) for system in sorted(systems, key=turn)]
        for future in waiting:
            future.add_done_callback(lambda _: changed.set())
        try:
            while True:
                if not waiting:
                    break
                changed.wait(0.5)
                changed.clear()
                for future in [one for one in waiting if one.done()]:
                    waiting.remove(future)
                    result = future.result()
                    found[result.number] = result
                    tell(result)
                look()
        except BaseException:
            for future in waiting:
                future.cancel()
            children.end()
            raise
    return [found[system.number] for system in systems]
