"""What a function can read and nothing can watch: refused by name, with one warning."""

import functools
import glob
import itertools
import operator
import os
import sys
import threading
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import operation
from minigrad.compiled.trace import trace
from tests.minigrad.compiled.stale_places import F, attribute, given, item


def environment(monkeypatch):
    monkeypatch.setenv("MINIGRAD_TEST_RATE", "1.0")
    return lambda: monkeypatch.setenv("MINIGRAD_TEST_RATE", "3.0")


def lookup(monkeypatch):
    change = environment(monkeypatch)
    return lambda x: x * float(os.environ["MINIGRAD_TEST_RATE"]), change


def lookup_by_get(monkeypatch):
    change = environment(monkeypatch)
    return lambda x: x * float(os.environ.get("MINIGRAD_TEST_RATE")), change


def lookup_by_getenv(monkeypatch):
    change = environment(monkeypatch)
    return lambda x: x * float(os.getenv("MINIGRAD_TEST_RATE")), change


def is_set(monkeypatch):
    def function(x):
        return x * (2.0 if "MINIGRAD_TEST_RATE" in os.environ else 1.0)

    return function, functools.partial(monkeypatch.setenv, "MINIGRAD_TEST_RATE", "1")


def in_a_for_loop(monkeypatch):
    numbers = itertools.count(1)

    def function(x):
        for number in numbers:
            return x * number

    return function, lambda: next(numbers)


def in_a_generator(monkeypatch):
    numbers = (float(k) for k in range(99))
    return lambda x: x * numbers.send(None), lambda: next(numbers)


def bytes_in_place(monkeypatch):
    values = bytearray(b"\x01")
    return lambda x: x * values[0], item(values, 0, 5)


def proxy(monkeypatch):
    table = {"rate": 1.0}
    values = types.MappingProxyType(table)
    return lambda x: x * values["rate"], item(table, "rate")


def attribute_getter(monkeypatch):
    value, get = types.SimpleNamespace(rate=1.0), operator.attrgetter("rate")
    return lambda x: x * get(value), attribute(value)


def tensor_of_a_tensor(monkeypatch):
    weight = mg.Tensor(np.ones(3, F))
    return lambda x: x * mg.Tensor(weight), lambda: weight.write(np.full(3, 5, F))


def numpy_file(monkeypatch):
    path = os.path.join(os.environ["MINIGRAD_TEST_FOLDER"], "numbers.npy")
    np.save(path, np.ones(3, F))
    return lambda x: x * np.load(path), lambda: np.save(path, np.full(3, 5, F))


def raw_file(monkeypatch):
    path = os.path.join(os.environ["MINIGRAD_TEST_FOLDER"], "numbers")
    np.ones(3, F).tofile(path)
    return lambda x: x * np.fromfile(path, F), lambda: np.full(3, 5, F).tofile(path)


def whether_there_is_a_file(monkeypatch):
    path = os.path.join(os.environ["MINIGRAD_TEST_FOLDER"], "flag")
    return lambda x: x * (2 if os.path.exists(path) else 1), lambda: open(path, "w").close()


def files_in_a_folder(monkeypatch):
    folder = os.environ["MINIGRAD_TEST_FOLDER"]
    open(os.path.join(folder, "1.flag"), "w").close()

    def change():
        open(os.path.join(folder, "2.flag"), "w").close()

    return lambda x: x * len(glob.glob(os.path.join(folder, "*.flag"))), change


def file_of_tensors(monkeypatch):
    path = os.path.join(os.environ["MINIGRAD_TEST_FOLDER"], "numbers.safetensors")
    mg.save(path, {"rate": np.ones(3, F)})
    return lambda x: x * mg.load(path)["rate"], lambda: mg.save(path, {"rate": np.full(3, 5, F)})


def frames(monkeypatch):
    monkeypatch.setitem(globals(), "planted_rate", 1.0)

    def function(x):
        return x * sys._getframe(0).f_globals["planted" + "_rate"]

    return function, item(globals(), "planted_rate")


def a_lock(monkeypatch):
    lock = threading.Lock()
    return lambda x: x * (2.0 if lock.locked() else 1.0), lock.acquire


REFUSED = {
    files_in_a_folder: r"it calls .* in ",
    file_of_tensors: r"it calls minigrad\.io\..*load",
    frames: "looks at the frames",
    a_lock: "it calls locked",
    lookup: r"it calls os\.",
    lookup_by_get: r"it calls os\.",
    lookup_by_getenv: r"it calls os\.getenv",
    is_set: r"it calls os\.",
    in_a_for_loop: "the count numbers .*cannot be watched",
    in_a_generator: "the generator numbers .*cannot be watched",
    bytes_in_place: "the bytearray values .*cannot be watched",
    proxy: "the mappingproxy values .*cannot be watched",
    attribute_getter: "the attrgetter get .*cannot be watched",
    tensor_of_a_tensor: "a tensor of a tensor's numbers",
    numpy_file: r"it calls numpy\..*load",
    raw_file: "it calls fromfile",
    whether_there_is_a_file: "it calls genericpath.exists|it calls",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_cannot_be_watched_is_refused(make, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_TEST_FOLDER", str(tmp_path))
    function, change = make(monkeypatch)
    compiled = mg.compile(function)
    with pytest.warns(mg.CompileWarning, match=REFUSED[make]):
        before = compiled(given()).numpy()
    change()
    assert compiled(given()).numpy().tolist() != before.tolist()
    assert compiled.programs == []


def test_a_tensor_that_is_given_and_read_from_outside_is_named():
    w = mg.Tensor(np.ones(3, F), requires_grad=True)
    compiled = mg.compile(lambda x, also: (x * w * also).sum())
    with pytest.warns(mg.CompileWarning, match="from outside that it is given, too"):
        y = compiled(given(), w)
    assert mg.gradients(y, w).tolist() == [1.0, 2.0, 3.0]


class Counting:
    """Counts the calls of its loss, up to a last one."""

    calls = 0

    def __init__(self, last):
        self.last = last

    def loss(self, x):
        if self.calls < self.last:
            self.calls += 1
        return (x * x).sum()


def test_what_counts_its_calls_is_traced_three_times_and_then_left_alone(monkeypatch):
    traced = []
    monkeypatch.setattr(operation, "trace", lambda *a, **k: traced.append(1) or trace(*a, **k))
    model, x = Counting(99), mg.Tensor(np.ones(3, F))
    compiled = mg.compile(model.loss)
    with pytest.warns(mg.CompileWarning) as told:
        found = [compiled(x).item() for _ in range(20)]
    assert found == [3] * 20
    assert model.calls == 20
    assert [str(warning.message) for warning in told] == [
        "compile: Counting.loss runs as before: it changes Counting.calls"
    ]
    assert len(traced) == 3
    (refusal,) = compiled.refusals
    assert refusal.guards is None


def test_what_counts_its_first_calls_has_a_program_then():
    model, x = Counting(2), mg.Tensor(np.ones(3, F))
    compiled = mg.compile(model.loss)
    with pytest.warns(mg.CompileWarning, match="it changes"):
        found = [compiled(x).item() for _ in range(5)]
    assert found == [3] * 5
    assert len(compiled.programs) == 1
