"""Checks in environments of their own: `nox` runs the quick ones, `nox --list` names all.

The tests run on every supported Python whose interpreter is found; `.ci/run` runs everything once,
on one of them.
"""

import nox

nox.options.sessions = ["tests", "lint", "docs"]
nox.options.error_on_missing_interpreters = False

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The tests; arguments after `--` go to pytest."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs, env=THREADS)


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
