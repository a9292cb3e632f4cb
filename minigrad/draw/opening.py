"""Opening kernels: the graph in which each fused operation is replaced by its reference.

A kernel is one node of the tape. To show what happens inside, and to find the time steps of a
recurrent layer that ran as one, its reference runs again on the values that the node saved, and
everything that read the kernel reads the reference instead. The recorded graph stays as it is: what
comes after a kernel is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.draw.errors import DrawError
from minigrad.draw.measure import read_tape
from minigrad.kernels import FusedPlan, run_reference
from minigrad.mode import ModeChange, Scope
from minigrad.nodes import Leaf, Node, last_write, next_number
from minigrad.tape import check_unwritten, fit, needed_nodes, run_backward
from minigrad.tensors import Tensor, wrap

__all__ = ["copy_node", "has_kernels", "open_kernels"]

_TOLERANCE = 2.0**14
"""How many rounding errors of the dtype a kernel and its reference may differ by, relative to the
largest entry: their sums run in another order, over thousands of steps."""

_MOST_COMPARED = 6000
"""References of more operations than this are compared in value alone: to run them backward once
more takes as long as all the rest of a picture."""


def has_kernels(outputs: Sequence[Tensor]) -> bool:
    """Whether a kernel that can be opened is in the graph of some tensors."""
    return any(_can_open(node) for node in read_tape(outputs).nodes)


def _can_open(node: Node) -> bool:
    return isinstance(node.plan, FusedPlan) and node.saved is not None


def open_kernels(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, at the end of a graph in which every kernel is opened.

    The reference is compared with the kernel, in value and, unless it is very long, in gradient, so
    that the picture is of what ran. Kernels whose saved arrays were freed stay closed.

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
    if not any(_can_open(node) for node in tape.nodes):
        return list(outputs)
    opened = _Opened()
    for node in tape.nodes:
        opened.add(node)
    return [wrap(tensor._array, opened.nodes.get(tensor._node)) for tensor in outputs]


class _Opened:
    """The copied part of a graph.

    Attributes:
        nodes: what stands for each node; None for an output that needs no gradient.
    """

    def __init__(self) -> None:
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
        if _can_open(node):
            results = self._run(copy_node(node, inputs))
            self.results[node] = results
            self.nodes[node] = results[0]._node
        elif inputs == node.inputs or isinstance(node, Leaf):
            self.nodes[node] = node
        else:
            self.nodes[node] = copy_node(node, inputs)

    def _run(self, node: Node) -> tuple[Any, ...]:
        """Record the reference of a kernel on its inputs."""
        if node.scope is not None:
            node.scope = self.scopes.setdefault(node.scope, _uncounted(node.scope))
        with ModeChange(fused=False, replay=False, deriving=False, anomaly=""):
            handles, results = run_reference(node, wrap)
        _compare(node, handles, results)
        return results


def _uncounted(scope: Scope) -> Scope:
    """The same scope without the count of calls, so that those of the reference begin at 0."""
    fresh = scope.with_state(scope.state or "")
    fresh.state = scope.state
    fresh.calls = None
    return fresh


def copy_node(node: Node, inputs: tuple[Node | None, ...]) -> Node:
    """A node like another one, reading other inputs."""
    if node.number < last_write():
        check_unwritten(node)
    copy = Node()
    for field in ("dtype", "extras", "params", "plan", "saved", "scope", "shape"):
        setattr(copy, field, getattr(node, field))
    copy.inputs = inputs
    copy.number = next_number()
    return copy


def _compare(node: Node, handles: Sequence[Any], results: tuple[Any, ...]) -> None:
    """Compare a reference with its kernel: the results, and the gradients of one random output."""
    assert node.saved is not None
    arrays, residuals = node.saved
    operation = node.plan.operation
    with np.errstate(all="ignore"):
        values = operation.forward(*arrays, **node.params)[: len(results)]
    generator = np.random.default_rng(0)
    random = tuple(
        generator.standard_normal(value.shape).astype(value.dtype) if value.size else value
        for value in map(np.asarray, values)
    )
    for name, value, result in zip(operation.outputs, values, results, strict=True):
        _agree(node, f"result {name}", value, result._array)
    first = min((handle._node.number for handle in handles if hasattr(handle, "_node")), default=0)
    if next_number() - first > _MOST_COMPARED:
        return
    needed = node.plan.needed
    with np.errstate(all="ignore"), ModeChange(recording=False, replay=False, anomaly=""):
        kernel = operation.backward(random, residuals, arrays, needed, **node.params)
        roots = [
            (result._node, g)
            for result, g in zip(results, random, strict=True)
            if result._node is not None
        ]
        keep = {handle._node for handle, wanted in zip(handles, needed, strict=True) if wanted}
        on_the_way, _ = needed_nodes([root for root, _ in roots], keep)
        found = run_backward(roots, needed=on_the_way, keep=keep, retain=True, wrap=wrap)
    for name, handle, term in zip(operation.inputs, handles, kernel, strict=True):
        at = getattr(handle, "_node", None)
        if term is not None and at in found:
            _agree(node, f"gradient of {name}", fit(term, at, node.plan.name), found[at])


def _agree(node: Node, what: str, kernel: Any, reference: Any) -> None:
    kernel, reference = np.asarray(kernel), np.asarray(reference)
    with np.errstate(all="ignore"):
        size = float(np.abs(kernel).max(initial=0.0))
        if not np.isfinite(size):
            return  # where NaN came first, sums in another order may well differ
        error = float(np.abs(kernel - reference).max(initial=0.0))
    if error <= _TOLERANCE * float(np.finfo(kernel.dtype).eps) * max(size, 1e-30):
        return
    raise DrawError(
        f"the kernel of {node.where} and its reference do not agree: {what} differs by "
        f"{error:.3g}, entries are up to {size:.3g}. A picture of the reference would show "
        "something else than what ran; draw with show=('parameters', 'kernels'), and check the "
        "kernel with minigrad.testing.fused_test."
    )
