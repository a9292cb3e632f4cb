"""A graph and its layout as compact JSON for the interactive page.

Records become columns: one list for each field, differences for integers that rise, a single
value where all are alike. Texts are cleaned and shortened here, once, so that the page only ever
sees characters that can be shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from minigrad.draw.graph.interaction import Interaction, thinned
from minigrad.draw.graph.records import EDGE_KINDS, NODE_KINDS, Picture, Statistics
from minigrad.draw.pages.page_lanes import LONGEST_TEXT, Texts, loss_lane, route_lane
from minigrad.draw.pages.page_numbers import column, number
from minigrad.draw.render.bands import band_titles
from minigrad.draw.render.grid import (
    CELL_WIDTH,
    ELIDED_ROOM,
    ELIDED_WIDTH,
    TWO_LANES_ROOM,
    Grid,
    lay_out,
)
from minigrad.draw.style import escape
from minigrad.draw.style.labels import time_scale_of, title_of, type_text
from minigrad.draw.style.theme import theme_named

_MOST_NUMBERS: Final = 160_000
"""Of the norms by loss step: beyond that, fewer loss steps are kept."""


def picture_data(
    graph: Picture,
    name: str,
    shown: Sequence[int],
    interaction: Interaction | None,
    boxes: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return everything that the page knows about one picture.

    Args:
        graph: the whole graph.
        name: what the picture is called where there are several.
        shown: the time steps that are shown at first.
        interaction: norms by loss step and by route.
        boxes: positions of all nodes and edges, or None for columns of time.
    """
    texts = Texts()
    ids = {node.id: place for place, node in enumerate(graph.nodes)}
    data: dict[str, Any] = {
        "name": escape.printable(escape.shorten(name, 60)),
        "title": escape.printable(escape.shorten(graph.title, LONGEST_TEXT)),
        "diagnosis": [escape.printable(escape.shorten(line, 1000)) for line in graph.diagnosis],
        "level": graph.level,
        "nodes": _node_columns(graph, texts),
        "edges": _edge_columns(graph, ids, texts),
        "steps": list(shown),
        "readings": [escape.printable(escape.shorten(text, 12)) for text in graph.readings],
    }
    axes = {node.offset: 0 for node in graph.nodes if node.offset}
    if axes:
        for node in graph.nodes:
            if node.time is not None and node.offset:
                axes[node.offset] = min(axes[node.offset] or node.time, node.time)
        data["axes"] = [[first, offset] for offset, first in sorted(axes.items())]
    times = time_scale_of(graph, theme_named("light"))
    if times is not None:
        data["times"] = [times.low, times.high]
    if boxes is None:
        data["time"] = _time_layout(graph, ids)
    else:
        data["boxes"] = boxes
    if interaction is not None:
        lanes = thinned(interaction.loss_norms, _MOST_NUMBERS)
        data["loss"] = [loss_lane(lane, texts) for lane in lanes]
        data["routes"] = [route_lane(lane, texts) for lane in interaction.route_products]
    data["texts"] = list(texts.places)
    return data


def _node_columns(graph: Picture, texts: Texts) -> dict[str, Any]:
    nodes = graph.nodes

    def statistics(part: str, field: str, digits: int) -> Any:
        found: list[Statistics | None] = [getattr(node, part) for node in nodes]
        return column(
            [None if one is None else number(getattr(one, field), digits) for one in found]
        )

    columns: dict[str, Any] = {
        "kind": column([NODE_KINDS.index(node.kind) for node in nodes]),
        "label": column([texts.place(title_of(node)) for node in nodes]),
        "step": column([node.time for node in nodes]),
        "last": column([node.last_time for node in nodes]),
        "layer": column([node.layer for node in nodes]),
        "reverse": column([int(node.reverse) for node in nodes]),
        "type": column([texts.place(type_text(node.shape, node.dtype)) for node in nodes]),
        "low": column([number(node.lowest, 3) for node in nodes]),
        "high": column([number(node.highest, 3) for node in nodes]),
        "count": column([node.count for node in nodes]),
    }
    for field in ("op", "name", "scope", "state", "detail", "fault"):
        columns[field] = column([texts.place(getattr(node, field)) for node in nodes])
    if any(node.seconds is not None for node in nodes):
        columns["seconds"] = column([number(node.seconds, 4) for node in nodes])
    for part in ("value", "gradient"):
        columns[f"{part}_finite"] = column(
            [None if (one := getattr(node, part)) is None else int(one.finite) for node in nodes]
        )
        for field, digits in (("norm", 4), ("minimum", 3), ("maximum", 3), ("mean", 3)):
            columns[f"{part}_{field}"] = statistics(part, field, digits)
    return {"n": len(nodes), **columns}


