"""Gradient routes: a gradient split by the paths that its parts took, in one backward pass.

Through a gated cell lead two kinds of routes: the highway, on which a state is handed on by
products and sums alone, and detours, one through each gate. Every part of a gradient carries a tag
for the route that it took. The ordinary derivative rule runs once for each tag, and an edge into a
gate hands its part on under another tag. So the parts add up to the gradient exactly, whatever the
rules are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from minigrad.core.nodes import Leaf, Node
from minigrad.debug.scopes import Scope, ScopeNames
from minigrad.draw.graph.interaction import inner_products
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.measure import norm_of, share_of
from minigrad.draw.reading.tape_states import Lane, States

__all__ = ["PRESETS", "EdgeRoutes", "RouteNames", "RouteParts", "RouteRow", "follow_routes"]

By: TypeAlias = Literal["gate", "count"]
RouteNames: TypeAlias = "str | Sequence[str] | Mapping[str, str] | None"

# The feed-forward branch is entered, from the stream back, through its second matrix.
PRESETS: Final[dict[str, dict[str, str]]] = {
    "residual": {
        "attention": "self_attn",
        "cross-attention": "multihead_attn",
        "feed-forward": "linear2",
    }
}
Places: TypeAlias = "tuple[str, Scope | None] | None"


class EdgeRoutes:
    """Which edges of a tape leave the highway, and the name of the route that begins there.

    Args:
        nodes: the tape, in the order of recording.
        names: scopes that routes lead through, by name, class name or path, wherever they are, as a
            list or as a mapping of the routes' names to those of scopes. "residual" stands for the
            branches of a Transformer's residual stream: attention, cross-attention, feed-forward.
            None takes what the cells themselves declare as `routes` (see
            `layers.Routes`).

    Attributes:
        names: of the routes beside the highway, in the order of their declaration.
        highway: the name of the highway.

    Raises ValueError for a name that no scope has.
    """

    def __init__(self, nodes: Sequence[Node], names: RouteNames = None) -> None:
        self.explicit: dict[str, str] | None = None  # by scope, the name of the route
        preset = isinstance(names, str)
        if isinstance(names, str):
            if names not in PRESETS:
                raise ValueError(
                    f"routes must be one of {', '.join(PRESETS)}, a list or a mapping; "
                    f"got {names!r}"
                )
            names = PRESETS[names]
        if names is not None:
            pairs = names.items() if isinstance(names, Mapping) else ((n, n) for n in names)
            self.explicit = {scope: name for name, scope in pairs}
        self._known: dict[Scope, Places] = {}
        self._names = ScopeNames(node.scope for node in nodes)
        highways: dict[str, None] = {}
        found: dict[str, None] = {}
        for scope in {node.scope: None for node in nodes}:
            for part in () if scope is None else scope.chain():
                routes = part.routes
                if self.explicit is None and routes is not None:
                    found.update(dict.fromkeys(routes.detours))
                    if routes.highway:
                        highways[routes.highway] = None
        if self.explicit is not None:
            seen = {
                word
                for scope in {node.scope: None for node in nodes}
                for part in (() if scope is None else scope.chain())
                for word in self._words(part)
            }
            missing = [name for name in self.explicit if name not in seen]
            if missing and (not preset or len(missing) == len(self.explicit)):
                known = sorted(word for word in seen if word)
                raise ValueError(
                    f"routes names {missing[0]!r}, which is no scope of this graph; there are "
                    f"{', '.join(known[:20]) or 'none'}"
                )
            found = dict.fromkeys(v for k, v in self.explicit.items() if k in seen)
        self.names = tuple(found)
        self.highway = f"highway ({', '.join(highways)})" if highways else "highway"

    def _words(self, scope: Scope) -> set[str]:
        """What a scope may be called by: its name, its class, and its path, in pictures or not."""
        return {scope.name, scope.kind, scope.path, self._names(scope)}

    def _place(self, scope: Scope | None) -> Places:
        """The route through a scope and the call that it belongs to; None on the highway."""
        if scope is None:
            return None
        if scope not in self._known:
            chain = scope.chain()
            place: Places = None
            if self.explicit is not None:
                for part in chain:
                    words = self._words(part)
                    name = next((v for k, v in self.explicit.items() if k in words), None)
                    if name is not None:
                        place = (name, part.origin)  # an opened kernel has copies of its scope
                        break
            else:
                declared: tuple[str, ...] = ()
                call: Scope | None = None
                for part in chain:
                    if part.routes is not None:
                        declared, call = part.routes.detours, part
                    if part.name in declared and part is not call:
                        # The step distinguishes calls where one scope holds all steps of a layer.
                        place = (part.name, part.parent and part.parent.origin)
            self._known[scope] = place
        return self._known[scope]

    def begun_by(self, node: Node, source: Node) -> str | None:
        """The name of the route that the edge from a node back to its source begins, or None."""
        here = self._place(node.scope)
        if here is None:
            return None
        there = self._place(source.scope)
        return here[0] if there is None or there[1] is not here[1] else None


@dataclass(frozen=True)
class RouteRow:
    """The parts of one gradient, route by route.

    Attributes:
        norms: of each part. They do not add up to the norm of the whole.
        shares: <part, whole> / |whole|^2, which add up to 1; None where the whole is 0 or not
            finite.
        inner: a length, and in its square <part_i, part_j> for i <= j, row by row: the norm of
            any choice of routes follows from them; see `minigrad.draw.graph.interaction`.
    """

    norms: tuple[float, ...]
    shares: tuple[float, ...] | None
    inner: tuple[float, tuple[float, ...]] = (0.0, ())


@dataclass(frozen=True)
class RouteParts:
    """The routes of a gradient to every state and every leaf.

    Attributes:
        names: of the routes; the first one is the highway.
        states: by lane and time.
        leaves: by node.
        wholes: the gradients themselves, where they were asked for.
    """

    names: tuple[str, ...]
    states: dict[tuple[Lane, int], RouteRow]
    leaves: dict[Leaf, RouteRow]
    wholes: dict[Node, Any]

    def series(
        self, lane: Lane, offset: int = 0
    ) -> tuple[list[int], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Time steps of a lane, its norms and shares (steps, routes); unknown shares are NaN.

        Args:
            lane: whose.
            offset: of its time axis, which is taken off the times.
        """
        times = sorted(time for known, time in self.states if known == lane)
        rows = [self.states[lane, time] for time in times]
        unknown = (np.nan,) * len(self.names)
        return (
            [time - offset for time in times],
            np.array([row.norms for row in rows]).reshape(len(rows), len(self.names)),
            np.array([unknown if row.shares is None else row.shares for row in rows]).reshape(
                len(rows), len(self.names)
            ),
        )


