"""From the tape to numbers: which nodes made a result, and what each edge carries back.

Nothing is changed: `.grad` stays as it is, and the graph can still run backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.draw.errors import DrawError
from minigrad.draw.records import Contribution, Statistics
from minigrad.errors import GradientError
from minigrad.nodes import Node
from minigrad.tape import run_backward
from minigrad.tensors import Tensor, seed_gradient, wrap

__all__ = ["Tape", "contribution_of", "norm_of", "pass_through", "read_tape", "statistics_of"]

Listener = Callable[[Node, Node, int, Any], None]


@dataclass(frozen=True)
class Tape:
    """The recorded nodes that lead to some results, in the order in which they ran."""

    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]

    def send_back(self, listen: Listener) -> dict[Node, Any]:
        """Run a backward pass; `listen(node, source, slot, term)` hears every edge's term.

        Returns the gradients that arrive at the leaves. Raises DrawError where the saved arrays
        were freed, or a result is not a single number.
        """
        roots = []
        for tensor in self.outputs:
            if tensor.size != 1:
                raise DrawError(
                    f"gradients are drawn back from single numbers, got a tensor of shape "
                    f"{tensor.shape}; reduce it first, for example with t.sum()"
                )
            assert tensor._node is not None
            roots.append((tensor._node, seed_gradient(tensor, None, False)))
        try:
            return run_backward(roots, retain=True, wrap=wrap, observe=listen)
        except GradientError as error:
            raise DrawError(
                f"the gradient cannot be drawn: {error} Draw before backward, or call "
                "backward(retain_graph=True)."
            ) from error


def read_tape(outputs: Sequence[Tensor]) -> Tape:
    """Collect the nodes behind some tensors. Raises DrawError for one that has none."""
    for i, tensor in enumerate(outputs):
        if not isinstance(tensor, Tensor) or tensor._node is None:
            raise DrawError(
                f"target {i} has no recorded graph: it does not require grad. Compute it from "
                "tensors with requires_grad=True, outside no_grad()."
            )
    seen: set[Node] = set()
    stack = [tensor._node for tensor in outputs if tensor._node is not None]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(source for source in node.inputs if source is not None)
    return Tape(tuple(outputs), tuple(sorted(seen, key=lambda node: node.number)))


def pass_through(node: Node) -> Node:
    """The node itself, or, of a node that only names the value of another one, that other one."""
    while node.plan.name in ("output", "alias") and node.inputs[0] is not None:
        node = node.inputs[0]
    return node


def norm_of(array: Any) -> float:
    """The Euclidean norm in float64, without overflow for large entries."""
    flat = np.asarray(array, np.float64).ravel()
    if not flat.size:
        return 0.0
    largest = float(np.abs(flat).max())
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(flat / largest))


def statistics_of(array: Any) -> Statistics:
    """Norm, extremes and mean of an array."""
    values = np.asarray(array, np.float64)
    if not values.size:
        return Statistics(norm=0.0)
    with np.errstate(all="ignore"):
        return Statistics(
            norm=norm_of(values),
            minimum=float(values.min()),
            maximum=float(values.max()),
            mean=float(values.mean()),
            finite=bool(np.isfinite(values).all()),
        )


def contribution_of(term: Any, total: Any) -> Contribution:
    """Norm and signed share of one term of a gradient; the share is None where the total is 0."""
    with np.errstate(all="ignore"):
        whole = np.asarray(total, np.float64).ravel()
        size = float(np.dot(whole, whole))
        share = None
        if size > 0 and np.isfinite(size):
            share = float(np.dot(np.asarray(term, np.float64).ravel(), whole)) / size
    return Contribution(norm=norm_of(term), share=share)


def add_terms(terms: Iterable[Any]) -> Any:
    """The sum of some arrays."""
    total: Any = None
    for term in terms:
        total = term if total is None else total + term
    return total
