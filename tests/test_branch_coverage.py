"""The measurement of branch coverage: what it runs, and that nothing that fails passes."""

from pathlib import Path

import pytest

from tools import branch_coverage

PACKAGES = ["minigrad/core", "minigrad/io", "layers/training"]


@pytest.mark.parametrize("failing", [None, "pytest", *PACKAGES])
def test_each_package_is_held_to_the_bar_by_itself(monkeypatch, capsys, failing):
    calls = []

    def coverage(*arguments):
        calls.append(arguments)
        failed = f"--include={failing}/*" in arguments or failing in arguments
        return 2 if failed else 0

    monkeypatch.setattr(branch_coverage, "coverage", coverage)
    assert branch_coverage.main() == (0 if failing is None else 2)
    run, *reports = calls
    assert run[0] == "run"
    tests = [Path(argument) for argument in run if argument.startswith(str(branch_coverage.ROOT))]
    assert len(tests) > 40
    assert all(path.exists() for path in tests)
    for test in branch_coverage.NOT_TRACED:
        file, _, name = test.partition("::")
        assert f"--deselect={test}" in run
        assert f"def {name}(" in (branch_coverage.ROOT / file).read_text("utf-8")
    for package, report in zip(PACKAGES, reports, strict=True):
        assert report == ("report", run[1], f"--include={package}/*", "--fail-under=98")
    assert capsys.readouterr().out.split() == PACKAGES
