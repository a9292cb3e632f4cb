"""Recurrences in plain operations: found by their weights, or named by the caller."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import DrawError, backprop_through_time, draw, jacobian_spectra
from tests.minigrad.draw.lanes_of import check_picture, loss_of, series, steps_of


def by_hand(kind, time=6, every=False):
    """A cell in plain operations: its loss, and its states h (and c) at every step."""
    rng = np.random.default_rng(0)
    rows = 16 if kind == "lstm" else 4
    u, w, b, v = (
        mg.Tensor(rng.standard_normal(shape) * 0.5, requires_grad=True)
        for shape in ((4, rows), (3, rows), (rows,), (4, 2))
    )
    x, h, c = series(time).astype(float), np.zeros((2, 4)), np.zeros((2, 4))
    states, loss = [], 0.0
    for t in range(time):
        a = h @ u + x[:, t] @ w + b
        if kind == "lstm":
            i, f, o = (mg.sigmoid(a[:, 4 * k : 4 * k + 4]) for k in (0, 1, 3))
            c = f * c + i * np.tanh(a[:, 8:12])
            h = o * np.tanh(c)
        else:
            h = np.tanh(a)
        states.append((h, c) if kind == "lstm" else (h,))
        if every:
            loss = loss + loss_of(h @ v)
    return (loss if every else loss_of(h @ v)), states


def true_norms(loss, tensors):
    return [float(np.linalg.norm(mg.gradients(loss, t).numpy())) for t in tensors]


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize("every", [False, True])
def test_a_recurrence_in_plain_operations_is_found(kind, every):
    loss, states = by_hand(kind, every=every)
    count = len(states[0])
    check_picture(loss, 6, 6 * count)
    found = backprop_through_time(loss)
    for place, name in enumerate("hc"[:count]):
        expected = true_norms(loss, [step[place] for step in states])
        np.testing.assert_allclose(found.lane(name).norms, expected, rtol=1e-10)


@pytest.mark.parametrize("form", ["mapping", "pairs", "tensors"])
def test_states_can_be_named(form):
    loss, states = by_hand("lstm")
    h, c = [s[0] for s in states], [s[1] for s in states]
    named = {"mapping": {"hidden": h, "cell": c}, "pairs": states, "tensors": h}[form]
    names = {"mapping": ["cell", "hidden"], "pairs": ["c", "h"], "tensors": ["h"]}[form]
    found = backprop_through_time(loss, states=named)
    assert sorted(lane.lane.state for lane in found.lanes) == names
    np.testing.assert_allclose(found.lane(names[-1]).norms, true_norms(loss, h), rtol=1e-10)
    check_picture(loss, 6, 6 * len(names), states=named)
    size = 4 * len(names)
    assert jacobian_spectra(loss, states=named).matrices.shape == (5, size, size)
    assert draw(loss, states=named).graph.level == "cells"


def test_wrong_named_states_say_what_is_wrong():
    loss, states = by_hand("rnn")
    h = [s[0] for s in states]
    with pytest.raises(DrawError, match="as many time steps of each state, got h: 6, c: 2"):
        draw(loss, states={"h": h, "c": h[:2]})
    with pytest.raises(DrawError, match="'h' at step 1 must be a tensor with a recorded graph"):
        draw(loss, states=[h[0], np.zeros(3)])
    with pytest.raises(DrawError, match="the loss does not depend on 'h' at step 0"):
        draw(loss, states=[mg.Tensor(np.ones(2), requires_grad=True) * 2])
    with pytest.raises(DrawError, match="states is empty: name a tensor for every time step"):
        draw(loss, states=[])


def test_states_labelled_outside_of_all_scopes_are_drawn():
    u, w = (mg.Tensor(np.eye(3) * s, requires_grad=True) for s in (0.5, 1.0))
    x, h = series(4).astype(float), np.zeros((2, 3))
    projected = x @ w  # for all steps at once: shared, so in no step's box
    for t in range(4):
        h = mg.label_state(np.tanh(projected[:, t] + h @ u), "h")
    graph = check_picture(loss_of(h), 4, 4)
    assert [n.op for n in graph.nodes if n.kind == "op"] == ["matmul"]


def test_a_label_may_name_the_state_before():
    weight = mg.Tensor(np.eye(2) * 0.5, requires_grad=True)
    low = high = mg.Tensor(np.ones((1, 2)), requires_grad=True)
    for _ in range(3):
        low = mg.label_state(low @ weight, "h", before=low)
        high = mg.label_state((high + low) @ weight, "h", before=high)
    assert [steps for steps, _ in steps_of(loss_of(high)).values()] == [[0, 1, 2], [0, 1, 2]]


def prepared(kind, every):
    """Cells by hand whose weights are used on something made of the state: loss, and the states."""
    rng = np.random.default_rng(0)
    rows = 16 if kind == "split" else 4
    u, v, w = (
        mg.Tensor(rng.standard_normal(shape) * 0.4, requires_grad=True)
        for shape in ((4, 4), (7, rows), (4, 2))
    )
    x, h, c = series().astype(float), np.ones((2, 4)), np.zeros((2, 4))
    states, loss = [], 0.0
    for t in range(6):
        if kind == "concatenated":
            h = np.tanh(np.concatenate([x[:, t], h], axis=1) @ v)
        elif kind == "scaled":
            h = np.tanh((h * 0.5) @ u + x[:, t, :1])
        elif kind == "leaky":
            h = 0.9 * h + 0.1 * np.tanh(h @ u + x[:, t, :1])
        else:
            i, f, g, o = np.split(np.concatenate([h, x[:, t]], axis=1) @ v, 4, axis=1)
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * np.tanh(g)
            h = mg.sigmoid(o) * np.tanh(c)
        states.append(h)
        loss = loss + loss_of(h @ w)
    return (loss if every else loss_of(h)), states


@pytest.mark.parametrize("kind", ["concatenated", "scaled", "leaky", "split"])
@pytest.mark.parametrize("every", [False, True])
def test_what_prepares_a_step_is_no_state(kind, every):
    loss, states = prepared(kind, every)
    found = backprop_through_time(loss)
    np.testing.assert_allclose(found.lane("h").norms, true_norms(loss, states), rtol=1e-10)
    assert len(found.lanes) == (2 if kind == "split" else 1)
    check_picture(loss, 6, 6 * len(found.lanes))


class ByHand(layers.Module):
    """A cell in plain operations, as a module."""

    def __init__(self, inputs, size):
        super().__init__()
        self.read, self.keep = layers.Linear(inputs, size), layers.Linear(size, size)

    def forward(self, x, h):
        return np.tanh(self.read(x) + self.keep(h))


def test_two_cells_by_hand_are_two_and_one_beside_a_library_cell_is_found():
    x, a, b = series(), ByHand(3, 4), ByHand(4, 4)
    h = g = np.zeros((2, 4), np.float32)
    for t in range(6):
        h = a(x[:, t], h)
        g = b(h, g)
    assert set(steps_of(loss_of(g))) == {"ByHand.h", "ByHand (2).h"}
    check_picture(loss_of(g), 12, 12)
    _, h = layers.GRU(3, 4)(x)
    h = h[0]
    for t in range(5):
        h = b(x[:, t, [0, 0, 1, 2]], h)
    found = steps_of(loss_of(h))
    assert found == {"GRU.l0.h": (list(range(6)), 0), "ByHand.h": (list(range(5)), 6)}
