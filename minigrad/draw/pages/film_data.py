"""A film of training as compact JSON for the interactive page: one column of numbers a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from minigrad.draw.graph.film_frames import FilmFrame, FilmRecord, GateCurve
from minigrad.draw.graph.interaction import thinned
from minigrad.draw.pages.page_lanes import Texts, loss_lane, route_lane
from minigrad.draw.pages.page_numbers import column, number, size_span
from minigrad.draw.style import escape
from minigrad.draw.style.palette import curve_colors
from minigrad.draw.style.theme import THEMES

__all__ = ["MEMORY_GATES", "film_data", "gate_of", "norms_for_each", "shown_gates"]

MEMORY_GATES: Final = ("forget gate", "update gate")
"""The gates that say how much of a state is kept."""

_MOST_NUMBERS: Final = 320_000
"""Norms by loss step of all frames: beyond that, fewer loss steps are kept in each."""
_GATE_PARTS: Final = 500
"""The smallest part of a gate's range that the page tells apart: finer than a dot of its chart."""


def film_data(film: FilmRecord) -> dict[str, Any]:
    """Return everything that the page knows about a film beyond the graph of its frames."""
    texts = Texts()
    gates = shown_gates(film)
    most = norms_for_each(film)
    data = {
        "steps": column([frame.step for frame in film.frames]),
        "losses": [number(frame.loss, 4) for frame in film.frames],
        "gates": [
            {
                "cell": texts.place(gate.cell),
                "name": texts.place(gate.name),
                "at": list(gate.steps),
                "memory": int(gate.name in MEMORY_GATES),
            }
            for gate in gates
        ],
        "frames": [_frame(frame, gates, texts, most) for frame in film.frames],
        "range": _range(film),
        "colors": {name: curve_colors(name) for name in THEMES},
    }
    return {**data, "texts": list(texts.places)}


def norms_for_each(film: FilmRecord) -> int:
    """How many norms by loss step the page holds of each frame."""
    return max(1, _MOST_NUMBERS // len(film.frames))


def shown_gates(film: FilmRecord) -> list[GateCurve]:
    """The gates between 0 and 1 that a film begins with."""
    first = film.frames[0].gates if film.frames else ()
    return [gate for gate in first if gate.op in ("sigmoid", "hardsigmoid")]


def gate_of(frame: FilmFrame, wanted: GateCurve) -> GateCurve | None:
    """The same gate in another frame; None where it was not measured at the same steps."""
    for gate in frame.gates:
        if (gate.cell, gate.name, gate.steps) == (wanted.cell, wanted.name, wanted.steps):
            return gate
    return None


def _frame(frame: FilmFrame, gates: Sequence[GateCurve], texts: Texts, most: int) -> dict[str, Any]:
    return {
        "diagnosis": [escape.printable(escape.shorten(line, 1000)) for line in frame.diagnosis],
        "edge_norm": _numbers(frame.edge_norms),
        "edge_share": _numbers(frame.edge_shares),
        "gradient_norm": _numbers(frame.gradient_norms),
        "value_norm": _numbers(frame.value_norms),
        "loss": [loss_lane(lane, texts) for lane in thinned(frame.loss_norms, most)],
        "routes": [route_lane(lane, texts) for lane in frame.route_products],
        "gates": [_gate(gate_of(frame, gate)) for gate in gates],
    }


def _numbers(values: Sequence[float | None]) -> Any:
    return column([number(value, 4) for value in values])


def _gate(gate: GateCurve | None) -> list[Any] | None:
    """Mean, 10 % and 90 % quantile, most open unit, in parts of the range; None where unknown."""
    if gate is None or not all(math.isfinite(value) for value in (*gate.mean, *gate.low)):
        return None
    return [
        column([round(_GATE_PARTS * value) for value in values])
        for values in (gate.mean, gate.low, gate.high, gate.most_open)
    ] + [_GATE_PARTS]


def _range(film: FilmRecord) -> list[float]:
    """The span of all norms at states, in log10, so that the curves of all frames compare."""
    states = [place for place, node in enumerate(film.nodes) if node.kind == "state"]
    norms = [frame.gradient_norms[place] for frame in film.frames for place in states]
    low, high, _ = size_span([norm for norm in norms if norm is not None])
    return [low, high]
