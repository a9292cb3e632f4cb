"""Rolling up a graph: one box for a cell at all time steps, or for the layers of a stack.

`roll` merges what differs in the time step alone: the same parameters, used N times (xN).
`fold_repeats` merges modules that follow each other in a stack and differ in their number alone:
parameters of their own, the same structure (N of them). What led from one step or layer to the
next becomes an edge of kind `rolled`.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minigrad.draw.graph.merging import (
    combine_contributions,
    combine_gradients,
    gradient_norms,
    merge_edges,
    span_end,
    total_norm,
    total_seconds,
)
from minigrad.draw.graph.passes import scopes_around
from minigrad.draw.graph.records import Contribution, Edge, Picture, PictureNode

__all__ = ["fold_repeats", "roll"]

Place: TypeAlias = tuple[Any, Any]
"""Two keys of a node: what it is, and which of its kind. Nodes of the same first key are merged."""

_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.|$)")


def roll(graph: Picture) -> Picture:
    """Merge all time steps into one.

    An edge from a step to a later one becomes a `rolled` edge of the cell to itself, with the
    smallest, the median and the largest of what it carried back at each step.
    """
    steps = {node.time for node in graph.nodes if node.time is not None}
    if len(steps) < 2:
        return graph

    def place(node: PictureNode) -> Place | None:
        if node.time is None:
            return None
        what = (node.kind, node.op, node.layer, node.reverse, node.state, node.scope, node.name)
        return (what, node.offset, node.detail if node.kind == "op" else ""), node.time

    sentence = (
        f"Rolled up over {len(steps)} time steps: numbers are the smallest / median / largest "
        "gradient carried back at one step, widths tell all of them together."
    )
    return _merged(graph, place, lambda count: f"x{count}", sentence)


def fold_repeats(graph: Picture) -> Picture:
    """Merge the modules of a stack that are alike except for their number and their weights."""
    stacks = _stacks(graph)
    if not stacks:
        return graph

    def place(node: PictureNode) -> Place | None:
        path = _path(node)
        general = _general(path, stacks)
        if general == path:
            return None
        which = tuple(part for part, star in zip(path.split("."), general.split("."), strict=True)
                      if part != star)  # fmt: skip
        return (node.kind, node.op, general, node.shape, node.time), which

    sentence = (
        "Layers of a stack that differ in their weights alone are drawn once: numbers are the "
        "smallest / median / largest gradient carried back in one layer, widths tell all together."
    )
    merged = _merged(graph, place, lambda count: f"{count} of them", sentence)
    if merged is graph:
        return graph
    nodes = tuple(
        dataclasses.replace(
            node,
            scope=_general(node.scope, stacks),
            part=_general(node.part, stacks),
            name=_general(_path(node), stacks).removeprefix(f"{_general(node.scope, stacks)}.")
            if node.kind == "group" and node.name
            else node.name,
        )
        for node in merged.nodes
    )
    scopes = {
        path: dataclasses.replace(scope, path=path, parent=_general(scope.parent, stacks))
        for scope in reversed(merged.scopes)
        if (path := _general(scope.path, stacks))
    }
    return dataclasses.replace(merged, nodes=nodes, scopes=tuple(scopes.values()))


def _general(path: str, stacks: set[str]) -> str:
    """A path with a star for the number of each member of a stack."""
    parts = path.split(".")
    for length in range(1, len(parts) + 1):
        if parts[length - 1].isdigit() and _stem(".".join(path.split(".")[:length])) in stacks:
            parts[length - 1] = "*"
    return ".".join(parts)


def _path(node: PictureNode) -> str:
    """The path of what a node stands for: of its own module, for the box of a call."""
    if node.kind != "group" or not node.name:
        return node.scope
    return f"{node.scope}.{node.name}" if node.scope else node.name


def _stem(path: str) -> str:
    """A path with all numbers left out, by which the members of a stack are known."""
    return _NUMBER.sub("*", path)


def _stacks(graph: Picture) -> set[str]:
    """The stems of numbered modules, two or more, all of one class."""
    classes: dict[str, set[str]] = defaultdict(set)
    members: dict[str, set[str]] = defaultdict(set)
    modules = [(scope.path, scope.name) for scope in graph.scopes]
    modules += [(_path(node), node.op) for node in graph.nodes if node.kind == "group"]
    for path, name in modules:
        if path.rpartition(".")[2].isdigit():
            classes[_stem(path)].add(name)
            members[_stem(path)].add(path)
    return {stem for stem, names in classes.items() if len(names) == 1 and len(members[stem]) > 1}


def _merged(
    graph: Picture,
    place: Callable[[PictureNode], Place | None],
    word: Callable[[int], str],
    sentence: str,
) -> Picture:
    """Merge the nodes that are alike by `place`, and the edges between them."""
    groups: dict[Any, list[PictureNode]] = defaultdict(list)
    index: dict[int, Any] = {}
    seen: dict[Any, int] = defaultdict(int)
    for node in graph.nodes:
        at = place(node)
        if at is None:
            groups[node.id].append(node)
            continue
        # Several alike within one step, such as two sums in a gate, are numbered in their order.
        number = seen[at]
        seen[at] += 1
        groups[at[0], number].append(node)
        index[node.id] = at[1]
    stands_for = {node.id: nodes[0].id for nodes in groups.values() for node in nodes}
    if len(groups) == len(graph.nodes):
        return graph
    merged = [_merged_node(nodes, word) for nodes in groups.values()]
    bundles: dict[tuple[int, int, bool], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        ends = index.get(edge.source), index.get(edge.target)
        onward = None not in ends and ends[0] != ends[1]
        bundles[stands_for[edge.source], stands_for[edge.target], onward].append(edge)
    readers: dict[int, int] = defaultdict(int)
    for edge in graph.edges:
        readers[edge.source] += 1
    nodes = {node.id: node for node in graph.nodes}
    edges = [
        merge_edges(
            bundle,
            source,
            target,
            "rolled" if onward else bundle[0].kind,
            _summed(bundle, nodes, readers),
            len(bundle) if onward else sum(edge.count for edge in bundle),
        )
        for (source, target, onward), bundle in bundles.items()
    ]
    return dataclasses.replace(
        graph,
        nodes=tuple(merged),
        edges=tuple(edges),
        scopes=scopes_around(graph.scopes, merged),
        # A rolled graph has no columns of time: it is boxes and arrows, as that of module calls.
        level="layers" if graph.level == "cells" else graph.level,
        diagnosis=(*graph.diagnosis, sentence)
        if any(e.contribution for e in edges)
        else (graph.diagnosis),
    )


def _merged_node(nodes: Sequence[PictureNode], word: Callable[[int], str]) -> PictureNode:
    first = nodes[0]
    if len(nodes) == 1:
        return first
    gradient, norms = combine_gradients(nodes), gradient_norms(nodes)
    steps = [node.step for node in nodes if node.step is not None]
    last = [node.last_step for node in nodes if node.last_step is not None]
    count = sum(node.count for node in nodes)
    detail = _common([node.detail for node in nodes])
    return dataclasses.replace(
        first,
        step=min(steps) if steps else None,
        last_step=max(steps + last) if steps and max(steps + last) > min(steps) else None,
        shape=first.shape if len({node.shape for node in nodes}) == 1 else None,
        detail=", ".join(part for part in (word(count), detail) if part),
        value=None,
        gradient=gradient,
        lowest=span_end(norms, smallest=True) if gradient else None,
        highest=span_end(norms, smallest=False) if gradient else None,
        count=count,
        seconds=total_seconds(nodes),
        fault=next((node.fault for node in nodes if node.fault), ""),
    )


def _common(details: Sequence[str]) -> str:
    """The leading parts that all details share: `1,056 weights`, without each one's gradient."""
    parts = [detail.split(", ") for detail in details]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ", ".join(shared)


def _summed(
    edges: Sequence[Edge], nodes: dict[int, PictureNode], readers: dict[int, int]
) -> Contribution | None:
    """What several edges carry back in all, with the median and the extremes of their norms."""
    terms = [edge.contribution for edge in edges]
    if len(terms) == 1:
        return terms[0]
    known = [term for term in terms if term is not None]
    if len(known) < len(terms):
        return None
    whole = combine_contributions(edges)
    if whole is None:
        # Terms of one source add up as vectors. Their sum is known where no other term adds to it.
        sources = {edge.source for edge in edges}
        own = [nodes[source].gradient for source in sources]
        if sum(readers[source] for source in sources) > len(edges):
            return None
        norms = [gradient.norm for gradient in own if gradient and gradient.norm is not None]
        if len(norms) < len(own):
            return None
        whole = Contribution(norm=total_norm(norms))
    lows = [term.norm if term.lowest is None else term.lowest for term in known]
    highs = [term.norm if term.highest is None else term.highest for term in known]
    norms = [term.norm for term in known]
    return dataclasses.replace(
        whole,
        lowest=span_end(lows, smallest=True),
        median=statistics.median(norms) if not any(n != n for n in norms) else float("nan"),
        highest=span_end(highs, smallest=False),
    )
