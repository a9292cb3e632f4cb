"""`python -m benchmarks.speed`: small runs with minigrad alone, and reports of fixed numbers."""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import contestants, footprint, rounds
from benchmarks.speed.cases import CASES, inputs_of
from benchmarks.speed.checks import difference
from benchmarks.speed.plot import plot
from benchmarks.speed.report import SUMMARY, markdown, milliseconds, summary
from benchmarks.speed.rounds import Worker, environment, measure_case
from benchmarks.speed.worker import timed
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend


def row(contestant, median, **more):
    return {
        "case": "gru", "size": "m", "contestant": contestant, "median": median, "min": median / 2,
        "first": 0.5, "second": 0.25, "peak": 12.4, "notes": [], "load": 1.25, **more,
    }  # fmt: skip


RECORD = {
    "command": "python -m benchmarks.speed", "date": "2001-02-03 04:05 UTC", "threads": 2,
    "rounds": 5, "product rate": 50e9, "left out": {"mygrad": "mygrad is not installed"},
    "machine": {"processor": "One", "processors": 2, "system": "Linux", "python": "3.12.0"},
    "contestants": ["minigrad", "compiled", "torch", "jax.jit", "autograd"],
    "footprint": [{"library": "minigrad", "median": 0.125, "megabytes": 79.6}],
    "rows": [
        row("minigrad", 0.03, second=None), row("compiled", 0.005, notes=["runs as before"]),
        row("torch", 0.02), {**row("jax.jit", 1), "failed": "no room"},
        {"case": "gru", "size": "m", "contestant": "autograd", "absent": "no layers", "load": 2.0},
        row("minigrad", 0.4, case="generate"), row("torch", 0.1, case="generate", base=100.3),
    ],
}  # fmt: skip
del RECORD["rows"][3]["median"]


def test_tables_of_fixed_numbers():
    page = markdown(RECORD)
    for line in (
        "| ms, median (minimum) | minigrad | compiled | torch | jax.jit | autograd |",
        "| GRU layer, m | 30.0 (15.0) | 5.00 (2.50) (1) | 20.0 (10.0) | failed (2) | - |",
        "| generation with cache, m | 400 (200) |  | 100 (50.0) |  |  |",
        "| GRU layer, m | torch | 0.67 | 4.00 |",
        "| generation with cache, m | torch | 0.25 | - |",
        "| geometric mean (of how many rows) |  | 0.41 (2 of 2) | 4.00 (1 of 2) |",
        "| generation with cache, m: torch | 500 | 250 | 12 | 113 |  | 2,000 tokens |",
        "| minigrad | 125 | 80 |",
        "1. gru-m, compiled: runs as before.",
        "2. gru-m, jax.jit: no room.",
        "- mygrad: mygrad is not installed.",
    ):
        assert line in page.splitlines(), line
    # 6 * 50 steps * 32 sequences * 384 gates * 256 inputs and units in 15 ms, of 50 GFLOP/s
    share = 6 * 50 * 32 * 384 * 256 / 0.015 / 50e9
    assert f"| GRU layer, m: minigrad | 500 |  | 12 |  | {share:.0%} |  |" in page
    assert (
        "on 2001-02-03 04:05 UTC: 5 alternated rounds, 2 threads; the load was 1.2 to 2.0" in page
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.2, "1,200"), (0.1, "100"), (0.02, "20.0"), (0.001, "1.00"), (1.23456e-5, "0.0123")],
)
def test_times_have_three_digits(seconds, text):
    assert milliseconds(seconds) == text


def test_the_picture_is_written(tmp_path):
    plot(RECORD, tmp_path / "speed.svg")
    assert "<svg" in (tmp_path / "speed.svg").read_text("utf-8")


def test_a_run_writes_records_tables_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "product_rate", lambda threads, environment: 1e9)
    chosen = ["--cases", "adam", "--contestants", "minigrad", "core", "--sizes", "s", "m"]
    amount = ["--rounds", "2", "--seconds", "0.005", "--no-footprint"]
    page = tmp_path / "page.md"
    command.main([*chosen, *amount, "--to", str(tmp_path / "a"), "--page", str(page)])
    record = json.loads((tmp_path / "a.json").read_text("utf-8"))
    ours, absent = record["rows"][:2]
    assert ours["difference"] == 0
    assert 0 < ours["min"] <= ours["median"]
    assert len(ours["rounds"]) == 2
    assert "not measured" in absent["absent"]
    assert (tmp_path / "a.md").read_text("utf-8") == page.read_text("utf-8") == markdown(record)
    assert "--cases adam --contestants minigrad core" in page.read_text("utf-8")
    assert (tmp_path / "a.svg").is_file()
    assert [r["size"] for r in record["rows"]] == ["s", "s", "m", "m"]
    assert "adam-s  core" in capsys.readouterr().out


