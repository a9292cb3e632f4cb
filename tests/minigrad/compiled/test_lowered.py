"""What became of a call, as text and as a picture."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.llvm import program
from minigrad.draw import draw

F = np.float32


@mg.compile
def steps(x, w):
    h = np.zeros((2, 3), F)
    for t in range(9):
        h = mg.tanh(x[t] + h @ w)
    return (h**2).sum()


def tensors():
    generator = np.random.default_rng(0)
    shapes = ((9, 2, 3), (3, 3))
    return [mg.Tensor(generator.standard_normal(s).astype(F), None, True) for s in shapes]


def test_the_graph_after_every_pass_as_text():
    lowered = steps.lowered(*tensors())
    assert list(lowered.stages)[:3] == ["traced", "simplified", "rolled"]
    assert "steps, t rising:" in lowered.stage("rolled")
    assert "steps, t falling:" in lowered.stage("rolled")
    assert "before v" in lowered.stage("rolled")
    assert lowered.stage("traced") in str(lowered)
    assert len(lowered.stage("rolled").splitlines()) < len(lowered.stage("traced").splitlines())
    with pytest.raises(KeyError, match="there is no stage 'melted'"):
        lowered.stage("melted")


def test_what_runs_together_natively():
    compiled = mg.compile(lambda x: (mg.tanh(x) * 2 @ x.T).sum(), backend=program)
    text = compiled.lowered(tensors()[1]).stage("fused")
    assert [line.rpartition("#")[2] for line in text.splitlines() if "tanh" in line] == [
        " kernel 1"
    ]
    assert "kernel" not in next(line for line in text.splitlines() if "matmul" in line)
    picture = draw(compiled.lowered(tensors()[1]), level="ops").graph
    assert {"kernel 1", "kernel 2"} <= {scope.name for scope in picture.scopes}


def test_kernels_in_loops_and_the_passes_before():
    lowered = mg.compile(steps.function, backend=program).lowered(*tensors())
    picture = draw(lowered, level="ops").graph
    assert "loop 1" in {scope.parent for scope in picture.scopes if "kernel" in scope.name}
    before = draw(lowered.until("rolled"), level="ops").graph
    assert [scope.name for scope in before.scopes] == ["9 steps", "7 steps"]
    assert not draw(lowered.until("traced"), level="ops").graph.scopes
    plainly = mg.compile(steps.function, backend=plain).lowered(*tensors())
    assert list(plainly.stages) == ["traced", "simplified", "rolled"]


def test_two_graphs_where_the_result_is_an_array():
    lowered = mg.compile(lambda x: mg.tanh(x) * 2).lowered(tensors()[0])
    assert ", rolled, forward: " in str(lowered)
    assert ", rolled, backward: " in str(lowered)


def test_the_reason_where_it_runs_as_before():
    lowered = mg.compile(lambda x: x * x.detach().sum().item()).lowered(tensors()[1])
    assert lowered.stages == {}
    assert "<lambda> runs as before: item takes numbers out of the graph" in str(lowered)


def test_it_leaves_generators_and_buffers_as_they_were():
    buffer = mg.Tensor(np.zeros(3, F))

    @mg.compile
    def function(x):
        buffer[...] = buffer + 1
        return mg.dropout(x, 0.5)

    mg.seed(0)
    function.lowered(tensors()[1])
    assert buffer.tolist() == [0, 0, 0]
    mg.seed(0)
    expected = mg.dropout(np.ones(20, F), 0.5).tolist()
    mg.seed(0)
    function.lowered(tensors()[1])
    assert mg.dropout(np.ones(20, F), 0.5).tolist() == expected


def test_a_refused_function_has_no_stages_and_the_error_says_why():
    lowered = mg.compile(lambda x: x * x.detach().sum().item()).lowered(tensors()[1])
    with pytest.raises(KeyError, match="runs as before: item takes numbers out"):
        lowered.stage("rolled")


def test_programs_tell_what_they_are():
    compiled = mg.compile(lambda x: mg.tanh(x).sum())
    compiled(tensors()[1])
    assert repr(compiled.programs).startswith("[<program of ")
    assert "(float32[3, 3]): " in repr(compiled.programs)


def test_loops_are_drawn_with_where_they_begin_and_with_a_title():
    lowered = steps.lowered(*tensors())
    picture = draw(lowered.until("rolled"), level="ops", title="Rolled").graph
    assert picture.title == "Rolled"
    assert draw(lowered, level="ops").graph.title == "steps"
    (loop,) = [s for s in picture.scopes if s.path == "loop 2"]
    inside = {node.id for node in picture.nodes if node.scope.startswith(loop.path)}
    assert any(e.target in inside and e.kind == "data" and e.source not in inside
               for e in picture.edges)  # fmt: skip


def test_it_can_be_drawn():
    picture = draw(steps.lowered(*tensors()), level="ops").graph
    assert any(scope.name.endswith("steps") for scope in picture.scopes)
    assert any(edge.kind == "rolled" for edge in picture.edges)
    assert {"tanh", "matmul"} <= {node.op for node in picture.nodes}


def test_what_needs_no_state_leaves_the_loop_also_when_the_first_state_is_a_constant():
    x, w = tensors()
    u = mg.Tensor(np.ones((3, 3), F))

    @mg.compile
    def last(x, u, w):
        h = np.zeros((2, 3), F)
        for x_t in x:
            h = mg.tanh(x_t @ u + h @ w)
        return h.sum()

    loop = last.lowered(x, u, w).stage("rolled").partition("9 steps, t rising:")[2]
    assert loop.partition("begins as")[0].count("matmul") == 1
    assert loop.count("matmul") > 1


def test_gradients_that_a_function_returns_are_computed_once():
    x, w = tensors()

    def value_and_gradient(x):
        value = (mg.tanh(x @ w) ** 2).mean()
        return value, mg.gradients(value, [x, w])

    text = mg.compile(value_and_gradient).lowered(x).stage("simplified")
    assert text.count("= matmul") == 3  # of x @ w, and by x and by w
    value, (by_x, by_w) = mg.compile(value_and_gradient)(x)
    value.backward()
    np.testing.assert_array_equal(x.grad, by_x)
    np.testing.assert_array_equal(w.grad, by_w)


@pytest.mark.parametrize("turned", [False, True])
def test_gradients_of_all_steps_are_one_product(turned):
    def function(x, w):
        h = np.zeros((2, 3), F)
        for t in range(9):
            h = mg.tanh(x[t] + h @ (w.T if turned else w))
        return (h**2).sum()

    x, w = tensors()
    compiled = mg.compile(function)
    text = compiled.lowered(x, w).stage("rolled")
    assert "float32[9, 3, 3]" not in text, "products of every step are not kept to be added up"
    assert "float32[7, 3, 3]" not in text
    slopes = []
    for each in (compiled, function):
        w.grad = None
        each(x, w).backward()
        slopes.append(w.grad.numpy())
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-5, atol=1e-6)
