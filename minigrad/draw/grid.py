"""Where everything lies in the picture of an unrolled recurrent network.

Columns are time steps, bands are layers, and inside a band each carried state has its own lane:
the cell state of an LSTM runs straight along the top, the hidden state along the bottom. One step
is laid out by hand and repeated at an offset, so a thousand steps cost no more thought than one.
All lengths are in points, the y axis points up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from minigrad.draw.records import Edge, Graph, Node

CELL_WIDTH: Final = 66.0
ELIDED_WIDTH: Final = 104.0
BOX_HEIGHT: Final = 26.0
PILL_HEIGHT: Final = 18.0
LANE_DISTANCE: Final = 48.0
LANE_MARGIN: Final = 27.0
ROW_DISTANCE: Final = 78.0
BAND_DISTANCE: Final = 64.0
HEADER_WIDTH: Final = 132.0

BandKey = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Centre and size of a box."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y + self.height / 2

    @property
    def bottom(self) -> float:
        return self.y - self.height / 2


@dataclass(frozen=True, slots=True)
class Column:
    """One time step, or a run of elided ones; `x` is the centre of its cells."""

    step: int
    last_step: int
    elided: bool
    count: int
    x: float
    width: float


@dataclass(slots=True)
class Band:
    """One layer: its lanes from top to bottom, and the height of each."""

    key: BandKey
    lanes: tuple[str, ...]
    bottom: float = 0.0
    height: float = 0.0
    lane_y: dict[str, float] = field(default_factory=dict)

    @property
    def top(self) -> float:
        return self.bottom + self.height


@dataclass(slots=True)
class Grid:
    """The finished layout: what is placed where. Nodes that are not in `places` are not drawn."""

    columns: dict[int, Column]
    bands: dict[BandKey, Band]
    places: dict[int, Place]
    parameters: dict[BandKey | None, list[Node]]
    axis_y: float
    left: float
    right: float
    top: float
    pill_room: float
    pills: dict[tuple[BandKey, str, int | None], Place]
    widest_cell: float = ELIDED_WIDTH


def band_key(node: Node) -> BandKey:
    """Return the band of a cell or state; a network without layer numbers has one band."""
    return (node.layer or 0, node.reverse)


def is_state(node: Node) -> bool:
    """Return whether a node is a carried state, shown or elided."""
    return node.kind == "state" or (node.kind == "elided" and bool(node.state))


def lay_out(graph: Graph) -> Grid:
    """Return positions for all nodes of a graph of level `cells`."""
    cells = _cells(graph)
    lanes = _lanes(graph)
    pill_room = 58.0 if any(len(names) > 1 for names in lanes.values()) else 40.0
    columns = _columns(graph, pill_room)
    nodes = {node.id: node for node in graph.nodes}
    in_band = cells | {node.id for node in graph.nodes if is_state(node)}
    free, below, parameters = _free_nodes(graph, in_band)
    ranks = _ranks(graph.edges, free)

    places: dict[int, Place] = {}
    y = 0.0
    axis_y = y
    y += 12.0
    lower = sorted({ranks[number] for number in free if number in below})
    for rank in lower:
        y += BOX_HEIGHT / 2 + 8
        _place_row(places, nodes, columns, graph, rank, ranks, below, free, y, lower=True)
        y += BOX_HEIGHT / 2 + ROW_DISTANCE - BOX_HEIGHT
    if not lower:
        y += 16.0
    bands: dict[BandKey, Band] = {}
    for key in sorted(lanes):
        bands[key] = band = Band(key, lanes[key], bottom=y)
        _shape_band(band)
        y = band.top + BAND_DISTANCE
    for number in sorted(in_band):
        places[number] = _place_in_band(nodes[number], bands, columns)
    y = max((band.top for band in bands.values()), default=y) + ROW_DISTANCE - BOX_HEIGHT / 2
    upper = sorted({ranks[number] for number in free if number not in below})
    for rank in upper:
        _place_row(places, nodes, columns, graph, rank, ranks, below, free, y, lower=False)
        y += ROW_DISTANCE
    top = max([place.top for place in places.values()], default=0.0)
    right = max([place.right for place in places.values()], default=0.0) + 8
    pills = {
        (band_key(node), node.state, node.step): places[node.id]
        for node in graph.nodes
        if is_state(node) and node.kind != "elided"
    }
    return Grid(
        columns, bands, places, parameters, axis_y, -HEADER_WIDTH, right, top, pill_room, pills
    )


def _cells(graph: Graph) -> set[int]:
    return {
        node.id
        for node in graph.nodes
        if node.layer is not None and node.step is not None and not is_state(node)
        if node.kind in ("group", "op", "elided")
    }


def _lanes(graph: Graph) -> dict[BandKey, tuple[str, ...]]:
    """Return the states of each band from top to bottom: the hidden state `h` comes last."""
    found: dict[BandKey, list[str]] = defaultdict(list)
    for node in graph.nodes:
        if is_state(node) and node.state not in found[band_key(node)]:
            found[band_key(node)].append(node.state)
        elif node.kind in ("group", "elided") and node.layer is not None:
            found[band_key(node)].extend(())
    return {
        key: tuple(sorted(names, key=lambda name: (name == "h", name)))
        for key, names in found.items()
    }


def _columns(graph: Graph, pill_room: float) -> dict[int, Column]:
    """Return the column of every time step that starts one, from left to right."""
    spans: dict[int, tuple[int, bool, int]] = {}
    has_cell: set[int] = set()
    for node in graph.nodes:
        if node.step is None:
            continue
        elided = node.kind == "elided"
        last = node.step if node.last_step is None else node.last_step
        before = spans.get(node.step, (last, elided, 1))
        count = max(before[2], last - node.step + 1)
        spans[node.step] = (max(last, before[0]), elided or before[1], count)
        if not is_state(node):
            has_cell.add(node.step)
    columns: dict[int, Column] = {}
    x = 0.0
    for step in sorted(spans):
        last, elided, count = spans[step]
        width = ELIDED_WIDTH if elided else CELL_WIDTH if step in has_cell else 0.0
        columns[step] = Column(step, last, elided, count, x + width / 2, width)
        x += width + pill_room
    return columns


def _free_nodes(
    graph: Graph, in_band: set[int]
) -> tuple[set[int], set[int], dict[BandKey | None, list[Node]]]:
    """Return the nodes outside the bands, those of them below, and the parameters by band."""
    nodes = {node.id: node for node in graph.nodes}
    carries = {edge.source for edge in graph.edges if edge.contribution is not None}
    sources: dict[int, list[int]] = defaultdict(list)
    targets: dict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    below: set[int] = set()
    waiting = list(in_band)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in below and source not in in_band:
                below.add(source)
                waiting.append(source)
    free: set[int] = set()
    parameters: dict[BandKey | None, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.id in in_band:
            continue
        if node.kind == "parameter":
            users = [nodes[number] for number in targets[node.id] if number in in_band]
            key = band_key(users[0]) if users else None
            if node.name not in [known.name for known in parameters[key]]:
                parameters[key].append(node)
        elif node.kind != "constant" and (
            node.id in carries or node.id in below or sources[node.id]
        ):
            # Targets of a loss carry no gradient: they stay out of this picture.
            free.add(node.id)
    return free, below & free, parameters


def _ranks(edges: tuple[Edge, ...], free: set[int]) -> dict[int, int]:
    """Return the row of each free node: the longest way to it from another free node."""
    targets: dict[int, list[int]] = defaultdict(list)
    missing = dict.fromkeys(free, 0)
    for edge in edges:
        if edge.source in free and edge.target in free:
            targets[edge.source].append(edge.target)
            missing[edge.target] += 1
    ranks = dict.fromkeys(free, 0)
    ready = sorted(number for number, count in missing.items() if count == 0)
    while ready:
        number = ready.pop()
        for target in targets[number]:
            ranks[target] = max(ranks[target], ranks[number] + 1)
            missing[target] -= 1
            if missing[target] == 0:
                ready.append(target)
    return ranks


def _place_row(
    places: dict[int, Place],
    nodes: dict[int, Node],
    columns: dict[int, Column],
    graph: Graph,
    rank: int,
    ranks: dict[int, int],
    below: set[int],
    free: set[int],
    y: float,
    *,
    lower: bool,
) -> None:
    """Place one row of free nodes: a box for a time step, a bar for what spans several."""
    row = sorted(n for n in free if ranks[n] == rank and (n in below) == lower)
    first = min((column.x for column in columns.values()), default=0.0)
    last = max((column.x for column in columns.values()), default=0.0)
    shift: dict[int, int] = defaultdict(int)
    for number in row:
        node = nodes[number]
        if node.step is not None and node.step in columns:
            column = columns[node.step]
            width = max(column.width, CELL_WIDTH) - (10 if column.elided else 0)
            # Several nodes of one step and row stand on top of each other, a little higher each.
            places[number] = Place(column.x, y + 32 * shift[node.step], width, BOX_HEIGHT)
            shift[node.step] += 1
            continue
        near = [places[n] for n in _neighbours(graph, number) if n in places]
        left = min((place.left for place in near), default=first) if not lower else first
        right = max((place.right for place in near), default=last) if not lower else last
        middle, width = (left + right) / 2, right - left + 16
        if width < 2 * CELL_WIDTH:
            width = 2 * CELL_WIDTH
        places[number] = Place(middle, y + 32 * shift[-1], width, BOX_HEIGHT)
        shift[-1] += 1


def _neighbours(graph: Graph, number: int) -> list[int]:
    return [edge.source for edge in graph.edges if edge.target == number]


def _shape_band(band: Band) -> None:
    count = max(1, len(band.lanes))
    # A single lane leaves room for the name of the cell above it.
    extra = 14.0 if count == 1 else 0.0
    band.height = 2 * LANE_MARGIN + (count - 1) * LANE_DISTANCE + extra
    for index, name in enumerate(band.lanes):
        band.lane_y[name] = band.top - extra - LANE_MARGIN - index * LANE_DISTANCE


def _place_in_band(node: Node, bands: dict[BandKey, Band], columns: dict[int, Column]) -> Place:
    band = bands[band_key(node)]
    column = columns[node.step if node.step is not None else min(columns)]
    if not is_state(node):
        return Place(column.x, band.bottom + band.height / 2, column.width, band.height)
    y = band.lane_y[node.state]
    if node.kind == "elided":
        return Place(column.x, y, column.width, PILL_HEIGHT)
    width = max(25.0, 6.0 * len(pill_text(node)) + 9.0)
    hidden = len(band.lanes) > 1 and node.state == band.lanes[-1]
    offset = column.width / 2 + (43.5 if hidden else 18.0 if len(band.lanes) > 1 else 20.0)
    return Place(column.x + (-offset if node.reverse else offset), y, width, PILL_HEIGHT)


def pill_text(node: Node) -> str:
    """Return the short label of a state: its name and step."""
    return f"{node.state[:4]}{'' if node.step is None else node.step}"
