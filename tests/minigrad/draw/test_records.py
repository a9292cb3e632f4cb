"""Records and their JSON: round trips, strictness, and what merging edges keeps."""

import dataclasses
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad.draw
from minigrad.draw import (
    Contribution,
    Edge,
    GraphFormatError,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
    combine_contributions,
    elide,
    interesting_steps,
)
from minigrad.draw.graph.records import EDGE_KINDS, NODE_KINDS, well_formed

OLD_NAMES = {"Graph": Picture, "Node": PictureNode, "Scope": PictureScope}
TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
NUMBERS = st.floats(allow_nan=False)
STATISTICS = st.builds(
    Statistics,
    norm=st.none() | NUMBERS,
    minimum=st.none() | NUMBERS,
    maximum=st.none() | NUMBERS,
    finite=st.booleans(),
)
SHAPES = st.none() | st.lists(st.integers(0, 2**40), max_size=3).map(tuple)


def edge_of(one, other, kind, **fields):
    low, high = min(one, other), max(one, other)
    if low == high or kind != "data":
        return Edge(high, low, kind="rolled" if kind == "data" else kind, **fields)
    return Edge(low, high, **fields)


@st.composite
def graphs(draw):
    count = draw(st.integers(0, 5))
    nodes = tuple(
        draw(
            st.builds(
                PictureNode,
                id=st.just(number),
                kind=st.sampled_from(NODE_KINDS),
                op=TEXT,
                name=TEXT,
                step=st.none() | st.integers(-1, 5),
                layer=st.none() | st.integers(0, 2),
                reverse=st.booleans(),
                state=TEXT,
                shape=SHAPES,
                dtype=TEXT,
                value=st.none() | STATISTICS,
                gradient=st.none() | STATISTICS,
            )
        )
        for number in range(count)
    )
    ends = st.integers(0, max(count - 1, 0))
    edges = st.builds(
        edge_of,  # values flow forward, and what is rolled up leads back, or to itself
        ends,
        ends,
        kind=st.sampled_from(EDGE_KINDS),
        slot=st.integers(0, 3),
        shape=SHAPES,
        contribution=st.none() | st.builds(Contribution, norm=NUMBERS, share=st.none() | NUMBERS),
        route=TEXT,
        count=st.integers(1, 9),
    )
    return Picture(
        nodes,
        tuple(draw(st.lists(edges, max_size=6 if count else 0))),
        (PictureScope("net", draw(TEXT)),) if draw(st.booleans()) else (),
        title=draw(TEXT),
        diagnosis=tuple(draw(st.lists(TEXT, max_size=2))),
    )


@given(graphs())
def test_json_gives_the_graph_back(graph):
    text = graph.to_json()
    assert text.isascii()
    assert Picture.from_json(text) == graph
    assert Picture.from_json(text.encode()).to_json() == text


def test_numbers_that_json_lacks_are_strings():
    gradient = Statistics(norm=math.nan, minimum=-math.inf, maximum=math.inf, finite=False)
    text = Picture((PictureNode(0, "op", gradient=gradient),)).to_json()

    def refuse(name):
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)
    back = Picture.from_json(text).nodes[0].gradient
    assert math.isnan(back.norm)
    assert (back.minimum, back.maximum, back.finite) == (-math.inf, math.inf, False)


def test_lone_surrogates_become_replacement_characters():
    assert PictureNode(0, "op", name="a\ud800b").name == "a\ufffdb"
    assert well_formed("\ud83d\ude00") == "\U0001f600"
    assert Picture((), title="\udfff").title == "\ufffd"


def nodes(*ids, **fields):
    return {"nodes": [{"id": number, "kind": "op", **fields} for number in ids]}


def edge(source, target, **fields):
    return {"source": source, "target": target, **fields}


def test_what_stands_for_many_values_may_lie_on_a_cycle():
    there_and_back = [edge(0, 1), edge(1, 0)]
    for kind in ("group", "elided"):
        content = {**json.loads(Picture(()).to_json()), **nodes(0, 1), "edges": there_and_back}
        content["nodes"][0]["kind"] = kind
        picture = Picture.from_json(json.dumps(content))
        assert [(line.source, line.target) for line in picture.edges] == [(1, 0), (0, 1)]


