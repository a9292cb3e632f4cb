"""Positions for a large graph, in time that grows with its size: tiles of boxes in rows.

Graphviz's `dot` minimises crossings and the length of edges over the whole picture, which takes
minutes for a thousand boxes with edges from far away. Here the graph is cut into tiles: one for
each time step, for each part that is connected with nothing else, or for each stretch of a long
chain. A tile is laid out by itself, layer below layer (Sugiyama et al. 1981, with few passes), and
the tiles stand in rows like words, so the picture begins at its upper left and has the shape of a
screen. All lengths are in points; the y axis points down.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from minigrad.draw.graph.passes import nodes_behind
from minigrad.draw.graph.records import Picture

__all__ = ["Box", "Tile", "effort", "lay_out_tiles", "most_beside"]

BESIDE: Final = 16.0
TILE_MARGIN: Final = 18.0
TITLE_HEIGHT: Final = 18.0
TILE_DISTANCE: Final = 30.0
ASPECT: Final = 1.6
"""Width by height that the picture should have: that of a screen."""
LONGEST: Final = 12
"""Ranks that a connected part has at least before it is cut into stretches."""


@dataclass(slots=True)
class Box:
    """The centre and size of a node's box, and its tile and rank within it."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    tile: int = 0
    rank: int = 0


@dataclass(slots=True)
class Tile:
    """One frame: what it holds, its time step if it is of one, and where it lies.

    Attributes:
        members: ids of nodes.
        step: the time step, or None.
        row: the row of tiles that it stands in.
        left, top, width, height: of the frame.
        tops, bottoms: of each rank.
        reach: leftmost and rightmost border of the boxes of each rank.
    """

    members: list[int]
    step: int | None = None
    row: int = 0
    left: float = 0.0
    top: float = 0.0
    width: float = 0.0
    height: float = 0.0
    tops: list[float] = None  # type: ignore[assignment]  # filled by the layout
    bottoms: list[float] = None  # type: ignore[assignment]
    reach: list[tuple[float, float]] = None  # type: ignore[assignment]


Links = dict[int, list[int]]


def links_of(graph: Picture) -> tuple[Links, Links]:
    """The sources and the targets of each node, without edges that lead back to the next step."""
    sources: Links = defaultdict(list)
    targets: Links = defaultdict(list)
    for edge in graph.edges:
        if edge.kind != "rolled" and edge.source != edge.target:
            sources[edge.target].append(edge.source)
            targets[edge.source].append(edge.target)
    return sources, targets


def ranks_of(members: Sequence[int], sources: Links, targets: Links) -> dict[int, int]:
    """The layer of each node: the longest path to it, and as near to its readers as possible."""
    inside = set(members)
    missing = {n: sum(source in inside for source in sources[n]) for n in members}
    ranks = dict.fromkeys(members, 0)
    ready = sorted((n for n in members if not missing[n]), reverse=True)
    left = iter(sorted(members))
    done: dict[int, None] = {}  # in the order in which they are settled
    while len(done) < len(members):
        if not ready:  # a loop, which only a graph made by hand has: cut it at its first node
            ready.append(next(n for n in left if n not in done))
        number = ready.pop()
        if number in done:
            continue
        done[number] = None
        for target in targets[number]:
            if target in inside and target not in done:
                ranks[target] = max(ranks[target], ranks[number] + 1)
                missing[target] -= 1
                if missing[target] == 0:
                    ready.append(target)
    for number in reversed(done):
        readers = [ranks[target] for target in targets[number] if target in inside]
        if readers and sum(source in inside for source in sources[number]) <= len(readers):
            ranks[number] = max(ranks[number], min(readers) - 1)  # this makes its edges no longer
    return ranks


def effort(graph: Picture) -> float:
    """How much work `dot` has with a graph: the layers that all its edges cross, about.

    An edge across many layers becomes a chain of as many invisible nodes, and a label of it
    doubles them; parts beside each other make it compare their places.
    """
    sources, targets = links_of(graph)
    members = [node.id for node in graph.nodes]
    ranks = ranks_of(members, sources, targets)
    crossed = 0.0
    for edge in graph.edges:
        span = abs(ranks[edge.target] - ranks[edge.source])
        crossed += (1 + span) * (1 if edge.contribution is None else 2.5)
    return crossed + len(members) + 2.0 * max(Counter(ranks.values()).values(), default=0)


