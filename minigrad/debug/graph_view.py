"""A view of the recorded graph, and a pause for the garbage collector."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from numpy import ndarray

from minigrad.core.errors import GradientError, describe
from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.debug.anomaly import anomaly_note, first_anomaly
from minigrad.debug.calls import Result, source_of_tensor
from minigrad.debug.replay import Recording
from minigrad.debug.scopes import ScopeNames
from minigrad.ops.pytree import labelled_leaves
from minigrad.restoring import Shared

__all__ = ["Graph", "GraphSummary", "Tally", "graph", "paused_gc"]


def graph(outputs: Any) -> "Graph":
    """The graph that was recorded while tensors were computed.

    Args:
        outputs: a tensor that requires grad, or a container of such tensors. Tensors computed
            under `recording(replay=True)` need not require grad: they can be replayed.

    Returns:
        A view: it keeps the graph alive, and does not change when more is computed.

    Raises:
        GradientError: when nothing was recorded.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> recorded = mg.graph((mg.tanh(x) * x).sum())
    >>> [node.plan.name for node in recorded]
    ['leaf', 'tanh', 'multiply', 'sum']
    """
    nodes, sources = [], []
    for label, leaf in labelled_leaves(outputs, "outputs"):
        if not isinstance(leaf, Tensor):
            raise TypeError(f"graph: {label} must be a tensor, got {type(leaf).__name__}")
        source = source_of_tensor(leaf, note=False)
        sources.append(source)
        if leaf._node is not None:
            nodes.append(leaf._node)
        elif not isinstance(source, Result):
            raise GradientError(
                f"graph: {label} {describe(leaf)} does not require grad, so nothing was recorded. "
                "Make an input with requires_grad=True, and compute outside no_grad()."
            )
    return Graph(nodes, Recording(outputs, sources))


class Graph:
    """The nodes of a recorded graph, in the order of recording.

    Iterating gives the nodes; `len` counts them, leaves included.

    Attributes:
        nodes: all nodes, inputs before what was computed from them.
        outputs: the nodes of the tensors that the graph was asked for.
    """

    def __init__(self, outputs: list[Node], recording: Recording | None = None) -> None:
        self.outputs = outputs
        self._recording = recording
        seen: set[Node] = set()
        stack = list(outputs)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(source for source in node.inputs if source is not None)
        self.nodes = sorted(seen, key=lambda node: node.number)

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __repr__(self) -> str:
        names = ", ".join(node.where for node in self.outputs)
        return f"Graph({len(self.nodes)} nodes, outputs: {names})"

    @property
    def leaves(self) -> list[Leaf]:
        """The leaves: parameters and inputs that require grad."""
        return [node for node in self.nodes if isinstance(node, Leaf)]

    def first_anomaly(self) -> str | None:
        """The first operations that made NaN or infinity, forward and backward, in a sentence each.

        It reads the notes that `anomaly_mode` left on the nodes; they survive the backward pass.

        Returns:
            None when all that was checked is in order.

        Raises:
            GradientError: when no node was checked.
        """
        if not any(anomaly_note(node) is not None for node in self.nodes):
            raise GradientError(
                "first_anomaly: no operation of this graph ran under anomaly mode. Run the forward "
                'and the backward pass inside `with minigrad.anomaly_mode("mark"):`.'
            )
        return first_anomaly(self.nodes)

    def replay(self, leaves: Mapping[Tensor, Any] | Sequence[Any] | None = None) -> Any:
        """The outputs computed again from their inputs: the same operations, bit for bit.

        Constants, operations without gradient and random masks are part of the recording, and
        kernels run as they ran. What left the tensors on the way (`item()`, `numpy()`, gradients
        that were not recorded, the branches that Python took) is a constant of it. A replay runs
        on plain arrays: it is not recorded itself, nor does it touch any `.grad`. It works after a
        backward pass freed the graph.

        Args:
            leaves: None repeats with the recorded values, even if leaves were written since.
                Otherwise the new values, of the same shape and dtype: by tensor, as in
                ``{x: value}`` (leaves that require grad, and tensors without grad that went in),
                or one for each of `leaves` in their order.

        Returns:
            Tensors without history, in the containers that `graph` was given.

        Raises:
            GradientError: when the graph was not recorded with replay, when a tensor is none of
                its inputs, or when the recording cannot tell what another value would change.
            ShapeError: when a value has another shape, or the wrong number of them is given.
            DtypeError: when a value has another dtype.

        >>> import numpy as np
        >>> import minigrad as mg
        >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
        >>> with mg.recording(replay=True):
        ...     y = mg.dropout(x * x, p=0.5, generator=np.random.default_rng(1))
        >>> y.tolist(), mg.graph(y).replay().tolist()
        ([0.0, 8.0], [0.0, 8.0])
        >>> mg.graph(y).replay({x: [3.0, 4.0]}).tolist()
        [0.0, 32.0]
        """
        if self._recording is None:
            raise GradientError("replay: this view was made without the outputs of the graph")
        return self._recording.replay(leaves, self.leaves)

    def summary(self) -> "GraphSummary":
        """How many nodes there are and how much memory their saved arrays hold.

        Each array's memory counts once, at the first node that saved it, and in full where only a
        part of it was saved, since that keeps the whole alive.
        """
        counted: set[int] = set()
        by_op: dict[str, Tally] = {}
        by_scope: dict[str, Tally] = {}
        total = edges = 0
        names = ScopeNames(node.scope for node in self.nodes)
        for node in self.nodes:
            held = 0
            for array in saved_arrays(node.saved):
                owner = memory_of(array)
                if id(owner) not in counted:
                    counted.add(id(owner))
                    held += owner.nbytes
            total += held
            edges += sum(source is not None for source in node.inputs)
            for tallies, key in ((by_op, node.plan.name), (by_scope, names(node.scope))):
                before = tallies.get(key, Tally(0, 0))
                tallies[key] = Tally(before.nodes + 1, before.nbytes + held)
        return GraphSummary(len(self.nodes), edges, total, by_op, by_scope)


class Tally(NamedTuple):
    """A number of nodes and the bytes that their saved arrays hold."""

    nodes: int
    nbytes: int


class GraphSummary(NamedTuple):
    """What a graph consists of and holds; printed as two tables.

    Attributes:
        nodes: the number of nodes, leaves included.
        edges: the number of edges between them.
        nbytes: the bytes that saved arrays hold.
        by_op: the same by the name of the operation.
        by_scope: the same by module path; "" is outside of any module.
    """

    nodes: int
    edges: int
    nbytes: int
    by_op: dict[str, Tally]
    by_scope: dict[str, Tally]

    def __str__(self) -> str:
        lines = [f"{self.nodes:,} nodes, {self.edges:,} edges, {self.nbytes:,} bytes saved"]
        for title, tallies in (("operation", self.by_op), ("scope", self.by_scope)):
            rows = sorted(tallies.items(), key=lambda row: (-row[1].nbytes, -row[1].nodes, row[0]))
            width = max(len(title), *(len(name or "(none)") for name, _ in rows))
            lines += ["", f"{title:<{width}} {'nodes':>10} {'bytes':>15}"]
            lines += [
                f"{name or '(none)':<{width}} {tally.nodes:>10,} {tally.nbytes:>15,}"
                for name, tally in rows
            ]
        return "\n".join(lines)


def saved_arrays(saved: Any) -> "Iterator[ndarray[Any, Any]]":
    """The arrays in what a node saved, however nested."""
    stack = [saved]
    while stack:
        value = stack.pop()
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, Tensor):
            yield value._array
        elif isinstance(value, (tuple, list)):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


def memory_of(array: "ndarray[Any, Any]") -> "ndarray[Any, Any]":
    """The array that owns the memory of a view."""
    owner = array
    below: Any = array.base
    while below is not None:
        if isinstance(below, ndarray):
            owner = below
        below = getattr(below, "base", None)
    return owner


class paused_gc(Shared):
    """A block without garbage collection, in any number of threads; restored afterwards.

    The collector walks all live nodes again and again while a large graph is built, and never
    finds anything there: graphs have no cycles. A pause saves that time. Blocks nest; the collector
    comes back when the last of them ends, if it was on before the first.

    >>> with paused_gc():
    ...     gc.isenabled()
    False
    """

    def read(self) -> bool:
        """Whether the collector is on."""
        return gc.isenabled()

    def change(self) -> None:
        """Pause."""
        gc.disable()

    @classmethod
    def put_back(cls, before: bool) -> None:
        """Go on collecting, if that was so."""
        if before:
            gc.enable()
