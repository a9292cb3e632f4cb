"""The graph of cells and time steps: what a recurrent network looks like when it is unrolled.

A cell is a scope in which states were labelled. All operations of one cell at one time step become
one box, its states become lanes between the boxes, and everything else is grouped by module. What
an edge carries back is the exact sum of the terms of the operations that it stands for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from minigrad.draw.errors import DrawError
from minigrad.draw.measure import (
    contribution_of,
    pass_through,
    read_tape,
    statistics_of,
)
from minigrad.draw.operations_view import record_of_node, scope_records
from minigrad.draw.records import Edge, Graph, Node, Statistics
from minigrad.mode import Scope
from minigrad.nodes import Leaf
from minigrad.nodes import Node as TapeNode
from minigrad.tensors import Tensor

__all__ = ["cells_graph", "has_cells"]

Key = tuple[str, int | None]  # the path of a cell or module, and its time step


def has_cells(outputs: Sequence[Tensor]) -> bool:
    """Whether any cell labelled a state in the graph of some tensors."""
    return any(_state(node) for node in read_tape(outputs).nodes)


def cells_graph(
    outputs: Sequence[Tensor], *, grad: Literal["norm"] | None = None, title: str = ""
) -> Graph:
    """Cells by layer and time step, their states, and what each edge carries back.

    Raises DrawError when no cell labelled a state.
    """
    return _Grouping(outputs, grad).graph(title)


def _state(node: TapeNode) -> str | None:
    return None if node.scope is None else node.scope.state


@dataclass
class _Flow:
    """What one edge of the picture stands for: the summed term, and how many edges of the tape."""

    term: Any = None
    count: int = 0
    shape: tuple[int, ...] | None = None
    slots: list[int] = field(default_factory=list)


class _Grouping:
    """Maps nodes of the tape to boxes of the picture."""

    def __init__(self, outputs: Sequence[Tensor], grad: str | None) -> None:
        self.tape = read_tape(outputs)
        self.grad = grad
        states = [node for node in self.tape.nodes if _state(node)]
        if not states:
            raise DrawError(
                "level='cells' needs a recurrent network whose steps are on the tape: no cell "
                "labelled a state. Record it with `with minigrad.recording(fused=False):`, or "
                "label the states of your own cell with minigrad.label_state(h, 'h')."
            )
        # A cell's layer is its place in the order in which the cells first ran.
        paths = dict.fromkeys(node.scope.path for node in states if node.scope is not None)
        self.layers = {path: layer for layer, path in enumerate(paths)}
        self.boxes: dict[TapeNode, Any] = {}
        self._assign()

    def _cell_scope(self, scope: Scope | None) -> Scope | None:
        """The innermost enclosing scope that is a cell, with its time step below it."""
        while scope is not None and scope.path not in self.layers:
            scope = scope.parent
        return scope

    def _key(self, node: TapeNode) -> Key | None:
        """The cell or module that a node belongs to; None for glue between them."""
        if node.scope is None:
            return None if node.plan.view else ("", None)
        cell = self._cell_scope(node.scope)
        if cell is not None:
            return (cell.path, node.scope.time_step) if node.scope.time_step is not None else None
        kinds = [scope for scope in node.scope.chain() if scope.kind]
        # Operations of a module that contains the cells are glue: they reshape and pass on.
        if kinds and not any(path.startswith(f"{kinds[-1].path}.") for path in self.layers):
            return (kinds[-1].path, node.scope.time_step)
        return None

    def _assign(self) -> None:
        """Give every node a box; glue goes to the box of its only reader, else gets its own."""
        readers: dict[TapeNode, set[Any]] = defaultdict(set)
        for node in reversed(self.tape.nodes):
            box: Any
            if isinstance(node, Leaf) or _state(node):
                box = node
            else:
                key = self._key(node)
                found = readers[node]
                box = key if key is not None else next(iter(found)) if len(found) == 1 else node
                # A state reads through its cell, so glue in front of it belongs to the cell.
            self.boxes[node] = box
            reader = self._key(node) if _state(node) else box
            for source in node.inputs:
                if source is not None and not self._picks_one(node):
                    readers[source].add(reader)

    def _picks_one(self, node: TapeNode) -> bool:
        """Whether a node takes one array out of a stack of them, so that both can be left out."""
        return self._picked(node) is not None

    def _picked(self, node: TapeNode) -> tuple[TapeNode, int, int] | None:
        """The array, its axis and place, that `stack(arrays)[:, t]` picks."""
        stacked = node.inputs[0] if node.plan.name == "getitem" else None
        if stacked is None or pass_through(stacked).plan.name != "stack":
            return None
        stacked = pass_through(stacked)
        axis = stacked.params["axis"] % len(stacked.shape)
        index = node.params["index"]
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != axis + 1 or any(part != slice(None) for part in index[:-1]):
            return None
        if not isinstance(index[-1], (int, np.integer)):
            return None
        place = int(index[-1]) % len(stacked.inputs)
        source = stacked.inputs[place]
        return None if source is None else (source, axis, place)

    def _flows(self) -> tuple[dict[tuple[Any, Any], _Flow], dict[TapeNode, Any]]:
        """The edges between boxes with their summed terms, and the gradients of leaves."""
        flows: dict[tuple[Any, Any], _Flow] = defaultdict(_Flow)
        picked = {node: p for node in self.tape.nodes if (p := self._picked(node)) is not None}
        skipped = {
            pass_through(source) for node in picked if (source := node.inputs[0]) is not None
        }
        unpicked = {
            pass_through(source)
            for node in self.tape.nodes
            if node not in picked
            for source in node.inputs
            if source is not None
        }
        skipped -= unpicked

        def enter(node: TapeNode, source: TapeNode, slot: int, term: Any) -> None:
            if node in skipped:
                return
            if node in picked and pass_through(source) in skipped:
                source, axis, place = picked[node]
                if term is not None:
                    term = np.take(term, place, axis=axis)
            start, end = self.boxes[pass_through(source)], self.boxes[node]
            if start == end:
                return
            if _state(node):
                key = self._key(node)
                if start != key and not (isinstance(start, TapeNode) and _state(start)):
                    end = key
                elif isinstance(start, TapeNode) and self._key(start) != key:
                    end = key  # a state of another step enters through the cell
            if isinstance(start, TapeNode) and _state(start) and self._key(start) == end:
                # Within its own cell a state leads on to the other state: c to h.
                others = [n for n in self._states_of(end) if n is not start]
                if not others:
                    return
                end = others[-1]
            flow = flows[start, end]
            flow.count += 1
            flow.shape = tuple(source.shape)
            if term is not None:
                flow.term = term if flow.term is None else flow.term + term

        for node in self.tape.nodes:
            for slot, source in enumerate(node.inputs):
                if source is not None and pass_through(node) is node and self.grad is None:
                    enter(node, source, slot, None)
        leaves: dict[TapeNode, Any] = {}
        if self.grad is not None:
            leaves = self.tape.send_back(
                lambda node, source, slot, term: (
                    enter(node, source, slot, term) if pass_through(node) is node else None
                )
            )
        return flows, leaves

    def _states_of(self, key: Any) -> list[TapeNode]:
        if not hasattr(self, "_states"):
            states: dict[Any, list[TapeNode]] = defaultdict(list)
            for node in self.tape.nodes:
                if _state(node):
                    states[self._key(node)].append(node)
            self._states = states
        return self._states[key]

    def graph(self, title: str) -> Graph:
        """The picture's records."""
        flows, leaves = self._flows()
        used = {box for ends in flows for box in ends}
        used |= {key for node in self.tape.nodes if _state(node) and (key := self._key(node))}
        firsts: dict[Any, TapeNode] = {}
        for node in self.tape.nodes:
            if (box := self.boxes[node]) in used:
                firsts.setdefault(box, node)
        for node in self.tape.nodes:
            key = self._key(node)
            if key in used:
                firsts.setdefault(key, node)
        order = sorted(firsts, key=lambda box: firsts[box].number)
        ids = {box: rank for rank, box in enumerate(order)}
        totals: dict[Any, Any] = {}
        for (start, _), flow in flows.items():
            if flow.term is not None:
                totals[start] = flow.term if start not in totals else _sum(totals[start], flow.term)
        nodes = [self._record(box, ids[box], totals.get(box), leaves) for box in order]
        edges = [
            Edge(
                ids[start],
                ids[end],
                shape=flow.shape,
                contribution=None
                if flow.term is None
                else contribution_of(flow.term, totals[start])
                if totals[start] is not None
                else contribution_of(flow.term, flow.term),
                count=flow.count,
            )
            for (start, end), flow in flows.items()
        ]
        for node in self.tape.nodes:
            if _state(node) and (self._key(node), node) not in flows and self._key(node) in ids:
                edges.append(Edge(ids[self._key(node)], ids[node], shape=tuple(node.shape)))
        graph = Graph(
            tuple(nodes), tuple(edges), scope_records(self.tape.nodes), level="cells", title=title
        )
        return _with_title_and_diagnosis(graph)

    def _record(self, box: Any, number: int, total: Any, leaves: dict[TapeNode, Any]) -> Node:
        if isinstance(box, Leaf):
            gradient = leaves.get(box)
            return record_of_node(
                box, number, None if gradient is None else statistics_of(gradient)
            )
        if isinstance(box, TapeNode) and _state(box):
            path, step = self._key(box) or ("", None)
            return Node(
                number,
                "state",
                state=_state(box) or "",
                scope=path,
                step=step,
                layer=self.layers[path],
                shape=tuple(box.shape),
                dtype=str(box.dtype),
                gradient=Statistics(norm=0.0)
                if total is None and self.grad is not None
                else None
                if total is None
                else statistics_of(total),
            )
        if isinstance(box, TapeNode):
            return record_of_node(box, number, None)
        path, step = box
        if path in self.layers:
            kind = next(
                (
                    s.kind
                    for n in self.tape.nodes
                    for s in (n.scope.chain() if n.scope else ())
                    if s.path == path and s.kind
                ),
                "cell",
            )
            return Node(number, "group", op=kind, scope=path, step=step, layer=self.layers[path])
        if not path:
            return Node(number, "group", op="loss", step=None)
        return Node(number, "group", op=path.rpartition(".")[2], scope=path, step=step)


