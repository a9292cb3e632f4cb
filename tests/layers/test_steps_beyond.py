"""Backward programs that take steps beyond the end of a sequence back: they add nothing."""

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import LSTM
from minigrad.compiled.graph import Value, View
from minigrad.compiled.stepping.linear import is_zero, zeros_among
from tests.layers.sequences import BACKENDS, assert_agree, one_by_one, programs_of, use

F = np.float32
BATCH = 5


def drawn(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(F)


def back_and_forth(owner):
    """The numbers of steps of the programs of a cell or function: forward, and back."""
    (program,) = programs_of(owner)
    return [sorted(built) for built in program._chunks._built]


def slopes_of(function, arrays):
    """The gradients of a sum of squares by all arrays."""
    leaves = [mg.Tensor(array, requires_grad=True) for array in arrays]
    (function(*leaves) ** 2).sum().backward()
    return [[leaf.grad.numpy() for leaf in leaves]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_program_each_way_where_outputs_alone_have_a_gradient(monkeypatch, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer, x = LSTM(3, 4), drawn(BATCH, 19, 3)
    parameters = list(layer.parameters())

    def call():
        leaf = mg.Tensor(x, requires_grad=True)
        for parameter in parameters:
            parameter.grad = None
        (layer(leaf)[0] ** 2).sum().backward()
        return [[leaf.grad.numpy(), *(p.grad.numpy() for p in parameters)]]

    found = call()
    assert back_and_forth(layer._cell_at("l0")) == [[32], [32]]
    assert_agree(found, one_by_one(monkeypatch, call))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("state", ["h", "c"])
def test_states_of_all_steps_of_which_one_alone_has_a_gradient(monkeypatch, state, backend):
    use(monkeypatch, backend)
    mg.seed(1)
    layer, x = LSTM(3, 4), drawn(BATCH, 19, 3)
    read = lambda x: getattr(layer(x, return_states="all")[2], state)  # noqa: E731
    found = slopes_of(read, [x])
    assert back_and_forth(layer._cell_at("l0")) == [[32], [32]]
    assert_agree(found, one_by_one(monkeypatch, lambda: slopes_of(read, [x])))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_last_states_begin_at_the_end(monkeypatch, backend):
    use(monkeypatch, backend)
    x, w = drawn(BATCH, 19, 3), drawn(3, 3)
    cell = lambda x, h: mg.tanh(x + h @ w)  # noqa: E731
    last = lambda x: layers.scan(cell, x, np.zeros((BATCH, 3), F))[1]  # noqa: E731
    found = slopes_of(last, [x])
    assert back_and_forth(cell) == [[32], [1, 2, 16]]
    assert_agree(found, one_by_one(monkeypatch, lambda: slopes_of(last, [x])))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("error")
def test_derivatives_that_are_infinite_beyond_the_end(monkeypatch, backend):
    """The state falls by one in each step, and below zero soon after the last one."""
    use(monkeypatch, backend)
    x, start = drawn(BATCH, 19, 3), np.full((BATCH, 3), 20, F)

    def run(x, fall):
        cell = lambda x, s: (x * mg.sqrt(s[1]), s[1] - fall)  # noqa: E731
        return layers.scan(cell, x, (start * 0, start))[0]

    fall = np.ones(3, F)
    found = slopes_of(run, [x, fall])
    assert all(np.isfinite(slope).all() for slope in found[0])
    assert_agree(found, one_by_one(monkeypatch, lambda: slopes_of(run, [x, fall])))


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_that_send_something_where_nothing_arrives(monkeypatch, backend):
    use(monkeypatch, backend)

    @mg.custom_vjp
    def sparse(h):
        return h * 1.0

    @sparse.vjp
    def sparse_rule(g, h):
        return g + 0.1 * mg.sign(h)

    x, w = drawn(BATCH, 19, 3), drawn(3, 3)

    def run(x, w):
        cell = lambda x, h: mg.tanh(x + sparse(h) @ w)  # noqa: E731
        return layers.scan(cell, x, np.ones((BATCH, 3), F))[0]

    assert_agree(slopes_of(run, [x, w]), one_by_one(monkeypatch, lambda: slopes_of(run, [x, w])))


def test_what_is_zero_with_a_gradient():
    inputs = [Value("input", (), (2, 3), np.dtype(F), (i,)) for i in range(2)]
    g, x = map(View, inputs)
    nothing = Value("constant", (), (2, 3), np.dtype(F))
    nothing.array = np.zeros((2, 3), F)

    def made(op, *operands):
        return Value(op, operands, (2, 3), np.dtype(F))

    zero = [
        made("multiply", g, x), made("divide", g, x), made("add", g, View(nothing)),
        made("subtract", g, 0.0), made("where", x, g, 0.0), made("negative", g),
    ]  # fmt: skip
    other = [
        made("add", g, x), made("add", g, 1.0), made("divide", x, g), made("tanh", g),
        made("where", g, x, g), made("maximum", g, 0.0),
    ]  # fmt: skip
    assert zeros_among([*zero, *other], [inputs[0]]) == {inputs[0], *zero}
    assert zeros_among([made("copy", View(zero[0]))], [inputs[1]]) == {inputs[1]}
    assert is_zero(made("matmul", g, x), [False, True])
