"""The backward pass: gradients go from outputs back to the leaves that they were computed from.

Nodes are taken in falling order of their number, so each has its whole gradient when its turn
comes. Nothing recurses: chains of a million nodes are fine. Beside this file: `pruning`, which
nodes to go through; `contributions`, what a node sends to an input; `hooks`.
"""

import threading
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.contributions import SlicedGradient, as_array, as_tensor, fit, fit_all
from minigrad.core.conversion import to_array
from minigrad.core.errors import GradientError, ShapeError, describe
from minigrad.core.hooks import after_hooks, after_node_hooks
from minigrad.core.modes import ModeChange, Observer, current_mode
from minigrad.core.nodes import Array, Leaf, Node, last_write
from minigrad.core.pruning import check_saved, meets_rerun, needed_nodes
from minigrad.core.tensors import Tensor, method, wrap

__all__ = ["backward", "pull_back", "seed_gradient"]


class Pending:
    """The gradients that have not arrived in full yet, by their nodes.

    The node with the highest number comes first: nothing that is still to be visited can send it
    anything more.
    """

    def __init__(self) -> None:
        self.gradients: dict[Node, Array] = {}
        self.owned: set[Node] = set()  # whose gradient is an array that was made here
        self.heap: list[tuple[int, Node]] = []
        self.next: Node | None = None  # waits beside the heap: along a chain nothing is pushed

    def add(self, node: Node, part: Array) -> None:
        """Add to the gradient of a node."""
        total = self.gradients.get(node)
        if total is None:
            self.gradients[node] = part
            if self.next is None:
                self.next = node
            else:
                heappush(self.heap, (-node.number, node))
        elif node not in self.owned:
            self.gradients[node] = total = total + part
            if total.__class__ is ndarray:
                self.owned.add(node)
        elif part.__class__ is SlicedGradient:
            part.add_into(total)
        else:
            total += part

    def pop(self) -> tuple[Node, Array]:
        """The next node, with its whole gradient."""
        node, self.next = self.next, None
        if node is None:
            node = heappop(self.heap)[1]
        elif self.heap and -self.heap[0][0] > node.number:
            node = heappushpop(self.heap, (-node.number, node))[1]
        g = self.gradients.pop(node)
        return node, g.dense() if g.__class__ is SlicedGradient else g


def send_back(
    roots: Iterable[tuple[Node, Array]],
    *,
    needed: AbstractSet[Node] | None = None,
    keep: AbstractSet[Node] = frozenset(),
    stop: AbstractSet[Node] = frozenset(),
    retain: bool = False,
    recorded: bool = False,
    hooks: bool = True,
) -> dict[Node, Array]:
    """Send gradients back from the roots; see `pull_back` for the arguments."""
    mode = current_mode()
    observers = [observer.of_pass() for observer in mode.observers]
    pending, results = Pending(), {}
    for node, g in roots:
        if needed is None or node in needed:
            observe(observers, None, None, 0, node, g)
            pending.add(node, g)
    written = last_write()
    deriving = recorded or mode.deriving
    with np.errstate(all="ignore"), ModeChange(recording=recorded, deriving=deriving):
        while pending.gradients:
            node, g = pending.pop()
            if node in stop:
                results[node] = g
                continue
            extras = node.extras if hooks else None
            if extras is not None and extras.hooks:
                g = after_hooks(node, g)
            if node.__class__ is Leaf:
                observe(observers, node, g, 0, None, g)
                results[node] = g
                continue
            if node in keep or (extras is not None and extras.retain):
                results[node] = g
            check_saved(node, written)
            parts = node.plan.vjp_recorded(node, g) if recorded else node.plan.vjp(node, g)
            if extras is not None and extras.node_hooks:
                parts = after_node_hooks(node, g, parts)
            if observers:
                parts = fit_all(node, parts)
            for slot, source in enumerate(node.inputs):
                if source is None or (needed is not None and source not in needed):
                    continue
                part = parts[slot]
                if part is None:
                    continue
                if getattr(part, "shape", None) != source.shape or part.dtype is not source.dtype:
                    part = fit(part, source, node.plan.name)
                if observers:
                    observe(observers, node, g, slot, source, part)
                pending.add(source, part)
            if not retain and not recorded:
                node.saved = None
    return results


def observe(observers: Sequence[Observer], *edge: Any) -> None:
    """Show an edge to those who look on."""
    for observer in observers:
        observer.edge(*edge)


