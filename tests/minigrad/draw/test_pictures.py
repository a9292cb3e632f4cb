"""Pictures: golden DOT, structure of the SVG, hostile names, the encoding of gradients."""

import dataclasses
import html
import itertools
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.draw import Contribution, Edge, Picture, PictureNode, PictureScope, draw_graph
from minigrad.draw.render.text import sparkline
from minigrad.draw.style import escape
from minigrad.draw.style.scale import (
    THICKEST,
    THINNEST,
    Scale,
    cividis,
    contrasting,
    number_text,
)
from minigrad.draw.style.theme import THEMES

pytest.importorskip("pygraphviz")

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}title"

HOSTILE = [
    "</script>",
    "<b>",
    "<TABLE>",
    r"\N",
    r"\G \l \\ \\\\",
    "trailing\\",
    '"',
    '\\"',
    "nul\0nul",
    "\x7f\x85\x1b[31m",
    "\u202eright to left\u202c \u200f",
    "lone \ud800 surrogate",
    "\ufffe\uffff",
    "한국어 이름",
    "javascript:alert(1)",
    "&lt; &amp;lt; &#60; &#x3c;",
    "x->y; {a|b} [label=z]",
    "<<b>>",
    "]]><!-- -->",
    "%s %n $(x) `y`",
    "line\nbreak\ttab",
    "'",
    "n12",
    "node",
    "",
    "\U0001f600",
]


def test_dot_and_json_are_the_same_byte_for_byte(golden):
    texts, directory = golden
    for name, text in texts.items():
        assert text == (directory / name).read_text(encoding="utf-8"), name


def parts(svg):
    """Return the groups of an SVG by their classes."""
    groups = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        for word in (group.get("class") or "").split():
            groups.setdefault(word, []).append(group)
    return groups


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_op_picture_has_every_node_and_edge(ops_graph, theme):
    svg = draw_graph(ops_graph, theme=theme).svg()
    groups = parts(svg)
    assert len(groups["node"]) == len(ops_graph.nodes)
    assert len(groups["forward"]) == len(ops_graph.edges)
    carrying = [edge for edge in ops_graph.edges if edge.contribution is not None]
    assert len(groups["gradient"]) == len(carrying)
    assert [len(groups[kind]) for kind in ("zero", "nonfinite")] == [1, 1]
    for group in groups["gradient"]:
        assert len(list(group.iter(f"{SVG}polygon"))) == 1
    assert "f32[32, 128]" in svg
    assert "A small network" in svg
    assert "norm of the gradient flowing back" in svg


def test_cell_picture_draws_lanes_back_in_time(make_recurrent):
    graph = make_recurrent(steps=5, layers=2)
    groups = parts(draw_graph(graph).svg())
    # Two lanes of four steps, c to h within five steps, and one line up for each cell: all twice;
    # then the head and the loss.
    assert len(groups["gradient"]) == 2 * (2 * 4 + 5 + 5) + 2
    assert Counter(len(list(group.iter(f"{SVG}polygon"))) for group in groups["gradient"]) == {
        1: len(groups["gradient"])
    }
    assert len(groups["state"]) == 20
    tips = [tooltip(group) for group in groups["gradient"]]
    assert len(set(tips)) == len(tips)
    into_h = [tip for tip in tips if tip.startswith("h (layer 0, t = 1) ->")]
    assert len(into_h) == 2, "from the next step and from the layer above"


def tooltip(group):
    link = next(group.iter(f"{SVG}a"), None)
    return None if link is None else link.get(LINK)


def stroke(group):
    return next(group.iter(f"{SVG}path")).get("stroke-width", "1")


def test_the_lane_of_c_stays_wide_while_that_of_h_fades(make_recurrent):
    graph = make_recurrent(steps=8, layers=1)
    groups = parts(draw_graph(graph).svg())
    widths = {}
    for group in groups["gradient"]:
        found = re.match(
            r"([ch]) \(layer 0, t = (\d+)\) -> LSTMCell \(layer 0, t = (\d+)\)", tooltip(group)
        )
        if found and int(found[3]) == int(found[2]) + 1:
            path = next(group.iter(f"{SVG}path"))
            numbers = [float(part) for part in re.findall(r"-?[\d.]+", path.get("d"))]
            assert numbers[0] > numbers[-2], "the arrow points back in time"
            widths[found[1], int(found[2])] = float(stroke(group))
    assert len(widths) == 14
    hidden = [widths["h", step] for step in range(7)]
    assert hidden == sorted(hidden)
    assert hidden[0] < widths["h", 6] / 2
    assert widths["c", 0] > 0.9 * widths["c", 6]


