"""All systems, each in a process of its own, several at once."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from layers.systems.results import Figure, Result, System

__all__ = ["RESULT_FILE", "run_systems"]

RESULT_FILE = "result.json"
LONGEST_FIRST = ("gpt", "lstm", "translation", "dalle", "masked-decoder", "dependencies")
"""What takes minutes begins first, so that the processes end together."""


def run_systems(
    systems: Sequence[System],
    out: Path,
    *,
    seed: int = 0,
    scale: float = 1.0,
    jobs: int = 2,
    pictures: bool = True,
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run systems and give their results in the order of the systems.

    Args:
        systems: which.
        out: a folder; each system has one of its name in it.
        seed, scale, pictures: as in `Setting`.
        jobs: how many processes at once.
        tell: is called with each result as it comes.

    A system whose process fails has a result that says so.
    """

    def run(system: System) -> Result:
        folder = out / system.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT_FILE).unlink(missing_ok=True)
        command = [sys.executable, "-m", "layers.cli", "run", system.name, "--out", str(folder)]
        command += ["--seed", str(seed), "--scale", repr(scale), "--quiet"]
        command += [] if pictures else ["--no-pictures"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if (folder / RESULT_FILE).is_file():
            content = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
            return Result.from_dict(content)
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        failed = Figure("runs to its end", 0.0, "1", "", False, reason)
        return Result(system.number, system.name, system.title, (failed,), 0.0, seed, scale)

    def turn(system: System) -> int:
        name = system.name
        return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)

    found: dict[int, Result] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, system) for system in sorted(systems, key=turn)]
        try:
            for future in as_completed(running):
                result = future.result()
                found[result.number] = result
                tell(result)
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return [found[system.number] for system in systems]
