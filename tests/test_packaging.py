"""What an installed copy must hold, what importing it may cost, and how the tests are set up."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
DATA = files("layers.datasets").joinpath("data")


def sources():
    """Return {file name: sha256} from the table beside the data."""
    table = DATA.joinpath("SOURCES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.]+) \|.*\| ([0-9a-f]{64}) \|$", table, flags=re.MULTILINE)
    return dict(rows)


def test_every_data_file_is_the_one_its_source_describes():
    found = {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in DATA.iterdir()
        if not entry.name.endswith(".md")
    }
    assert found == sources()


def test_every_data_file_has_its_licence_beside_it():
    licences = DATA.joinpath("LICENSES.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\S+)$", licences, flags=re.MULTILINE)) == set(sources())


@pytest.mark.parametrize("package", ["minigrad", "layers"])
def test_both_packages_say_that_they_are_typed(package):
    assert files(package).joinpath("py.typed").is_file()


def loaded_by(module):
    """The modules that are there after importing one in a fresh process."""
    listing = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


USED_LATER = {"graphviz", "safetensors", "threadpoolctl", "tqdm"}
OPTIONAL = {"hypothesis", "llvmlite", "matplotlib", "pygraphviz"}


@pytest.mark.parametrize("module", ["minigrad", "layers", "layers.datasets", "layers.models.ngram"])
def test_importing_loads_nothing_that_is_not_needed(module):
    loaded = loaded_by(module)
    assert {"numpy", "minigrad", module} <= loaded
    unwanted = USED_LATER | OPTIONAL | {"scipy", "minigrad.draw", "minigrad.testing"}
    assert loaded & unwanted == set()
    assert "layers" not in loaded or module.startswith("layers")


def test_what_is_needed_later_is_seen_when_it_is_loaded():
    assert "minigrad.testing" in loaded_by("minigrad.testing")
    assert loaded_by(", ".join(sorted(USED_LATER | OPTIONAL))) >= USED_LATER | OPTIONAL


def test_extras_add_up():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert extras["all"] == ["minigrad[draw,plot,fast,testing]"]
    assert "minigrad[all]" in extras["dev"]
    core = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    assert core == {"numpy", *USED_LATER}
    optional = {re.match(r"[\w-]+", r)[0] for name in ("draw", "plot", "fast", "testing")
                for r in extras[name]}  # fmt: skip
    assert optional == OPTIONAL


def test_the_tests_run_with_one_blas_thread_no_display_and_no_time_limits():
    assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["MPLBACKEND"] == "Agg"
    assert "DISPLAY" not in os.environ
    assert settings.default.deadline is None
    assert settings.default.print_blob


def test_the_tests_cannot_use_a_network():
    with pytest.raises(RuntimeError, match="network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match=r"network: looks up 'example.org'"):
        socket.getaddrinfo("example.org", 80)
