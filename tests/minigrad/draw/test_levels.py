"""Levels of detail: module calls with exact totals, rolling up, folding, focus, and `auto`."""

import numpy as np
import pytest

import minigrad as mg
from layers import GELU, GRU, LSTM, Linear, Module, Sequential, Transformer
from minigrad.draw import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
    draw,
    fold_repeats,
    gradient_flow,
    open_kernels,
    prune,
    roll,
    without,
)
from minigrad.draw.graph.passes import tag_leaves
from minigrad.draw.views.operations_view import operations_graph


def inputs(*shape, dtype=np.float64):
    return mg.Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))


@pytest.fixture
def encoder():
    mg.seed(0)
    with mg.default_dtype("float64"):
        return Transformer(8, 2, 3, 1, 16, dropout=0.0).encoder


def titles(graph):
    return [node.op for node in graph.nodes]


def test_one_box_per_module_call_and_the_sums_where_ways_meet(encoder):
    graph = draw((encoder(inputs(2, 4, 8)) ** 2).sum(), level="layers").graph
    assert graph.level == "layers"
    assert titles(graph).count("MultiheadAttention") == 3
    assert titles(graph).count("add") == 6  # two residual sums a layer
    assert not [node for node in graph.nodes if node.kind == "parameter"]
    attention = next(n for n in graph.nodes if n.op == "MultiheadAttention")
    assert attention.detail == "288 weights"  # 4 x 8 x 8 and 4 x 8
    assert attention.scope.endswith("layers.0")


def test_what_flows_between_boxes_is_exact(encoder):
    loss = (encoder(inputs(2, 4, 8)) ** 2).sum()
    graph = draw(loss, level="layers", grad="norm").graph
    flow = gradient_flow(loss)
    norms = {node.name: s.norm for node, s in flow.gradients.items() if node.name}
    for box in graph.nodes:
        if box.op == "LayerNorm" and box.name == "norm1" and box.scope.endswith("layers.2"):
            own = [norms[name] for name in norms if name.endswith("layers.2.norm1.weight")]
            assert own or "gradient" in box.detail
        terms = [e.contribution for e in graph.edges if e.source == box.id]
        if terms and box.gradient is not None:
            # The terms of all edges out of a box add up to its gradient: so their shares to 1.
            assert sum(term.share for term in terms) == pytest.approx(1)
            if len(terms) == 1:
                assert terms[0].norm == pytest.approx(box.gradient.norm)


def test_depth_opens_so_many_levels(encoder):
    loss = (encoder(inputs(2, 4, 8)) ** 2).sum()
    outermost = draw(loss, level="layers", depth=1).graph
    assert titles(outermost) == ["TransformerEncoder", "power", "sum"]
    two = draw(loss, level="layers", depth=2, grad="norm").graph
    assert titles(two).count("TransformerEncoderLayer") == 3
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        draw(loss, level="layers", depth=0)


def test_a_module_and_its_inputs_are_a_target(encoder):
    x = inputs(1, 3, 8)
    graph = draw((encoder, x), level="layers", depth=1).graph
    assert [n.op or n.name for n in graph.nodes] == ["src", "TransformerEncoder"]
    lstm = LSTM(3, 4)
    drawing = draw((lstm, inputs(2, 5, 3, dtype=np.float32)), level="cells")
    assert {n.step for n in drawing.graph.nodes if n.kind == "state"} >= set(range(5))
    with pytest.raises(mg.draw.DrawError, match="gave no tensor that requires grad"):
        draw((np.tanh, mg.Tensor([1])))


def test_auto_takes_what_can_be_read_on_a_screen():
    lstm = LSTM(3, 4)
    x = inputs(1, 30, 3, dtype=np.float32)
    loss = (lstm(x)[0] ** 2).sum()
    assert draw((lstm(x[:, :1])[0] ** 2).sum()).graph.level == "ops"
    assert draw((lstm(x[:, :2])[0] ** 2).sum()).graph.level == "cells"
    assert draw(loss).graph.level == "cells"
    assert draw(loss, max_nodes=20).graph.level == "layers"
    assert draw((Linear(3, 3), x)).graph.level == "ops"
    # Forty operations beside each other are few, and too wide for a screen.
    wide = Wide()
    assert len(draw((wide, x), level="ops").graph.nodes) < 60
    assert draw((wide, x)).graph.level == "layers"
    transformer = Transformer(8, 2, 6, 6, 16)
    y = transformer(inputs(1, 3, 8, dtype=np.float32), inputs(1, 3, 8, dtype=np.float32))
    graph = draw(y.sum()).graph
    assert graph.level == "layers"
    assert len(graph.nodes) <= 60
    assert len(draw(y.sum(), max_nodes=40).graph.nodes) <= 40
    assert titles(draw(y.sum(), max_nodes=2).graph) == ["Transformer", "sum"]


