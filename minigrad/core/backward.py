"""The backward pass over recorded nodes.

Nodes are taken from a heap in falling order of their number, so each has its whole gradient when
its turn comes. Nothing recurses: chains of a million nodes are fine.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush, heappushpop
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from minigrad.core.errors import GradientError, ShapeError, describe
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import (
    Array,
    Bundle,
    Handle,
    Leaf,
    Node,
    Patch,
    Wrap,
    last_write,
)
from minigrad.core.rerun import as_plain, as_recorded, reached_nodes, rerun_nodes
from minigrad.debug.anomaly import BackwardWatch

__all__ = ["needed_nodes", "run_backward"]

Observer: TypeAlias = Callable[["Node", "Node", int, Array], None]


def check_unwritten(node: Node) -> None:
    """Refuse a node that saved the array of a leaf which was written in place since."""
    slots = node.plan.saved_slots
    if slots and getattr(node.plan, "saves_list", False):
        slots = range(len(node.inputs))
    for slot in slots:
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


def needed_nodes(
    outputs: Iterable[Node], targets: Iterable[Node]
) -> tuple[set[Node] | None, set[Node]]:
    """The nodes on paths from the targets to the outputs, and those that depend on others too.

    Nodes recorded before the first target cannot depend on any, so the walk ends there: a
    transform costs what its own function recorded, however long the graph around it.

    Returns:
        The nodes that gradients need to visit, None for all; and the nodes that depend on
        something that requires grad besides the targets, such as a parameter that was closed over
        or the input of a transform around this one.
    """
    targets = set(targets)
    first = min((node.number for node in targets), default=0)
    seen: set[Node] = set()
    beyond: set[Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        sources = [source for source in node.inputs if source is not None]
        if node.number < first:
            beyond.add(node)
        elif node in targets:
            if sources:
                beyond.add(node)
        elif node.__class__ is Leaf or (isinstance(node, Handle) and node.live):
            beyond.add(node)
        if node.number > first:
            stack.extend(sources)
    if not beyond:
        return None, beyond
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.number):
        if node in targets or any(source in needed for source in node.inputs):
            needed.add(node)
        if any(source in beyond for source in node.inputs):
            beyond.add(node)
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
        reduced = g
        if axes:
            half = g.dtype.itemsize == 2  # sums of ones in float16 would end at 2048
            reduced = g.sum(axis=axes, dtype=np.float32 if half else None, keepdims=True)
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


def apply_hooks(node: Node, g: Array, wrap: Wrap) -> Array:
    """Run the hooks of a tensor on its whole gradient."""
    assert node.extras is not None
    recorded = not isinstance(g, (ndarray, np.generic, Bundle))
    for hook in list(node.extras.hooks.values()):
        replacement = hook(g if recorded else wrap(g, None))
        if replacement is not None:
            if not recorded:
                replacement = np.asarray(getattr(replacement, "_array", replacement))
            elif not hasattr(replacement, "_node"):
                replacement = wrap(replacement, None)
            if replacement.shape != node.shape:
                raise ShapeError(
                    f"hook on {node.where}: must return None or a gradient of shape "
                    f"{node.shape}, got {describe(replacement)}"
                )
            g = replacement if replacement.dtype == node.dtype else replacement.astype(node.dtype)
    return g


def apply_node_hooks(
    node: Node, g: Array, contributions: Sequence[Array | None], wrap: Wrap
) -> Sequence[Array | None]:
    """Run the hooks of a node on the gradients of its inputs and outputs."""
    assert node.extras is not None

    def tensor(array: Array) -> Any:
        return array if hasattr(array, "_node") else wrap(array, None)

    outputs = tuple(tensor(part) for part in (g.dense() if isinstance(g, Bundle) else (g,)))
    for hook in list(node.extras.node_hooks.values()):
        parts = fit_all(node, contributions)
        given = tuple(p if p is None or isinstance(p, Bundle) else tensor(p) for p in parts)
        replaced = hook(given, outputs)
        if replaced is None:
            continue
        if not isinstance(replaced, tuple) or len(replaced) != len(parts):
            raise ShapeError(
                f"hook on {node.where}: must return None or a tuple of {len(parts)} gradients, one "
                f"per input, got {describe(replaced)}"
            )
        recorded = hasattr(g, "_node")
        contributions = [part if recorded else getattr(part, "_array", part) for part in replaced]
    return contributions


def fit_all(
    node: Node, contributions: Sequence[Array | None], dense: bool = True
) -> list[Array | None]:
    """The contributions to all inputs of a node, each fitted to the input that it belongs to."""
    return [
        None
        if source is None or part is None
        else part
        if part.__class__ is Patch and not dense
        else fit(part.dense() if part.__class__ is Patch else part, source, node.plan.name)
        for source, part in zip(node.inputs, contributions, strict=True)
    ]


def inspect_edges(
    node: Node,
    g: Array,
    contributions: Sequence[Array | None],
    needed: set[Node] | None,
    watch: BackwardWatch | None,
    observe: Observer | None,
) -> Sequence[Array | None]:
    """Check the gradients that a node sends to its inputs, and show them to an observer."""
    parts = fit_all(node, contributions, dense=observe is not None)
    for slot, (source, part) in enumerate(zip(node.inputs, parts, strict=True)):
        if source is None or part is None or (needed is not None and source not in needed):
            continue
        if watch is not None:
            watch.leave(node, g, slot, source, part)
        if observe is not None:
            observe(node, source, slot, part)
    return parts


def run_recorded(
    roots: Sequence[tuple[Node, Array]],
    nodes: set[Node],
    retain: bool,
    observe: Observer | None,
    **rest: Any,
) -> dict[Node, Array]:
    """`run_backward` on tensors in the place of arrays, with arrays as results.

    For a node whose rule must see how the gradients that it gets depend on its outputs.
    """
    wrap = rest["wrap"]

    def shown(node: Node, source: Node, slot: int, part: Array) -> None:
        assert observe is not None
        observe(node, source, slot, as_plain(part))

    found = run_backward(
        [(node, as_recorded(g, wrap)) for node, g in roots],
        retain=True,
        recorded=True,
        observe=None if observe is None else shown,
        **rest,
    )
    if not retain:
        for node in nodes:
            if node.__class__ is not Leaf:
                node.saved = None
    return {node: as_plain(g) for node, g in found.items()}


def run_backward(
    roots: Iterable[tuple[Node, Array]],
    *,
    needed: set[Node] | None = None,
    keep: AbstractSet[Node] = frozenset(),
    stop: AbstractSet[Node] = frozenset(),
    retain: bool = False,
    wrap: Wrap,
    recorded: bool = False,
    observe: Observer | None = None,
    hooks: bool = True,
) -> dict[Node, Array]:
    """Send gradients back from the roots and return those that arrive at leaves and kept nodes.

    Args:
        roots: nodes with the gradients to start from.
        needed: follow only these nodes; None follows all.
        keep: nodes whose gradients are returned, besides the leaves and the nodes of tensors that
            retain their gradient.
        stop: nodes whose gradients are returned and not followed any further; a backward around
            this one will, and will run their hooks.
        retain: keep the saved arrays for another backward.
        wrap: makes a tensor of an array and its node.
        recorded: run the rules on tensors, so that the derivative is recorded itself; else they
            run on plain arrays and build nothing.
        observe: called with (node, source, slot, contribution) for each edge that carries a
            gradient.
        hooks: run the hooks that were registered on tensors and nodes.

    Raises:
        GradientError: when saved arrays were freed before, or a saved leaf was written since.
    """
    if rerun_nodes and not recorded:
        roots = list(roots)
        nodes = reached_nodes([node for node, _ in roots], needed, stop)
        if not nodes.isdisjoint(rerun_nodes):
            rest = {"needed": needed, "keep": keep, "stop": stop, "wrap": wrap, "hooks": hooks}
            return run_recorded(roots, nodes, retain, observe, **rest)
    mode = current_mode()
    watch = BackwardWatch(mode.anomaly, wrap) if mode.anomaly else None
    inspected = watch is not None or observe is not None
    gradients: dict[Node, Array] = {}
    results: dict[Node, Array] = {}
    owned: set[Node] = set()  # whose gradient is an array that this pass made and may add into
    heap: list[tuple[int, Node]] = []
    for node, g in roots:
        if needed is not None and node not in needed:
            continue
        if watch is not None:
            watch.start(node, g)
        if node in gradients:
            gradients[node] = gradients[node] + g
        else:
            gradients[node] = g
            heappush(heap, (-node.number, node))
    written = last_write()
    # What rules compute on the way may be infinite and masked out again: the gradients that they
    # send are checked, not each operation in a rule that is being recorded.
    changes = {"deriving": True, "anomaly": mode.anomaly and "mark"} if recorded else {}
    known, take = gradients.get, gradients.pop
    following: Node | None = None  # waits outside the heap: along a chain nothing is pushed at all
    with np.errstate(all="ignore"), ModeChange(recording=recorded, **changes):
        while heap or following is not None:
            if following is None:
                node = heappop(heap)[1]
            else:
                node, following = following, None
                if heap and -heap[0][0] > node.number:
                    node = heappushpop(heap, (-node.number, node))[1]
            g = take(node)
            if g.__class__ is Patch:
                g = g.dense()
            if stop and node in stop:
                results[node] = g
                continue
            extras = node.extras if hooks else None
            if extras is not None:
                if extras.hooks:
                    g = apply_hooks(node, g, wrap)
                if extras.retain:
                    results[node] = g
            if watch is not None:
                watch.arrive(node, g)
            if node.__class__ is Leaf:
                results[node] = g
                continue
            if keep and node in keep:
                results[node] = g
            if node.saved is None:
                raise GradientError(
                    f"backward through {node.where}: its saved arrays were freed by an earlier "
                    "backward. Pass retain_graph=True to the first backward, or compute the "
                    "forward again."
                )
            if node.number < written:
                check_unwritten(node)
            if recorded:
                contributions = node.plan.pull_recorded(node, g, wrap)
            else:
                contributions = node.plan.pull(node, g)
                if not retain and not inspected:
                    node.saved = None
            if extras is not None and extras.node_hooks:
                contributions = apply_node_hooks(node, g, contributions, wrap)
            if inspected:
                contributions = inspect_edges(node, g, contributions, needed, watch, observe)
                if not retain and not recorded:
                    node.saved = None
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
                total = known(source)
                if total is None:
                    gradients[source] = part
                    if following is None:
                        following = source
                    else:
                        heappush(heap, (-source.number, source))
                elif source in owned:
                    if part.__class__ is Patch:
                        part.add_into(total)
                    else:
                        total += part
                else:
                    gradients[source] = total = total + part
                    if not recorded and total.__class__ is ndarray:
                        owned.add(source)
    return results
