"""Gradients through time against closed forms, and against ordinary backward passes."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, Linear, Module
from minigrad.draw import DrawError, backprop_through_time, draw, gradient_flow


def scalar_chain(w, steps):
    weight = mg.Tensor(w, dtype="float64", requires_grad=True)
    weight.name = "w"
    h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    for t in range(steps):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(weight * h, "h")
    return h, weight


def loss_of(layer, time=12, batch=3, every=False, seed=0):
    rng = np.random.default_rng(seed)
    with mg.default_dtype("float64"):
        head = Linear(layer.hidden_size, 2)
    x = mg.Tensor(rng.standard_normal((batch, time, layer.input_size)), requires_grad=True)
    x.name = "x"
    with mg.recording(fused=False):
        output, _ = layer(x)
        return (head(output if every else output[:, -1]) ** 2).sum(), x


def make(kind, *sizes, **options):
    with mg.default_dtype("float64"):
        return kind(*sizes, **options)


@pytest.mark.parametrize("w", [0.5, -0.9, 1.3])
def test_a_scalar_recurrence_decays_by_its_weight_to_the_lag(w):
    loss, _ = scalar_chain(w, 20)
    lane = backprop_through_time(loss).lane("h")
    lags, norms = lane.by_lag
    np.testing.assert_allclose(norms, abs(w) ** lags.astype(float), rtol=1e-13)
    assert lane.rate == pytest.approx(abs(w), rel=1e-12)
    expected = math.inf if abs(w) > 1 else math.log(0.5) / math.log(abs(w))
    assert lane.half_life == pytest.approx(expected)


def test_the_horizon_is_where_a_hundredth_is_left():
    lane = backprop_through_time(scalar_chain(0.5, 20)[0]).lane("h")
    assert lane.horizon == 6  # 0.5 ** 6 = 1.6 %, 0.5 ** 7 = 0.8 %


def test_the_weight_gradient_splits_by_lag():
    loss, weight = scalar_chain(0.5, 6)
    found = backprop_through_time(loss)
    norms = found.summary()["parameters"]["w"]["norms"]
    # h_6 = w ** 6: the use at lag k brings 0.5 ** k times h_{5 - k} = 0.5 ** (5 - k).
    np.testing.assert_allclose(norms, [0.5**5] * 6)
    loss.backward()
    assert sum(norms) == pytest.approx(weight.grad.item())


def test_an_orthogonal_matrix_keeps_all_norms():
    rng = np.random.default_rng(0)
    q = mg.Tensor(np.linalg.qr(rng.standard_normal((6, 6)))[0], requires_grad=True)
    h = mg.Tensor(rng.standard_normal((2, 6)), requires_grad=True)
    for t in range(50):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(h @ q, "h")
    lane = backprop_through_time((h * rng.standard_normal((2, 6))).sum()).lane("h")
    np.testing.assert_allclose(lane.norms, lane.norms[-1], rtol=1e-12)
    assert lane.half_life == math.inf


def lstm_without_recurrent_weights(forget_bias, steps=8):
    lstm = make(LSTM, 2, 3)
    state = lstm.state_dict()
    state["weight_hh_l0"] = np.zeros_like(state["weight_hh_l0"])
    state["weight_ih_l0"][3:6] = 0
    state["bias_ih_l0"][3:6], state["bias_hh_l0"][3:6] = forget_bias, 0
    lstm.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((2, steps, 2))
    with mg.recording(fused=False):
        output, _ = lstm(x)
        return (output[:, -1] ** 2).sum()


def test_an_open_forget_gate_without_recurrent_weights_is_all_highway():
    found = backprop_through_time(lstm_without_recurrent_weights(np.inf))
    lane = found.lane("c")
    np.testing.assert_allclose(lane.norms, lane.norms[-1], rtol=1e-13)
    steps, _, shares = found.routes.series(lane.lane)
    assert steps == list(range(8))
    np.testing.assert_allclose(shares[:, 0], 1, rtol=1e-13)
    np.testing.assert_array_equal(shares[:, 1:], 0)
    forget = next(gate for gate in found.gates if gate.name == "forget gate")
    np.testing.assert_array_equal(forget.mean, 1)
    np.testing.assert_array_equal(forget.saturated, 1)


def test_a_closed_forget_gate_leaves_nothing_beyond_the_step():
    found = backprop_through_time(lstm_without_recurrent_weights(-np.inf))
    norms = found.lane("c").norms
    assert norms[-1] > 0
    np.testing.assert_array_equal(norms[:-1], 0)
    assert any("exactly zero from 1 step back" in text for text in found.diagnosis)


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
@pytest.mark.parametrize("by", ["gate", "count"])
def test_route_parts_add_up_to_the_gradient(kind, by):
    loss, x = loss_of(make(kind, 3, 4, 2), every=True)
    flow = gradient_flow(loss, by=by, most=2)
    assert flow.check(1e-12) < 1e-12
    for row in [*flow.routes.states.values(), *flow.routes.leaves.values()]:
        assert row.shares is None or sum(row.shares) == pytest.approx(1, abs=1e-10)
    assert x.grad is None


def test_the_gates_of_a_gru_are_told_from_its_leak():
    gru = make(GRU, 2, 3)
    state = {name: np.zeros_like(array) for name, array in gru.state_dict().items()}
    state["weight_ih_l0"][6:] = 0.5  # a candidate that reads the input alone: h leaks by z = 1/2
    gru.load_state_dict(state)
    found = backprop_through_time(loss_of(gru)[0])
    assert found.routes.names == (
        "highway (h)", "reset gate", "update gate", "candidate", "several gates",
    )  # fmt: skip
    _, _, shares = found.routes.series(found.lane("h").lane)
    np.testing.assert_allclose(shares[:, 0], 1, rtol=1e-12)
    lags, norms = found.lane("h").by_lag
    np.testing.assert_allclose(norms / norms[0], 0.5**lags, rtol=1e-12)


def test_a_residual_stream_against_its_branches():
    rng = np.random.default_rng(0)
    ws = [mg.Tensor(0.1 * rng.standard_normal((4, 4)), requires_grad=True) for _ in range(3)]
    x = mg.Tensor(rng.standard_normal((2, 4)), requires_grad=True)
    h = x
    for w in ws:
        with mg.scope("attention"):
            branch = mg.tanh(h @ w)
        h = h + branch
    flow = gradient_flow(h.sum(), routes=["attention"], by="count", most=4)
    names = ("highway", "1 detour", "2 detours", "3 detours", "4 or more detours")
    assert flow.routes.names == names
    row = flow.routes.leaves[x._node]
    assert row.norms[0] == pytest.approx(math.sqrt(8))  # the stream itself: all ones
    assert row.norms[4] == 0
    assert flow.check(1e-12) < 1e-12
    routes = {e.route for e in draw(flow).graph.edges}
    assert routes == {"", "attention"}
    with pytest.raises(ValueError, match="names 'nowhere', which is no scope"):
        gradient_flow(h.sum(), routes=["nowhere"])


def test_detours_are_counted_through_opened_calls():
    """A compiled call is opened like a kernel; its operations stay in the block around it."""
    rng = np.random.default_rng(0)
    ws = [mg.Tensor(0.3 * rng.standard_normal((4, 4)), requires_grad=True) for _ in range(3)]
    x = mg.Tensor(rng.standard_normal((2, 4)), requires_grad=True)
    found = []
    for function in (mg.tanh, mg.compile(mg.tanh)):
        for _ in range(2):  # from the second call on it is a program
            h = x
            for w in ws:
                with mg.scope("attention"):
                    branch = function(h @ w)
                h = h + branch
        flow = gradient_flow(h.sum(), routes=["attention"], by="count", most=4)
        found.append(flow.routes.leaves[x._node].norms)
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    assert found[0][1] > 0.1
    assert found[0][4] == 0


def test_the_branches_of_a_transformer():
    from layers import TransformerEncoderLayer

    with mg.default_dtype("float64"):
        encoder = TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, 5, 8)), requires_grad=True)
    with mg.recording(fused=False):
        loss = (encoder(x) ** 3).sum()
    flow = gradient_flow(loss, routes="residual")
    assert flow.routes.names == ("highway", "attention", "feed-forward", "several of them")
    assert flow.check(1e-12) < 1e-12
    assert all(norm > 0 for norm in flow.routes.leaves[x._node].norms)
    weights = encoder.linear1.weight._node
    assert flow.routes.leaves[weights].norms[1] == 0
    assert flow.routes.leaves[weights].norms[2] > 0
    named = gradient_flow(loss, routes={"looking": "self_attn"})
    assert named.routes.names == ("highway", "looking")
    with pytest.raises(ValueError, match="routes must be one of residual"):
        gradient_flow(loss, routes="highway")


def test_the_triangle_has_a_row_for_each_loss_step_and_reaches_back_alone():
    layer = make(RNN, 3, 4)
    loss, x = loss_of(layer, every=True)
    found = backprop_through_time(loss)
    lane = found.lane("h")
    assert found.summary()["loss_steps"] == list(range(12))
    assert lane.triangle.shape == (12, 12)
    assert np.isnan(lane.triangle[3, 4:]).all()
    assert np.isfinite(lane.triangle[3, :4]).all()
    parts = found.input_norms[x._node]
    assert parts.shape == (12, 12)
    np.testing.assert_array_equal(parts[3, 4:], 0)
    assert (parts[3, :4] > 0).all()


def test_one_row_of_the_triangle_against_a_loss_at_that_step_alone():
    layer = make(LSTM, 3, 4)
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, 9, 3)), requires_grad=True)
    with mg.recording(fused=False):
        output, _ = layer(x)
        every = (output**2).sum()
        output, _ = layer(x)
        alone = (output[:, 4] ** 2).sum()
    row = backprop_through_time(every, loss_steps=[4]).lane("c").triangle[0]
    single = backprop_through_time(alone)
    assert single.summary()["loss_steps"] == [4]
    np.testing.assert_allclose(row[:5], single.lane("c").norms[:5], rtol=1e-12)


def test_samples_and_quantiles():
    loss, _ = loss_of(make(LSTM, 3, 4), batch=5)
    whole = backprop_through_time(loss).lane("h")
    assert whole.per_sample.shape == (12, 5)
    np.testing.assert_allclose(np.linalg.norm(whole.per_sample, axis=1), whole.norms)
    one = backprop_through_time(loss, sample=2).lane("h")
    np.testing.assert_allclose(one.norms, whole.per_sample[:, 2])
    assert whole.quantiles([0.5]).shape == (1, 12)


def test_a_reverse_layer_counts_its_lags_forward_in_time():
    loss, _ = loss_of(make(RNN, 3, 4, reverse=True), every=True)
    lane = backprop_through_time(loss).lane("h")
    assert lane.backwards
    assert np.isnan(lane.triangle[3, :3]).all()
    assert (lane.triangle[3, 3:] > 0).all()


@dataclass(frozen=True)
class Ways:
    highway: str
    detours: tuple


def test_a_cell_of_ones_own_with_routes_of_its_own():
    w = mg.Tensor(0.3, dtype="float64", requires_grad=True)
    h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    for t in range(6):
        with mg.step(t), mg.scope("leaky", routes=Ways("h", ("inner",))):
            with mg.scope("inner"):
                pushed = w * h
            h = mg.label_state(0.5 * h + pushed, "h")
    found = backprop_through_time(h, by="count", most=9)
    row = found.routes.states[found.lane("h").lane, 0]
    expected = [math.comb(5, k) * 0.5 ** (5 - k) * 0.3**k for k in range(6)] + [0] * 4
    np.testing.assert_allclose(row.norms, expected, rtol=1e-12, atol=0)


def test_ten_thousand_steps_in_a_straight_line():
    loss, _ = scalar_chain(0.999, 10_000)
    found = backprop_through_time(loss)
    assert found.lane("h").half_life == pytest.approx(math.log(0.5) / math.log(0.999))
    assert len(found.weights.bins) == 15


def test_errors_say_what_to_do():
    x = mg.Tensor([1.0], requires_grad=True)
    with pytest.raises(DrawError, match=r"label_state\(h, 'h'\)"):
        backprop_through_time((x * 2).sum())
    loss, _ = scalar_chain(0.5, 4)
    with pytest.raises(ValueError, match="loss_steps has 1, where the loss reads no state"):
        backprop_through_time(loss, loss_steps=[1])
    with pytest.raises(ValueError, match="loss_steps must be"):
        backprop_through_time(loss, loss_steps="some")
    found = backprop_through_time(loss)
    with pytest.raises(DrawError, match="no state 'c'"):
        found.lane("c")
    with pytest.raises(ValueError, match="by must be"):
        gradient_flow(loss, by="luck").check()
    loss.backward()
    with pytest.raises(DrawError, match="retain_graph=True"):
        backprop_through_time(loss)


def test_flow_follows_only_the_ways_to_what_is_asked_for():
    a = mg.Tensor([1.0, 2.0], requires_grad=True)
    b = mg.Tensor([3.0, 4.0], requires_grad=True)
    loss = (a * mg.tanh(b)).sum()
    assert b._node not in gradient_flow(loss, wrt=a).gradients
    c = mg.Tensor([1.0], requires_grad=True)
    c.name = "c"
    with pytest.raises(DrawError, match="wrt 0 'c': the loss does not depend on it"):
        gradient_flow(loss, wrt=c)


def test_shares_stay_exact_where_terms_are_too_many_to_keep():
    from minigrad.draw.reading.measure import measure_terms, read_tape

    loss, _ = loss_of(make(LSTM, 3, 4))
    tape = read_tape([loss])
    whole = measure_terms(tape.seeds())
    frugal = measure_terms(tape.seeds(), budget=100)
    assert whole.contributions.keys() == frugal.contributions.keys()
    for key, term in whole.contributions.items():
        assert frugal.contributions[key].norm == pytest.approx(term.norm)
        assert frugal.contributions[key].share == pytest.approx(term.share)


def test_shares_are_drawn_with_their_sign():
    x = mg.Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    drawing = draw((3 * x - x).sum(), grad="share")
    shares = sorted(e.contribution.share for e in drawing.graph.edges if e.source == 0)
    assert shares == pytest.approx([-0.5, 1.5])
    assert "150 %" in drawing.dot.source
    assert "-50 %" in drawing.dot.source
    assert "negative" in drawing.dot.source
    cells = draw(loss_of(make(LSTM, 3, 4))[0], grad="share")
    assert "share of the gradient" in cells.dot.source


def test_parameters_of_the_same_name_are_told_apart():
    class Two(Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = LSTM(3, 4), LSTM(4, 4)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    found = backprop_through_time((Two()(x)[:, -1] ** 2).sum())
    names = list(found.summary()["parameters"])
    assert len(names) == 8
    assert "Two.first.l0.weight_hh_l0" in names
    assert "Two.second.l0.weight_hh_l0" in names


def test_parameters_of_one_name_in_one_place_are_numbered():
    h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    weights = [mg.Tensor(0.5, dtype="float64", requires_grad=True) for _ in range(2)]
    for weight in (*weights, h):
        weight.name = "w"
    for t in range(3):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(weights[0] * h * weights[1], "h")
    assert list(backprop_through_time(h).summary()["parameters"]) == [
        "cell.w",
        "cell.w (2)",
        "cell.w (3)",
    ]


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_not_finite_is_explained_where_it_began():
    found = backprop_through_time(scalar_chain(1e200, 4)[0])
    assert found.diagnosis[0] == (
        "Along h the gradient explodes: it is infinite, not finite from 2 steps back on."
    )
    assert "multiply in cell, step 1 is the first whose result is not finite" in found.diagnosis[1]
    x = np.ones((2, 6, 3))
    x[0, 2] = np.nan
    loss = (make(LSTM, 3, 4)(x)[0] ** 2).sum()
    sentences = backprop_through_time(loss).diagnosis
    assert "Along c the gradient is NaN, not finite from 0 steps back on." in sentences
    assert any("step 2 reads a constant" in text for text in sentences)


def test_zeros_on_the_way_name_the_operation_that_made_them():
    sentences = backprop_through_time(scalar_chain(0.0, 4)[0]).diagnosis
    assert sentences[0] == "Along h the gradient is exactly zero from 1 step back on."
    assert "multiply in cell, step 3 gets a gradient of norm 1 and passes exactly 0" in sentences[1]


def test_one_step_is_no_way_to_fall():
    assert backprop_through_time(scalar_chain(0.5, 1)[0]).diagnosis == ()
