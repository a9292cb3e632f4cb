"""Building code, keeping it on disk, and calling it on arrays."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from minigrad.compiled.llvm import cache, native, words
from minigrad.compiled.llvm.vectors.functions import FUNCTIONS, define
from minigrad.compiled.llvm.vectors.ir import Code, Module, literal

HEAD = "define i32 @main(ptr %frame, ptr %workspace, i64 %thread, i64 %threads)"


def increment(amount=1.0, shape="checked", flush=False, target=None):
    """The text of a program that writes x[0] + amount into y[0]."""
    module = Module()
    code = Code(module)
    target = target or native.host()
    saved = native.enter(code, target, flush)
    found = native.layout() if shape == "checked" else None
    y, x = native.arguments(code, 2, found)
    value = code.value(f"load double, ptr {x}")
    value = code.value(f"fadd double {value}, {literal(amount, 'double')}")
    code.do(f"store double {value}, ptr {y}")
    code.do(f"ret i32 {native.leave(code, target, saved)}")
    module.define("main", code.finish(HEAD))
    return module.text()


def run(library, x, shape="checked"):
    y = np.zeros(1)
    found = native.layout() if shape == "checked" else None
    frame, alive = native.make_frame((y, np.array([x])), found)
    library.main()(frame, 0, 0, 1)
    del alive
    return y[0]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test has a cache of its own."""
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def only_file(folder):
    (path,) = folder.glob("*.code")
    return path


def test_the_layout_of_tuples_and_arrays_is_found():
    assert native.layout() is not None


@pytest.mark.parametrize("shape", ["checked", "slow"])
def test_both_kinds_of_frames(shape):
    assert run(native.load_code(increment(2.0, shape)), 3.0, shape) == 5.0


def test_no_layout_on_another_python(monkeypatch):
    monkeypatch.setattr(sys.implementation, "name", "another")
    assert native.layout.__wrapped__() is None


def test_a_second_build_comes_from_disk(own_folder):
    text = increment()
    assert not native.load_code(text).from_disk
    again = native.load_code(text)
    assert again.from_disk
    assert run(again, 1.0) == 2.0
    assert not native.load_code(increment(5.0)).from_disk


def test_the_cache_can_be_turned_off(own_folder, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", "0")
    assert cache.folder() is None
    native.load_code(increment())
    assert not native.load_code(increment()).from_disk
    assert not own_folder.exists()


@pytest.mark.parametrize("length", [0, 1, 22, 23, 60, 118, 119, 500, -1])
def test_truncated_files_are_ignored_and_replaced(own_folder, length):
    text = increment()
    native.load_code(text)
    path = only_file(own_folder)
    path.write_bytes(path.read_bytes()[:length])
    built = native.load_code(text)
    assert not built.from_disk
    assert run(built, 1.0) == 2.0
    assert native.load_code(text).from_disk


def test_a_fuzz_of_the_file(own_folder):
    text = increment()
    native.load_code(text)
    path = only_file(own_folder)
    whole = path.read_bytes()
    key = path.stem
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole), size=200):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        assert cache.read(key) is None
    path.write_bytes(whole + b"x")
    assert cache.read(key) is None
    path.write_bytes(whole)
    assert cache.read(key) is not None


def test_code_of_another_key_is_ignored(own_folder):
    native.load_code(increment(1.0))
    first = only_file(own_folder)
    data = first.read_bytes()
    first.unlink()
    native.load_code(increment(2.0))
    only_file(own_folder).write_bytes(data)
    built = native.load_code(increment(2.0))
    assert not built.from_disk
    assert run(built, 1.0) == 3.0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no such rights on Windows")
def test_a_folder_that_others_may_write_to_is_not_used(own_folder):
    native.load_code(increment())
    own_folder.chmod(0o777)
    assert not native.load_code(increment()).from_disk
    own_folder.chmod(0o700)
    assert native.load_code(increment()).from_disk


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "file" / "cache"))
    assert run(native.load_code(increment()), 1.0) == 2.0


