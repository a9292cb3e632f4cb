"""Points, curves and boxes as Graphviz reads them: the values of `pos`, `width` and `height`."""

from __future__ import annotations

import math
from typing import TypeAlias

__all__ = ["Point", "bend", "coordinates", "head_base", "line", "placed", "with_head"]

Point: TypeAlias = tuple[float, float]


def line(start: Point, end: Point) -> tuple[Point, ...]:
    """Return a straight line as one cubic curve."""
    (x0, y0), (x1, y1) = start, end
    return (
        start,
        (x0 + (x1 - x0) / 3, y0 + (y1 - y0) / 3),
        (x0 + (x1 - x0) * 2 / 3, y0 + (y1 - y0) * 2 / 3),
        end,
    )


def bend(start: Point, end: Point) -> tuple[Point, ...]:
    """Return a curve that leaves `start` and enters `end` vertically."""
    (x0, y0), (x1, y1) = start, end
    middle = (y0 + y1) / 2
    return (start, (x0, middle), (x1, middle), end)


def head_base(tip: Point, before: Point, head: float) -> Point:
    """Return where the head of an arrow begins, whose tip is at the end of a curve.

    Args:
        tip: the end of the curve.
        before: the control point before it.
        head: how long the head is; in a short curve it is shorter.
    """
    length = math.hypot(tip[0] - before[0], tip[1] - before[1]) or 1.0
    part = min(head, 0.9 * length) / length
    return tip[0] - (tip[0] - before[0]) * part, tip[1] - (tip[1] - before[1]) * part


def with_head(points: tuple[Point, ...], head: float) -> str:
    """Return a DOT `pos` for a chain of curves whose last point is the tip of an arrow head.

    The curve itself ends `head` points before the tip, where the head's base is.
    """
    base = head_base(points[-1], points[-2], head)
    curve = " ".join(coordinates(point) for point in (*points[:-1], base))
    return f"e,{coordinates(points[-1])} {curve}"


def placed(centre: Point, width: float, height: float) -> dict[str, str]:
    """Return the attributes of a box with its centre and size, in points."""
    return {
        "pos": coordinates(centre),
        "width": f"{width / 72:.4f}",
        "height": f"{height / 72:.4f}",
    }


def coordinates(point: Point) -> str:
    """Return `x,y` rounded to a hundredth of a point, never with an exponent or `-0`."""
    return ",".join(
        f"{round(value, 2) + 0.0:g}" if abs(value) < 1e5 else f"{value:.2f}" for value in point
    )
