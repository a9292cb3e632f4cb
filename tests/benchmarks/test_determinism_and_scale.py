"""Small versions of what the scripts on determinism and scale measure; and that they notice."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

if sys.platform == "win32":
    pytest.skip("limits memory, which Windows cannot", allow_module_level=True)

from benchmarks.reliability import same_bits, scale
from benchmarks.reliability.determinism import Process, _tell, differing
from minigrad.io import memory

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from pathlib import Path
from benchmarks.reliability import same_bits
folder = Path(sys.argv[1])
for number, (name, picture) in zip(range(4), same_bits.pictures()):
    for form in {0: ("svg", "json"), 3: ("html",)}.get(number, ()):  # operations, and a film
        made = picture.save(folder / f"{number}.{form}").read_bytes()
        print(name, form, same_bits.digest({"": made}))
print(same_bits.own_loop(), same_bits.trained("rnn", "whole", folder, False))
"""


def test_hash_seeds_change_neither_weights_nor_drawings(tmp_path):
    processes = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(folder)],
                env={**os.environ, "PYTHONHASHSEED": seed, "MINIGRAD_COMPILE": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
        )
    (first, errors), (second, more) = (process.communicate() for process in processes)
    assert (errors, more) == ("", "")
    assert first.count("\n") == 4
    assert first == second


@pytest.mark.parametrize("name", ["gru", "gpt"])
def test_a_training_stopped_halfway_ends_with_the_same_bits(tmp_path, name):
    whole = same_bits.trained(name, "whole", tmp_path, False)
    half = same_bits.trained(name, "first half", tmp_path, False)
    assert half != whole
    assert same_bits.trained(name, "second half", tmp_path, False) == whole


def test_a_digest_tells_one_bit_a_shape_a_dtype_and_a_name_apart():
    values = [{"w": np.zeros(2)}, {"w": np.array([0.0, -0.0])}, {"w": np.zeros((2, 1))}]
    values += [{"w": np.zeros(2, int)}, {"v": np.zeros(2)}, {"w": np.zeros(2), "v": np.zeros(0)}]
    assert len({same_bits.digest(value) for value in values}) == len(values)
    assert same_bits.digest({"w": np.zeros(2)}) == same_bits.digest(values[0])


def test_what_differs_is_named(capsys):
    first = {"a": "1", "b": "2", "c": "3"}
    assert differing({"a": "1", "b": "0"}, first) == ["b"]
    assert _tell(Process("other"), {"a": "1", "b": "0"}, first)
    assert not _tell(Process("other", equal=False), {"b": "0"}, first)
    assert capsys.readouterr().out.startswith("other: 1 of 2 equal; not: b\n")


@pytest.mark.parametrize("name", ["checkpoint_sequence, plain operations", "scan"])
def test_gradients_of_a_recurrence_are_those_of_the_closed_form(name):
    assert scale.SEQUENCES[name](60) < 1e-12


def test_checkpointed_segments_have_the_gradient_of_the_whole():
    whole, parts = (scale.lstm_gradient(30, segment) for segment in (30, 7))
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-8)
    assert np.abs(whole).max() > 0


@pytest.mark.parametrize("name", scale.TRAININGS)
def test_memory_is_measured_in_the_first_and_the_last_steps(name, monkeypatch):
    places = iter(range(1, 100))
    monkeypatch.setattr(scale, "resident", lambda: next(places) * 2**20)
    assert scale.memory_of(scale.TRAININGS[name], 20, False) == (2, 4)


def test_what_does_not_fit_has_to_be_named(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: scale.LIMIT)
    for name in ("a layer of 8 GB", "a table of 8 GB", "an LSTM of 8 GB", "a file of 8 GB"):
        assert scale.refusal(name)

    def fail():
        raise MemoryError("too much")

    for make, named in ((lambda: None, "w"), (fail, "w"), (fail, ""), (fail, "much")):
        monkeypatch.setattr(scale, "PARAMETERS", {"wrong": (make, named)})
        with pytest.raises(AssertionError, match=r"wrong: (no error|too much)"):
            scale.refusal("wrong")
    monkeypatch.setattr(scale, "PARAMETERS", {"fits": (lambda: mg.Tensor(1.0), "")})
    assert scale.refusal("fits") == ""