class Wide(Module):
    """Many functions of one input, beside each other."""

    def forward(self, x):
        """Their sum, taken at once."""
        return mg.stack([mg.sin(x) for _ in range(40)]).sum()


def test_max_nodes_limits_what_is_drawn_at_all():
    x = mg.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100):
        y = mg.tanh(y)
    assert len(draw(y).graph.nodes) == 101
    with pytest.raises(mg.draw.DrawError, match=r"101 boxes, and max_nodes is 50.*roll=True"):
        draw(y, max_nodes=50)
    with pytest.raises(mg.draw.DrawError, match="'ops' would have"):
        draw((LSTM(3, 4), inputs(1, 9, 3, dtype=np.float32)), level="ops", max_nodes=20)


def test_the_only_module_is_opened_at_level_layers():
    x = inputs(2, 3, dtype=np.float32)
    graph = draw((Linear(3, 3), x), level="layers").graph
    assert [n.op for n in graph.nodes if n.kind == "op"] == ["matmul", "add"]
    assert {n.name for n in graph.nodes if n.kind == "parameter"} == {"weight", "bias"}
    two = draw((Sequential(Linear(3, 3), GELU()), x), level="layers").graph
    assert [n.op for n in two.nodes if n.kind == "group"] == ["Linear", "GELU"]


def test_a_transformer_has_frames_of_its_parts_and_no_dropout_that_is_off(encoder):
    drawing = draw((encoder.eval(), inputs(1, 3, 8)), level="layers")
    attention = next(n for n in drawing.graph.nodes if n.op == "MultiheadAttention")
    assert attention.frame.endswith("layers.0.Self-attention")
    names = {scope.path.rpartition(".")[2] for scope in drawing.graph.scopes}
    assert {"Self-attention", "Feed-forward", "Add & norm"} <= names
    assert "Dropout" not in titles(drawing.graph)
    assert "Feed-forward" in drawing.html()
    whole = draw((encoder, inputs(1, 3, 8)), level="ops", focus="layers.1.linear1").graph
    assert any(n.op == "matmul" for n in whole.nodes)


def test_titles_tell_whether_there_are_gradients_and_whether_time_is_rolled_up():
    loss = (LSTM(3, 4)(inputs(1, 5, 3, dtype=np.float32))[0] ** 2).sum()
    found = [
        draw(loss, level="cells", grad=grad, roll=roll).graph.title
        for grad in (None, "norm")
        for roll in (False, True)
    ]
    assert found == [
        "5 steps of LSTMCell",
        "LSTMCell, rolled up over 5 steps",
        "The gradient's way back through 5 steps of LSTMCell",
        "The gradient's way back through LSTMCell, rolled up over 5 steps",
    ]
    assert draw(loss, level="cells", roll=True, title="Mine").graph.title == "Mine"
    # What has no other heading says what it shows; a graph made by hand stays as it is.
    w = mg.Tensor(2.0, requires_grad=True)
    assert draw(w * w).graph.title == "1 operation"
    assert draw(w * w, grad="norm").graph.title == "1 operation, and the gradient's way back"
    by_hand = Picture((PictureNode(0, "op", op="add"),))
    assert draw(by_hand).graph == by_hand


def test_views_fold_into_the_edges_they_lie_on_unless_asked_for():
    w = mg.Tensor(np.arange(6.0).reshape(2, 3) + 1, requires_grad=True)
    loss = (np.ones((4, 3)) @ w.T.reshape(3, 2)).sum()
    folded = draw(loss, grad="share").graph
    whole = draw(loss, grad="share", show=("parameters", "views")).graph
    assert titles(folded) == ["", "matmul", "sum"]
    assert {"transpose", "reshape"} <= set(titles(whole))
    (edge,) = [e for e in folded.edges if e.source == 0]
    (first,) = [e for e in whole.edges if e.source == 0]
    assert edge.contribution == first.contribution
    assert edge.contribution.share == pytest.approx(1)
    # One that two operations read stays: its two readers' terms add up there.
    t = w.T
    assert "transpose" in titles(draw((t * t).sum() + t.sum()).graph)


