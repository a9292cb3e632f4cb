"""The lines between the boxes of the cell picture, as Bezier curves in Graphviz's notation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from minigrad.draw.graph.records import PictureNode
from minigrad.draw.render.geometry import Point, bend, line
from minigrad.draw.render.grid import Grid, Place, band_key, is_state

_FORWARD_SHIFT: Final = 5.0
_GRADIENT_SHIFT: Final = -4.0
_LANE_SHIFT: Final = 9.5


@dataclass(frozen=True, slots=True)
class EdgeCurves:
    """One edge of a picture: the gradient's curves back, the values' forward, and the number.

    `backward` and `forward` are chains of cubic curves: 1 + 3 n points. Either is empty if the
    line is not drawn. `number` is the centre of the text, or None where there is no room for it.
    """

    backward: tuple[Point, ...]
    forward: tuple[Point, ...]
    number: Point | None


def curves_of(
    grid: Grid, source: PictureNode, target: PictureNode, sibling: int = 0
) -> EdgeCurves | None:
    """Return the curves of the edge source -> target, or None if it is part of another one.

    `sibling` counts the edges between the same two nodes, which must not hide each other.
    """
    start, end = grid.places.get(source.id), grid.places.get(target.id)
    if start is None or end is None:
        return None
    source_in_band = source.layer is not None or is_state(source)
    target_in_band = target.layer is not None or is_state(target)
    if source_in_band and target_in_band and band_key(source) == band_key(target):
        if source.time == target.time:
            return _within_step(grid, source, target, start, end)
        if is_state(source):
            return _lane(grid, source, target, start, sibling)
    return _upward(grid, source, target, start, end, sibling)


def _within_step(
    grid: Grid, source: PictureNode, target: PictureNode, start: Place, end: Place
) -> EdgeCurves | None:
    """Between a cell and its own states, or from one state to another of the same step."""
    if source.kind == "elided" or target.kind == "elided":
        return None
    side = -1 if target.reverse else 1
    if is_state(source) and is_state(target):
        return EdgeCurves(
            line((end.x - side * 8, _near(end, start)), (start.x + side, _near(start, end))),
            line((start.x - side * 7, _near(start, end)), (end.x - side * 12, _near(end, start))),
            None,
        )
    if is_state(target):
        if (band_key(target), target.state, target.time) in grid.fed:
            return None
        cell_edge = start.x + side * start.width / 2
        pill_edge = end.x - side * end.width / 2
        if abs(pill_edge - cell_edge) < 8:
            return None
        return EdgeCurves((), line((cell_edge, end.y), (pill_edge, end.y)), None)
    # A state that its own cell reads again (the output gate reads c): over the pill of h.
    hidden = [lane for lane in grid.bands[band_key(source)].lanes if lane != source.state]
    if not hidden:
        return None
    y = grid.bands[band_key(source)].lane_y[hidden[-1]]
    side = -1 if source.reverse else 1
    return EdgeCurves(
        line((start.x + side * 14, y + 9), (start.x + side * 2, start.bottom)), (), None
    )


def _near(place: Place, other: Place) -> float:
    return place.top if other.y > place.y else place.bottom


def _lane(
    grid: Grid, source: PictureNode, target: PictureNode, start: Place, sibling: int
) -> EdgeCurves:
    """Along a lane, from one step to the next: straight through the cell."""
    band = grid.bands[band_key(source)]
    side = -1 if source.reverse else 1
    cell = grid.places[target.id]
    y = band.lane_y[source.state] + (0, -8, 8, -16, 16)[sibling % 5]
    begin = start.x + side * start.width / 2
    last = source.state == band.lanes[-1]
    shift = _LANE_SHIFT if last and len(band.lanes) > 1 else -_LANE_SHIFT
    if target.kind == "elided":
        stop = cell.x - side * cell.width / 2
        number = None
    else:
        offset = grid.columns[target.time or 0].width / 2 if target.time is not None else 0
        stop = cell.x + side * offset
        pill = _state_pill(grid, target, source.state)
        if pill is not None:
            stop = pill.x - side * pill.width / 2
        above = 14.0 if not last or len(band.lanes) == 1 else -14.0
        number = (cell.x, y + above) if sibling == 0 else None
    backward = line((stop, y), (begin + side * 1.5, y))
    forward: tuple[Point, ...] = ()
    if sibling == 0:
        forward = line((begin, y + shift * 0.75), (stop, y + shift * 0.75))
    return EdgeCurves(backward, forward, number)


def _state_pill(grid: Grid, cell: PictureNode, state: str) -> Place | None:
    """Return the place of the state `state` that the given cell makes, if it is shown."""
    return grid.pills.get((band_key(cell), state, cell.time))


def _upward(
    grid: Grid, source: PictureNode, target: PictureNode, start: Place, end: Place, sibling: int
) -> EdgeCurves:
    """From a row to one above it: straight up where possible, else bent in the free corridor."""
    x0, y0 = start.x, start.top
    if source.kind == "elided" and is_state(source):
        y0 = grid.bands[band_key(source)].top
    x1, y1 = end.x, end.bottom
    if end.width > 1.5 * grid.widest_cell or target.time is None:
        x1 = min(max(x0, end.left + 8), end.right - 8)
    if start.width > 1.5 * grid.widest_cell or source.time is None:
        x0 = min(max(x1, start.left + 8), start.right - 8)
    # A line that goes up from a state keeps its thick part away from the lane of c beside it.
    sign = -1 if is_state(source) and source.kind != "elided" and not source.reverse else 1
    shift = 9.0 * sibling
    x0, x1 = x0 + shift, x1 + shift
    if y1 <= y0:
        # No edge of a recurrent network leads down; one of a graph made by hand may.
        curve = bend((x0, start.bottom), (x1, end.top))
        return EdgeCurves(tuple(reversed(curve)), curve, None)
    if source.layer is None and target.layer is None and not is_state(source):
        blocking = [
            place
            for place in grid.places.values()
            if y0 < place.bottom and place.top < y1
            if place.left < max(x0, x1) + 8 and min(x0, x1) - 8 < place.right
        ]
        if blocking:
            return _around(start, end, blocking, sibling)
    between = [band for band in grid.bands.values() if band.bottom >= y0 - 0.5 and band.top < y1]
    own_top = y0
    if is_state(source) and source.kind != "elided":
        own_top = min(grid.bands[band_key(source)].top, y1 - 10)
    # The line bends in the corridor below its target, above all bands that it has to pass.
    corridor = max([own_top, *(band.top for band in between)])
    if not between and not is_state(source) and target.layer is not None:
        corridor = y1 - min(40.0, (y1 - y0) * 0.8)
    bypass = bool(between) and not is_state(source)
    if bypass:
        x0 -= 16  # beside the line to the cell right above, which starts in the middle

    def chain(offset: float) -> tuple[Point, ...]:
        a, b = (x0 + offset, y0), (x0 + offset, corridor)
        head: tuple[Point, ...] = (a,)
        if bypass:
            # Beside the cells in between, where none of their states is drawn.
            beside = end.left - grid.beside + offset
            first = min(band.bottom for band in between)
            b = (beside, corridor)
            head = (*bend(a, (beside, first)), *line((beside, first), b)[1:])
        elif corridor - y0 >= 0.5:
            head = line(a, b)
        tail = bend(b, (x1 + offset, y1)) if abs(x1 + offset - b[0]) > 0.5 else line(b, (b[0], y1))
        return (*head, *tail[1:])

    narrow = is_state(source) and is_state(target)
    # Where layers read backwards, lines that pass a cell keep to its left.
    beside_right = not between and any(band.key[1] for band in grid.bands.values())
    right = beside_right and target.layer is not None
    side = 1 if right or (is_state(source) and source.reverse) else -1
    number = None if narrow or sibling else (x1 + side * 28, y1 - 12)
    return EdgeCurves(
        tuple(reversed(chain(sign * _GRADIENT_SHIFT))), chain(sign * _FORWARD_SHIFT), number
    )


def _around(start: Place, end: Place, blocking: list[Place], sibling: int) -> EdgeCurves:
    """From a row to one above it, to the right of the boxes in between."""
    beside = max(place.right for place in blocking) + 12 + 9.0 * sibling
    low = min(place.bottom for place in blocking)
    high = max(place.top for place in blocking)

    def chain(offset: float) -> tuple[Point, ...]:
        turns = (beside + offset, low), (beside + offset, high)
        return (
            *bend((start.right - 12 + offset, start.top), turns[0]),
            *line(*turns)[1:],
            *bend(turns[1], (end.right - 12 + offset, end.bottom))[1:],
        )

    number = None if sibling else (beside + 26, (low + high) / 2)
    return EdgeCurves(tuple(reversed(chain(_GRADIENT_SHIFT))), chain(_FORWARD_SHIFT), number)
