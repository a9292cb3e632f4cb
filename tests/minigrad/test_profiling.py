"""What a profile measures, on a clock that only the test moves; and what it leaves behind."""

import asyncio
import contextvars
import gc
import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.profiling import profiles, watching
from minigrad.profiling.tables import bytes_text

F = np.float32


class Clock:
    """A clock in ns that stands still unless somebody spends time."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now

    def spend(self, ns: int) -> None:
        self.now += ns


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(watching, "perf_counter_ns", found)
    monkeypatch.setattr(profiles, "perf_counter_ns", found)
    return found


def costly(clock, forward=1000, backward=300, name="costly"):
    """The double of something, whose forward and rule take so long."""

    def double(x: Any) -> Any:
        clock.spend(forward)
        return x * 2

    def rule(g: Any) -> Any:
        clock.spend(backward)
        return g * 2

    double.__name__ = name
    operation = mg.primitive(double)
    operation.vjp(x=rule)
    return operation


def leaf(*shape):
    return mg.Tensor(np.ones(shape, F), requires_grad=True)


def nanoseconds(records):
    return [(r.operation, r.phase, round(1e9 * r.seconds)) for r in records]


class Outer(layers.Module):
    def __init__(self, inner, operation):
        super().__init__()
        self.inner, self.operation = inner, operation

    def forward(self, x):
        return self.operation(self.inner(self.inner(x)))


class Inner(layers.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


# -- time ------------------------------------------------------------------------------------------


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
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "perf_counter_ns", clock)
        patch.setattr(profiles, "perf_counter_ns", clock)
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


# -- blocks ----------------------------------------------------------------------------------------


def names(p):
    return [r.operation for r in p.records]


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


# -- traces ----------------------------------------------------------------------------------------


def check_nesting(events):
    """Whether the events of each thread lie within each other; of each, the names around it."""
    around = []
    open_ones: dict[int, list[Any]] = {}
    for event in events:
        if event["ph"] == "M":
            continue
        start = round(1000 * event["ts"])
        end = start + round(1000 * event["dur"])
        stack = open_ones.setdefault(event["tid"], [])
        while stack and not (stack[-1][0] <= start and end <= stack[-1][1]):
            assert stack[-1][1] <= start
            stack.pop()
        around.append((event, [name for _, _, name in stack]))
        stack.append((start, end, event["name"]))
    return around


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
    clock = Clock()

    def run(tree: Any, y: Any) -> Any:
        clock.spend(python)
        if isinstance(tree, int):
            return costly(clock, tree, tree)(y)
        for i, part in enumerate(tree):
            with mg.scope(f"m{i}"):
                y = run(part, y)
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "perf_counter_ns", clock)
        patch.setattr(profiles, "perf_counter_ns", clock)
        with mg.profile() as p:
            run(tree, leaf(2)).backward(np.ones(2, F))
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


# -- memory ----------------------------------------------------------------------------------------


def test_memory_is_that_of_the_arrays_that_are_new():
    x = leaf(100, 50)
    with mg.profile() as p:
        y = mg.tanh(x)
        z = y.reshape(50, 100)
        total = z.sum()
        w = x.T
    allocated = {r.operation: r.allocated for r in p.records}
    assert allocated["tanh"] == 4 * 100 * 50
    assert allocated["reshape"] == allocated["transpose"] == 0
    assert allocated["sum"] == 4
    assert p.peak == 4 * 100 * 50 + 4
    assert total.shape == ()
    assert w.shape == (50, 100)


def test_the_peak_is_what_is_alive_together():
    x = leaf(1000)
    with mg.profile() as p, mg.no_grad():
        y = x
        for _ in range(10):
            y = mg.tanh(y)
    assert [r.allocated for r in p.records] == [4000] * 10
    assert p.peak == 8000
    assert [r.peak for r in p.records] == [4000] + [8000] * 9
    with mg.profile() as p:
        y = x
        for _ in range(10):
            y = mg.tanh(y)
    assert p.peak == 40_000
    assert [r.peak for r in p.records] == [4000 * k for k in range(1, 11)]


def test_gradients_count_where_they_are_sent_from():
    x = leaf(1000)
    y = (x * 3.0).sum()
    with mg.profile() as p:
        y.backward()
    sent = {r.operation: r.allocated for r in p.records}
    assert sent["multiply"] == 4000
    assert sent["sum"] <= 4000  # a view of the number that the pass begins with, or a copy
    assert 4000 <= p.peak <= 8100


def test_residuals_of_kernels_count():
    layer = layers.LSTM(4, 8)
    x = np.ones((2, 10, 4), F)
    with mg.profile() as p:
        y, _ = layer(x)
    (kernel,) = [r for r in p.records if r.operation == "lstm_sequence"]
    assert kernel.allocated >= y.numpy().nbytes + 10 * 2 * 4 * 8 * 4  # the gates of all steps


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345, "12.3 kB"), (999_600, "1 MB")],
)
def test_sizes_are_short(size, text):
    assert bytes_text(size) == text


# -- tables ----------------------------------------------------------------------------------------


def test_rows_come_in_the_order_that_is_asked_for(clock):
    a, b, c = (costly(clock, *cost) for cost in ((10, 500, "a"), (300, 2, "b"), (40, 40, "c")))
    x = leaf(10)
    with mg.profile() as p:
        c(a(b(c(x)))).backward(np.ones(10, F))

    def order(**options):
        lines = p.table(**options).splitlines()[1:]
        return [line.split()[0] for line in lines[: lines.index("")]]

    assert order() == ["a", "b", "c"]
    assert order(sort="forward") == ["b", "c", "a"]
    assert order(sort="backward") == ["a", "c", "b"]
    assert order(sort="count") == ["c", "a", "b"]
    assert order(sort="name") == ["a", "b", "c"]
    assert order(sort="self") == order(sort="total")
    assert order(sort="allocated") == ["c", "a", "b"]
    assert order(limit=2) == ["a", "b", "(1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "layer"}, 'by must be "operation" or "module", got \'layer\''),
        ({"sort": "speed"}, "sort must be one of total, self, .*got 'speed'"),
        ({"limit": 0}, "limit must be at least 1, or None, got 0"),
    ],
)
def test_a_table_says_what_it_cannot_do(options, message):
    with pytest.raises(ValueError, match=message):
        mg.profile().table(**options)


def test_an_empty_profile_is_an_empty_table():
    with mg.profile() as p:
        pass
    assert p.records == []
    assert p.table().splitlines()[0].split()[:2] == ["operation", "count"]


def test_the_nodes_that_are_alive_tell_their_time(clock):
    operation, x = costly(clock), leaf(2)
    with mg.profile() as p:
        y = operation(x)
        operation(x)
        y.backward(np.ones(2, F))
    assert [(node, round(1e9 * s)) for node, s in p.node_seconds()] == [
        (y._node, 1000),
        (y._node, 300),
    ]
