"""The graph of cells and time steps: what a recurrent network looks like when it is unrolled.

A cell is a scope in which states were labelled. All operations of one cell at one time step become
one box, its states become lanes between the boxes, and everything else is grouped by module. What
an edge carries back is the exact sum of the terms of the operations that it stands for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.debug.scopes import Scope
from minigrad.draw.analysis.box_edges import box_faults, edges_between
from minigrad.draw.graph.records import Edge, Picture, PictureNode, Statistics
from minigrad.draw.reading.edge_sums import term_of_item
from minigrad.draw.reading.measure import picked, read_tape
from minigrad.draw.reading.named_states import labels_on
from minigrad.draw.reading.sequences import Call, labels_of
from minigrad.draw.reading.tape_states import States
from minigrad.draw.views.diagnosis import describe_cells
from minigrad.draw.views.operations_view import record_of_node, scope_records
from minigrad.forks import cached_property

__all__ = ["cells_graph", "has_cells"]

Key = Call | tuple[str, int | None]
"""A step of a cell, or the path of a module and its time."""


def has_cells(outputs: Sequence[Tensor]) -> bool:
    """Whether any cell labelled a state in the graph of some tensors."""
    return bool(labels_of(read_tape(outputs).nodes))


def cells_graph(
    outputs: Sequence[Tensor],
    *,
    grad: str | None = None,
    title: str = "",
    states: Mapping[str, Sequence[Tensor]] | None = None,
) -> Picture:
    """Cells by layer and time step, their states, and what each edge carries back.

    Args:
        outputs: the results, with kernels opened.
        grad, title: as for `minigrad.draw.draw`.
        states: named states, see `minigrad.draw.reading.named_states.open_with_states`.

    Raises DrawError when no cell labelled a state, and none was named or found.
    """
    return _CellBoxes(outputs, grad, states or {}).graph(title)


class _CellBoxes:
    """Maps nodes of the tape to boxes of the picture."""

    def __init__(
        self,
        outputs: Sequence[Tensor],
        grad: str | None,
        named: Mapping[str, Sequence[Tensor]],
    ) -> None:
        self.tape = read_tape(outputs)
        self.grad = grad
        self.states = States(self.tape.nodes, labels_on(self.tape.nodes, named))
        self.states.require("level='cells'")
        self._containers: set[Any] = set()  # modules with cells in them, which only pass values on
        passed: set[Scope] = set()
        for call in self.states.calls:
            scope = call.scope
            while scope is not None and scope not in passed:
                passed.add(scope)
                self._containers.add(scope.identity)
                scope = scope.parent
        self._read_by_cells = self._nodes_read_by_cells()
        self.boxes: dict[Node, Any] = {}
        self._assign()

    def _is_state(self, node: Any) -> bool:
        return node in self.states.lane_of

    def _key(self, node: Node) -> Key | None:
        """The cell or module that a node belongs to; None for glue between them."""
        call = self.states.call_of(node)
        if call is not None:
            return call
        scope = self._module(node)
        if scope is not None:
            return self.states.names(scope), self.states.time_of(node)
        inside = node.scope is not None and any(part.kind for part in node.scope.chain())
        # What a module or a cell still reads is no part of the loss.
        return None if inside or node.plan.view or node in self._read_by_cells else ("", None)

    def _module(self, node: Node) -> Scope | None:
        """The innermost module around a node, unless it has cells inside and passes values on."""
        scope = node.scope
        while scope is not None and not scope.kind:
            scope = scope.parent
        return None if scope is None or scope.identity in self._containers else scope

    def _nodes_read_by_cells(self) -> set[Node]:
        """The nodes on which a module or a cell depends."""
        found: set[Node] = set()
        for node in reversed(self.tape.nodes):
            if node in found or self._module(node) or self.states.call_of(node):
                found.update(source for source in node.inputs if source is not None)
        return found

    def _through(self, node: Node) -> Node:
        """The node itself, or the one whose value it only passes on; but a state is itself."""
        while node not in self.states.lane_of and node.plan.name in ("output", "alias"):
            source = node.inputs[0]
            if source is None:
                break
            node = source
        return node

    def _assign(self) -> None:
        """Give every node a box; glue goes to the box of its only reader, else gets its own."""
        readers: dict[Node, set[Any]] = defaultdict(set)
        for node in reversed(self.tape.nodes):
            if self._through(node) is not node:
                continue  # it only passes on a value, so its readers read that value
            box: Any
            if isinstance(node, Leaf) or self._is_state(node):
                box = node
            else:
                key = self._key(node)
                found = readers[node]
                box = key if key is not None else next(iter(found)) if len(found) == 1 else node
                # A state reads through its cell, so glue in front of it belongs to the cell.
            self.boxes[node] = box
            reader = self._key(node) if self._is_state(node) else box
            for source in node.inputs:
                if source is not None and not self._picks_one(node):
                    readers[self._through(source)].add(reader)

    def _picks_one(self, node: Node) -> bool:
        """Whether a node takes one array out of a stack of them, so that both can be left out."""
        return self._picked(node) is not None

    def _picked(self, node: Node) -> tuple[Node, int, int] | None:
        return picked(node, self._through)

    def _place(self, node: Node, source: Node, term: Any) -> Any:
        """The boxes between which an edge of the tape runs; see `box_edges.Place`."""
        if node in self._skipped:
            return None
        if node in self._picks and self._through(source) in self._skipped:
            source, axis, place = self._picks[node]
            if term is not None:
                term = term_of_item(term, axis, place)
        start, end = self.boxes[self._through(source)], self.boxes[node]
        if start == end:
            return None
        if self._is_state(node):
            key = self._key(node)
            if start != key and not (isinstance(start, Node) and self._is_state(start)):
                end = key
            elif isinstance(start, Node) and self._key(start) != key:
                end = key  # a state of another step enters through the cell
        if isinstance(start, Node) and self._is_state(start) and self._key(start) == end:
            # Within its own cell a state leads on to the other state: c to h.
            others = [n for n in self._states_by_key[end] if n is not start]
            if not others:
                return None
            end = others[-1]
        return (start, end), source, term

    @cached_property
    def _picks(self) -> dict[Node, tuple[Node, int, int]]:
        """The nodes that take one array out of a stack of them, with what they take."""
        return {node: p for node in self.tape.nodes if (p := self._picked(node)) is not None}

    @cached_property
    def _skipped(self) -> set[Node]:
        """The stacks from which single arrays are taken and nothing else: they are left out."""
        stacks = {
            self._through(source) for node in self._picks if (source := node.inputs[0]) is not None
        }
        otherwise = {
            self._through(source)
            for node in self.tape.nodes
            if node not in self._picks and self._through(node) is node
            for source in node.inputs
            if source is not None
        }
        return stacks - otherwise

    @cached_property
    def _states_by_key(self) -> dict[Any, list[Node]]:
        """The states that each step of a cell makes."""
        states: dict[Any, list[Node]] = defaultdict(list)
        for node in self.states.lane_of:
            states[self._key(node)].append(node)
        return states

    def graph(self, title: str) -> Picture:
        """The picture's records."""
        sums = edges_between(
            self.tape,
            self.grad,
            self._place,
            lambda node: isinstance(node, Leaf) or bool(self._is_state(node)),
        )
        used = {box for ends in sums.edges for box in ends}
        used |= {
            key for node in self.tape.nodes if self._is_state(node) and (key := self._key(node))
        }
        used |= {
            node for node in self.tape.nodes if self._is_state(node)
        }  # the last one has no reader
        firsts: dict[Any, Node] = {}
        for node in self.tape.nodes:
            if (box := self.boxes.get(node)) in used:
                firsts.setdefault(box, node)
        for node in self.tape.nodes:
            key = self._key(node)
            if key in used:
                firsts.setdefault(key, node)
        order = sorted(firsts, key=lambda box: firsts[box].number)
        ids = {box: rank for rank, box in enumerate(order)}
        nodes = [self._record(box, ids[box], sums.gradients.get(box)) for box in order]
        edges = [
            Edge(
                ids[start],
                ids[end],
                shape=edge.shape,
                contribution=edge.contribution(sums.wholes[start]),
                count=edge.count,
            )
            for (start, end), edge in sums.edges.items()
        ]
        for node in self.tape.nodes:
            if (
                self._is_state(node)
                and (self._key(node), node) not in sums.edges
                and self._key(node) in ids
            ):
                edges.append(Edge(ids[self._key(node)], ids[node], shape=tuple(node.shape)))
        faults = box_faults(self.tape, self.grad, sums)
        for fault in reversed(faults):
            home = (
                self._key(fault.node) if self._is_state(fault.node) else self.boxes.get(fault.node)
            )
            if home in ids:
                nodes[ids[home]] = replace(nodes[ids[home]], fault=fault.mark)
        scopes = scope_records(self.states)
        graph = Picture(tuple(nodes), tuple(edges), scopes, level="cells", title=title)
        return describe_cells(graph, [fault.sentence for fault in faults])

    @cached_property
    def _backwards(self) -> dict[str, bool]:
        """Whether each sequence reads time backwards."""
        return {title: self.states.backwards(title) for title in self.states.layers}

    def _record(self, box: Any, number: int, gradient: Statistics | None) -> PictureNode:
        states = self.states
        if isinstance(box, Leaf):
            return record_of_node(box, number, gradient, states)
        if box in states.lane_of:
            call = states.call_of(box)
            assert call is not None
            if gradient is None and self.grad is not None:
                gradient = Statistics(norm=0.0)
            return PictureNode(
                number,
                "state",
                reverse=self._backwards[states.title_of(call)],
                state=states.lane_of[box][0].state,
                scope=states.path_of(call),
                layer=states.layers[states.title_of(call)],
                shape=tuple(box.shape),
                dtype=str(box.dtype),
                gradient=gradient,
                **states.on_axis(call.time),
            )
        if isinstance(box, Node):
            return record_of_node(box, number, None, states)
        if isinstance(box, Call):
            path = states.path_of(box)
            kind = states.kind_of(path)
            layer = states.layers[states.title_of(box)]
            place = states.on_axis(box.time)
            reverse = self._backwards[states.title_of(box)]
            return PictureNode(
                number, "group", op=kind, scope=path, layer=layer, reverse=reverse, **place
            )
        path, time = box
        op = path.rpartition(".")[2] or "loss"
        if op.isdecimal():  # an index in a list of modules says less than the class
            op = states.kind_of(path)
        return PictureNode(number, "group", op=op, scope=path, **states.on_axis(time))
