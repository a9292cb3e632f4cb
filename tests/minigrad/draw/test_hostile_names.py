"""Names of every kind, through DOT, SVG, HTML and JSON and back: they arrive as text, only text.

The profile `thorough` draws 2,000 examples of each test here; the quick ones draw few, as every
example starts Graphviz.
"""

import dataclasses
import html
import html.parser
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.draw import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    attention_map,
    compare,
    draw,
    draw_graph,
)
from minigrad.draw.graph.records import well_formed
from minigrad.draw.style.escape import printable, shorten
from minigrad.testing.profiles import examples

pytest.importorskip("pygraphviz")

PIECES = (
    "</script>", "<b>", "</text>", "</svg>", "<!--", "-->", "]]>", "<![CDATA[", "<script>alert(1)",
    '"', "'", "\\", "\\\\", "\\N", "\\G", "\\E", "\\l", "\\n", "\0", "\x1b[31m", "\x7f", "\x85",
    "\u2028", "\u202e", "\u200f", "\u2066", "\ufeff", "\ufffe", "\ud800", "\udfff", "\ud83d\ude00",
    "한국어 이름", "e\u0301", "javascript:alert(1)", "data:text/html,x", "https://example.org/?a&b",
    "&#x41;", "&amp;", "&lt;b&gt;", "&", ";", "{", "}", "|", "[", "]", "->", "//", "/*", "#", "%s",
    "{0}", "$x$", "n0", "cluster_0", "onload=alert(1)", "=", " ", "\t", "\r\n", ".", "x" * 10_000,
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(PIECES),
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.lists(st.sampled_from(PIECES[:-1]), min_size=1, max_size=5).map("".join),
    st.text("<>&\"'\\;#{}|", max_size=20),
)
SIX = st.lists(NAMES, min_size=6, max_size=6)
BENIGN = ["plain"] * 6
SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"
SPACE = "{http://www.w3.org/XML/1998/namespace}space"

# Two thousand examples in the thorough profile; a fifth of the others'.
fuzzed = examples(2.0 if settings().max_examples >= 1000 else 0.2)


def operations(names):
    """A graph of single operations whose every text is a name."""
    a, b, c, d, e, f = names
    nodes = (
        PictureNode(0, "parameter", name=a, scope=c, shape=(2,), dtype="float32"),
        PictureNode(1, "input", name=b, dtype=f),
        PictureNode(2, "op", op=b, name=a, scope=d, detail=c, fault=e),
        PictureNode(3, "group", op=d, name=f, scope=c),
        PictureNode(4, "state", state=e, step=0),
    )
    edges = (
        Edge(0, 2, 0, contribution=Contribution(1.0, 0.5), route=f),
        Edge(1, 2, 1),
        Edge(2, 3, 0, contribution=Contribution(0.1), route=a),
        Edge(3, 4, 0),
    )
    # Two paths that become the same text once they are repaired would not be two scopes.
    outer, inner = well_formed(c), well_formed(d)
    scopes = [PictureScope(outer, e)] if outer else []
    if inner and inner != outer:
        scopes.append(PictureScope(inner, f, outer))
    return Picture(nodes, edges, tuple(scopes), title=a, diagnosis=(b, e))


def cells(names):
    """A recurrent network whose every text is a name."""
    a, b, c, d, e, f = names
    here = {"scope": "", "layer": 0}
    nodes = [PictureNode(0, "parameter", name=a, shape=(2, 2), dtype=f)]
    edges = []
    for step in range(2):
        box, state = 2 * step + 1, 2 * step + 2
        nodes.append(
            PictureNode(box, "group", op=b, name=c, step=step, fault=d * (step == 1), **here)
        )
        nodes.append(PictureNode(state, "state", state=e, step=step, name=f, **here))
        edges += [Edge(0, box, 1, contribution=Contribution(0.1)), Edge(box, state)]
        if step:
            edges.append(Edge(state - 2, box, 0, contribution=Contribution(1.0), route=a))
    nodes.append(PictureNode(5, "op", op=d, name=b))
    edges.append(Edge(4, 5, contribution=Contribution(1.0)))
    return Picture(tuple(nodes), tuple(edges), level="cells", title=c, diagnosis=(f, a))