def most_beside(graph: Picture) -> int:
    """How many boxes the fullest rank of a graph has."""
    sources, targets = links_of(graph)
    ranks = ranks_of([node.id for node in graph.nodes], sources, targets)
    return max(Counter(ranks.values()).values(), default=0)


def lay_out_tiles(
    graph: Picture, sizes: Mapping[int, tuple[float, float]], gap: float
) -> tuple[dict[int, Box], list[Tile]]:
    """Place every node.

    Args:
        graph: what to draw.
        sizes: width and height of each node's box.
        gap: height between two ranks, with room for the numbers of gradients.
    """
    boxes = {node.id: Box(*sizes[node.id]) for node in graph.nodes}
    sources, targets = links_of(graph)
    tiles = _by_step(graph, sources) or _by_part(boxes, sources, targets, gap)
    for number, tile in enumerate(tiles):
        for member in tile.members:
            boxes[member].tile = number
        _arrange(tile, boxes, sources, targets, gap)
    _pack(tiles)
    for tile in tiles:
        for member in tile.members:
            boxes[member].x += tile.left
            boxes[member].y += tile.top
        tile.tops = [y + tile.top for y in tile.tops]
        tile.bottoms = [y + tile.top for y in tile.bottoms]
        tile.reach = [(a + tile.left, b + tile.left) for a, b in tile.reach]
    return boxes, tiles


def _by_step(graph: Picture, sources: Links) -> list[Tile]:
    """A tile for each time step, for what comes before all of them, and for what comes after."""
    steps = {node.id: node.step for node in graph.nodes if node.step is not None}
    if len(set(steps.values())) < 2:
        return []
    before = nodes_behind(steps, sources)
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for node in graph.nodes:
        step = steps.get(node.id)
        place = 1 if step is not None else 0 if node.id in before else 2
        groups[place, step or 0].append(node.id)
    return [
        Tile(groups[place, step], step if place == 1 else None) for place, step in sorted(groups)
    ]


