"""What graphs, drawings and measures of gradient flow know of a cell of one's own."""

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import Cell, Linear, Module, Recurrent, Routes, freeze_finished
from minigrad.draw import backprop_through_time, draw, gradient_flow
from tests.layers.user_cells import MGU, MGUCell, TraceCell, TraceLayers

X = np.random.default_rng(0).standard_normal((2, 5, 3))


class OwnLSTMCell(Cell):
    """The equations of an LSTM as a user would write them."""

    states = ("h", "c")
    gates = ("input", "forget", "candidate", "output")
    routes = Routes("c", ("input gate", "forget gate", "candidate", "output gate"))

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.inputs = Linear(input_size, 4 * hidden_size)
        self.hidden = Linear(hidden_size, 4 * hidden_size)

    def step(self, x, states, active=None):
        h, c = states
        a, n = self.inputs(x) + self.hidden(h), self.hidden_size
        with mg.scope("input gate"):
            i = mg.sigmoid(a[:, :n])
        with mg.scope("forget gate"):
            f = mg.sigmoid(a[:, n : 2 * n])
        with mg.scope("candidate"):
            g = mg.tanh(a[:, 2 * n : 3 * n])
        with mg.scope("output gate"):
            o = mg.sigmoid(a[:, 3 * n :])
        new = freeze_finished(active, f * c + i * g, c)
        return (freeze_finished(active, o * mg.tanh(new), h), new), (i, f, g, o)


class Model(Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths=None):
        output, _ = self.layer(x, lengths=lengths)
        return (output**2).sum()


def twins(**options):
    """Models of the built-in LSTM and of the same equations in a cell of one's own."""
    with mg.default_dtype("float64"):
        known, own = layers.LSTM(3, 4, **options), Recurrent(OwnLSTMCell, 3, 4, **options)
    names = {"weight_ih": "inputs.weight", "weight_hh": "hidden.weight"}
    names |= {"bias_ih": "inputs.bias", "bias_hh": "hidden.bias"}
    own.load_state_dict(
        {
            f"{name.split('_', 2)[2]}.{names['_'.join(name.split('_', 2)[:2])]}": array
            for name, array in known.state_dict().items()
        }
    )
    return Model(known), Model(own)


OPTIONS = [{}, {"num_layers": 2, "bidirectional": True}, {"reverse": True}]


@pytest.mark.parametrize("lengths", [None, [5, 2]])
@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_through_time_are_those_of_the_built_in_layer(options, lengths):
    known, own = (model(X, lengths) for model in twins(**options))
    assert known.item() == pytest.approx(own.item(), rel=1e-12)
    one, other = backprop_through_time(known), backprop_through_time(own)
    assert [(lane.lane.cell, lane.lane.state) for lane in one.lanes] == [
        (lane.lane.cell, lane.lane.state) for lane in other.lanes
    ]
    for a, b in zip(one.lanes, other.lanes, strict=True):
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-9)
    assert one.routes.names == other.routes.names
    for lane in one.lanes:
        ours, theirs = (f.routes.series(lane.lane, lane.offset)[2] for f in (one, other))
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    for a, b in zip(one.gates, other.gates, strict=True):
        assert (a.cell, a.name) == (b.cell, b.name)
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-9)


@pytest.mark.parametrize("options", OPTIONS)
def test_pictures_are_like_those_of_the_built_in_layer(options):
    known, own = (draw(model(X, [5, 2]), level="cells", grad="norm") for model in twins(**options))

    def boxes(drawing):
        return sorted(
            (n.kind, n.op.replace("Own", ""), n.layer or 0, n.reverse, n.state, n.step or 0)
            for n in drawing.graph.nodes
            if n.kind in ("group", "state")
        )

    assert boxes(known) == boxes(own)
    assert known.graph.title == own.graph.title.replace("Own", "")
    assert "Model.layer.l0" in str(own)


