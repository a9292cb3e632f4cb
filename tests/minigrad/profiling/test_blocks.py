"""Blocks in threads, tasks and generators; and what they leave behind."""

import asyncio
import contextvars
import gc
import json
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.modes import Mode, ModeChange, current_mode
from tests.minigrad.profiling.costs import (
    F,
    check_nesting,
    costly,
    leaf,
    names,
    nanoseconds,
)


def test_nothing_is_left_behind():
    before = current_mode()
    x = leaf(3)
    with mg.profile() as p:
        assert current_mode().watchers
        with mg.no_grad():
            mg.tanh(x)
        with ModeChange(observers=()):
            assert current_mode().__class__ is Mode
            mg.exp(x)
    assert current_mode() is before
    assert before.__class__ is Mode
    assert before.watchers == ()
    mg.sin(x)
    assert names(p) == ["tanh"]
    array = mg.tanh(x).numpy()
    observer = p._observer
    assert not observer.live._held
    del array
    gc.collect()
    assert observer.live.add([]) == (0, 0)


def test_an_error_goes_through_and_what_ran_before_it_stays():
    x = leaf(3)
    p = mg.profile()
    with pytest.raises(mg.ShapeError), p:
        mg.tanh(x) @ np.ones((4, 4), F)
    assert names(p) == ["tanh"]
    assert current_mode().watchers == ()
    assert "tanh" in p.table()


def test_an_error_in_a_rule_leaves_a_profile_that_can_be_read(clock, tmp_path):
    @mg.primitive
    def broken(x: Any) -> Any:
        return x * 2

    broken.vjp(x=lambda g: 1 / 0)
    operation, p = costly(clock), mg.profile()
    with pytest.raises(ZeroDivisionError), p:
        operation(broken(leaf(3))).backward(np.ones(3, F))
    assert [r.phase for r in p.records] == ["forward", "forward", "backward", "backward"]
    assert [round(1e9 * r.seconds) for r in p.records] == [0, 1000, 300, 0]
    events = json.loads(p.save(tmp_path / "trace.json").read_text())["traceEvents"]
    check_nesting(events)


def test_opened_again_it_adds_and_within_itself_it_counts_once(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as p:
        operation(x)
    clock.spend(10**6)
    with p, p:
        operation(x)
        with p:
            operation(x)
    assert names(p) == ["costly"] * 3
    assert round(1e9 * p.seconds) == 3000


def test_two_profiles_see_what_is_in_both(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as outer:
        operation(x)
        with mg.profile() as inner:
            operation(x)
    assert nanoseconds(outer.records) == [("costly", "forward", 1000)] * 2
    assert nanoseconds(inner.records) == [("costly", "forward", 1000)]


def test_it_can_be_read_while_it_is_open(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as p:
        operation(x)
        clock.spend(500)
        assert round(1e9 * p.seconds) == 1500
        assert p.table().splitlines()[-2].split()[-1] == "0.001"


def test_a_thread_is_seen_by_its_own_profile_alone():
    x = leaf(3)
    seen: dict[str, Any] = {}
    shared = mg.profile()

    def work(name: str) -> None:
        mg.exp(x)
        with mg.profile() as p, shared:
            mg.sin(x).sum().backward()
        seen[name] = names(p)

    with shared:
        mg.tanh(x)
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    mine = ["sin", "sum", "sum", "sin"]
    assert seen == {"a": mine, "b": mine}
    assert sorted(names(shared)) == sorted([*mine, *mine, "tanh"])
    assert len({r.thread for r in shared.records}) in (2, 3)  # a number may be used again


def test_a_thread_in_a_copy_of_the_context_is_seen_too():
    x = leaf(3)
    with mg.profile() as p:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(mg.tanh, x))
        thread.start()
        thread.join()
        mg.exp(x)
    assert sorted(names(p)) == ["exp", "tanh"]


def test_tasks_that_take_turns_have_profiles_of_their_own():
    x = leaf(3)

    async def task(operation):
        with mg.profile() as p:
            for _ in range(3):
                operation(x)
                await asyncio.sleep(0)
        return names(p)

    async def both():
        return await asyncio.gather(task(mg.tanh), task(mg.exp))

    assert asyncio.run(both()) == [["tanh"] * 3, ["exp"] * 3]


def test_backward_outside_of_the_block_is_not_seen_and_inside_it_is():
    x = leaf(3)

    def compute():
        return mg.checkpoint(lambda x: mg.tanh(mg.exp(x)))(x).sum()

    with mg.profile() as p:
        y = compute()
    y.backward()
    assert names(p) == ["exp", "tanh", "sum"]
    y = compute()
    with mg.profile() as p:
        y.backward()
    assert {r.phase for r in p.records} == {"backward"}
    assert names(p) == ["sum", "checkpoint(<lambda>)", "exp", "tanh", "tanh", "exp"]


def test_a_generator_is_seen_where_it_is_advanced():
    def steps():
        y = leaf(2)
        while True:
            y = mg.tanh(y)
            yield y

    source = steps()
    with mg.profile() as p:
        next(source)
        next(source)
    next(source)
    assert names(p) == ["tanh", "tanh"]


def test_a_block_that_a_generator_holds_across_a_yield_is_refused_when_it_is_left():
    def held():
        with mg.profile():
            yield 1

    def run():
        one, other = held(), held()
        next(one)
        next(other)
        with pytest.raises(RuntimeError, match="in the order in which they were entered"):
            next(one)

    contextvars.copy_context().run(run)
