"""What a library costs before it computes anything: the time of its import, its installed size."""

import importlib.metadata
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

__all__ = ["footprints", "installed_megabytes"]

IMPORTS: Final = {
    "minigrad": "import minigrad",
    "minigrad and layers": "import minigrad, layers",
    "torch": "import torch",
    "jax": "import jax, jax.numpy",
    "autograd": "import autograd, autograd.numpy",
    "mygrad": "import mygrad",
}
"""What is imported, by its name in tables."""

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = "minigrad"
SOURCES: Final = ("minigrad", "layers")


def needed(package: str, extras: Iterable[str] = ()) -> set[str]:
    """The names of a distribution and of all that it requires."""
    found: set[str] = set()
    waiting = [(package, tuple(extras))]
    while waiting:
        name, wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        found.add(key)
        for line in requirements_of(name):
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *wanted)):
                waiting.append((requirement.name, tuple(requirement.extras)))
    return found


def requirements_of(name: str) -> list[str]:
    """As the metadata say; ours are in pyproject.toml, as we may not be installed."""
    if name == OURS:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        optional = project["optional-dependencies"]["fast"]
        return [*project["dependencies"], *(f"{line} ; extra == 'fast'" for line in optional)]
    return importlib.metadata.requires(name) or []


def own_megabytes(name: str) -> float:
    """The files of one distribution."""
    if name == OURS:
        paths = [path for folder in SOURCES for path in (ROOT / folder).rglob("*")]
        files = [path for path in paths if path.is_file() and path.suffix != ".pyc"]
    else:
        listed = importlib.metadata.files(name) or []
        files = [Path(str(path.locate())) for path in listed]
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def installed_megabytes(package: str, extras: Iterable[str] = ()) -> float:
    """A distribution with all that it requires, in MB."""
    return sum(own_megabytes(name) for name in needed(package, extras))


def import_seconds(statement: str, environment: Mapping[str, str]) -> float:
    """Of one new process, without what Python itself needs to start."""
    program = f"import time; s = time.perf_counter(); {statement}; print(time.perf_counter() - s)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def footprints(environment: Mapping[str, str], rounds: int) -> list[dict[str, Any]]:
    """A row for each library: imports take turns; what fails is a row with the reason."""
    rows: dict[str, dict[str, Any]] = {name: {"library": name} for name in IMPORTS}
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds + 1):
        for name, statement in IMPORTS.items():
            if "failed" in rows[name]:
                continue
            try:
                taken[name].append(import_seconds(statement, environment))
            except subprocess.CalledProcessError as error:
                rows[name]["failed"] = error.stderr.strip().splitlines()[-1][:200]
    for name, row in rows.items():
        if "failed" not in row:
            row["median"] = statistics.median(taken[name][1:])  # the first fills the disk's cache
            row["min"] = min(taken[name])
            row["megabytes"] = installed_megabytes(name.split()[0])
    with_extra = {"library": "minigrad[fast]"}
    try:
        return [*rows.values(), with_extra | {"megabytes": installed_megabytes(OURS, ["fast"])}]
    except importlib.metadata.PackageNotFoundError as error:
        return [*rows.values(), with_extra | {"failed": f"{error} is not installed"}]
