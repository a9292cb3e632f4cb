"""The plain records that every picture is drawn from.

A `Picture` is a computation graph with what a renderer may know and nothing else: no arrays, no
tensors, no functions. So it can be stored as JSON, drawn on another machine, and built by hand.
All records are frozen; passes over them are functions from `Picture` to `Picture`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from minigrad.draw.graph.codec import read_document, write_document
from minigrad.draw.graph.errors import GraphFormatError

SCHEMA: Final = "minigrad.graph"
SCHEMA_VERSION: Final = 1

NodeKind = Literal["op", "parameter", "input", "constant", "state", "group", "elided"]
EdgeKind = Literal["data", "elided", "rolled"]
Level = Literal["ops", "cells", "layers"]

NODE_KINDS: Final[tuple[str, ...]] = get_args(NodeKind)
EDGE_KINDS: Final[tuple[str, ...]] = get_args(EdgeKind)
LEVELS: Final[tuple[str, ...]] = get_args(Level)


def well_formed(text: str) -> str:
    """Return `text` with every lone surrogate replaced by U+FFFD, so that it can be encoded."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Through UTF-16, so that two surrogates that do form a pair become their character.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _repair_texts(record: object, *fields: str) -> None:
    for field in fields:
        text = getattr(record, field)
        if not isinstance(text, str):
            raise GraphFormatError(
                f"{type(record).__name__}.{field} must be a string, got {type(text).__name__}"
            )
        repaired = well_formed(text)
        if repaired is not text:
            object.__setattr__(record, field, repaired)


