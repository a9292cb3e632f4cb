"""The view of the recorded graph, its summary, and the pause of the garbage collector."""

import gc
import threading

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.core.errors import GradientError
from minigrad.debug.graph_view import saved_arrays


def test_nodes_come_in_the_order_of_recording():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    w = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = (np.tanh(x) * w + x).sum()
    recorded = mg.graph(y)
    assert [node.plan.name for node in recorded] == ["leaf"] * 2 + [
        "tanh",
        "multiply",
        "add",
        "sum",
    ]
    assert len(recorded) == 6
    assert recorded.leaves == [x._node, w._node]
    assert recorded.outputs == [y._node]
    numbers = [node.number for node in recorded]
    assert numbers == sorted(numbers)
    assert repr(recorded) == "Graph(6 nodes, outputs: sum)"
    assert repr(list(recorded)[2]) == f"Node(tanh, number={numbers[2]}, shape=(2,))"


def test_shared_nodes_and_several_outputs_count_once():
    x = mg.Tensor(1.0, requires_grad=True)
    y = x * x
    assert len(mg.graph({"a": y, "b": [y, x]})) == 2
    for _ in range(40):
        y = y + y
    assert len(mg.graph(y)) == 42
    assert mg.graph(y).summary().edges == 82


def test_the_structure_survives_the_backward_and_the_arrays_do_not():
    x = mg.Tensor(np.ones(100, np.float32), requires_grad=True)
    y = np.tanh(x).sum()
    assert mg.graph(y).summary().nbytes == 400
    y.backward()
    assert len(mg.graph(y)) == 3
    assert mg.graph(y).summary().nbytes == 0


def test_each_arrays_memory_counts_once_and_views_count_in_full():
    x = mg.Tensor(np.ones(100), requires_grad=True)
    y = x * x  # both slots save the same array
    assert mg.graph(y).summary().nbytes == 800
    big = np.tanh(x)  # saves its output
    summary = mg.graph(big[:1] * big[1:2]).summary()  # the product saves two views of it
    assert summary.by_op["tanh"] == (1, 800)
    assert summary.by_op["multiply"] == (1, 0)
    assert summary.nbytes == 800
    part = mg.Tensor(np.ones(100))[:1]
    assert mg.graph(x[:1] * part).summary().nbytes == 800  # one element keeps all of it


def test_residuals_of_kernels_and_lists_of_inputs_are_counted():
    x = mg.Tensor(np.ones((5, 4)), requires_grad=True)
    loss = mg.cross_entropy(x, np.zeros(5, int))
    assert mg.graph(loss).summary().by_op["cross_entropy"].nbytes >= x.nbytes
    saved = saved_arrays(([np.ones(1), {"a": (np.ones(2), 3)}], mg.Tensor(np.ones(3))))
    assert sorted(a.size for a in saved) == [1, 2, 3]


def test_summary_by_scope_and_as_text():
    x = mg.Tensor(np.ones(10), requires_grad=True)
    with mg.scope("encoder"):
        h = np.tanh(x)
        with mg.scope("cell"), mg.step(3):
            h = np.exp(h)
    summary = mg.graph(h.sum()).summary()
    assert summary.by_scope == {"": (2, 0), "encoder": (1, 80), "encoder.cell": (1, 80)}
    text = str(summary)
    assert text.startswith("4 nodes, 3 edges, 160 bytes saved\n\noperation ")
    rows = {tuple(line.split()) for line in text.splitlines()}
    assert ("encoder.cell", "1", "80") in rows
    assert ("(none)", "2", "0") in rows
    assert ("tanh", "1", "80") in rows


def test_what_has_no_graph_says_so():
    with pytest.raises(GradientError, match=r"outputs f32\[\] does not require grad"):
        mg.graph(mg.Tensor(1.0))
    with pytest.raises(TypeError, match=r"outputs\[1\] must be a tensor, got int"):
        mg.graph([mg.Tensor(1.0, requires_grad=True), 2])


# -- the garbage collector -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _restore_gc():
    enabled = gc.isenabled()
    yield
    (gc.enable if enabled else gc.disable)()


def test_pauses_nest_and_restore():
    gc.enable()
    with mg.paused_gc():
        with mg.paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    with mg.paused_gc():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_a_pause_ends_with_an_exception():
    gc.enable()
    with pytest.raises(ZeroDivisionError), mg.paused_gc():
        _ = 1 / 0
    assert gc.isenabled()


def test_pauses_in_threads_last_until_the_last_one_ends():
    gc.enable()
    both_in, first_out = threading.Barrier(2), threading.Event()
    seen = []

    def first():
        with mg.paused_gc():
            both_in.wait()
        seen.append(gc.isenabled())
        first_out.set()

    def second():
        with mg.paused_gc():
            both_in.wait()
            first_out.wait()
            seen.append(gc.isenabled())

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False, False]
    assert gc.isenabled()


def test_a_summary_tells_two_modules_of_one_name_apart():
    first, second = layers.Linear(3, 4), layers.Linear(4, 2)
    by_scope = mg.graph(second(first(np.ones((2, 3), np.float32)))).summary().by_scope
    assert {"Linear", "Linear (2)"} <= set(by_scope)
    assert by_scope["Linear"].nodes == by_scope["Linear (2)"].nodes
