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
    "tests/layers/test_kept_weights.py",
    "tests/layers/test_plots.py",
    "tests/layers/test_progress.py",
    "tests/layers/test_signals.py",
    "tests/layers/test_training.py",
    "tests/layers/test_training_options.py",
    "tests/layers/test_training_parts.py",
)
"""The tests that concern them, as patterns: others take the same branches again, and minutes."""


def main() -> int:
    """Measure, print, and return 0 where the tests passed and all packages reach `LEAST`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tests = [str(path) for pattern in TESTS for path in sorted(ROOT.glob(pattern))]
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data-file={folder}/coverage"
        codes = [
            coverage(
                "run", data, "-m", "pytest", "-q", "-n", "0", "--hypothesis-profile=quick", *tests
            )
        ]
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
