"""Whose time it is, and that none is lost or counted twice."""

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
    costly,
    leaf,
    nanoseconds,
    on_clock,
)


def test_operations_have_their_own_time_and_python_has_the_rest(clock):
    first, second = costly(clock, 1000, 300, "first"), costly(clock, 70, 20, "second")
    x = leaf(3)
    with mg.profile() as p:
        clock.spend(5000)
        y = first(x)
        clock.spend(400)
        z = second(y)
        clock.spend(30)
        z.backward(np.ones(3, F))
    assert nanoseconds(p.records) == [
        ("first", "forward", 1000),
        ("second", "forward", 70),
        ("second", "backward", 20),
        ("first", "backward", 300),
    ]
    assert round(1e9 * p.seconds) == 5000 + 1000 + 400 + 70 + 30 + 20 + 300
    assert [round(1e9 * r.start) for r in p.records] == [5000, 6400, 6500, 6520]
    last = [line.split() for line in p.table().splitlines()][-3:]
    assert [line[-1] for line in last] == ["0.001", "0.005", "0.000"]


def test_an_operation_that_changes_the_mode_or_uses_others_loses_no_time(clock):
    inner, x = costly(clock, 40, 0, "inner"), mg.Tensor(np.ones(2, F))

    @mg.primitive
    def outer(x: Any) -> Any:
        clock.spend(100)
        with mg.no_grad():
            clock.spend(200)
        return x * 2

    @mg.primitive
    def mixed(x: Any) -> Any:
        clock.spend(100)
        y = inner(x).numpy()
        clock.spend(7)
        return y

    with mg.profile() as p:
        outer(x)
        mixed(x)
    found = nanoseconds(p.records)
    assert found[0] == ("outer", "forward", 300)
    # The engine tells when the inner one ends; until it began, the outer one counts as Python.
    assert found[1:] == [("inner", "forward", 40), ("mixed", "forward", 7)]
    assert round(1e9 * p.seconds) == 300 + 100 + 40 + 7


def test_modules_count_what_is_within_them_and_backward_goes_to_who_made_the_node(clock):
    model = Outer(Inner(costly(clock, 1_000_000, 3_000_000)), costly(clock, 50_000, 20_000, "last"))
    x = leaf(2)
    with mg.profile() as p:
        y = model(x)
    with p:  # far from the modules
        y.backward(np.ones(2, F))
    backward = [(r.operation, r.module) for r in p.records if r.phase == "backward"]
    assert backward == [
        ("last", "Outer"),
        ("costly", "Outer.inner"),
        ("costly", "Outer.inner"),
    ]
    rows = {line.split()[0]: line.split()[1:6] for line in p.table("module").splitlines() if line}
    assert rows["Outer"] == ["1", "2.050", "6.020", "8.070", "0.9%"]
    assert rows["Outer.inner"] == ["2", "2.000", "6.000", "8.000", "99.1%"]


def test_two_modules_of_one_name_have_rows_of_their_own(clock):
    operation = costly(clock)
    x = leaf(2)
    with mg.profile() as p:
        Inner(operation)(Inner(operation)(x))
    assert {r.module for r in p.records} == {"Inner", "Inner (2)"}


def test_time_steps_and_named_blocks_are_told(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as p:
        for t in range(2):
            with mg.scope("loss"), mg.step(t):
                operation(x)
    assert [(r.module, r.step) for r in p.records] == [("loss", 0), ("loss", 1)]


def test_what_a_derivative_runs_counts_as_backward_and_not_twice(clock):
    operation = costly(clock, 1000, 0)
    x = leaf(2)
    with mg.profile() as p:
        y = mg.checkpoint(lambda x: operation(operation(x)))(x)
        y.backward(np.ones(2, F))
    mine = [r for r in p.records if r.operation == "costly"]
    assert [r.phase for r in mine if r.seconds] == ["forward"] * 2 + ["backward"] * 2
    assert sum(round(1e9 * r.own_seconds) for r in p.records) == 4000
    around = [r for r in p.records if r.seconds > r.own_seconds]
    assert [round(1e9 * r.seconds) for r in around] == [2000]


def test_a_derivative_that_is_recorded_is_seen_within_the_node_that_it_is_of():
    x = leaf(4)
    with mg.profile() as p:
        (g,) = mg.gradients(mg.tanh(x).sum(), [x], create_graph=True)
        g.sum().backward()
    outer = next(r for r in p.records if r.operation == "tanh" and r.phase == "backward")
    inside = [
        r
        for r in p.records
        if outer.start < r.start and r.start + r.seconds < outer.start + outer.seconds
    ]
    assert inside
    assert all(r.phase == "backward" for r in inside)
    assert outer.own_seconds < outer.seconds


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.integers(0, 10**6))
def test_everything_adds_up_to_the_time_of_the_block(costs, python):
    with pytest.MonkeyPatch.context() as patch:
        clock = on_clock(patch)
        operations = [costly(clock, cost, cost // 2, f"o{i}") for i, cost in enumerate(costs)]
        y = leaf(2)
        with mg.profile() as p:
            for operation in operations:
                y = operation(y)
                clock.spend(python)
            y.backward(np.ones(2, F))
        spent = sum(cost + cost // 2 for cost in costs)
        assert round(1e9 * sum(r.own_seconds for r in p.records)) == spent
        assert round(1e9 * p.seconds) == spent + python * len(costs)
