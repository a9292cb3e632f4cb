"""A graph of many boxes as DOT with positions, in tiles that stand in rows.

It shows what `minigrad.draw.render.dot` shows except the frames around modules: a box names its
module itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minigrad.draw.graph.records import Edge, Picture, PictureNode
from minigrad.draw.render.dot import (
    add_frame_node,
    graph_to_dot,
    node_lines,
    node_name,
    node_style,
)
from minigrad.draw.render.geometry import Point, bend, coordinates, head_base, line, placed
from minigrad.draw.render.layout import Engine
from minigrad.draw.render.tiles import Box, Tile, blocked, effort, lay_out_tiles, passage
from minigrad.draw.style import escape, labels
from minigrad.draw.style.legend import heading_markup, legend_rows
from minigrad.draw.style.scale import Scale
from minigrad.draw.style.theme import FONT, Theme, theme_named

if TYPE_CHECKING:
    import graphviz

__all__ = ["boxes_to_dot", "tiles_to_dot"]

_CHARACTER: Final = 6.1
_LINE: Final = 13.5
_NARROWEST: Final = 640.0
_SIDE: Final = 4.0
"""Half of the distance between the curve of a value and that of its gradient."""
_KEYWORDS: Final = frozenset({"node", "edge", "graph", "digraph", "subgraph", "strict"})
_MOST_EFFORT: Final = 2500.0
"""What `dot` lays out within a second or two."""
_MOST_UNROLLED: Final = 100
"""Operations of several time steps: above, `dot` makes a diagonal of them, with nothing beside."""


def boxes_to_dot(
    graph: Picture, *, theme: str = "light", scale: Scale | None = None
) -> tuple[graphviz.Digraph, Engine]:
    """Return any graph as DOT, and the engine that draws it: small ones are left to `dot`.

    Args: as for `tiles_to_dot`.
    """
    unrolled = len({node.step for node in graph.nodes} - {None}) > 1
    large = unrolled and len(graph.nodes) > _MOST_UNROLLED
    if graph.nodes and (large or effort(graph) > _MOST_EFFORT):
        return tiles_to_dot(graph, theme=theme, scale=scale), "nop2"
    return graph_to_dot(graph, theme=theme, scale=scale), "dot"


def tiles_to_dot(
    graph: Picture, *, theme: str = "light", scale: Scale | None = None
) -> graphviz.Digraph:
    """Return the picture of a large graph, with positions, for the engine `nop2`.

    Args:
        graph: what to draw, at least one node.
        theme: `light` or `dark`.
        scale: domain of the gradient norms; None spans those of this graph.

    Raises ValueError for an unknown theme.
    """
    import graphviz

    colors = theme_named(theme)
    scale = labels.scale_of(graph, colors, scale)
    dot = graphviz.Digraph("minigrad")
    dot.attr("graph", bgcolor=colors.background, outputorder="edgesfirst", pad="0.25")
    dot.attr("graph", fontname=FONT, fontcolor=colors.text)
    dot.attr("node", label="\\N", fontname=FONT, fontsize="11", margin="0.02", fixedsize="true")
    dot.attr("edge", fontname=FONT, fontsize="9")
    picture = _TilesWriter(dot, graph, colors, scale)
    picture.add_frames()
    picture.add_nodes()
    picture.add_edges()
    picture.add_heading()
    return dot


class _TilesWriter:
    """One picture being written; `pen_kinds` collects what the legend has to explain."""

    def __init__(
        self, dot: graphviz.Digraph, graph: Picture, colors: Theme, scale: Scale | None
    ) -> None:
        self.dot, self.graph, self.colors, self.scale = dot, graph, colors, scale
        self.times = labels.time_scale_of(graph, colors)
        self.pen_kinds: set[str] = set()
        self._first_slots: dict[tuple[int, int], int] = {}
        self.lines = {node.id: _lines(node) for node in graph.nodes}
        sizes = {
            number: (
                max(38.0, _CHARACTER * min(40, max(map(len, lines))) + 12),
                _LINE * len(lines) + 8,
            )
            for number, lines in self.lines.items()
        }
        self.boxes, self.tiles = lay_out_tiles(graph, sizes, 26.0 if scale is None else 36.0)
        self.right = max(tile.left + tile.width for tile in self.tiles)

    def _add(self, what: str, **attributes: str) -> None:
        """Add a statement. The graphviz package would look at each text again, which takes longer
        than the layout: all of them are escaped here, and none has a quotation mark.
        """
        listed = " ".join(f"{name}={_quoted(value)}" for name, value in attributes.items())
        self.dot.body.append(f"\t{what} [{listed}]\n")

    def add_frames(self) -> None:
        """Add the frame of each time step, and its title."""
        for number, tile in enumerate(self.tiles):
            if tile.step is None:
                continue
            self._add(
                f"frame{number}",
                **{"class": "frame"},
                id=f"frame{number}",
                shape="box",
                style="rounded",
                color=self.colors.cluster_line,
                fontcolor=self.colors.faint_text,
                label=f"\u00a0t = {tile.step}\\l",
                labelloc="t",
                tooltip=f"t = {tile.step}",
                **placed(
                    (tile.left + tile.width / 2, -tile.top - tile.height / 2),
                    tile.width,
                    tile.height,
                ),
            )

    def add_nodes(self) -> None:
        """Add the boxes."""
        for node in self.graph.nodes:
            box = self.boxes[node.id]
            style = node_style(node, self.colors, self.times)
            style.pop("margin", None)
            self._add(
                node_name(node.id),
                label=escape.label_lines(self.lines[node.id]),
                tooltip=escape.tooltip(labels.node_tooltip(node)),
                id=node_name(node.id),
                **{"class": node.kind},
                **style,
                **placed((box.x, -box.y), box.width, box.height),
            )

    def add_edges(self) -> None:
        """Add the curves of the values and, beside them, those of the gradients."""
        nodes = {node.id: node for node in self.graph.nodes}
        for number, edge in enumerate(self.graph.edges):
            tip = escape.tooltip(labels.edge_tooltip(edge, nodes))
            known = self.scale is not None and edge.contribution is not None
            self._forward(number, edge, tip, known)
            if known:
                self._gradient(number, edge, tip)

    def _forward(self, number: int, edge: Edge, tip: str, known: bool) -> None:
        curve, text = self._edge_curve(edge, _SIDE if known else 0.0)
        onward = {} if known else self._text(labels.onward_text(edge), text)
        self._add(
            f"{node_name(edge.source)} -> {node_name(edge.target)}",
            id=f"f{number}",
            **{"class": "forward"},
            pos=_with_end(curve, 5.0),
            color=self.colors.forward,
            penwidth="0.8",
            arrowsize="0.5",
            style="dashed" if edge.kind in ("elided", "rolled") else "solid",
            tooltip=tip,
            **onward,
        )

    def _gradient(self, number: int, edge: Edge, tip: str) -> None:
        assert self.scale is not None
        pen = self.scale.pen(labels.edge_measure(edge, self.scale))
        self.pen_kinds.add(pen.kind)
        curve, text = self._edge_curve(edge, -_SIDE)
        alarm = pen.kind == "nonfinite"
        self._add(
            f"{node_name(edge.source)} -> {node_name(edge.target)}",
            id=f"g{number}",
            **{"class": f"gradient {pen.kind}"},
            # The curve leads from source to target, and its head is at the source.
            dir="back",
            pos=_with_start(curve, 7.0),
            color=pen.color,
            penwidth=f"{pen.width:g}",
            style=pen.style,
            arrowsize="0.7",
            tooltip=tip,
            **self._text(labels.gradient_text(edge, pen.text).replace("\n", " "), text),
            fontcolor=self.colors.alarm if alarm else self.colors.text,
        )

    def _text(self, text: str, place: Point) -> dict[str, str]:
        if not text:
            return {}
        x = place[0] - 7 - 2.4 * len(text)
        return {"label": escape.label(text), "lp": coordinates((x, -place[1]))}

    def _edge_curve(self, edge: Edge, shift: float) -> tuple[tuple[Point, ...], Point]:
        """The curves from source to target, and where their number stands."""
        start, end = self.boxes[edge.source], self.boxes[edge.target]
        shift += 9.0 * min(edge.slot, 3) if self._parallel(edge) else 0.0
        if start.tile != end.tile:
            return self._between_tiles(start, end, shift)
        tile = self.tiles[start.tile]
        if start.rank >= end.rank:
            return _beside(start, end, shift)
        first = (_inside(start, start.x + shift, end.x), start.y + start.height / 2)
        last = (_inside(end, end.x + shift, start.x), end.y - end.height / 2)
        if end.rank - start.rank == 1 or not blocked(tile, start, end):
            middle = (first[0] + 0.5 * (last[0] - first[0]), (first[1] + last[1]) / 2)
            return line(first, last), middle
        x = passage(tile, start, end) + shift
        return _around(tile, start, end, first, last, x), (x, (first[1] + last[1]) / 2)

    def _parallel(self, edge: Edge) -> bool:
        """Whether another edge before it joins the same two boxes."""
        ends = (edge.source, edge.target)
        return self._first_slots.setdefault(ends, edge.slot) != edge.slot

    def _between_tiles(self, start: Box, end: Box, shift: float) -> tuple[tuple[Point, ...], Point]:
        """From the side of one box to the side of the other, or down to the next row of tiles."""
        if self.tiles[start.tile].row == self.tiles[end.tile].row and start.tile < end.tile:
            first = (start.x + start.width / 2, start.y + shift)
            last = (end.x - end.width / 2, end.y + shift)
            reach = min(60.0, (last[0] - first[0]) / 2)
            curve = (first, (first[0] + reach, first[1]), (last[0] - reach, last[1]), last)
            return curve, (first[0] + 40, first[1] - 6 if shift < 0 else first[1] + 10)
        first = (start.x + shift, start.y + start.height / 2)
        last = (end.x + shift, end.y - end.height / 2)
        return bend(first, last), (first[0], first[1] + 16)

    def add_heading(self) -> None:
        """Add title, diagnosis and legend above the upper left, where the reader looks first."""
        width = max(self.right, _NARROWEST)
        rows = legend_rows(
            self.colors,
            self.scale,
            self.pen_kinds,
            {node.kind for node in self.graph.nodes},
            width=width,
            times=self.times,
        )
        y = -24.0
        for number in reversed(range(len(rows))):
            place = placed((width / 2, -y), width, 17)
            add_frame_node(self.dot, f"legend{number}", rows[number], self.colors, place)
            y -= 17
        letters = int(min(width, 1200.0) / 7.2)
        lines = [text for words in self.graph.diagnosis for text in labels.wrap(words, letters)]
        if not self.graph.title and not lines:
            return
        title = escape.shorten(self.graph.title, int(width / 10.2))
        height = 26.0 * bool(title) + 17.0 * len(lines) + 6
        label = heading_markup(self.colors, title, lines, 17, 12, width)
        place = placed((width / 2, height / 2 - y), width, height)
        add_frame_node(self.dot, "heading", label, self.colors, place)


def _quoted(value: str) -> str:
    """A value in DOT: an identifier by itself, anything else in quotation marks."""
    word = value.isascii() and value.isidentifier() and value.lower() not in _KEYWORDS
    return value if word else f'"{value}"'


def _lines(node: PictureNode) -> list[str]:
    """The text of a box; the innermost module or block stands in it, as it has no frame."""
    lines = [escape.shorten(text, 40) for text in node_lines(node)] or [node.kind]
    own = node.frame.rpartition(".")[2]
    if node.kind == "op" and own and own not in lines:
        lines.insert(1, escape.shorten(own, 24))
    return lines


def _inside(box: Box, wanted: float, towards: float) -> float:
    """An x at which an edge meets a box: at its middle, or a little towards the other end."""
    room = max(0.0, box.width / 2 - 8)
    lean = max(-room, min(room, 0.25 * (towards - box.x)))
    return wanted + lean


def _beside(start: Box, end: Box, shift: float) -> tuple[tuple[Point, ...], Point]:
    """An edge that leads up again, such as the one to the next time step of what is rolled up."""
    first = (start.x + start.width / 2, start.y + shift)
    last = (end.x + end.width / 2, end.y + shift)
    x = max(first[0], last[0]) + 40.0
    return (first, (x, first[1]), (x, last[1]), last), (x, (first[1] + last[1]) / 2)


def _around(
    tile: Tile, start: Box, end: Box, first: Point, last: Point, x: float
) -> tuple[Point, ...]:
    """Down to the next rank, past the boxes at one x, and in again above the rank of the end."""
    top, bottom = tile.tops[start.rank + 1] - 2, tile.bottoms[end.rank - 1] + 2
    return (
        *bend(first, (x, top)),
        *line((x, top), (x, bottom))[1:],
        *bend((x, bottom), last)[1:],
    )


def _points_text(points: tuple[Point, ...]) -> str:
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points)


def _with_end(points: tuple[Point, ...], head: float) -> str:
    """A DOT `pos` with an arrow head at the last point."""
    base = head_base(points[-1], points[-2], head)
    return f"e,{_points_text(points[-1:])} {_points_text((*points[:-1], base))}"


def _with_start(points: tuple[Point, ...], head: float) -> str:
    """A DOT `pos` with an arrow head at the first point."""
    base = head_base(points[0], points[1], head)
    return f"s,{_points_text(points[:1])} {_points_text((base, *points[1:]))}"
