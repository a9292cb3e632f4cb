"""The graph of cells and time steps: what a recurrent network looks like when it is unrolled.

A cell is a scope in which states were labelled. All operations of one cell at one time step become
one box, its states become lanes between the boxes, and everything else is grouped by module. What
an edge carries back is the exact sum of the terms of the operations that it stands for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.draw.box_flows import box_faults, box_flows
from minigrad.draw.diagnosis import describe_cells
from minigrad.draw.measure import pass_through, read_tape
from minigrad.draw.meter import taken
from minigrad.draw.operations_view import record_of_node, scope_records
from minigrad.draw.records import Edge, Graph, Node, Statistics
from minigrad.draw.tape_states import missing_states
from minigrad.mode import Scope
from minigrad.nodes import Leaf
from minigrad.nodes import Node as TapeNode
from minigrad.tensors import Tensor

__all__ = ["cells_graph", "has_cells"]

Key = tuple[str, int | None]  # the path of a cell or module, and its time step


def has_cells(outputs: Sequence[Tensor]) -> bool:
    """Whether any cell labelled a state in the graph of some tensors."""
    return any(_state(node) for node in read_tape(outputs).nodes)


def cells_graph(outputs: Sequence[Tensor], *, grad: str | None = None, title: str = "") -> Graph:
    """Cells by layer and time step, their states, and what each edge carries back.

    Raises DrawError when no cell labelled a state.
    """
    return _Grouping(outputs, grad).graph(title)


def _state(node: TapeNode) -> str | None:
    return None if node.scope is None else node.scope.state


class _Grouping:
    """Maps nodes of the tape to boxes of the picture."""

    def __init__(self, outputs: Sequence[Tensor], grad: str | None) -> None:
        self.tape = read_tape(outputs)
        self.grad = grad
        self._keys: dict[Scope, Key | None] = {}
        self._cells: dict[Scope | None, Scope | None] = {}
        states = [node for node in self.tape.nodes if _state(node)]
        if not states:
            raise missing_states("level='cells'", self.tape.nodes)
        # A cell's layer is its place in the order in which the cells first ran.
        paths = dict.fromkeys(node.scope.path for node in states if node.scope is not None)
        self.layers = {path: layer for layer, path in enumerate(paths)}
        self.boxes: dict[TapeNode, Any] = {}
        self._assign()

    def _cell_scope(self, scope: Scope | None) -> Scope | None:
        """The innermost enclosing scope that is a cell, with its time step below it."""
        passed = []
        while scope is not None and scope not in self._cells:
            passed.append(scope)
            if scope.path in self.layers:
                break
            scope = scope.parent
        found = self._cells.get(scope, scope)
        for inner in passed:
            self._cells[inner] = found
        return found

    def _key(self, node: TapeNode) -> Key | None:
        """The cell or module that a node belongs to; None for glue between them."""
        if node.scope is None:
            return None if node.plan.view else ("", None)
        if node.scope not in self._keys:
            self._keys[node.scope] = self._key_of(node.scope)
        return self._keys[node.scope]

    def _key_of(self, scope: Scope) -> Key | None:
        cell = self._cell_scope(scope)
        if cell is not None:
            return (cell.path, scope.time_step) if scope.time_step is not None else None
        kinds = [part for part in scope.chain() if part.kind]
        # Operations of a module that contains the cells are glue: they reshape and pass on.
        if kinds and not any(path.startswith(f"{kinds[-1].path}.") for path in self.layers):
            return (kinds[-1].path, scope.time_step)
        return None

    def _assign(self) -> None:
        """Give every node a box; glue goes to the box of its only reader, else gets its own."""
        readers: dict[TapeNode, set[Any]] = defaultdict(set)
        for node in reversed(self.tape.nodes):
            if pass_through(node) is not node:
                continue  # another name for a value: its readers read the value itself
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
                    readers[pass_through(source)].add(reader)

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

    def _place(self, node: TapeNode, source: TapeNode, term: Any) -> Any:
        """The boxes between which an edge of the tape runs; see `minigrad.draw.box_flows.Place`."""
        if node in self._skipped:
            return None
        if node in self._picks and pass_through(source) in self._skipped:
            source, axis, place = self._picks[node]
            if term is not None:
                term = taken(term, axis, place)
        start, end = self.boxes[pass_through(source)], self.boxes[node]
        if start == end:
            return None
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
                return None
            end = others[-1]
        return (start, end), source, term

    @cached_property
    def _picks(self) -> dict[TapeNode, tuple[TapeNode, int, int]]:
        """The nodes that take one array out of a stack of them, with what they take."""
        return {node: p for node in self.tape.nodes if (p := self._picked(node)) is not None}

    @cached_property
    def _skipped(self) -> set[TapeNode]:
        """The stacks from which single arrays are taken and nothing else: they are left out."""
        stacks = {
            pass_through(source) for node in self._picks if (source := node.inputs[0]) is not None
        }
        otherwise = {
            pass_through(source)
            for node in self.tape.nodes
            if node not in self._picks and pass_through(node) is node
            for source in node.inputs
            if source is not None
        }
        return stacks - otherwise

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
        flows, meter = box_flows(
            self.tape,
            self.grad,
            self._place,
            lambda node: isinstance(node, Leaf) or bool(_state(node)),
        )
        used = {box for ends in flows for box in ends}
        used |= {key for node in self.tape.nodes if _state(node) and (key := self._key(node))}
        used |= {node for node in self.tape.nodes if _state(node)}  # the last one has no reader
        firsts: dict[Any, TapeNode] = {}
        for node in self.tape.nodes:
            if (box := self.boxes.get(node)) in used:
                firsts.setdefault(box, node)
        for node in self.tape.nodes:
            key = self._key(node)
            if key in used:
                firsts.setdefault(key, node)
        order = sorted(firsts, key=lambda box: firsts[box].number)
        ids = {box: rank for rank, box in enumerate(order)}
        nodes = [self._record(box, ids[box], meter.gradients.get(box)) for box in order]
        edges = [
            Edge(
                ids[start],
                ids[end],
                shape=flow.shape,
                contribution=flow.contribution(meter.wholes[start]),
                count=flow.count,
            )
            for (start, end), flow in flows.items()
        ]
        for node in self.tape.nodes:
            if _state(node) and (self._key(node), node) not in flows and self._key(node) in ids:
                edges.append(Edge(ids[self._key(node)], ids[node], shape=tuple(node.shape)))
        faults = box_faults(self.tape, self.grad, meter)
        for fault in reversed(faults):
            home = self._key(fault.node) if _state(fault.node) else self.boxes.get(fault.node)
            if home in ids:
                nodes[ids[home]] = replace(nodes[ids[home]], fault=fault.mark)
        scopes = scope_records(self.tape.nodes)
        graph = Graph(tuple(nodes), tuple(edges), scopes, level="cells", title=title)
        return describe_cells(graph, [fault.sentence for fault in faults])

    def _record(self, box: Any, number: int, gradient: Statistics | None) -> Node:
        if isinstance(box, Leaf):
            return record_of_node(box, number, gradient)
        if isinstance(box, TapeNode) and _state(box):
            path, step = self._key(box) or ("", None)
            if gradient is None and self.grad is not None:
                gradient = Statistics(norm=0.0)
            return Node(
                number,
                "state",
                state=_state(box) or "",
                scope=path,
                step=step,
                layer=self.layers[path],
                shape=tuple(box.shape),
                dtype=str(box.dtype),
                gradient=gradient,
            )
        if isinstance(box, TapeNode):
            return record_of_node(box, number, None)
        path, step = box
        if path in self.layers:
            kind = self._kinds.get(path, "cell")
            return Node(number, "group", op=kind, scope=path, step=step, layer=self.layers[path])
        if not path:
            return Node(number, "group", op="loss", step=None)
        return Node(number, "group", op=path.rpartition(".")[2], scope=path, step=step)

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The class name of each cell."""
        kinds: dict[str, str] = {}
        for scope in {node.scope: None for node in self.tape.nodes}:
            for part in () if scope is None else scope.chain():
                if part.kind:
                    kinds.setdefault(part.path, part.kind)
        return kinds
