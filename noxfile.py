"""Checks in environments of their own: `nox` runs the quick ones, `nox --list` names all.

The tests run on every supported Python whose interpreter is found, each with the lowest NumPy that
has a wheel for it and with the newest; `.ci/run` runs everything once, on one of them.
"""

from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "docs"]
nox.options.error_on_missing_interpreters = False

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


LOWEST = {"3.11": "2.0.0", "3.12": "2.0.0", "3.13": "2.1.0", "3.14": "2.3.2"}
"""For each Python, the first NumPy 2 with wheels for it."""

EXTRAS = ([], ["draw"], ["plot"], ["fast"], ["testing"], ["all"])


@nox.session(python=list(LOWEST))
@nox.parametrize("numpy", ["newest", "lowest"])
def tests(session: nox.Session, numpy: str) -> None:
    """The tests; arguments after `--` go to pytest."""
    pinned = [f"numpy=={LOWEST[str(session.python)]}"] if numpy == "lowest" else []
    session.install("-e", ".[dev]", *pinned)
    session.run("python", "-m", "pytest", *session.posargs, env=THREADS)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of the packages that must not fail, 98 % of each; a few minutes."""
    session.install("-e", ".[dev]", "coverage>=7.6")
    session.run("python", "-m", "tools.branch_coverage", *session.posargs, env=THREADS)


@nox.session
def compiled(session: nox.Session) -> None:
    """The tests with every call compiled, and random programs in native code; half an hour."""
    session.install("-e", ".[dev,fast]")
    run = ("python", "-m", "pytest", "-n", "2", "--dist", "worksteal")
    suite = ("--hypothesis-profile=quick", "-p", "tests.compiled_suite", "--compiled", "plain")
    session.run(*run, *suite, "tests", *session.posargs, env=THREADS)
    folder = "tests/minigrad/compiled"
    session.run(
        *run, "--hypothesis-profile=thorough", f"{folder}/test_native_operations.py",
        f"{folder}/test_random_programs.py::test_random_programs", env=THREADS,
    )  # fmt: skip


@nox.session
def packages(session: nox.Session) -> None:
    """The wheel and the sdist, each installed alone: the core, and every extra."""
    session.install("build")
    folder = Path(session.create_tmp())
    session.run("python", "-m", "build", "--outdir", str(folder))
    for extras in EXTRAS:
        session.run("python", "tools/installed.py", str(next(folder.glob("*.whl"))), *extras)
    session.run("python", "tools/installed.py", str(next(folder.glob("*.tar.gz"))))


@nox.session
def supply(session: nox.Session) -> None:
    """Licences of all that `minigrad[all]` installs, and a bill of materials in `sbom.json`."""
    session.install("pip-licenses", "cyclonedx-bom")
    installed = Path(session.create_tmp(), "installed")
    session.run("python", "-m", "venv", str(installed))
    python = next(path for path in installed.glob("*/python*") if path.is_file())
    session.run(str(python), "-m", "pip", "install", "--quiet", ".[all]", external=True)
    session.run("pip-licenses", f"--python={python}", "--format=markdown", "--with-urls")
    session.run(
        "cyclonedx-py", "environment", "--pyproject=pyproject.toml", "--mc-type=library",
        "--output-reproducible", "--output-file=sbom.json", str(python),
    )  # fmt: skip


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting, lint, types, spelling, prose, and the order of the folders."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("codespell")
    session.run("python", "-m", "tools.prose")
    session.run("python", "-m", "tools.house")


@nox.session
def docs(session: nox.Session) -> None:
    """The pages, with every warning an error; `nox -s docs -- --serve` shows them."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "tools.site", *session.posargs, env=THREADS)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Speed beside other libraries, and what a picture costs; `-- --sizes s` and others choose."""
    session.install("-e", ".[all,bench]")
    session.run("python", "-m", "benchmarks.speed", *session.posargs)
    session.run("python", "benchmarks/drawing.py", env=THREADS)