def seen(text):
    """What a reader sees of a text: blanks of all kinds are alike."""
    return " ".join(text.split())


def skeleton(root):
    """The kinds of elements, each with the names of its attributes."""
    return {(element.tag, tuple(sorted(element.attrib))) for element in root.iter()}


def check_svg(root):
    """Assert that an SVG of Graphviz holds shapes and text, and leads nowhere."""
    known = {"svg", "g", "title", "a", "text", "path", "polygon", "polyline", "ellipse"}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in known, element.tag
        for key, value in element.attrib.items():
            if key in (TITLE, SPACE):
                continue
            assert re.fullmatch(r"[a-zA-Z-]+", key), key
            assert not key.startswith("on")
            assert key not in ("href", "src", "style")
            assert re.fullmatch(r"[-#\w., ()%:]*", value, re.ASCII), (key, value)
            assert "script" not in value
            if key == "id":
                assert re.fullmatch(r"[a-z_]*\d*(-label)?", value), value


class Page(html.parser.HTMLParser):
    """Elements, attributes, and the text of a page, apart for scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.texts, self.attributes = set(), [], [], []
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self._script = True
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._script = self._script and tag != "script"

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] += data
        else:
            self.texts.append(data)


def check_page(text, plain):
    """Assert that a page has the elements of a benign one; return the data in it."""
    page, benign = Page(text), Page(plain)
    assert page.found <= benign.found
    assert page.scripts[0] == benign.scripts[0], "the script itself holds no name"
    assert len(page.scripts) == len(benign.scripts) == 2
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith("#"), (tag, name, value)
    data = page.scripts[1]
    assert not set("<>&\u2028\u2029") & set(data)
    return json.loads(data), page


def strings_in(data):
    """All strings of a JSON document."""
    waiting, found = [data], set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            found.add(part)
        elif isinstance(part, dict):
            waiting += [*part.values()]
        elif isinstance(part, list):
            waiting += part
    return found


@fuzzed
@given(SIX, st.sampled_from([operations, cells]))
@example(["end\\"] * 6, operations)
@example(["end\\"] * 6, cells)
@example(["x" * 10_000] * 6, cells)
def test_json_and_dot_give_names_back(names, make):
    import pygraphviz

    graph = make(names)
    again = Picture.from_json(graph.to_json())
    assert again == graph
    for node, back in zip(graph.nodes, again.nodes, strict=True):
        for field in dataclasses.fields(PictureNode):
            assert getattr(node, field.name) == getattr(back, field.name)
    assert again.nodes[0].name == well_formed(names[0])
    source = draw_graph(graph).dot.source
    assert draw_graph(again).dot.source == source
    source.encode("utf-8")
    dot = pygraphviz.AGraph(string=source)
    for item in [*dot.nodes(), *dot.edges()]:
        for key in ("URL", "href", "image", "shapefile", "target"):
            assert not item.attr[key]
    if make is operations:
        assert sorted(dot.nodes()) == [f"n{number}" for number in range(5)]
        # Every backslash of a name is written as two; what is left of them breaks lines.
        lines = dot.get_node("n0").attr["label"].replace("\\\\", "\0").split("\\n")
        name = printable(shorten(well_formed(names[0]) or "parameter", 40))
        assert html.unescape(lines[0].replace("\0", "\\")) == (name or " ")


@fuzzed
@given(SIX, st.sampled_from([operations, cells]))
@example(["end\\"] * 6, operations)
@example(["\\N</svg>&#x41;"] * 6, cells)
def test_svg_holds_names_as_text_and_nothing_else(names, make):
    root = ElementTree.fromstring(draw_graph(make(names)).svg())
    check_svg(root)
    texts = [seen("".join(element.itertext())) for element in root.iter(f"{SVG}text")]
    where = names[0] if make is operations else names[4]  # a parameter's, or a state's
    name = printable(shorten(well_formed(where), 40))
    if name.strip() and make is operations:
        assert seen(name) in texts
    tips = [element.attrib[TITLE] for element in root.iter() if TITLE in element.attrib]
    if name.strip():
        assert any(seen(printable(well_formed(where)[:15])) in seen(tip) for tip in tips)


@pytest.fixture(scope="module")
def benign():
    return {make: draw_graph(make(BENIGN)).html() for make in (operations, cells)}


@fuzzed
@given(names=SIX, make=st.sampled_from([operations, cells]))
@example(names=["</script><script>alert(1)</script>"] * 6, make=operations)
@example(names=['" onload="alert(1)'] * 6, make=cells)
def test_html_holds_names_as_text_and_nothing_else(benign, names, make):
    data, page = check_page(draw_graph(make(names)).html(), benign[make])
    found = strings_in(data)
    for name in names[:2]:
        shown = printable(well_formed(name))
        if shown.strip():
            assert any(shown[:15] in text or well_formed(name)[:15] in text for text in found)
    title = printable(well_formed(names[0 if make is operations else 2]))
    if title.strip():
        assert seen(title[:30]) in seen("".join(page.texts))


def network(name):
    """A cell of a user's own in which everything that can be named has one name."""
    w = mg.Tensor(np.eye(2) * 0.5, requires_grad=True)
    x = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    w.name = x.name = name
    h = x
    for t in range(3):
        with mg.step(t), mg.scope(name):
            with mg.scope(name):
                inner = h @ w
            h = mg.label_state(np.tanh(inner), name)
    return h.sum()


