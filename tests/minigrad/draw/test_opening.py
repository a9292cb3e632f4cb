"""Kernels opened by their references: the same values and gradients, and every step to be seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import GRU, LSTM, RNN, MultiheadAttention, TransformerEncoderLayer
from layers.kernels import gru_sequence, lstm_sequence, rnn_sequence
from minigrad.draw import (
    DrawError,
    backprop_through_time,
    draw,
    gradient_flow,
    jacobian_spectra,
    open_kernels,
)


@st.composite
def recurrent_calls(draw_):
    kind = draw_(st.sampled_from([RNN, LSTM, GRU]))
    options = {
        "num_layers": draw_(st.integers(1, 2)),
        "bidirectional": draw_(st.booleans()),
        "bias": draw_(st.booleans()),
    }
    dtype = draw_(st.sampled_from(["float32", "float64"]))
    batch, time = draw_(st.integers(1, 3)), draw_(st.integers(1, 4))
    lengths = draw_(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    return kind, options, dtype, batch, time, lengths


def record(call):
    kind, options, dtype, batch, time, lengths = call
    mg.seed(1)
    with mg.default_dtype(dtype):
        module = kind(3, 4, **options)
    values = np.random.default_rng(2).standard_normal((batch, time, 3)).astype(dtype)
    x = mg.Tensor(values, requires_grad=True)
    output, _ = module(x, lengths=lengths) if lengths is not None else module(x)
    return module, x, (output * output).sum()


@given(recurrent_calls())
def test_an_opened_layer_has_the_value_and_the_gradients_of_its_kernel(call):
    module, x, loss = record(call)
    (opened,) = open_kernels([loss])
    close = {"rtol": 2e-4, "atol": 1e-5} if call[2] == "float32" else {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(opened.item(), loss.item(), **close)
    leaves = [x, *module.parameters()]
    for one, other in zip(mg.gradients(opened, leaves), mg.gradients(loss, leaves), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), **close)


@given(recurrent_calls())
def test_it_is_drawn_like_one_that_was_recorded_step_by_step(call):
    _, _, loss = record(call)
    with mg.recording(fused=False):
        _, _, by_step = record(call)

    def shape(graph):
        nodes = [(n.kind, n.op, n.name, n.state, n.step, n.scope, n.shape) for n in graph.nodes]
        return nodes, [(e.source, e.target, e.count) for e in graph.edges], graph.scopes

    opened, expected = (draw(t, level="cells", grad="norm").graph for t in (loss, by_step))
    assert shape(opened) == shape(expected)
    for one, other in zip(opened.edges, expected.edges, strict=True):
        if other.contribution is None:
            assert one.contribution is None
        else:
            assert one.contribution.norm == pytest.approx(other.contribution.norm, rel=1e-3)
    # And a second look is the same: opening leaves no trace on the recorded graph.
    assert shape(draw(loss, level="cells", grad="norm").graph) == shape(opened)


def test_inputs_with_one_history_are_not_counted_twice():
    x = mg.Tensor(np.random.default_rng(0).standard_normal((1, 2, 5, 4)), requires_grad=True)
    q = mg.tanh(x)
    loss = mg.sum(mg.scaled_dot_product_attention(q, q, q) ** 2)
    (opened,) = open_kernels([loss])
    expected = mg.gradients(loss, x).numpy()
    np.testing.assert_allclose(mg.gradients(opened, x).numpy(), expected, rtol=1e-10)
    flow = gradient_flow(opened)
    assert flow.gradient(x).norm == pytest.approx(np.linalg.norm(expected), rel=1e-10)


def test_every_kernel_of_a_transformer_layer_is_opened():
    mg.seed(0)
    layer = TransformerEncoderLayer(8, 2, 16)
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32))
    scores = layer(x)[:, -1]
    loss = mg.cross_entropy(scores, [1, 2])
    closed = draw(loss, level="ops", show=("kernels",)).graph
    opened = draw(loss, level="ops").graph
    kernels = {"scaled_dot_product_attention", "layer_norm", "cross_entropy"}
    assert kernels <= {n.op for n in closed.nodes}
    assert not kernels & {n.op for n in opened.nodes}
    assert "softmax" in {n.op for n in opened.nodes}


def test_a_reference_that_differs_is_not_drawn():
    @mg.fused(reference=lambda x: x * 2.0, backward=lambda g, r, a, n: (g[0] * 3.0,))
    def tripled(x):
        return x * 3.0, None

    @mg.fused(reference=lambda x: x * 3.0, backward=lambda g, r, a, n: (g[0] * 2.0,))
    def wrong_backward(x):
        return x * 3.0, None

    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(DrawError, match=r"kernel of tripled .*result y differs by 2"):
        draw(tripled(x).sum(), level="ops")
    with pytest.raises(DrawError, match="gradient of x differs"):
        draw(wrong_backward(x).sum(), level="ops")
    assert {n.op for n in draw(tripled(x).sum(), show=("kernels",)).graph.nodes} >= {"tripled"}


def sequence(kind, shape, dtypes, scale, seed=0):
    """The outputs of a recurrent kernel, called with inputs and weights of these dtypes."""
    batch, time, inputs, hidden = shape
    function, gates, states = RECURRENT[kind]
    generator = np.random.default_rng(seed)

    def drawn(*sizes, factor=1.0, dtype=dtypes[1]):
        values = generator.standard_normal(sizes) * factor
        return mg.Tensor(values.astype(dtype), requires_grad=True)

    x = drawn(batch, time, inputs, factor=scale, dtype=dtypes[0])
    begin = [drawn(batch, hidden, dtype=dtypes[0]) for _ in range(states)]
    weights = [drawn(gates * hidden, n, factor=n**-0.5) for n in (inputs, hidden)]
    biases = [drawn(gates * hidden) for _ in range(2)]
    return function(x, *begin, *weights, *biases)


RECURRENT = {
    "rnn": (rnn_sequence, 1, 1),
    "lstm": (lstm_sequence, 4, 2),
    "gru": (gru_sequence, 3, 1),
}
DTYPES = [("float16",) * 2, ("float32",) * 2, ("float64",) * 2, ("float64", "float32")]


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("kind", RECURRENT)
def test_rounding_is_no_disagreement(kind, dtypes):
    for shape, scale in (((2, 4, 3, 4), 1), ((2, 4, 3, 4), 1e3), ((2, 4, 3, 4), 1e-3)):
        for seed in range(3):
            open_kernels([sequence(kind, shape, dtypes, scale, seed)[0].sum()])
    open_kernels([sequence(kind, (2, 500, 2, 3), dtypes, 1)[0].sum()])
    open_kernels([sequence(kind, (16, 30, 64, 64), dtypes, 1)[0].sum()])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1e3])
@pytest.mark.parametrize("offset", [0, 100])
def test_rounding_is_no_disagreement_of_attention_norms_and_losses(dtype, scale, offset):
    generator = np.random.default_rng(0)

    def drawn(*shape):
        values = generator.standard_normal(shape) * scale + offset
        return mg.Tensor(values.astype(dtype), requires_grad=True)

    for rows, size in ((3, 4), (100, 64), (2, 3000)):
        open_kernels([mg.layer_norm(drawn(rows, size), drawn(size), drawn(size))])
        open_kernels([mg.cross_entropy(drawn(rows, size), generator.integers(size, size=rows))])
    for time, size in ((5, 4), (100, 16)):
        for method in ("plain", "blockwise"):
            q, k, v = (drawn(2, 2, time, size) for _ in range(3))
            attended = mg.scaled_dot_product_attention(q, k, v, causal=True, method=method)
            open_kernels([attended])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("fill", [0.0, 1.0, 0.1, 100.0])
def test_gradients_that_are_zero_by_symmetry_may_round(dtype, fill):
    def constant(*shape):
        return mg.Tensor(np.full(shape, fill, dtype), requires_grad=True)

    for time, size in ((3, 4), (7, 16)):
        for method in ("plain", "blockwise"):
            q, k, v = (constant(2, 2, time, size) for _ in range(3))
            open_kernels([mg.scaled_dot_product_attention(q, k, v, method=method)])
        open_kernels([mg.layer_norm(constant(3, size), constant(size), constant(size))])
        open_kernels([mg.cross_entropy(constant(3, size), [0, 1, 2])])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("fault", ["value", "gradient", "last step", "one gate"])
def test_a_planted_fault_is_found_in_every_dtype(monkeypatch, dtype, fault):
    operation = lstm_sequence.operation
    forward, backward = operation.forward, operation.backward
    share = 1 + 300 * float(np.finfo(dtype).eps)

    def wrong_forward(*arrays, **params):
        output, *rest = forward(*arrays, **params)
        output = output.copy()
        if fault == "value":
            output *= np.asarray(share, dtype)
        elif fault == "last step":
            output[:, -1] = output[:, -2]
        return output, *rest

    def wrong_backward(*arguments, **params):
        terms = backward(*arguments, **params)
        if fault == "gradient":
            terms[4] = terms[4] * np.asarray(share, dtype)
        elif fault == "one gate":
            terms[3] = terms[3].copy()
            terms[3][:4] = 0
        return terms

    monkeypatch.setattr(operation, "forward", wrong_forward)
    monkeypatch.setattr(operation, "backward", wrong_backward)
    loss = sequence("lstm", (2, 6, 3, 4), (dtype, dtype), 1)[0].sum()
    with pytest.raises(DrawError, match="its reference do not agree"):
        open_kernels([loss])


def test_a_kernel_that_gives_nan_where_its_reference_does_not_is_found():
    @mg.fused(reference=lambda x: x * 3.0, backward=lambda g, r, a, n: (g[0] * 3.0,))
    def spoiled(x):
        return np.where(x > 1, np.nan, x * 3.0), None

    with pytest.raises(DrawError, match="not finite at the same places"):
        open_kernels([spoiled(mg.Tensor([1.0, 2.0], requires_grad=True)).sum()])


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_float64_input_of_a_float32_layer_is_drawn(kind, requires_grad):
    values = np.random.default_rng().standard_normal((2, 5, 3))
    x = mg.Tensor(values, requires_grad=requires_grad)
    module = kind(3, 4, num_layers=2, bidirectional=True)
    output, _ = module(x, lengths=[5, 3])
    loss = (output**2).sum()
    for level in ("cells", "layers", "ops"):
        draw(loss, level=level, grad="norm")
    backprop_through_time(loss)
    if requires_grad:
        (gradient,) = mg.gradients(loss, [x])
        assert gradient.dtype == np.float64


@pytest.mark.parametrize("level", ["layers", "ops"])
def test_float64_input_of_attention_is_drawn(level):
    x = mg.Tensor(np.random.default_rng().standard_normal((2, 5, 8)), requires_grad=True)
    output, _ = MultiheadAttention(8, 2)(x, need_weights=False)
    draw((output**2).sum(), level=level, grad="norm")


def test_a_freed_kernel_stays_closed_and_a_written_leaf_is_refused():
    _, _, loss = record((LSTM, {}, "float32", 1, 3, None))
    loss.backward()
    assert "lstm" in " ".join(n.op for n in draw(loss, level="ops").graph.nodes)
    with pytest.raises(DrawError, match=r"kernel of lstm.* freed by a backward"):
        draw(loss, level="cells")
    module, _, loss = record((LSTM, {}, "float32", 1, 3, None))
    with mg.no_grad():
        module.weight_hh_l0 -= 0.1
    with pytest.raises(mg.GradientError, match="written in place"):
        draw(loss, level="cells", grad="norm")


def test_time_gradients_of_a_kernel_are_those_of_its_steps():
    call = (LSTM, {"num_layers": 2}, "float64", 2, 6, None)
    _, _, loss = record(call)
    with mg.recording(fused=False):
        _, _, by_step = record(call)
    one, other = backprop_through_time(loss), backprop_through_time(by_step)
    for mine, expected in zip(one.lanes, other.lanes, strict=True):
        assert str(mine.lane) == str(expected.lane)
        np.testing.assert_allclose(mine.triangle, expected.triangle, rtol=1e-9)


def test_routes_and_jacobians_of_a_kernel_are_those_of_its_steps():
    call = (LSTM, {}, "float64", 2, 4, None)
    _, x, loss = record(call)
    with mg.recording(fused=False):
        _, other, by_step = record(call)
    flow, expected = gradient_flow(loss), gradient_flow(by_step)
    assert flow.check() < 1e-12
    mine, theirs = flow.routes.leaves[x._node], expected.routes.leaves[other._node]
    np.testing.assert_allclose(mine.norms, theirs.norms, rtol=1e-9)
    np.testing.assert_allclose(
        jacobian_spectra(loss).largest, jacobian_spectra(by_step).largest, rtol=1e-9
    )


@pytest.mark.parametrize("grad", [None, "norm"])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_a_recurrent_layer_by_itself_shows_its_operations_as_far_as_they_can_be_read(kind, grad):
    def loss(model):
        return lambda x: model(x)[0].sum()

    def names(time, **options):
        x = np.ones((1, time, 3), np.float32)
        graph = draw((loss(kind(3, 4)), x), level="layers", grad=grad, **options).graph
        return {node.op for node in graph.nodes}

    kernel = f"{kind.__name__.lower()}_sequence"
    assert {"matmul", "tanh"} <= names(3)
    assert kernel not in names(3)
    assert kernel in names(3, show=("kernels",))
    assert kernel in names(100)
