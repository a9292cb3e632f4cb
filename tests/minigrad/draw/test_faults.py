"""After a failure: the first bad operation is marked, and said in a sentence."""

from contextlib import nullcontext

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, LSTMCell
from minigrad.draw import DrawError, Picture, draw, gradient_flow


def network(failure, shift=0.0):
    rng = np.random.default_rng(0)
    w = mg.Tensor(rng.standard_normal((6, 5)), requires_grad=True)
    v = mg.Tensor(rng.standard_normal((5, 2)), requires_grad=True)
    w.name, v.name = "w", "v"
    a = rng.standard_normal((16, 6)) @ w + shift
    with mg.scope("hidden"):
        h = mg.relu(a)
    if failure == "forward":
        h = mg.log(h - 1e3)
    if failure == "backward":
        h = mg.sqrt(h * h)
    return ((h @ v - 1) ** 2).sum()


def marked(graph):
    return [(node.op, node.fault) for node in graph.nodes if node.fault]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_first_nan_of_the_forward_pass():
    loss = network("forward")
    graph = draw(loss, grad="norm").graph
    assert marked(graph) == [("log", "first bad op, forward")]
    assert graph.diagnosis[0].startswith("Forward: log is the first whose result is not finite")
    assert "80 NaN of 80" in graph.diagnosis[0]


@pytest.mark.parametrize("retain", [False, True])
def test_the_first_infinity_of_the_backward_pass(retain):
    loss = network("backward")
    if retain:
        loss.backward(retain_graph=True)
    graph = draw(loss, grad="norm").graph
    assert marked(graph) == [("sqrt", "first bad op, backward")]
    assert "sqrt is the first to turn a finite gradient" in graph.diagnosis[0]
    assert "The slope of sqrt is infinite at 0" in graph.diagnosis[0]


def test_the_flags_of_anomaly_mode_are_enough():
    with mg.anomaly_mode("mark"):
        loss = network("backward")
        loss.backward()
    drawing = draw(loss, grad="norm")
    assert marked(drawing.graph) == [("sqrt", "first bad op, backward")]
    assert "Line of the forward:" in drawing.graph.diagnosis[0]
    assert "NaN" in drawing.dot.source
    assert Picture.from_json(drawing.json()).to_json() == drawing.json()


def test_a_leaf_that_holds_nan():
    x = mg.Tensor([1.0, np.nan], requires_grad=True)
    x.name = "x"
    graph = draw((x * 2).sum(), grad="norm").graph
    assert "the leaf 'x' holds 1 NaN of 2 numbers" in graph.diagnosis[0]
    assert graph.nodes[0].fault == "not finite"


def test_a_dead_layer_names_the_operation_and_its_leaves():
    graph = draw(network(None, shift=-1e3), grad="norm").graph
    # The gradient of v is 0 first: what it multiplies is 0. Behind it relu lets nothing through.
    assert any("exactly 0" in text for text in graph.diagnosis)
    assert ("relu", "passes exactly 0") in marked(graph)
    assert "'w'" in graph.diagnosis[0]


def test_dead_units_are_counted():
    graph = draw(network(None, shift=np.array([0, -1e3, 0, -1e3, 0])), grad="norm").graph
    assert marked(graph) == [("relu", "2 of 5 units dead")]
    assert "2 of the 5 units of relu in hidden are dead here: off for all 16" in graph.diagnosis[0]


def test_a_healthy_graph_has_no_marks():
    graph = draw(network(None), grad="norm").graph
    assert marked(graph) == []
    assert gradient_flow(network(None)).diagnosis == ()


