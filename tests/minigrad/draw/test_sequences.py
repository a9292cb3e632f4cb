"""Which cell is which, and which call is the next step of which: names do not tell."""

import copy

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import DrawError, backprop_through_time, draw, gradient_flow, jacobian_spectra

CLASSES = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}
CELLS = {"rnn": layers.RNNCell, "lstm": layers.LSTMCell, "gru": layers.GRUCell}


def series(time=6, features=3, batch=2, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, time, features)).astype(np.float32)


def loss_of(value):
    return (value * value).sum()


def output_of(state):
    return state[0] if isinstance(state, tuple) else state


def steps_of(loss, **options):
    """The steps and the place on the time line of each lane, by its name."""
    found = backprop_through_time(loss, **options)
    return {str(lane.lane): (lane.steps.tolist(), lane.offset) for lane in found.lanes}


def check_picture(loss, cells, count, **options):
    """The numbers of boxes; no value goes back in time; and the states have the true gradients."""
    graph = draw(loss, level="cells", grad="norm", **options).graph
    nodes = {node.id: node for node in graph.nodes}
    assert sum(n.kind == "group" and n.layer is not None for n in graph.nodes) == cells
    assert sum(n.kind == "state" for n in graph.nodes) == count
    places = {(n.layer, n.state, n.time) for n in graph.nodes if n.kind == "state"}
    assert len(places) == count, "two states share one place"
    for edge in graph.edges:
        ends = nodes[edge.source].time, nodes[edge.target].time
        assert None in ends or ends[0] <= ends[1], (nodes[edge.source], nodes[edge.target])
    measured = sorted(n.gradient.norm for n in graph.nodes if n.kind == "state")
    lanes = backprop_through_time(loss, **options).lanes
    norms = sorted(float(norm) for lane in lanes for norm in lane.norms)
    np.testing.assert_allclose(measured, norms, rtol=1e-4, atol=1e-7)
    return graph


@pytest.mark.parametrize("kind", CLASSES)
def test_two_layers_of_one_name_are_two(kind):
    a, b = CLASSES[kind](3, 4), CLASSES[kind](4, 4)
    loss = loss_of(b(a(series(3))[0])[0])
    count = len(a.cell.states)
    assert len(steps_of(loss)) == 2 * count
    check_picture(loss, 6, 6 * count)
    name = type(a).__name__
    gates = backprop_through_time(loss).gates
    assert len(gates) == 2 * len(a.cell.routes.detours)
    for cell in (f"{name}.l0", f"{name} (2).l0"):
        assert jacobian_spectra(loss, cell=cell).matrices.shape == (2, 4 * count, 4 * count)
    with pytest.raises(DrawError, match=rf"there are '{name}\.l0', '{name} \(2\)\.l0'"):
        jacobian_spectra(loss, cell="x")
    boxes = draw(loss, level="layers", grad="norm").graph
    assert sum(n.op == f"{name}Cell" for n in boxes.nodes) == 2
    assert {s.path for s in boxes.scopes} >= {name, f"{name} (2)"}


def test_the_gradients_of_two_layers_of_one_name_are_their_own():
    a, b = layers.LSTM(3, 4), layers.LSTM(4, 4)
    middle, _ = a(series(3))
    middle.retain_grad()
    loss = loss_of(b(middle)[0])
    found = {str(lane.lane): lane.norms for lane in backprop_through_time(loss).lanes}
    loss.backward(retain_graph=True)
    # The lower layer's last state is read by the upper one alone.
    last = np.linalg.norm(middle.grad.numpy()[:, -1])
    assert found["LSTM.l0.h"][-1] == pytest.approx(last, rel=1e-5)
    assert found["LSTM (2).l0.h"][-1] != pytest.approx(last, rel=1e-2)


class Holder(layers.Module):
    """Cells in a tuple, which keeps them out of the tree of modules, and cells in containers."""

    def __init__(self, where):
        super().__init__()
        cells = layers.GRUCell(3, 4), layers.GRUCell(4, 4)
        if where == "tuple":
            self.cells = cells
        elif where == "list":
            self.cells = layers.ModuleList(cells)
        elif where == "dict":
            self.cells = layers.ModuleDict({"a": cells[0], "b": cells[1]})
        else:
            self.holder = lambda: cells  # hidden in a closure
        self.where = where

    def forward(self, x):
        held = self.holder() if self.where == "closure" else self.cells
        first, second = held.values() if self.where == "dict" else held
        h = g = None
        for t in range(x.shape[1]):
            h = first(x[:, t], h)
            g = second(h, g)
        return g


