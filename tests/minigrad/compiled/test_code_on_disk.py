"""Compiled functions whose code on disk was spoilt, is being written or cannot be written."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.llvm import cache

ROOT = Path(cache.__file__).parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def loss(x, w):
    return (mg.tanh(x @ w) ** 2).sum() + mg.softmax(x).max()


def check(seed=0):
    """A compiled function and its gradient are right, by a program."""
    generator = np.random.default_rng(seed)
    compiled = mg.compile(loss)
    for _ in range(2):
        arrays = [generator.standard_normal(shape) for shape in ((3, 4), (4, 5))]
        x, w = (mg.Tensor(array, requires_grad=True) for array in arrays)
        found = mg.gradients(compiled(x, w), [x, w])
        expected = mg.gradients(loss(x, w), [x, w])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)
    assert len(compiled.programs) == 1


def flipped(path):
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(120, len(data), 20):
        data[place] ^= 255
    path.write_bytes(data)


def in_place_of(path):
    path.unlink()
    return path


def link(path, target):
    in_place_of(path).symlink_to(target)


SPOILT = {
    "nothing done": lambda path: None,
    "flipped bytes": flipped,
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + bytes(8)),
    "foreign": lambda path: path.write_bytes(b"\x7fELF" + bytes(4000)),
    "text": lambda path: path.write_text("minigrad object code 1\n", encoding="utf-8"),
    "of another version": lambda path: path.write_bytes(
        path.read_bytes().replace(b"code 1\n", b"code 0\n", 1)
    ),
    "a folder": lambda path: in_place_of(path).mkdir(),
    "a link to nowhere": lambda path: link(path, path.parent / "nowhere"),
    "a link to itself": lambda path: link(path, path),
    "a link to a folder": lambda path: link(path, path.parent),
    "a link to a foreign file": lambda path: link(path, __file__),
    "no rights": lambda path: path.chmod(0),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_files_change_no_result(name, folder):
    check()
    paths = sorted(folder.glob("*.code"))
    assert paths
    foreign = Path(__file__).read_bytes()
    for path in paths:
        SPOILT[name](path)
    for seed in range(2):
        check(seed)
    assert Path(__file__).read_bytes() == foreign


def test_a_folder_that_is_read_only_changes_no_result(folder):
    folder.mkdir(mode=0o500)
    check()
    folder.chmod(0o700)


def test_a_folder_that_is_a_link_or_a_file(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    check()
    assert list((tmp_path / "elsewhere").glob("*.code"))
    folder.unlink()
    folder.write_text("no folder", encoding="utf-8")
    check()
    assert folder.read_text(encoding="utf-8") == "no folder"


COMPILES = """
from tests.minigrad.compiled.test_code_on_disk import check
print("ready", flush=True)
check()
print("right", flush=True)
"""


def compiling():
    process = subprocess.Popen(
        [sys.executable, "-c", COMPILES], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ.copy()
    )
    assert process.stdout.readline().strip() == b"ready"
    return process


def test_two_processes_that_compile_at_once(folder):
    processes = [compiling() for _ in range(2)]
    found = [process.communicate()[0].strip() for process in processes]
    assert found == [b"right", b"right"]
    assert [process.returncode for process in processes] == [0, 0]
    assert not list(folder.glob("*.part"))
    check()


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15])
def test_a_process_that_is_killed_while_it_compiles(seconds):
    process = compiling()
    time.sleep(seconds)
    process.kill()
    process.communicate()
    check()
