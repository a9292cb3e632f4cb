"""From measured gradients to what an interactive page knows about each lane of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.analysis.time_measure import TimeMeasure
from minigrad.draw.graph.interaction import MOST_ROUTES, Interaction, LossNorms, RouteProducts
from minigrad.draw.graph.records import Picture


def interaction_of(times: TimeMeasure, graph: Picture) -> Interaction:
    """Return the norms by loss step and by route of all lanes that the graph shows.

    Args:
        times: what `backprop_through_time` measured.
        graph: of level `cells`, drawn from the same loss.
    """
    places = {
        (node.layer, node.state): (node.layer, node.reverse)
        for node in graph.nodes
        if node.kind == "state"
    }
    losses: list[LossNorms] = []
    routes: list[RouteProducts] = []
    parts = times.routes
    for lane in times.lanes:
        place = places.get((times.states.layers[lane.lane.cell], lane.lane.state))
        if place is None:
            continue
        layer, reverse = place
        losses.append(_loss_norms(lane, layer, reverse))
        steps = sorted(step for known, step in parts.states if known == lane.lane)
        rows = [parts.states[lane.lane, step].inner for step in steps]
        if steps and 1 < len(parts.names) <= MOST_ROUTES:
            routes.append(
                RouteProducts(
                    lane.lane.state,
                    tuple(parts.names),
                    tuple(steps),
                    tuple(products for _, products in rows),
                    layer,
                    reverse,
                    tuple(scale for scale, _ in rows),
                )
            )
    return Interaction(tuple(losses), tuple(routes))


def _loss_norms(lane: LaneGradients, layer: int | None, reverse: bool) -> LossNorms:
    """Return the triangle of one lane; states that a loss step does not depend on have norm 0."""
    order = np.argsort(lane.loss_steps)
    losses, steps = lane.loss_steps[order] + lane.offset, lane.steps + lane.offset
    triangle = np.array(lane.triangle, np.float64)[order].reshape(len(losses), len(steps))
    distance = losses[:, None] - steps[None, :]
    triangle[(distance > 0) if lane.backwards else (distance < 0)] = 0.0
    return LossNorms(
        lane.lane.state,
        _integers(steps),
        _integers(losses),
        tuple(tuple(row) for row in triangle.tolist()),
        layer,
        reverse,
    )


def _integers(values: Sequence[int] | np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
