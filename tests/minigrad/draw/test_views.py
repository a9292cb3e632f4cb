"""From the tape to records: structure, exact sums, and closed forms for the gradient's path."""

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, Linear, LSTMCell, Module
from minigrad.draw import DrawError, draw


class Reader(Module):
    """LSTM layers and a linear head on the last hidden state, or on all of them."""

    def __init__(self, layers=1, hidden=5, every=False):
        super().__init__()
        self.lstm = LSTM(3, hidden, layers)
        self.head = Linear(hidden, 2)
        self.every = every

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.head(output if self.every else output[:, -1])


def recorded_loss(model, steps=4, batch=2):
    x = mg.Tensor(np.random.default_rng(0).standard_normal((batch, steps, 3)), requires_grad=True)
    x.name = "x"
    model.to("float64")
    with mg.recording(fused=False):
        return (model(x) ** 2).sum(), x


def nodes_of(graph, **wanted):
    return [n for n in graph.nodes if all(getattr(n, k) == v for k, v in wanted.items())]


def test_a_square_has_two_edges_and_a_chain_of_doublings_stays_small():
    x = mg.Tensor(2.0, requires_grad=True)
    graph = draw(x * x).graph
    assert [(e.source, e.target, e.slot) for e in graph.edges] == [(0, 1, 0), (0, 1, 1)]
    y = x
    for _ in range(40):
        y = y + y
    assert len(draw(y).graph.nodes) == 41


def test_operation_records():
    w = mg.Tensor(np.ones((3, 2)), requires_grad=True)
    w.name = "w"
    with mg.scope("outer", kind="Outer"), mg.step(4):
        y = np.tanh(w).sum(axis=1)
    graph = draw(y, level="ops").graph
    leaf, tanh, total = graph.nodes
    assert (leaf.kind, leaf.name, leaf.shape, leaf.dtype) == ("input", "w", (3, 2), "float64")
    assert (tanh.kind, tanh.op, tanh.scope, tanh.step) == ("op", "tanh", "outer", 4)
    assert total.detail == "axis=1"
    assert [(s.path, s.name, s.parent) for s in graph.scopes] == [("outer", "Outer", "")]


def test_parameters_of_a_call_at_their_default_are_left_out():
    x = mg.Tensor(np.ones((2, 3)), requires_grad=True)
    target = np.array([0, 2])

    def detail(y):
        return draw(y, level="ops", show=("kernels",)).graph.nodes[-1].detail

    assert detail(mg.cross_entropy(x, target)) == "target=array[2]"
    smooth = mg.cross_entropy(x, target, label_smoothing=0.1, reduction="sum")
    assert detail(smooth) == "target=array[2], reduction='sum', label_smoothing=0.1"
    assert detail(mg.gelu(x)) == ""
    assert detail(mg.gelu(x, approximate="tanh")) == "approximate='tanh'"
    assert detail(mg.softmax(x, axis=0)) == "axis=0"


def test_parameters_are_told_from_inputs():
    loss, _ = recorded_loss(Reader())
    graph = draw(loss, level="ops").graph
    assert {n.name for n in nodes_of(graph, kind="parameter")} == {
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight", "bias",
    }  # fmt: skip
    # Each of the four time steps has a tag of its own for the input that it reads.
    assert [(n.name, n.step) for n in nodes_of(graph, kind="input")] == [("x", t) for t in range(4)]


def test_operation_gradients_are_exact_and_shares_sum_to_one():
    x = mg.Tensor([1.0, -2.0, 0.5], dtype="float64", requires_grad=True)
    loss = (x * x * x + np.exp(x)).sum()
    graph = draw(loss, grad="norm").graph
    x.grad = None
    loss.backward()
    assert graph.nodes[0].gradient.norm == pytest.approx(np.linalg.norm(x.grad.numpy()))
    shares = [e.contribution.share for e in graph.edges if e.source == 0]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(1)


