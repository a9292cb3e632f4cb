"""Which nodes a backward pass goes through, and whether it may."""

import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from minigrad.core.errors import GradientError, describe
from minigrad.core.nodes import Handle, Leaf, Node

__all__ = ["check_saved", "check_unwritten", "meets_rerun", "needed_nodes", "rerun_nodes"]

rerun_nodes: "weakref.WeakSet[Node]" = weakref.WeakSet()
"""The nodes alive whose rule must know how the gradients that it gets depend on its outputs. A pass
that meets them is recorded: see the option `rerun` of operations. There are nearly never any."""


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


def meets_rerun(
    roots: Iterable[Node], needed: AbstractSet[Node] | None, stop: AbstractSet[Node]
) -> set[Node]:
    """The nodes that a pass from the roots goes through, if one of them is to be recorded."""
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen or node in stop or (needed is not None and node not in needed):
            continue
        seen.add(node)
        stack.extend(source for source in node.inputs if source is not None)
    return set() if seen.isdisjoint(rerun_nodes) else seen


def check_saved(node: Node) -> None:
    """Refuse a node whose saved arrays were freed, or are those of a leaf written in-place since.

    Raises:
        GradientError: names the operation and what to do.
    """
    if node.saved is None:
        raise GradientError(
            f"backward through {node.where}: its saved arrays were freed by an earlier "
            "backward. Pass retain_graph=True to the first backward, or compute the "
            "forward again."
        )
    check_unwritten(node)


def check_unwritten(node: Node) -> None:
    """Refuse a node that saved the array of a leaf which was written in-place since."""
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
