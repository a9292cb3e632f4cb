"""The graph of module calls: one box for each, whatever it computed inside.

What a module that only combines others does by itself, such as the sum at the end of a residual
connection, keeps its own small box: without it the picture would hide where paths join.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.debug.scopes import Scope
from minigrad.draw.analysis.box_edges import box_faults, edges_between
from minigrad.draw.graph.merging import total_norm
from minigrad.draw.graph.passes import scopes_around
from minigrad.draw.graph.records import Edge, Picture, PictureNode
from minigrad.draw.reading.edge_sums import EdgeSums
from minigrad.draw.reading.measure import pass_through, read_tape
from minigrad.draw.reading.opening import can_open, open_kernels
from minigrad.draw.reading.tape_states import States
from minigrad.draw.reading.targets import is_frozen
from minigrad.draw.style.scale import number_text
from minigrad.draw.views.operations_view import record_of_node, scope_records, with_key

__all__ = ["has_modules", "layers_graph"]

MOST_OPENED: Final = 500
"""Nodes of the tape of a lone module with its kernels opened; one with more is shown as it ran."""


def has_modules(outputs: Sequence[Tensor]) -> bool:
    """Whether any module was called on the way to some tensors."""
    scopes = {node.scope for node in read_tape(outputs).nodes if node.scope is not None}
    return any(part.kind for scope in scopes for part in scope.chain())


def layers_graph(
    outputs: Sequence[Tensor],
    *,
    grad: str | None = None,
    title: str = "",
    depth: int | None = None,
    kernels: bool = False,
    keys: Sequence[str] = (),
    seconds: Mapping[Node, float] | None = None,
) -> Picture:
    """One box per module call, and what each edge between them carries back.

    Args:
        outputs: the results.
        grad: as for `minigrad.draw.draw`.
        title: heading of the picture.
        depth: how many levels of modules to open: 1 shows the outermost modules as boxes; None
            opens all modules that do little more than call others, and the only one there is with
            its kernels.
        kernels: whether to leave those closed.
        keys: of the results in their container, which name their boxes.
        seconds: how long operations took, by their nodes.
    """
    calls = _CallBoxes(outputs, grad, depth)
    if not kernels and calls.shows_kernels():
        inside = _CallBoxes(open_kernels(outputs), grad, depth)
        if len(inside.tape.nodes) <= MOST_OPENED:
            calls = inside
    return calls.graph(title, keys, seconds or {})


class _CallBoxes:
    """Maps nodes of the tape to module calls."""

    def __init__(self, outputs: Sequence[Tensor], grad: str | None, depth: int | None) -> None:
        self.tape = read_tape(outputs)
        self.states = States(self.tape.nodes)
        self.grad, self.depth = grad, depth
        self.chains: dict[Scope, list[Scope]] = {}
        self.own: dict[Scope, int] = defaultdict(int)
        self.children: dict[Scope, set[Scope]] = defaultdict(set)
        for node in self.tape.nodes:
            if node.scope is None:
                continue
            chain = self._modules(node.scope)
            if chain and not node.plan.view:
                self.own[chain[-1]] += 1
            for outer, inner in itertools.pairwise(chain):
                self.children[outer].add(inner)
        self.boxes: dict[Node, Any] = {}
        self.opened: set[Scope] = set()
        self._assign()
        while depth is None and len(calls := self._shown_calls()) == 1:
            # A single box would show nothing, so the operations of the only module are shown.
            self.opened |= calls
            self.boxes = {}
            self._assign()

    def _shown_calls(self) -> set[Scope]:
        return {box for box in self.boxes.values() if isinstance(box, Scope)}

    def shows_kernels(self) -> bool:
        """Whether the only module was opened, and a kernel is among its operations."""
        opened = (node for node, box in self.boxes.items() if box is node)
        return bool(self.opened) and any(can_open(node) for node in opened)

    def _modules(self, scope: Scope) -> list[Scope]:
        """The module calls around an operation, the outermost first."""
        if scope not in self.chains:
            self.chains[scope] = [part.origin for part in scope.chain() if part.kind]
        return self.chains[scope]

    def _call(self, node: Node) -> Scope | None:
        """The call that a node is shown as a part of; None for what stands by itself."""
        if node.scope is None:
            return None
        for level, call in enumerate(self._modules(node.scope), 1):
            if call in self.opened:
                continue
            # One that computes more by itself than it has parts is a layer, such as attention.
            if level == self.depth or self.own[call] > len(self.children[call]):
                return call
            if not self.children[call]:
                return call
        return None

    def _assign(self) -> None:
        """Give every node a box; views and parameters go to the box of their only reader."""
        readers: dict[Node, set[Any]] = defaultdict(set)
        for node in reversed(self.tape.nodes):
            if pass_through(node) is not node:
                continue  # it only passes on a value, so its readers read that value
            box: Any = self._call(node)
            if box is None:
                found = readers[node]
                only = next(iter(found)) if len(found) == 1 else None
                learned = isinstance(node, Leaf) and node.learned and isinstance(only, Scope)
                box = only if only is not None and (node.plan.view or learned) else node
            self.boxes[node] = box
            for source in node.inputs:
                if source is not None:
                    readers[pass_through(source)].add(box)

    def _place(self, node: Node, source: Node, term: Any) -> Any:
        """The boxes between which an edge of the tape runs."""
        ends = self.boxes[pass_through(source)], self.boxes[node]
        return None if ends[0] == ends[1] else (ends, source, term)

    def graph(self, title: str, keys: Sequence[str], seconds: Mapping[Node, float]) -> Picture:
        """The picture's records."""
        sums = edges_between(
            self.tape, self.grad, self._place, lambda node: self.boxes.get(node) is node
        )
        members: dict[Any, list[Node]] = defaultdict(list)
        for node in self.tape.nodes:
            if node in self.boxes:
                members[self.boxes[node]].append(node)
        firsts = {
            # Views of weights are older than what was copied around them.
            box: min(
                (n.number for n in nodes if not isinstance(n, Leaf) and not n.plan.view),
                default=nodes[0].number,
            )
            for box, nodes in members.items()
        }
        order = sorted(members, key=firsts.__getitem__)
        ids = {box: rank for rank, box in enumerate(order)}
        nodes = [self._record(box, ids[box], members[box], sums) for box in order]
        for tensor, key in zip(self.tape.outputs, keys, strict=False):
            if tensor._node is not None:
                home = ids[self.boxes[pass_through(tensor._node)]]
                nodes[home] = with_key(nodes[home], key)
        times: dict[Any, float] = defaultdict(float)
        for node in self.tape.nodes:
            if node in seconds:
                times[self.boxes[pass_through(node)]] += seconds[node]
        for box, time in times.items():
            nodes[ids[box]] = replace(nodes[ids[box]], seconds=time)
        edges = []
        slots: dict[Any, int] = defaultdict(int)
        for (start, end), edge in sorted(sums.edges.items(), key=lambda item: ids[item[0][0]]):
            edges.append(
                Edge(
                    ids[start],
                    ids[end],
                    slots[end],
                    shape=edge.shape,
                    contribution=edge.contribution(sums.wholes[start]),
                    count=edge.count,
                )
            )
            slots[end] += 1
        faults = box_faults(self.tape, self.grad, sums)
        for fault in reversed(faults):
            home = ids[self.boxes[pass_through(fault.node)]]
            nodes[home] = replace(nodes[home], fault=fault.mark)
        return Picture(
            tuple(nodes),
            tuple(edges),
            scopes_around(scope_records(self.states), nodes),
            level="layers",
            title=title,
            diagnosis=tuple(fault.sentence for fault in faults),
        )

    def _record(self, box: Any, number: int, nodes: list[Node], sums: EdgeSums) -> PictureNode:
        gradient = sums.gradients.get(box)
        if not isinstance(box, Scope):
            return self._placed(record_of_node(box, number, gradient, self.states), box.scope)
        parameters = [node for node in nodes if isinstance(node, Leaf)]
        last = nodes[-1]
        several = bool(last.shape) and isinstance(last.shape[0], tuple)
        shape = last.shape[0] if several else last.shape
        dtype = last.dtype[0] if several else last.dtype
        path = self.states.names(box)
        parent = self.states.names(box.parent)
        name = path.removeprefix(f"{parent}.") if parent else path
        record = PictureNode(
            number,
            "group",
            op=box.kind,
            name="" if name == box.kind else name,
            **self.states.on_axis(self.states.time_within(box, last)),
            shape=tuple(shape),
            dtype=str(dtype),
            detail=_parameter_detail(parameters, sums, self.grad),
            gradient=gradient,
        )
        return self._placed(record, box.parent)

    def _placed(self, node: PictureNode, scope: Scope | None) -> PictureNode:
        """A record with the path of the modules that a scope is in, and that of the part of one.

        Parts have names alone: the module's own path, by which it is found, is without them.
        """
        if scope is None:
            return node
        path, whole = self.states.names.module_path(scope), self.states.names(scope)
        return replace(node, scope=path, part="" if whole == path else whole)


def _parameter_detail(parameters: list[Leaf], sums: EdgeSums, grad: str | None) -> str:
    """The number of weights of a module, and the norm of their gradients."""
    if not parameters:
        return ""
    count = sum(math.prod(leaf.shape) for leaf in parameters)
    text = f"{count:,} weight{'s' * (count != 1)}"
    frozen = sum(math.prod(leaf.shape) for leaf in parameters if is_frozen(leaf))
    if frozen:
        text += " (frozen)" if frozen == count else f" ({frozen:,} frozen)"
    norms = [
        known.norm
        for leaf in parameters
        if (known := sums.gradients.get(leaf)) is not None and known.norm is not None
    ]
    if grad is None or not norms:
        return text
    return f"{text}, gradient {number_text(total_norm(norms))}"
