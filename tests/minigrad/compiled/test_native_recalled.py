"""Native programs that an earlier process has built are found by their graph."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.graph import Graph, Value, View
from minigrad.compiled.llvm import cache, native, program, writing
from minigrad.compiled.llvm.recalled import key_of
from minigrad.compiled.rolling.rolled import roll
from minigrad.compiled.trace import settle, trace

F = np.float32
TABLE = np.linspace(-1, 1, 12, dtype=F).reshape(3, 4)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recurrence(x, steps=6, table=TABLE, factor=0.5):
    state = x[0] * 0.0
    for t in range(steps):
        state = mg.tanh(state * factor + x[t]) * mg.Tensor(table)
    return state, (state**2).sum()


def graph_of(function=recurrence, shape=(6, 3, 4), dtype=F, **options):
    traced = trace(lambda x: function(x, **options), [mg.Tensor(np.ones(shape, dtype))], {})
    settle(traced, {})
    return roll(traced.graph(traced.arguments, traced.outputs), lift=True)


def host_key(graph, threads=1):
    return key_of(graph, native.host(), threads)


def only_read(*args):
    raise AssertionError("it is planned and written again")


def test_nothing_is_planned_or_written_again(monkeypatch):
    x = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(F)
    first = program.build(graph_of(), 1)
    assert not first.from_disk
    monkeypatch.setattr(writing, "Emitter", only_read)
    again = program.build(graph_of(), 1)
    assert again.from_disk
    for one, other, expected in zip(first([x]), again([x]), recurrence(x), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, expected.numpy(), rtol=1e-4, atol=1e-6)


COMPILES = """
import numpy as np
import minigrad as mg

def function(x):
    return mg.tanh(x @ x).sum()

mg.compile(function)(np.ones((5, 5), np.float32))
"""

TELLS = """
import sys
prefix = "minigrad.compiled.llvm."
print(*(name.removeprefix(prefix) for name in sys.modules if name.startswith(prefix)))
"""


def test_a_later_process_imports_nothing_that_plans_or_writes():
    exec(COMPILES, {})
    root = Path(__file__).parents[3]
    run = [sys.executable, "-c", COMPILES + TELLS]
    found = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True).stdout
    names = {name.partition(".")[0] for name in found.split()}
    assert "program" in names
    assert names.isdisjoint(("attention", "by_rows", "emit", "kernels", "planning", "writing"))


def test_outputs_that_are_copies_are_recalled(monkeypatch):
    def function(x):
        return mg.Tensor(TABLE), x * 1, mg.exp(x), mg.Tensor(TABLE)

    x = np.ones((3, 4), F)
    program.build(graph_of(function, x.shape), 1)
    monkeypatch.setattr(writing, "Emitter", only_read)
    found = program.build(graph_of(function, x.shape), 1)([x])
    for one, expected in zip(found, [TABLE, x, np.exp(x), TABLE], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-6)


def test_what_programs_depend_on_is_in_their_keys():
    other = TABLE.copy()
    other[1, 1] = np.nextafter(other[1, 1], F(1))
    graphs = {
        "as it is": graph_of(),
        "steps": graph_of(steps=5),
        "a number": graph_of(factor=0.25),
        "a constant": graph_of(table=other),
        "a dtype": graph_of(dtype=np.float64),
        "a shape": graph_of(shape=(7, 3, 4)),
        "another function": graph_of(lambda x: recurrence(x)[::-1]),
        "going back": graph_of(lambda x: recurrence(x[::-1])),
    }
    keys = {name: host_key(graph) for name, graph in graphs.items()}
    keys["threads"] = host_key(graphs["as it is"], 2)
    keys["another machine"] = key_of(graphs["as it is"], native.host("x86-64"), 1)
    assert None not in keys.values()
    for (one, key), (name, other_key) in itertools.combinations(keys.items(), 2):
        assert key != other_key, (one, name)
    assert host_key(graph_of()) == keys["as it is"]


def test_numbers_of_other_types_have_other_keys():
    def one(number):
        x = Value("input", (), (2,), np.float64, (0,))
        made = Value("add", (View(x), number), (2,), np.float64)
        return host_key(Graph([x], [made], [View(made)]))

    numbers = [1, 1.0, True, 0.0, -0.0, float("nan"), 2]
    assert len({one(number) for number in numbers}) == len(numbers)


def test_what_has_no_text_has_no_key():
    x = Value("input", (), (2,), np.float64, (0,))
    made = Value("copy", (View(x),), (2,), np.float64, (object(),))
    assert host_key(Graph([x], [made], [View(made)])) is None


def test_code_that_is_gone_is_built_again(own_folder):
    program.build(graph_of(), 1)
    key = host_key(graph_of())
    code, *_ = json.loads(cache.read(key))
    (own_folder / f"{code}.code").unlink()
    assert not program.build(graph_of(), 1).from_disk
    assert program.build(graph_of(), 1).from_disk


def test_code_on_disk_vouches_for_no_later_process():
    """A branch that the values of one process never take may be taken by those of the next, even
    where the first trace of both gives one graph."""

    def function(x):
        return mg.tanh(x) * (2.0 if x._array[1] > 0 else 3.0)

    positive = mg.Tensor(np.linspace(1, 2, 8, dtype=F))
    of_one_process = mg.compile(function)
    of_one_process(positive)
    assert len(of_one_process.programs) == 1
    mixed = mg.Tensor(np.linspace(1, -2, 8, dtype=F))
    of_the_next = mg.compile(function)
    with pytest.warns(mg.CompileWarning, match="runs as before"):
        of_the_next(mixed)
    assert of_the_next.programs == []
    np.testing.assert_array_equal(of_the_next(-mixed).numpy(), function(-mixed).numpy())