@pytest.mark.parametrize("where", ["tuple", "list", "dict", "closure"])
def test_cells_in_tuples_lists_dicts_and_closures(where):
    loss = loss_of(Holder(where)(series()))
    assert list(steps_of(loss).values()) == [(list(range(6)), 0)] * 2
    check_picture(loss, 12, 12)


def test_a_copy_of_a_module_is_somebody_else():
    cell = layers.GRUCell(3, 3)
    other = copy.deepcopy(cell)
    h = cell(series()[:, 0])
    loss = loss_of(other(series()[:, 1], h))
    assert [steps for steps, _ in steps_of(loss).values()] == [[0], [0]]


@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_of_calls_is_time(kind):
    x, cell, state = series(), CELLS[kind](3, 4), None
    for t in range(6):
        state = cell(x[:, t], state)
    loss = loss_of(output_of(state))
    count = len(cell.states)
    assert list(steps_of(loss).values()) == [(list(range(6)), 0)] * count
    check_picture(loss, 6, 6 * count)
    assert len(backprop_through_time(loss).routes.names) >= 1
    assert draw(loss, level="cells", roll=True).graph.nodes


@pytest.mark.parametrize("stepped", [False, True])
def test_two_cells_in_a_loop_with_and_without_steps(stepped):
    x, a, b = series(), layers.GRUCell(3, 4), layers.GRUCell(4, 4)
    h = g = None
    for t in range(6):
        if stepped:
            with mg.step(t):
                h = a(x[:, t], h)
                g = b(h, g)
        else:
            h = a(x[:, t], h)
            g = b(h, g)
    assert list(steps_of(loss_of(g)).values()) == [(list(range(6)), 0)] * 2
    check_picture(loss_of(g), 12, 12)


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("depth", [False, True])
def test_one_cell_on_two_sequences_or_over_depth_has_lanes_for_each(stepped, depth):
    x, cell = series(5, features=4), layers.LSTMCell(4, 4)
    first = second = None
    for t in range(5):
        if stepped:
            with mg.step(t):
                first = cell(x[:, t], first)
                second = cell(first[0] if depth else x[:, 4 - t], second)
        else:
            first = cell(x[:, t], first)
            second = cell(first[0] if depth else x[:, 4 - t], second)
    loss = loss_of(first[0] * second[0])
    found = steps_of(loss)
    assert list(found.values()) == [(list(range(5)), 0)] * 4
    assert {name.rpartition(".")[0] for name in found} == {"LSTMCell", "LSTMCell, sequence 2"}
    check_picture(loss, 10, 20)


def test_two_loops_over_one_cell_are_two_sequences():
    x, cell = series(5), layers.GRUCell(3, 4)
    ends = []
    for part in (x, x[:, :3]):
        h = None
        for t in range(part.shape[1]):
            h = cell(part[:, t], h)
        ends.append(h)
    loss = loss_of(ends[0] - ends[1])
    assert [steps for steps, _ in steps_of(loss).values()] == [list(range(5)), list(range(3))]
    check_picture(loss, 8, 8)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("chunk", [1, 2])
def test_a_layer_called_for_each_piece_of_a_sequence_goes_on(kind, fused, chunk):
    layer, x, state, outputs = CLASSES[kind](3, 4, num_layers=2), series(), None, []
    with mg.recording(fused=fused):
        for t in range(0, 6, chunk):
            output, state = layer(x[:, t : t + chunk], state)
            outputs.append(output)
        loss = loss_of(mg.concatenate(outputs, axis=1))
    count = len(layer.cell.states)
    assert list(steps_of(loss).values()) == [(list(range(6)), 0)] * 2 * count
    check_picture(loss, 12, 12 * count)
    whole = backprop_through_time(loss_of(layer(x)[0])).lane("h").norms
    np.testing.assert_allclose(backprop_through_time(loss).lane("h").norms, whole, rtol=1e-4)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("pieces", [False, True])