def test_nothing_is_cut_off_and_boxes_do_not_overlap(make_recurrent):
    for graph in (make_recurrent(steps=12), make_recurrent(steps=100, loss_at="all")):
        root = ElementTree.fromstring(draw_graph(graph).svg())
        width, height = (float(part) for part in root.get("viewBox").split()[2:])
        boxes = []
        for group in root.iter(f"{SVG}g"):
            words = (group.get("class") or "").split()
            if "node" not in words or not {"group", "input", "op", "elided"} & set(words):
                continue
            shapes = [*group.iter(f"{SVG}path"), *group.iter(f"{SVG}polygon")]
            for shape in shapes[:1]:
                text = shape.get("d") or shape.get("points")
                numbers = [float(part) for part in re.findall(r"-?[\d.]+", text)]
                boxes.append(
                    (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
                )
        assert len(boxes) > 20
        for index, first in enumerate(boxes):
            assert first[2] - first[0] < width
            assert first[3] - first[1] < height
            for second in boxes[index + 1 :]:
                apart = (
                    first[2] <= second[0]
                    or second[2] <= first[0]
                    or first[3] <= second[1]
                    or second[3] <= first[1]
                )
                assert apart, (first, second)


def test_long_sequences_are_elided_and_say_so(make_recurrent):
    svg = draw_graph(make_recurrent(steps=100, loss_at="all")).svg()
    assert re.search(r"t = \d+ to \d+", svg)
    assert "steps left out" in svg
    assert "100 steps" in svg
    everything = draw_graph(make_recurrent(steps=30), steps="all").svg()
    assert "steps left out" not in everything


def test_zero_and_non_finite_gradients_carry_their_word(make_recurrent):
    def norm(state, step):
        if state == "h":
            return 0.0 if step < 2 else 0.5
        return math.nan if step == 3 else math.inf if step == 4 else 1.0

    svg = draw_graph(make_recurrent(steps=6, layers=1, norm=norm)).svg()
    groups = parts(svg)
    words = {text.text for group in groups["number"] for text in group.iter(f"{SVG}text")}
    assert {"0", "NaN", "Inf"} <= words
    assert "stroke-dasharray" in ElementTree.tostring(groups["zero"][0], encoding="unicode")
    assert len(list(groups["nonfinite"][0].iter(f"{SVG}path"))) == 2


def hostile_graph(text):
    nodes = (
        PictureNode(0, "parameter", name=text, scope=text or "s", dtype=text),
        PictureNode(1, "op", op=text, name=text, detail=text, scope=text or "s"),
    )
    edges = (Edge(0, 1, route=text, contribution=Contribution(1.0)),)
    scopes = (PictureScope(text or "s", text),)
    return Picture(nodes, edges, scopes, title=text, diagnosis=(text,))


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 10_000, '<&"\\' * 2_500])
def test_hostile_names_come_out_as_they_went_in(text):
    graph = hostile_graph(text)
    assert Picture.from_json(graph.to_json()) == graph
    svg = draw_graph(graph).svg()
    root = ElementTree.fromstring(svg)
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "g", "title", "a", "path", "polygon", "polyline", "text", "ellipse"}
    assert not any(key.endswith("href") for element in root.iter() for key in element.attrib)
    shown = [" ".join((element.text or "").split()) for element in root.iter(f"{SVG}text")]
    wanted = " ".join(escape.printable(escape.shorten(text, 40)).split())
    if wanted:
        assert wanted in shown
        assert any(wanted[:8] in (tooltip(group) or "") for group in parts(svg)["node"])