@pytest.mark.parametrize("keep_readout", [False, True])
def test_a_state_that_was_detached_on_the_way(keep_readout):
    cell, state, outputs = LSTMCell(3, 4), None, []
    x = np.random.default_rng(0).standard_normal((2, 8, 3)).astype(np.float32)
    for t in range(8):
        with mg.step(t):
            state = cell(x[:, t], state)
        outputs.append(state[0])
        if t == 3:
            state = tuple(value.detach() for value in state)
    loss = sum((h * h).sum() for h in (outputs if keep_readout else outputs[-1:]))
    graph = draw(loss, level="cells", grad="norm").graph
    (fault,) = [node for node in graph.nodes if node.fault]
    assert (fault.kind, fault.step, fault.fault) == ("group", 4, "detached before")
    assert graph.diagnosis[0].startswith("Detached:")
    assert "step 4" in graph.diagnosis[0]
    assert "detached before" in draw(loss, level="cells", grad="norm").dot.source


def test_a_cell_that_breaks_is_marked_among_many_steps():
    layer = LSTM(3, 4)
    x = np.random.default_rng(0).standard_normal((2, 40, 3)).astype(np.float32)
    x[0, 17, 0] = np.nan
    with mg.anomaly_mode("mark"), mg.recording(fused=False):
        output, _ = layer(x)
        loss = (output**2).sum()
        loss.backward()
    drawing = draw(loss, grad="norm")
    (fault,) = [node for node in drawing.graph.nodes if node.fault.endswith("forward")]
    assert fault.step == 17
    assert "first bad op, forward" in drawing.dot.source
    assert "t = 17" in drawing.dot.source


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (lambda x: np.mean(np.log(x * 3.0)), "log"),
        (lambda x: np.sum(np.exp(x * 1e3)), "exp"),
        (lambda x: mg.concatenate([x, np.sqrt(x * 5.0)]).sum(), "sqrt"),
        (lambda x: mg.stack([np.log(x), x]).reshape(-1)[:3].sum(), "log"),
        (lambda x: (x / (x - x)).sum(), "divide"),
    ],
)
def test_values_that_nobody_saved_are_computed_again(bad, name):
    x = mg.Tensor([0.5, -0.1, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        graph = draw(bad(x), grad="norm").graph
    assert marked(graph) == [(name, "first bad op, forward")]
    assert f"{name} is the first whose result is not finite" in graph.diagnosis[0]


def test_what_cannot_be_known_is_said():
    x = mg.Tensor([0.5, -0.1, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        total = (x + np.array([1.0, np.inf, np.nan])).sum()  # addition saves neither of its inputs
    sentence = draw(total, grad="norm").graph.diagnosis[0]
    assert "sum is the first whose result is known not to be finite" in sentence
    assert "What it read from add was not kept; anomaly mode would tell" in sentence


def test_a_constant_that_is_not_finite_is_told_from_an_overflow():
    data = np.array([[1.0, np.nan], [2.0, 3.0]])
    w = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    sentence = draw((data @ w).sum(), grad="norm").graph.diagnosis[0]
    assert "matmul reads a constant, its input 0, that holds 1 NaN of 4 numbers" in sentence


def watched(kept):
    return mg.anomaly_mode("mark") if kept == "flags" else nullcontext()


def own_cell(dead_at=None, detach_at=None, steps=8):
    w = mg.Tensor(np.eye(3) * 0.9, requires_grad=True)
    w.name = "W"
    h = mg.Tensor(np.ones((2, 3)), requires_grad=True)
    for t in range(steps):
        with mg.step(t), mg.scope("mine"):
            h = mg.label_state(mg.relu(h @ w - (100.0 if t == dead_at else 0.0)), "memory")
        if t == detach_at:
            h = h.detach()
    return (h**2).sum()


def test_zeros_that_come_from_below_name_the_operation_that_made_them():
    graph = draw(own_cell(dead_at=7), level="ops", grad="norm").graph
    # The slope of the square is 0 at 0; the relu of the last step made that 0.
    assert marked(graph) == [("power", "passes exactly 0")]
    assert "'W' and 1 more leaf learn nothing" in graph.diagnosis[0]
    assert "exactly 0 everywhere since relu in mine, step 7" in graph.diagnosis[0]


def test_a_dead_layer_is_told_from_the_gradients_that_a_backward_left():
    with mg.anomaly_mode("mark"):
        loss = network(None, shift=-1e3)
        loss.backward()
    graph = draw(loss, grad="norm").graph
    assert "so 'w' and 'v' learn nothing" in graph.diagnosis[0]
    assert "On the way lies relu in hidden" in graph.diagnosis[0]
    assert "backward(retain_graph=True)" in graph.diagnosis[0]
    assert "gradient exactly 0" in [fault for _, fault in marked(graph)]
    with mg.anomaly_mode("mark"):
        healthy = network(None)
        healthy.backward()
    assert draw(healthy, grad="norm").graph.diagnosis == ()


@pytest.mark.parametrize("freed", [False, True])
def test_a_detached_state_of_a_cell_of_ones_own(freed):
    with mg.anomaly_mode("mark"):
        loss = own_cell(detach_at=3)
        loss.backward(retain_graph=not freed)
    graph = draw(loss, grad="norm").graph
    assert [(node.step, node.fault) for node in graph.nodes if node.fault] == [
        (4, "detached before")
    ]
    assert "mine begins at step 4" in graph.diagnosis[0]


def test_a_freed_graph_without_flags_is_refused_and_the_way_out_named():
    loss = own_cell()
    loss.backward()
    with pytest.raises(DrawError, match=r"backward\(retain_graph=True\)"):
        draw(loss, grad="norm")


@pytest.mark.parametrize(
    ("bad", "name", "hint"),
    [
        (lambda x: np.log(x * 0.0), "log", "Keep its input above 0"),
        (lambda x: np.exp(x * 1e4), "exp", "It overflows"),
        (lambda x: (x - x) / (x - x), "divide", "Keep the divisor away from 0"),
        (lambda x: (-x) ** 0.5, "power", "no fractional power"),
    ],
)
@pytest.mark.parametrize("kept", ["before", "retained", "flags"])
def test_failures_of_the_forward_pass_are_found_however_the_graph_was_kept(bad, name, hint, kept):
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"), watched(kept):
        loss = bad(x).sum()
        if kept != "before":
            loss.backward(retain_graph=kept == "retained")
        graph = draw(loss, grad="norm").graph
    assert marked(graph) == [(name, "first bad op, forward")]
    assert graph.diagnosis[0].startswith("Forward:")
    assert hint in graph.diagnosis[0]


def test_nan_that_arises_only_on_the_way_back():
    x = mg.Tensor([1.0, 0.0], requires_grad=True)
    loss = mg.where(np.array([True, False]), np.sqrt(x), 0.0).sum()  # 0 times infinity
    assert np.isfinite(loss.item())
    graph = draw(loss, grad="norm").graph
    assert marked(graph) == [("sqrt", "first bad op, backward")]
    assert "into one that is NaN" in graph.diagnosis[0]


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("kept", ["before", "retained", "flags"])
def test_bad_data_in_a_kernel_is_found(kind, kept):
    layer = kind(3, 4)
    x = np.random.default_rng(0).standard_normal((2, 12, 3)).astype(np.float32)
    x[0, 5, 0] = np.nan
    with watched(kept):
        output, _ = layer(x)
        loss = (output**2).sum()
        if kept != "before":
            loss.backward(retain_graph=kept == "retained")
    graph = draw(loss, level="ops", grad="norm").graph
    (fault,) = [node for node in graph.nodes if node.fault]
    assert fault.fault == "first bad op, forward"
    if kept == "flags":  # the kernel is freed, and cannot be opened any more
        assert "its argument x is a constant that was not finite" in graph.diagnosis[0]
    else:
        assert (fault.op, fault.step) == ("matmul", 5)
        assert "holds 1 NaN of 6 numbers: look at the data" in graph.diagnosis[0]
