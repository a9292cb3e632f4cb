"""What a page shows without scripts: the picture as plain SVG, and a table of its boxes.

The SVG comes from Graphviz and is rewritten from a list of known elements and attributes, so that
nothing else can be in it, whatever the DOT text contained.
"""

from __future__ import annotations

import html
import re
from typing import Any, Final
from xml.etree import ElementTree

from minigrad.draw.graph.errors import LayoutError
from minigrad.draw.graph.records import Picture
from minigrad.draw.render.dot import ClusterKey, enclosing_cluster, node_name, steps_within
from minigrad.draw.style import escape, labels
from minigrad.draw.style.scale import number_text
from minigrad.draw.style.theme import FONT

_SVG: Final = "{http://www.w3.org/2000/svg}"
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_KEPT: Final = {
    "path": ("d", "fill", "stroke", "stroke-width", "stroke-dasharray"),
    "rect": ("fill", "stroke", "stroke-width", "stroke-dasharray"),
    "polygon": ("points", "fill", "stroke", "stroke-width", "stroke-dasharray"),
    "polyline": ("points", "fill", "stroke", "stroke-width", "stroke-dasharray"),
    "ellipse": ("cx", "cy", "rx", "ry", "fill", "stroke", "stroke-width", "stroke-dasharray"),
    "text": ("x", "y", "text-anchor", "font-size", "font-weight", "fill"),
}
_VALUE: Final = re.compile(r"[\w#%., ()+-]*")
_MOST_ROWS: Final = 600
_Points = list[tuple[float, float]]


def text(content: str) -> str:
    """Return text for an element or attribute of the page; it can end neither."""
    return html.escape(escape.printable(content))


def parse(svg: str) -> ElementTree.Element:
    """Return the root of an SVG that Graphviz wrote. Raises LayoutError if it is none."""
    try:
        return ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise LayoutError(f"Graphviz wrote an SVG that cannot be read: {error}") from error


def plain_svg(root: ElementTree.Element, number: int, title: str, description: str) -> str:
    """Return the picture with title and description, without links, ids and tooltips."""
    box = " ".join(_numbers_text(root.get("viewBox", "0 0 1 1")))
    width, height = (root.get(side, "1pt").removesuffix("pt") for side in ("width", "height"))
    graph = root.find(f"{_SVG}g")
    moved = "" if graph is None else graph.get("transform", "")
    shift = _numbers_text(moved.partition("translate")[2])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="still" role="img" viewBox="{box}" '
        f'width="{float(width) * 4 / 3:.0f}" height="{float(height) * 4 / 3:.0f}" '
        f'aria-labelledby="st{number} sd{number}" font-family="{FONT}">',
        f'<title id="st{number}">{text(title)}</title>',
        f'<desc id="sd{number}">{text(description)}</desc>',
        # Attributes of most shapes and texts are given once.
        f'<g transform="translate({" ".join(shift)})" fill="none" text-anchor="middle">',
    ]
    for element in () if graph is None else graph.iter():
        tag = element.tag.removeprefix(_SVG)
        if tag not in _KEPT or element.get("fill") == element.get("stroke") == "none":
            continue
        shape = ""
        if tag == "path" and (corners := _rounded_box(element)) is not None:
            tag, shape = "rect", corners
        attributes = shape + "".join(
            f' {name}="{_shorter(name, value)}"'
            for name in _KEPT[tag]
            if (value := element.get(name, "black" if name == "fill" else "")) != ""
            if value not in ("none", "middle") and _VALUE.fullmatch(value)
        )
        content = text(element.text or "") if tag == "text" else ""
        parts.append(
            f"<{tag}{attributes}>{content}</{tag}>" if content else f"<{tag}{attributes}/>"
        )
    parts.append("</g></svg>")
    return "\n".join(parts)


def _rounded_box(element: ElementTree.Element) -> str | None:
    """Return the attributes of a rectangle for a path that draws one with rounded corners."""
    points = _points(element.get("d", ""))
    if len(points) != 25 or points[0] != points[-1] or element.get("fill") in (None, "none"):
        return None
    x, y, width, height = _extent(points)
    radius = min(abs(points[0][0] - x), abs(x + width - points[0][0]))
    sizes = {"x": x, "y": y, "width": width, "height": height, "rx": radius}
    return "".join(f' {name}="{round(size, 1) + 0.0:g}"' for name, size in sizes.items())