def test_encoder_and_decoder_have_time_axes_of_their_own(kind, pieces):
    encoder, decoder = CLASSES[kind](3, 4), CLASSES[kind](3, 4)
    _, state = encoder(series(5))
    y, outputs = series(4, seed=1), []
    if pieces:
        for t in range(4):
            output, state = decoder(y[:, t : t + 1], state)
            outputs.append(output)
    else:
        outputs.append(decoder(y, state)[0])
    loss = loss_of(mg.concatenate(outputs, axis=1))
    count = len(encoder.cell.states)
    expected = [(list(range(5)), 0)] * count + [(list(range(4)), 5)] * count
    assert list(steps_of(loss).values()) == expected
    graph = check_picture(loss, 9, 9 * count)
    title = f"5 steps of {kind.upper()}Cell, then 4 steps of {kind.upper()}Cell"
    assert title in graph.title
    lane = backprop_through_time(loss).lanes[0]
    assert lane.lags.tolist() == [8, 7, 6, 5, 4]  # steps back from the decoder's last
    text = draw(loss, level="cells", grad="norm")
    assert text.dot.source.count('label="t = 0"') == 2


def test_a_decoder_that_is_fed_its_own_output_has_its_head_beside_each_step():
    encoder, decoder, head = layers.GRU(3, 4), layers.GRU(3, 4), layers.Linear(4, 3)
    _, h = encoder(series(5))
    x, loss = np.zeros((2, 1, 3), np.float32), 0.0
    for _ in range(3):
        y, h = decoder(x, h)
        x = head(y)
        loss = loss + loss_of(x)
    graph = check_picture(loss, 8, 8)
    heads = [(n.step, n.offset) for n in graph.nodes if n.op == "Linear"]
    assert heads == [(0, 5), (1, 5), (2, 5)]


def test_the_layers_of_a_decoder_share_its_axis():
    encoder, decoder = layers.LSTM(3, 4, num_layers=2), layers.LSTM(3, 4, num_layers=2)
    loss = loss_of(decoder(series(4), encoder(series(6))[1])[0])
    offsets = [offset for _, offset in steps_of(loss).values()]
    assert offsets == [0] * 4 + [6] * 4


def test_both_directions_and_reverse_keep_their_steps():
    layer = layers.GRU(3, 4, bidirectional=True, num_layers=2)
    loss = loss_of(layer(series(4))[0])
    assert list(steps_of(loss).values()) == [(list(range(4)), 0)] * 4
    reverse = backprop_through_time(loss_of(layers.GRU(3, 4, reverse=True)(series(4))[0])).lanes[0]
    assert reverse.backwards
    assert reverse.steps.tolist() == [0, 1, 2, 3]


def test_scan_knows_functions_apart_and_goes_on_with_one():
    def make(size):
        weight = mg.Tensor(np.eye(3) * size, requires_grad=True)

        def cell(x, state):
            return np.tanh(x if state is None else x + state @ weight)

        return cell

    x = series(4).astype(float)
    first, second = make(0.5), make(0.4)
    _, state = layers.scan(first, x[:, :2])
    _, state = layers.scan(first, x[:, 2:], state)
    output, _ = layers.scan(second, x, state)
    found = steps_of(loss_of(output))
    assert list(found.values()) == [([0, 1, 2], 0), ([0, 1, 2, 3], 3)]  # step 0 reads no weight


def by_hand(kind, time=6, every=False):
    """A cell in plain operations: its loss, and its states h (and c) at every step."""
    rng = np.random.default_rng(0)
    rows = 16 if kind == "lstm" else 4
    u, w, b, v = (
        mg.Tensor(rng.standard_normal(shape) * 0.5, requires_grad=True)
        for shape in ((4, rows), (3, rows), (rows,), (4, 2))
    )
    x, h, c = series(time).astype(float), np.zeros((2, 4)), np.zeros((2, 4))
    states, loss = [], 0.0
    for t in range(time):
        a = h @ u + x[:, t] @ w + b
        if kind == "lstm":
            i, f, o = (mg.sigmoid(a[:, 4 * k : 4 * k + 4]) for k in (0, 1, 3))
            c = f * c + i * np.tanh(a[:, 8:12])
            h = o * np.tanh(c)
        else:
            h = np.tanh(a)
        states.append((h, c) if kind == "lstm" else (h,))
        if every:
            loss = loss + loss_of(h @ v)
    return (loss if every else loss_of(h @ v)), states


