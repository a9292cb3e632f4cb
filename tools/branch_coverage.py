"""Branch coverage of the packages in which an untested error path costs most.

    python -m pip install coverage
    python -m tools.branch_coverage

runs the tests that concern them, in one process and with few examples, and prints for each package
the lines and branches that none of them takes. It fails where a package is below 98 %. The packages
are `source` in `tool.coverage.run` of pyproject.toml; docs/reliability.md says what is left.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

__all__ = ["LEAST", "TESTS", "main"]

ROOT: Final = Path(__file__).parents[1]

LEAST: Final = 98
"""Of a package's lines and branches, the percentage that tests must take."""

TESTS: Final = (
    "minigrad/core",
    "minigrad/io",
    "layers/training",
    "tests/minigrad/test_*.py",
    "tests/minigrad/ops/test_equal_values.py",
    "tests/minigrad/ops/test_joining.py",
    "tests/layers/test_averages.py",
    "tests/layers/test_compiled_training.py",
    "tests/layers/test_filming.py",
    "tests/layers/test_held_runs.py",
    "tests/layers/test_hostile_checkpoints.py",
    "tests/layers/test_kept_weights.py",
    "tests/layers/test_loaded_numbers.py",
    "tests/layers/test_loading_interrupted.py",
    "tests/layers/test_plots.py",
    "tests/layers/test_progress.py",
    "tests/layers/test_run_state.py",
    "tests/layers/test_signals.py",
    "tests/layers/test_training.py",
    "tests/layers/test_training_options.py",
    "tests/layers/test_training_parts.py",
)
"""The tests that concern them, as patterns: others take the same branches again, and minutes."""

NOT_TRACED: Final = (
    "tests/minigrad/test_modes.py::test_eight_threads_give_the_results_of_one",
    "tests/minigrad/test_modes.py::test_threads_add_into_one_leaf_without_losing_any",
)
"""Tests that switch threads every few microseconds, in which Python 3.11 may fail to trace one."""


def main() -> int:
    """Measure, print, and return 0 where the tests passed and all packages reach `LEAST`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tests = [
        str(path)
        for pattern in TESTS
        for path in sorted(ROOT.glob(pattern)) or [ROOT / pattern]  # pytest refuses what is missing
    ]
    options = ["-q", "-n", "0", "--hypothesis-profile=quick"]
    options += [f"--deselect={test}" for test in NOT_TRACED]
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data-file={folder}/coverage"
        codes = [coverage("run", data, "-m", "pytest", *options, *tests)]
        for package in settings["tool"]["coverage"]["run"]["source"]:
            print(f"\n{package}", flush=True)
            codes.append(
                coverage("report", data, f"--include={package}/*", f"--fail-under={LEAST}")
            )
    return max(map(abs, codes))


def coverage(*arguments: str) -> int:
    """Run a command of coverage.py, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
