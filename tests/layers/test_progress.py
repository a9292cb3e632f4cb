"""What a run shows of itself: a bar of any width, and lines where there is no terminal."""

import contextlib
import importlib
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layers.training import History, TrainingOptions
from layers.training import progress as progress_module
from layers.training.progress import ProgressBar, bar_format

ROOT = Path(__file__).parents[2]
PARTS = {
    "step": "step 1234/20000",
    "loss": "loss 1.234",
    "validation": "validation 1.345",
    "rate": "rate 5.0e-03",
    "left": "12:34 left",
}


def shown(columns, parts=PARTS):
    """What tqdm prints of a format, the bar as dots."""
    text = bar_format(parts, columns)
    head, bar, tail = text.partition("{bar:")
    if bar:
        width, _, tail = tail.partition("}")
        head += "." * int(width)
    return (head + tail).format(percentage=100.0)


@given(st.integers(1, 300))
@example(45)
def test_numbers_stay_within_the_width(columns):
    text = shown(columns)
    assert len(text) <= max(columns, len(PARTS["step"]))
    assert PARTS["step"] in text
    if columns >= 45:
        assert all(PARTS[name] in text for name in ("step", "loss", "left"))
        assert "100%" in text
    if columns >= 80:
        assert all(part in text for part in PARTS.values())
    if columns >= 120:
        assert text.startswith("training 100%|" + "." * 24 + "| ")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show_run(monkeypatch, stream, steps=400, seconds_per_step=0.1):
    """Shows a run with a clock of its own."""
    now = [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    history = History()
    bar = ProgressBar(TrainingOptions(steps=steps))
    for step in range(1, steps + 1):
        now[0] += seconds_per_step
        history.note_step(1.0, 1.0)
        bar.show(history, 1e-3, now[0], step / steps)
    bar.close()
    bar.close()
    return stream.getvalue()


def test_in_a_pipe_there_is_a_line_every_few_seconds(monkeypatch):
    lines = show_run(monkeypatch, io.StringIO()).splitlines()
    assert 7 <= len(lines) <= 10  # of 40 s
    assert lines[0].startswith("training   0%: step 2/400, loss 1.000, rate 1.0e-03, 0:39 left")
    assert lines[-1].startswith("training 100%: step 400/400")
    assert "\r" not in "".join(lines)


def test_a_notebook_shows_a_bar_and_a_closed_stream_nothing(monkeypatch):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    assert "\r" in show_run(monkeypatch, kind())
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    bar = ProgressBar(TrainingOptions(steps=1))
    bar.show(History([1.0]), 1e-3, 1.0, 1.0)
    bar.close()


def test_lines_are_told_above_the_bar_and_nothing_where_there_is_no_stream(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = ProgressBar(TrainingOptions(steps=2))
    bar.say("compiled")
    bar.close()
    assert "compiled\n" in stream.getvalue()
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    bar = ProgressBar(TrainingOptions(steps=2))
    bar.say("compiled")
    bar.show(History([1.0]), 1e-3, 1.0, 1.0)
    bar.close()


def test_a_run_of_one_step_says_so(monkeypatch):
    assert show_run(monkeypatch, io.StringIO(), steps=1).count("step 1/1") == 1


def test_on_a_terminal_the_bar_keeps_its_numbers(monkeypatch):
    text = show_run(monkeypatch, Terminal(), steps=50, seconds_per_step=0.5)
    last = text.strip().split("\r")[-1]
    assert "step 50/50, loss 1.000" in last
    assert "0:00 left" in last
    assert "training" in text


RUN = """
import time, numpy as np, layers, minigrad as mg
from layers.training import TrainingOptions, fit
model = layers.Linear(1, 1)
def loss(model, x):
    time.sleep(0.25)  # so that each step is shown, however busy the machine is
    return mg.mse_loss(model(x), x)
options = TrainingOptions(steps=4)
fit(model, lambda generator: np.ones((2, 1), np.float32), options, loss=loss)
"""


# Windows has no os.openpty: the width of a terminal cannot be set for a test there.
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("columns", [45, 100])
def test_the_width_is_that_of_the_terminal(columns):
    ours, theirs = os.openpty()
    size = struct.pack("HHHH", 24, columns, 0, 0)
    importlib.import_module("fcntl").ioctl(theirs, importlib.import_module("termios").TIOCSWINSZ,
                                           size)  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stderr=theirs, cwd=ROOT, env=environment
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # the process has ended
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    # The line before the first step is tqdm's, which wipes it to the width of the terminal.
    lines = [line.rstrip() for line in seen.decode().replace("\n", "\r").split("\r")]
    lines = [line for line in lines if "step" in line]
    assert len(lines) > 2
    assert all("loss" in line and "left" in line for line in lines)
    assert all(len(line) <= columns for line in lines)
