"""What a picture of cells calls its lanes, which of them read backwards, and how wide it is."""

import re

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import draw

CLASSES = {"rnn": layers.RNN, "lstm": layers.LSTM, "gru": layers.GRU}


def series(time=5, features=3, seed=0):
    return np.random.default_rng(seed).standard_normal((1, time, features)).astype(np.float32)


def picture_of(output):
    return draw((output * output).sum(), level="cells", grad="norm")


def over(cell, x):
    state = None
    for t in range(x.shape[1]):
        state = cell(x[:, t], state)
    return state[0] if isinstance(state, tuple) else state


def places_of(drawing):
    """The x of each box of the picture, by its id."""
    found = re.findall(r'\n\t(n\d+) \[.*?pos="?(-?[\d.]+),', drawing.dot.source)
    return {int(name[1:]): float(x) for name, x in found}


@pytest.mark.parametrize("kind", CLASSES)
def test_both_directions_of_a_stack_are_told_and_the_backward_lanes_marked(kind):
    drawing = picture_of(CLASSES[kind](3, 4, num_layers=2, bidirectional=True)(series())[0])
    graph = drawing.graph
    assert graph.title.endswith("2 layers, both directions")
    banded = {(n.scope, n.reverse) for n in graph.nodes if n.layer is not None}
    name = CLASSES[kind].__name__
    assert banded == {
        (f"{name}.{layer}", layer.endswith("_reverse"))
        for layer in ("l0", "l0_reverse", "l1", "l1_reverse")
    }
    for title in (f"{name}.l0_reverse", f"{name}.l1"):
        assert title in str(drawing)
        assert title in drawing.dot.source
    for text in graph.diagnosis:
        # The way back of a backward lane ends at its last time step.
        end = 4 if "_reverse" in text else 0
        assert re.search(rf"(to step|back to) {end}\b", text), text


def test_the_states_of_a_backward_lane_stand_before_their_cells_and_right_of_the_names():
    drawing = picture_of(layers.LSTM(3, 4, bidirectional=True)(series())[0])
    x = places_of(drawing)
    cells = {(n.reverse, n.step): x[n.id] for n in drawing.graph.nodes if n.op == "LSTMCell"}
    states = [node for node in drawing.graph.nodes if node.kind == "state"]
    assert {(node.reverse, node.step) for node in states} == set(cells)
    for node in states:
        assert (x[node.id] < cells[node.reverse, node.step]) == node.reverse
        assert x[node.id] > 0  # the names of the lanes stand left of 0


def test_one_cell_on_several_inputs_has_sequences_and_no_layers():
    cell = layers.LSTMCell(3, 4)
    drawing = picture_of(over(cell, series()) + over(cell, series(seed=1)))
    assert drawing.graph.title.endswith("5 steps of LSTMCell, 2 sequences")
    assert "sequence 1: LSTMCell" in str(drawing)
    assert "Sequence 2: along h" in str(drawing)
    assert "layer 0" not in str(drawing)
    assert 'label="sequence 2' in drawing.dot.source


def test_different_cells_are_layers_and_a_long_path_gives_way_to_a_number():
    below, above = layers.GRU(3, 4), layers.GRU(4, 4)
    drawing = picture_of(above(below(series())[0])[0])
    assert drawing.graph.title.endswith("2 layers")
    assert "GRU.l0: GRUCell" in str(drawing)
    assert "GRU (2).l0: GRUCell" in str(drawing)
    with mg.scope("a_name_that_is_far_too_long"):
        drawing = picture_of(below(series())[0])
    assert "layer 0: GRUCell" in str(drawing)


def test_a_skip_around_a_readout_passes_its_box():
    output, readout = layers.GRU(3, 4)(series())[0], layers.Linear(4, 4)
    z = readout(output) * output.sum(axis=-1, keepdims=True)
    drawing = draw((z * z).sum(), level="cells", grad="norm")
    (box,) = [n.id for n in drawing.graph.nodes if n.op == "Linear"]
    (stack,) = [n.id for n in drawing.graph.nodes if n.op == "stack"]
    (loss,) = [n.id for n in drawing.graph.nodes if n.op == "loss"]
    source = drawing.dot.source
    line = next(text for text in source.splitlines() if f"\tn{loss} -> n{stack} " in text)
    right = max(float(x) for x in re.findall(r"(-?[\d.]+),-?[\d.]+", line.split('pos="')[1]))
    width = float(re.search(rf"\n\tn{box} \[.*? width=([\d.]+)", source)[1]) * 72
    assert right > places_of(drawing)[box] + width / 2


def test_the_page_has_the_names_of_the_lanes():
    page = picture_of(layers.RNN(3, 4, bidirectional=True)(series())[0]).html()
    assert "RNN.l0_reverse" in page


def test_the_longest_sequence_that_is_shown_whole_fits_on_a_screen():
    svg = picture_of(layers.LSTM(3, 4)(series(12))[0]).svg()
    width = int(re.search(r'<svg width="(\d+)pt"', svg)[1])
    assert width <= 1600, width
