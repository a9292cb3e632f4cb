"""The backward pass: gradients go from outputs back to the leaves that they were computed from.

Nodes are taken in falling order of their number, so each has its whole gradient when its turn
comes. Nothing recurses: chains of a million nodes are fine. Beside this file: `checks`, whether
it may go through a node; `contributions`, what a node sends to an input.
"""

import sys
import threading
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.checks import check_saved, meets_rerun, rerun_nodes
from minigrad.core.contributions import SlicedGradient, fit
from minigrad.core.conversion import to_array
from minigrad.core.errors import GradientError, ShapeError, describe
from minigrad.core.modes import current_mode, set_mode
from minigrad.core.nodes import Array, Leaf, Node, last_write
from minigrad.core.observer import Observer
from minigrad.core.tensors import Tensor, as_array, as_tensor, method, wrap
from minigrad.forks import give_lock
from minigrad.restoring import quiet

__all__ = ["backward", "pull_back", "seed_gradient"]


@quiet
def send_back(
    roots: Sequence[tuple[Node, Array]],
    needed: AbstractSet[Node] | None,
    keep: AbstractSet[Node],
    stop: AbstractSet[Node],
    hooks: bool,
    *,
    retain: bool,
    recorded: bool,
    watched: bool = False,
) -> dict[Node, Array]:
    """Send gradients back from the roots; see `pull_back` for the arguments.

    With both `recorded` and `watched` the rules run on tensors, and nothing is recorded.
    """
    mode, written = current_mode(), last_write()
    observers = [o.of_pass() for o in mode.observers if o.looks_at_edges] if mode.observers else []
    results: dict[Node, Array] = {}
    gradients: dict[Node, Array] = {}  # those that have not arrived in full yet
    owned: set[Node] = set()  # whose gradient is an array that was made here
    heap: list[tuple[int, Node]] = []
    following: Node | None = None  # waits beside the heap: along a chain nothing is pushed
    # What the last node sent, and to whom; to begin with, the roots.
    sources: Sequence[Node | None] = [node for node, _ in roots]
    parts: Sequence[Array | None] = [g for _, g in roots]
    where = "backward"
    for observer in observers:
        for node, g in roots:
            if needed is None or node in needed:
                observer.edge(None, None, 0, node, g)
    within = mode.replace(recording=not watched, deriving=True) if recorded else mode.unrecorded()
    try:
        set_mode(within)
        while True:
            for source, part in zip(sources, parts, strict=True):
                if source is None or part is None or (needed is not None and source not in needed):
                    continue
                try:
                    fits = part.shape == source.shape and part.dtype is source.dtype
                except AttributeError:  # a number of Python's own
                    fits = False
                if not fits:
                    part = fit(part, source, where)
                total = gradients.get(source)
                if total is None:
                    gradients[source] = part
                    if source.__class__ is Leaf and source.extras is None and not observers:
                        continue  # it sends nothing on, and so need not wait for its turn
                    if following is None:
                        following = source
                    else:
                        heappush(heap, (-source.number, source))
                elif source not in owned:
                    gradients[source] = total = total + part
                    if not recorded and total.__class__ is ndarray:
                        owned.add(source)
                elif part.__class__ is SlicedGradient:
                    part.add_into(total)
                else:
                    total += part
            # The node with the highest number: nothing still to be visited can send it any more.
            if following is not None:
                node, following = following, None
                if heap and -heap[0][0] > node.number:
                    node = heappushpop(heap, (-node.number, node))[1]
            elif heap:
                node = heappop(heap)[1]
            else:
                for leaf, g in gradients.items():
                    results[leaf] = g.dense() if g.__class__ is SlicedGradient else g
                return results
            g = gradients.pop(node)
            if g.__class__ is SlicedGradient:
                g = g.dense()
            sources = parts = ()
            if stop and node in stop:
                results[node] = g
                continue
            extras = node.extras if hooks else None
            if extras is not None:
                g = extras.arrive(node, g)
            for observer in observers:
                observer.edge(node, g, -1, None, g)
            if node.__class__ is Leaf:
                results[node] = g
                continue
            if (keep and node in keep) or (extras is not None and extras.retain):
                results[node] = g
            if node.saved is None or node.number < written:
                check_saved(node)
            parts = node.plan.vjp_recorded(node, g) if recorded else node.plan.vjp(node, g)
            if extras is not None:
                parts = extras.leave(node, g, parts)
            if observers:
                parts = observed(observers, node, g, parts, needed)
            if not retain:
                node.saved = None
            sources, where = node.inputs, node.plan.name
    finally:  # quicker than a block, and every backward pass comes here
        set_mode(mode)


def observed(
    observers: Sequence[Observer],
    node: Node,
    g: Array,
    contributions: Sequence[Array | None],
    needed: AbstractSet[Node] | None,
) -> Sequence[Array | None]:
    """What a node sends to its inputs, fitted to them, after observers have seen it."""
    parts = list(contributions)
    for slot, source in enumerate(node.inputs):
        part = parts[slot]
        if source is None or part is None or (needed is not None and source not in needed):
            continue
        parts[slot] = part = fit(part, source, node.plan.name)
        for observer in observers:
            observer.edge(node, g, slot, source, part)
    return parts


def pull_back(
    outputs: Iterable[tuple[Node | None, Any]],
    keep: Iterable[Node] = (),
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
        keep: nodes whose gradients are returned, besides the leaves and the nodes of tensors that
            retain theirs.
        stop: nodes whose gradients are returned and not followed any further; a backward around
            this one will, and will run their hooks.
        needed: the nodes to go through; None for all. See `minigrad.ops.pruning`.
        retain: keep the saved arrays for another pass, or for that through a recorded one.
        recorded: run the rules on tensors, so that the derivative itself is recorded; else they
            run on plain arrays and build nothing.
        hooks: run the hooks that were registered on tensors and nodes.

    Returns:
        The gradients that arrived, by their nodes.

    Raises:
        GradientError: when saved arrays were freed before, or a saved leaf was written since.
    """
    convert = as_tensor if recorded else as_array
    roots = [(node, convert(g)) for node, g in outputs if node is not None]
    kept = frozenset(keep)
    observers = current_mode().observers
    watched = bool(observers) and not recorded and any(o.records_passes for o in observers)
    met = meets_rerun([n for n, _ in roots], needed, stop) if rerun_nodes and not recorded else ()
    if not met and not watched:
        return send_back(roots, needed, kept, stop, hooks, retain=retain, recorded=recorded)
    roots = [(node, as_tensor(g)) for node, g in roots]
    found = send_back(roots, needed, kept, stop, hooks, retain=True, recorded=True, watched=watched)
    if watched:  # tensors, because observers know an array by its identity
        return {node: wrap(as_array(g), None) for node, g in found.items()}
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
        gradient = np.array(1, output._array.dtype, ndmin=output._array.ndim)
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
    return g.copy() if isinstance(g, ndarray) and g.base is not None else g


_adding = threading.RLock()  # threads may add into the gradient of the same leaf
give_lock(sys.modules[__name__], "_adding", threading.RLock)


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
    root, retain = (self._node, seed_gradient(self, gradient)), retain_graph or create_graph
    found = pull_back([root], retain=retain, recorded=create_graph)
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
