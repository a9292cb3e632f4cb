"""What tests of sequences share: small losses, their lanes, and a picture that is checked."""

import numpy as np

import layers
from minigrad.draw import backprop_through_time, draw

CLASSES = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}
CELLS = {"rnn": layers.RNNCell, "lstm": layers.LSTMCell, "gru": layers.GRUCell}


def series(time=6, features=3, batch=2, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, time, features)).astype(np.float32)


def loss_of(value):
    return (value * value).sum()


def output_of(state):
    return state[0] if isinstance(state, tuple) else state


def steps_of(loss, **options):
    """The steps and the place on the time line of each lane, by its name."""
    found = backprop_through_time(loss, **options)
    return {str(lane.lane): (lane.steps.tolist(), lane.offset) for lane in found.lanes}


def check_picture(loss, cells, count, **options):
    """The numbers of boxes; no value goes back in time; and the states have the true gradients."""
    graph = draw(loss, level="cells", grad="norm", **options).graph
    nodes = {node.id: node for node in graph.nodes}
    assert sum(n.kind == "group" and n.layer is not None for n in graph.nodes) == cells
    assert sum(n.kind == "state" for n in graph.nodes) == count
    places = {(n.layer, n.state, n.time) for n in graph.nodes if n.kind == "state"}
    assert len(places) == count, "two states share one place"
    for edge in graph.edges:
        ends = nodes[edge.source].time, nodes[edge.target].time
        assert None in ends or ends[0] <= ends[1], (nodes[edge.source], nodes[edge.target])
    measured = sorted(n.gradient.norm for n in graph.nodes if n.kind == "state")
    lanes = backprop_through_time(loss, **options).lanes
    norms = sorted(float(norm) for lane in lanes for norm in lane.norms)
    np.testing.assert_allclose(measured, norms, rtol=1e-4, atol=1e-7)
    return graph
