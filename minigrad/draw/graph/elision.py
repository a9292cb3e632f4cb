"""Leaving out time steps: one node stands for the rest, with its count and its range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from minigrad.draw.graph.merging import (
    combine_contributions,
    combine_gradients,
    gradient_norms,
    merge_edges,
    span_end,
    total_seconds,
)
from minigrad.draw.graph.records import Edge, Picture, PictureNode

FIRST_STEPS: Final = 2
LAST_STEPS: Final = 3
MOST_STEPS: Final = 12
"""With `steps="auto"`, sequences up to this length are shown whole."""
_MOST_INTERESTING: Final = 6


def interesting_steps(graph: Picture) -> list[int]:
    """Return the steps worth showing, the most important first, by the gradients of the states.

    Steps at which something went wrong come first. Then, for each state of each layer: the first
    step (in backward order) whose gradient is not finite, the first that is below 1 % of the last
    step's, the smallest and the largest.
    """
    lanes: dict[tuple[str, int | None, bool, str], list[tuple[int, float]]] = {}
    at_fault: list[int] = []
    for node in graph.nodes:
        if node.fault and node.time is not None:
            at_fault.append(node.time)
        norm = None if node.gradient is None else node.gradient.norm
        if node.kind == "state" and node.time is not None and norm is not None:
            key = (node.scope, node.layer, node.reverse, node.state)
            lanes.setdefault(key, []).append((node.time, norm))
    ranked: list[list[int]] = [at_fault, [], [], []]
    for lane, series in lanes.items():
        # Backward starts at the last step, or at the first one in a layer that reads backwards.
        series.sort(reverse=not lane[2])
        nonfinite = [step for step, norm in series if not math.isfinite(norm)]
        ranked[0] += nonfinite[:1]
        finite = [(step, norm) for step, norm in series if math.isfinite(norm)]
        if not finite:
            continue
        vanished = [step for step, norm in finite if norm < 0.01 * finite[0][1]]
        ranked[1] += vanished[:1]
        ranked[2].append(min(finite, key=lambda pair: pair[1])[0])
        ranked[3].append(max(finite, key=lambda pair: pair[1])[0])
    return list(dict.fromkeys(step for group in ranked for step in group))


def steps_to_show(graph: Picture, steps: Literal["auto", "all"] | Iterable[int]) -> list[int]:
    """Return the sorted times of the graph that a picture shows; steps name them on every axis.

    Raises ValueError when `steps` is another word, or names no step of the graph.
    """
    axes = _axes(graph)
    present = [time for times in axes for time in times]
    if isinstance(steps, str):
        if steps not in ("auto", "all"):
            raise ValueError(f'steps must be "auto", "all" or time steps; got {steps!r}')
        if steps == "all" or len(present) <= MOST_STEPS:
            return present
        chosen = {time for times in axes for time in (*times[:FIRST_STEPS], *times[-LAST_STEPS:])}
        extra = [step for step in interesting_steps(graph) if step not in chosen]
        chosen.update(extra[:_MOST_INTERESTING])
    else:
        wanted = set(steps)
        chosen = {n.time for n in graph.nodes if n.time is not None and n.step in wanted}
        known = [node.step for node in graph.nodes if node.step is not None]
        if present and not chosen:
            raise ValueError(
                f"steps names none of the graph's time steps {min(known)} to {max(known)}; "
                f"got {sorted(wanted)[:10]}"
            )
    # A box for a single step would be no smaller than the step itself.
    for before, step, after in zip(present, present[1:], present[2:], strict=False):
        if before in chosen and after in chosen:
            chosen.add(step)
    return sorted(chosen)


def elide(graph: Picture, steps: Literal["auto", "all"] | Iterable[int] = "auto") -> Picture:
    """Return the graph with the time steps left out that are not to be shown.

    All nodes of one kind in one gap become one node of kind `elided`; edges between the same two
    nodes are merged, and carry the exact norm of all that they carried, or None where it does not
    follow from the norms alone.

    Args:
        graph: any graph whose nodes have time steps.
        steps: `auto` (the first 2, the last 3, the interesting ones), `all`, or the steps to show.
    """
    shown = set(steps_to_show(graph, steps))
    gap_of: dict[int, int] = {}
    gap = 0
    for times in _axes(graph):
        gap += 1
        for time in times:
            if time in shown:
                gap += 1
            else:
                gap_of[time] = gap
    if not gap_of:
        return graph
    members: dict[tuple[object, ...], list[PictureNode]] = {}
    kept: list[PictureNode] = []
    for node in graph.nodes:
        if node.time is None or node.time not in gap_of:
            kept.append(node)
            continue
        key: tuple[object, ...] = (gap_of[node.time], node.kind, node.layer, node.reverse)
        # The scope of a cell may name its step, so only what has no layer is distinguished by it.
        members.setdefault((*key, *_identity(node)), []).append(node)
    stands_for: dict[int, int] = {}
    for nodes in members.values():
        kept.append(_merged_node(nodes))
        stands_for.update((node.id, nodes[0].id) for node in nodes)
    return dataclasses.replace(
        graph, nodes=tuple(kept), edges=tuple(_merged_edges(graph.edges, stands_for))
    )


def _axes(graph: Picture) -> list[list[int]]:
    """The times of the graph, sorted, apart by time axis."""
    offsets = {node.time: node.offset for node in graph.nodes if node.time is not None}
    return [
        [time for time in sorted(offsets) if offsets[time] == offset]
        for offset in sorted(set(offsets.values()))
    ]


def _identity(node: PictureNode) -> tuple[str, ...]:
    if node.kind == "state":
        return ("state", node.state)
    if node.layer is not None:
        return ("op", node.op)
    return ("op", node.op, node.scope, node.name if node.kind == "parameter" else "")


def _merged_node(nodes: Sequence[PictureNode]) -> PictureNode:
    first = nodes[0]
    steps = [node.step for node in nodes if node.step is not None]
    last = [node.last_step for node in nodes if node.last_step is not None]
    shapes = {node.shape for node in nodes}
    norms = gradient_norms(nodes)
    return dataclasses.replace(
        first,
        kind="elided",
        op=first.op or ("" if first.kind == "state" else first.kind),
        name=first.name if len({node.name for node in nodes}) == 1 else "",
        step=min(steps),
        last_step=max(steps + last),
        shape=first.shape if len(shapes) == 1 else None,
        value=None,
        gradient=combine_gradients(nodes),
        lowest=span_end(norms, smallest=True) if norms else None,
        highest=span_end(norms, smallest=False) if norms else None,
        count=sum(node.count for node in nodes),
        seconds=total_seconds(nodes),
    )


def _merged_edges(edges: Iterable[Edge], stands_for: dict[int, int]) -> list[Edge]:
    kept: list[Edge] = []
    groups: dict[tuple[int, int, str], list[Edge]] = {}
    for edge in edges:
        source = stands_for.get(edge.source, edge.source)
        target = stands_for.get(edge.target, edge.target)
        if edge.source not in stands_for and edge.target not in stands_for:
            kept.append(edge)
        elif source != target:
            groups.setdefault((source, target, edge.route), []).append(edge)
    for (source, target, _), group in groups.items():
        count = sum(edge.count for edge in group)
        contribution = combine_contributions(group)
        kept.append(merge_edges(group, source, target, "elided", contribution, count))
    return kept