def _edge_columns(graph: Picture, ids: dict[int, int], texts: Texts) -> dict[str, Any]:
    edges = graph.edges
    terms = [edge.contribution for edge in edges]

    def part(field: str, digits: int) -> Any:
        return column(
            [None if term is None else number(getattr(term, field), digits) for term in terms]
        )

    return {
        "n": len(edges),
        "target": column([ids[edge.target] for edge in edges]),
        # Most edges come from nearby, so the difference is short.
        "source": column([ids[edge.target] - ids[edge.source] for edge in edges]),
        "slot": column([edge.slot for edge in edges]),
        "kind": column([EDGE_KINDS.index(edge.kind) for edge in edges]),
        "type": column([texts.place(type_text(edge.shape, "")) for edge in edges]),
        "route": column([texts.place(edge.route) for edge in edges]),
        "count": column([edge.count for edge in edges]),
        "norm": part("norm", 4),
        "share": part("share", 3),
        "low": part("lowest", 3),
        "median": part("median", 3),
        "high": part("highest", 3),
    }


def _time_layout(graph: Picture, ids: dict[int, int]) -> dict[str, Any]:
    """Return columns, bands, and for each node its place relative to its column."""
    grid = lay_out(graph)
    titles = band_titles(graph)
    slots: dict[tuple[float, ...], int] = {}
    slot_of: list[int] = []
    for node in graph.nodes:
        place = grid.places.get(node.id)
        if place is None:
            slot_of.append(-1)
            continue
        found = grid.columns.get(node.time) if node.time is not None else None
        offset = 0.0 if found is None else place.x - found.x
        key = (offset, place.y, place.width, place.height, float(found is None))
        slots.setdefault(tuple(round(part, 1) for part in key), len(slots))
        slot_of.append(slots[tuple(round(part, 1) for part in key)])
    return {
        "slots": [list(slot) for slot in slots],
        "slot": column(slot_of),
        "columns": column([found.step for found in grid.columns.values()]),
        "lasts": column([found.last_step for found in grid.columns.values()]),
        "elided": column([int(found.elided) for found in grid.columns.values()]),
        "widths": column([found.width for found in grid.columns.values()]),
        "room": _room(grid),
        "start": _start(grid),
        "beside": grid.beside,
        "cell_width": CELL_WIDTH,
        "gap_width": ELIDED_WIDTH,
        "gap_room": ELIDED_ROOM,
        "axis": grid.axis_y,
        "top": grid.top,
        "bands": [
            {
                "layer": key[0],
                "reverse": int(key[1]),
                "title": escape.printable(escape.shorten(titles.get(key, f"layer {key[0]}"), 30)),
                "bottom": band.bottom,
                "height": band.height,
                "lanes": [escape.printable(escape.shorten(lane, 60)) for lane in band.lanes],
                "lane_y": [band.lane_y[lane] for lane in band.lanes],
                "parameters": [ids[node.id] for node in grid.parameters.get(key, [])],
            }
            for key, band in grid.bands.items()
        ],
        "free_parameters": [ids[node.id] for node in grid.parameters.get(None, [])],
    }


def _start(grid: Grid) -> float:
    """Return where the first column begins."""
    first = next(iter(grid.columns.values()), None)
    return 0.0 if first is None else first.x - first.width / 2


def _room(grid: Grid) -> float:
    """Return the room between two columns, for the states of the first."""
    columns = list(grid.columns.values())
    for one, other in itertools.pairwise(columns):
        if not one.elided and not other.elided:
            return round(other.x - other.width / 2 - one.x - one.width / 2, 2)
    return TWO_LANES_ROOM