def test_hostile_names_in_the_cell_picture(make_recurrent):
    graph = make_recurrent(steps=3, layers=1)
    text = '<b>"\\N\0\ud800'
    nodes = tuple(
        dataclasses.replace(node, name=text, op=text if node.kind == "op" else node.op)
        for node in graph.nodes
    )
    svg = draw_graph(dataclasses.replace(graph, nodes=nodes, title=text, diagnosis=(text,))).svg()
    ElementTree.fromstring(svg)
    assert "&lt;b&gt;&quot;\\N\ufffd\ufffd" in svg


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_escaped_text_has_nothing_to_interpret(text):
    for escaped in (escape.label(text, 100), escape.tooltip([text]), escape.markup(text)):
        assert not set(escaped) & set('<>"\n\0')
        escaped.encode("utf-8")
    label = escape.label(text, 100)
    assert label.replace("\\\\", "").count("\\") == 0
    assert html.unescape(label).replace("\\\\", "\\") == escape.printable(text)


def test_equal_names_in_different_processes_give_equal_dot(tmp_path, ops_graph):
    (tmp_path / "graph.json").write_text(ops_graph.to_json())
    program = (
        "import sys; from minigrad.draw import Picture, draw_graph;"
        "sys.stdout.write(draw_graph(Picture.from_json(open(sys.argv[1]).read())).dot.source)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "graph.json")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == draw_graph(ops_graph).dot.source


def test_width_and_colour_are_linear_in_the_logarithm():
    scale = Scale.spanning([1e-8, 1.0], THEMES["light"])
    widths = [scale.pen(10.0**power).width for power in (-8, -6, -4, -2, 0)]
    steps = [second - first for first, second in itertools.pairwise(widths)]
    assert max(steps) - min(steps) < 0.02
    assert scale.pen(1e-9).kind == "low"
    assert scale.pen(2.0).kind == "high"
    assert scale.pen(2.0).style == "dashed"
    assert scale.pen(2.0).width == widths[-1]
    assert [scale.pen(norm).kind for norm in (0.0, math.nan, None)] == [
        "zero",
        "nonfinite",
        "unknown",
    ]


@given(st.lists(st.floats(0, allow_subnormal=True), max_size=8), st.sampled_from(["light", "dark"]))
def test_every_norm_has_a_pen(norms, theme):
    scale = Scale.spanning(norms, THEMES[theme])
    for norm in norms:
        pen = scale.pen(norm)
        assert THINNEST <= pen.width <= THICKEST
        assert pen.kind in ("scaled", "low", "zero", "nonfinite")
    widths = [scale.pen(norm).width for norm in sorted(norms) if 0 < norm < math.inf]
    assert widths == sorted(widths)
    for norm in scale.samples():
        assert THINNEST <= scale.pen(norm).width <= THICKEST


def test_colours_survive_colour_blindness_by_getting_lighter():
    def luminance(position):
        red, green, blue = cividis(position)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    values = [luminance(index / 50) for index in range(51)]
    assert values == sorted(values)
    assert contrasting(cividis(0.0)) == "#ffffff"
    assert contrasting(cividis(1.0)) == "#000000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.4249, "0.42"),
        (12.34, "12.3"),
        (999.6, "1000"),
        (1e-10, "1e-10"),
        (3.14e-7, "3.1e-7"),
        (2.5e12, "2.5e12"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


def test_sparkline_marks_zero_and_broken_values():
    assert sparkline([1e-4, 1.0]) == "▁█"
    assert sparkline([0.0, math.nan, 1.0]) == "0!█"
    assert len(sparkline([1.0] * 1000)) == 48


def test_deep_scopes_and_long_graphs_do_not_recurse():
    scopes = tuple(PictureScope(f"s{n}", "", f"s{n - 1}" if n else "") for n in range(5_000))
    nodes = tuple(PictureNode(n, "op", op="add", scope=f"s{n}") for n in range(5_000))
    edges = tuple(Edge(n, n + 1, contribution=Contribution(1.0)) for n in range(4_999))
    graph = Picture(nodes, edges, scopes)
    drawing = draw_graph(graph)
    assert drawing.dot.source.count("class=forward") == 4_999
    assert str(drawing).endswith("more")


def test_ten_thousand_steps_are_drawn(make_recurrent):
    graph = make_recurrent(steps=10_000, layers=1, norm=lambda state, step: 0.999 ** (9999 - step))
    drawing = draw_graph(graph)
    assert "t = 9999" in drawing.svg()
    assert "10000 steps" in str(drawing)


def test_a_whole_empty_graph_is_a_picture():
    for level in ("ops", "cells", "layers"):
        ElementTree.fromstring(draw_graph(Picture((), level=level, title="nothing")).svg())
