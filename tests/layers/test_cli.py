"""The commands, as a user types them."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers.cli import main
from layers.datasets import CharacterTokenizer
from layers.models.character import CharacterConfig, CharacterModel
from tests.processes import COMMAND_LINE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def without_programs(monkeypatch):
    """For tests of what surrounds a training: its program takes longer to make than it saves."""
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")


def command(*arguments):
    return [sys.executable, "-m", "layers.cli", *map(str, arguments)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A very short demonstration, run once as a process of its own."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        command("demo", "--steps", 3, "--out", folder / "out", "--seed", 1),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done, folder / "out"


def test_demo_prints_what_it_measured(demo):
    done, out = demo
    assert "3 steps" in done.stdout
    assert "bigram table, validation          2.486" in done.stdout
    assert "trigram table, validation         2.044" in done.stdout
    assert "LSTM, validation" in done.stdout
    text = done.stdout.split("-" * 60)[1]
    assert len(text.strip("\n")) >= 250
    assert "step 3/3, loss" in done.stderr
    assert done.stdout.endswith(f"Look first at {out / 'gradient-path.svg'}, in a browser.\n")


def test_demo_writes_model_and_pictures(demo):
    done, out = demo
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {
        "loss.png", "lstm-step.svg", "gradient-path.svg",
        "model/config.json", "model/model.safetensors",
    }  # fmt: skip
    assert all(name in done.stdout for name in ("loss.png", "lstm-step.svg", "gradient-path.svg"))
    path = ET.parse(out / "gradient-path.svg").getroot()
    text = "".join(path.itertext())
    assert all(f"c{t}" in text and f"h{t}" in text and f"t = {t}" in text for t in range(12))
    assert "norm of the gradient flowing back" in text
    step = "".join(ET.parse(out / "lstm-step.svg").getroot().itertext())
    assert all(word in step for word in ("forget gate", "input gate", "output gate", "candidate"))


def test_sample_goes_on_with_a_model(demo, capsys):
    _, out = demo
    assert main(["sample", str(out / "model"), "ROMEO:", "--length", "40", "--seed", "1"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("ROMEO:")
    assert len(first) == len("ROMEO:") + 40 + 1
    main(["sample", str(out / "model"), "ROMEO:", "--length", "40", "--seed", "1"])
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("level", ["cells", "ops"])
def test_draw_writes_a_picture(demo, tmp_path, capsys, level):
    _, out = demo
    target = tmp_path / "picture.svg"
    arguments = [
        "draw",
        out / "model",
        "--level",
        level,
        "--steps",
        4,
        "--text",
        "to be",
        "-o",
        target,
    ]
    assert main([str(a) for a in arguments]) == 0
    assert "svg" in ET.parse(target).getroot().tag
    assert str(target) in capsys.readouterr().out


@pytest.mark.usefixtures("without_programs")
def test_train_learns_a_text_of_ones_own(tmp_path, capsys):
    file = tmp_path / "mine.txt"
    file.write_text("abc " * 200, encoding="utf-8")
    arguments = [
        "train",
        file,
        "--steps",
        5,
        "--hidden-size",
        8,
        "--layers",
        2,
        "--out",
        tmp_path / "m",
    ]
    assert main([str(a) for a in arguments]) == 0
    assert "5 steps" in capsys.readouterr().out
    assert CharacterModel.load(tmp_path / "m").config.num_layers == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "no-such-model"], "no-such-model"),
        (["train", "no-such-file.txt"], "no-such-file.txt"),
        (["draw", "no-such-model", "-o", "x.svg"], "no-such-model"),
    ],
)
def test_errors_are_one_line_and_exit_with_1(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("minigrad: ")
    assert message in error
    assert "Traceback" not in error


def test_an_unknown_character_and_suffix_are_named(demo, tmp_path, capsys):
    _, out = demo
    assert main(["sample", str(out / "model"), "ROMEO é"]) == 1
    assert "'é'" in capsys.readouterr().err
    assert main(["draw", str(out / "model"), "-o", str(tmp_path / "x.bmp")]) == 1
    assert ".svg" in capsys.readouterr().err


def test_a_model_whose_weights_are_not_finite_writes_nothing(tmp_path, capsys):
    model = CharacterModel(CharacterConfig(3, hidden_size=4), CharacterTokenizer("abc"))
    with mg.no_grad():
        model.recurrent.weight_hh_l0[0] = np.inf  # a saturated gate: the logits are finite
    model.save(tmp_path / "m")
    assert main(["sample", str(tmp_path / "m"), "ab", "--length", "5"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "not finite: recurrent.weight_hh_l0" in err


@pytest.mark.parametrize("name", ["demo", "train", "sample", "systems", "run", "draw", "flow"])
def test_help_gives_an_example(name, capsys):
    with pytest.raises(SystemExit) as info:
        main([name, "--help"])
    assert info.value.code == 0
    text = capsys.readouterr().out
    assert f":\n  minigrad {name}" in text.partition("example")[2]
    assert "None" not in text


def test_wrong_numbers_are_refused(capsys):
    with pytest.raises(SystemExit) as info:
        main(["demo", "--steps", "-3"])
    assert info.value.code == 2
    assert "must be above 0" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        command("flow", "lstm", "--steps", 5, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) == 1
    process.stderr.close()


@pytest.mark.usefixtures("without_programs")
def test_ctrl_c_ends_training_keeps_the_model_and_still_draws(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND_LINE,
            *command("demo", "--seconds", 300)[3:],
            "--out",
            tmp_path / "out",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = b""
    end = time.monotonic() + 120
    while b"step 2" not in seen and time.monotonic() < end:
        seen += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert b"Interrupted" in out
    assert (tmp_path / "out" / "gradient-path.svg").is_file()
    CharacterModel.load(tmp_path / "out" / "model")


@pytest.mark.usefixtures("without_programs")
def test_without_graphviz_the_demo_writes_dot_and_names_the_fix(tmp_path):
    # A process in which neither pygraphviz nor a dot program can be found.
    script = (
        "import sys; sys.modules['pygraphviz'] = None\n"
        "from layers.examples.demo import DemoOptions, run_demo; from pathlib import Path\n"
        f"run_demo(DemoOptions(steps=2, seconds=None, out=Path({str(tmp_path)!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": ""},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gradient-path.dot").read_text().startswith("digraph")
    assert "pip install pygraphviz" in done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith(f"Look first at {tmp_path / 'gradient-path.dot'}")
    assert "gradient-path.svg" not in done.stdout


@pytest.mark.parametrize("name", ["demo", "train"])
def test_a_folder_that_cannot_be_written_is_said_before_training(name, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert main([name, "--steps", "1", "--out", str(blocked)]) == 1
    output = capsys.readouterr()
    assert "cannot be written" in output.err
    assert "training" not in output.err
    assert blocked.read_text() == "not a folder"


def test_the_prompt_is_not_printed_before_an_error(demo, capsys):
    _, out = demo
    assert main(["sample", str(out / "model"), "ROMEO é"]) == 1
    assert capsys.readouterr().out == ""


def test_draw_says_what_it_drew(demo, tmp_path, capsys):
    _, out = demo
    target = str(tmp_path / "a.svg")
    assert main(["draw", str(out / "model"), "--steps", "9", "--text", "to be", "-o", target]) == 0
    assert "4 steps (the text has 5 characters" in capsys.readouterr().out
    assert main(["draw", str(out / "model"), "-o", str(tmp_path / "no" / "a.svg")]) == 1
    assert "there is no folder" in capsys.readouterr().err