@pytest.mark.parametrize("kind", [MGU, TraceLayers])
@pytest.mark.parametrize("level", ["cells", "ops", "layers"])
def test_every_level_is_drawn(kind, level):
    loss = Model(kind(3, 4, num_layers=2, bidirectional=True))(X.astype("float32"), [5, 3])
    drawing = draw(loss, level=level, grad="norm", max_nodes=5000)
    assert drawing.svg().startswith("<?xml")


@pytest.mark.parametrize("kind", [MGUCell, TraceCell])
@pytest.mark.parametrize("reverse", [False, True])
def test_steps_states_routes_and_gates_are_in_the_graph(kind, reverse):
    layer = Recurrent(kind, 3, 4, reverse=reverse)
    output, last = layer(X)
    ends = list(last) if isinstance(last, tuple) else [last]
    nodes = {node for value in (output, *ends) for node in mg.graph(value).nodes}
    marked = [n for n in nodes if n.scope is not None and n.scope.state]
    found = sorted((n.scope.time_step, n.scope.state) for n in marked)
    assert found == sorted((t, s) for t in range(5) for s in kind.states)
    assert {node.scope.path for node in marked} == {"Recurrent.l0"}
    cells = {s for n in marked for s in n.scope.chain() if s.kind == kind.__name__}
    assert [cell.routes for cell in cells] == [kind.routes]
    measured = backprop_through_time((output**2).sum())
    assert set(measured.routes.names) > set(kind.routes.detours)
    assert kind.routes.detours[0] in {gate.name for gate in measured.gates}
    flow = gradient_flow((output**2).sum())
    assert flow.check() < 1e-5


def test_states_that_are_one_tensor_or_what_was_given_are_all_labelled():
    class Plain(Cell):
        states = ("h", "copy", "kept")

        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.start = layers.Parameter([1.0])

        def init_state(self, batch, dtype):
            return tuple(self.start + np.zeros((*batch, self.hidden_size), dtype) for _ in range(3))

        def step(self, x, states):
            h = mg.tanh(x + states[0])
            return h, h, states[2]

    _, states = Recurrent(Plain, 3, 3)(X)
    found = backprop_through_time(sum((value**2).sum() for value in states))
    assert {lane.lane.state for lane in found.lanes} == {"h", "copy", "kept"}
    assert len(found.lane("h").norms) == 5
    assert len(found.lane("copy").norms) == 1  # no step reads it; the loss reads the last
    np.testing.assert_allclose(found.lane("kept").norms, [found.lane("kept").norms[-1]] * 5)


def test_the_highway_of_a_cell_of_ones_own():
    """Along the trace the gradient falls by its decay alone, where nothing else leads back."""
    with mg.default_dtype("float64"):
        layer = TraceLayers(3, 4)
    with mg.no_grad():
        layer.l0.write.weight[...] = 0.0
        layer.l0.decay[...] = 0.5
    _, (trace, _) = layer(X)
    found = backprop_through_time(trace.sum())
    np.testing.assert_allclose(
        found.lane("trace").norms, np.sqrt(6) * 0.5 ** np.arange(4, -1, -1), rtol=1e-12
    )


@pytest.mark.parametrize("lengths", [None, [5, 2]])
@pytest.mark.parametrize("kind", [layers.LSTMCell, OwnLSTMCell, TraceCell, MGUCell])
def test_scan_and_layers_measure_the_same_along_every_state(kind, lengths):
    with mg.default_dtype("float64"):
        layer, cell = Recurrent(kind, 3, 4), kind(3, 4)
    cell.load_state_dict({n.removeprefix("l0."): a for n, a in layer.state_dict().items()})
    outputs = layer(X, lengths=lengths)[0], layers.scan(cell, X, lengths=lengths)[0]
    one, other = (backprop_through_time((output**2).sum()) for output in outputs)
    for state in kind.states:
        np.testing.assert_allclose(one.lane(state).norms, other.lane(state).norms, rtol=1e-9)
