"""Large graphs: tiles in rows, in time that grows with their size alone."""

import itertools
import struct
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM
from minigrad.draw import Contribution, Edge, Picture, PictureNode, draw, draw_graph
from minigrad.draw.drawing import fitting_dpi
from minigrad.draw.render.tiled_boxes import boxes_to_dot
from minigrad.draw.render.tiles import effort, lay_out_tiles, links_of, ranks_of

SVG = "{http://www.w3.org/2000/svg}"


def vector():
    return mg.Tensor(np.ones(3), requires_grad=True)


def chain(count):
    y = vector()
    for _ in range(count):
        y = mg.tanh(y)
    return [y.sum()]


def shared_weight(count):
    y, w = vector(), vector()
    for _ in range(count // 2):
        y = mg.tanh(y * w)
    return [y.sum()]


def fan(count):
    x = vector()
    return [sum(mg.sin(x * float(i)) for i in range(1, count // 3)).sum()]


def random_skips(count):
    generator = np.random.default_rng(0)
    pool = [vector()]
    for _ in range(count // 2):
        early, late = generator.integers(len(pool)), -1
        pool.append(mg.tanh(pool[early]) + pool[late])
    return [pool[-1].sum()]


def separate_parts(count):
    return [mg.sin(mg.exp(vector())).sum() for _ in range(count // 3)]


def with_steps(count):
    y, w = vector(), vector()
    for t in range(count // 2):
        with mg.step(t):
            y = mg.tanh(y * w)
    return [y.sum()]


MAKERS = [chain, shared_weight, fan, random_skips, separate_parts, with_steps]


def size_of(svg):
    return [float(part) for part in ElementTree.fromstring(svg).attrib["viewBox"].split()[2:]]


@pytest.mark.parametrize("make", MAKERS)
def test_a_thousand_operations_are_drawn_whole_and_in_the_shape_of_a_screen(make):
    drawing = draw(make(1000), level="ops", grad="norm", time_limit=30)
    assert drawing.engine == "nop2"
    svg = drawing.svg()
    found = {e.get("id") for e in ElementTree.fromstring(svg).iter(f"{SVG}g")}
    graph = drawing.graph
    assert {f"n{node.id}" for node in graph.nodes} <= found
    assert {f"f{number}" for number in range(len(graph.edges))} <= found
    assert {f"g{number}" for number in range(len(graph.edges))} <= found
    width, height = size_of(svg)
    assert 0.4 < width / height < 4


@pytest.mark.parametrize("make", MAKERS)
def test_boxes_do_not_overlap(make):
    graph = draw(make(300), level="ops").graph
    boxes, tiles = lay_out_tiles(graph, {n.id: (60.0, 34.0) for n in graph.nodes}, 26.0)
    places = sorted((round(box.y), box.x) for box in boxes.values())
    for (y, x), (below, right) in itertools.pairwise(places):
        assert y != below or right - x >= 60
    for number, tile in enumerate(tiles):
        for member in tile.members:
            box = boxes[member]
            assert box.tile == number
            assert tile.left <= box.x - 30
            assert box.x + 30 <= tile.left + tile.width
            assert tile.top <= box.y - 17
            assert box.y + 17 <= tile.top + tile.height


def test_values_lead_downwards_within_a_tile():
    graph = draw(random_skips(300), level="ops").graph
    boxes, _ = lay_out_tiles(graph, {n.id: (60.0, 34.0) for n in graph.nodes}, 26.0)
    for edge in graph.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        assert source.tile < target.tile or (
            source.tile == target.tile and source.rank < target.rank and source.y < target.y
        )


def test_layout_takes_time_in_proportion_to_size():
    def seconds(count):
        nodes = tuple(PictureNode(i, "op", op="add") for i in range(count))
        edges = tuple(Edge(i, i + 1, contribution=Contribution(1.0)) for i in range(count - 1))
        edges += tuple(Edge(i, i + 40, 1, contribution=Contribution(1.0))
                       for i in range(0, count - 40, 7))  # fmt: skip
        graph = Picture(nodes, edges)
        start = time.process_time()
        draw_graph(graph)
        return time.process_time() - start

    seconds(500)
    assert seconds(16_000) < 8 * 4 * seconds(4_000)


def test_an_unrolled_network_stands_step_beside_step_with_its_heading_above():
    x = np.random.default_rng(0).standard_normal((2, 12, 4)).astype(np.float32)
    loss = (LSTM(4, 8)(mg.Tensor(x))[0][:, -1] ** 2).sum()
    drawing = draw(loss, level="ops", grad="norm", title="Twelve steps")
    svg = drawing.svg()
    width, height = size_of(svg)
    assert width < 3000
    assert height < 2000
    groups = {e.get("id"): e for e in ElementTree.fromstring(svg).iter(f"{SVG}g")}

    def corner(name):
        ends = [text.attrib for text in groups[name].iter(f"{SVG}text")]
        return min(float(end["x"]) for end in ends), min(float(end["y"]) for end in ends)

    left, top = corner("heading")
    assert left < 100
    first = min(corner(name) for name in groups if name and name.startswith("frame"))
    assert top < first[1] < top + 150
    assert first[0] < 100
    assert "t = 11" in drawing.html()


def test_small_graphs_are_left_to_dot():
    drawing = draw(chain(20), grad="norm")
    assert drawing.engine == "dot"
    assert boxes_to_dot(Picture(()))[1] == "dot"
    assert effort(drawing.graph) < effort(draw(shared_weight(200), level="ops").graph)


def test_a_loop_made_by_hand_is_laid_out():
    nodes = tuple(PictureNode(i, "op", op="add", step=i % 7) for i in range(140))
    edges = (*(Edge(i, i + 1) for i in range(139)), Edge(139, 0, kind="rolled"))
    drawing = draw_graph(Picture(nodes, edges))
    assert drawing.engine == "nop2"
    assert drawing.svg().count('class="node op"') == 140
    sources, targets = links_of(drawing.graph)
    assert max(ranks_of(range(140), sources, targets).values()) == 139


@pytest.mark.parametrize("name", ['"] x', "\\", "\\N", "<b>", "node", "\u200f\ud800", "x" * 9999])
def test_hostile_names_stay_text_in_a_large_picture(name):
    nodes = tuple(PictureNode(i, "op", op=name, name=name, step=i) for i in range(120))
    edges = tuple(Edge(i, i + 1, contribution=Contribution(1.0)) for i in range(119))
    drawing = draw_graph(Picture(nodes, edges, title=name))
    assert drawing.engine == "nop2"
    root = ElementTree.fromstring(drawing.svg())
    assert sum(e.get("class") == "node op" for e in root.iter(f"{SVG}g")) == 120


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes(theme):
    svg = draw(with_steps(400), level="ops", grad="share", theme=theme).svg()
    assert ("#ffffff" in svg) is (theme == "light")


def test_a_bitmap_of_a_large_picture_stays_one_that_viewers_open():
    small, large = draw(chain(5)), draw(chain(3000))
    assert fitting_dpi(small.dot.source) == 144
    picture = large.png()
    width, height = struct.unpack(">II", picture[16:24])
    assert 20e6 < width * height < 45e6
    fine = struct.unpack(">II", small.png(200)[16:24])
    assert fine[0] > struct.unpack(">II", small.png()[16:24])[0]