CUBED = mg.compile(lambda a: a * a * a)
REPEATED = {
    "a compiled call": CUBED,
    "two compiled calls": lambda x: CUBED(x) + CUBED(x),
    "one array given twice": mg.compile(lambda a, b: a * b * a + np.exp(b)),
    "a kernel": mg.logsumexp,
    "no dropout": lambda x: np.power(mg.dropout(x, 0.5, training=False), 3) * x,
}


@pytest.mark.parametrize("name", REPEATED)
def test_shares_are_of_the_whole_gradient_where_copies_of_an_array_are_read(name):
    x = mg.Tensor([1.0, -2.0, 0.5], dtype="float64", requires_grad=True)
    given = (x, x) if "given twice" in name else (x,)
    for _ in range(2):  # the second call of a compiled function is a program
        loss = (REPEATED[name](*given) + 2 * np.sin(x)).sum()
    graph = draw(loss, grad="norm", level="ops").graph
    edges = [e for e in graph.edges if e.source == 0]
    assert len(edges) >= 2
    assert sum(e.contribution.share for e in edges) == pytest.approx(1)
    whole = mg.gradients(loss, x)
    plain = 2 * np.cos(x.numpy())
    part = float(plain @ whole.numpy() / (whole @ whole).item())
    assert any(e.contribution.share == pytest.approx(part) for e in edges)


def test_drawing_changes_no_value_and_no_gradient():
    model = Reader(2)
    loss, x = recorded_loss(model)
    before = model.state_dict()
    draw(loss, grad="norm")
    draw(loss, level="ops", grad="norm")
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    loss.backward()
    assert x.grad is not None


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("every", [False, True])
def test_cells_have_one_box_per_layer_and_step_and_states_with_exact_gradients(layers, every):
    model = Reader(layers, every=every)
    loss, x = recorded_loss(model)
    truth = true_state_gradients(loss)
    graph = draw(loss, level="cells", grad="norm").graph
    cells = nodes_of(graph, kind="group", op="LSTMCell")
    assert {(n.layer, n.step) for n in cells} == {(k, t) for k in range(layers) for t in range(4)}
    states = nodes_of(graph, kind="state")
    assert len(states) == 2 * layers * 4
    for node in states:
        expected = truth[node.layer, node.step, node.state]
        assert node.gradient.norm == pytest.approx(expected, rel=1e-6, abs=1e-9), node
    others = {n.op for n in graph.nodes if n.kind in ("op", "group")} - {"LSTMCell"}
    assert others == {"head", "loss"}
    loss.backward()
    (leaf,) = nodes_of(graph, kind="input")
    assert leaf.gradient.norm == pytest.approx(np.linalg.norm(x.grad.numpy()))


def true_state_gradients(loss):
    """The gradient norm of every labelled state, from `gradients` on the same graph."""
    stack, seen = [loss._node], {}
    while stack:
        node = stack.pop()
        if node.number not in seen:
            seen[node.number] = node
            stack += [source for source in node.inputs if source is not None]
    states = [n for n in seen.values() if n.scope is not None and n.scope.state]
    paths = list(dict.fromkeys(n.scope.path for n in sorted(states, key=lambda n: n.number)))
    from minigrad.core.backward import pull_back

    found = pull_back([(loss._node, np.ones((), loss.dtype))], states)
    return {
        (paths.index(n.scope.path), n.scope.time_step, n.scope.state): np.linalg.norm(found[n])
        for n in states
        if n in found
    } | {
        (paths.index(n.scope.path), n.scope.time_step, n.scope.state): 0.0
        for n in states
        if n not in found
    }


def scalar_lstm(forget_bias, steps):
    """An LSTM without weights: f = sigmoid(forget_bias) always, so dc_T/dc_0 = f ** T."""
    lstm = LSTM(1, 1)
    state = {name: np.zeros_like(array) for name, array in lstm.state_dict().items()}
    state["bias_ih_l0"][1] = forget_bias
    lstm.load_state_dict(state)
    with mg.recording(fused=False):
        x = mg.Tensor(np.zeros((1, steps, 1)), requires_grad=True)
        _, (_, c) = lstm(x, (np.zeros((1, 1, 1)), np.ones((1, 1, 1))))
        return c.sum()