def scalar_chain(weight, steps):
    w = mg.Tensor(weight, dtype="float64", requires_grad=True)
    w.name = "w"
    h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    with mg.scope("cell", kind="Cell"):
        for t in range(steps):
            with mg.step(t):
                h = mg.label_state(w * h, "h")
    return h


def test_rolled_up_a_cell_is_drawn_once_with_its_way_to_the_next_step():
    steps, weight = 7, 0.5
    drawing = draw(scalar_chain(weight, steps), level="cells", roll=True, grad="norm")
    graph = drawing.graph
    (cell,) = [n for n in graph.nodes if n.kind == "group"]
    (state,) = [n for n in graph.nodes if n.kind == "state"]
    assert (cell.op, cell.count, cell.step, cell.last_step) == ("Cell", steps, 0, steps - 1)
    assert (cell.detail, state.count) == ("x7", steps)
    (onward,) = [e for e in graph.edges if e.kind == "rolled"]
    assert (onward.source, onward.target, onward.count) == (state.id, cell.id, steps - 1)
    # d h_6 / d h_t = 0.5 ** (6 - t), t = 0 .. 5
    expected = weight ** np.arange(1, steps)
    term = onward.contribution
    assert term.lowest == pytest.approx(expected.min())
    assert term.median == pytest.approx(np.median(expected))
    assert term.highest == pytest.approx(expected.max())
    assert term.norm == pytest.approx(np.linalg.norm(expected))
    # d h_6 / d w = 7 w^6: the terms of one parameter add up as numbers, not in quadrature.
    (into_w,) = [e for e in graph.edges if graph.nodes[e.source].name == "w"]
    assert into_w.contribution.norm == pytest.approx(steps * weight ** (steps - 1))
    assert "next, x6: 0.016 / " in drawing.dot.source
    assert Picture.from_json(graph.to_json()) == graph


def test_rolling_what_has_one_step_or_none_changes_nothing():
    graph = draw(scalar_chain(0.5, 1), level="cells").graph
    assert roll(graph) is graph


def test_a_stack_of_layers_is_folded_and_keeps_its_totals(encoder):
    loss = (encoder(inputs(2, 4, 8)) ** 2).sum()
    whole = draw(loss, level="layers", grad="norm").graph
    folded = draw(loss, level="layers", grad="norm", roll=True).graph
    assert titles(folded).count("MultiheadAttention") == 1
    attention = next(n for n in folded.nodes if n.op == "MultiheadAttention")
    assert (attention.count, attention.detail) == (3, "3 of them, 288 weights")
    assert attention.scope.endswith("layers.*")
    ids = {n.id for n in whole.nodes if n.op == "MultiheadAttention"}
    norms = [e.contribution.norm for e in whole.edges if e.source in ids]
    (term,) = [e.contribution for e in folded.edges if e.source == attention.id]
    assert term.norm == pytest.approx(np.linalg.norm(norms))
    assert (term.lowest, term.highest) == (min(norms), max(norms))
    assert {e.count for e in folded.edges if e.kind == "rolled"} == {2}


def test_only_modules_of_one_class_are_a_stack():
    mg.seed(0)
    mixed = Sequential(Linear(4, 4), GELU(), Linear(4, 4), GELU())
    graph = draw(mixed(inputs(2, 4, dtype=np.float32)).sum(), level="layers").graph
    assert fold_repeats(graph) is graph


def test_focus_shows_a_module_and_its_surroundings(encoder):
    loss = (encoder(inputs(2, 4, 8)) ** 2).sum()
    graph = draw(loss, level="layers", focus="layers.1", grad="norm").graph
    inside = [n for n in graph.nodes if n.scope.endswith("layers.1")]
    assert {"MultiheadAttention", "LayerNorm", "Linear"} <= {n.op for n in inside}
    assert 0 < len(graph.nodes) - len(inside) <= 4
    with pytest.raises(ValueError, match=r"focus='layers.9' is no module path .*did you mean"):
        draw(loss, level="layers", focus="layers.9")


