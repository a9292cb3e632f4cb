"""The graph of every recorded operation, as plain records."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from minigrad import ops
from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.faults import Fault
from minigrad.draw.graph.records import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
)
from minigrad.draw.reading.measure import Tape, pass_through, read_tape
from minigrad.draw.reading.recorded_data import Data
from minigrad.draw.reading.tape_states import States
from minigrad.ops.primitives import Operation

__all__ = ["Measurement", "operations_graph", "parameter_text", "record_of_node", "scope_records"]


class Measurement(Protocol):
    """What a picture needs of measured gradients; `flow.GradientFlow` has it."""

    @property
    def contributions(self) -> Mapping[tuple[Node, int], Contribution]:
        """Of each edge, by the node that reads and its input slot."""

    @property
    def gradients(self) -> Mapping[Node, Statistics]:
        """Of each node."""

    @property
    def faults(self) -> Sequence[Fault]:
        """What went wrong."""

    def route_of(self, node: Node, source: Node) -> str:
        """The name of the route that an edge begins, or nothing."""


def operations_graph(
    outputs: Sequence[Tensor],
    *,
    title: str = "",
    flow: Measurement | None = None,
    views: bool = True,
    keys: Sequence[str] = (),
    seconds: Mapping[Node, float] | None = None,
) -> Picture:
    """Every operation behind some tensors, and what each edge carries back.

    Args:
        outputs: the results.
        title: heading of the picture.
        flow: the measured gradients; None leaves them out.
        views: whether reshapes, transposes and the like get boxes; else those with one reader
            are folded into the edge that they lie on.
        keys: of the results in their container, which name their boxes.
        seconds: how long operations took, by their nodes; those of a folded view go to its reader.
    """
    tape = read_tape(outputs)
    states = States(tape.nodes)
    faults = {} if flow is None else {f.node: f.mark for f in reversed(flow.faults)}
    shown = [node for node in tape.nodes if pass_through(node) is node]
    folded = set() if views else _folded(tape, shown) - faults.keys()
    shown = [node for node in shown if node not in folded]
    ids = {node: rank for rank, node in enumerate(shown)}
    times: dict[Node, float] = defaultdict(float)
    for node, time in (seconds or {}).items():
        times[pass_through(node)] += time
    terms = {} if flow is None else flow.contributions
    gradients = {} if flow is None else flow.gradients
    edges = []
    for node in shown:
        for slot, source in enumerate(node.inputs):
            if source is None:
                continue
            shape = tuple(source.shape)
            route = "" if flow is None else flow.route_of(node, source)
            reader, place, start = node, slot, pass_through(source)
            while start in folded:
                # A view with one reader sends on all that this edge carries.
                if start in times:
                    times[node] += times.pop(start)
                reader, place = start, 0
                first = start.inputs[0]
                assert first is not None
                start = pass_through(first)
            edges.append(
                Edge(
                    ids[start],
                    ids[node],
                    slot,
                    shape=shape,
                    contribution=terms.get((reader, place)),
                    route=route,
                )
            )
    nodes = [record_of_node(node, ids[node], gradients.get(node), states) for node in shown]
    for node in shown:
        if node in faults or node in times:
            nodes[ids[node]] = dataclasses.replace(
                nodes[ids[node]], fault=faults.get(node, ""), seconds=times.get(node)
            )
    for tensor, key in zip(outputs, keys, strict=False):
        if tensor._node is not None:
            home = ids[pass_through(tensor._node)]
            nodes[home] = with_key(nodes[home], key)
    diagnosis = () if flow is None else tuple(fault.sentence for fault in flow.faults)
    return Picture(
        tuple(nodes), tuple(edges), scope_records(states), title=title, diagnosis=diagnosis
    )


def with_key(record: PictureNode, key: str) -> PictureNode:
    """The record of a result with its key; what has a name keeps it."""
    unnamed = record.kind in ("op", "group") and not record.name
    return dataclasses.replace(record, name=key) if unnamed else record


def _folded(tape: Tape, shown: Sequence[Node]) -> set[Node]:
    """The views that one operation reads, and that carry no state."""
    readers: dict[Node, int] = defaultdict(int)
    for node in shown:
        for source in node.inputs:
            if source is not None:
                readers[pass_through(source)] += 1
    results = {pass_through(t._node) for t in tape.outputs if t._node is not None}
    return {
        node
        for node in shown
        if node.plan.view
        and readers[node] == 1
        and node not in results
        and node.inputs
        and node.inputs[0] is not None
        and all(source is None for source in node.inputs[1:])
        and not (node.scope is not None and node.scope.state)
    }


def record_of_node(
    node: Node, number: int, gradient: Statistics | None, states: States
) -> PictureNode:
    """One node of the tape as a plain record."""
    several = bool(node.shape) and isinstance(node.shape[0], tuple)
    where: dict[str, Any] = {
        "shape": None if several else node.shape,
        "dtype": "" if several else str(node.dtype),
    }
    if isinstance(node, Leaf):
        kind: Literal["parameter", "input", "constant"] = "parameter" if node.learned else "input"
        if isinstance(node, Data):
            kind = "constant"
        return PictureNode(number, kind, name=node.name or "", gradient=gradient, **where)
    scope = node.scope
    return PictureNode(
        number,
        "op",
        op=node.plan.name,
        state="" if scope is None else scope.state or "",
        name="" if scope is None else scope.state or "",
        detail=parameter_text(node.params, defaults_of(node)),
        gradient=gradient,
        **where,
        **states.place_of(node),
    )


def defaults_of(node: Node) -> Mapping[str, Any]:
    """The defaults of the parameters of the operation that made a node.

    They are those of the function that users call, where that fills them in before the operation.
    """
    operation = getattr(node.plan, "operation", None)
    return {} if operation is None else _defaults(operation)


@functools.cache
def _defaults(operation: Operation) -> Mapping[str, Any]:
    public = getattr(ops, operation.name, None)
    try:
        parameters = inspect.signature(public).parameters if callable(public) else {}
    except ValueError:  # a function without a signature
        parameters = {}
    given = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    return {**operation.defaults, **given}


def parameter_text(params: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """The parameters of a call that are not at their defaults: `axis=1, keepdims=True`."""
    parts = []
    for name, value in params.items():
        if defaults and name in defaults and _equal(value, defaults[name]):
            continue
        text = _brief(value)
        if text and value is not None and value is not False:
            parts.append(f"{name}={text}")
    return ", ".join(parts)


def _equal(value: Any, default: Any) -> bool:
    """Whether a parameter is at its default; an array, or anything of another type, never is."""
    return type(value) is type(default) and not hasattr(value, "shape") and bool(value == default)


def _brief(value: Any) -> str:
    if isinstance(value, slice):
        ends = [("" if v is None else str(v)) for v in (value.start, value.stop)]
        return ":".join(ends) + ("" if value.step is None else f":{value.step}")
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple):
        return f"({', '.join(_brief(v) for v in value)})"
    if hasattr(value, "shape") and value.ndim:
        return f"array{list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 24 else f"{text[:21]}..."


def scope_records(states: States) -> tuple[PictureScope, ...]:
    """The scopes of a tape's nodes, with all that enclose them."""
    names = states.names
    return tuple(
        PictureScope(path, names.kinds[path], names.parents[path]) for path in names.parents
    )
