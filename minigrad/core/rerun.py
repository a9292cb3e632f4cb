"""Nodes whose backward must be recorded, and what the backward pass needs to do so.

The rule of such a node has to know how the gradients that it gets depend on its outputs: see the
option `rerun` of operations, and `minigrad.ops.linalg.equal_values`. There are nearly never any.
"""

import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from minigrad.core.nodes import Array, Bundle, Node, Wrap

__all__ = ["as_plain", "as_recorded", "reached_nodes", "rerun_nodes"]

rerun_nodes: "weakref.WeakSet[Node]" = weakref.WeakSet()
"""Those that are alive."""


def reached_nodes(
    roots: Iterable[Node], needed: set[Node] | None, stop: AbstractSet[Node]
) -> set[Node]:
    """The nodes that a backward pass from the roots will pull gradients through."""
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen or node in stop or (needed is not None and node not in needed):
            continue
        seen.add(node)
        stack.extend(source for source in node.inputs if source is not None)
    return seen


def as_recorded(g: Array, wrap: Wrap) -> Any:
    """A gradient as a tensor."""
    if isinstance(g, Bundle):
        return g.mapped(lambda part: as_recorded(part, wrap))
    return g if hasattr(g, "_node") else wrap(g, None)


def as_plain(g: Any) -> Array:
    """A gradient as an array."""
    return g.mapped(as_plain) if isinstance(g, Bundle) else getattr(g, "_array", g)
