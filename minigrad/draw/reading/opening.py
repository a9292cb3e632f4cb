"""Opening kernels: the graph in which each fused operation is replaced by its reference.

A kernel is one node of the tape. To show what happens inside, and to find the time steps of a
recurrent layer that ran as one, its reference runs again on the values that the node saved, and
everything that read the kernel reads the reference instead. The recorded graph stays as it is: what
comes after a kernel is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigrad.core.checks import check_unwritten
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Leaf, Node, last_write, next_number
from minigrad.core.observer import Applied, Observer
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.scopes import Scope
from minigrad.draw.reading.agreement import check_agreement
from minigrad.draw.reading.measure import read_tape
from minigrad.ops.fusing import FusedPlan, run_reference
from minigrad.restoring import errstate

__all__ = ["can_open", "copy_node", "has_kernels", "open_kernels"]


def has_kernels(outputs: Sequence[Tensor]) -> bool:
    """Whether a kernel that can be opened is in the graph of some tensors."""
    return any(can_open(node) for node in read_tape(outputs).nodes)


def can_open(node: Node) -> bool:
    """Whether a node is a kernel whose saved arrays were not freed."""
    return isinstance(node.plan, FusedPlan) and node.saved is not None


def _is_compiled(node: Node) -> bool:
    return can_open(node) and node.plan.operation.of_users


def open_kernels(outputs: Sequence[Tensor], compiled_alone: bool = False) -> list[Tensor]:
    """The same tensors, at the end of a graph in which every kernel is opened.

    With `compiled_alone` the calls of compiled functions are, with what the user wrote in them.

    The reference is compared with the kernel, in value and, unless it is very long, in gradient, so
    that the picture shows what ran. Kernels whose saved arrays were freed stay closed.

    Raises DrawError when a reference does not agree with its kernel, and GradientError when a leaf
    was written in place since.

    >>> import minigrad as mg
    >>> scores = mg.Tensor([[1.0, 2.0]], requires_grad=True)
    >>> loss = mg.cross_entropy(scores, [1])
    >>> opened = open_kernels([loss])[0]
    >>> len(read_tape([loss]).nodes) < len(read_tape([opened]).nodes)
    True
    >>> bool(abs(opened - loss).item() < 1e-6)
    True
    """
    tape = read_tape(outputs)
    chosen = _is_compiled if compiled_alone else can_open
    if not any(map(chosen, tape.nodes)):
        return list(outputs)
    opened = _Opened(chosen, fused=compiled_alone)
    for node in tape.nodes:
        opened.add(node)
    return [wrap(tensor._array, opened.nodes.get(tensor._node)) for tensor in outputs]


class _Onlooker(Observer):
    """While somebody looks at every call, compiled functions run as they are written."""

    def call(self, applied: Applied) -> None:
        """It does not matter which."""


class _Opened:
    """The copied part of a graph.

    Attributes:
        nodes: what stands for each node; None for an output that needs no gradient.
    """

    def __init__(self, chosen: Callable[[Node], bool], fused: bool) -> None:
        self._chosen, self._fused = chosen, fused
        self.nodes: dict[Node | None, Node | None] = {}
        self.results: dict[Node, tuple[Any, ...]] = {}
        self.scopes: dict[Scope, Scope] = {}

    def add(self, node: Node) -> None:
        """The next node, in the order in which they ran."""
        source = node.inputs[0] if node.plan.name == "output" else None
        if source in self.results:
            assert source is not None
            self.nodes[node] = self.results[source][node.params["index"]]._node
            return
        inputs = tuple(None if at is None else self.nodes[at] for at in node.inputs)
        if self._chosen(node):
            results = self._run(copy_node(node, inputs, self.nodes))
            self.results[node] = results
            self.nodes[node] = results[0]._node
        elif inputs == node.inputs or isinstance(node, Leaf):
            self.nodes[node] = node
        else:
            self.nodes[node] = copy_node(node, inputs, self.nodes)

    def _run(self, node: Node) -> tuple[Any, ...]:
        """Record the reference of a kernel on its inputs."""
        if node.scope is not None:
            node.scope = self.scopes.setdefault(node.scope, _uncounted(node.scope))
        mode = ModeChange(fused=self._fused, deriving=False, observers=(_Onlooker(),))
        with mode, errstate(all="ignore"):
            handles, results = run_reference(node)
        for handle in handles:
            copied = handle._node if isinstance(handle, Tensor) else None
            if copied is not None and copied.inputs[0] is not None:
                # A copy is where its array is: else a value would seem to leave its scope. But it
                # is not the state that its array may be: one label twice looks like two steps.
                where = copied.inputs[0].scope
                copied.scope = None if where is None else where.origin
        check_agreement(node, handles, results)
        return results


def _uncounted(scope: Scope) -> Scope:
    """The same scope without the count of calls, so that those of the reference begin at 0."""
    fresh = scope.with_state(scope.state or "", scope.before)
    fresh.state = scope.state
    fresh.calls = None
    return fresh


def copy_node(
    node: Node, inputs: tuple[Node | None, ...], copies: Mapping[Any, Node | None]
) -> Node:
    """A node like another one, reading other inputs.

    Args:
        node: the node.
        inputs: what the copy reads.
        copies: what stands for the nodes before it, the states among them.
    """
    if node.number < last_write():
        check_unwritten(node)
    copy = Node()
    for field in ("dtype", "extras", "params", "plan", "saved", "scope", "shape"):
        setattr(copy, field, getattr(node, field))
    copy.inputs = inputs
    copy.number = next_number()
    scope = node.scope
    if scope is not None and scope.state and scope.before:
        before = (copies.get(source) for source in scope.before)
        copy.scope = scope.with_state(scope.state, tuple(at for at in before if at is not None))
    return copy