def test_prune_keeps_what_carries_a_gradient():
    nodes = tuple(PictureNode(n, "op", op=f"op{n}", scope="m" if n == 3 else "") for n in range(5))
    edges = (Edge(0, 1, contribution=Contribution(1.0)), Edge(2, 1, 1), Edge(3, 2))
    graph = Picture(nodes, edges, (PictureScope("m"),))
    assert [n.id for n in prune(graph).nodes] == [0, 1]
    assert prune(graph).scopes == ()
    still = Picture(nodes[:2], (Edge(0, 1),))
    assert prune(still) == still
    known = Picture((PictureNode(0, "op", gradient=Statistics(1.0)), PictureNode(1, "op")))
    assert [n.id for n in prune(known).nodes] == [0]


def test_a_flow_to_some_tensors_is_drawn_without_the_rest():
    a, b = (mg.Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    a.name, b.name = "a", "b"
    loss = (np.tanh(a) * np.exp(b)).sum()
    graph = draw(gradient_flow(loss, wrt=a), level="ops").graph
    assert {n.name or n.op for n in graph.nodes} == {"a", "tanh", "multiply", "sum"}


def test_parameters_can_be_left_out():
    gru = GRU(2, 3)
    loss = gru(inputs(1, 2, 2, dtype=np.float32))[0].sum()
    graph = draw(loss, level="ops", show=()).graph
    assert not [n for n in graph.nodes if n.kind == "parameter"]
    assert without(graph, ("op", "state", "input")).nodes == ()
    with pytest.raises(ValueError, match=r"show must be a collection of .*got 'weights'"):
        draw(loss, show=("weights",))


def test_a_fault_is_marked_at_the_level_of_layers():
    class Shifted(Module):
        def __init__(self):
            super().__init__()
            self.inner = Linear(3, 3)

        def forward(self, x):
            return np.log(self.inner(x) * 0.0)

    module = Shifted()
    with np.errstate(all="ignore"):
        loss = module(inputs(2, 3, dtype=np.float32)).sum()
        drawing = draw(loss, level="layers", grad="norm")
    assert [n.op for n in drawing.graph.nodes if n.fault]
    assert drawing.graph.diagnosis


def test_every_step_has_its_own_tags_of_the_parameters():
    lstm = LSTM(2, 3)
    loss = (lstm(inputs(1, 5, 2, dtype=np.float32))[0] ** 2).sum()
    opened = open_kernels([loss])
    shared = operations_graph(opened, flow=gradient_flow(opened), views=False)
    tagged = tag_leaves(shared)
    names = [n.name for n in shared.nodes if n.kind == "parameter"]
    assert sorted(names) == ["bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"]
    tags = [(n.name, n.step) for n in tagged.nodes if n.kind == "parameter"]
    assert sorted(tags) == sorted((name, t) for name in names for t in range(5))
    # The same edges with the same terms, each from the tag of its own step.
    step_of = {n.id: n.step for n in tagged.nodes}
    assert len(tagged.edges) == len(shared.edges)
    assert None not in {e.contribution for e in shared.edges}
    assert {e.contribution for e in tagged.edges} == {e.contribution for e in shared.edges}
    sources = {n.id for n in tagged.nodes if n.kind == "parameter"}
    assert all(step_of[e.source] == step_of[e.target] for e in tagged.edges if e.source in sources)
    assert tag_leaves(tagged) == tagged
    without_steps = draw(np.tanh(lstm.weight_ih_l0).sum(), level="ops").graph
    assert [n.step for n in without_steps.nodes] == [None, None, None]


@pytest.mark.parametrize("form", ["module", "function", "nested"])
@pytest.mark.parametrize("level", ["auto", "layers", "ops"])
def test_a_compiled_model_is_drawn_with_its_modules(encoder, level, form):
    def drawn(model):
        x = inputs(2, 4, 8)
        model(x)
        graph = draw((model(x) ** 2).sum(), level=level, grad="norm", max_nodes=5000).graph
        return sorted((node.kind, node.op, node.shape) for node in graph.nodes)

    inner = mg.compile(encoder) if form == "nested" else encoder
    compiled = mg.compile(encoder if form == "module" else lambda x: inner(x))
    assert drawn(compiled) == drawn(encoder)
