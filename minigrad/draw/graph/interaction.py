"""What an interactive picture may know beyond its graph: norms by loss step, and by route.

Plain records again, one for each lane: the state `c` of layer 0 is one lane, with a number for
each time step. Analyses fill them, the page of `minigrad.draw.pages.html` reads them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from minigrad.draw.graph.errors import GraphFormatError
from minigrad.draw.graph.records import well_formed
from minigrad.restoring import errstate

MOST_ROUTES: Final = 12


@dataclass(frozen=True, slots=True)
class LossNorms:
    """The norms |dL_k/ds_t| of one lane, for each chosen loss step k and each time step t.

    Fields:
        state, layer, reverse: the lane; as in `PictureNode`.
        steps: the time steps t.
        loss_steps: the loss steps k, in rising order.
        norms: one row for each loss step, with one norm for each time step.

    Raises GraphFormatError if the sizes do not fit, or the loss steps do not rise.
    """

    state: str
    steps: tuple[int, ...]
    loss_steps: tuple[int, ...]
    norms: tuple[tuple[float, ...], ...]
    layer: int | None = None
    reverse: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", well_formed(self.state))
        if list(self.loss_steps) != sorted(set(self.loss_steps)):
            raise GraphFormatError("LossNorms.loss_steps must rise")
        _check_rows("LossNorms.norms", self.norms, len(self.loss_steps), len(self.steps))


@dataclass(frozen=True, slots=True)
class RouteProducts:
    """The gradient of one lane split by route, as inner products.

    The gradient of s_t is the sum of one part for each route. With the inner products <part_i,
    part_j> the norm of any choice of routes is exact; it does not follow from the norms of the
    parts.

    Fields:
        state, layer, reverse: the lane; as in `PictureNode`.
        routes: names of the routes, twelve at most.
        steps: the time steps t.
        products: one row for each time step, with <part_i, part_j> for i <= j, row by row of the
            upper triangle: 00, 01, 02, 11, 12, 22 for three routes.
        scales: for each time step, the length in whose square the products are given, so that
            they neither under- nor overflow; 1 everywhere if empty. See `inner_products`.

    Raises GraphFormatError if the sizes do not fit, or there are more routes.
    """

    state: str
    routes: tuple[str, ...]
    steps: tuple[int, ...]
    products: tuple[tuple[float, ...], ...]
    layer: int | None = None
    reverse: bool = False
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", well_formed(self.state))
        object.__setattr__(self, "routes", tuple(well_formed(name) for name in self.routes))
        count = len(self.routes)
        if count > MOST_ROUTES or len(set(self.routes)) != count:
            raise GraphFormatError(
                f"RouteProducts.routes must be at most {MOST_ROUTES} different names, got {count}"
            )
        _check_rows(
            "RouteProducts.products", self.products, len(self.steps), count * (count + 1) // 2
        )
        if len(self.scales) not in (0, len(self.steps)):
            raise GraphFormatError(
                f"RouteProducts.scales must be empty or {len(self.steps)} numbers, "
                f"got {len(self.scales)}"
            )


@dataclass(frozen=True, slots=True)
class Interaction:
    """All extra numbers of one interactive picture; each lane occurs once at most in either."""

    loss_norms: tuple[LossNorms, ...] = ()
    route_products: tuple[RouteProducts, ...] = ()


def thinned(lanes: Sequence[LossNorms], most: int) -> list[LossNorms]:
    """Return the lanes with few enough loss steps for so many numbers, the last one included."""
    total = sum(len(lane.steps) * len(lane.loss_steps) for lane in lanes)
    stride = max(1, math.ceil(total / most))
    found = []
    for lane in lanes:
        kept = range(len(lane.loss_steps) - 1, -1, -stride)[::-1]
        found.append(
            dataclasses.replace(
                lane,
                loss_steps=tuple(lane.loss_steps[place] for place in kept),
                norms=tuple(lane.norms[place] for place in kept),
            )
        )
    return found


def inner_products(parts: Sequence[Any]) -> tuple[float, tuple[float, ...]]:
    """Return the scale and the products of one row of `RouteProducts`.

    Args:
        parts: one array for each route, all of one shape.

    >>> inner_products([[3e-200, 0.0], [0.0, 4e-200]])
    (4e-200, (0.5625, 0.0, 1.0))
    """
    rows = np.asarray(parts, np.float64).reshape(len(parts), -1)
    scale = float(np.abs(rows).max(initial=0.0))
    with errstate(all="ignore"):
        unit = rows / scale if scale > 0 else rows
        table = unit @ unit.T
    return scale, tuple(table[np.triu_indices(len(rows))].tolist())


def _check_rows(name: str, rows: tuple[tuple[float, ...], ...], count: int, width: int) -> None:
    if len(rows) != count or any(len(row) != width for row in rows):
        widths = sorted({len(row) for row in rows})
        raise GraphFormatError(
            f"{name} must be {count} rows of {width} numbers, got {len(rows)} rows of {widths}"
        )
