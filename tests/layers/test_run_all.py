"""`minigrad run --all` and the processes that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layers.cli import main
from layers.cli import systems as cli_systems
from layers.systems import Result, find_system, run_all
from layers.systems.results import BROKEN, Figure, noted
from layers.systems.run_all import CHILD, Children, run_systems

ROOT = Path(__file__).parents[2]
SHADOWS = ("layers", "minigrad", "numpy", "random", "json", "tempfile", "argparse", "typing")


@pytest.fixture
def shadowed(tmp_path, monkeypatch):
    """A working folder with files that are named like packages."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the working folder')")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def choose(monkeypatch, *names):
    monkeypatch.setattr(cli_systems, "SYSTEMS", tuple(find_system(name) for name in names))


@pytest.mark.parametrize("path", [None, "", str(ROOT), f":{ROOT}", f".:{ROOT}", f"{ROOT}:"])
def test_children_do_not_search_the_working_folder(shadowed, path):
    environment = {**os.environ, "PYTHONPATH": path or ""}
    if path is None:
        del environment["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, "-P", CHILD, "systems"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Vanilla RNN" in done.stdout


def test_children_use_the_package_that_started_them(shadowed, tmp_path):
    other = tmp_path / "other"
    (other / "layers").mkdir(parents=True)
    (other / "layers" / "__init__.py").write_text("raise SystemExit('another version')")
    done = subprocess.run(
        [sys.executable, "-P", CHILD, "systems"], capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        cwd=other,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_results_are_written_beside_what_was_made(shadowed, monkeypatch, capsys):
    choose(monkeypatch, "self-attention")
    assert main(["run", "--all", "--no-pictures"]) == 0
    output = capsys.readouterr()
    assert "1 of 1 systems passed; written to minigrad-runs/results.md" in output.out
    assert "Running 1 systems" in output.err
    assert "running: self-attention (" in output.err
    assert "## 9. Self-attention" in Path("minigrad-runs/results.md").read_text(encoding="utf-8")
    assert Path("docs/results.md").read_text() == "mine"
    assert sorted(path.name for path in shadowed.iterdir()) == sorted(
        [*(f"{name}.py" for name in SHADOWS), "docs", "minigrad-runs"]
    )


def test_where_results_go_can_be_chosen(tmp_path, monkeypatch, capsys):
    choose(monkeypatch, "self-attention")
    out, page = tmp_path / "runs", tmp_path / "new" / "page.md"
    arguments = ["run", "--all", "--no-pictures", "--out", str(out)]
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert (out / "results.md").is_file()
    assert main([*arguments, "--results", str(page)]) == 0
    assert f"written to {page}" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == (out / "results.md").read_text(encoding="utf-8")
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main([*arguments, "--results", str(blocked / "page.md")]) == 1
    assert f"--results {blocked}: this folder cannot be written" in capsys.readouterr().err


def test_without_a_measurement_no_results_are_written(tmp_path, monkeypatch, capsys):
    choose(monkeypatch, "self-attention", "positions")
    (tmp_path / "results.md").write_text("of before")
    monkeypatch.setattr(
        cli_systems, "run_systems", lambda systems, *args, **options: [broken(s) for s in systems]
    )
    assert main(["run", "--all", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "no system ran to its end, so" in captured.err
    assert "results.md was not written; the first said: no disk" in captured.err
    assert (tmp_path / "results.md").read_text() == "of before"


def broken(system):
    figure = Figure(BROKEN, 0.0, "1", "", False, "no disk")
    return Result(system.number, system.name, system.title, (figure,), 0.0, 0)


def test_a_result_knows_whether_it_was_measured():
    system = find_system("rnn")
    assert not broken(system).measured
    assert Result(4, "rnn", "RNN", (noted("nats", 1.0),), 1.0, 0).measured


# Windows ends a process with an exit code alone: there is no signal to name.
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_process_that_is_killed_names_the_signal(tmp_path):
    children = Children()
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert children.run(command).strip() == "ended by SIGKILL"
    assert (
        children.run([sys.executable, "-c", "import sys; sys.exit('why \u2603')"]) == "why \u2603\n"
    )
    children.end()
    assert children.run(command) == "ended before it began"


@pytest.mark.parametrize(("at_once", "setting", "threads"), [
    (1, None, "6"), (2, None, "3"), (4, None, "1"), (9, None, "1"), (2, "5", "5"),
])  # fmt: skip
def test_processes_share_the_processors(monkeypatch, at_once, setting, threads):
    monkeypatch.setattr(run_all, "processors", lambda: 6)
    monkeypatch.delenv("MINIGRAD_THREADS", raising=False)
    if setting:
        monkeypatch.setenv("MINIGRAD_THREADS", setting)
    show = "import os, sys; sys.exit(os.environ['MINIGRAD_THREADS'])"
    assert Children(at_once).run([sys.executable, "-c", show]).strip() == threads


def test_watch_is_told_what_runs(tmp_path):
    seen, told = [], []
    systems = [find_system("self-attention"), find_system("sequences")]
    found = run_systems(
        systems, tmp_path, jobs=1, pictures=False, scale=0.02, tell=told.append, watch=seen.append
    )
    assert [result.name for result in found] == ["self-attention", "sequences"]
    assert {result.name for result in told} == {"self-attention", "sequences"}
    assert all(len(running) <= 1 for running in seen)
    assert {name for running in seen for name in running} == {"self-attention", "sequences"}
