"""The edges between the boxes of a picture, where a box stands for many nodes of the tape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from minigrad.core.nodes import Leaf, Node
from minigrad.draw.analysis.faults import (
    DeadUnits,
    Fault,
    detached_fault,
    find_faults,
    from_flags,
    has_flags,
)
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.edge_sums import EdgeSums
from minigrad.draw.reading.measure import Tape, measure_terms, original, pass_through, statistics_of
from minigrad.draw.reading.recorded_data import has_data

__all__ = ["Ends", "Place", "box_faults", "edges_between"]

Ends: TypeAlias = tuple[Any, Any]

Place: TypeAlias = Callable[[Node, Node, Any], tuple[Ends, Node, Any] | None]
"""``place(node, source, term)``: the boxes between which that edge of the tape runs, the node whose
gradient the term is a part of, and the term; None for an edge inside a box."""


def edges_between(
    tape: Tape,
    grad: str | None,
    place: Place,
    measured: Callable[[Node], bool],
    through: Callable[[Node], Node] = pass_through,
) -> EdgeSums:
    """The edges between boxes, and with `grad` the exact sums of what they carry back.

    Args:
        tape: the nodes behind the results.
        grad: None leaves the gradients out.
        place: where an edge of the tape belongs.
        measured: which nodes are boxes themselves, so that their flags are those of the box.
        through: from a node that only passes on a value to the one that computed it.

    Raises DrawError where the graph was freed and anomaly mode left no flags on it.
    """
    sums = EdgeSums()

    def enter(node: Node, source: Node, term: Any) -> None:
        placed = place(node, source, term)
        if placed is None:
            return
        ends, source, term = placed
        source = original(source)
        edge = sums.edges[ends]
        edge.count += 1
        edge.shape = tuple(source.shape)
        if term is not None:
            sums.add(source, ends, term)

    def enter_all() -> None:
        for node in tape.nodes:
            for source in node.inputs:
                if source is not None and through(node) is node:
                    enter(node, source, None)

    if grad is None:
        enter_all()
        return sums

    def on_gradient(node: Node, parts: Adjoints) -> None:
        sums.finish(node)
        if isinstance(node, Leaf):
            sums.gradients[node] = statistics_of(parts[0])

    seen: set[tuple[Node, int]] = set()

    def on_term(node: Node, source: Node, slot: int, term: Any, _: int) -> None:
        seen.add((node, slot))
        if through(node) is node:
            enter(node, source, term)

    try:
        backward_pass(
            {node: {0: g} for node, g in tape.seeds().items()},
            on_gradient=on_gradient,
            on_term=on_term,
        )
        if has_data(tape.nodes):
            # No gradient flows to data, and the edges of their values are drawn all the same.
            for node in tape.nodes:
                for slot, source in enumerate(node.inputs):
                    fresh = (node, slot) not in seen and through(node) is node
                    if source is not None and fresh:
                        enter(node, source, None)
    except DrawError:
        if not has_flags(tape):
            raise
        sums.edges.clear()
        enter_all()
        _use_flags(tape, sums, measured)
    return sums


def _use_flags(tape: Tape, sums: EdgeSums, measured: Callable[[Node], bool]) -> None:
    """What anomaly mode left on a graph that was freed: whether gradients were finite."""
    for node, gradient in from_flags(tape).gradients.items():
        if measured(node):
            sums.gradients[node] = gradient
    for (start, end), edge in sums.edges.items():
        ends = [sums.gradients.get(box) for box in (start, end)]
        if ends[0] is not None and not any(known and known.finite for known in ends):
            edge.norms.append(math.nan)


def box_faults(tape: Tape, grad: str | None, sums: EdgeSums) -> tuple[Fault, ...]:
    """What went wrong. The operations are searched only where the boxes show a sign of it."""
    if grad is None:
        return ()
    if any(
        not known.finite or (known.norm == 0 and isinstance(box, Leaf))
        for box, known in sums.gradients.items()
    ):
        units = DeadUnits()
        try:
            measured = measure_terms(tape.seeds(), inspect=units, shares=False)
        except DrawError:
            measured = from_flags(tape)
        return find_faults(tape, measured, units)
    chain = detached_fault(tape)
    return () if chain is None else (chain,)
