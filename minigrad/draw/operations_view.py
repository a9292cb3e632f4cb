"""The graph of every recorded operation, as plain records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from minigrad.draw.flow import GradientFlow, gradient_flow
from minigrad.draw.measure import pass_through, read_tape
from minigrad.draw.records import Edge, Graph, Node, Scope, Statistics
from minigrad.nodes import Leaf
from minigrad.nodes import Node as TapeNode
from minigrad.tensors import Tensor

__all__ = ["operations_graph", "parameter_text", "record_of_node", "scope_records"]


def operations_graph(
    outputs: Sequence[Tensor],
    *,
    grad: str | None = None,
    title: str = "",
    flow: GradientFlow | None = None,
) -> Graph:
    """Every operation behind some tensors, and with `grad` what each edge carries back."""
    tape = read_tape(outputs)
    shown = [node for node in tape.nodes if pass_through(node) is node]
    ids = {node: rank for rank, node in enumerate(shown)}
    if flow is None and grad is not None:
        flow = gradient_flow(list(outputs))
    terms = {} if flow is None else flow.contributions
    gradients = {} if flow is None else flow.gradients
    faults = {} if flow is None else {f.node: f.mark for f in reversed(flow.faults)}
    edges = []
    for node in shown:
        for slot, source in enumerate(node.inputs):
            if source is None:
                continue
            edges.append(
                Edge(
                    ids[pass_through(source)],
                    ids[node],
                    slot,
                    shape=tuple(source.shape),
                    contribution=terms.get((node, slot)),
                    route="" if flow is None else flow.route_of(node, source),
                )
            )
    nodes = [
        dataclasses.replace(
            record_of_node(node, ids[node], gradients.get(node)), fault=faults.get(node, "")
        )
        if node in faults
        else record_of_node(node, ids[node], gradients.get(node))
        for node in shown
    ]
    diagnosis = () if flow is None else tuple(fault.sentence for fault in flow.faults)
    return Graph(tuple(nodes), tuple(edges), scope_records(shown), title=title, diagnosis=diagnosis)


def record_of_node(node: TapeNode, number: int, gradient: Statistics | None) -> Node:
    """One node of the tape as a plain record."""
    several = bool(node.shape) and isinstance(node.shape[0], tuple)
    where: dict[str, Any] = {
        "shape": None if several else node.shape,
        "dtype": "" if several else str(node.dtype),
    }
    if isinstance(node, Leaf):
        kind: Literal["parameter", "input"] = "parameter" if node.learned else "input"
        return Node(number, kind, name=node.name or "", gradient=gradient, **where)
    scope = node.scope
    return Node(
        number,
        "op",
        op=node.plan.name,
        scope="" if scope is None else scope.path,
        step=None if scope is None else scope.time_step,
        state="" if scope is None else scope.state or "",
        name="" if scope is None else scope.state or "",
        detail=parameter_text(node.params),
        gradient=gradient,
        **where,
    )


def parameter_text(params: dict[str, Any]) -> str:
    """The parameters of a call in brief: `axis=1, keepdims=True`."""
    parts = []
    for name, value in params.items():
        text = _brief(value)
        if text and value is not None and value is not False:
            parts.append(f"{name}={text}")
    return ", ".join(parts)


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


def scope_records(nodes: Sequence[TapeNode]) -> tuple[Scope, ...]:
    """The scopes of some nodes, with all that enclose them."""
    records: dict[str, Scope] = {}
    for node in nodes:
        scope = node.scope
        while scope is not None:
            path = scope.path
            if path and path not in records and scope.name:
                parent = "" if scope.parent is None else scope.parent.path
                records[path] = Scope(path, scope.kind, parent)
            scope = scope.parent
    return tuple(records.values())
