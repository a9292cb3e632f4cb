"""Commands that are asked to end by a signal: what they keep, say and return."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import layers.models
import minigrad as mg
from layers.training import TrainingOptions, fit
from layers.training.interrupts import Interrupts, Terminated, raising_terminated
from layers.training.run_folder import RunFolder
from tests.processes import COMMAND_LINE, HEAR_SIGNALS

pytestmark = pytest.mark.usefixtures("by_the_tape")

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGTERM, signal.SIGHUP]
TEXT = "the cat sat on the mat. " * 40


def command(*arguments):
    """A process with the command line, in which signals are heard as on a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, *map(str, arguments)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def read_until(process, text):
    seen, end = b"", time.monotonic() + 120
    while text not in seen and time.monotonic() < end:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, seen
        seen += part


@pytest.mark.parametrize("number", SIGNALS)
def test_train_keeps_its_run_and_says_how_to_go_on(tmp_path, number):
    (tmp_path / "t.txt").write_text(TEXT)
    out = tmp_path / "my model"
    arguments = ["train", tmp_path / "t.txt", "--hidden-size", 8, "--out", out, "--overwrite"]
    process = command(*arguments, "--seconds", 300)
    read_until(process, b"step 2")
    process.send_signal(number)
    printed, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    kept = RunFolder(out, resume=True).step
    assert kept >= 2
    line = f"The run is kept at step {kept}; go on with: minigrad train {tmp_path / 't.txt'}"
    assert line in err.decode()
    assert f"--out '{out}' --seconds 300 --resume\n" in err.decode()
    assert f"minigrad: ended by {number.name}" in err.decode()
    assert b"Traceback" not in err
    assert b"written to" not in printed
    assert layers.models.load(out).config.hidden_size == 8
    again = command(*arguments[:-1], "--steps", kept + 2, "--resume")
    printed, err = again.communicate(timeout=120)
    assert again.returncode == 0
    assert f"going on with the run in {out} at step {kept}" in err.decode()


def test_demo_keeps_the_model(tmp_path):
    process = command("demo", "--seconds", 300, "--out", tmp_path)
    read_until(process, b"step 2")
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"Keeping the model as it is, in {tmp_path / 'model'}/" in printed.decode()
    layers.models.load(tmp_path / "model")


RUN_ALL = f"""{HEAR_SIGNALS}
import sys
from layers.cli import systems as cli_systems
from layers.systems import find_system
cli_systems.SYSTEMS = tuple(find_system(name) for name in ("gpt", "lstm", "rnn"))
from layers.cli import main
sys.exit(main(["run", "--all", "--out", sys.argv[1]]))
"""


def children_of(number):
    """The processes that any thread of a process started."""
    found = []
    for file in Path(f"/proc/{number}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += map(int, file.read_text().split())
    return found


def is_alive(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# Whether a grandchild still runs is read from /proc, which Linux alone has.
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_all_ends_its_children(tmp_path, number):
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_ALL, tmp_path / "runs"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    read_until(process, b"running: gpt (")  # progress from the first second
    assert time.monotonic() - begun < 60
    end = time.monotonic() + 60
    while len(children := children_of(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert len(children) == 2
    end = time.monotonic() + 10
    while any(map(is_alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, children))
    assert printed == b""
    assert not (tmp_path / "runs" / "results.md").exists()


# -- the blocks ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def heard():
    """Signals that the process which started the tests ignored are not ignored here."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_request_to_end_raises_within_the_block_alone():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="ended by SIGTERM") as info, raising_terminated():
        signal.raise_signal(signal.SIGTERM)
    assert info.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_is_noted_first_and_acts_after_the_block():
    with raising_terminated():
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGTERM)
            assert interrupts.noted == signal.SIGTERM
        with pytest.raises(Terminated):
            interrupts.act()


def test_a_second_request_acts_at_once():
    with raising_terminated(), Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
        assert interrupts.noted == signal.SIGTERM


def test_a_second_ctrl_c_acts_at_once_and_a_third_too(hearing_ctrl_c):
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt) as caught:
                signal.raise_signal(signal.SIGINT)
            assert caught.type is KeyboardInterrupt
    assert interrupts.noted == signal.SIGINT


def test_ctrl_c_and_then_a_request_is_a_request(hearing_ctrl_c):
    with raising_terminated():
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            interrupts.act()
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
        interrupts.act()  # nothing: Ctrl-C only ends the block early


def test_a_request_is_not_lost_when_the_run_fails_before_it_ends():
    """Or who trains again with a lower rate would go on until the process is killed."""

    requests = [signal.SIGTERM]

    def loss(model, batch):
        while requests:
            signal.raise_signal(requests.pop())
        return model(batch).sum() * np.inf

    with raising_terminated(), pytest.raises(Terminated) as caught, np.errstate(all="ignore"):
        fit(
            layers.Linear(1, 1),
            lambda _: np.ones((1, 1), np.float32),
            TrainingOptions(steps=1),
            loss=loss,
            progress=False,
        )
    assert isinstance(caught.value.__context__, mg.GradientError)


def test_handlers_of_others_stay():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with raising_terminated(), Interrupts() as interrupts:
            signal.raise_signal(signal.SIGTERM)
        interrupts.act()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
    assert interrupts.noted == 0


def test_other_threads_change_nothing():
    before, found = signal.getsignal(signal.SIGTERM), []

    def go():
        with raising_terminated(), Interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    assert found == [before]
