"""Data and operations without gradient in a graph, where they were recorded.

The tape holds only what requires grad. A recording under ``recording(replay=True)`` also knows
constants, by the identity of their arrays, and the operations that read them. Here they are added
to a copy of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.core.nodes import Leaf, Node, next_number
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.calls import Call, Constant, Result, call_of, source_of_tensor
from minigrad.draw.reading.measure import read_tape
from minigrad.draw.reading.opening import copy_node
from minigrad.ops.fusing import FusedPlan

__all__ = ["Data", "has_data", "with_data"]


class Data(Leaf):
    """A constant in a picture."""

    __slots__ = ()


class _PlainPlan:
    """The plan of an operation through which no gradient flows."""

    view = False
    saved_slots = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def vjp(self, node: Node, g: Any) -> Sequence[Any]:
        return (None,) * len(node.inputs)

    vjp_recorded = vjp


def with_data(
    outputs: Sequence[Tensor], *, constants: bool | Mapping[int, str] = True
) -> list[Tensor]:
    """The same tensors, at the end of a graph that has their constants, where they are known.

    Shown are arrays of at least one axis and what was computed from them; single numbers stay
    parts of the operations. Without a recording for replay the tensors are as they were.

    Args:
        outputs: the results.
        constants: False leaves out constants and what was computed from them alone; what was
            computed from leaves without gradient, as under `no_grad`, is shown all the same. The
            names of some arrays, by their ids, show those alone.
    """
    known = _Completed(constants)
    return [known.output(tensor) for tensor in outputs]


def has_data(nodes: Iterable[Node]) -> bool:
    """Whether constants, or operations without gradient, are among some nodes."""
    return any(isinstance(node, Data) or node.plan.__class__ is _PlainPlan for node in nodes)


class _Completed:
    """The copied part of a graph."""

    def __init__(self, constants: bool | Mapping[int, str]) -> None:
        self.shows_constants = constants is True
        self.names = {} if isinstance(constants, bool) else constants
        self.nodes: dict[Node, Node] = {}
        self.constants: dict[int, Data] = {}
        self.calls: dict[Call, Node | None] = {}
        self.kept: list[Any] = []  # arrays, so that no id is used again

    def output(self, tensor: Tensor) -> Tensor:
        """One result."""
        if tensor._node is None:
            source = source_of_tensor(tensor, note=False)
            node = self.made(source) if isinstance(source, Result) else None
            if node is None:
                return tensor
            found = wrap(tensor._array, node)
            leaves = [n for n in read_tape([found]).nodes if isinstance(n, Leaf)]
            alone = all(isinstance(leaf, Data) for leaf in leaves)
            return tensor if alone and not self.shows_constants else found
        tape = read_tape([tensor])
        if not any(call_of(node) is not None for node in tape.nodes):
            return tensor
        for node in tape.nodes:
            if node not in self.nodes:
                self.nodes[node] = self.completed(node)
        return wrap(tensor._array, self.nodes[tensor._node])

    def completed(self, node: Node) -> Node:
        """A node that reads copies, and constants where the tape has nothing."""
        call = call_of(node)
        inputs: list[Node | None] = []
        for slot, source in enumerate(node.inputs):
            if source is not None:
                inputs.append(self.nodes[source])
            else:
                inputs.append(None if call is None else self.made(call.inputs[slot]))
        if call is not None and not isinstance(node.plan, FusedPlan):
            # Data among the parameters, such as an index. A kernel is opened with its inputs alone.
            inputs += self.parameters(call)
        found = node if tuple(inputs) == node.inputs else copy_node(node, tuple(inputs), self.nodes)
        if call is not None:
            self.calls[call] = found  # what was computed from the detached value leads back to it
        return found

    def made(self, source: Any) -> Node | None:
        """The node of a constant, or of what was computed from constants; None for a number."""
        if isinstance(source, Constant):
            if source.leaf is not None:
                return source.leaf
            return self.constant(source.array)
        if not isinstance(source, Result):
            return None
        waiting = [source.call]
        while waiting:
            call = waiting[-1]
            if call in self.calls:
                waiting.pop()
                continue
            missing = [s.call for s in call.sources if isinstance(s, Result)]
            missing = [other for other in missing if other not in self.calls]
            if missing:
                waiting += missing
                continue
            self.calls[waiting.pop()] = self.plain(call)
        return self.calls[source.call]

    def parameters(self, call: Call) -> list[Node]:
        """The nodes of the named data among the parameters of a call."""
        if not self.names:
            return []
        found = (self.made(source) for source in call.traced or ())
        return [node for node in found if node is not None]

    def constant(self, array: Any) -> Data | None:
        """The node of an array, the same one for the same array."""
        name = self.names.get(id(array))
        shown = self.shows_constants and isinstance(array, np.ndarray) and array.ndim
        if name is None and not shown:
            return None
        if id(array) not in self.constants:
            self.kept.append(array)
            self.constants[id(array)] = Data(array, name)
        return self.constants[id(array)]

    def plain(self, call: Call) -> Node | None:
        """The node of a call without gradient."""
        inputs = [
            self.calls[s.call] if isinstance(s, Result) else self.made(s) for s in call.inputs
        ]
        inputs += self.parameters(call)
        if not self.shows_constants and not any(inputs):
            return None
        node = Node()
        node.plan = _PlainPlan(call.name)
        node.inputs = tuple(inputs)
        node.saved, node.params, node.extras = (), call.params, None
        node.shape, node.dtype = call.shapes[0], call.dtypes[0]
        node.scope = call.mode.scope
        node.number = next_number()
        return node
