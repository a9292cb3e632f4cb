"""Passes that leave out nodes, or move them to where the picture can be read."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from minigrad.draw.graph.records import Picture, PictureNode, PictureScope

__all__ = ["focus", "nodes_behind", "prune", "scopes_around", "tag_leaves", "without"]

MANY_READERS: Final = 8
LARGE: Final = 120
"""From so many nodes on, a box with that many readers would have edges across the picture."""


def keep_nodes(graph: Picture, kept: Collection[int]) -> Picture:
    """The graph of some of the nodes, with the edges and scopes between them."""
    nodes = tuple(node for node in graph.nodes if node.id in kept)
    return dataclasses.replace(
        graph,
        nodes=nodes,
        edges=tuple(e for e in graph.edges if e.source in kept and e.target in kept),
        scopes=scopes_around(graph.scopes, nodes),
    )


def scopes_around(
    scopes: Sequence[PictureScope], nodes: Iterable[PictureNode]
) -> tuple[PictureScope, ...]:
    """Those scopes that hold one of the nodes, with all that enclose them."""
    known = {scope.path: scope for scope in scopes}
    used: set[str] = set()
    for node in nodes:
        path = node.frame
        while path in known and path not in used:
            used.add(path)
            path = known[path].parent
    return tuple(scope for scope in scopes if scope.path in used)


def nodes_behind(starts: Iterable[int], sources: Mapping[int, Sequence[int]]) -> set[int]:
    """The nodes on which some nodes depend, without those themselves.

    Args:
        starts: ids of the nodes.
        sources: by id of a node, the ids of those that it reads.
    """
    waiting = list(starts)
    known = set(waiting)
    found: set[int] = set()
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in found and source not in known:
                found.add(source)
                waiting.append(source)
    return found


def prune(graph: Picture) -> Picture:
    """Leave out the nodes through which no measured gradient flows.

    A node stays if it has a gradient, or an edge of it has a contribution; a graph without any
    gradient stays as it is.
    """
    kept = {node.id for node in graph.nodes if node.gradient is not None or node.fault}
    for edge in graph.edges:
        if edge.contribution is not None:
            kept |= {edge.source, edge.target}
    return keep_nodes(graph, kept) if kept else graph


def without(graph: Picture, kinds: Collection[str]) -> Picture:
    """Leave out all nodes of some kinds, such as `parameter`."""
    return keep_nodes(graph, {node.id for node in graph.nodes if node.kind not in kinds})


def tag_leaves(graph: Picture) -> Picture:
    """Give each time step a small box of its own for the parameters and inputs that it reads.

    In a large graph without time steps, each operation that reads what many read gets one.

    One box for all steps would have an edge to each of them: the picture could not be read, and its
    layout would take a hundred times as long. Each tag has the name, and the whole gradient, of
    what it stands for.
    """
    nodes = {node.id: node for node in graph.nodes}
    counts = Counter(edge.source for edge in graph.edges)
    often = {number for number, count in counts.items() if count > MANY_READERS}

    def place(source: int, reader: PictureNode) -> tuple[int | None, int | None]:
        """The step of a reader; without steps, of a node with many readers, the reader itself."""
        alone = source in often and reader.step is None and len(nodes) > LARGE
        return reader.step, reader.id if alone else None

    readers: dict[int, set[tuple[int | None, int | None]]] = defaultdict(set)
    for edge in graph.edges:
        readers[edge.source].add(place(edge.source, nodes[edge.target]))
    shared = {
        node.id
        for node in graph.nodes
        if node.kind in ("parameter", "input", "constant")
        and node.step is None
        and len(readers[node.id]) > 1
    }
    if not shared:
        return graph
    tags: dict[tuple[int, tuple[int | None, int | None]], PictureNode] = {}
    free = max(nodes) + 1
    edges = []
    for edge in graph.edges:
        if edge.source in shared:
            reader = nodes[edge.target]
            key = edge.source, place(edge.source, reader)
            if key not in tags:
                new = dataclasses.replace(
                    nodes[edge.source],
                    id=free + len(tags),
                    step=reader.step,
                    scope=reader.scope,
                    part=reader.part,
                )
                tags[key] = new
            edge = dataclasses.replace(edge, source=tags[key].id)
        edges.append(edge)
    kept = [node for node in graph.nodes if node.id not in shared]
    return dataclasses.replace(graph, nodes=(*kept, *tags.values()), edges=tuple(edges))


def focus(graph: Picture, where: str) -> Picture:
    """The part of a graph inside a module or at a named tensor, and what it is connected with.

    Args:
        where: the path of a module, a part of one that begins or ends at a dot, or the name of a
            parameter, an input or a state.

    Raises ValueError when nothing in the graph has that path or name.
    """
    scopes = {scope.path: scope for scope in graph.scopes}
    inside = {node.id for node in graph.nodes if _is_at(node, where, scopes)}
    if not inside:
        names = {name for node in graph.nodes for name in _names(node, scopes) if name}
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


def _names(node: PictureNode, scopes: Mapping[str, PictureScope]) -> tuple[str, ...]:
    module = _module_path(node.scope, scopes)
    wholes = [f"{path}.{node.name}" if path and node.name else node.name
              for path in (node.scope, module)]  # fmt: skip
    return node.scope, module, node.part, node.name, *wholes, node.state


def _module_path(path: str, scopes: Mapping[str, PictureScope]) -> str:
    """A path without the named parts of modules on it, such as the gates of a cell."""
    parts = []
    while path in scopes:
        scope = scopes[path]
        if scope.name:
            parts.append(path.removeprefix(f"{scope.parent}.") if scope.parent else path)
        path = scope.parent
    return ".".join(reversed(parts))


def _is_at(node: PictureNode, where: str, scopes: Mapping[str, PictureScope]) -> bool:
    return any(
        name == where or f".{name}.".find(f".{where}.") >= 0
        for name in _names(node, scopes)
        if name
    )
