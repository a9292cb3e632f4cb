"""Compiled functions: the results, gradients and errors of the functions themselves."""

import functools
import threading

import numpy as np
import pytest

import minigrad as mg

F = np.float32


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


def tensor(*shape, seed=0):
    return mg.Tensor(numbers(*shape, seed=seed), requires_grad=True)


def gradients(result, *tensors):
    for t in tensors:
        t.grad = None
    result.backward()
    return [t.grad.numpy() for t in tensors]


def same(function, compiled, *tensors):
    """Three calls with other numbers each, compared in value and gradients."""
    for k in range(3):
        moved = [mg.Tensor(t.numpy() * F(1 + k / 10), requires_grad=True) for t in tensors]
        mg.seed(k)
        found = compiled(*moved)
        slopes = gradients(found.sum(), *moved)
        mg.seed(k)
        expected = function(*moved)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        for one, other in zip(slopes, gradients(expected.sum(), *moved), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


def steps(x, w, b):
    h = np.zeros((x.shape[1], w.shape[0]), F)
    total = 0.0
    for t in range(x.shape[0]):
        h = mg.tanh(x[t] + h @ w + b)
        total = total + (h * h).mean()
    return total


FUNCTIONS = {
    "one number": (lambda x, w: (mg.tanh(x @ w) ** 2).sum(), [(5, 4), (4, 3)]),
    "an array": (lambda x, w: mg.softmax(mg.tanh(x @ w)), [(5, 4), (4, 3)]),
    "steps": (steps, [(9, 2, 4), (4, 4), (4,)]),
    "dropout": (lambda x, w: mg.dropout(x @ w, 0.4), [(5, 4), (4, 3)]),
    "a branch of Python's": (lambda x: x * 2 if x.ndim == 2 else x, [(3, 2)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_the_function(name):
    function, shapes = FUNCTIONS[name]
    same(function, mg.compile(function), *(tensor(*s, seed=i) for i, s in enumerate(shapes)))


def test_many_steps_become_a_loop():
    sizes = []
    for count in (20, 60):
        compiled = mg.compile(steps)
        compiled(tensor(count, 2, 4), tensor(4, 4), tensor(4))
        (graph,) = compiled.programs[0].graphs
        sizes.append(len(graph.values))
        assert {value.options[0].count for value in graph.values if value.op == "loop"}
    assert sizes[0] == sizes[1] < 80


def recurrent(x, w, u, h):
    """Weights as layers have them, (out, in), and a first step that reads other values."""
    for t in range(x.shape[0]):
        h = mg.tanh(x[t] @ w.T + h @ u.T)
    return (h * h).mean()


def recurrent_inputs():
    shapes = [(20, 2, 4), (4, 4), (4, 4), (2, 4)]
    return [tensor(*shape, seed=i) for i, shape in enumerate(shapes)]


def test_a_loop_begins_where_the_step_does():
    compiled = mg.compile(recurrent)
    same(recurrent, compiled, *recurrent_inputs())
    (graph,) = compiled.programs[0].graphs
    forward, backward = (v.options[0] for v in graph.values if v.op == "loop")
    assert [v.op for v in forward.body].count("matmul") == 1  # of x, all at once before
    assert forward.count == 20
    assert not [v for v in graph.values if v.op == "matmul" and len(v.shape) == 3]
    assert backward.down


def test_gradients_inside_and_those_of_the_tape_are_computed_once():
    inputs = recurrent_inputs()

    @mg.compile
    def both(*inputs):
        value = recurrent(*inputs)
        return value, mg.gradients(value, inputs)

    compiled = mg.compile(recurrent)
    compiled(*inputs)
    both(*inputs)
    sizes = [len(f.programs[0].graphs[0].values) for f in (compiled, both)]
    assert sizes[0] == sizes[1]
    value, found = both(*inputs)
    for one, other in zip(found, gradients(value, *inputs), strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    for one, other in zip(found, gradients(recurrent(*inputs), *inputs), strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("turned", [np.asfortranarray, lambda a: a[::-1], lambda a: a[:, ::2]])
def test_memory_in_any_order(turned):
    function = mg.compile(lambda x: mg.tanh(x) * 2)
    x = turned(numbers(6, 4))
    for _ in range(3):
        for given in (np.ascontiguousarray(x), mg.Tensor(x), x, mg.Tensor(x.T.copy()).T):
            found = np.asarray(function(given))
            np.testing.assert_allclose(found, np.tanh(x) * 2, rtol=1e-5)
    assert len(function.programs) == 2  # of tensors and of arrays


def test_containers_arrays_and_python_values():
    @mg.compile
    def function(tree, mask, scale=2.0, *, name):
        if name != "n":
            raise ValueError(name)
        return {"sum": (tree["x"] * mask).sum() * scale, "rest": (tree["y"][0], 7, mask)}

    x, y = tensor(3, 2), tensor(4, seed=1)
    mask = np.array([[True, False]] * 3)
    for _ in range(3):
        out = function({"x": x, "y": [y]}, mask, name="n")
        np.testing.assert_allclose(out["sum"].numpy(), (x.numpy() * mask).sum() * 2, rtol=1e-6)
        assert out["rest"][0] is y
        assert out["rest"][1] == 7
        assert type(out["rest"][2]) is np.ndarray
        np.testing.assert_array_equal(out["rest"][2], mask)
    assert len(function.programs) == 1


def test_a_decorator_for_methods():
    class Scorer:
        def __init__(self, w):
            self.w = w

        @mg.compile
        def score(self, x):
            return (x @ self.w).sum()

    one, two = Scorer(tensor(4, 2)), Scorer(tensor(4, 3, seed=1))
    x = tensor(5, 4)
    for _ in range(2):
        for scorer in (one, two):
            np.testing.assert_allclose(
                scorer.score(x).numpy(), (x.numpy() @ scorer.w.numpy()).sum(), rtol=1e-4
            )
    assert len(one.score.programs) == len(two.score.programs) == 1


def test_tensors_from_outside_get_their_gradients_and_are_read_anew():
    w = tensor(4, 3)
    function = mg.compile(lambda x: (x @ w).sum())
    x = numbers(5, 4)
    for k in range(3):
        with mg.no_grad():
            w[...] = np.full((4, 3), k, F)
        (slope,) = gradients(function(x), w)
        np.testing.assert_allclose(slope, np.repeat(x.sum(0)[:, None], 3, 1), rtol=1e-5)
        np.testing.assert_allclose(function(x).numpy(), 3 * k * x.sum(), rtol=1e-4, atol=1e-4)
    assert len(function.programs) == 1


def test_draws_are_those_of_the_function_and_stay_for_the_second_derivative():
    def function(x):
        return (mg.dropout(x, 0.5) ** 3).sum()

    compiled = mg.compile(function)
    x = tensor(40)
    compiled(x)
    found = []
    for f in (function, compiled):
        mg.seed(7)
        slope = mg.gradients(f(x), x, create_graph=True)
        found.append((slope.numpy(), mg.gradients(slope.sum(), x).numpy()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert len(compiled.programs) == 1


def test_higher_derivatives_are_those_of_the_function():
    function, (a, b) = FUNCTIONS["an array"]
    compiled, x, w = mg.compile(function), tensor(*a), tensor(*b, seed=1)
    compiled(x, w)
    found = []
    for f in (function, compiled):
        slope = mg.gradients((f(x, w) ** 2).sum(), w, create_graph=True)
        found.append(mg.gradients((slope**2).sum(), x).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-7)


def test_value_and_grad_is_one_program():
    def function(x, w):
        return (mg.tanh(x @ w) ** 2).sum()

    compiled = mg.compile(mg.value_and_grad(function, argnums=(0, 1)))
    x, w = numbers(5, 4), numbers(4, 3, seed=1)
    for k in range(3):
        value, slopes = compiled(x * F(k + 1), w)
        expected, others = mg.value_and_grad(function, argnums=(0, 1))(x * F(k + 1), w)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-5)
        for one, other in zip(slopes, others, strict=True):
            assert one._node is None
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
    assert len(compiled.programs) == 1


WRAPPERS = {
    "value_and_grad": mg.value_and_grad,
    "grad": mg.grad,
    "a block": mg.no_grad(),
    "wraps": lambda f: functools.wraps(mg.tanh)(lambda x: f(x)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_a_wrapped_function_reads_is_watched(wrapper):
    factors = [1.0]
    wrap = WRAPPERS[wrapper]
    function = wrap(lambda x: (x * factors[0]).sum())
    compiled = mg.compile(function)
    for factors[0] in (1.0, 1.0, 3.0, 3.0):
        both = compiled(np.ones(3)), function(np.ones(3))
        found, expected = (r[1] if isinstance(r, tuple) else r for r in both)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert len(compiled.programs) == 2


def test_no_grad_has_a_program_of_its_own():
    function, x = mg.compile(lambda x: x * 2), tensor(3)
    for _ in range(2):
        with mg.no_grad():
            assert not function(x).requires_grad
        assert function(x).requires_grad
    assert len(function.programs) == 2


def test_hooks_outside_and_gradients_that_are_retained():
    function, x = mg.compile(lambda x: (x * x).sum()), tensor(3)
    function(x)
    seen = []
    y = (x * 1).retain_grad()
    y.register_hook(lambda g: seen.append(g.numpy()))
    function(y).backward()
    np.testing.assert_allclose(seen[0], 2 * x.numpy())
    np.testing.assert_allclose(y.grad.numpy(), 2 * x.numpy())


def test_errors_are_those_of_the_function():
    function = mg.compile(lambda x, index: mg.embedding(x, index))
    x = tensor(4, 2)
    function(x, np.array([1, 2, 3]))
    function(x, np.array([0, 3, 1]))
    with pytest.raises(IndexError, match="index") as compiled:
        function(x, np.array([0, 9, 1]))
    with pytest.raises(IndexError, match="index") as eager:
        mg.embedding(x, np.array([0, 9, 1]))
    assert str(compiled.value) == str(eager.value)
    with pytest.raises(mg.ShapeError):
        mg.compile(lambda x, w: x @ w)(tensor(3, 2), tensor(3, 2))
    assert function(x, np.array([0, 3, 1])).shape == (3, 2)
    assert function.refusals == []


def test_warnings_are_those_of_the_function():
    function = mg.compile(lambda x: np.log(x).sum())
    function(np.ones(3, F))
    function(np.ones(3, F))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        function(np.zeros(3, F))


def test_programs_for_shapes_dtypes_and_flags_eight_at_most():
    function = mg.compile(lambda x: (x * 2).sum())
    for n in range(1, 9):
        function(tensor(n))
        function(tensor(n))
    assert len(function.programs) == 8
    with pytest.warns(mg.CompileWarning, match="8 programs"):
        function(tensor(9))
    np.testing.assert_allclose(function(tensor(10)).numpy(), numbers(10).sum() * 2, rtol=1e-5)
    np.testing.assert_allclose(function(tensor(3)).numpy(), numbers(3).sum() * 2, rtol=1e-5)


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    function = mg.compile(lambda x: (x * 2).sum())
    function(numbers(3))
    assert function.programs == function.refusals == []


def test_checks_find_a_program_that_computes_something_else():
    class Wrong:
        @staticmethod
        def build(graph):
            from minigrad.compiled import plain

            program = plain.build(graph)
            return lambda arrays: [a * 2 for a in program(arrays)]

    x = tensor(3)
    good = mg.compile(lambda x: (mg.tanh(x) * x).sum(), check=1)
    bad = mg.compile(lambda x: (mg.tanh(x) * x).sum(), check=2, backend=Wrong)
    for f in (good, bad):
        f(x)
        f(x)
    with pytest.raises(mg.CompileError, match="differs"):
        bad(x)
    good(x)


def test_wrong_arguments_of_compile():
    with pytest.raises(TypeError, match="takes a function, got int"):
        mg.compile(3)
    with pytest.raises(ValueError, match="0 or more"):
        mg.compile(np.exp, check=-1)


def test_it_may_be_called_inside_another_one_and_in_threads():
    inner = mg.compile(lambda x: mg.tanh(x) * 2)
    outer = mg.compile(lambda x: inner(x).sum())
    x = tensor(50)
    outer(x)
    results = []

    def work():
        for _ in range(20):
            results.append((outer(x).item(), inner(x).numpy().sum()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(results, 2 * np.tanh(x.numpy()).sum(), rtol=1e-4)
    assert len(outer.programs) == 1


def test_a_graph_with_it_is_freed_after_backward_and_refuses_a_second_pass():
    function, x = mg.compile(lambda x: (mg.tanh(x) ** 2).sum()), tensor(3)
    function(x)
    y = function(x)
    y.backward()
    with pytest.raises(mg.GradientError, match="freed"):
        y.backward()


def test_checkpoints_and_other_transforms_around_it():
    function = mg.compile(lambda x: (mg.dropout(x, 0.5) ** 2).sum())
    x = tensor(6)
    function(x)
    mg.seed(3)
    (expected,) = gradients(function(x), x)
    mg.seed(3)
    (found,) = gradients(mg.checkpoint(function)(x), x)
    np.testing.assert_allclose(found, expected)
    mg.seed(3)
    np.testing.assert_allclose(mg.grad(function)(x.detach()).numpy(), expected)


def test_anomaly_mode_and_recordings_run_the_function():
    function = mg.compile(lambda x: np.log(x).sum())
    x = mg.Tensor(np.zeros(3, F) + 1, requires_grad=True)
    function(x)
    quiet = np.errstate(all="ignore")
    with quiet, mg.anomaly_mode(), pytest.raises(mg.AnomalyError, match="log"):
        function(mg.Tensor(np.zeros(3, F) - 1, requires_grad=True))
    with mg.recording(replay=True):
        y = function(x)
    assert mg.graph(y).replay().item() == 0


def test_calls_that_raise_are_no_first_calls():
    w = mg.Tensor(np.ones((3, 2)), requires_grad=True)

    @mg.compile
    def function(x):
        if x.shape[1] != 3:
            raise ValueError("three features, please")
        return mg.tanh(x @ w).sum()

    for _ in range(20):
        with pytest.raises(ValueError, match="three features"):
            function(np.ones((2, 4)))
    function(np.ones((2, 3)))  # warnings are errors
    assert len(function.programs) == 1
