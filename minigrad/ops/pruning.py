"""Which nodes a derivative has to visit, and what depends on anything else."""

from collections.abc import Iterable
from typing import Any

from minigrad.core.nodes import Leaf, Node, alias_plan, fill_node

__all__ = ["Handle", "needed_nodes"]


class Handle(Node):
    """A fresh name for an input of a transform, with respect to which it differentiates.

    Attributes:
        live: whether the transform still runs, so that an inner one must stay connected to it.
    """

    __slots__ = ("live",)

    def __init__(self, source: Node | None, shape: Any, dtype: Any) -> None:
        """A handle on the value of `source`; with None, one at which the graph begins."""
        fill_node(self, alias_plan, (source,), shape, dtype, {})
        self.live = True


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
