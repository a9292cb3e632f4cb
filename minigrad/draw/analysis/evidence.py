"""The values that are known on a tape, saved or computed again, and the record of a fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minigrad.core.nodes import Leaf, Node
from minigrad.draw.reading.measure import Tape
from minigrad.draw.reading.tape_states import value_of
from minigrad.ops.fusing import FusedPlan
from minigrad.restoring import errstate

__all__ = ["Fault", "known_values"]


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong, at the operation where it began.

    Attributes:
        node: the operation or leaf.
        direction: in which pass.
        mark: a few words for the picture.
        sentence: the whole explanation.
    """

    node: Node
    direction: Literal["forward", "backward"]
    mark: str
    sentence: str


def known_values(tape: Tape) -> Iterator[tuple[Node, Any]]:
    """Each node with its value, as saved or as computed again; None where it cannot be known."""
    readers: dict[Node, list[tuple[Node, int]]] = {}
    for node in tape.nodes:
        for slot, source in enumerate(node.inputs):
            if source is not None:
                readers.setdefault(source, []).append((node, slot))
    results = {t._node: t._array for t in tape.outputs}
    values: dict[Node, Any] = {}
    for node in tape.nodes:
        value = node.value if isinstance(node, Leaf) else results.get(node)
        if value is None:
            value = value_of(node, readers.get(node, ()))
        if value is None:
            value = computed_again(node, values)
        if value is not None:
            values[node] = value
        yield node, value


def computed_again(node: Node, values: dict[Node, Any]) -> Any:
    """The value of a node from those of its inputs, if all of these are known; else None."""
    operation = getattr(node.plan, "operation", None)
    if operation is None or node.saved is None or len(operation.outputs) > 1:
        return values.get(node.inputs[0]) if node.plan.name == "alias" and node.inputs[0] else None
    if isinstance(node.plan, FusedPlan):
        inputs = list(node.saved[0])
    else:
        inputs = []
        for slot, source in enumerate(node.inputs):
            if source is not None:
                inputs.append(values.get(source))
            elif slot in node.plan.sources and not operation.list_input:
                inputs.append(node.saved[node.plan.sources.index(slot)])
            else:
                return None
        if any(array is None for array in inputs):
            return None
    given = (inputs,) if operation.list_input else inputs
    with errstate(all="ignore"):
        value = operation.forward(*given, **node.params)
    value = np.asarray(value[0] if operation.aux else value)
    return value if value.shape == node.shape else None
