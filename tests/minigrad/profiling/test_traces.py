"""Traces: valid, and nested as the modules were."""

import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.minigrad.profiling.costs import (
    F,
    Inner,
    Outer,
    check_nesting,
    costly,
    leaf,
    on_clock,
)


def trace(p, tmp_path):
    path = p.save(tmp_path / "trace.json")
    document = json.loads(path.read_text("utf-8"))
    assert document["displayTimeUnit"] == "ms"
    return document["traceEvents"]


def test_modules_are_around_their_operations_forward_and_backward(clock, tmp_path):
    model = Outer(Inner(costly(clock)), costly(clock, 7, 5, "last"))
    x = leaf(2)
    with mg.profile() as p:
        clock.spend(11)
        model(x).backward(np.ones(2, F))
    found = check_nesting(trace(p, tmp_path))
    inside = [
        (event["name"], event["cat"], around, round(1000 * event["ts"]), round(1000 * event["dur"]))
        for event, around in found
    ]
    passed, outer = "backward pass", "Outer"
    assert inside == [
        ("Outer", "module", [], 11, 2007),
        ("inner", "module", [outer], 11, 1000),
        ("costly", "forward", [outer, "inner"], 11, 1000),
        ("inner", "module", [outer], 1011, 1000),
        ("costly", "forward", [outer, "inner"], 1011, 1000),
        ("last", "forward", [outer], 2011, 7),
        (passed, "pass", [], 2018, 2 * 300 + 5),
        ("Outer", "module", [passed], 2018, 605),
        ("last", "backward", [passed, outer], 2018, 5),
        ("inner", "module", [passed, outer], 2023, 300),
        ("costly", "backward", [passed, outer, "inner"], 2023, 300),
        ("inner", "module", [passed, outer], 2323, 300),
        ("costly", "backward", [passed, outer, "inner"], 2323, 300),
    ]


trees = st.recursive(
    st.integers(1, 50), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=10
)


@given(trees, st.integers(0, 9))
def test_every_operation_is_within_the_blocks_that_it_ran_in(tmp_path_factory, tree, python):
    def run(clock: Any, tree: Any, y: Any) -> Any:
        clock.spend(python)
        if isinstance(tree, int):
            return costly(clock, tree, tree)(y)
        for i, part in enumerate(tree):
            with mg.scope(f"m{i}"):
                y = run(clock, part, y)
        return y

    with pytest.MonkeyPatch.context() as patch:
        clock = on_clock(patch)
        with mg.profile() as p:
            run(clock, tree, leaf(2)).backward(np.ones(2, F))
    found = check_nesting(trace(p, tmp_path_factory.mktemp("traces")))
    kinds = [event["cat"] for event, _ in found]
    assert kinds.count("forward") == kinds.count("backward") == len(p.records) // 2
    for event, around in found:
        if event["cat"] in ("forward", "backward"):
            modules = [name for name in around if name != "backward pass"]
            assert ".".join(modules) == event["args"]["module"]


def test_threads_are_apart_in_a_trace(tmp_path):
    x = leaf(3)
    shared = mg.profile()
    ready = threading.Barrier(2)

    def work() -> None:
        with shared:
            ready.wait()
            mg.tanh(x).sum().backward()
            ready.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = trace(shared, tmp_path)
    check_nesting(events)
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert names == ["thread 0", "thread 1"]
    assert len({event["tid"] for event in events}) == 2


def test_a_trace_goes_where_there_is_a_folder(tmp_path):
    with mg.profile() as p:
        pass
    with pytest.raises(FileNotFoundError, match="no folder"):
        p.save(tmp_path / "nowhere" / "trace.json")
    assert trace(p, tmp_path) == []
