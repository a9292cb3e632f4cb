"""Backward passes for the analysis of gradients: several adjoints per node, and none is kept.

The ordinary derivative rules run, once for each adjoint. The gradient of each node, and the term
that each edge carries, are handed to callbacks and then dropped, so that a sequence of ten thousand
steps needs no more memory than the nodes whose gradient is not complete yet. Hooks on tensors do
not run, and no `.grad` is touched.
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
from minigrad.restoring import quiet

__all__ = ["Adjoints", "OnTerm", "backward_pass", "dense", "freed_error"]

Adjoints: TypeAlias = dict[int, Any]
"""The parts of the gradient of a node by tag: by the route that they took, for example."""

OnGradient: TypeAlias = Callable[[Node, Adjoints], None]
OnTerm: TypeAlias = Callable[[Node, Node, int, Any, int], None]
TagAfter: TypeAlias = Callable[[Node, Node, int], int]


def dense(term: Any) -> Any:
    """A term as an array. That of an input which was read by an index is zero everywhere else."""
    return term.dense() if term.__class__ is SlicedGradient else term


def freed_error(node: Node) -> DrawError:
    """The error for a node whose saved arrays are gone."""
    return DrawError(
        f"the gradient cannot be drawn: backward through {node.where}: its saved arrays were freed "
        "by an earlier backward. Draw before backward, or call backward(retain_graph=True)."
    )


@quiet
@ModeChange(recording=False, observers=())
def backward_pass(
    seeds: Mapping[Node, Adjoints],
    *,
    on_gradient: OnGradient | None = None,
    on_term: OnTerm | None = None,
    tag_after: TagAfter | None = None,
    stop: Collection[Node] = (),
    needed: Collection[Node] | None = None,
) -> None:
    """Send gradients back from some nodes, each as a sum of parts with tags.

    Args:
        seeds: the gradients to start from.
        on_gradient: called as ``on_gradient(node, adjoints)`` once a node has all of its gradient.
        on_term: called as ``on_term(node, source, slot, term, tag)`` for each term that an edge
            carries to its source; a term may be a `SlicedGradient`, see `dense`.
        tag_after: ``tag_after(node, source, tag)`` is the tag that a part has after that edge;
            without it tags stay as they are. The parts of a gradient always add up to the whole.
        stop: nodes at which gradients end.
        needed: follow only these nodes; None follows all.

    Raises DrawError where saved arrays were freed, or were written over since.
    """
    waiting: dict[Node, Adjoints] = {node: dict(parts) for node, parts in seeds.items()}
    owned: set[tuple[Node, int]] = set()  # sums that this pass made and may add into
    heap = [(-node.number, node) for node in waiting]
    heap.sort()
    written = last_write()
    while heap:
        node = heappop(heap)[1]
        parts = waiting.pop(node)
        for tag, g in parts.items():
            owned.discard((node, tag))
            if g.__class__ is SlicedGradient:
                parts[tag] = g.dense()
        if on_gradient is not None:
            on_gradient(node, parts)
        if node.__class__ is Leaf or node in stop:
            continue
        if node.saved is None:
            raise freed_error(node)
        if node.number < written:
            try:
                check_unwritten(node)
            except GradientError as error:
                raise DrawError(f"the gradient cannot be drawn: {error}") from error
        for tag, g in parts.items():
            # Inputs that a picture added (`reading.recorded_data`) have no term.
            terms = zip(node.inputs, node.plan.vjp(node, g), strict=False)
            for slot, (source, term) in enumerate(terms):
                if source is None or term is None:
                    continue
                if needed is not None and source not in needed:
                    continue
                if getattr(term, "shape", None) != source.shape or term.dtype != source.dtype:
                    term = fit(term, source, node.plan.name)
                after = tag if tag_after is None else tag_after(node, source, tag)
                if on_term is not None:
                    on_term(node, source, slot, term, after)
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
