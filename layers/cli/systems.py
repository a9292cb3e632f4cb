"""`minigrad systems` and `minigrad run`: what the systems can do, measured."""

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path

from layers.cli.arguments import (
    AddCommand,
    make_folder,
    natural_int,
    positive_float,
    positive_int,
)
from layers.systems import SYSTEMS, Setting, find_system, run_system
from layers.systems.report import as_page, as_text, misses
from layers.systems.results import Result
from layers.systems.run_all import RESULT_FILE, run_systems
from layers.training.progress import say
from minigrad.io.serialize import write_atomically

__all__ = ["MISSED", "add_systems"]

MISSED = 3
"""The exit code when a bar is missed."""

WATCHED_SECONDS = 30.0  # between lines that say what runs

RUNS = Path("minigrad-runs")
RESULTS = "results.md"


def add_systems(command: AddCommand) -> None:
    """Add the commands to the parser."""
    systems = command(
        "systems",
        systems_command,
        "List the systems that can be run, with what each can do.",
        "minigrad systems",
        "minigrad systems --json",
    )
    systems.add_argument("--json", action="store_true", help="print as JSON")

    run = command(
        "run",
        run_command,
        "Train and measure a system, and print its figures beside bars and references.",
        "minigrad run rnn",
        "minigrad run dalle --out drawings",
        "minigrad run gpt --scale 0.05 --json",
        "minigrad run --all",
        more=f"""
NAME is a name or a number of `minigrad systems`. The picture and the model are written to
{RUNS}/NAME. The exit code is 0 when all bars are reached, and {MISSED} when one is missed.
With --all every system is run, two at once, and what they measured is written to
{RUNS}/{RESULTS}.
""",
    )
    run.add_argument("name", nargs="?", metavar="NAME", help="a system's name or number")
    run.add_argument("--all", action="store_true", help="run all systems")
    run.add_argument(
        "--out", type=Path, help=f"folder to write to; {RUNS}/NAME unless given, or {RUNS} for all"
    )
    run.add_argument("--seed", type=natural_int, default=0, help="of weights, batches and samples")
    run.add_argument(
        "--scale",
        type=positive_float,
        default=1.0,
        help="the share of the training steps; below 1 to try a system out",
    )
    run.add_argument("--json", action="store_true", help="print the results as JSON")
    run.add_argument("--quiet", action="store_true", help="show no progress bars")
    run.add_argument("--no-pictures", action="store_true", help="measure alone")
    run.add_argument(
        "--jobs", type=positive_int, help="with --all: systems at once; 2 unless given"
    )
    run.add_argument(
        "--results",
        type=Path,
        help=f"with --all: the page to write; {RESULTS} in the folder unless given",
    )


def systems_command(options: argparse.Namespace) -> None:
    """`minigrad systems`."""
    if options.json:
        listed = [
            {"number": s.number, "name": s.name, "title": s.title, "capability": s.capability}
            for s in SYSTEMS
        ]
        print(json.dumps(listed, indent=2))
        return
    width = max(len(system.name) for system in SYSTEMS)
    for system in SYSTEMS:
        print(f"{system.number:2}  {system.name:{width}}  {system.title}")
        print(f"    {'':{width}}  {system.capability}")
    print("\nRun one with: minigrad run NAME; all with: minigrad run --all")


def run_command(options: argparse.Namespace) -> int:
    """`minigrad run`."""
    if options.all == (options.name is not None):
        raise ValueError("name a system, or pass --all; `minigrad systems` lists them")
    if options.all:
        return run_all(options)
    for name in ("jobs", "results"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is for --all")
    system = find_system(options.name)
    folder = options.out or RUNS / system.name
    make_folder(folder)
    setting = Setting(
        folder, options.seed, options.scale, not options.quiet, not options.no_pictures
    )
    result = run_system(system, setting)
    text = json.dumps(result.to_dict(), indent=2) + "\n"
    write_atomically(folder / RESULT_FILE, lambda path: path.write_text(text, encoding="utf-8"))
    if options.json:
        print(text, end="")
    else:
        print_result(result, folder)
    return 0 if result.passed else MISSED


def print_result(result: Result, folder: Path) -> None:
    """The figures, what the system made, and what was written where."""
    print(as_text(result))
    if result.sample:
        print(f"\n{'-' * 60}\n{result.sample}\n{'-' * 60}")
    if result.written:
        print(f"\nWritten to {folder}/:")
        width = max(len(name) for name in result.written)
        for name, what in result.written.items():
            print(f"  {name:{width}}  {what}")


class Watcher:
    """Says on standard error which systems run: when one begins, and every half minute."""

    def __init__(self, count: int, quiet: bool) -> None:
        self.count, self.quiet, self.done = count, quiet, 0
        self._known: set[str] = set()
        self._next = 0.0

    def look(self, running: dict[str, float]) -> None:
        """Say what is new; `running` is the seconds of each system that runs."""
        now = time.monotonic()
        if self.quiet or not running or not (set(running) - self._known or now >= self._next):
            return
        names = ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in running.items())
        say(f"{self.done} of {self.count} done; running: {names}")
        self._known, self._next = set(running), now + WATCHED_SECONDS


def run_all(options: argparse.Namespace) -> int:
    """`minigrad run --all`."""
    out = options.out or RUNS
    page = options.results or out / RESULTS
    make_folder(out)
    make_folder(page.parent, "--results")
    jobs = options.jobs or min(2, os.cpu_count() or 1)
    watcher = Watcher(len(SYSTEMS), options.quiet)
    if not options.quiet:
        time_needed = "; some five minutes on two cores" if options.scale == 1 else ""
        say(f"Running {len(SYSTEMS)} systems, {jobs} at once{time_needed}. What each makes goes to "
            f"{out}/, the results to {page}.")  # fmt: skip

    def tell(result: Result) -> None:
        watcher.done += 1
        if options.json:
            return
        word = "passed" if result.passed else "NOT passed"
        print(f"{result.number:2}  {result.name:16} {word:10}  {result.seconds:4.0f} s", flush=True)
        for sentence in misses(result):
            print(f"    {sentence}", flush=True)

    results = run_systems(
        SYSTEMS,
        out,
        seed=options.seed,
        scale=options.scale,
        jobs=jobs,
        pictures=not options.no_pictures,
        tell=tell,
        watch=watcher.look,
    )
    if not any(result.measured for result in results):
        raise RuntimeError(
            f"no system ran to its end, so {page} was not written; the first said: "
            f"{results[0].figures[0].reason}"
        )
    text = as_page(results, date.today())
    write_atomically(page, lambda path: path.write_text(text, encoding="utf-8"))
    passed = sum(result.passed for result in results)
    if options.json:
        print(json.dumps([result.to_dict() for result in results], indent=2))
    else:
        print(f"{passed} of {len(results)} systems passed; written to {page}, pictures to {out}/")
    return 0 if passed == len(results) else MISSED
