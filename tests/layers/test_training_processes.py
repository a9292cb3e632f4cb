"""Training in processes that are killed or interrupted, and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from layers.models import CharacterModel
from layers.training.run_folder import RunFolder
from tests.processes import HEAR_SIGNALS

pytestmark = pytest.mark.usefixtures("by_the_tape")

ROOT = Path(__file__).parents[2]

SCRIPT = f"""{HEAR_SIGNALS}
import sys, time
import numpy as np
import minigrad as mg
from layers.models import CharacterConfig, CharacterModel
from layers.training import fit_text
mg.seed(0)
model = CharacterModel(CharacterConfig(5, hidden_size=16))
codes = np.tile([0, 1, 2, 3, 4, 2, 1], 100)
def tell(told):
    print("step", told.step, flush=True)
    time.sleep(float(sys.argv[2]))
history = fit_text(
    model, codes, codes[:300], steps=60, batch_size=4, length=16, checkpoint_every=5,
    validate_every=20, progress=False,
    folder=sys.argv[1], resume=True, callbacks=[tell],
)
print("interrupted" if history.interrupted else "whole", history.step)
"""


def training_process(folder, pause):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(pause)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def read_until(process, text):
    end = time.monotonic() + 120
    for line in process.stdout:
        if line.startswith(text):
            return
        assert time.monotonic() < end
    raise AssertionError(process.stderr.read())


def finish(folder):
    out, err = training_process(folder, 0).communicate(timeout=240)
    assert "whole 60" in out, err
    return CharacterModel.load(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The model of a process that nothing ended."""
    return finish(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(("number", "step"), [
    (signal.SIGKILL, 23), (signal.SIGINT, 31), (signal.SIGTERM, 17), (signal.SIGHUP, 3),
])  # fmt: skip
def test_a_process_that_is_killed_or_interrupted_is_resumed_bit_for_bit(
    whole, tmp_path, number, step
):
    folder = tmp_path / "cut"
    process = training_process(folder, 0.02)
    read_until(process, f"step {step}")
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=240)
    if number == signal.SIGINT:
        assert "interrupted" in out
        assert err == ""
    else:  # by the signal, as if nobody handled it
        assert process.returncode == -number
        assert "interrupted" not in out
        if number != signal.SIGKILL:
            assert err == ""
            seen = max(int(line.split()[1]) for line in out.splitlines() or [f"step {step}"])
            kept = RunFolder(folder, resume=True).step
            assert kept == max(seen, kept)  # the step that was being made is kept too
            assert kept >= step
    resumed = finish(folder).state_dict()
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, resumed[name], err_msg=name)
