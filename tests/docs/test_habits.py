"""Settings of editors, hooks and hosted checks agree with each other and with the folders."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = (".ci/run", "noxfile.py", ".pre-commit-config.yaml", ".github/workflows/checks.yml")


def text(name):
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        *SETTINGS,
        ".editorconfig",
        ".github/ISSUE_TEMPLATE/bug.md",
        ".github/ISSUE_TEMPLATE/idea.md",
        ".github/pull_request_template.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "SECURITY.md",
    ],
)
def test_the_files_are_there(name):
    assert text(name).strip()


def test_all_run_the_same_checks():
    checks = ("ruff", "mypy", "codespell", "tools.prose", "tools.house")
    for name in (".ci/run", "noxfile.py", ".pre-commit-config.yaml", "CONTRIBUTING.md"):
        assert [check for check in checks if check not in text(name)] == [], name
    assert "run: .ci/run" in text(".github/workflows/checks.yml")


def test_the_pythons_are_those_of_the_package():
    (least,) = re.findall(r'^requires-python = ">=([\d.]+)"$', text("pyproject.toml"), re.MULTILINE)
    for name in ("noxfile.py", ".github/workflows/checks.yml"):
        versions = {tuple(map(int, v.split("."))) for v in re.findall(r'"(3\.\d+)"', text(name))}
        assert min(versions) == tuple(map(int, least.split("."))), name
        assert versions == {(3, 11), (3, 12), (3, 13), (3, 14)}, name


def test_every_script_that_settings_run_is_there():
    for name in SETTINGS:
        for module in re.findall(r"\btools\.(\w+)", text(name)):
            script = ROOT / "tools" / f"{module}.py"
            assert script.is_file() or (script.with_suffix("") / "__main__.py").is_file(), name
    benchmarks = re.findall(r"benchmarks[./](\w+)", text("noxfile.py"))
    assert {"speed", "drawing"} <= set(benchmarks)
    for name in benchmarks:
        script = ROOT / "benchmarks" / f"{name}.py"
        assert script.is_file() or (script.with_suffix("") / "__main__.py").is_file(), name


def test_one_line_length_for_editors_and_the_formatter():
    (length,) = re.findall(r"^line-length = (\d+)$", text("pyproject.toml"), re.MULTILINE)
    assert f"max_line_length = {length}\n" in text(".editorconfig")
