"""`minigrad train` and `minigrad sample`, as a user types them, for every kind of model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import layers.models
from layers.cli import main
from layers.models import DALLE, DALLEConfig, DiscreteVAE, DiscreteVAEConfig
from layers.systems.drawing_digits import caption_tokenizer
from tests.processes import COMMAND_LINE

pytestmark = pytest.mark.usefixtures("by_the_tape")

ROOT = Path(__file__).parents[2]
TEXT = "the cat sat on the mat. " * 40
CSV = "year,rain\n" + "".join(f"{1900 + i},{10 + 5 * np.sin(i):.4f}\n" for i in range(80))
PAIRS = "".join(f"{'ab'[i % 2]}{'cd'[i // 2 % 2]}{'ef'[i // 4 % 2]}\t{i % 8}\n" for i in range(40))

ARGUMENTS = {
    "lstm": ["--steps", 4, "--hidden-size", 8],
    "gru": ["--steps", 4, "--hidden-size", 8, "--layers", 2],
    "rnn": ["--steps", 4, "--hidden-size", 8],
    "gpt": ["--steps", 4, "--hidden-size", 12, "--layers", 1],
    "ngram": ["--order", 3],
    "ar": ["--order", 2, "--column", "rain"],
    "latent": ["--steps", 30],
    "translation": ["--steps", 4],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, content in (("t.txt", TEXT), ("r.csv", CSV), ("p.tsv", PAIRS)):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def file_for(data, kind):
    return data / {"ar": "r.csv", "latent": "r.csv", "translation": "p.tsv"}.get(kind, "t.txt")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A folder with a model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    for kind, options in ARGUMENTS.items():
        arguments = ["train", file_for(data, kind), "--model", kind, "--out", folder / kind]
        assert main([str(a) for a in [*arguments, *options]]) == 0
    tokenizer = caption_tokenizer()
    config = DALLEConfig.preset("tiny", caption_size=len(tokenizer), caption_length=16)
    DALLE(config, tokenizer).save(folder / "dalle")
    DiscreteVAE(DiscreteVAEConfig.preset("tiny")).save(folder / "vae")
    return folder


@pytest.fixture
def run(capsys):
    def go(*arguments, code=0):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == code
        return capsys.readouterr()

    return go


@pytest.fixture
def error(run):
    def go(*arguments):
        captured = run(*arguments, code=1)
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("minigrad: ")
        assert captured.out == ""
        return captured.err

    return go


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_a_trained_model_loads(trained, kind):
    config = layers.models.load(trained / kind).config
    expected = {
        "lstm": {"cell": "lstm", "hidden_size": 8, "num_layers": 1},
        "gru": {"cell": "gru", "hidden_size": 8, "num_layers": 2},
        "rnn": {"cell": "rnn", "hidden_size": 8, "num_layers": 1},
        "gpt": {"width": 12, "num_layers": 1, "num_heads": 4},
        "ngram": {"order": 3},
        "ar": {"order": 2},
        "latent": {"hidden_size": 8},
        "translation": {"source_size": 6, "target_size": 8},
    }[kind]
    assert {name: getattr(config, name) for name in expected} == expected


def test_the_result_as_json(data, tmp_path, run):
    found = json.loads(run("train", data / "t.txt", "--model", "ngram", "--out", tmp_path / "m",
                           "--json").out)  # fmt: skip
    assert found["model"] == "ngram"
    assert 0 < found["validation_nats_per_character"] < 2
    found = json.loads(run("train", data / "t.txt", "--steps", 3, "--hidden-size", 4, "--out",
                           tmp_path / "l", "--json").out)  # fmt: skip
    assert found["steps"] == found["best_step"] == 3


def test_the_kind_follows_from_the_file_unless_it_is_given(data, tmp_path, run):
    run("train", data / "r.csv", "--out", tmp_path / "m")
    assert layers.models.load(tmp_path / "m").KIND == "autoregressive"
    run("train", data / "p.tsv", "--steps", 1, "--out", tmp_path / "p")
    assert layers.models.load(tmp_path / "p").KIND == "encoder-decoder Transformer"


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "gpt", "ngram"])
@pytest.mark.parametrize(
    "options", [[], ["--top-k", 3], ["--top-p", 0.8], ["--beams", 2], ["--temperature", 0]]
)
def test_texts_are_written_with_and_without_cache(trained, run, kind, options):
    arguments = ["sample", trained / kind, "the c", "--length", 12, "--seed", 1, *options]
    out = run(*arguments).out
    assert out.startswith("the c")
    assert len(out) == 5 + 12 + 1
    assert run(*arguments, "--no-cache").out == out
    found = json.loads(run(*arguments, "--json").out)
    assert found["text"] == out[5:-1]


def test_without_prompt_a_text_begins_with_what_the_model_knows(trained, run):
    assert len(run("sample", trained / "ngram", "--length", 9).out) == 10
    assert "level" in run("draw", trained / "lstm", "-o", trained / "x.svg").out


def test_a_stop_ends_the_text(trained, run):
    arguments = ["sample", trained / "ngram", "the cat ", "--temperature", 0, "--length", 40]
    whole = run(*arguments).out
    start, rest = whole[:8], whole[8:]
    assert rest.count("n") > 1
    assert run(*arguments, "--stop", "n").out == start + rest[: rest.index("n")] + "\n"
    end = rest[5:8]
    assert run(*arguments, "--stop", end).out == start + rest[: rest.index(end)] + "\n"
    both = run(*arguments, "--stop", "no such", "--stop", end, "--stop", rest[2:6])
    assert both.out == start + rest[: min(rest.index(end), rest.index(rest[2:6]))] + "\n"


@pytest.mark.parametrize("kind", ["ar", "latent"])
def test_forecasts_are_printed_and_plotted(trained, data, tmp_path, run, kind):
    picture = tmp_path / "f.png"
    out = run("sample", trained / kind, "--length", 3, "-o", picture).out
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["1980", "1981", "1982"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = run("sample", trained / kind, "--data", data / "r.csv", "--column", "rain",
              "--length", 2, "-o", picture).out  # fmt: skip
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["1980", "1981"]
    found = json.loads(run("sample", trained / kind, "--length", 4, "-o", picture, "--json").out)
    model = layers.models.load(trained / kind)
    np.testing.assert_allclose(found["forecast"], model.forecast(steps=4))


def test_without_matplotlib_a_forecast_is_printed_all_the_same(trained, tmp_path, run, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    captured = run("sample", trained / "ar", "--length", 2, "-o", tmp_path / "f.png")
    assert captured.out.count("\n") == 2
    assert "f.png was not written" in captured.err
    assert "pip install matplotlib" in captured.err


def test_a_translation_is_printed(trained, run):
    out = run("sample", trained / "translation", "ace").out
    assert out.count("\n") == 1
    assert run("sample", trained / "translation", "ace", "--no-cache").out == out
    assert (
        json.loads(run("sample", trained / "translation", "ace", "--json").out)["text"] == out[:-1]
    )


def test_a_drawing_is_shown_in_characters_and_saved(trained, tmp_path, run):
    picture = tmp_path / "seven.png"
    out = run("sample", trained / "dalle", "draw a seven", "--seed", 1, "-o", picture).out
    lines = out.splitlines()
    assert lines[0] == "draw a seven:"
    assert lines[9] == ""
    assert lines[10].startswith("codes: ")
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(
        run("sample", trained / "dalle", "draw a seven", "--seed", 1, "-o", picture, "--json").out
    )
    assert len(found["codes"]) == 16
    assert np.shape(found["pictures"]["draw a seven"]) == (8, 8)


def test_a_digit_is_encoded(trained, tmp_path, run):
    out = run("sample", trained / "vae", "3", "-o", tmp_path / "three.svg").out
    assert "original:" in out
    assert "from its codes:" in out
    assert (tmp_path / "three.svg").read_text().startswith("<?xml")


# -- errors ----------------------------------------------------------------------------------------


def test_what_is_wrong_with_data_is_said(tmp_path, data, error):
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("")
    binary.write_bytes(bytes(range(256)))
    assert "is empty" in error("train", empty)
    assert "not text in UTF-8" in error("train", binary)
    assert "does not exist" in error("train", tmp_path / "no.txt")
    assert "is a folder" in error("train", tmp_path)
    rain = data / "r.csv"
    assert "no column 'snow', only year, rain" in error(
        "train", rain, "--model", "ar", "--column", "snow"
    )
    assert "line 1" in error("train", data / "t.txt", "--model", "translation")
    assert "too few" in error("train", rain, "--model", "ar", "--order", 60)
    short = tmp_path / "short.txt"
    short.write_text("abc")
    assert "too few to train on" in error("train", short)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "ar", "--steps", 5], "--steps has no effect on ar"),
        (["--model", "lstm", "--order", 5], "--order has no effect on --model lstm"),
        (["--model", "gpt", "--column", "x"], "--column has no effect on --model gpt"),
        (["--model", "translation", "--layers", 2], "--layers has no effect"),
        (["--model", "latent", "--no-compile"], "--no-compile has no effect on --model latent"),
        (["--model", "ar", "--resume", "--exact"], "--resume has no effect on ar"),
        (["--model", "ar", "--column", "x"], "--column is for a CSV file of your own"),
    ],
)
def test_options_without_effect_are_refused(arguments, message, error):
    assert message in error("train", *arguments)


def test_what_is_wrong_with_a_sample_is_said(trained, data, tmp_path, error):
    assert "'é'" in error("sample", trained / "lstm", "é")
    assert "no model in" in error("sample", tmp_path)
    assert "takes no PROMPT" in error("sample", trained / "ar", "hello")
    assert "--data is for forecasts" in error("sample", trained / "lstm", "--data", data / "r.csv")
    assert "--temperature has no effect" in error("sample", trained / "ar", "--temperature", 1)
    assert "--out is for pictures" in error("sample", trained / "gpt", "-o", "x.png")
    assert "PROMPT" in error("sample", trained / "translation")
    assert "'g'" in error("sample", trained / "translation", "g")
    assert "at most caption_length=16" in error("sample", trained / "dalle", "a very long caption")
    assert "0 to 9, got 'x'" in error("sample", trained / "vae", "x")
    assert "the suffix '.bmp'" in error("sample", trained / "dalle", "7", "-o", tmp_path / "x.bmp")
    assert "no column 'snow'" in error(
        "sample", trained / "ar", "--data", data / "r.csv", "--column", "snow"
    )
    assert "beams=2 draws nothing" in error(
        "sample", trained / "gpt", "the", "--beams", 2, "--top-k", 3
    )
    assert "what can be drawn" in error("draw", trained / "vae", "-o", tmp_path / "x.svg")
    assert "reads at most 64 characters" in error(
        "draw", trained / "gpt", "--steps", 80, "--text", "the cat " * 12, "-o", tmp_path / "x.svg"
    )


def test_a_trained_gpt_is_drawn_and_its_flow_measured(trained, tmp_path, run):
    picture = tmp_path / "gpt.svg"
    out = run("draw", trained / "gpt", "--text", "the cat sat", "-o", picture).out
    assert "10 steps" in out
    assert "linear1" in picture.read_text() or "Linear" in picture.read_text()
    out = run("flow", trained / "gpt", "--text", "the cat sat").out
    assert "moves the last outputs most" in out


def test_a_run_is_not_written_over_but_resumed(data, tmp_path, run, error):
    arguments = ["train", data / "t.txt", "--hidden-size", 8, "--out", tmp_path / "m"]
    run(*arguments, "--steps", 5)
    assert "holds a run already" in error_after_text(run, [*arguments, "--steps", 5])
    out = run(*arguments, "--steps", 9, "--resume").out
    assert "9 steps" in out
    assert "resumed at: 5" in out
    assert "5 steps" in run(*arguments, "--steps", 5, "--overwrite").out
    assert "pass one of them" in run(*arguments, "--resume", "--overwrite", code=1).err
    again = run("train", "--model", "ngram", "--out", tmp_path / "m", code=1)
    assert "holds a run already" in again.err
    run(*arguments, "--steps", 9, "--resume")
    arguments[arguments.index(8)] = 9
    assert "hidden_size=9" in run(*arguments, "--steps", 9, "--resume", code=1).err
    other = tmp_path / "other.txt"
    other.write_text(TEXT.upper())
    assert "cannot be resumed with text=" in error_after_text(
        run, ["train", other, "--hidden-size", 8, "--out", tmp_path / "m", "--steps", 9, "--resume"]
    )


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("model", ["lstm", "ngram"])
def test_a_run_is_replaced_once_the_new_one_has_something_to_keep(data, tmp_path, run, model):
    out = tmp_path / "m"
    arguments = ["train", data / "t.txt", "--out", out]
    small = ["--steps", 4, "--hidden-size", 8]
    run(*arguments, *small)
    before = files_in(out)
    text = tmp_path / "short.txt"
    text.write_text("too short")
    large = run(*arguments, "--hidden-size", 10**9, "--overwrite", code=1)
    assert "out of memory" in large.err
    run("train", text, "--out", out, "--overwrite", code=1)
    assert files_in(out) == before
    own = small if model == "lstm" else ["--model", model]
    run(*arguments, *own, "--overwrite")
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [("yardsticks" in line) for line in log].count(True) == 1
    assert "yardsticks" in log[0]
    assert (out / "last.safetensors").exists() == (model == "lstm")


def test_a_damaged_run_is_replaced(data, tmp_path, run):
    arguments = ["train", data / "t.txt", "--hidden-size", 8, "--steps", 4, "--out", tmp_path / "m"]
    run(*arguments)
    os.truncate(tmp_path / "m" / "last.safetensors", 1000)
    said = run(*arguments, "--overwrite")
    assert "which is damaged: beginning at step 0" in said.err
    assert "4 steps" in said.out
    assert "already" in run(*arguments, "--resume").out  # and the new one is whole


def error_after_text(run, arguments):
    return run(*arguments, code=1).err


def test_ctrl_c_keeps_the_run_and_resume_goes_on(data, tmp_path):
    command = [sys.executable, "-c", COMMAND_LINE, "train", data / "t.txt", "--hidden-size", "8",
               "--out", tmp_path / "m"]  # fmt: skip
    process = subprocess.Popen(
        [*command, "--seconds", "300"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    seen, end = b"", time.monotonic() + 120
    while b"step 2" not in seen and time.monotonic() < end:
        seen += os.read(process.stderr.fileno(), 4096)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert b"Interrupted: keeping the model as it is; --resume goes on" in out
    done = int(out.split(b" steps in")[0].split()[-1])
    layers.models.load(tmp_path / "m")
    again = subprocess.run(
        [*command, "--steps", str(done + 5), "--resume", "--json"], capture_output=True, cwd=ROOT,
        timeout=240, check=True,
    )  # fmt: skip
    found = json.loads(again.stdout)
    assert found["resumed_at"] == done
    assert found["steps"] == done + 5