def test_a_folder_stays_the_same_when_the_working_folder_changes(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGRAD_CACHE", f"here-{tmp_path.name}")
    native.load_code(increment())
    monkeypatch.chdir(tmp_path / "other")
    assert native.load_code(increment()).from_disk
    assert not list((tmp_path / "other").iterdir())


def test_a_directory_in_the_place_of_a_file(own_folder):
    native.load_code(increment())
    path = only_file(own_folder)
    path.unlink()
    path.mkdir()
    assert run(native.load_code(increment()), 1.0) == 2.0


def test_old_files_make_room(own_folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    for number in range(10):
        cache.write(f"{number:064x}", bytes(2_000))
        os.utime(own_folder / f"{number:064x}.code", (number + 1, number + 1))
    left = {path.stem for path in own_folder.glob("*.code")}
    assert sum(path.stat().st_size for path in own_folder.glob("*.code")) <= 10_000
    assert f"{9:064x}" in left
    assert f"{0:064x}" not in left


def test_a_folder_is_tidied_now_and_then(own_folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 16_000)
    tidied = mock.Mock()
    monkeypatch.setattr(cache, "_tidy", tidied)
    for number in range(10):
        cache.write(f"{number:064x}", bytes(400))
    assert tidied.call_count == 4  # at the first, and then whenever three hold more than 1,000


def test_abandoned_files_are_deleted(own_folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 50)  # at every file
    cache.write("0" * 64, b"code")
    old, new = own_folder / "old.part", own_folder / "new.part"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.write("1" * 64, b"code")
    assert not old.exists()
    assert new.exists()


WRITER = """
import sys
from minigrad.compiled.llvm import cache
code = bytes(range(256)) * 4000
print("ready", flush=True)
while True:
    cache.write("a" * 64, code)
"""


def test_killed_while_writing(own_folder):
    code = bytes(range(256)) * 4000
    root = Path(native.__file__).parents[3]
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER], stdout=subprocess.PIPE, cwd=root, env=os.environ.copy()
        )
        process.stdout.readline()
        time.sleep(0.02 + 0.011 * round_)
        process.kill()
        process.wait()
        process.stdout.close()
        assert cache.read("a" * 64) in (None, code)
    assert cache.write("a" * 64, code)
    assert cache.read("a" * 64) == code


def test_two_processes_write_while_a_third_reads(own_folder):
    code = bytes(range(256)) * 4000
    root = Path(native.__file__).parents[3]
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, cwd=root)
        for _ in range(2)
    ]
    for process in processes:
        process.stdout.readline()
    found, until = set(), time.monotonic() + 30
    while code not in found and time.monotonic() < until:
        found.add(cache.read("a" * 64))
    found |= {cache.read("a" * 64) for _ in range(100)}
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
    assert found <= {None, code}
    assert code in found


def test_threads_build_at_once():
    texts = [increment(float(number % 3)) for number in range(6)]
    results = [None] * len(texts)

    def build(number):
        results[number] = run(native.load_code(texts[number]), 1.0)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1.0, 2.0, 3.0] * 2


def test_subnormals_are_flushed_inside_only():
    text = increment(1e-310, flush=True)
    assert run(native.load_code(text), 0.0) == 0.0
    assert run(native.load_code(increment(1e-310)), 0.0) == 1e-310
    tiny = np.array([1e-310])
    assert (tiny / 2)[0] == 5e-311


def test_status_flags_of_the_caller_stay_as_they_were():
    text = increment(1.0)
    with np.errstate(all="raise"):
        run(native.load_code(text), np.inf)
        assert (np.ones(2) + 1)[0] == 2


TRIPLES = {
    "aarch64-unknown-linux-gnu": "generic",
    "arm64-apple-macosx": "apple-m1",
    "x86_64-pc-windows-msvc": "x86-64-v3",
    "riscv64-unknown-linux-gnu": "generic-rv64",
}


@pytest.mark.parametrize("triple", TRIPLES)
def test_text_becomes_code_for_other_machines(triple):
    binding = native._binding()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = native.Host(TRIPLES[triple], "", triple, 16)
    module = Module(fences=target.fences)
    for name in FUNCTIONS:
        define(module, name, "float", 4)
        define(module, name, "double", 2)
    for text in (module.text(), increment(flush=True, target=target)):
        parsed = binding.parse_assembly(text)
        machine = binding.Target.from_triple(triple).create_target_machine(cpu=TRIPLES[triple])
        assert machine.emit_object(parsed)


def test_without_llvmlite_the_error_names_package_and_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    monkeypatch.setattr(native, "_binding", native._binding.__wrapped__)
    with pytest.raises(ImportError, match=r"pip install llvmlite.*\[fast\]"):
        native.load_code(increment())


def test_the_first_word_that_changed_is_found():
    held = np.array([5, 2**63, 7], np.uint64)
    start = held.__array_interface__["data"][0]
    pairs = np.array([(start + 8 * i, held[i]) for i in (2, 0, 1)], np.uint64)
    given = pairs.__array_interface__["data"][0]
    compare = words.first_change()
    assert [compare(given, i, 3) for i in range(4)] == [3] * 4
    held[0] += np.uint64(1)
    assert [compare(given, i, 3) for i in range(4)] == [1, 1, 3, 3]
    assert compare(given, 0, 1) == 1
    assert compare(given, 0, 0) == 0