def _check_shape(shape: tuple[int, ...] | None, where: str) -> None:
    if shape and min(shape) < 0:
        raise GraphFormatError(f"{where} must have no negative length, got {shape}")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Summary of one array: its Euclidean norm, its extremes, and whether all of it is finite.

    `norm` may be NaN or infinite, or None where only the flag `finite` is known (anomaly mode
    keeps no more than that). `minimum` and `maximum` are elements of the array, None if empty.
    """

    norm: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    finite: bool = True


@dataclass(frozen=True, slots=True)
class Contribution:
    """The term that an edge u -> v adds to the gradient of u during backward.

    `norm` is the Euclidean norm of the term; the terms of all edges out of u sum to its gradient.
    `share` is <term, total> / |total|^2, signed; shares out of u sum to 1; None where the total
    is zero. `lowest` and `highest` span the norms that a merged edge stands for; a rolled one has
    their `median` as well.
    """

    norm: float
    share: float | None = None
    lowest: float | None = None
    median: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class PictureNode:
    """One box of a picture.

    Fields:
        id: rank of the node within its picture, unique, not negative.
        kind: what it is; a `group` stands for all ops of one module call, a `state` for a value
            that a cell carries through time, `elided` for nodes left out of a picture.
        op: name of the op (`matmul`), or the class of a group (`LSTMCell`).
        name: the user's name of it, such as a parameter's name; may be empty.
        scope: path of the module call that made it; a key of `Picture.scopes` or empty.
        step: time step, or the first one if it stands for several.
        last_step: last time step, if it stands for several.
        offset: of its time axis: the place of step 0 on the time line of the picture. It is not 0
            for a decoder, whose axis begins where that of its encoder ends.
        layer: number of the stacked layer, counted from 0.
        reverse: whether it belongs to a layer that reads time backwards.
        state: name of the state it carries (`h`, `c`), for kind `state` and elided states.
        shape, dtype: of its value (`float32`); None and empty where it has no single value.
        detail: parameters of the call as text (`axis=1`).
        value, gradient: statistics, None where unknown.
        lowest, highest: span of the gradient norms that an elided node stands for.
        count: how many such nodes it stands for; 1 for a group, however many ops are in it.
        fault: what went wrong here, in a few words; empty where nothing did.
        part: path of the innermost named part of a module that it is in ("layers.0.Feed-forward"),
            a key of `Picture.scopes`; empty where that is `scope`.
        seconds: how long it took, forward and backward, as a profile measured it; None where
            unknown.
    """

    id: int
    kind: NodeKind
    op: str = ""
    name: str = ""
    scope: str = ""
    step: int | None = None
    last_step: int | None = None
    offset: int = 0
    layer: int | None = None
    reverse: bool = False
    state: str = ""
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    detail: str = ""
    value: Statistics | None = None
    gradient: Statistics | None = None
    lowest: float | None = None
    highest: float | None = None
    count: int = 1
    fault: str = ""
    part: str = ""
    seconds: float | None = None

    def __post_init__(self) -> None:
        _repair_texts(self, "op", "name", "scope", "state", "dtype", "detail", "fault", "part")
        if self.id < 0:
            raise GraphFormatError(f"PictureNode.id must not be negative, got {self.id}")
        if self.kind not in NODE_KINDS:
            raise GraphFormatError(
                f"PictureNode.kind of node {self.id} must be one of {', '.join(NODE_KINDS)}; "
                f"got {self.kind!r}"
            )
        if self.count < 1:
            raise GraphFormatError(f"PictureNode.count of node {self.id} must be at least 1")
        if self.offset < 0:
            raise GraphFormatError(
                f"PictureNode.offset of node {self.id} must not be negative, got {self.offset}"
            )
        if self.seconds is not None and not 0 <= self.seconds < math.inf:
            raise GraphFormatError(
                f"PictureNode.seconds of node {self.id} must be a time of 0 or more, got "
                f"{self.seconds}"
            )
        _check_shape(self.shape, f"PictureNode.shape of node {self.id}")
        if self.last_step is not None and (self.step is None or self.last_step < self.step):
            raise GraphFormatError(
                f"node {self.id} has last_step={self.last_step} with step={self.step}; "
                "last_step needs a step that is not later"
            )

    @property
    def time(self) -> int | None:
        """The place of its step on the time line of the picture; None for what is at no step."""
        return None if self.step is None else self.step + self.offset

    @property
    def last_time(self) -> int | None:
        """The place of its last step, if it stands for several; else None."""
        return None if self.last_step is None else self.last_step + self.offset

    @property
    def frame(self) -> str:
        """The path of the innermost frame around it."""
        return self.part or self.scope


@dataclass(frozen=True, slots=True)
class Edge:
    """A value flowing forward from `source` into input slot `slot` of `target`.

    Fields:
        source, target: node ids. The gradient flows from target back to source.
        slot: which input of the target; `x * x` has two edges, slots 0 and 1.
        kind: `data`, `elided` if it stands for edges of nodes left out, or `rolled` if it leads on
            to the next time step, or the next layer of a stack, of what is drawn once.
        shape: of the value; None if unknown or if merged edges differ.
        contribution: what the edge adds to the source's gradient; None where unknown.
        route: name of the route it belongs to (`highway`, `forget gate`); may be empty.
        count: how many edges it stands for.
    """

    source: int
    target: int
    slot: int = 0
    kind: EdgeKind = "data"
    shape: tuple[int, ...] | None = None
    contribution: Contribution | None = None
    route: str = ""
    count: int = 1

    def __post_init__(self) -> None:
        _repair_texts(self, "route")
        if self.kind not in EDGE_KINDS:
            raise GraphFormatError(
                f"Edge.kind must be one of {', '.join(EDGE_KINDS)}; got {self.kind!r}"
            )
        if self.count < 1:
            raise GraphFormatError(f"Edge.count of {self.source} -> {self.target} must be >= 1")
        if self.slot < 0:
            raise GraphFormatError(
                f"Edge.slot of {self.source} -> {self.target} must not be negative, got {self.slot}"
            )
        _check_shape(self.shape, f"Edge.shape of {self.source} -> {self.target}")


@dataclass(frozen=True, slots=True)
class PictureScope:
    """A module in the tree of scopes: its path, class name and the path of its parent."""

    path: str
    name: str = ""
    parent: str = ""

    def __post_init__(self) -> None:
        _repair_texts(self, "path", "name", "parent")


@dataclass(frozen=True, slots=True)
class Picture:
    """A computation graph as plain records, in a fixed order: nodes by id, edges by target.

    Fields:
        nodes, edges, scopes: the records.
        level: what a node stands for: single `ops`, `cells` per time step, or `layers`.
        title: heading of the picture.
        diagnosis: sentences to print with the picture.
        readings: what is read at the time steps 0, 1, ..., such as the letters of a text.

    Raises GraphFormatError if two nodes share an id, an edge names a node that is not there,
    single values depend on themselves, or the scopes form a loop.
    """

    nodes: tuple[PictureNode, ...]
    edges: tuple[Edge, ...] = ()
    scopes: tuple[PictureScope, ...] = ()
    level: Level = "ops"
    title: str = ""
    diagnosis: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _repair_texts(self, "title")
        if self.level not in LEVELS:
            raise GraphFormatError(
                f"Picture.level must be one of {', '.join(LEVELS)}; got {self.level!r}"
            )
        set_field = object.__setattr__
        set_field(self, "diagnosis", tuple(well_formed(text) for text in self.diagnosis))
        set_field(self, "readings", tuple(well_formed(text) for text in self.readings))
        set_field(self, "nodes", tuple(sorted(self.nodes, key=lambda node: node.id)))
        set_field(
            self,
            "edges",
            tuple(sorted(self.edges, key=lambda edge: (edge.target, edge.slot, edge.source))),
        )
        set_field(self, "scopes", tuple(sorted(self.scopes, key=lambda scope: scope.path)))
        known = {node.id for node in self.nodes}
        if len(known) != len(self.nodes):
            raise GraphFormatError("Picture.nodes has two nodes with the same id")
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in known:
                    raise GraphFormatError(
                        f"edge {edge.source} -> {edge.target} names node {end}, "
                        "which is not in Picture.nodes"
                    )
        _check_acyclic(self.nodes, self.edges)
        _check_scopes(self.scopes)

    def to_json(self) -> str:
        """Return the graph as JSON text; see `minigrad.draw.graph.codec`."""
        head = {"level": self.level, "title": self.title, "diagnosis": list(self.diagnosis)}
        if self.readings:
            head["readings"] = list(self.readings)
        sections = {"scopes": self.scopes, "nodes": self.nodes, "edges": self.edges}
        return write_document(SCHEMA, SCHEMA_VERSION, head, sections)

    @classmethod
    def from_json(cls, text: str | bytes) -> Picture:
        """Return the graph stored in JSON `text`. Raises GraphFormatError if it is not one."""
        sections = {"nodes": PictureNode, "edges": Edge, "scopes": PictureScope}
        return read_document(text, cls, SCHEMA, SCHEMA_VERSION, sections)


def _check_acyclic(nodes: tuple[PictureNode, ...], edges: tuple[Edge, ...]) -> None:
    """Raise GraphFormatError if single values depend on themselves.

    What stands for many of them may lie on a cycle: it is after some and before others.
    """
    if all(edge.source < edge.target or edge.kind != "data" for edge in edges):
        return
    many = {
        node.id
        for node in nodes
        if node.kind in ("elided", "group") or node.count > 1 or node.last_step is not None
    }
    targets: dict[int, list[int]] = {}
    waiting: dict[int, int] = {}
    for edge in edges:
        if edge.kind == "data" and edge.source not in many and edge.target not in many:
            targets.setdefault(edge.source, []).append(edge.target)
            waiting[edge.target] = waiting.get(edge.target, 0) + 1
    ready = [node for node in targets if node not in waiting]
    while ready:
        for target in targets.pop(ready.pop(), ()):
            waiting[target] -= 1
            if not waiting[target]:
                del waiting[target]
                ready.append(target)
    if waiting:
        raise GraphFormatError(
            f"Picture.edges form a cycle through node {min(targets.keys() & waiting.keys())}; of "
            "single values, only edges of kind 'rolled' may lead back"
        )


def _check_scopes(scopes: tuple[PictureScope, ...]) -> None:
    parents = {scope.path: scope.parent for scope in scopes}
    if len(parents) != len(scopes) or "" in parents:
        raise GraphFormatError("Picture.scopes needs unique paths that are not empty")
    settled = {""}
    for start in parents:
        trail: list[str] = []
        path = start
        while path not in settled:
            if path not in parents:
                raise GraphFormatError(
                    f"scope {trail[-1]!r:.80} has the unknown parent {path!r:.80}"
                )
            if path in trail[-1:] or len(trail) > len(parents):
                raise GraphFormatError(f"scope {start!r:.80} is its own ancestor")
            trail.append(path)
            path = parents[path]
        settled.update(trail)
