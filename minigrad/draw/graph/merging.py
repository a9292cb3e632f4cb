"""What one node or edge carries that stands for several: norms of parts and their range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from minigrad.draw.graph.records import Contribution, Edge, EdgeKind, PictureNode, Statistics

__all__ = [
    "combine_contributions",
    "combine_gradients",
    "gradient_norms",
    "merge_edges",
    "span_end",
    "total_norm",
    "total_seconds",
]


def combine_contributions(edges: Sequence[Edge]) -> Contribution | None:
    """Return the contribution of one edge that stands for `edges`, or None where unknown.

    Terms that go to different sources are parts of one long vector, so the norm of the whole is
    the root of the sum of squares: exact. Two terms into the same source add as vectors, and
    their norms alone do not tell the norm of the sum: then the answer is None.
    """
    terms = [edge.contribution for edge in edges]
    if len(terms) == 1:
        return terms[0]
    if not terms or any(term is None for term in terms):
        return None
    if len({edge.source for edge in edges}) != len(edges):
        return None
    known = [term for term in terms if term is not None]
    lows = [term.norm if term.lowest is None else term.lowest for term in known]
    highs = [term.norm if term.highest is None else term.highest for term in known]
    return Contribution(
        norm=total_norm([term.norm for term in known]),
        lowest=span_end(lows, smallest=True),
        highest=span_end(highs, smallest=False),
    )


def total_norm(norms: Sequence[float]) -> float:
    """Return the norm of a vector whose parts have the given norms, without overflow."""
    if any(math.isnan(norm) for norm in norms):
        return math.nan
    return math.hypot(*norms)


def span_end(values: Sequence[float], *, smallest: bool) -> float:
    """Return the smallest or largest of `values`; NaN if any of them is NaN."""
    if any(math.isnan(value) for value in values):
        return math.nan
    return min(values) if smallest else max(values)


def combine_gradients(nodes: Sequence[PictureNode]) -> Statistics | None:
    """Return the gradient of one node that stands for `nodes`, or None where any is unknown."""
    norms = gradient_norms(nodes)
    if len(norms) < len(nodes):
        return None
    finite = all(node.gradient is not None and node.gradient.finite for node in nodes)
    return Statistics(norm=total_norm(norms), finite=finite)


def gradient_norms(nodes: Sequence[PictureNode]) -> list[float]:
    """Return the norms of the gradients of some nodes, where they are known."""
    return [
        n.gradient.norm for n in nodes if n.gradient is not None and n.gradient.norm is not None
    ]


def total_seconds(nodes: Sequence[PictureNode]) -> float | None:
    """Return how long some nodes took together; None where it is not known of any."""
    known = [node.seconds for node in nodes if node.seconds is not None]
    return math.fsum(known) if known else None


def merge_edges(
    edges: Sequence[Edge],
    source: int,
    target: int,
    kind: EdgeKind,
    contribution: Contribution | None,
    count: int,
) -> Edge:
    """Return one edge that stands for `edges`, in the first slot, with the shape of all if any."""
    first = edges[0]
    return dataclasses.replace(
        first,
        source=source,
        target=target,
        slot=min(edge.slot for edge in edges),
        kind=kind,
        shape=first.shape if len({edge.shape for edge in edges}) == 1 else None,
        contribution=contribution,
        count=count,
    )
