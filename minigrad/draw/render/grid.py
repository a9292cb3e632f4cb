"""The layout of the picture of an unrolled recurrent network.

Columns are time steps, bands are layers, and inside a band each carried state has its own lane:
the cell state of an LSTM runs straight along the top, the hidden state along the bottom. One step
is laid out by hand and repeated at an offset, so a thousand steps need no more work by Graphviz
than one. All lengths are in points, the y axis points up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from minigrad.draw.graph.passes import nodes_behind
from minigrad.draw.graph.records import Edge, Picture, PictureNode

CELL_WIDTH: Final = 56.0
ELIDED_WIDTH: Final = 124.0
BOX_HEIGHT: Final = 26.0
PILL_HEIGHT: Final = 18.0
LANE_DISTANCE: Final = 48.0
LANE_MARGIN: Final = 27.0
ROW_DISTANCE: Final = 68.0
STACK_DISTANCE: Final = 34.0
BAND_DISTANCE: Final = 64.0
HEADER_WIDTH: Final = 132.0
TWO_LANES_ROOM: Final = 60.0
ONE_LANE_ROOM: Final = 40.0
ELIDED_ROOM: Final = 40.0
"""Extra room at the side of an elided column that the gradient leaves through."""

BESIDE: Final = 10.0
"""How far left of a cell a line passes it."""
PASSAGE: Final = 6.0
"""Half of the room for such a line between the states of two columns, if any layer is reversed."""

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
    """One time step, or a run of elided ones; `x` is the centre of its cells.

    `step` and `last_step` are places on the time line of the picture, `offset` is that of step 0.
    """

    step: int
    last_step: int
    offset: int
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
    """The finished layout: the places of all boxes. Nodes that are not in `places` are not drawn.

    `fed` holds the states that a lane leads to, `pills` the places of the states that are shown,
    both by band, name of the state and time step. A line that passes cells runs `beside` points to
    their left, where no state is drawn.
    """

    columns: dict[int, Column]
    bands: dict[BandKey, Band]
    places: dict[int, Place]
    parameters: dict[BandKey | None, list[PictureNode]]
    axis_y: float
    left: float
    right: float
    top: float
    fed: set[tuple[BandKey, str, int | None]]
    pills: dict[tuple[BandKey, str, int | None], Place]
    beside: float
    widest_cell: float = ELIDED_WIDTH


def band_key(node: PictureNode) -> BandKey:
    """Return the band of a cell or state; a network without layer numbers has one band."""
    return (node.layer or 0, node.reverse)


def is_state(node: PictureNode) -> bool:
    """Return whether a node is a carried state, shown or elided."""
    return node.kind == "state" or (node.kind == "elided" and bool(node.state))


def lay_out(graph: Picture) -> Grid:
    """Return positions for all nodes of a graph of level `cells`."""
    cells = _cells(graph)
    lanes = _lanes(graph)
    room, reverse_room = _rooms(graph, lanes)
    columns = _columns(graph, room + reverse_room, reverse_room)
    nodes = {node.id: node for node in graph.nodes}
    in_band = cells | {node.id for node in graph.nodes if is_state(node)}
    free, below, parameters = _free_nodes(graph, in_band)
    ranks = _ranks(graph.edges, free)

    places: dict[int, Place] = {}
    y = 0.0
    axis_y = y
    y += 12.0
    # Boxes of single steps and bars across several never share a row.
    rows: dict[tuple[bool, int, bool], list[PictureNode]] = defaultdict(list)
    for number in sorted(free):
        is_bar = nodes[number].step is None
        rows[number not in below, ranks[number], is_bar].append(nodes[number])
    has_rows_below = False
    for row_key in sorted(key for key in rows if not key[0]):
        y += BOX_HEIGHT / 2 + 8
        y += _place_row(places, rows[row_key], columns, {}, y, room)
        y += ROW_DISTANCE - BOX_HEIGHT / 2
        has_rows_below = True
    if not has_rows_below:
        y += 16.0
    bands: dict[BandKey, Band] = {}
    for key in sorted(lanes):
        bands[key] = band = Band(key, lanes[key], bottom=y)
        _shape_band(band)
        y = band.top + BAND_DISTANCE
    for number in sorted(in_band):
        places[number] = _place_in_band(nodes[number], bands, columns, room)
    y = max((band.top for band in bands.values()), default=y) + ROW_DISTANCE - BOX_HEIGHT / 2
    sources: dict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        sources[edge.target].append(edge.source)
    for row_key in sorted(key for key in rows if key[0]):
        y += _place_row(places, rows[row_key], columns, sources, y, room) + ROW_DISTANCE
    top = max([place.top for place in places.values()], default=0.0)
    right = max([place.right for place in places.values()], default=0.0) + 8
    pills = {
        (band_key(node), node.state, node.time): places[node.id]
        for node in graph.nodes
        if is_state(node) and node.kind != "elided"
    }
    fed = {
        (band_key(nodes[edge.target]), nodes[edge.source].state, nodes[edge.target].time)
        for edge in graph.edges
        if is_state(nodes[edge.source]) and edge.target in cells
        if nodes[edge.source].time != nodes[edge.target].time
    }
    beside = room + PASSAGE if reverse_room else BESIDE
    return Grid(
        columns, bands, places, parameters, axis_y, -HEADER_WIDTH, right, top, fed, pills, beside
    )


def _cells(graph: Picture) -> set[int]:
    return {
        node.id
        for node in graph.nodes
        if node.layer is not None and node.time is not None and not is_state(node)
        if node.kind in ("group", "op", "elided")
    }


def _lanes(graph: Picture) -> dict[BandKey, tuple[str, ...]]:
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


def _rooms(graph: Picture, lanes: dict[BandKey, tuple[str, ...]]) -> tuple[float, float]:
    """Return the room for the states to the right of each cell, and for those to its left."""
    two_lanes = any(len(names) > 1 for names in lanes.values())
    longest = max((len(pill_text(node)) for node in graph.nodes if node.kind == "state"), default=0)
    room = (TWO_LANES_ROOM if two_lanes else ONE_LANE_ROOM) + 6.0 * max(0, longest - 3)
    if not any(node.reverse for node in graph.nodes):
        return room, 0.0
    return room, room + 2 * PASSAGE


def _columns(graph: Picture, pill_room: float, start: float) -> dict[int, Column]:
    """Return the column of every time step that starts one, from left to right."""
    spans: dict[int, tuple[int, bool, int]] = {}
    offsets: dict[int, int] = {}
    has_cell: set[int] = set()
    for node in graph.nodes:
        if node.time is None:
            continue
        elided = node.kind == "elided"
        offsets.setdefault(node.time, node.offset)
        last = node.time if node.last_time is None else node.last_time
        known = spans.get(node.time, (last, elided, 1))
        count = max(known[2], last - node.time + 1)
        spans[node.time] = (max(last, known[0]), elided or known[1], count)
        if not is_state(node):
            has_cell.add(node.time)
    reverse = any(node.reverse for node in graph.nodes)
    columns: dict[int, Column] = {}
    x = start
    for step in sorted(spans):
        last, elided, count = spans[step]
        before = next(reversed(columns.values()), None)
        apart = before is not None and (elided or before.offset != offsets[step])
        x += ELIDED_ROOM if apart else 0.0
        width = ELIDED_WIDTH if elided else CELL_WIDTH if step in has_cell else 0.0
        middle = x + width / 2
        columns[step] = Column(step, last, offsets[step], elided, count, middle, width)
        x += width + pill_room + (ELIDED_ROOM if elided and reverse else 0.0)
    return columns


def _free_nodes(
    graph: Picture, in_band: set[int]
) -> tuple[set[int], set[int], dict[BandKey | None, list[PictureNode]]]:
    """Return the nodes outside the bands, those of them below, and the parameters by band."""
    nodes = {node.id: node for node in graph.nodes}
    carries = {edge.source for edge in graph.edges if edge.contribution is not None}
    sources: dict[int, list[int]] = defaultdict(list)
    targets: dict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    below = nodes_behind(in_band, sources)
    free: set[int] = set()
    parameters: dict[BandKey | None, list[PictureNode]] = defaultdict(list)
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
    row: list[PictureNode],
    columns: dict[int, Column],
    sources: dict[int, list[int]],
    y: float,
    room: float,
) -> float:
    """Place one row of free nodes: a box for a time step, a bar for what spans several.

    Several nodes of one step stand on top of each other; returns the height that this adds.
    """
    first = min((column.x for column in columns.values()), default=0.0)
    last = max((column.x for column in columns.values()), default=0.0)
    stacked: dict[int | None, int] = defaultdict(int)
    for node in row:
        column = columns.get(node.time) if node.time is not None else None
        if column is not None:
            needed = 6.4 * len(node.op or node.name) + 10
            width = max(column.width, CELL_WIDTH, min(needed, CELL_WIDTH + room - 8))
            x = column.x
        else:
            near = [places[number] for number in sources.get(node.id, ()) if number in places]
            left = min((place.left for place in near), default=first - CELL_WIDTH / 2)
            right = max((place.right for place in near), default=last + CELL_WIDTH / 2)
            x, width = (left + right) / 2, max(right - left, 2 * CELL_WIDTH)
        key = node.time if column is not None else None
        places[node.id] = Place(x, y + STACK_DISTANCE * stacked[key], width, BOX_HEIGHT)
        stacked[key] += 1
    return STACK_DISTANCE * (max(stacked.values(), default=1) - 1)


def _shape_band(band: Band) -> None:
    count = max(1, len(band.lanes))
    # With two lanes the name of the cell stands between them, else above them all.
    extra = 0.0 if count == 2 else 20.0
    band.height = 2 * LANE_MARGIN + (count - 1) * LANE_DISTANCE + extra
    for index, name in enumerate(band.lanes):
        band.lane_y[name] = band.top - extra - LANE_MARGIN - index * LANE_DISTANCE


def _place_in_band(
    node: PictureNode, bands: dict[BandKey, Band], columns: dict[int, Column], room: float
) -> Place:
    band = bands[band_key(node)]
    column = columns[node.time if node.time is not None else min(columns)]
    if not is_state(node):
        return Place(column.x, band.bottom + band.height / 2, column.width, band.height)
    y = band.lane_y[node.state]
    if node.kind == "elided":
        return Place(column.x, y, column.width, PILL_HEIGHT)
    width = max(25.0, 6.0 * len(pill_text(node)) + 7.0)
    if len(band.lanes) == 1:
        offset = room / 2
    elif node.state == band.lanes[-1]:
        offset = room - 4.0 - width / 2
    else:
        offset = 5.5 + width / 2
    offset += column.width / 2
    return Place(column.x + (-offset if node.reverse else offset), y, width, PILL_HEIGHT)


def pill_text(node: PictureNode) -> str:
    """Return the short label of a state: its name and step."""
    return f"{node.state[:4]}{'' if node.step is None else node.step}"