def pull_back(
    outputs: Iterable[tuple[Node | None, Any]],
    targets: Iterable[Node] | None = None,
    *,
    stop: AbstractSet[Node] = frozenset(),
    needed: AbstractSet[Node] | None = None,
    retain: bool = True,
    recorded: bool = False,
    hooks: bool = True,
) -> dict[Node, Array]:
    """From the gradients of some nodes to those of others: every backward pass begins here.

    Args:
        outputs: nodes with their gradients, arrays or tensors; those without a node are left out.
        targets: the nodes whose gradients are wanted. With None, those of all leaves, and of the
            tensors that retain theirs.
        stop: nodes whose gradients are returned and not followed any further; a backward around
            this one will, and will run their hooks.
        needed: the nodes to go through, as `needed_nodes` finds them from the targets unless they
            are given.
        retain: keep the saved arrays for another pass.
        recorded: run the rules on tensors, so that the derivative itself is recorded; else they
            run on plain arrays and build nothing.
        hooks: run the hooks that were registered on tensors and nodes.

    Returns:
        The gradients that arrived: of leaves, targets and `stop`.

    Raises:
        GradientError: when saved arrays were freed before, or a saved leaf was written since.
    """
    convert = as_tensor if recorded else as_array
    roots = [(node, convert(g)) for node, g in outputs if node is not None]
    keep = frozenset() if targets is None else frozenset(targets)
    if targets is not None and needed is None:
        needed, _ = needed_nodes([node for node, _ in roots], keep)
    options: dict[str, Any] = {"needed": needed, "keep": keep, "stop": stop, "hooks": hooks}
    met = set() if recorded else meets_rerun([node for node, _ in roots], needed, stop)
    if not met:
        return send_back(roots, retain=retain, recorded=recorded, **options)
    found = send_back([(n, as_tensor(g)) for n, g in roots], retain=True, recorded=True, **options)
    if not retain:
        for node in met:
            if node.__class__ is not Leaf:
                node.saved = None
    return {node: as_array(g) for node, g in found.items()}


def seed_gradient(output: Tensor, gradient: Any) -> Any:
    """The gradient to start a backward from: checked, copied, in the output's dtype."""
    if gradient is None:
        if output._array.size != 1:
            raise GradientError(
                f"backward from {describe(output)}: a gradient can be left out only for one "
                "element. Reduce it to a scalar first (t.sum(), t.mean()), or pass "
                f"gradient= of shape {output.shape}."
            )
        gradient = np.ones(output.shape, output.dtype)
    elif not isinstance(gradient, Tensor):
        gradient = to_array(gradient, output.dtype, "gradient")
    elif gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    if gradient.shape != output.shape:
        raise ShapeError(
            f"gradient: must have the shape of the tensor that backward starts from, "
            f"{output.shape}, got {tuple(gradient.shape)}"
        )
    return gradient


def own(g: Any) -> Any:
    """A gradient that neither aliases nor keeps alive a larger array."""
    return g.copy() if isinstance(g, ndarray) and g.base is not None else np.asarray(g)


_adding = threading.RLock()  # threads may add into the gradient of the same leaf


@method
def backward(
    self: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of this tensor to `.grad` of every leaf that it was computed from.

    Args:
        gradient: the gradient of some scalar with respect to this tensor, of its shape; may
            be left out when this tensor has one element.
        retain_graph: keep the saved arrays, so that backward can run again.
        create_graph: record the derivative itself, so that it can be differentiated.

    Raises:
        GradientError: when the tensor does not require grad, is not a scalar and no
            `gradient` is given, the graph was freed, or a leaf was written in place.
        ShapeError: when `gradient` has another shape.
    """
    if self._node is None:
        raise GradientError(
            f"backward: this tensor {describe(self)} does not require grad. Make the inputs "
            "with requires_grad=True, compute outside no_grad(), and do not detach on the way."
        )
    found = pull_back(
        [(self._node, seed_gradient(self, gradient))],
        retain=retain_graph or create_graph,
        recorded=create_graph,
    )
    with _adding:
        for node, g in found.items():
            # Leaves hold their gradient themselves, tensors that retain it in the extras.
            holder: Any = node if isinstance(node, Leaf) else node.extras
            g = g if isinstance(g, Tensor) else wrap(own(g), None)
            if holder.grad is None:
                holder.grad = g
            elif create_graph:
                holder.grad = holder.grad + g
            else:
                holder.grad = wrap(holder.grad._array + g._array, None)