def true_norms(loss, tensors):
    return [float(np.linalg.norm(mg.gradients(loss, t).numpy())) for t in tensors]


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("every", [False, True])
def test_a_recurrence_in_plain_operations_is_found(kind, every):
    loss, states = by_hand(kind, every=every)
    count = len(states[0])
    check_picture(loss, 6, 6 * count)
    found = backprop_through_time(loss)
    for place, name in enumerate("hc"[:count]):
        expected = true_norms(loss, [step[place] for step in states])
        np.testing.assert_allclose(found.lane(name).norms, expected, rtol=1e-10)


@pytest.mark.parametrize("form", ["mapping", "pairs", "tensors"])
def test_states_can_be_named(form):
    loss, states = by_hand("lstm")
    h, c = [s[0] for s in states], [s[1] for s in states]
    named = {"mapping": {"hidden": h, "cell": c}, "pairs": states, "tensors": h}[form]
    names = {"mapping": ["cell", "hidden"], "pairs": ["c", "h"], "tensors": ["h"]}[form]
    found = backprop_through_time(loss, states=named)
    assert sorted(lane.lane.state for lane in found.lanes) == names
    np.testing.assert_allclose(found.lane(names[-1]).norms, true_norms(loss, h), rtol=1e-10)
    check_picture(loss, 6, 6 * len(names), states=named)
    size = 4 * len(names)
    assert jacobian_spectra(loss, states=named).matrices.shape == (5, size, size)
    assert draw(loss, states=named).graph.level == "cells"


def test_wrong_named_states_say_what_is_wrong():
    loss, states = by_hand("rnn")
    h = [s[0] for s in states]
    with pytest.raises(DrawError, match="as many time steps of each state, got h: 6, c: 2"):
        draw(loss, states={"h": h, "c": h[:2]})
    with pytest.raises(DrawError, match="'h' at step 1 must be a tensor with a recorded graph"):
        draw(loss, states=[h[0], np.zeros(3)])
    with pytest.raises(DrawError, match="the loss does not depend on 'h' at step 0"):
        draw(loss, states=[mg.Tensor(np.ones(2), requires_grad=True) * 2])
    with pytest.raises(DrawError, match="states is empty: name a tensor for every time step"):
        draw(loss, states=[])


def test_states_labelled_outside_of_all_scopes_are_drawn():
    u, w = (mg.Tensor(np.eye(3) * s, requires_grad=True) for s in (0.5, 1.0))
    x, h = series(4).astype(float), np.zeros((2, 3))
    projected = x @ w  # for all steps at once: shared, so in no step's box
    for t in range(4):
        h = mg.label_state(np.tanh(projected[:, t] + h @ u), "h")
    graph = check_picture(loss_of(h), 4, 4)
    assert [n.op for n in graph.nodes if n.kind == "op"] == ["matmul"]


def test_a_label_may_name_the_state_before():
    weight = mg.Tensor(np.eye(2) * 0.5, requires_grad=True)
    low = high = mg.Tensor(np.ones((1, 2)), requires_grad=True)
    for _ in range(3):
        low = mg.label_state(low @ weight, "h", before=low)
        high = mg.label_state((high + low) @ weight, "h", before=high)
    assert [steps for steps, _ in steps_of(loss_of(high)).values()] == [[0, 1, 2], [0, 1, 2]]


def test_a_network_without_recurrence_says_how_to_label_states():
    with pytest.raises(DrawError, match=r"states=\{'h': \[h0, h1, \.\.\.\]\}"):
        backprop_through_time(loss_of(layers.Linear(3, 4)(series())))


def test_a_detached_state_with_steps_stays_one_lane_and_is_told():
    x, cell, h = series(), layers.GRUCell(3, 4), None
    outputs = []
    for t in range(6):
        with mg.step(t):
            h = cell(x[:, t], h.detach() if t == 3 else h)
            outputs.append(h)
    loss = loss_of(mg.stack(outputs))
    assert list(steps_of(loss).values()) == [(list(range(6)), 0)]
    faults = gradient_flow(loss).diagnosis
    assert any("at step 3 does not depend on that at step 2" in text for text in faults)


def test_a_step_that_was_given_counts_before_one_that_was_counted():
    cell, x = layers.GRUCell(3, 3), series()
    h = None
    for t in range(4):
        with mg.step(t):
            h = cell(cell(x[:, t], h), None)  # called twice within one step
    assert h._node.scope.time_step == 3
