"""Passes that leave something out: what takes no part in the gradient, or is not looked at."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection

from minigrad.draw.records import Graph, Node

__all__ = ["focus", "prune", "without"]


def keep_nodes(graph: Graph, kept: Collection[int]) -> Graph:
    """The graph of some of the nodes, with the edges and scopes between them."""
    nodes = tuple(node for node in graph.nodes if node.id in kept)
    known = {scope.path: scope for scope in graph.scopes}
    used: set[str] = set()
    for node in nodes:
        path = node.scope
        while path in known and path not in used:
            used.add(path)
            path = known[path].parent
    return dataclasses.replace(
        graph,
        nodes=nodes,
        edges=tuple(e for e in graph.edges if e.source in kept and e.target in kept),
        scopes=tuple(scope for scope in graph.scopes if scope.path in used),
    )


def prune(graph: Graph) -> Graph:
    """Leave out the nodes through which no measured gradient flows.

    A node stays if it has a gradient, or an edge of it has a contribution; a graph without any
    gradient stays as it is.
    """
    kept = {node.id for node in graph.nodes if node.gradient is not None or node.fault}
    for edge in graph.edges:
        if edge.contribution is not None:
            kept |= {edge.source, edge.target}
    return keep_nodes(graph, kept) if kept else graph


def without(graph: Graph, kinds: Collection[str]) -> Graph:
    """Leave out all nodes of some kinds, such as `parameter`."""
    return keep_nodes(graph, {node.id for node in graph.nodes if node.kind not in kinds})


def focus(graph: Graph, where: str) -> Graph:
    """The part of a graph inside a module or at a named tensor, and what it is connected with.

    Args:
        where: the path of a module, a part of one that begins or ends at a dot, or the name of a
            parameter, an input or a state.

    Raises ValueError when nothing in the graph has that path or name.
    """
    inside = {node.id for node in graph.nodes if _is_at(node, where)}
    if not inside:
        names = {name for node in graph.nodes for name in _names(node) if name}
        near = difflib.get_close_matches(where, names, 3, 0.4) or sorted(names)[:6]
        raise ValueError(
            f"focus={where!r} is no module path and no name in this graph; did you mean "
            f"{' or '.join(map(repr, near)) or 'to draw it whole'}?"
        )
    around = set(inside)
    for edge in graph.edges:
        if edge.source in inside or edge.target in inside:
            around |= {edge.source, edge.target}
    return keep_nodes(graph, around)


def _names(node: Node) -> tuple[str, ...]:
    whole = f"{node.scope}.{node.name}" if node.scope and node.name else node.name
    return node.scope, node.name, whole, node.state


def _is_at(node: Node, where: str) -> bool:
    return any(
        name == where or f".{name}.".find(f".{where}.") >= 0 for name in _names(node) if name
    )