def test_a_long_chain_whose_numbers_fall_is_no_cycle():
    count = 5000
    chain = tuple(Edge(n + 1, n) for n in range(count))
    assert len(Picture(tuple(PictureNode(n, "op") for n in range(count + 1)), chain).edges) == count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "schema version 2 is not 1"),
        ({"version": True}, "schema version True"),
        ({"schema": "other"}, '"schema" must be "minigrad.graph"'),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"nodes": 3}, "nodes must be a list"),
        ({"nodes": [3]}, r"nodes\[0\] must be an object"),
        ({"nodes": [{"kind": "op"}]}, r"nodes\[0\] lacks id"),
        ({"nodes": [{"id": True, "kind": "op"}]}, r"nodes\[0\].id must be int, got bool"),
        ({"nodes": [{"id": 0, "kind": "cat"}]}, r"nodes\[0\].kind must be one of op"),
        (
            {"nodes": [{"id": 0, "kind": "op", "shape": [1.5]}]},
            r"nodes\[0\].shape\[0\] must be int",
        ),
        ({"nodes": [{"id": 0, "kind": "op", "lowest": "big"}]}, "must be a finite number"),
        ({"nodes": [{"id": 0, "kind": "op", "value": {"x": 1}}]}, r"value has the unknown key 'x'"),
        ({"nodes": [{"id": -1, "kind": "op"}]}, "must not be negative"),
        ({"nodes": [{"id": 0, "kind": "op"}] * 2}, "two nodes with the same id"),
        ({"edges": [{"source": 0, "target": 1}]}, "names node 0"),
        (nodes(0, shape=[2, -1]), r"nodes\[0\]: .*no negative length, got \(2, -1\)"),
        (nodes(0, offset=-1), r"nodes\[0\]: .*offset .*must not be negative"),
        (nodes(0, seconds=-1.0), r"nodes\[0\]: .*seconds .*0 or more, got -1.0"),
        (nodes(0, seconds="NaN"), r"nodes\[0\]: .*seconds .*0 or more, got nan"),
        (nodes(0, 1) | {"edges": [edge(0, 1, shape=[-3])]}, r"edges\[0\]: .*no negative length"),
        (nodes(0, 1) | {"edges": [edge(0, 1, slot=-1)]}, r"edges\[0\]: .*slot .*not be negative"),
        (nodes(0) | {"edges": [edge(0, 0)]}, "cycle through node 0"),
        (
            nodes(0, 1, 2, 3) | {"edges": [edge(0, 1), edge(1, 2), edge(2, 3), edge(3, 1)]},
            "cycle through node 1; .*'rolled'",
        ),
        ({"scopes": [{"path": "a", "parent": "a"}]}, "its own ancestor"),
        ({"scopes": [{"path": "a", "parent": "b"}]}, "unknown parent 'b'"),
    ],
)
def test_reading_refuses_what_writing_never_makes(change, message):
    content = {**json.loads(Picture(()).to_json()), **change}
    with pytest.raises(GraphFormatError, match=message):
        Picture.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "null",
        '{"schema": "minigrad.graph", "schema": "minigrad.graph"}',
        '{"schema": NaN}',
        b"\xff\xfe\xfd",
    ],
)
def test_reading_refuses_other_text(text):
    with pytest.raises(GraphFormatError, match=r"JSON|twice"):
        Picture.from_json(text)


def test_a_key_that_repeats_among_many_is_found_in_one_pass():
    keys = [f"k{number}" for number in range(20_000)]
    text = "{" + ",".join(f'"{key}":0' for key in [*keys, keys[-1]]) + "}"
    begun = time.process_time()
    with pytest.raises(GraphFormatError, match="key 'k19999' appears twice in one object"):
        Picture.from_json(text)
    assert time.process_time() - begun < 3  # comparing each with each took 17 s


def test_messages_quote_the_beginning_of_long_keys():
    for text in ('{"%s": 0, "%s": 0}', '{"schema": "minigrad.graph", "version": 1, "%s": 0}'):
        with pytest.raises(GraphFormatError, match="kkk") as raised:
            Picture.from_json(text.replace("%s", "k" * 100_000))
        assert len(str(raised.value)) < 200


