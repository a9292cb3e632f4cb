"""What does not fit into memory is refused before it is asked for, with words."""

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.base import init
from layers.cli import main
from minigrad.io import memory
from minigrad.io.memory import available_memory

GIB = 2**30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that writes files of a system, and one without limits."""
    if memory.resource is not None:
        monkeypatch.setattr(
            memory.resource, "getrlimit", lambda which: (memory.resource.RLIM_INFINITY,) * 2
        )

    def write(**files):
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


def test_what_is_free_counts_caches_and_swap(system):
    root = system(
        proc__meminfo="MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable: 100 kB\nSwapFree: 20 kB\n"
    )
    assert available_memory(root) == 120 * 1024
    root = system(proc__meminfo="Without a number:\nMemAvailable: 100\n")
    assert available_memory(root) == 100 * 1024


def test_the_least_of_all_groups_around_counts(system):
    root = system(proc__meminfo="MemAvailable: 1000000 kB\n")
    groups = root / "sys/fs/cgroup"
    sizes = (("", "max", 0), ("a", 5000, 3000), ("a/b", 9000, 1000), ("x", 2000, 1900))
    for place, most, used in sizes:
        folder = groups / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    (root / "proc/self").mkdir()
    (root / "proc/self/cgroup").write_text("1:cpu:/x\n0::/a/b\n")  # of version 1, x
    assert available_memory(root) == 5000 - 3000 + 500


def test_a_group_without_counts_limits_nothing_and_one_above_its_limit_leaves_nothing(system):
    root = system(
        proc__meminfo="MemAvailable: 10 kB\n",
        proc__self__cgroup="0::/a:b\n",
    )
    group = root / "sys/fs/cgroup/a:b"
    group.mkdir(parents=True)
    (root / "sys/fs/memory.max").write_text("5\n")  # above all groups
    (root / "sys/fs/memory.current").write_text("0\n")
    (group / "memory.max").write_text("3000\n")
    assert available_memory(root) == 10 * 1024
    (group / "memory.current").write_text("1000\n")
    assert available_memory(root) == 2000
    (group / "memory.current").write_text("4000\n")
    assert available_memory(root) == 0


@pytest.mark.skipif(memory.resource is None, reason="Windows has no such limits")
def test_a_limit_leaves_what_is_not_yet_taken(system, monkeypatch):
    page = memory.resource.getpagesize()
    root = system(proc__meminfo="MemAvailable: 1000000 kB\n")
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (50 * page, 90 * page))
    assert available_memory(root) == 1_000_000 * 1024  # what is taken is not known
    system(proc__self__statm="30 20 10 0\n")
    assert available_memory(root) == 20 * page
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (10 * page, 10 * page))
    assert available_memory(root) == 0
    unlimited = memory.resource.RLIM_INFINITY
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (unlimited, unlimited))
    assert available_memory(root) == 1_000_000 * 1024


def test_a_system_without_limits_is_asked_for_none(system, monkeypatch):
    root = system(proc__meminfo="MemAvailable: 100 kB\n", proc__self__statm="30 20 10 0\n")
    monkeypatch.setattr(memory, "resource", None)
    assert available_memory(root) == 100 * 1024


def test_a_system_that_does_not_tell_refuses_nothing(system, monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 7, raising=False)
    assert available_memory(system()) == 49
    monkeypatch.delattr(memory.os, "sysconf")
    assert available_memory(system()) is None
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.require_memory("all", 2**60, "for a time", "Wait.")


def test_it_is_asked_from_a_size_on_and_what_there_is_may_be_taken_wholly(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    memory.require_memory("all", memory.ASKED_FROM // 2 - 1, "for a time", "Wait.")
    with pytest.raises(MemoryError, match=r"^all takes 0\.00 GB, .* for a time; .* Wait\.$"):
        memory.require_memory("all", memory.ASKED_FROM // 2, "for a time", "Wait.")
    monkeypatch.setattr(memory, "available_memory", lambda: memory.ASKED_FROM)
    memory.require_memory("all", memory.ASKED_FROM // 2, "for a time", "Wait.")


def test_parameters_that_do_not_fit_are_named(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**10)
    message = (
        r"Linear\.weight of shape \(40000, 50000\) in float32 takes 8\.00 GB, and as much again "
        r"while .*; this process can have 10\.00 GB more\. Choose smaller sizes"
    )
    with pytest.raises(MemoryError, match=message):
        layers.Linear(50_000, 40_000)
    with pytest.raises(MemoryError, match=r"LSTMCell\.weight_ih of shape \(240000, 60000\)"):
        layers.LSTM(60_000, 60_000)
    with mg.default_dtype(np.float64), pytest.raises(MemoryError, match=r"in float64 takes 16\.00"):
        layers.Embedding(50_000, 40_000)


def test_files_that_do_not_fit_are_named(tmp_path, monkeypatch):
    for name in ("a.safetensors", "a.npz"):
        mg.save(tmp_path / name, {"w": np.zeros(2**20, np.float32)})
        monkeypatch.setattr(memory, "available_memory", lambda: 8 * 2**20)
        with pytest.raises(MemoryError, match=rf"{name} takes 0\.00 GB, and as much again while"):
            mg.load(tmp_path / name)
        monkeypatch.setattr(memory, "available_memory", lambda: 9 * 2**20)
        assert mg.load(tmp_path / name)["w"].size == 2**20


def test_the_command_line_says_that_memory_is_short(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "available_memory", lambda: GIB)
    (tmp_path / "text").write_text("the cat sat on the mat. " * 20)
    given = [
        "train",
        str(tmp_path / "text"),
        "--hidden-size",
        "100000",
        "--steps",
        "1",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(given) == 1
    assert "minigrad: out of memory: LSTMCell.weight_hh of shape" in capsys.readouterr().err


@pytest.mark.parametrize("fill", [init.uniform_, init.normal_, init.kaiming_uniform_])
def test_large_tensors_are_filled_with_the_same_numbers_part_by_part(fill, monkeypatch):
    whole, parts = (layers.Parameter(np.zeros((7, 11), np.float32)) for _ in range(2))
    fill(whole, generator=np.random.default_rng(4))
    monkeypatch.setattr(init, "BLOCK", 10)
    assert fill(parts, generator=np.random.default_rng(4)) is parts
    np.testing.assert_array_equal(whole.numpy(), parts.numpy())


def test_a_graph_of_before_refuses_what_was_filled_part_by_part(monkeypatch):
    monkeypatch.setattr(init, "BLOCK", 2)
    w = layers.Parameter([1.0, 2.0, 3.0])
    y = (w * w).sum()
    init.uniform_(w)
    with pytest.raises(mg.GradientError):
        y.backward()