def test_what_computes_something_else_has_no_time(monkeypatch):
    monkeypatch.setattr(rounds, "difference", lambda found, expected: 0.5)
    (found,) = measure_case("softmax", "s", ["minigrad"], 1, 1, 0.0)
    assert found["failed"] == "computes something else: 5.0e-01 away"
    assert "median" not in found


def test_a_worker_that_fails_says_why(tmp_path):
    worker = Worker("minigrad", "nothing", "s", 1, tmp_path)
    assert worker.started == {"failed": "KeyError: 'nothing'"}
    assert "failed" in worker.ask(measure=0.0)
    worker.close()


def test_a_worker_that_is_late_or_ends_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "LIMIT", 0.01)
    worker = Worker("minigrad", "softmax", "s", 1, tmp_path)
    assert worker.started == {"failed": "took more than 0 seconds"}
    worker.close()


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_the_same_each_time(name):
    case = CASES[name]
    size = next(iter(case.sizes))
    one, two = inputs_of(case, size), inputs_of(case, size)
    assert {array.dtype for array in one.leaves.values()} == {np.dtype(np.float32)}
    for a, b in zip(one, two, strict=True):
        assert difference(a, b) == 0
    assert case.products(case.sizes[size]) >= 0


@pytest.mark.parametrize(
    ("found", "expected", "far"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}, 0.2),
        ({"a": [1.0]}, {"b": [1.0]}, np.inf),
        ({"a": [1.0]}, {"a": [1.0, 1.0]}, np.inf),
        ({"a": [np.nan]}, {"a": [np.nan]}, np.inf),
        ({"a": [1e-9]}, {"a": [2e-9]}, 0.5),
        ({"a": []}, {"a": []}, 0.0),
        ({"a": [1.0], "b": [3.0]}, {"a": [1.0], "b": [4.0]}, 0.25),
    ],
)
def test_differences_are_relative_to_each_array(found, expected, far):
    assert difference(found, expected) == pytest.approx(far)


def test_at_least_three_steps_are_timed():
    calls = []
    found = timed(lambda: calls.append(0), 0.0)
    assert found["steps"] == len(calls) == 3


def test_a_package_that_is_not_there_is_a_word(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    torch = contestants.CONTESTANTS["torch"]
    assert contestants.missing(torch) == "torch is not installed"
    assert contestants.missing(contestants.CONTESTANTS["minigrad"]) == ""


def test_a_hidden_package_leaves_the_back_end_of_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert default_backend.__wrapped__() is plain


def test_sizes_count_what_is_required():
    assert {"minigrad", "numpy", "tqdm"} <= footprint.needed("minigrad")
    assert "llvmlite" in footprint.needed("minigrad", ["fast"])
    assert footprint.installed_megabytes("numpy") > 5
    with pytest.raises(PackageNotFoundError):
        footprint.installed_megabytes("no-such-package")


def test_the_table_of_the_readme_is_that_of_the_record():
    root = Path(__file__).resolve().parents[2]
    record = json.loads((root / "docs/performance.json").read_text(encoding="utf-8"))
    assert summary(record) in (root / "README.md").read_text(encoding="utf-8")
    assert len(summary(record).splitlines()) == 2 + len(SUMMARY)
    page = (root / "docs/performance.md").read_text(encoding="utf-8")
    assert markdown(record) == page


def test_a_summary_is_printed_without_measuring(capsys, tmp_path):
    rows = [{**row("compiled", 0.001), "case": case, "size": size} for case, size, _ in SUMMARY]
    (tmp_path / "record.json").write_text(json.dumps({**RECORD, "rows": rows}))
    command.main(["--summary", str(tmp_path / "record.json")])
    assert capsys.readouterr().out.count("| 1.00 | - | - | - | - | - |") == len(SUMMARY)


def test_workers_choose_the_instructions_for_the_processor_by_themselves(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    found = environment(2, tmp_path)
    assert "OPENBLAS_CORETYPE" not in found
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert found["OPENBLAS_NUM_THREADS"] == found["MINIGRAD_THREADS"] == "2"
    assert found["PATH"] == os.environ["PATH"]
