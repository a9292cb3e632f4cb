"""Gradient flow on networks whose gradients are known in closed form, drawn at random."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import GRU, LSTM, RNN
from minigrad.draw import (
    Picture,
    backprop_through_time,
    draw,
    gradient_flow,
    input_connectivity,
    jacobian_spectra,
)

WEIGHTS = st.floats(0.05, 2.0).flatmap(lambda size: st.sampled_from([size, -size]))


def leaf(value):
    return mg.Tensor(value, dtype="float64", requires_grad=True)


def scalar_chain(w, steps, every=False):
    """h_t = w h_{t-1} from h_{-1} = 1: the last state, or the sum of all."""
    weight, h, total = leaf(w), leaf(1.0), 0.0
    weight.name = "w"
    for t in range(steps):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(weight * h, "h")
        total = total + h
    return (total if every else h), weight


def float64(kind, *sizes, **options):
    with mg.default_dtype("float64"):
        return kind(*sizes, **options)


@given(WEIGHTS, st.integers(1, 40))
def test_a_scalar_linear_network_has_the_ratio_w_to_the_lag(w, steps):
    lane = backprop_through_time(scalar_chain(w, steps)[0]).lane("h")
    lags, norms = lane.by_lag
    assert lags.tolist() == list(range(steps))
    np.testing.assert_allclose(norms, abs(w) ** lags.astype(float), rtol=1e-12)
    if steps > 1:
        assert lane.rate == pytest.approx(abs(w), rel=1e-9)


@given(st.floats(0.05, 2.0), st.integers(1, 12))
def test_triangle_and_lags_of_a_scalar_network_add_up(w, steps):
    loss, weight = scalar_chain(w, steps, every=True)
    found = backprop_through_time(loss)
    lane = found.lane("h")
    for k in range(steps):
        expected = [w ** (k - t) if t <= k else np.nan for t in range(steps)]
        np.testing.assert_allclose(lane.triangle[k], expected, rtol=1e-12)
    # All parts are positive numbers here, so that norms add up.
    np.testing.assert_allclose(np.nansum(lane.triangle, axis=0), lane.norms, rtol=1e-12)
    by_lag = found.summary()["parameters"]["w"]
    assert by_lag["exact"]
    loss.backward()
    assert sum(by_lag["norms"]) == pytest.approx(weight.grad.item(), rel=1e-12)


@given(st.integers(1, 6), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_an_orthogonal_network_keeps_every_norm(size, steps, seed):
    rng = np.random.default_rng(seed)
    q, h = leaf(np.linalg.qr(rng.standard_normal((size, size)))[0]), leaf(np.ones((2, size)))
    for t in range(steps):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(h @ q, "h")
    found = backprop_through_time((h * rng.standard_normal((2, size))).sum()).lane("h")
    np.testing.assert_allclose(found.norms, found.norms[-1], rtol=1e-10)
    spectra = jacobian_spectra(h)
    np.testing.assert_allclose(spectra.largest, 1, rtol=1e-10)
    np.testing.assert_allclose(spectra.smallest, 1, rtol=1e-10)
    np.testing.assert_allclose(spectra.log_norms(), 0, atol=1e-9)


@given(st.integers(1, 4), st.integers(2, 10), st.sampled_from([np.inf, -np.inf]))
def test_an_lstm_without_recurrent_weights_is_its_forget_gate(size, steps, bias):
    lstm = float64(LSTM, 2, size)
    state = lstm.state_dict()
    state["weight_hh_l0"] = np.zeros_like(state["weight_hh_l0"])
    state["weight_ih_l0"][size : 2 * size] = 0
    state["bias_ih_l0"][size : 2 * size], state["bias_hh_l0"][size : 2 * size] = bias, 0
    lstm.load_state_dict(state)
    output, _ = lstm(np.random.default_rng(steps).standard_normal((3, steps, 2)))
    found = backprop_through_time((output[:, -1] ** 2).sum())
    lane = found.lane("c")
    if bias > 0:
        np.testing.assert_allclose(lane.norms, lane.norms[-1], rtol=1e-12)
        _, _, shares = found.routes.series(lane.lane)
        np.testing.assert_allclose(shares[:, 0], 1, rtol=1e-12)
        np.testing.assert_array_equal(shares[:, 1:], 0)
    else:
        assert lane.norms[-1] > 0
        np.testing.assert_array_equal(lane.norms[:-1], 0)


@st.composite
def arithmetic(draw):
    """A random graph of products, sums and squashings over two leaves, and its leaves."""
    a, b = (leaf(draw(st.lists(st.floats(-2, 2), min_size=3, max_size=3))) for _ in range(2))
    made = [a, b]
    for _ in range(draw(st.integers(1, 12))):
        x, y = (made[draw(st.integers(0, len(made) - 1))] for _ in range(2))
        kind = draw(st.sampled_from(["add", "multiply", "subtract", "tanh", "same", "part"]))
        made.append(
            {
                "add": lambda x=x, y=y: x + y,
                "multiply": lambda x=x, y=y: np.tanh(x) * y,
                "subtract": lambda x=x, y=y: x - 3 * y,
                "tanh": lambda x=x: np.tanh(x),
                "same": lambda x=x: x * x * 0.1,
                "part": lambda x=x: mg.concatenate([x[:1], x[1:] * 2.0]),
            }[kind]()
        )
    return sum(made[2:], a).sum(), (a, b)


@given(arithmetic())
def test_terms_add_up_to_the_gradient_and_their_shares_to_one(made):
    loss, leaves = made
    values = [t.numpy().copy() for t in leaves]
    flow = gradient_flow(loss)
    shares = {}
    for (node, slot), term in flow.contributions.items():
        shares.setdefault(node.inputs[slot], []).append(term)
    known = [tensor for tensor in leaves if tensor._node in shares]
    for tensor, expected in zip(known, mg.gradients([loss], known), strict=True):
        size = math.hypot(*expected.numpy())  # NumPy squares tiny numbers to 0
        largest = max(term.norm for term in shares[tensor._node])
        assert flow.gradient(tensor).norm == pytest.approx(size, rel=1e-12, abs=1e-13 * largest)
    cancelled = 1.0
    for source, terms in shares.items():
        norm = flow.gradients[source].norm
        if norm == 0:
            assert all(term.share is None for term in terms)
            continue
        # Terms that cancel are larger than their sum; rounding is relative to them.
        scale = max(1.0, *(term.norm / norm for term in terms))
        cancelled = max(cancelled, scale)
        assert sum(term.share for term in terms) == pytest.approx(1, abs=1e-13 * scale**2)
    if cancelled < 1e3:
        assert flow.check(1e-9) < 1e-9
    draw(loss, grad="share").dot.source  # noqa: B018 - made when it is asked for
    assert all(t.grad is None for t in leaves)
    for tensor, value in zip(leaves, values, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), value)


@given(
    st.sampled_from([RNN, LSTM, GRU]),
    st.integers(1, 2),
    st.booleans(),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_sample_in_a_batch_is_the_same_as_alone(kind, layers, bidirectional, lengths, fused):
    longest = max(lengths)
    layer = float64(kind, 2, 3, layers, bidirectional=bidirectional)
    x = np.random.default_rng(0).standard_normal((len(lengths), longest, 2))
    with mg.recording(fused=fused):
        output, _ = layer(x, lengths=np.array(lengths))
        alone, _ = layer(x[:1, : lengths[0]])
        inside = np.arange(longest)[None, :, None] < np.array(lengths)[:, None, None]
        loss = ((output * inside) ** 2).sum()
        single = (alone**2).sum()
    assert gradient_flow(loss).check(1e-11) < 1e-11
    found = backprop_through_time(loss, sample=0)
    expected = backprop_through_time(single)
    for lane in expected.lanes:
        mine = found.lane(lane.lane.state, lane.lane.cell)
        # The last state of a padded sample is handed on unchanged, and counts again and again.
        steps = [t for t in lane.steps.tolist() if lane.backwards or t < lengths[0] - 1]
        if lane.lane.state == "c":
            # Beside padding, the state is what is handed on, which the output does not read.
            steps = [t for t in steps if t < min(lengths)]
        np.testing.assert_allclose(
            [mine.norms[mine.steps == t].item() for t in steps],
            [lane.norms[lane.steps == t].item() for t in steps],
            rtol=1e-9,
            atol=1e-14,
        )


@given(WEIGHTS.filter(lambda w: abs(w) < 1.5), st.integers(1, 10))
def test_connectivity_of_a_linear_network(w, steps):
    x, weight = leaf(np.ones((1, steps, 1))), leaf(w)
    h, outputs = None, []
    for t in range(steps):
        h = x[:, t] if h is None else weight * h + x[:, t]
        outputs.append(h)
    found = input_connectivity(mg.stack(outputs, axis=1), x)
    k, t = found.output_steps[:, None], np.arange(steps)[None, :]
    expected = np.where(t <= k, np.abs(w) ** np.maximum(k - t, 0).astype(float), 0)
    np.testing.assert_allclose(found.norms, expected, rtol=1e-12)


def test_the_square_of_a_tensor_has_two_edges():
    x = leaf([1.0, -2.0])
    graph = draw((x * x).sum(), grad="share").graph
    edges = [edge for edge in graph.edges if edge.source == 0]
    assert [edge.slot for edge in edges] == [0, 1]
    assert [edge.contribution.share for edge in edges] == pytest.approx([0.5, 0.5])


def test_forty_doublings_stay_forty_nodes():
    x = y = leaf(1.0)
    for _ in range(40):
        y = y + y
    flow = gradient_flow(y)
    assert len(flow.tape.nodes) == 41
    assert len(flow.contributions) == 80
    assert flow.gradient(x).norm == 2.0**40
    graph = draw(flow).graph
    assert (len(graph.nodes), len(graph.edges)) == (41, 80)
    assert [edge.contribution.share for edge in graph.edges] == pytest.approx([0.5] * 80)


def test_ten_thousand_steps_without_recursion():
    loss, _ = scalar_chain(0.999, 10_000)
    before = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 120)
    try:
        drawing = draw(loss, level="cells", grad="norm")
        assert len(drawing.dot.source) > 1000
        assert str(drawing)
        again = Picture.from_json(drawing.json())
        flow = gradient_flow(loss)
    finally:
        sys.setrecursionlimit(before)
    assert again == drawing.graph
    assert flow.gradients[min(flow.gradients, key=lambda n: n.number)].norm > 0
    assert sum(node.kind == "state" for node in drawing.graph.nodes) == 10_000


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_drawing_changes_nothing(kind):
    layer = float64(kind, 2, 3)
    x = leaf(np.random.default_rng(0).standard_normal((2, 5, 2)))
    output, _ = layer(x)
    loss = (output**2).sum()
    loss.backward(retain_graph=True)
    before = {name: (p.numpy().copy(), p.grad) for name, p in layer.named_parameters()}
    gradient = x.grad
    draw(loss, grad="norm")
    draw(loss, level="cells", grad="share", roll=True)
    found = backprop_through_time(loss)
    found.summary()
    found.draw()
    jacobian_spectra(loss)
    assert x.grad is gradient
    for name, parameter in layer.named_parameters():
        value, grad = before[name]
        np.testing.assert_array_equal(parameter.numpy(), value)
        assert parameter.grad is grad
    loss.backward()
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), 2 * before[name][1].numpy())
