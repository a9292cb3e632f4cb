"""What can be drawn: modules with their data, frozen or not, and containers of tensors."""

import numpy as np
import pytest

import minigrad as mg
from layers import GELU, GRU, BatchNorm1d, Embedding, Linear, Module, Sequential
from minigrad.draw import DrawError, draw


class Residual(Module):
    """A layer and a skip connection from its input."""

    def __init__(self):
        super().__init__()
        self.inner = Linear(3, 3)

    def forward(self, x):
        """The input, and what the layer makes of it."""
        return {"sum": x + self.inner(x), "count": 3}


X = np.ones((2, 3), np.float32)


def kinds(graph):
    return sorted(node.kind for node in graph.nodes)


def skip_of(graph):
    """Whether an edge leads from the input to the sum, and another one into the layer."""
    (x,) = [n.id for n in graph.nodes if n.kind == "input"]
    into = {n.op for n in graph.nodes for e in graph.edges if e.source == x and e.target == n.id}
    return "add" in into and len(into) == 2


@pytest.mark.parametrize("x", [X, mg.Tensor(X), mg.Tensor(X, requires_grad=True)])
@pytest.mark.parametrize("level", ["ops", "layers"])
def test_a_skip_connection_from_the_data_is_visible(x, level):
    graph = draw((Residual(), x), level=level).graph
    assert skip_of(graph)
    assert "Residual" in str(draw((Residual(), x)))


def test_inputs_have_the_names_of_the_arguments():
    def both(a, rest):
        return a * rest[0] + rest[1]["bias"]

    graph = draw((both, X, (X, {"bias": X}))).graph
    names = {node.name for node in graph.nodes if node.kind == "input"}
    assert names == {"a", "rest[0]", "rest[1]['bias']"}
    many = draw((lambda *parts: sum(parts), X, X)).graph
    assert {n.name for n in many.nodes if n.kind == "input"} == {"parts[0]", "parts[1]"}


@pytest.mark.parametrize("grad", [None, "norm"])
def test_a_frozen_model_is_drawn_with_its_parameters_and_stays_frozen(grad):
    model = Residual().requires_grad_(False)
    whole = (lambda x: (model(x)["sum"] ** 2).sum(), X)
    graph = draw((model, X)).graph
    assert kinds(graph).count("parameter") == 2
    assert {n.name for n in graph.nodes if n.kind == "parameter"} == {
        "weight (frozen)",
        "bias (frozen)",
    }
    assert skip_of(graph)
    assert draw(whole, level="ops", grad=grad).graph.nodes
    assert not any(p.requires_grad for p in model.parameters())


def test_parameters_are_taken_off_the_tape_after_an_error():
    model = Sequential(Linear(3, 3), Linear(4, 4)).requires_grad_(False)
    with pytest.raises(mg.ShapeError):
        draw((model, X))
    assert not any(p.requires_grad for p in model.parameters())


def test_drawing_under_no_grad_records_for_the_picture_alone():
    model = Residual()
    with mg.no_grad():
        graph = draw((model, X)).graph
        assert not model(X)["sum"].requires_grad
    assert skip_of(graph)
    assert all(p.grad is None for p in model.parameters())


def test_partly_frozen_models_and_buffers():
    model = Sequential(Linear(3, 3), BatchNorm1d(3))
    model[0].weight.requires_grad_(False)
    names = {n.name for n in draw((model, X), level="ops").graph.nodes if n.kind == "parameter"}
    assert "weight (frozen)" in names
    assert "bias" in names
    assert not model[0].weight.requires_grad
    assert model[0].bias.requires_grad


def test_boxes_of_modules_say_what_is_frozen():
    def details(model):
        graph = draw((model, X), level="layers").graph
        return [n.detail for n in graph.nodes if n.kind == "group"]

    model = Sequential(Linear(3, 3), GELU(), Linear(3, 2))
    assert details(model) == ["12 weights", "", "8 weights"]
    model[0].weight.requires_grad_(False)
    assert details(model) == ["12 weights (9 frozen)", "", "8 weights"]
    model.requires_grad_(False)
    assert details(model) == ["12 weights (frozen)", "", "8 weights (frozen)"]


@pytest.mark.parametrize("codes", [np.array([1, 2]), mg.Tensor(np.array([1, 2]))])
@pytest.mark.parametrize("level", ["ops", "layers"])
@pytest.mark.parametrize("grad", [None, "norm"])
def test_integer_inputs_are_constants_that_lead_to_what_reads_them(codes, level, grad):
    model = Sequential(Embedding(5, 3), Linear(3, 2))

    def loss(codes):
        return model(codes).sum()

    graph = draw((loss, codes), level=level, grad=grad).graph
    (data,) = [node for node in graph.nodes if node.kind == "constant"]
    assert (data.name, data.shape, data.dtype) == ("codes", (2,), "int64")
    (edge,) = [edge for edge in graph.edges if edge.source == data.id]
    reader = graph.nodes[edge.target]
    assert reader.op.lower() == "embedding"
    assert edge.contribution is None
    if grad:
        total = next(n.gradient for n in graph.nodes if n.op in ("Embedding", "embedding"))
        assert total is not None
        assert total.norm > 0


def test_masks_are_constants_and_the_users_arrays_stay_their_own():
    mask = np.array([[True, False, True]] * 2)
    graph = draw((lambda x, mask: mg.where(mask, x * 2, 0.0), X, mask)).graph
    (data,) = [node for node in graph.nodes if node.kind == "constant"]
    assert (data.name, data.shape, data.dtype) == ("mask", (2, 3), "bool")
    assert [graph.nodes[e.target].op for e in graph.edges if e.source == data.id] == ["where"]
    x = mg.Tensor(X, requires_grad=True)
    with mg.recording(replay=True):
        y = mg.where(mask, x, 0.0).sum()
    mask[...] = False  # as ever, a recording keeps what it was given
    assert float(mg.graph(y).replay({x: 2 * X})) == 8.0


