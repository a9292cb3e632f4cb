"""The interactive page as a text: its policy, its data, its size, and what no name can do to it."""

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import LSTM
from minigrad.draw import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    Statistics,
    backprop_through_time,
    draw_graph,
)
from minigrad.draw.graph.interaction import Interaction, LossNorms, RouteProducts, inner_products
from minigrad.draw.pages.html import PagePicture, asset_script, asset_style, page
from minigrad.draw.pages.page_data import picture_data
from minigrad.draw.pages.page_numbers import DIGITS, column, json_for_page, number
from minigrad.draw.pages.page_static import table
from minigrad.testing import examples

KNOWN_TAGS = {
    *("html", "head", "meta", "title", "style", "script", "body", "div", "section", "h1", "p"),
    *("svg", "desc", "g", "path", "polygon", "polyline", "ellipse", "rect", "text"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}


class Outline(HTMLParser):
    """Collects tags, attributes, and the texts of scripts and styles."""

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.blocks = [], [], []
        self.inside = None
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.inside = tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.inside = None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside in ("script", "style"):
            self.blocks.append((self.inside, text))


def data_of(content):
    """Return what the script would read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.S)
    return json.loads(found[1])


def expand(packed, count):
    """Undo `column`, as the page does."""
    if isinstance(packed, list):
        return packed
    if "all" in packed:
        return [packed["all"]] * count
    if "in" in packed:
        return [None if v == packed["none"] else v for v in expand(packed["in"], count)]
    if "sizes" in packed:
        many = len(packed["sizes"]) // packed["places"]
        return decode([packed["sizes"]], packed["low"], packed["high"], packed["places"], many)[0]
    if "near" in packed:
        half = len(DIGITS) // 2 * (1 if packed["places"] == 1 else len(DIGITS))
        codes = [
            packed["near"][at : at + packed["places"]]
            for at in range(0, len(packed["near"]), packed["places"])
        ]
        steps = [
            sum(DIGITS.index(d) * len(DIGITS) ** k for k, d in enumerate(reversed(code))) - half
            for code in codes
        ]
        for place, step in packed["far"]:
            steps[place] = step
        return [int(value) for value in np.cumsum(steps)]
    if "steps" in packed:
        return [int(value) for value in np.cumsum(packed["steps"])]
    values = [None] * packed["n"]
    places = expand(packed["at"], 1)
    for place, value in zip(places, expand(packed["values"], len(places)), strict=True):
        values[place] = value
    return values


@given(
    st.lists(st.integers(-5000, 5000), max_size=120)
    | st.lists(st.none() | st.integers(-3, 10**6), max_size=120)
    | st.lists(
        st.none()
        | st.sampled_from([0.0, math.nan, math.inf, -math.inf])
        | st.floats(1e-12, 1e3)
        | st.floats(-1e30, -1e-30),
        max_size=120,
    )
)
def test_columns_are_read_back_as_they_were(values):
    packed = json.loads(json.dumps(column([number(v) if isinstance(v, float) else v
                                           for v in values]), allow_nan=False))  # fmt: skip
    found = [float(v) if isinstance(v, str) else v for v in expand(packed, len(values))]
    assert len(found) == len(values)
    for one, value in zip(found, values, strict=True):
        if value is None:
            assert one is None
        else:
            assert one == pytest.approx(value, rel=1e-3, nan_ok=True)


def decode(rows, low, high, places, count, signed=1):
    """Undo the codes of numbers, as the page does."""
    found = []
    for row in rows:
        codes = [row[places * k : places * (k + 1)].strip() for k in range(count)]
        for code in codes:
            if code.startswith("!"):
                found.append({"!!": math.inf, "!-": -math.inf, "!?": None}.get(code, math.nan))
            elif not code:
                found.append(0.0)
            else:
                rank = 0
                for digit in code:
                    rank = rank * len(DIGITS) + DIGITS.index(digit)
                kinds = 1 + signed
                part = (rank // kinds) / (len(DIGITS) ** places // kinds - 1)
                sign = -1 if signed and rank % 2 else 1
                found.append(sign * 10 ** (low + part * (high - low)))
    return np.array(found).reshape(len(rows), count)


@pytest.fixture(scope="module")
def small_page(ops_graph):
    return page([PagePicture(ops_graph)])


def test_the_policy_allows_one_script_and_one_style_by_hash(small_page):
    outline = Outline(small_page)
    (policy,) = [
        value
        for _, name, value in outline.attributes
        if name == "content" and "default-src" in value
    ]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy

    def digest(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    script, style = asset_script(), asset_style()
    assert f"script-src 'sha256-{digest(script)}'" in policy
    assert f"style-src 'sha256-{digest(style)}'" in policy
    assert [kind for kind, _ in outline.blocks] == ["style", "script", "script"]
    assert (outline.blocks[0][1], outline.blocks[1][1]) == (style, script)
    # The policy comes before everything that it rules.
    assert small_page.index("Content-Security-Policy") < small_page.index("<style")


def test_the_page_names_no_other_place(small_page):
    outline = Outline(small_page)
    names = {name for _, name, _ in outline.attributes}
    assert not names & {"src", "href", "xlink:href", "action", "style", "srcset", "data"}
    assert not [name for name in names if name.startswith("on")]
    urls = set(re.findall(r"\w+://[^\"'`\s)]+", small_page))
    assert urls == {"http://www.w3.org/2000/svg"}
    assert set(outline.tags) <= KNOWN_TAGS


def test_the_script_builds_from_text_and_attributes_only():
    script = asset_script()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in script
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "localStorage", "cookie"):
        assert word not in script
    assert "</" not in script
    assert "</" not in asset_style()
    assert "url(" not in asset_style()


def test_title_description_and_table_come_from_the_graph(small_page):
    assert "<title>A small network</title>" in small_page
    assert re.search(r'<desc id="sd0">The bias gets 0\.</desc>', small_page)
    assert re.search(r'<svg [^>]*role="img"[^>]*aria-labelledby="st0 sd0"', small_page)
    rows = re.findall(r"<tr><td>(.*?)</td>", small_page)
    assert rows == ["x", "weight", "bias", "matmul", "add", "multiply", "labels", "cross_entropy"]


def test_the_data_holds_the_whole_graph(ops_graph, small_page):
    (picture,) = data_of(small_page)["pictures"]
    texts, nodes, edges = picture["texts"], picture["nodes"], picture["edges"]
    labels = [texts[place] for place in expand(nodes["label"], nodes["n"])]
    assert labels == [node.op or node.name for node in ops_graph.nodes]
    norms = expand(edges["norm"], edges["n"])
    known = [edge.contribution and edge.contribution.norm for edge in ops_graph.edges]
    assert [float(norm) if norm is not None else None for norm in norms] == pytest.approx(
        known, nan_ok=True
    )
    targets = expand(edges["target"], edges["n"])
    sources = [
        target - back
        for target, back in zip(targets, expand(edges["source"], edges["n"]), strict=True)
    ]
    assert list(zip(sources, targets, strict=True)) == [
        (e.source, e.target) for e in ops_graph.edges
    ]
    assert len(picture["boxes"]["places"]) == nodes["n"]
    assert len(picture["boxes"]["lines"]) == edges["n"]
    assert picture["boxes"]["cluster_names"] == ["net: Net", "linear: Linear"]
    assert picture["boxes"]["cluster_parents"] == [-1, 0]


@pytest.mark.parametrize(("steps", "most"), [(100, 300_000), (2000, 2_000_000)])
def test_the_page_of_an_lstm_stays_small(make_recurrent, steps, most):
    graph = make_recurrent(steps=steps, layers=1, loss_at="all")
    times = tuple(range(steps))
    rng = np.random.default_rng(0)
    norms = np.tril(rng.lognormal(-5, 3, (min(steps, 128), steps)))
    products = rng.normal(size=(steps, 15)).tolist()
    losses = tuple(range(steps - len(norms), steps))
    routes = ("highway", "input gate", "forget gate", "candidate", "output gate")
    lanes = [
        (
            LossNorms(state, times, losses, tuple(map(tuple, norms.tolist())), 0),
            RouteProducts(state, routes, times, tuple(map(tuple, products)), 0),
        )
        for state in "ch"
    ]
    extra = Interaction(tuple(loss for loss, _ in lanes), tuple(route for _, route in lanes))
    content = page([PagePicture(graph, interaction=extra)])
    assert len(content.encode()) <= most


def test_loss_norms_and_routes_survive_the_code(make_recurrent):
    graph = make_recurrent(steps=4, layers=1)
    norms = ((1.0, 0.0, 0.0, 0.0), (3e-9, math.nan, 0.0, 0.0), (0.2, 5e-5, math.inf, 4.0))
    parts = [[3.0, 4.0], [-1.0, 0.5]]
    scale, products = inner_products(parts)
    extra = Interaction(
        (LossNorms("c", (0, 1, 2, 3), (0, 1, 3), norms, 0),),
        (RouteProducts("c", ("a", "b"), (2,), (products,), 0, scales=(scale,)),),
    )
    data = picture_data(graph, "", [0, 1, 2, 3], extra, None)
    (loss,) = data["loss"]
    found = decode(loss["rows"], loss["low"], loss["high"], loss["places"], 4, loss["signed"])
    np.testing.assert_allclose(found, norms, rtol=5e-3)
    (route,) = data["routes"]
    found = decode(route["rows"], route["low"], route["high"], route["places"], 3)
    np.testing.assert_allclose(found * scale**2, [[25.0, -1.0, 1.25]], rtol=1e-4)


def test_too_many_loss_steps_are_thinned_and_the_last_one_stays(make_recurrent):
    graph = make_recurrent(steps=4, layers=1)
    steps = tuple(range(1000))
    extra = Interaction((LossNorms("c", steps, steps, ((1.0,) * 1000,) * 1000, 0),))
    (loss,) = picture_data(graph, "", [0], extra, None)["loss"]
    kept = expand(loss["loss"], len(loss["rows"]))
    assert kept[-1] == 999
    assert 100 < len(kept) == len(loss["rows"]) < 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theme": "pink"}, "theme must be auto, light, dark"),
        ({"domain": (1.0, 1.0)}, "domain must be two norms"),
    ],
)
def test_arguments_of_page_are_checked(ops_graph, options, message):
    with pytest.raises(ValueError, match=message):
        page([PagePicture(ops_graph)], **options)
    with pytest.raises(ValueError, match="at least one picture"):
        page([])


def test_drawings_save_pages_with_their_own_steps_domain_and_measure(make_recurrent, tmp_path):
    graph = make_recurrent(steps=30, layers=1)
    drawing = draw_graph(graph, steps=[0, 10, 29], domain=(1e-6, 1.0), measure="share")
    path = drawing.save(tmp_path / "picture.html")
    data = data_of(path.read_text(encoding="utf-8"))
    assert data["pictures"][0]["steps"] == [0, 10, 29]
    assert (data["low"], data["high"], data["measure"]) == (-6, 0, "share")
    assert data["theme"] == "auto"
    assert data_of(drawing.html(theme="dark"))["theme"] == "dark"


def test_several_pictures_share_one_scale(make_recurrent, ops_graph):
    content = page(
        [PagePicture(make_recurrent(5, 1), "LSTM"), PagePicture(ops_graph, "ops")], title="Both"
    )
    data = data_of(content)
    assert [picture["name"] for picture in data["pictures"]] == ["LSTM", "ops"]
    assert data["low"] == pytest.approx(-5)
    assert content.count('class="still"') == 2
    assert "<title>Both</title>" in content


@given(
    st.lists(
        st.one_of(st.none(), st.integers(-9, 9), st.floats(allow_nan=False)) | st.text(max_size=2),
        max_size=30,
    )
    | st.lists(st.integers(0, 10**6))
    | st.lists(st.none() | st.just(1.5), max_size=40)
)
def test_columns_come_out_as_they_went_in(values):
    packed = json.loads(json.dumps(column(values)))
    assert expand(packed, len(values)) == values


@given(st.floats())
def test_numbers_keep_their_digits(value):
    found = number(value)
    assert float(found) == pytest.approx(value, rel=1e-3, nan_ok=True)
    json.dumps(found, allow_nan=False)


HOSTILE = st.one_of(
    st.sampled_from(
        (
            "</script><script>alert(1)</script>",
            "<b>bold</b>",
            "<!--<script>",
            "--><img src=x onerror=alert(1)>",
            '"><svg onload=alert(1)>',
            "' onclick='alert(1)",
            "javascript:alert(1)",
            "\\N\\G\\l\\",
            '"',
            "\x00\x1b\x7f\x85",
            "\u202e\u200f\u2028\u2029",
            "\ud800",
            "\udfff\ud800",
            "&lt;script&gt;&#x3c;",
            "이름",
            "n" * 10_000,
            "</title></style></textarea></svg></table>",
            "]]>",
        )
    ),
    st.text(st.characters(codec=None), max_size=40),
)


@examples(2)  # two thousand in the thorough profile
@given(st.lists(HOSTILE, min_size=6, max_size=6), st.sampled_from(("ops", "cells")))
def test_hostile_names_stay_text_in_data_and_table(names, level):
    title, name, op, scope, detail, route = names
    gradient = Statistics(norm=1.0)
    nodes = (
        PictureNode(0, "input", name=name, step=0, detail=detail),
        PictureNode(1, "group", op=op, scope=scope, step=0, layer=0, fault=detail),
        PictureNode(2, "state", state=name, scope=scope, step=0, layer=0, gradient=gradient),
        PictureNode(3, "parameter", name=detail, dtype=op, shape=(2,)),
    )
    edges = (Edge(0, 1, route=route), Edge(1, 2, contribution=Contribution(1.0)), Edge(3, 1))
    graph = Picture(nodes, edges, level=level, title=title, diagnosis=(detail, op))
    lane = RouteProducts(name, (route,), (0,), ((1.0,),), 0)
    boxes = None if level == "cells" else {"cluster_names": [scope]}
    data = picture_data(graph, name, [0], Interaction((), (lane,)), None if boxes is None else {})
    text = json_for_page(data)
    assert text.isascii()
    assert not set(text) & set("<>&\x00\n\u2028\u2029")
    texts = json.loads(text)["texts"]
    for clean in texts:
        clean.encode("utf-8")
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in clean)
        assert len(clean) <= 400
    rows = Outline(table(graph))
    assert set(rows.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert rows.tags.count("tr") == 1 + len(nodes)
    assert {name for _, name, _ in rows.attributes} <= {"scope"}


def test_hostile_names_add_nothing_to_a_whole_page(ops_graph):
    def dressed(text):
        fields = ("name", "op", "detail", "dtype")
        nodes = tuple(replace(node, **dict.fromkeys(fields, text)) for node in ops_graph.nodes)
        graph = replace(ops_graph, nodes=nodes, title=text, diagnosis=(text,))
        return Outline(page([PagePicture(graph, text)]))

    hostile = '</script><script>alert(1)</script><b onload="x">\\N\x00\ud800\u202e<!--'
    plain, found = dressed("plain"), dressed(hostile)
    assert found.tags.count("script") == plain.tags.count("script") == 2
    assert set(found.tags) <= KNOWN_TAGS
    assert {name for _, name, _ in found.attributes} == {name for _, name, _ in plain.attributes}
    assert found.blocks[:2] == plain.blocks[:2]


def test_text_in_the_still_picture_is_what_was_given(ops_graph):
    graph = replace(ops_graph, nodes=(replace(ops_graph.nodes[0], name="<x & 'y'>"),), edges=())
    content = page([PagePicture(graph)])
    still = content[content.index('<div id="still">') :]
    assert html.escape("<x & 'y'>") in still
    assert "<x" not in still


@pytest.mark.parametrize(("steps", "layers", "most"), [(100, 2, 300_000), (1000, 1, 1_000_000)])
def test_the_page_of_a_real_lstm_with_all_measures_stays_small(steps, layers, most):
    mg.seed(0)
    lstm = LSTM(8, 32, num_layers=layers)
    x = np.random.default_rng(0).standard_normal((4, steps, 8)).astype(np.float32)
    loss = (lstm(mg.Tensor(x))[0] ** 2).sum()  # every step is a loss step
    assert len(backprop_through_time(loss).draw().html().encode()) <= most
