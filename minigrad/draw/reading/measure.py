"""From the tape to numbers: which nodes made a result, and what each edge carries back.

Nothing is changed: `.grad` stays as it is, and the graph can still run backward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.core.backward import seed_gradient
from minigrad.core.contributions import OutputGradients, SlicedGradient
from minigrad.core.nodes import Node
from minigrad.core.tensors import Tensor
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.graph.records import Contribution, Statistics
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.restoring import errstate

__all__ = [
    "Measured",
    "Tape",
    "contribution_of",
    "measure_terms",
    "norm_of",
    "original",
    "pass_through",
    "picked",
    "reaches",
    "read_tape",
    "share_of",
    "statistics_of",
    "sum_terms",
]

_SAME = ("alias", "dropout_off")  # operations whose result is their input
_SAFE = 1e-200  # squares between this and its inverse neither under- nor overflowed


@dataclass(frozen=True)
class Tape:
    """The recorded nodes that lead to some results, in the order in which they ran."""

    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]

    def seeds(self) -> dict[Node, Any]:
        """The gradients of the results with respect to themselves.

        Raises DrawError where a result is not a single number.
        """
        seeds: dict[Node, Any] = {}
        for tensor in self.outputs:
            if tensor.size != 1:
                raise DrawError(
                    f"gradients are drawn back from single numbers, got a tensor of shape "
                    f"{tensor.shape}; reduce it first, for example with t.sum()"
                )
            assert tensor._node is not None
            one = seed_gradient(tensor, None)
            before = seeds.get(tensor._node)
            seeds[tensor._node] = one if before is None else before + one
        return seeds


def read_tape(outputs: Sequence[Any]) -> Tape:
    """Collect the nodes behind some tensors. Raises DrawError for one that has none."""
    for i, tensor in enumerate(outputs):
        if not isinstance(tensor, Tensor) or tensor._node is None:
            raise DrawError(
                f"target {i} has no recorded graph: it does not require grad. Compute it from "
                "tensors with requires_grad=True, outside no_grad(); or draw((module, input)), "
                "which runs a module, frozen or not, for the picture."
            )
    seen: set[Node] = set()
    stack = [tensor._node for tensor in outputs if tensor._node is not None]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(source for source in node.inputs if source is not None)
    return Tape(tuple(outputs), tuple(sorted(seen, key=lambda node: node.number)))


def reaches(starts: Iterable[Node], targets: Collection[Node]) -> bool:
    """Whether a way back through the graph leads from one of `starts` to one of `targets`."""
    first = min(node.number for node in targets)
    stack = list(starts)
    seen = set(stack)
    while stack:
        for source in stack.pop().inputs:
            if source is None or source in seen or source.number < first:
                continue
            if source in targets:
                return True
            seen.add(source)
            stack.append(source)
    return False


def pass_through(node: Node) -> Node:
    """The node itself; for one that only passes on the value of another node, that other node."""
    while node.plan.name in ("output", *_SAME) and node.inputs[0] is not None:
        node = node.inputs[0]
    return node


def original(node: Node) -> Node:
    """The node itself; for one that is the same array again, that of the array, which gets the
    very gradient. A node may have several such copies, as the input of an opened kernel is."""
    while node.plan.name in _SAME and node.inputs[0] is not None:
        node = node.inputs[0]
    return node


def picked(
    node: Node, through: Callable[[Node], Node] = pass_through
) -> tuple[Node, int, int] | None:
    """The array, its axis and place, that a node such as `stack(arrays)[:, t]` picks."""
    stacked = node.inputs[0] if node.plan.name == "getitem" else None
    if stacked is None or through(stacked).plan.name != "stack":
        return None
    stacked = through(stacked)
    axis = stacked.params["axis"] % len(stacked.shape)
    index = node.params["index"]
    index = index if isinstance(index, tuple) else (index,)
    if len(index) != axis + 1 or any(part != slice(None) for part in index[:-1]):
        return None
    if not isinstance(index[-1], (int, np.integer)):
        return None
    place = int(index[-1]) % len(stacked.inputs)
    source = stacked.inputs[place]
    return None if source is None else (source, axis, place)


def norm_of(array: Any) -> float:
    """The Euclidean norm in float64, of an array or a term, without overflow for large entries."""
    array = array.part if array.__class__ is SlicedGradient else array
    flat = np.asarray(array, np.float64).ravel()
    if not flat.size:
        return 0.0
    # Without BLAS, whose threads wait for each other on a busy machine, 100 times the work.
    square = float(np.einsum("i,i->", flat, flat))
    if _SAFE < square < 1 / _SAFE:
        return math.sqrt(square)
    largest = float(np.abs(flat).max())
    if largest == 0 or not np.isfinite(largest):
        return largest
    flat = flat / largest
    return largest * math.sqrt(float((flat * flat).sum()))


def statistics_of(array: Any, norm: float | None = None) -> Statistics:
    """Norm, extremes and mean of an array; its norm need not be measured again if it is known."""
    values = np.asarray(array, np.float64)
    if not values.size:
        return Statistics(norm=0.0)
    with errstate(all="ignore"):
        total = float(values.sum())
        return Statistics(
            norm=norm_of(values) if norm is None else norm,
            minimum=float(values.min()),
            maximum=float(values.max()),
            mean=total / values.size,
            finite=math.isfinite(total) or bool(np.isfinite(values).all()),
        )


def contribution_of(term: Any, total: Any) -> Contribution:
    """Norm and signed share of one term of a gradient; the share is None where the total is 0."""
    with errstate(all="ignore"):
        return Contribution(norm=norm_of(term), share=share_of(term, total, norm_of(total)))


def share_of(term: Any, total: Any, scale: float) -> float | None:
    """<term, total> / |total|^2, given |total|; None where that is 0 or not finite.

    Both are divided by |total| first, so that the square of a tiny norm does not underflow.
    """
    if not 0 < scale < np.inf:
        return None
    if term.__class__ is SlicedGradient:
        term, total = term.part, total[term.index]
    term, total = np.asarray(term, np.float64), np.asarray(total, np.float64)
    with errstate(all="ignore"):
        if _SAFE < scale * scale < 1 / _SAFE:
            return float(np.einsum("i,i->", term.ravel(), total.ravel())) / (scale * scale)
        if scale < 1e-300:  # its inverse overflows
            term, total, scale = term * 2.0**200, total * 2.0**200, scale * 2.0**200
        return float(((term / scale) * (total / scale)).sum())


def sum_terms(terms: Iterable[Any]) -> Any:
    """The sum of some terms; those of inputs that were read by an index are added in-place."""
    total: Any = None
    owned = False
    for term in terms:
        if total is None:
            total, owned = (
                (term.dense(), True) if term.__class__ is SlicedGradient else (term, False)
            )
        elif not owned:
            total, owned = total + term, True
        elif term.__class__ is SlicedGradient:
            term.add_into(total)
        else:
            total = total + term
    return total


@dataclass(frozen=True)
class Measured:
    """What every edge and every node of a tape carries.

    Attributes:
        contributions: of each edge, by the node that reads and its input slot.
        gradients: of each node.
    """

    contributions: dict[tuple[Node, int], Contribution]
    gradients: dict[Node, Statistics]


def measure_terms(
    seeds: Mapping[Node, Any],
    needed: Collection[Node] | None = None,
    budget: int = 1 << 26,
    inspect: Callable[[Node, int, Any], None] | None = None,
    shares: bool = True,
) -> Measured:
    """Norm and share of the term on every edge, with little memory.

    Terms wait until the gradient that they add up to is complete. Where those of one node, such as
    the weights that ten thousand steps read, would take more than `budget` bytes, only their norms
    are kept, and a second pass measures their shares against the sum. `inspect(node, slot, term)`
    sees each term. Without `shares` only norms are measured, in one pass.

    What is sent to the same array again counts at the array, so that the shares of what is sent to
    it add up to 1; the way from there has no contribution of its own.
    """
    contributions: dict[tuple[Node, int], Contribution] = {}
    gradients: dict[Node, Statistics] = {}
    waiting: dict[Node, list[tuple[Node, int, Any]]] = {}
    sizes: dict[Node, int] = {}
    late: dict[Node, Any] = {}

    def home(source: Node) -> Node:
        array = original(source)
        return array if needed is None or array in needed else source

    def on_term(node: Node, source: Node, slot: int, term: Any, _: int) -> None:
        if isinstance(term, OutputGradients):
            return
        if inspect is not None:
            inspect(node, slot, term)
        if home(node) is not node:
            return
        source = home(source)
        if source in late or not shares:
            contributions[node, slot] = Contribution(norm_of(term))
            return
        waiting.setdefault(source, []).append((node, slot, term))
        kept = term.part if term.__class__ is SlicedGradient else term
        sizes[source] = sizes.get(source, 0) + kept.nbytes
        if sizes[source] > budget:
            late[source] = None
            for reader, place, earlier in waiting.pop(source):
                contributions[reader, place] = Contribution(norm_of(earlier))

    def on_gradient(node: Node, parts: Adjoints) -> None:
        total = parts[0]
        if isinstance(total, OutputGradients):
            return
        if not shares:
            norm = norm_of(total)
            gradients[node] = Statistics(norm=norm, finite=math.isfinite(norm))
            return
        gradients[node] = statistics_of(total)
        if node in late:
            late[node] = np.array(total)
        for reader, place, term in waiting.pop(node, ()):
            contributions[reader, place] = contribution_of(term, total)

    start = {node: {0: g} for node, g in seeds.items()}
    backward_pass(start, on_gradient=on_gradient, on_term=on_term, needed=needed)
    if late:
        scales = {node: norm_of(total) for node, total in late.items()}

        def share(node: Node, source: Node, slot: int, term: Any, _: int) -> None:
            source = home(source)
            if source in late and (node, slot) in contributions:
                norm = contributions[node, slot].norm
                part = share_of(term, late[source], scales[source])
                contributions[node, slot] = Contribution(norm, part)

        backward_pass(start, on_term=share, needed=needed)
    return Measured(contributions, gradients)
