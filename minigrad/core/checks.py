"""Whether a backward pass may go through a node, and how."""

import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from minigrad.core.errors import GradientError, describe
from minigrad.core.nodes import Node

__all__ = ["check_saved", "check_unwritten", "meets_rerun", "rerun_nodes"]

rerun_nodes: "weakref.WeakSet[Node]" = weakref.WeakSet()
"""The nodes alive whose rule must know how the gradients that it gets depend on its outputs. A pass
that meets them is recorded: see the option `rerun` of operations. There are nearly never any."""


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
