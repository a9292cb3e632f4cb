"""The sums of terms that the edges of a picture stand for, measured without keeping all terms."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.core.contributions import SlicedGradient
from minigrad.core.nodes import Node
from minigrad.draw.graph.merging import total_norm
from minigrad.draw.graph.records import Contribution, Statistics
from minigrad.draw.reading.backward_passes import dense
from minigrad.draw.reading.measure import norm_of, share_of, statistics_of, sum_terms

__all__ = ["EdgeSum", "EdgeSums", "term_of_item"]


@dataclass
class EdgeSum:
    """What one edge of a picture stands for: the measured sum of its terms.

    Attributes:
        norms: of the sums of terms, one for each node of the tape that they add up at.
        parts: of each such sum, the norm of the node's whole gradient and the part along it.
        count: how many edges of the tape it stands for.
        shape: of their values.
        unknown: whether a term came after the sum had been measured.
    """

    norms: list[float] = field(default_factory=list)
    parts: list[tuple[float, float]] = field(default_factory=list)
    count: int = 0
    shape: tuple[int, ...] | None = None
    unknown: bool = False

    def contribution(self, wholes: list[float]) -> Contribution | None:
        """Norm and share, given the norms of all gradients at the edge's source."""
        if self.unknown or not self.norms:
            return None
        largest = max(wholes, default=0.0)
        share = None
        if self.parts and 0 < largest < math.inf:
            size = math.fsum((whole / largest) ** 2 for whole in wholes)
            share = math.fsum((whole / largest) ** 2 * part for whole, part in self.parts) / size
        return Contribution(norm=total_norm(self.norms), share=share)


class EdgeSums:
    """Adds up the terms of a picture's edges, and measures each sum once it is complete.

    Where the sums that wait at one node would take more than `budget` bytes, as for weights that
    ten thousand steps read, the older ones are measured at once and dropped.

    Attributes:
        edges: the edges, by the boxes between which they run.
        wholes: by box, the norms of all gradients at it.
        gradients: by box, what is known of its gradient.
    """

    def __init__(self, budget: int = 1 << 26) -> None:
        self.budget = budget
        self.edges: dict[tuple[Any, Any], EdgeSum] = defaultdict(EdgeSum)
        self.waiting: dict[Node, dict[tuple[Any, Any], Any]] = {}
        self.early: set[tuple[Node, tuple[Any, Any]]] = set()
        self.sizes: dict[Node, int] = {}
        self.dropped: set[Node] = set()
        self.wholes: dict[Any, list[float]] = defaultdict(list)
        self.gradients: dict[Any, Statistics] = {}

    def add(self, source: Node, ends: tuple[Any, Any], term: Any) -> None:
        """One more term on an edge."""
        if (source, ends) in self.early:
            self.edges[ends].unknown = True
            return
        sums = self.waiting.setdefault(source, {})
        if ends in sums:
            sums[ends] = sums[ends] + term
            return
        sums[ends] = term
        kept = term.part if term.__class__ is SlicedGradient else term
        self.sizes[source] = self.sizes.get(source, 0) + kept.nbytes
        if self.sizes[source] > self.budget:
            for older in [key for key in sums if key != ends]:
                self.edges[older].norms.append(norm_of(sums.pop(older)))
                self.early.add((source, older))
            self.sizes[source] = kept.nbytes
            self.dropped.add(source)

    def finish(self, source: Node) -> None:
        """Measure the sums at a node whose gradient is complete."""
        self.sizes.pop(source, None)
        sums = self.waiting.pop(source, {})
        if not sums:
            return
        whole = sum_terms(sums.values())
        scale = norm_of(whole)
        alone = len(sums) == 1  # then the term is the whole
        for ends, term in sums.items():
            edge = self.edges[ends]
            edge.norms.append(scale if alone else norm_of(term))
            if source in self.dropped or not 0 < scale < math.inf:
                continue
            part = 1.0 if alone else share_of(term, whole, scale)
            if part is not None:
                edge.parts.append((scale, part))
        start = next(iter(sums))[0]
        self.wholes[start].append(scale)
        self.gradients[start] = statistics_of(whole, scale)


def term_of_item(term: Any, axis: int, place: int) -> Any:
    """The part of a term on a stack of arrays that belongs to one of them."""
    if term.__class__ is SlicedGradient:
        index = term.index if isinstance(term.index, tuple) else (term.index,)
        if len(index) == axis + 1 and all(part == slice(None) for part in index[:-1]):
            return term.part
    return np.take(dense(term), place, axis=axis)
