"""Pictures coloured by the time that a profile measured."""

import json
import math
import re

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.draw import DrawError, Picture, PictureNode, draw, draw_graph, elide, roll, view
from minigrad.draw.style.scale import CIVIDIS, TimeScale, contrasting, hexadecimal
from minigrad.draw.style.theme import theme_named

F = np.float32


@pytest.fixture
def measured():
    """A network that ran under a profile, and a profile that says how long its operations took."""
    model = layers.Sequential(layers.Linear(4, 4), layers.Linear(4, 4))
    with mg.profile() as p:
        y = (model(np.ones((3, 4), F)) ** 2).mean()
        y.backward()
    for k, entry in enumerate(p._observer.entries):  # 1 ms, 2 ms, 3 ms ...
        entry.start, entry.lost = 0, 0
        entry.end = (k + 1) * 1_000_000
    return y, p


def by_op(graph):
    return [
        (node.op, round(1000 * node.seconds, 6)) for node in graph.nodes if node.seconds is not None
    ]


def test_a_box_has_the_time_of_its_operation_forward_and_backward(measured):
    y, p = measured
    forward = ["matmul", "add", "matmul", "add", "power", "mean"]
    entries = p._observer.entries
    names = [entry.name for entry in entries if entry.phase == "forward" and entry.node]
    assert [name for name in names if name != "transpose"] == forward
    expected = {}
    for node, seconds in p.node_seconds():
        expected[node.number] = expected.get(node.number, 0.0) + seconds
    graph = view(y, level="ops", colour=p, show=("parameters", "views"))
    found = [node.seconds for node in graph.nodes if node.kind == "op"]
    assert [round(s, 9) for s in found] == [round(expected[n], 9) for n in sorted(expected)]
    assert all(node.seconds is None for node in graph.nodes if node.kind != "op")


@pytest.mark.parametrize(
    "options",
    [
        {"level": "ops"},
        {"level": "ops", "show": ("parameters",)},
        {"level": "layers"},
        {"level": "layers", "depth": 1},
        {"level": "layers", "roll": True},
        {"level": "auto"},
    ],
    ids=str,
)
def test_no_time_is_lost_in_any_picture(measured, options):
    y, p = measured
    total = math.fsum(seconds for _, seconds in p.node_seconds())
    graph = view(y, colour=p, **options)
    assert math.fsum(n.seconds for n in graph.nodes if n.seconds is not None) == pytest.approx(
        total, rel=1e-9
    )


def test_steps_that_are_merged_or_left_out_take_their_time_together():
    nodes = [PictureNode(t, "op", op="tanh", step=t, seconds=0.001 * (t + 1)) for t in range(30)]
    graph = Picture(tuple(nodes), (), level="ops")
    (rolled,) = roll(graph).nodes
    assert rolled.seconds == pytest.approx(0.001 * 465)
    shown = elide(graph, [0, 1, 29]).nodes
    assert math.fsum(node.seconds for node in shown) == pytest.approx(0.001 * 465)
    unknown = [PictureNode(t, "op", op="tanh", step=t) for t in range(3)]
    assert roll(Picture(tuple(unknown), ())).nodes[0].seconds is None


def test_records_keep_times_as_json(measured):
    y, p = measured
    graph = view(y, level="ops", colour=p)
    assert Picture.from_json(graph.to_json()) == graph
    assert '"seconds"' not in view(y, level="ops").to_json()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_go_from_one_end_of_the_scale_to_the_other_with_the_number_beside(theme):
    times = (0.0001, 0.01, 1.0)
    nodes = [PictureNode(i, "op", op=f"o{i}", seconds=s) for i, s in enumerate(times)]
    nodes.append(PictureNode(3, "op", op="unseen"))
    source = draw_graph(Picture(tuple(nodes), ()), theme=theme).dot.source
    start, end = theme_named(theme).ramp
    scale = TimeScale(-1.0, 3.0, theme_named(theme))

    def ramp(place):
        """Straight between the control points of the map of colours."""
        place *= len(CIVIDIS) - 1
        points = range(len(CIVIDIS))
        return tuple(round(np.interp(place, points, [c[i] for c in CIVIDIS])) for i in range(3))

    for number, place in ((0, start), (1, (start + end) / 2), (2, end)):
        color = ramp(place)
        (line,) = re.findall(rf"^\s*n{number} \[.*$", source, re.MULTILINE)
        assert f'fillcolor="{hexadecimal(color)}"' in line
        assert f'fontcolor="{contrasting(color)}"' in line
        assert scale.fill(times[number]) == (hexadecimal(color), contrasting(color))
    assert re.search(r"n0 \[.*0\.1 ms", source)
    assert re.search(r"n2 \[.*1000 ms|n2 \[.*1e3 ms", source)
    assert f'fillcolor="{theme_named(theme).box}"' in re.search(r"n3 \[.*", source)[0]
    (legend,) = [line for line in source.splitlines() if "forward and backward, in ms" in line]
    assert [f"{sample} ms<" in legend for sample in ("0.1", "10", "100")] == [True] * 3


def test_large_pictures_have_colours_and_a_legend_too(measured):
    x = mg.Tensor(np.ones(3, F), requires_grad=True)
    with mg.profile() as p:
        y = x
        for t in range(120):
            with mg.step(t):
                y = mg.tanh(y)
    drawing = draw(y.sum(), level="ops", colour=p, steps="all")
    assert drawing.engine == "nop2"
    assert "forward and backward, in ms" in drawing.dot.source
    assert drawing.svg().count(" ms<") >= 120


def test_no_times_no_legend_of_them(measured):
    y, _ = measured
    assert " ms" not in draw(y, level="ops").svg()
    assert "seconds" not in json.dumps(view(y).to_json())


def test_the_text_and_the_page_tell_the_numbers(measured):
    y, p = measured
    drawing = draw(y, level="layers", colour=p)
    assert len(re.findall(r"\d ms", drawing.text())) == 4
    page = drawing.html()
    assert '"seconds"' in page
    assert '"times"' in page
    assert '"times"' not in draw(y, level="layers").html()


def test_kernels_stay_closed_as_they_ran():
    layer = layers.LSTM(2, 3)
    with mg.profile() as p:
        y, _ = layer(np.ones((1, 4, 2), F))
        loss = y.sum()
        loss.backward()
    for level in ("ops", "auto"):
        ops = dict(by_op(view(loss, level=level, colour=p)))
        assert "lstm_sequence" in ops
        assert ops["lstm_sequence"] > 0


def test_a_compiled_call_is_one_box_with_its_time():
    compiled = mg.compile(lambda x: mg.tanh(x * x))
    x = mg.Tensor(np.ones(3, F), requires_grad=True)
    compiled(x)
    with mg.profile() as p:
        y = compiled(x).sum()
        y.backward()
    assert [op for op, _ in by_op(view(y, level="ops", colour=p))] == ["compiled", "sum"]


def test_what_cannot_be_coloured_is_refused(measured):
    y, p = measured
    with pytest.raises(ValueError, match=r"level must be 'ops' or 'layers', got 'cells'"):
        draw(y, level="cells", colour=p)
    other = mg.tanh(mg.Tensor(1.0, requires_grad=True))
    with pytest.raises(DrawError, match="saw no operation of this graph"):
        draw(other, colour=p)
    with pytest.raises(ValueError, match="colour must go with what was computed, got a Picture"):
        draw(view(y), colour=p)