def _sum(one: Any, other: Any) -> Any:
    """The sum of two terms of one gradient; None once they are not of one value."""
    return None if one is None or np.shape(one) != np.shape(other) else one + other


def _with_title_and_diagnosis(graph: Graph) -> Graph:
    """Say what cells the picture shows and how the gradient fared along each lane."""
    cells = [node for node in graph.nodes if node.kind == "group" and node.layer is not None]
    steps = sorted({node.step for node in cells if node.step is not None})
    layers = sorted({node.layer for node in cells if node.layer is not None})
    kinds = sorted({node.op for node in cells})
    title = graph.title or (
        f"The gradient's way back through {len(steps)} steps of {', '.join(kinds)}"
        + (f", {len(layers)} layers" if len(layers) > 1 else "")
    )
    sentences = []
    for layer in layers:
        for state in sorted({n.state for n in graph.nodes if n.kind == "state"}):
            norms = [
                (node.step, node.gradient.norm)
                for node in graph.nodes
                if node.kind == "state"
                and node.state == state
                and node.layer == layer
                and node.step is not None
                and node.gradient is not None
                and node.gradient.norm is not None
            ]
            sentence = _lane_sentence(state, sorted(norms))
            if sentence:
                prefix = f"layer {layer}: " if len(layers) > 1 else ""
                text = prefix + sentence
                sentences.append(text[0].upper() + text[1:])
    return Graph(graph.nodes, graph.edges, graph.scopes, graph.level, title, tuple(sentences))


def _lane_sentence(state: str, norms: list[tuple[int, float]]) -> str:
    """How the gradient norm of one state changes on the way back in time."""
    if len(norms) < 2:
        return ""
    if any(not math.isfinite(norm) for _, norm in norms):
        last = max(step for step, norm in norms if not math.isfinite(norm))
        return f"along {state} the gradient is not finite from step {last} back."
    (first, at_first), (last, _) = norms[0], norms[-1]
    peak_step, peak = max(norms, key=lambda pair: (pair[1], pair[0]))
    if peak == 0:
        return f"along {state} the gradient is zero."
    if at_first == 0:
        return f"along {state} the gradient is exactly zero at step {first}."
    lag = peak_step - first
    if not lag:
        factor = at_first / norms[-1][1] if norms[-1][1] else math.inf
        return (
            f"along {state} the gradient grows {factor:.3g}-fold from step {last} back to {first}."
        )
    factor = peak / at_first
    words = (
        f"along {state} the gradient falls {factor:.3g}-fold over the {lag} "
        f"{'step' if lag == 1 else 'steps'} back to step {first}"
    )
    if factor > 1.01:
        words += f", by half every {lag / math.log2(factor):.2g} steps"
    return words + "."
