"""The gradient's path through an unrolled recurrent network, as DOT with positions.

Columns are time, bands are layers, lanes are carried states. The values' way forward is thin and
grey; over it the gradient flows back in time; width and colour show its norm.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from minigrad.draw.graph.records import Edge, Picture, PictureNode
from minigrad.draw.render.bands import band_titles
from minigrad.draw.render.dot import add_frame_node, node_name, node_style
from minigrad.draw.render.edge_curves import curves_of
from minigrad.draw.render.geometry import placed, with_head
from minigrad.draw.render.grid import (
    BAND_DISTANCE,
    HEADER_WIDTH,
    Band,
    Grid,
    Place,
    is_state,
    lay_out,
    pill_text,
)
from minigrad.draw.style import escape, labels
from minigrad.draw.style.legend import heading_markup, legend_rows
from minigrad.draw.style.scale import Pen, Scale, ShareScale, contrasting, hexadecimal, number_text
from minigrad.draw.style.theme import FONT, Theme, theme_named

if TYPE_CHECKING:
    import graphviz

_NARROWEST: Final = 620.0
_TITLE_SIZE: Final = 17
_TEXT_SIZE: Final = 12
_CHARACTER: Final = 0.6
"""Width of an average character of a wide font, in parts of the font size."""


def cells_to_dot(
    graph: Picture, *, theme: str = "light", scale: Scale | None = None
) -> graphviz.Digraph:
    """Return the picture of a graph of level `cells`, with positions, for the engine `nop2`.

    Args:
        graph: cells and states with layers and time steps; see `minigrad.draw.graph.elision` for
            long ones.
        theme: `light` or `dark`.
        scale: domain of the gradient norms; None spans those of this graph.

    Raises ValueError for an unknown theme.
    """
    import graphviz

    colors = theme_named(theme)
    grid = lay_out(graph)
    scale = labels.scale_of(graph, colors, scale)
    dot = graphviz.Digraph("minigrad")
    dot.attr("graph", bgcolor=colors.background, outputorder="nodesfirst", pad="0.25")
    dot.attr("graph", fontname=FONT, fontcolor=colors.text)
    dot.attr("node", label="\\N", fontname=FONT, fixedsize="true")
    dot.attr("edge", fontname=FONT, fontsize="9")
    picture = _CellsWriter(dot, graph, grid, colors, scale)
    picture.add_nodes()
    picture.add_edges()
    picture.add_axis()
    picture.add_headers()
    picture.add_frame()
    return dot


class _CellsWriter:
    """One picture being written; `pen_kinds` collects what the legend has to explain."""

    def __init__(
        self,
        dot: graphviz.Digraph,
        graph: Picture,
        grid: Grid,
        colors: Theme,
        scale: Scale | None,
    ) -> None:
        self.dot = dot
        self.graph = graph
        self.grid = grid
        self.colors = colors
        self.scale = scale
        self.pen_kinds: set[str] = set()
        self.texts = 0

    def add_nodes(self) -> None:
        for node in self.graph.nodes:
            place = self.grid.places.get(node.id)
            if place is None:
                continue
            style = self._state_style(node) if is_state(node) else self._box_style(node)
            self.dot.node(
                node_name(node.id),
                id=node_name(node.id),
                **{"class": node.kind},
                tooltip=escape.tooltip(labels.node_tooltip(node)),
                **placed((place.x, place.y), place.width, place.height),
                **style,
            )

    def _box_style(self, node: PictureNode) -> dict[str, str]:
        style = node_style(node, self.colors)
        place = self.grid.places[node.id]
        room = max(4, int((place.width - 6) / 6.2))
        words = labels.title_of(node)
        in_band = node.layer is not None
        if node.kind == "elided":
            lines = [f"{node.count} x", words] if in_band else [f"{node.count} x {words}"]
        else:
            lines = [words]
        if node.kind == "input":
            style["shape"], style["style"] = "box", "rounded,filled"
        style["fontsize"] = "10"
        if node.fault:
            style |= {"color": self.colors.alarm, "penwidth": "2.4", "peripheries": "2"}
            self._text(
                node.fault,
                Place(place.x, place.top + 12, max(place.width, 6.0 * len(node.fault)), 12),
                size=9.5,
                color=self.colors.alarm,
                name="fault",
            )
        if in_band and len(self._band(node).lanes) != 2:
            # Only between two lanes is there room for the name in the middle of the box; above
            # them, the empty line keeps it off the border.
            style["labelloc"] = "t"
            lines = ["", " ".join(lines)]
        style["label"] = escape.label_lines(lines, limit=room)
        return style

    def _band(self, node: PictureNode) -> Band:
        return self.grid.bands[(node.layer or 0, node.reverse)]

    def _state_style(self, node: PictureNode) -> dict[str, str]:
        colors = self.colors
        if node.kind == "elided":
            text = labels.range_text(node.lowest, node.highest)
            return {
                "shape": "none",
                "label": escape.label(f"{node.state[:4]}: {text}" if text else node.state, 30),
                "fontsize": "9",
                "fontcolor": colors.text,
            }
        style = {
            "shape": "box",
            "style": "rounded,filled",
            "label": escape.label(pill_text(node)),
            "fontsize": "9",
            "fillcolor": colors.box,
            "color": colors.box_line,
            "fontcolor": colors.text,
        }
        norm = None if node.gradient is None else node.gradient.norm
        if norm is None and node.gradient is not None and not node.gradient.finite:
            norm = math.nan
        if norm is None or self.scale is None:
            return style
        if isinstance(self.scale, ShareScale) and math.isfinite(norm) and norm > 0:
            return style  # shares belong to edges
        pen = self.scale.pen(norm)
        self.pen_kinds.add(pen.kind)
        if pen.kind == "zero":
            return {**style, "style": "rounded,filled,dotted", "color": colors.zero}
        if pen.kind == "nonfinite":
            return {
                **style,
                "color": colors.alarm,
                "fontcolor": colors.alarm,
                "peripheries": "2",
                "fillcolor": colors.background,
            }
        fill = self.scale.color(norm)
        return {
            **style,
            "fillcolor": hexadecimal(fill),
            "color": hexadecimal(fill),
            "fontcolor": contrasting(fill),
        }

    def add_edges(self) -> None:
        """Add all edges: first those of the values, so that the gradients lie on top."""
        nodes = {node.id: node for node in self.graph.nodes}
        siblings: dict[tuple[int, int], int] = defaultdict(int)
        back: list[tuple[int, Edge, str, tuple[float, float] | None]] = []
        for number, edge in enumerate(self.graph.edges):
            ends = (edge.source, edge.target)
            curves = curves_of(self.grid, nodes[edge.source], nodes[edge.target], siblings[ends])
            siblings[ends] += 1
            if curves is None:
                continue
            if curves.forward:
                self.dot.edge(
                    *map(node_name, ends),
                    id=f"f{number}",
                    **{"class": "forward"},
                    pos=with_head(curves.forward, 4.5),
                    color=self.colors.forward,
                    penwidth="0.8",
                    arrowsize="0.45",
                    tooltip=escape.tooltip(labels.edge_tooltip(edge, nodes)),
                )
            if curves.backward and self.scale is not None and edge.contribution is not None:
                pen = self.scale.pen(labels.edge_measure(edge, self.scale))
                size = _head_size(pen)
                back.append((number, edge, with_head(curves.backward, 10 * size), curves.number))
        for number, edge, position, text_place in back:
            assert self.scale is not None
            pen = self.scale.pen(labels.edge_measure(edge, self.scale))
            self.pen_kinds.add(pen.kind)
            self.dot.edge(
                # From target to source: the arrow points the way the gradient goes.
                node_name(edge.target),
                node_name(edge.source),
                id=f"g{number}",
                **{"class": f"gradient {pen.kind}"},
                pos=position,
                color=pen.color,
                penwidth=f"{pen.width:g}",
                style=pen.style,
                arrowsize=f"{_head_size(pen):g}",
                tooltip=escape.tooltip(labels.edge_tooltip(edge, nodes)),
            )
            if text_place is not None:
                alarm = pen.kind == "nonfinite"
                self._text(
                    pen.text,
                    Place(*text_place, 46, 12),
                    size=9,
                    color=self.colors.alarm if alarm else self.colors.text,
                    name="number",
                )

    def _text(
        self,
        text: str,
        place: Place,
        *,
        size: float,
        color: str,
        name: str = "text",
        justify: str = "n",
    ) -> None:
        """Add text without a box; line breaks in `text` stay."""
        lines = text.split("\n")
        self.dot.node(
            f"t{self.texts}",
            **{"class": name},
            shape="none",
            label=escape.label_lines(lines, limit=200, justify=justify),
            tooltip=escape.tooltip(lines),
            **placed((place.x, place.y), place.width, place.height),
            margin="0",
            fontsize=f"{size:g}",
            fontcolor=color,
        )
        self.texts += 1

    def add_axis(self) -> None:
        """Add the time steps below the columns."""
        grid = self.grid
        for column in grid.columns.values():
            text = f"t = {column.step - column.offset}"
            if column.elided:
                text += f" to {column.last_step - column.offset}"
            width = max(column.width, 40.0) + 20
            x = column.x
            if column.width == 0:
                # A column of initial states alone has its states beside its centre.
                near = [pill.x for key, pill in grid.pills.items() if key[2] == column.step]
                x = math.fsum(near) / len(near) if near else x
            place = Place(x, grid.axis_y, width, 14)
            self._text(text, place, size=10, color=self.colors.faint_text)
            reading = labels.reading_text(self.graph, column.step, column.last_step)
            if reading:
                below = Place(x, grid.axis_y - 14, width, 14)
                color = self.colors.text
                self._text(reading, below, size=11, color=color, name="reading")

    def add_headers(self) -> None:
        """Add the name of each layer at the left, with the gradients of its parameters."""
        cells = {
            (node.layer or 0, node.reverse): node
            for node in reversed(self.graph.nodes)
            if node.layer is not None and not is_state(node)
        }
        states = {
            (node.layer or 0, node.reverse): node
            for node in reversed(self.graph.nodes)
            if node.kind == "state"
        }
        titles = band_titles(self.graph)
        for key, band in self.grid.bands.items():
            title = titles.get(key) or f"layer {key[0]}"
            lines = [escape.shorten(labels.title_of(cells[key]), 20)] if key in cells else []
            if key in states and states[key].shape is not None:
                lines.append(labels.type_text(states[key].shape, states[key].dtype))
            lines += _parameter_lines(self.grid.parameters.get(key, []), band)
            middle = band.bottom + band.height / 2
            x = self.grid.left + HEADER_WIDTH / 2 - 8
            height = 14.0 + 11.5 * len(lines)
            self._text(
                title,
                Place(x, middle + height / 2 - 7, HEADER_WIDTH, 15),
                size=12,
                color=self.colors.text,
                justify="l",
            )
            self._text(
                "\n".join(lines),
                Place(x, middle - 9, HEADER_WIDTH, height - 12),
                size=8.5,
                color=self.colors.faint_text,
                justify="l",
            )

    def add_frame(self) -> None:
        """Add title and diagnosis above the picture, the legend below it."""
        grid = self.grid
        width = max(grid.right - grid.left, _NARROWEST)
        x = grid.left - 8 + width / 2
        if self.graph.title or self.graph.diagnosis:
            letters = int(width / (_TEXT_SIZE * _CHARACTER))
            lines = [line for text in self.graph.diagnosis for line in labels.wrap(text, letters)]
            title = escape.shorten(self.graph.title, int(width / (_TITLE_SIZE * _CHARACTER)))
            height = 26.0 * bool(title) + 17.0 * len(lines) + 6
            label = heading_markup(self.colors, title, lines, _TITLE_SIZE, _TEXT_SIZE, width)
            place = placed((x, grid.top + height / 2 + 22), width, height)
            add_frame_node(self.dot, "heading", label, self.colors, place)
        rows = legend_rows(
            self.colors,
            self.scale,
            self.pen_kinds,
            {node.kind for node in self.graph.nodes if node.id in grid.places},
            width=width,
        )
        y = grid.axis_y - (46 if self.graph.readings else 32)
        for number, row in enumerate(rows):
            place = placed((x, y - 17 * number), width, 17)
            add_frame_node(self.dot, f"legend{number}", row, self.colors, place)


def _head_size(pen: Pen) -> float:
    """Return the arrow size for a pen: it grows more slowly than the width."""
    return round(0.5 + 0.035 * pen.width, 3)


def _parameter_lines(parameters: list[PictureNode], band: Band) -> list[str]:
    """Return one line for each parameter, as many as fit beside the band."""
    room = max(1, int((band.height + BAND_DISTANCE / 2 - 40) / 11.5))
    lines = []
    for node in parameters:
        norm = None if node.gradient is None else node.gradient.norm
        known = "" if norm is None else number_text(norm)
        lines.append(f"{escape.shorten(labels.title_of(node), 18)} {known}".rstrip())
    if len(lines) > room:
        rest = len(lines) - room + 1
        lines = [*lines[: room - 1], f"and {rest} more parameters"]
    return lines
