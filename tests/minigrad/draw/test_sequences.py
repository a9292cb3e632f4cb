"""Which cell is which, and which call is the next step of which: names do not tell."""

import copy

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import DrawError, backprop_through_time, draw, gradient_flow, jacobian_spectra
from tests.minigrad.draw.lanes_of import (
    CELLS,
    CLASSES,
    check_picture,
    loss_of,
    output_of,
    series,
    steps_of,
)


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


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_a_kernel_that_reads_each_state_is_no_step_of_its_own(fused, compiled):
    """Opened, its copy of the state is where the state was made, and yet not one more state."""

    def readout(h):
        return mg.cross_entropy(mg.layer_norm(h), [1, 2])

    x, cell, h, loss = series(), layers.GRUCell(3, 4), None, 0.0
    loss_at = mg.compile(readout, backend="plain") if compiled else readout
    with mg.recording(fused=fused):
        for t in range(6):
            h = cell(x[:, t], h)
            loss += loss_at(h)
    assert steps_of(loss) == {"GRUCell.h": (list(range(6)), 0)}
    check_picture(loss, 6, 6)


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


def test_a_state_that_passes_through_another_cell_goes_on():
    a, b, x = layers.GRUCell(3, 4), layers.GRUCell(4, 4), series(4)
    h = g = None
    for t in range(4):  # a transition of two cells
        h = a(x[:, t], g)
        g = b(np.ones((2, 4), np.float32), h)
    assert list(steps_of(loss_of(g)).values()) == [([0, 1, 2, 3], 0)] * 2
    g = np.zeros((2, 4), np.float32)
    for t in range(4):  # the lower cell's state is the upper one's
        h = a(x[:, t], g)
        g = b(h, g)
    assert list(steps_of(loss_of(g)).values()) == [([0, 1, 2, 3], 0)] * 2
    check_picture(loss_of(g), 8, 8)


def test_a_decoder_that_attends_to_as_many_steps_comes_after_them():
    y, _ = layers.GRU(3, 4)(series(4))
    cell, h = layers.GRUCell(4, 4), None
    for _ in range(4):
        query = np.zeros((2, 1, 4), np.float32) if h is None else h[:, None]
        weights = mg.softmax((y * query).sum(axis=-1), axis=1)[:, :, None]
        h = cell((y * weights).sum(axis=1), h)
    assert [offset for _, offset in steps_of(loss_of(h)).values()] == [0, 4]
    check_picture(loss_of(h), 8, 8)


def test_no_value_goes_back_in_time_where_steps_are_only_counted():
    x, inner, outer = series(4), layers.GRU(3, 4), layers.GRUCell(4, 4)
    h = None
    for _ in range(3):
        y, _ = inner(x)
        h = outer(y[:, -1], h)
    check_picture(loss_of(h), 15, 15)
    assert draw(loss_of(h), level="layers").graph.nodes
    there, back, both = layers.GRUCell(3, 4), layers.GRUCell(3, 4), layers.GRUCell(8, 4)
    made = [], [None] * 4
    h = None
    for t in range(4):
        h = there(x[:, t], h)
        made[0].append(h)
    h = None
    for t in reversed(range(4)):
        h = back(x[:, t], h)
        made[1][t] = h
    h = None
    for t in range(4):
        h = both(np.concatenate([made[0][t], made[1][t]], axis=1), h)
    check_picture(loss_of(h), 12, 12)


@pytest.mark.parametrize("kind", CELLS)
def test_a_checkpointed_cell_in_a_loop(kind):
    cell, state = CELLS[kind](3, 4), None
    for t in range(4):
        state = mg.checkpoint(cell)(mg.Tensor(series()[:, t]), state)
    loss = loss_of(output_of(state))
    found = backprop_through_time(loss)
    assert all(lane.steps.tolist() == [0, 1, 2, 3][: len(lane.steps)] for lane in found.lanes)
    assert len(found.lanes) == len(cell.states)
    assert draw(loss, level="cells", grad="norm").graph.nodes


def test_operations_before_a_readout_are_no_part_of_the_loss():
    y, _ = layers.GRU(3, 4)(series())
    graph = draw((layers.Linear(4, 1)(mg.relu(y)) ** 2).mean(), level="cells", grad="norm").graph
    names = {node.id: node.op or node.state for node in graph.nodes}
    ways = {(names[edge.source], names[edge.target]) for edge in graph.edges}
    assert ("Linear", "loss") in ways
    assert ("loss", "Linear") not in ways


class Seq2Seq(layers.Module):
    """An encoder, a decoder that is called once a step, and a readout of each step."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = layers.GRU(3, 4), layers.GRU(3, 4)
        self.readout = layers.Linear(4, 2)

    def forward(self, x):
        _, h = self.encoder(x)
        outputs = []
        for t in range(3):
            y, h = self.decoder(x[:, t : t + 1], h)
            outputs.append(self.readout(y)[:, 0])
        return np.stack(outputs, axis=1)


def test_a_readout_of_each_step_is_one_box_a_step_on_the_decoders_axis():
    graph = check_picture(loss_of(Seq2Seq()(series())), 9, 9)
    readouts = [(n.step, n.offset) for n in graph.nodes if n.op == "readout"]
    assert readouts == [(0, 6), (1, 6), (2, 6)]