def test_integers_are_data_of_cells_as_well():
    model = Sequential(Embedding(5, 3), GRU(3, 4))
    graph = draw((lambda codes: model(codes)[0].sum(), np.array([[1, 2]])), grad="norm").graph
    assert graph.level == "cells"
    assert [n.name for n in graph.nodes if n.kind == "constant"] == ["codes"]
    assert "Embedding" in {n.op for n in graph.nodes}


@pytest.mark.parametrize("level", ["ops", "layers"])
def test_results_in_a_dict_have_their_keys(level):
    model = Residual()
    for target in ((model, X), model(X)):
        named = {n.op: n.name for n in draw(target, level=level).graph.nodes if n.name}
        assert "sum" in named["add"]
        assert "count" not in str(named)
    x = mg.Tensor(X, requires_grad=True)
    names = {n.name for n in draw([x * 2, {"a": x * 3}], level=level).graph.nodes if n.op}
    assert names == {""}


def test_containers_of_tensors_are_targets():
    model = Residual()
    found = model(X)
    assert draw({"y": found["sum"], "n": found["count"]}).graph.nodes
    nested = {"a": [found["sum"]], "b": (found["sum"] * 2,)}
    assert {"add", "multiply"} <= {n.op for n in draw(nested).graph.nodes}
    with pytest.raises(DrawError, match="target must be a tensor"):
        draw({"n": 3})
    with pytest.raises(DrawError, match="target must be a tensor"):
        draw([found["sum"], 3])


def test_a_tensor_without_a_graph_says_how_to_draw_it():
    with pytest.raises(DrawError, match=r"or draw\(\(module, input\)\)"):
        draw(mg.Tensor(X))


@pytest.mark.parametrize("level", ["ops", "layers"])
@pytest.mark.parametrize("grad", [None, "norm"])
def test_recorded_data_are_constants_of_the_picture(level, grad):
    model, x = Residual(), mg.Tensor(X)
    with mg.recording(replay=True):
        loss = (model(x)["sum"] ** 2).sum()
    graph = draw(loss, level=level, grad=grad).graph
    (data,) = [n.id for n in graph.nodes if n.kind == "constant"]
    readers = {
        n.op for n in graph.nodes for e in graph.edges if (e.source, e.target) == (data, n.id)
    }
    assert "add" in readers
    assert len(readers) == 2
    assert draw(loss, level=level, grad=grad).svg()
    loss.backward()
    assert model.inner.weight.grad is not None


def test_recorded_operations_without_gradient_are_drawn():
    x, w = mg.Tensor(X), mg.Tensor(2.0, requires_grad=True)
    with mg.recording(replay=True):
        scaled = mg.exp(x * 0.5)
        y = w * scaled
        with mg.no_grad():
            z = y + scaled
    graph = draw(y, level="ops").graph
    assert [n.op for n in graph.nodes if n.kind == "op"] == ["multiply", "exp", "multiply"]
    assert [n.shape for n in graph.nodes if n.kind == "constant"] == [(2, 3)]
    whole = draw(z, level="ops").graph
    assert [n.op for n in whole.nodes if n.kind == "op"] == ["multiply", "exp", "multiply", "add"]
    exp = next(n.id for n in whole.nodes if n.op == "exp")
    assert sum(edge.source == exp for edge in whole.edges) == 2


def test_a_detached_value_leads_back_to_what_made_it():
    w = mg.Tensor(np.ones(3), requires_grad=True)
    with mg.recording(replay=True):
        y = mg.tanh(w)
        z = (w * mg.exp(y.detach()) + y).sum()
    graph = draw(z, level="ops", grad="norm").graph
    names = {n.id: n.op for n in graph.nodes}
    assert ("tanh", "exp") in {(names[e.source], names[e.target]) for e in graph.edges}
    (cut,) = [e for e in graph.edges if (names[e.source], names[e.target]) == ("tanh", "exp")]
    assert cut.contribution is None


def test_graphs_recorded_without_replay_are_as_they_were():
    w = mg.Tensor(np.ones(3), requires_grad=True)
    assert kinds(draw((w * np.arange(3.0)).sum(), level="ops").graph) == ["input", "op", "op"]


class FrozenInside(Module):
    """A backbone that the model itself runs without gradient, and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = Linear(3, 3)
        self.head = Linear(3, 2)

    def forward(self, x):
        """The head of what the backbone gives, shifted by a constant."""
        with mg.no_grad():
            features = self.backbone(x) + np.ones(3, np.float32)
        return self.head(features)


@pytest.mark.parametrize("level", ["ops", "layers"])
def test_what_a_model_computes_without_gradient_is_drawn(level):
    model = FrozenInside()
    graph = draw((model, X), level=level).graph
    (x,) = [n.id for n in graph.nodes if n.kind == "input"]
    assert any(edge.source == x for edge in graph.edges)
    assert "constant" not in kinds(graph)
    if level == "ops":
        names = {n.name for n in graph.nodes if n.kind == "parameter"}
        assert names == {"weight", "bias"}
        assert kinds(graph).count("parameter") == 4
        assert [n.op for n in graph.nodes].count("matmul") == 2
    with mg.no_grad():
        assert draw((model, X), level=level).graph.nodes
    whole = (lambda x: (model(x) ** 2).sum(), X)
    assert draw(whole, level=level, grad="norm").svg()
