"""The backward pass over recorded nodes.

Nodes are taken from a heap in falling order of their number, so each has its whole gradient when
its turn comes. Nothing recurses: chains of a million nodes are fine.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from minigrad.errors import AnomalyError, GradientError, ShapeError, describe
from minigrad.mode import ModeChange, current_mode
from minigrad.nodes import Array, Bundle, Leaf, Node, Wrap, extras_of, last_write

__all__ = ["is_finite", "needed_nodes", "run_backward"]

Observer: TypeAlias = Callable[["Node", "Node", int, Array], None]


def check_unwritten(node: Node) -> None:
    """Refuse a node that saved the array of a leaf which was written in place since."""
    for slot in node.plan.saved_slots:
        source = node.inputs[slot]
        while source is not None and source.plan.view and source.inputs[0] is not None:
            source = source.inputs[0]
        if source is None or source.written <= node.number:
            continue
        name = f" {source.name!r}" if source.name else ""
        raise GradientError(
            f"backward through {node.where}: it saved the value of leaf{name} "
            f"{describe(source)}, which was written in place afterwards, so its gradient would "
            "be wrong. Run backward before writing, or compute the forward again."
        )


def needed_nodes(outputs: Iterable[Node], targets: Iterable[Node]) -> tuple[set[Node], bool]:
    """The nodes on paths from the targets to the outputs, and whether other leaves were seen.

    Nothing below the targets is visited except to learn whether they depend on other leaves.
    """
    targets = set(targets)
    beyond = any(node.__class__ is not Leaf for node in targets)
    seen: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in targets:
            # A target may itself stand above another one, so its inputs are followed as well.
            stack.extend(s for s in node.inputs if s is not None)
        elif node.__class__ is Leaf:
            beyond = True
        else:
            stack.extend(s for s in node.inputs if s is not None)
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.number):
        if node in targets or any(source in needed for source in node.inputs):
            needed.add(node)
    return needed, beyond


def unbroadcast(g: Array, shape: tuple[int, ...], where: str) -> Array:
    """Sum a gradient over the axes along which its input was broadcast."""
    extra = g.ndim - len(shape)
    if extra >= 0:
        axes = tuple(range(extra)) + tuple(
            axis + extra
            for axis, length in enumerate(shape)
            if length == 1 and g.shape[axis + extra] != 1
        )
        reduced = g.sum(axis=axes, keepdims=True) if axes else g
        if reduced.shape[extra:] == shape:
            return reduced.reshape(shape) if extra else reduced
    raise ShapeError(
        f"the derivative rule of {where} returned a gradient of shape {tuple(g.shape)} for an "
        f"input of shape {shape}; it must have the input's shape or one that broadcasts from it."
    )


def fit(g: Array, source: Node, where: str) -> Array:
    """Give a contribution the shape and dtype of the value it belongs to."""
    if not hasattr(g, "dtype"):
        g = np.asarray(g)
    if g.shape != source.shape:
        g = unbroadcast(g, source.shape, where)
    return g if g.dtype == source.dtype else g.astype(source.dtype)


def apply_extras(node: Node, g: Array, wrap: Wrap) -> Array:
    """Run the hooks of a tensor on its whole gradient, and keep it if that was asked for."""
    extras = node.extras
    assert extras is not None
    recorded = not isinstance(g, (ndarray, np.generic, Bundle))
    for hook in list(extras.hooks.values()):
        replacement = hook(g if recorded else wrap(g, None))
        if replacement is not None:
            g = replacement if recorded else np.asarray(replacement)
            if g.shape != node.shape:
                raise ShapeError(
                    f"hook on {node.where}: must return None or a gradient of shape "
                    f"{node.shape}, got {describe(g)}"
                )
    if extras.retain:
        extras.grad = g if recorded else wrap(g, None)
    return g


def is_finite(value: Any) -> bool:
    """Whether every number in an array, tensor or bundle of gradients is finite."""
    if isinstance(value, Bundle):
        return all(is_finite(g) for g in value.slots.values())
    array = np.asarray(getattr(value, "_array", value))
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def check_gradient(node: Node, g: Array, part: Array) -> None:
    """Raise where backward through a node turns a finite gradient into NaN or infinity."""
    finite = is_finite(g)
    extras = extras_of(node)
    extras.grad_finite = finite
    if finite and not is_finite(part):
        line = "" if extras.line is None else f" Recorded at {extras.line}."
        raise AnomalyError(
            f"backward through {node.where}: a finite gradient {describe(g)} gave one that is not "
            f"finite, {describe(part)}.{line}"
        )


def run_backward(
    roots: Iterable[tuple[Node, Array]],
    *,
    needed: set[Node] | None = None,
    keep: set[Node] | None = None,
    retain: bool = False,
    wrap: Wrap,
    recorded: bool = False,
    observe: Observer | None = None,
) -> dict[Node, Array]:
    """Send gradients back from the roots and return those that arrive at leaves and kept nodes.

    Args:
        roots: nodes with the gradients to start from.
        needed: follow only these nodes; None follows all.
        keep: nodes whose gradients are returned, besides the leaves.
        retain: keep the saved arrays for another backward.
        wrap: makes a tensor of an array and its node.
        recorded: run the rules on tensors, so that the derivative is recorded itself; else they
            run on plain arrays and build nothing.
        observe: called with (node, source, slot, contribution) for each edge that carries a
            gradient.

    Raises:
        GradientError: when saved arrays were freed before, or a saved leaf was written since.
    """
    gradients: dict[Node, Array] = {}
    results: dict[Node, Array] = {}
    owned: set[Node] = set()  # whose gradient is an array that this pass made and may add into
    heap: list[tuple[int, Node]] = []
    for node, g in roots:
        if needed is not None and node not in needed:
            continue
        if node in gradients:
            gradients[node] = gradients[node] + g
        else:
            gradients[node] = g
            heappush(heap, (-node.number, node))
    mode = current_mode()
    checked, written = mode.anomaly, last_write()
    with np.errstate(all="ignore"), ModeChange(recording=recorded):
        while heap:
            node = heappop(heap)[1]
            g = gradients.pop(node)
            if node.extras is not None:
                g = apply_extras(node, g, wrap)
            if node.__class__ is Leaf or (keep is not None and node in keep):
                results[node] = results[node] + g if node in results else g
            if node.saved is None:
                raise GradientError(
                    f"backward through {node.where}: its saved arrays were freed by an earlier "
                    "backward. Pass retain_graph=True to the first backward, or compute the "
                    "forward again."
                )
            if node.number < written:
                check_unwritten(node)
            if not recorded:
                contributions = node.plan.pull(node, g)
                if not retain and node.__class__ is not Leaf:
                    node.saved = None
            else:
                contributions = node.plan.pull_recorded(node, g, wrap)
            slot = -1
            for source in node.inputs:
                slot += 1
                if source is None or (needed is not None and source not in needed):
                    continue
                part = contributions[slot]
                if part is None:
                    continue
                try:
                    if part.shape != source.shape or part.dtype is not source.dtype:
                        part = fit(part, source, node.plan.name)
                except AttributeError:
                    part = fit(part, source, node.plan.name)
                if checked:
                    check_gradient(node, g, part)
                if observe is not None:
                    observe(node, source, slot, part)
                if source not in gradients:
                    gradients[source] = part
                    heappush(heap, (-source.number, source))
                elif source in owned:
                    np.add(gradients[source], part, out=gradients[source])
                else:
                    gradients[source] = total = gradients[source] + part
                    if not recorded and total.__class__ is ndarray:
                        owned.add(source)
    return results