def _by_part(boxes: Mapping[int, Box], sources: Links, targets: Links, gap: float) -> list[Tile]:
    """A tile for each connected part, or several for one that is long, from top to bottom."""
    tiles = []
    for part in _parts(boxes, sources, targets):
        ranks = ranks_of(part, sources, targets)
        levels: dict[int, list[int]] = defaultdict(list)
        for member in part:
            levels[ranks[member]].append(member)
        length = len(levels)
        tall = math.fsum(max(boxes[m].height for m in level) + gap for level in levels.values())
        wide = max(math.fsum(boxes[m].width + BESIDE for m in level) for level in levels.values())
        stretches = max(1, round(math.sqrt(ASPECT * tall / wide)))
        ranks_each = max(LONGEST, math.ceil(length / stretches))
        stretch = {member: ranks[member] // ranks_each for member in part}
        for member in part:
            if not sources[member] and targets[member]:  # in the stretch of its first reader
                stretch[member] = min(stretch[target] for target in targets[member])
        members: dict[int, list[int]] = defaultdict(list)
        for member in part:
            members[stretch[member]].append(member)
        tiles += [Tile(members[number]) for number in sorted(members)]
    return tiles


def _parts(boxes: Iterable[int], sources: Links, targets: Links) -> list[list[int]]:
    """The nodes that are connected with each other, part by part, in the order of their ids."""
    seen: set[int] = set()
    parts = []
    for start in boxes:
        if start in seen:
            continue
        seen.add(start)
        part, waiting = [], [start]
        while waiting:
            number = waiting.pop()
            part.append(number)
            for other in (*sources[number], *targets[number]):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        parts.append(sorted(part))
    return parts


def _arrange(tile: Tile, boxes: dict[int, Box], sources: Links, targets: Links, gap: float) -> None:
    """Place the boxes of one tile, relative to its upper left."""
    ranks = ranks_of(tile.members, sources, targets)
    rows: list[list[int]] = [[] for _ in range(1 + max(ranks.values()))]
    inside = set(tile.members)
    for member in tile.members:
        boxes[member].rank = ranks[member]
        rows[ranks[member]].append(member)
    rows = [row for row in rows if row]
    for rank, row in enumerate(rows):
        for member in row:
            boxes[member].rank = rank
    centre = dict.fromkeys(tile.members, 0.0)
    for row in rows:
        _spread(row, centre, boxes)
    for downwards in (True, False, True):
        for row in rows if downwards else reversed(rows):
            for member in row:
                near = (sources if downwards else targets)[member]
                found = [centre[other] for other in near if other in inside]
                if not found and downwards:
                    found = [centre[other] for other in targets[member] if other in inside]
                if found:
                    centre[member] = math.fsum(found) / len(found)
            row.sort(key=lambda member: (centre[member], member))
            _spread(row, centre, boxes)
    left = min(centre[m] - boxes[m].width / 2 for m in tile.members)
    right = max(centre[m] + boxes[m].width / 2 for m in tile.members)
    y = TILE_MARGIN + (TITLE_HEIGHT if tile.step is not None else 0.0)
    tile.tops, tile.bottoms, tile.reach = [], [], []
    for row in rows:
        height = max(boxes[m].height for m in row)
        for member in row:
            boxes[member].x = centre[member] - left + TILE_MARGIN
            boxes[member].y = y + height / 2
        tile.tops.append(y)
        tile.bottoms.append(y + height)
        ends = [(boxes[m].x - boxes[m].width / 2, boxes[m].x + boxes[m].width / 2) for m in row]
        tile.reach.append((min(a for a, _ in ends), max(b for _, b in ends)))
        y += height + gap
    # Edges that pass by the boxes need room at the right.
    skips = sum(
        boxes[m].rank - boxes[s].rank > 1 for m in tile.members for s in sources[m] if s in inside
    )
    tile.width = right - left + 2 * TILE_MARGIN + min(60.0, 14.0 * skips)
    tile.height = y - gap + TILE_MARGIN


def _spread(row: Sequence[int], centre: dict[int, float], boxes: Mapping[int, Box]) -> None:
    """Move the boxes of a row apart, as little as possible (isotonic regression)."""
    offsets = []
    offset = 0.0
    for before, member in zip([None, *row], row, strict=False):
        if before is not None:
            offset += (boxes[before].width + boxes[member].width) / 2 + BESIDE
        offsets.append(offset)
    pools: list[tuple[float, int]] = []  # mean place less offset, and how many share it
    for member, shift in zip(row, offsets, strict=True):
        mean, count = centre[member] - shift, 1
        while pools and pools[-1][0] >= mean:
            other, many = pools.pop()
            mean, count = (mean * count + other * many) / (count + many), count + many
        pools.append((mean, count))
    place = iter([mean for mean, count in pools for _ in range(count)])
    for member, shift in zip(row, offsets, strict=True):
        centre[member] = next(place) + shift


def _pack(tiles: Sequence[Tile]) -> None:
    """Arrange the tiles in rows, with about the shape of a screen."""
    area = math.fsum((t.width + TILE_DISTANCE) * (t.height + TILE_DISTANCE) for t in tiles)
    widest = max(tile.width for tile in tiles)
    whole = math.fsum(tile.width + TILE_DISTANCE for tile in tiles)
    # Rows of about the same length, so that no tile is alone in the last one.
    rows = max(1, round(whole / math.sqrt(ASPECT * area)))
    room = max(widest, whole / rows + widest / 2)
    x = y = tallest = 0.0
    row = 0
    for tile in tiles:
        if x and x + tile.width > room:
            x, y, tallest, row = 0.0, y + tallest + TILE_DISTANCE, 0.0, row + 1
        tile.left, tile.top, tile.row = x, y, row
        x += tile.width + TILE_DISTANCE
        tallest = max(tallest, tile.height)


def blocked(tile: Tile, start: Box, end: Box) -> bool:
    """Whether a straight line between two boxes of a tile would cross the boxes between them."""
    first, last = sorted((start.rank, end.rank))
    low, high = sorted((start.x, end.x))
    return any(a < high and low < b for a, b in tile.reach[first + 1 : last])


def passage(tile: Tile, start: Box, end: Box) -> float:
    """The x at which an edge passes the boxes between its ends, on the side that is nearer."""
    first, last = sorted((start.rank, end.rank))
    between = tile.reach[first + 1 : last]
    left, right = min(a for a, _ in between) - 12.0, max(b for _, b in between) + 12.0
    middle = (start.x + end.x) / 2
    return left if middle - left < right - middle and left > tile.left + 4 else right
