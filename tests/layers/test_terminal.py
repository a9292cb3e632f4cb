"""The command line on terminals of any encoding, and with readers that go away."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg
from layers.cli import main
from layers.cli.terminal import any_terminal
from layers.datasets import CharacterTokenizer
from layers.models import CharacterConfig, CharacterModel

pytestmark = pytest.mark.usefixtures("by_the_tape")

ROOT = Path(__file__).parents[2]
TEXT = "naïve “quotes” — ☃ 中文 λ. " * 30
ODD = os.fsdecode(b"m-\xfc \xe2\x98\x83")  # a name that is no UTF-8

ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a text, and a model of it, under names that need more than ASCII."""
    path = tmp_path_factory.mktemp("terminal")
    (path / "t.txt").write_text(TEXT, encoding="utf-8")
    mg.seed(0)
    tokenizer = CharacterTokenizer.from_text(TEXT)
    model = CharacterModel(CharacterConfig(len(tokenizer), hidden_size=8), tokenizer)
    for name in ("modèle-☃", ODD):
        model.save(path / name)
    return path


@pytest.fixture
def run_on(monkeypatch, folder):
    """Runs a command with streams of an encoding; its exit code, output and errors."""
    monkeypatch.chdir(folder)

    def go(encoding, *arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        code = main([str(argument) for argument in arguments])
        assert [stream.errors for stream in streams] == ["strict", "strict"]
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)

    return go


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["modèle-☃", ODD])
def test_every_command_prints_on_every_terminal(run_on, folder, encoding, name):
    commands = [
        ["sample", name, "λ", "--length", 40, "--seed", 1],
        ["draw", name, "--steps", 3, "-o", f"{name}.svg"],
        ["draw", name, "--steps", 3, "--text", "☃ 中文", "-o", "d.html"],
        ["flow", name, "--steps", 3],
        ["flow", name, "--steps", 3, "--json"],
        ["train", "t.txt", "--model", "ngram", "--order", 2, "--out", f"{name} 2"],
        ["train", "t.txt", "--steps", 2, "--hidden-size", 4, "--overwrite", "--out", f"{name} 3"],
    ]
    for command in commands:
        code, out, _ = run_on(encoding, *command)
        assert code == 0, command
        assert out
    code, out, err = run_on(encoding, "sample", name, "☂")
    assert (code, out) == (1, "")
    assert ("☂" if encoding == "utf-8" else r"\u2602") in err
    code, _, err = run_on(encoding, "sample", f"no {name}")
    assert code == 1
    assert "there is no model in" in err


def test_what_the_terminal_lacks_is_escaped_and_the_rest_is_as_it_is(run_on):
    whole = run_on("utf-8", "sample", "modèle-☃", "“☃é”"[:2], "--length", 60, "--seed", 3)[1]
    assert not whole.isascii()
    for encoding in ENCODINGS:
        found = run_on(encoding, "sample", "modèle-☃", "“☃", "--length", 60, "--seed", 3)[1]
        assert found == whole.encode(encoding, "backslashreplace").decode(encoding)


def test_wrong_arguments_are_named_on_every_terminal(run_on):
    for encoding in ENCODINGS:
        with pytest.raises(SystemExit) as info:
            run_on(encoding, "train", "t.txt", "--steps", "☃")
        assert info.value.code == 2
        assert sys.stderr.errors == "strict"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_process_with_another_encoding_trains_and_says_so(folder, tmp_path, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "layers.cli", "train", folder / "t.txt", "--steps", "2",
         "--hidden-size", "4", "--out", tmp_path / "m-☃"],
        capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rb"m-\u2603/; go on with: minigrad sample" in done.stdout
    assert "中" in (tmp_path / "m-☃" / "config.json").read_bytes().decode("unicode-escape")


class Gone(io.StringIO):
    """A stream whose reader has gone away."""

    def write(self, text):
        raise BrokenPipeError

    flush = close = lambda self: None


def test_training_goes_on_when_nobody_reads_its_progress(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    out = str(tmp_path / "m")
    arguments = ["train", str(folder / "t.txt"), "--steps", "3", "--hidden-size", "4"]
    assert main([*arguments, "--out", out, "--resume"]) == 0
    assert CharacterModel.load(out).config.hidden_size == 4


@pytest.mark.parametrize("command", [["systems"], ["train", "--help"], ["bogus"]])
def test_a_pipe_that_is_closed_at_once_leaves_no_complaint(command):
    for stream in ("stdout", "stderr"):
        other = {"stdout": "stderr", "stderr": "stdout"}[stream]
        process = subprocess.Popen(
            [sys.executable, "-m", "layers.cli", *command], cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        getattr(process, stream).close()
        left = getattr(process, other).read()
        assert process.wait(timeout=60) in (0, 1, 2)
        getattr(process, other).close()
        assert b"BrokenPipe" not in left
        assert b"Exception ignored" not in left
        assert b"Traceback" not in left


def test_without_output_streams_commands_run(monkeypatch, folder, tmp_path):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    out = tmp_path / "m"
    arguments = ["train", str(folder / "t.txt"), "--steps", "2", "--hidden-size", "4"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert (out / "model.safetensors").is_file()
    assert main(["sample", "no such model"]) == 1


def test_streams_that_cannot_be_set_are_left_alone(monkeypatch, capsys):
    class Notebook(io.StringIO):
        pass

    monkeypatch.setattr(sys, "stdout", Notebook())
    with any_terminal():
        print("☃")
    assert sys.stdout.getvalue() == "☃\n"


def test_files_are_utf_8_whatever_the_locale_is(folder, tmp_path):
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    script = (
        "import locale, sys; from pathlib import Path; from layers.cli import main\n"
        "assert locale.getencoding() != 'utf-8'\n"
        f"out = {str(tmp_path)!r}\n"
        f"text = {str(folder / 't.txt')!r}\n"
        "code = main(['train', text, '--steps', '2', '--hidden-size', '4', '--out', out + '/m'])\n"
        "code += main(['draw', out + '/m', '--text', '\\u2603 \\u4e2d', '-o', out + '/d.html'])\n"
        "code += main(['run', 'self-attention', '--no-pictures', '--out', out + '/s'])\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, env={**os.environ, **bare}
    )
    assert done.returncode == 0, done.stderr
    for name in ("d.html", "m/config.json", "m/log.jsonl", "s/result.json"):
        assert (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("command", ["--help", "train --help", "--version"])
def test_help_and_version_that_cannot_be_written_are_errors(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "layers.cli", *command.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert (done.returncode, "No space left" in done.stderr) == (1, True)
