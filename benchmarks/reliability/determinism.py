"""Whether the same seed gives the same bits in other processes, threads and Pythons.

    python -m benchmarks.reliability.determinism [--python OTHER ...]

Short trainings (recurrent, Transformers, with dropout, eager and compiled, `minigrad train`) and
drawings in every format run in processes that differ from the first one in one thing: nothing, the
seed of hashes, the threads of NumPy's BLAS, those of compiled programs, a stop halfway and another
process for the rest. Interpreters named by `--python` make the drawings, too. Printed is what is
equal to the first process, and by name what is not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.reliability.same_bits import PARTS

__all__ = ["PROCESSES", "Process", "digests", "differing", "main"]

ROOT = Path(__file__).parents[2]

FIRST = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MINIGRAD_THREADS": "1",
}


@dataclass(frozen=True)
class Process:
    """How a process differs from the first one.

    Attributes:
        name: for the table.
        settings: environment variables; an empty value unsets one.
        halves: whether the trainings stop halfway, and another process goes on, with other hashes.
        wanted: `trainings`, `drawings` or both.
        equal: whether it must give the same bits.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    halves: bool = False
    wanted: tuple[str, ...] = ("trainings", "drawings")
    equal: bool = True


TRAININGS = ("trainings",)
UNSET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "")
TWO = dict.fromkeys(UNSET, "2")

PROCESSES = (
    Process("again"),
    Process("PYTHONHASHSEED=1", {"PYTHONHASHSEED": "1"}),
    Process("PYTHONHASHSEED=random", {"PYTHONHASHSEED": "random"}),
    Process("stopped halfway, resumed", halves=True, wanted=TRAININGS),
    Process("programs on 2 threads", {"MINIGRAD_THREADS": "2"}, wanted=TRAININGS),
    Process("threads of the BLAS not set", UNSET, wanted=TRAININGS, equal=False),
    Process("BLAS on 2 threads", TWO, wanted=TRAININGS, equal=False),
)


def digests(process: Process, python: str = sys.executable) -> dict[str, str]:
    """What a process computed, and its digest.

    Raises:
        AssertionError: when it fails, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        if not process.halves:
            return _run(process, python, folder, PARTS[0])
        _run(process, python, folder, PARTS[1])
        changed = Process(process.name, {**process.settings, "PYTHONHASHSEED": "random"})
        return _run(changed, python, folder, PARTS[2], process.wanted)


def _run(
    process: Process, python: str, folder: str, part: str, wanted: Sequence[str] = ()
) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINIGRAD_CACHE": "0", **FIRST}
    environment |= process.settings
    module = "benchmarks.reliability.same_bits"
    done = subprocess.run(
        [python, "-m", module, folder, part, *(wanted or process.wanted)],
        env={name: value for name, value in environment.items() if value},
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{process.name}: {done.stderr}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def differing(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """What has another digest than was expected, or none."""
    return [name for name, made in found.items() if expected.get(name, made) != made]


def main(given: Sequence[str] | None = None) -> None:
    """Print the table; the exit code is 1 when something differs that has to be equal."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.determinism",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", nargs="+", default=[], help="other interpreters")
    names = [process.name for process in PROCESSES]
    parser.add_argument("--only", choices=names, nargs="*", default=names, help="processes")
    options = parser.parse_args(given)
    wanted = ("trainings", "drawings") if options.only else ("drawings",)
    first, wrong = digests(Process("first", wanted=wanted)), False
    print(f"the first process: {len(first)} digests", flush=True)
    for process in (process for process in PROCESSES if process.name in options.only):
        wrong |= _tell(process, digests(process), first)
    for python in options.python:
        name = subprocess.run(
            [python, "-c", _VERSIONS], capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()
        # Other versions of NumPy round other last digits, which JSON files hold.
        process = Process(name, wanted=("drawings",), equal=False)
        _tell(process, digests(process, python), first)
    sys.exit(wrong)


_VERSIONS = "import sys, numpy; print('Python', sys.version.split()[0], 'NumPy', numpy.__version__)"


def _tell(process: Process, found: Mapping[str, str], first: Mapping[str, str]) -> bool:
    other = differing(found, first)
    told = f"{process.name}: {len(found) - len(other)} of {len(found)} equal"
    print(told + (f"; not: {'; '.join(other)}" if other else ""), flush=True)
    return process.equal and bool(other)


if __name__ == "__main__":
    main()
