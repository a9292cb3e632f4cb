"""Lanes as data of a page: norms by loss step and by route, and the texts that they name."""

from __future__ import annotations

from typing import Any, Final

from minigrad.draw.graph.interaction import LossNorms, RouteProducts
from minigrad.draw.pages.page_numbers import WIDE, column, number, size_code, size_span
from minigrad.draw.style import escape

__all__ = ["LONGEST_TEXT", "Texts", "loss_lane", "route_lane"]

LONGEST_TEXT: Final = 400


class Texts:
    """Collects texts; each is stored once and named by its place."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        clean = escape.printable(escape.shorten(text, LONGEST_TEXT))
        return self.places.setdefault(clean, len(self.places))


def _lane_head(lane: LossNorms | RouteProducts, texts: Texts) -> dict[str, Any]:
    return {
        "state": texts.place(lane.state),
        "layer": lane.layer,
        "reverse": int(lane.reverse),
        "at": column(list(lane.steps)),
    }


def loss_lane(lane: LossNorms, texts: Texts) -> dict[str, Any]:
    """The norms of one lane by loss step, in few characters."""
    low, high, span = size_span([norm for row in lane.norms for norm in row])
    # Norms have no sign, so two digits give half a percent over twice as many decades.
    digits = 3 if span > 2 * WIDE else 2
    return {
        **_lane_head(lane, texts),
        "loss": column(list(lane.loss_steps)),
        "low": low,
        "high": high,
        "places": digits,
        "signed": 0,
        # Beyond the loss step all is 0, which need not be written.
        "rows": [
            "".join(size_code(norm, low, high, digits, signed=False) for norm in row).rstrip()
            for row in lane.norms
        ],
    }


def route_lane(lane: RouteProducts, texts: Texts) -> dict[str, Any]:
    """The parts of one lane by route, in few characters."""
    low, high, _ = size_span([value for row in lane.products for value in row])
    return {
        **_lane_head(lane, texts),
        "names": [texts.place(name) for name in lane.routes],
        "low": low,
        "high": high,
        "places": 3,
        "rows": ["".join(size_code(value, low, high, 3) for value in row) for row in lane.products],
        "scales": [number(value) for value in lane.scales or (1.0,) * len(lane.steps)],
    }