@pytest.mark.parametrize("forget_bias", [0.0, 2.0, -3.0])
def test_the_cell_lane_decays_by_the_forget_gate(forget_bias):
    graph = draw(scalar_lstm(forget_bias, 6), level="cells", grad="norm").graph
    norms = {n.step: n.gradient.norm for n in nodes_of(graph, kind="state", state="c")}
    forget = 1 / (1 + np.exp(-forget_bias))
    for step in range(5):
        assert norms[step] == pytest.approx(forget ** (5 - step), rel=1e-6)


def test_a_closed_forget_gate_lets_nothing_through():
    graph = draw(scalar_lstm(-np.inf, 4), level="cells", grad="norm").graph
    norms = {n.step: n.gradient.norm for n in nodes_of(graph, kind="state", state="c")}
    assert norms[0] == 0
    assert any("exactly zero" in sentence for sentence in graph.diagnosis)


def test_an_open_forget_gate_keeps_everything():
    graph = draw(scalar_lstm(np.inf, 30), level="cells", grad="norm").graph
    norms = [n.gradient.norm for n in nodes_of(graph, kind="state", state="c")]
    np.testing.assert_allclose(norms[:-1], 1.0)


def test_a_cell_of_ones_own_is_drawn_too():
    def leaky(h, x, w):
        with mg.scope("leaky", kind="LeakyCell"):
            return mg.label_state(0.5 * h + np.tanh(x * w), "h")

    w = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    h = mg.Tensor(0.0, dtype="float64", requires_grad=True)
    for t in range(5):
        with mg.step(t):
            h = leaky(h, 1.0, w)
    graph = draw(h, level="cells", grad="norm").graph
    cells = nodes_of(graph, kind="group", op="LeakyCell")
    assert [n.step for n in cells] == [0, 1, 2, 3, 4]
    norms = {n.step: n.gradient.norm for n in nodes_of(graph, kind="state")}
    assert norms == pytest.approx({t: 0.5 ** (4 - t) for t in range(4)} | {4: 0.0})


def test_user_loop_over_a_cell_module_numbers_its_steps():
    class Loop(Module):
        def __init__(self):
            super().__init__()
            self.cell = LSTMCell(3, 4)

        def forward(self, x):
            state = None
            for t in range(5):
                state = self.cell(x[:, t], state)
            return state[0]

    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    graph = draw((Loop()(x) ** 2).sum(), level="cells", grad="norm").graph
    assert sorted(n.step for n in nodes_of(graph, kind="group", op="LSTMCell")) == [0, 1, 2, 3, 4]


def test_pictures_come_out_in_every_format(tmp_path):
    loss, _ = recorded_loss(Reader())
    drawing = draw(loss, level="cells", grad="norm", theme="dark")
    for suffix, start in [
        (".svg", b"<?xml"),
        (".png", b"\x89PNG"),
        (".pdf", b"%PDF"),
        (".dot", b"digraph"),
    ]:
        content = drawing.save(tmp_path / f"picture{suffix}").read_bytes()
        assert content.startswith(start) or start in content[:200]


def test_errors_say_what_to_do():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(DrawError, match="does not require grad"):
        draw(mg.Tensor([1.0]))
    with pytest.raises(DrawError, match="single numbers, got a tensor of shape \\(2,\\)"):
        draw(x * 2, grad="norm")
    with pytest.raises(DrawError, match=r"label_state\(h, 'h'\)"):
        draw(x * 2, level="cells")
    with pytest.raises(ValueError, match="level must be"):
        draw(x * 2, level="atoms")
    y = (x * x).sum()
    y.backward()
    with pytest.raises(DrawError, match="retain_graph=True"):
        draw(y, grad="norm")
    assert len(draw(y).graph.nodes) == 3