def _extent(points: _Points) -> tuple[float, float, float, float]:
    """Return left, top, width and height of some points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _numbers_text(value: str) -> list[str]:
    return _NUMBER.findall(value)


def _shorter(name: str, value: str) -> str:
    """Return numbers with one decimal at most; anything else as it is."""
    if name in ("text-anchor", "font-weight", "fill", "stroke", "stroke-dasharray"):
        return value
    return _NUMBER.sub(lambda found: f"{round(float(found[0]), 1) + 0.0:g}", value)


def box_positions(root: ElementTree.Element, graph: Picture) -> dict[str, Any]:
    """Return where Graphviz put nodes, edges, labels of edges and scopes; the y axis points down.

    Raises LayoutError if a node is missing.
    """
    found = {element.get("id"): element for element in root.iter(f"{_SVG}g")}
    places = []
    for node in graph.nodes:
        element = found.get(node_name(node.id))
        if element is None:
            raise LayoutError(f"Graphviz left node {node.id} out of the picture")
        places.append(_box_of(element))
    lines: list[list[list[float] | None]] = []
    for number in range(len(graph.edges)):
        forward, _ = _line_of(found.get(f"f{number}"))
        backward, label = _line_of(found.get(f"g{number}"))
        lines.append([_flat(forward), _flat(backward[::-1]), label])
    names, parents, clusters = _clusters(graph)
    return {
        "places": places,
        "lines": lines,
        "cluster": clusters,
        "cluster_names": names,
        "cluster_parents": parents,
    }


def _flat(points: _Points) -> list[float]:
    return [round(value, 1) for point in points for value in point]


def _points(value: str) -> _Points:
    values = [float(part) for part in _numbers_text(value)]
    return list(zip(values[::2], values[1::2], strict=False))


def _box_of(element: ElementTree.Element) -> list[float]:
    """Return centre, width and height of the shapes of a node."""
    points: _Points = []
    for shape in element.iter():
        if shape.tag == f"{_SVG}ellipse":
            x, y, rx, ry = (float(shape.get(name, "0")) for name in ("cx", "cy", "rx", "ry"))
            points += [(x - rx, y - ry), (x + rx, y + ry)]
        points += _points(shape.get("points", "") or shape.get("d", ""))
    if not points:
        return [0.0, 0.0, 1.0, 1.0]
    left, top, width, height = _extent(points)
    sizes = (left + width / 2, top + height / 2, width, height)
    return [round(size, 1) for size in sizes]


def _line_of(element: ElementTree.Element | None) -> tuple[_Points, list[float] | None]:
    """Return the curve of an edge up to the tip of its head, and the place of its label."""
    if element is None:
        return [], None
    path = next(element.iter(f"{_SVG}path"), None)
    points = [] if path is None else _points(path.get("d", ""))
    if points:
        for head in element.iter(f"{_SVG}polygon"):
            corners = _points(head.get("points", ""))
            at_start = _distance(points[0], corners[0]) < _distance(points[-1], corners[0])
            (x, y), (x0, y0) = points[:2] if at_start else points[:-3:-1]
            # The tip is the corner farthest in the direction of the end of the curve.
            tip = max(corners, key=lambda corner: corner[0] * (x - x0) + corner[1] * (y - y0))
            points[0 if at_start else -1] = tip
    label = next(element.iter(f"{_SVG}text"), None)
    if label is None:
        return points, None
    # Graphviz centres the text with the spaces in front of it, which keep it off the line.
    content = label.text or ""
    spaces = len(content) - len(content.lstrip("\u00a0"))
    return points, [
        round(float(label.get("x", "0")) + 1.25 * spaces, 1),
        float(label.get("y", "0")),
    ]


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2


def _clusters(graph: Picture) -> tuple[list[str], list[int], list[int]]:
    """Return names and parents of the boxes around nodes, and the innermost one of each node."""
    scopes = {scope.path: scope for scope in graph.scopes}
    steps = steps_within(graph)
    places: dict[ClusterKey, int] = {("", None): -1}
    names: list[str] = []
    parents: list[int] = []
    inner: list[int] = []
    for node in graph.nodes:
        path = node.frame if node.frame in scopes else ""
        step = node.step if path and node.kind != "parameter" and steps else None
        key = (path, step)
        missing: list[ClusterKey] = []
        while key not in places:
            missing.append(key)
            key = enclosing_cluster(key, scopes, steps)
        above = places[key]
        for key in reversed(missing):
            scope = scopes[key[0]]
            own = key[0].removeprefix(f"{scope.parent}.") if scope.parent else key[0]
            name = labels.scope_title(own, scope.name)
            if key[1] is not None and enclosing_cluster(key, scopes, steps) == (key[0], None):
                name = f"{own}, t = {key[1]}"
            places[key] = len(names)
            names.append(escape.printable(escape.shorten(name, 60)))
            parents.append(above)
            above = places[key]
        inner.append(above)
    return names, parents, inner


def table(graph: Picture) -> str:
    """Return the boxes of a graph as an HTML table, no more than can be read."""
    rows = []
    for node in graph.nodes[:_MOST_ROWS]:
        layer = "" if node.layer is None else f"{node.layer}{' reverse' * node.reverse}"
        norm = None if node.gradient is None else node.gradient.norm
        size = number_text(norm) if norm is not None else ""
        if node.kind == "elided":
            size = labels.range_text(node.lowest, node.highest) or size
        kind = node.kind if node.count == 1 else f"{node.count} x {node.op or 'state'}, left out"
        cells = (
            escape.shorten(labels.title_of(node), 80),
            kind,
            escape.shorten(node.scope, 80),
            layer,
            labels.steps_text(node).removeprefix("t = "),
            labels.type_text(node.shape, node.dtype),
            size,
        )
        rows.append(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>")
    heads = ("name", "kind", "scope", "layer", "step", "value", "norm of the gradient")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    left_out = len(graph.nodes) - len(rows)
    note = f"<p>and {left_out:,} more rows in the graph's JSON.</p>" if left_out > 0 else ""
    return (
        f"<table><caption>What the picture shows</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{chr(10).join(rows)}</tbody></table>{note}"
    )