def test_numbers_too_large_for_a_float_are_refused():
    text = Picture((PictureNode(0, "op", lowest=1.0),)).to_json().replace("1.0", "1e999")
    with pytest.raises(GraphFormatError, match="finite number"):
        Picture.from_json(text)


def test_records_are_put_in_a_fixed_order():
    nodes = [PictureNode(number, "op") for number in range(3)]
    edges = [Edge(0, 2, 1), Edge(1, 2, 0), Edge(0, 1)]
    forward = Picture(tuple(nodes), tuple(edges))
    assert forward == Picture(tuple(reversed(nodes)), tuple(reversed(edges)))
    assert forward.to_json() == Picture(tuple(nodes[::-1]), tuple(edges[::-1])).to_json()


def test_merged_contributions_are_exact_or_unknown():
    def edge(source, norm):
        return Edge(source, 9, contribution=None if norm is None else Contribution(norm))

    merged = combine_contributions([edge(0, 3.0), edge(1, 4.0)])
    assert (merged.norm, merged.lowest, merged.highest) == (5.0, 3.0, 4.0)
    assert combine_contributions([edge(0, 3.0), edge(0, 4.0)]) is None
    assert combine_contributions([edge(0, 3.0), edge(1, None)]) is None
    assert math.isnan(combine_contributions([edge(0, math.nan), edge(1, math.inf)]).norm)
    assert combine_contributions([edge(0, 1e200), edge(1, 1e200)]).norm < math.inf


def test_eliding_keeps_counts_and_totals(make_recurrent):
    graph = make_recurrent(steps=40, layers=2, loss_at="all")
    short = elide(graph, [0, 1, 39])
    boxes = [node for node in short.nodes if node.kind == "elided"]
    assert {(node.step, node.last_step, node.count) for node in boxes} == {(2, 38, 37)}
    for state in ("c", "h"):
        (box,) = (node for node in boxes if node.state == state and node.layer == 1)
        norms = [
            node.gradient.norm
            for node in graph.nodes
            if node.state == state and node.layer == 1 and 2 <= node.step <= 38
        ]
        assert box.gradient.norm == pytest.approx(math.hypot(*norms))
        assert (box.lowest, box.highest) == (min(norms), max(norms))
    assert sum(edge.count for edge in short.edges) == len(graph.edges)
    head = next(node.id for node in short.nodes if node.op == "Linear")
    into_head = [edge for edge in short.edges if edge.target == head]
    assert sorted(edge.count for edge in into_head) == [1, 1, 1, 37]
    merged = next(edge for edge in into_head if edge.count == 37)
    assert merged.contribution.norm == pytest.approx(0.8 * math.sqrt(37))


def test_a_gap_of_one_step_is_shown(make_recurrent):
    graph = make_recurrent(steps=5)
    assert elide(graph, [0, 2, 4]) == graph
    assert elide(graph) == graph


def test_interesting_steps_are_the_broken_faded_smallest_and_largest():
    norms = {0: 1e-6, 1: 1e-5, 2: math.nan, 3: 5e-3, 4: 0.5, 5: 3.0, 6: 1.0}
    nodes = [
        PictureNode(step, "state", state="h", layer=0, step=step, gradient=Statistics(norm=norm))
        for step, norm in norms.items()
    ]
    assert interesting_steps(Picture(tuple(nodes), level="cells")) == [2, 3, 0, 5]
    backwards = [dataclasses.replace(node, reverse=True) for node in nodes]
    assert interesting_steps(Picture(tuple(backwards), level="cells"))[0] == 2


@pytest.mark.parametrize("steps", ["some", [77]])
def test_steps_that_mean_nothing_are_refused(make_recurrent, steps):
    with pytest.raises(ValueError, match="steps"):
        elide(make_recurrent(steps=20), steps)


@pytest.mark.parametrize("name", sorted(OLD_NAMES))
def test_names_of_earlier_versions_work_with_a_warning(name):
    with pytest.warns(DeprecationWarning, match=f"{name} is minigrad.draw.Picture"):
        found = getattr(minigrad.draw, name)
    assert found is OLD_NAMES[name]


def test_a_name_that_never_was_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nod'"):
        _ = minigrad.draw.Nod