@fuzzed
@given(NAMES.filter(bool))
@example("end\\")
@example("javascript:alert(1)")
@example("\ud800")
@example("a.b")
def test_names_of_parameters_scopes_and_states_on_a_tape(name):
    loss = network(name)
    for level in ("ops", "cells"):
        drawing = draw(loss, level=level, grad="norm", title=name)
        assert Picture.from_json(drawing.json()) == drawing.graph
        assert well_formed(name) in {node.name for node in drawing.graph.nodes}
        assert drawing.graph.title == well_formed(name)
        assert "\x1b" not in str(drawing)
        str(drawing).encode("utf-8")
    check_svg(ElementTree.fromstring(drawing.svg()))


@fuzzed
@given(st.lists(NAMES, min_size=2, max_size=2))
@example(["</svg>", "\\"])
def test_tokens_of_attention_maps(tokens):
    drawing = attention_map(np.eye(2), tokens, tokens[::-1], title=tokens[0])
    root = ElementTree.fromstring(drawing.svg())
    check_svg(root)
    assert Picture.from_json(drawing.json()) == drawing.graph


def small_loss():
    return (mg.Tensor([1.0], requires_grad=True) * 2).sum()


@pytest.fixture(scope="module")
def plain_comparison():
    plain = compare({"a": small_loss(), "b": small_loss()})
    return skeleton(ElementTree.fromstring(plain.svg())), plain.html()


@fuzzed
@given(names=st.lists(NAMES, min_size=2, max_size=2, unique=True))
@example(names=["</svg><script>", '"'])
def test_names_of_models_in_a_comparison(plain_comparison, names):
    models = compare({name: small_loss() for name in names})
    kinds, page = plain_comparison
    assert skeleton(ElementTree.fromstring(models.svg())) <= kinds
    data, _ = check_page(models.html(), page)
    shown = [part["name"] for part in data["pictures"]]
    assert [printable(name) for name in shown] == [printable(name) for name in names]


def test_the_thorough_profile_draws_two_thousand():
    assert 2.0 * settings.get_profile("thorough").max_examples >= 2000
    drawn = test_json_and_dot_give_names_back._hypothesis_internal_use_settings.max_examples
    assert drawn >= (2000 if settings().max_examples >= 1000 else 1)
