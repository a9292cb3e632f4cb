"""Backward passes for the analysis of gradients: several adjoints a node, and nothing is kept.

The ordinary derivative rules run, once for each adjoint. What arrives at a node, and the term that
each edge carries, are shown to listeners and then dropped, so that a sequence of ten thousand
steps needs no more memory than its front. Hooks on tensors do not run, and no `.grad` is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from heapq import heappop, heappush
from typing import Any, TypeAlias

import numpy as np

from minigrad.core.checks import check_unwritten
from minigrad.core.contributions import SlicedGradient, fit
from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Leaf, Node, last_write
from minigrad.draw.graph.errors import DrawError

__all__ = ["Adjoints", "dense", "freed", "walk_back"]

Adjoints: TypeAlias = dict[int, Any]
"""The gradients that have come to a node, apart by tag: by the way they took, for example."""

Arrive: TypeAlias = Callable[[Node, Adjoints], None]
Listen: TypeAlias = Callable[[Node, Node, int, Any, int], None]
Turn: TypeAlias = Callable[[Node, Node, int], int]


def dense(term: Any) -> Any:
    """A term as an array: what was read from one place of an array is zero everywhere else."""
    return term.dense() if term.__class__ is SlicedGradient else term


def freed(node: Node) -> DrawError:
    """The error for a node whose saved arrays are gone."""
    return DrawError(
        f"the gradient cannot be drawn: backward through {node.where}: its saved arrays were freed "
        "by an earlier backward. Draw before backward, or call backward(retain_graph=True)."
    )


def walk_back(
    seeds: Mapping[Node, Adjoints],
    *,
    arrive: Arrive | None = None,
    listen: Listen | None = None,
    turn: Turn | None = None,
    stop: Collection[Node] = (),
    needed: Collection[Node] | None = None,
) -> None:
    """Send gradients back from some nodes, each as a sum of parts with tags.

    Args:
        seeds: the gradients to start from.
        arrive: called as ``arrive(node, adjoints)`` once a node has all of its gradient.
        listen: called as ``listen(node, source, slot, term, tag)`` for each term that an edge
            carries to its source; a term may be a `SlicedGradient`, see `dense`.
        turn: ``turn(node, source, tag)`` is the tag that a part has after that edge; without it
            tags stay as they are. The parts of a gradient always add up to the whole.
        stop: nodes at which gradients end.
        needed: follow only these nodes; None follows all.

    Raises DrawError where saved arrays were freed, or were written over since.
    """
    waiting: dict[Node, Adjoints] = {node: dict(parts) for node, parts in seeds.items()}
    owned: set[tuple[Node, int]] = set()  # sums that this walk made and may add into
    heap = [(-node.number, node) for node in waiting]
    heap.sort()
    written = last_write()
    with np.errstate(all="ignore"), ModeChange(recording=False, observers=()):
        while heap:
            node = heappop(heap)[1]
            parts = waiting.pop(node)
            for tag, g in parts.items():
                owned.discard((node, tag))
                if g.__class__ is SlicedGradient:
                    parts[tag] = g.dense()
            if arrive is not None:
                arrive(node, parts)
            if node.__class__ is Leaf or node in stop:
                continue
            if node.saved is None:
                raise freed(node)
            if node.number < written:
                try:
                    check_unwritten(node)
                except GradientError as error:
                    raise DrawError(f"the gradient cannot be drawn: {error}") from error
            for tag, g in parts.items():
                # Inputs that a picture added, see `minigrad.draw.reading.recorded_data`, have no
                # term.
                terms = zip(node.inputs, node.plan.vjp(node, g), strict=False)
                for slot, (source, term) in enumerate(terms):
                    if source is None or term is None:
                        continue
                    if needed is not None and source not in needed:
                        continue
                    if getattr(term, "shape", None) != source.shape or term.dtype != source.dtype:
                        term = fit(term, source, node.plan.name)
                    after = tag if turn is None else turn(node, source, tag)
                    if listen is not None:
                        listen(node, source, slot, term, after)
                    before = waiting.get(source)
                    if before is None:
                        waiting[source] = {after: term}
                        heappush(heap, (-source.number, source))
                    elif after not in before:
                        before[after] = term
                    elif (source, after) in owned:
                        if term.__class__ is SlicedGradient:
                            term.add_into(before[after])
                        else:
                            before[after] += term
                    else:
                        total = before[after] + term
                        before[after] = total
                        if total.__class__ is np.ndarray:
                            owned.add((source, after))
