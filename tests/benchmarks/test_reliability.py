"""A few kills, faults and changed files of the scripts that do thousands; and that they notice."""

import errno
import os
import pickle
import sys
import time
from dataclasses import replace

import pytest

from benchmarks.reliability import faults, hostile_files, kills
from benchmarks.reliability.formats import FORMATS, Made
from benchmarks.reliability.subjects import SUBJECTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits memory")


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_killed_save_leaves_a_whole_version_and_the_next_one_tidies_up(name):
    found = kills.kill_savings(SUBJECTS[name], 4)
    assert found["finished"] + found["being written"] == 4


def test_a_killed_training_is_resumed_bit_for_bit():
    assert kills.kill_trainings(1, steps=4)["whole runs"] >= 1


@pytest.mark.parametrize("name", SUBJECTS)
def test_whatever_fails_the_old_version_or_the_new_one_is_there(name):
    found = faults.failing_calls(SUBJECTS[name])
    assert found["old"] >= 4  # when opening, filling, syncing and renaming fail
    assert faults.full_disks(SUBJECTS[name], 4) == {"old": 4}
    assert faults.places(SUBJECTS[name])["without rights"] == 1


@pytest.mark.parametrize("name", FORMATS)
def test_changed_files_are_read_or_refused(name):
    figures = hostile_files.in_child(name, 50)
    assert figures["faults"] == []
    assert sum(figures["outcomes"].values()) == 50
    assert figures["outcomes"]["refused"] > 0


# -- what the scripts would notice -----------------------------------------------------------------


def naive(path, number):
    """Save in the way that loses files."""
    with path.open("w") as file:
        for _ in range(2000):
            file.write(f"{number}\n")
            file.flush()


def whole(path):
    numbers = path.read_text().split("\n")
    assert len(numbers) == 2001
    assert len(set(numbers[:-1])) == 1
    return int(numbers[0])


def test_a_save_that_is_cut_is_noticed():
    subject = replace(SUBJECTS["npz"], save=naive, load=whole)
    with pytest.raises((AssertionError, ValueError)):
        kills.kill_savings(subject, 50)
    with pytest.raises((AssertionError, ValueError)):
        faults.full_disks(subject, 3)


def test_an_error_without_a_name_and_a_stray_are_noticed(tmp_path):
    subject, place = SUBJECTS["npz"], tmp_path / "arrays.npz"
    subject.save(place, 1)
    with pytest.raises(AssertionError, match="does not name"):
        faults.judge(subject, place, 1, {place.name}, OSError(errno.EIO, "no word"))
    with pytest.raises(AssertionError, match="ValueError"):
        faults.judge(subject, place, 1, {place.name}, ValueError("arrays.npz"))
    with pytest.raises(AssertionError, match="strays"):
        faults.judge(subject, place, 1, set(), None)
    with pytest.raises(AssertionError, match="version 1 after 1"):
        faults.judge(subject, place, 1, {place.name}, None)


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (lambda path: eval("1"), "harmful: compile"),
        (lambda path: pickle.loads(b"cos\nsystem\n."), "harmful: pickle"),
        (lambda path: path.with_suffix(".more").write_bytes(b""), "harmful: open"),
        (lambda path: os.system("true"), "harmful: os.system"),
        (lambda path: bytes(2**30), "undocumented: MemoryError"),
        (lambda path: {}["a"], "undocumented: KeyError"),
        (lambda path: spin(), "too long"),
        (lambda path: float("x"), None),
    ],
)
def test_readers_that_harm_are_noticed(monkeypatch, read, word):
    def make(folder):
        calls = iter(("sound",))  # the file as it was is read once, before
        return Made((b"seed",), folder / "a", lambda: next(calls, None) or read(folder / "a"))

    monkeypatch.setattr(hostile_files, "SECONDS", 0.05)
    monkeypatch.setitem(FORMATS, "bad", replace(FORMATS["text"], make=make))
    found = hostile_files.in_child("bad", 2)["faults"]
    assert len(found) >= (0 if word is None else 2)
    assert all(word is not None and word in fault for fault in found[:2])


def spin():
    end = time.process_time() + 5
    while time.process_time() < end:
        pass
