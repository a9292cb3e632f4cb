"""Measures where they easily go wrong: padding, nested scopes, cancellation, NaN, bad samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import GRU, LSTM, RNN, Transformer
from minigrad.draw import DrawError, backprop_through_time, gradient_flow


@given(st.sampled_from([RNN, LSTM, GRU]), st.integers(1, 4), st.booleans(), st.sampled_from([1, 2]))
def test_a_padded_sequence_has_the_gradients_that_it_has_alone(kind, length, fused, layers):
    """h has to read the c that is carried on, or dL/dc misses the way through h."""
    mg.seed(0)
    with mg.default_dtype("float64"):
        layer = kind(3, 4, num_layers=layers)
    x = np.random.default_rng(length).standard_normal((2, 4, 3))

    def lanes(x, sample, **options):
        with mg.recording(fused=fused):
            loss = (layer(mg.Tensor(x), **options)[0] ** 2).sum()
        return backprop_through_time(loss, sample=sample).lanes

    together = lanes(x, 1, lengths=[4, length])
    alone = lanes(x[1:, :length], None)
    for one, other in zip(together, alone, strict=True):
        assert str(one.lane) == str(other.lane)
        np.testing.assert_allclose(one.norms[:length], other.norms, rtol=1e-9)
        np.testing.assert_allclose(one.norms[length:], 0.0)


def test_a_state_may_be_made_in_a_scope_inside_its_cell():
    w = mg.Tensor(np.eye(3) * 0.5, requires_grad=True)
    h = first = mg.Tensor(np.ones((2, 3)))
    for t in range(3):
        with mg.step(t), mg.scope("cell"):
            with mg.scope("inner"):
                h = mg.tanh(h @ w)
            mg.label_state(h, "h")
    (lane,) = backprop_through_time(h.sum()).lanes
    assert (lane.lane.cell, lane.lane.state) == ("cell", "h")
    assert lane.norms[-1] == pytest.approx(np.sqrt(first.size))
    with mg.scope("later"):
        mg.label_state(h, "other")  # made outside: it stays what it is
    assert [str(found.lane) for found in backprop_through_time(h.sum()).lanes] == ["cell.h"]


def test_gradients_that_cancel_are_no_error_of_their_parts():
    mg.seed(0)
    with mg.default_dtype("float64"):
        encoder = Transformer(8, 2, 3, 1, 16, dropout=0.0).encoder
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, 4, 8)))
    flow = gradient_flow((encoder(x) ** 2).sum(), routes="residual")
    assert flow.check() < 1e-12


def test_parts_that_do_not_add_up_are_still_found(monkeypatch):
    flow = gradient_flow((mg.tanh(mg.Tensor(np.array([0.5, 1.0]), requires_grad=True)) ** 2).sum())
    whole = flow._follow

    def lossy(keep):
        parts = whole(keep)
        for node in parts.wholes:
            parts.wholes[node] = parts.wholes[node] * (1 + 1e-4)
        return parts

    monkeypatch.setattr(flow, "_follow", lossy)
    with pytest.raises(DrawError, match="do not add up to it: relative error"):
        flow.check()


def test_a_lane_of_nan_has_no_half_life_and_a_sample_must_be_in_the_batch():
    mg.seed(0)
    layer = LSTM(3, 4)
    x = np.ones((2, 3, 3), np.float32)
    x[:, 1] = np.nan
    lane = backprop_through_time((layer(mg.Tensor(x))[0] ** 2).sum()).lane("c")
    assert np.isnan(lane.rate)
    assert np.isnan(lane.half_life)
    loss = (layer(mg.Tensor(np.ones((2, 3, 3), np.float32)))[0] ** 2).sum()
    with pytest.raises(DrawError, match="sample 9 is not in a batch of 2"):
        backprop_through_time(loss, sample=9)
    assert len(backprop_through_time(loss, sample=-1).lanes) == 2
