"""The systems: that each runs and what it reports; that those which are quick reach their bars.

So do two that are trained, when pytest runs with --hypothesis-profile=thorough.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from layers.cli import main
from layers.datasets import shakespeare, sunspots
from layers.models import GPTConfig, load
from layers.systems import SYSTEMS, Setting, dependencies, find_system, recurrent, run_system
from layers.systems.attention import attention_by_loop, held_bytes
from layers.systems.report import as_page, as_text
from layers.systems.results import (
    ComparisonRow,
    Result,
    at_least,
    at_most,
    noted,
    within,
)
from layers.systems.series import Sunspots
from tests.processes import COMMAND_LINE

TRAINED = {"rnn", "dependencies", "lstm", "gru", "masked-decoder", "translation", "gpt", "dalle"}
TRAINED_SOON = ["rnn", "latent", "positions", "multi-head", "markov"]
"""Ready in 10 to 20 seconds each, and held to their bars by the profile "thorough"."""
AT_ONCE = [system.name for system in SYSTEMS if system.name not in TRAINED.union(TRAINED_SOON)]


class TinyConfig(GPTConfig):
    """The configuration of a GPT that writes a page in no time, whatever preset is asked for."""

    @classmethod
    def preset(cls, _name, **options):
        return GPTConfig.preset("tiny", **options)


def pytest_generate_tests(metafunc):
    if "held_to_its_bars" in metafunc.fixturenames:
        thorough = metafunc.config.getoption("--hypothesis-profile") == "thorough"
        metafunc.parametrize("held_to_its_bars", AT_ONCE + TRAINED_SOON * thorough)


def test_there_are_seventeen():
    assert [system.number for system in SYSTEMS] == list(range(1, 18))
    assert len({system.name for system in SYSTEMS}) == 17


def test_systems_reach_all_their_bars(held_to_its_bars, tmp_path):
    system = find_system(held_to_its_bars)
    result = run_system(system, Setting(tmp_path, pictures=False, progress=False))
    assert [figure for figure in result.figures if figure.passed is False] == []
    assert any(figure.passed for figure in result.figures)
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize("name", sorted(TRAINED | {"latent"}))
def test_systems_that_train_run_to_their_end_and_draw(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")  # programs would pay later than after these steps
    monkeypatch.setattr("layers.systems.texts.shakespeare", lambda: shakespeare()[:60_000])
    monkeypatch.setattr("layers.systems.texts.GPTConfig", TinyConfig)
    result = run_system(find_system(name), Setting(tmp_path, scale=0.001, progress=False))
    assert result.figures
    assert all(math.isfinite(figure.value) for figure in result.figures)
    written = {path.name for path in tmp_path.iterdir()}
    assert {file.rstrip("/") for file in result.written} <= written
    assert any(file.endswith((".png", ".svg")) for file in result.written)
    for file in result.written:
        if file.endswith("/"):
            load(tmp_path / file)
    for figure in result.figures:  # what needs no training holds all the same
        if "equation" in figure.name or "cache" in figure.name or "carried" in figure.name:
            assert figure.passed, figure
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_names_and_numbers_find_systems():
    assert find_system("GPT").number == 16
    assert find_system("9").name == "self-attention"
    with pytest.raises(ValueError, match="did you mean 'translation'"):
        find_system("tranlsation")


# -- what the measurements rest on -----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_hand_written_networks_have_the_gradients_of_finite_differences(seed):
    generator = np.random.default_rng(seed)
    layer, x = recurrent.small_layer(recurrent.RNN, seed)
    weights = recurrent.plain_weights(layer)
    upstream = generator.standard_normal((4, 9, 5))
    _, found = recurrent.rnn_by_hand(x, upstream, weights)
    for name in weights:
        direction = generator.standard_normal(weights[name].shape)
        values = [
            (recurrent.rnn_by_hand(
                x, upstream, {**weights, name: weights[name] + sign * 1e-6 * direction})[0]
             * upstream).sum()
            for sign in (1, -1)
        ]  # fmt: skip
        assert (found[name] * direction).sum() == pytest.approx(
            (values[0] - values[1]) / 2e-6, rel=1e-6
        )


def test_attention_in_a_loop_is_the_formula():
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    scores = np.exp(q @ k.T / 2)
    np.testing.assert_allclose(
        attention_by_loop(q, k, v), scores / scores.sum(axis=1, keepdims=True) @ v
    )


def test_plain_attention_holds_the_weights():
    held = held_bytes("plain", 512, np.random.default_rng(0))
    assert 4 * 512**2 < held.arrays < 4 * 512**2 * 1.1
    assert held.arrays < held.total


def test_what_is_held_does_not_depend_on_other_threads():
    stop, kept = threading.Event(), []

    def allocate():
        while not stop.wait(1e-4):
            kept.append(bytes(5000))

    thread = threading.Thread(target=allocate)
    thread.start()
    try:
        found = [held_bytes("blockwise", 512, np.random.default_rng(0)) for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    assert kept
    alone = held_bytes("blockwise", 512, np.random.default_rng(0))
    assert [one.arrays for one in found] == [alone.arrays] * 3


def test_the_gradient_at_lag_is_that_of_the_jacobian():
    found = dependencies.gradient_by_lag("relu", 1.0, np.random.default_rng(1), lag=3)
    assert found[0] == 0
    assert found.shape == (4,)


def test_orthogonal_weights_keep_a_gradient_where_the_network_is_nearly_linear():
    found = {
        (orthogonal, inputs): dependencies.gradient_by_lag(
            "tanh", 1.0, np.random.default_rng(0), orthogonal=orthogonal, inputs=inputs
        )
        for orthogonal in (False, True)
        for inputs in (1e-6, 1.0)
    }
    np.testing.assert_allclose(found[True, 1e-6], 0, atol=1e-6)
    assert np.ptp(found[False, 1e-6]) > 0.1
    assert found[True, 1.0][-1] < -5


def test_errors_of_persistence_by_hand():
    years, values = sunspots()
    errors = Sunspots().errors(values[:-1], 1)
    chosen = [(values[i] - values[i - 1]) ** 2 for i in range(1, 309) if 1921 <= years[i] <= 1955]
    assert errors["1921-55"] == pytest.approx(sum(chosen) / 35 / 1535)


# -- reports ---------------------------------------------------------------------------------------


def result(**changes):
    figures = (
        at_most("a loss", 1.5, 1.7, "1.6"),
        at_least("a share", 0.8, 0.9, reason="too few steps"),
        within("a slope", 2.01, 2.0, 0.05),
        noted("a count", 12.0),
    )
    rows = (ComparisonRow("text", "a | b", 10, 1.0, {"nats": 1.5, "bits": 2.2}),)
    fields = {"figures": figures, "comparisons": rows, "remarks": ("A remark.",), **changes}
    return Result(4, "rnn", "Vanilla RNN", seconds=2.0, seed=3, **fields)


def test_figures_know_whether_they_pass():
    assert [figure.passed for figure in result().figures] == [True, False, True, None]
    assert not result().passed
    assert result(figures=(noted("x", 1.0),)).passed
    assert at_most("x", float("nan"), 1.0).passed is False


def test_the_text_has_all_that_was_measured():
    text = as_text(result())
    for part in ("1.5", "at most 1.7", "1.6", "NO", "2 ± 0.05", "A remark.", "too few steps",
                 "NOT passed: 1 of its figures", "seed 3"):  # fmt: skip
        assert part in text
    short = as_text(result(figures=(at_most("x", 3.0, 2.0),), scale=0.1))
    assert "Missed: x: only 0.1 of the training steps were made." in short
    assert "rnn: passed" in as_text(result(figures=(at_most("x", 1.0, 2.0),)))


def test_the_page_has_a_row_for_each_figure():
    page = as_page([result()])
    assert "0 of 1 systems" in page
    assert "minigrad run --all" in page
    assert "| a loss | 1.5 | at most 1.7 | 1.6 | yes |" in page
    assert "Missed: a share: too few steps." in page
    assert "a \\| b" in page
    assert "One series" not in page
    assert "measured and written by one command" in page
    assert "written on 2026-02-03 by one command" in as_page([result()], date(2026, 2, 3))


# -- commands --------------------------------------------------------------------------------------


def test_the_list_names_all(capsys):
    assert main(["systems"]) == 0
    text = capsys.readouterr().out
    assert all(system.title in text for system in SYSTEMS)
    assert main(["systems", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 17


def test_run_prints_and_writes(tmp_path, capsys):
    assert main(["run", "self-attention", "--out", str(tmp_path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "self-attention: passed" in out
    assert "attention.png" in out
    assert (tmp_path / "attention.png").is_file()
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["passed"] is True
    assert main(["run", "9", "--out", str(tmp_path), "--quiet", "--json", "--no-pictures"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "self-attention"


def test_a_missed_bar_has_an_exit_code_of_its_own(tmp_path, capsys):
    arguments = ["run", "multi-head", "--scale", "0.01", "--out", str(tmp_path), "--quiet"]
    assert main([*arguments, "--no-pictures"]) == 3
    assert "multi-head: NOT passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "name a system, or pass --all"),
        (["run", "rnn", "--all"], "name a system, or pass --all"),
        (["run", "rnnn"], "did you mean 'rnn'"),
        (["run", "rnn", "--jobs", "2"], "--jobs is for --all"),
    ],
)
def test_wrong_commands_say_what_is_wrong(arguments, message, capsys):
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_a_system_that_fails_has_a_row_that_says_so(tmp_path, monkeypatch, capsys):
    from layers.cli import systems as cli_systems

    chosen = tuple(find_system(name) for name in ("self-attention", "multi-head", "positions"))
    monkeypatch.setattr(cli_systems, "SYSTEMS", chosen)
    (tmp_path / "positions").mkdir()
    (tmp_path / "positions" / "positions.png").mkdir()  # so that the picture cannot be written
    page = tmp_path / "docs" / "results.md"
    code = main(["run", "--all", "--out", str(tmp_path), "--results", str(page),
                 "--scale", "0.02"])  # fmt: skip
    assert code == 3
    text = page.read_text(encoding="utf-8")
    assert "1 of 3 systems" in text
    assert "runs to its end" in text
    assert "positions.png" in text
    assert "1 of 3 systems passed" in capsys.readouterr().out


def test_without_matplotlib_only_the_picture_is_missing(tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run_system(find_system("self-attention"), Setting(tmp_path, progress=False))
    assert result.passed
    assert result.written == {}
    assert "pip install matplotlib" in result.remarks[0]


def test_ctrl_c_ends_a_system_instead_of_measuring_half_of_it(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, "run", "dependencies", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    seen, end = b"", time.monotonic() + 120
    while b"step 2" not in seen and time.monotonic() < end:
        seen += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"minigrad: interrupted" in err
    assert out == b""