def follow_routes(
    seeds: Mapping[Node, Any],
    nodes: Sequence[Node],
    states: States,
    names: RouteNames = None,
    by: By = "gate",
    most: int = 3,
    keep: bool = False,
) -> RouteParts:
    """Split a gradient by the routes that its parts took within a cell.

    Args:
        seeds: the gradients to start from.
        nodes, states: the tape.
        names: of the routes, see `EdgeRoutes`.
        by: "gate" separates the highway, the routes through one gate alone, and those through
            several; "count" separates by the number of detours.
        most: with "count", the last route stands for this many detours or more.
        keep: also keep the gradients, for a check.

    Raises DrawError where saved arrays were freed, ValueError for unknown names or counts.
    """
    if by not in ("gate", "count"):
        raise ValueError(f"by must be 'gate' or 'count', got {by!r}")
    if most < 1:
        raise ValueError(f"most must be at least 1 detour, got {most}")
    edge_routes = EdgeRoutes(nodes, names)
    tags = {name: tag for tag, name in enumerate(edge_routes.names, 1)}
    if by == "count":
        counts = [f"{k} detour{'s' * (k > 1)}" for k in range(1, most)]
        routes = (edge_routes.highway, *counts, f"{most} or more detours")
        last = most
    else:
        # One tag more, for the routes through more than one of them.
        word = "several gates" if names is None else "several of them"
        several = (word,) if len(tags) > 1 else ()
        routes = (edge_routes.highway, *edge_routes.names, *several)
        last = len(routes) - 1

    def tag_after(node: Node, source: Node, tag: int) -> int:
        entered = states.lane_of.get(source)
        if entered is not None and states.cell_of(node) != entered[0].cell:
            return 0  # an edge into another layer, or from the loss, begins on the highway
        name = edge_routes.begun_by(node, source)
        if name is None:
            return tag
        if by == "count":
            return min(tag + 1, last)
        return tags[name] if tag in (0, tags[name]) else last

    rows: dict[tuple[Lane, int], RouteRow] = {}
    leaves: dict[Leaf, RouteRow] = {}
    wholes: dict[Node, Any] = {}

    def on_gradient(node: Node, parts: Adjoints) -> None:
        lane = states.lane_of.get(node)
        if lane is None and not isinstance(node, Leaf):
            return
        whole = sum_of(parts)
        row = split(parts, whole, len(routes))
        if lane is not None:
            rows[lane] = row
        elif isinstance(node, Leaf):
            leaves[node] = row
        if keep:
            wholes[node] = whole

    backward_pass(
        {node: {0: g} for node, g in seeds.items()}, on_gradient=on_gradient, tag_after=tag_after
    )
    return RouteParts(routes, rows, leaves, wholes)


def sum_of(parts: Adjoints) -> Any:
    """The whole gradient."""
    whole: Any = None
    for part in parts.values():
        whole = part if whole is None else whole + part
    return whole


def split(parts: Adjoints, whole: Any, count: int) -> RouteRow:
    """Norms, shares and inner products of the parts."""
    norms = tuple(norm_of(parts[tag]) if tag in parts else 0.0 for tag in range(count))
    scale = norm_of(whole)
    zero = np.zeros(np.size(whole))
    inner = inner_products([np.ravel(parts[k]) if k in parts else zero for k in range(count)])
    if not 0 < scale < np.inf:
        return RouteRow(norms, None, inner)
    shares = tuple(
        (share_of(parts[tag], whole, scale) or 0.0) if tag in parts else 0.0 for tag in range(count)
    )
    return RouteRow(norms, shares, inner)
