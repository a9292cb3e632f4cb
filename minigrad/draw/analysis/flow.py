"""The gradient flow of one number: the contribution of every edge, the routes, and the faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.core.backward import pull_back
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.faults import DeadUnits, Fault, find_faults, from_flags, has_flags
from minigrad.draw.analysis.gradient_routes import (
    By,
    EdgeRoutes,
    RouteNames,
    RouteParts,
    follow_routes,
)
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.graph.records import Contribution, Statistics
from minigrad.draw.reading.measure import Measured, Tape, measure_terms, norm_of, read_tape
from minigrad.draw.reading.opening import open_kernels
from minigrad.draw.reading.tape_states import States
from minigrad.forks import cached_property
from minigrad.ops.pruning import needed_nodes

__all__ = ["GradientFlow", "gradient_flow"]


def gradient_flow(
    loss: Tensor | Sequence[Tensor],
    *,
    wrt: Tensor | Iterable[Tensor] | None = None,
    routes: RouteNames = None,
    by: By = "gate",
    most: int = 3,
) -> GradientFlow:
    """Measure what every edge of a graph carries back from a loss.

    No `.grad` is touched, hooks do not run, and the graph can still run backward.

    Args:
        loss: a tensor of one number, or several, whose gradients are added.
        wrt: follow only the paths to these tensors; None follows all.
        routes: the scopes that routes lead through, by name, class name or path, such as
            ``["self_attn"]`` or ``{"attention": "self_attn"}``; "residual" for the branches of a
            Transformer; None takes what the cells themselves declare, as LSTM and GRU do.
        by, most: how routes are separated, see
            `minigrad.draw.analysis.gradient_routes.follow_routes`.

    Raises DrawError for a tensor without a graph, for one that is not a single number, for `wrt`
    that the loss does not depend on, and where a backward freed the graph and anomaly mode left no
    flags on it; ValueError for unknown routes.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> flow = gradient_flow((x * x).sum())
    >>> [round(term.share, 3) for term in flow.contributions.values()]
    [1.0, 0.5, 0.5]
    >>> flow.check()
    0.0
    """
    tape = read_tape([loss] if isinstance(loss, Tensor) else list(loss))
    targets = None if wrt is None else [wrt] if isinstance(wrt, Tensor) else list(wrt)
    return GradientFlow(tape, targets, routes, by, most)


class GradientFlow:
    """What `gradient_flow` found.

    Attributes:
        tape: the nodes behind the loss.
        contributions: norm and signed share of each edge's term, by the node that reads and its
            input slot. The terms of all edges out of a node add up to its gradient.
        gradients: norm, extremes and mean of each node's gradient.
        faults: what went wrong, in sentences; see `minigrad.draw.analysis.faults`.
    """

    def __init__(
        self,
        tape: Tape,
        wrt: Sequence[Tensor] | None,
        routes: RouteNames,
        by: By,
        most: int,
    ) -> None:
        self.tape = tape
        self.seeds = tape.seeds()
        self.needed = None if wrt is None else _ways_to(tape, wrt)
        self._route_names, self._by, self._most = routes, by, most
        self._edge_routes: EdgeRoutes | None = None
        if routes is not None:
            self._edge_routes = EdgeRoutes(self._opened.nodes, routes)
        units = DeadUnits()
        try:
            measured = measure_terms(self.seeds, self.needed, inspect=units)
        except DrawError:
            if not has_flags(tape):
                raise
            measured = from_flags(tape)
        self.contributions: dict[tuple[Node, int], Contribution] = measured.contributions
        self.gradients: dict[Node, Statistics] = measured.gradients
        self.faults: tuple[Fault, ...] = find_faults(
            tape, Measured(measured.contributions, measured.gradients), units
        )

    @property
    def diagnosis(self) -> tuple[str, ...]:
        """What went wrong, one sentence each; empty where nothing did."""
        return tuple(fault.sentence for fault in self.faults)

    @cached_property
    def routes(self) -> RouteParts:
        """The gradients of states and leaves, split by route."""
        return self._follow(keep=False)

    @cached_property
    def _opened(self) -> Tape:
        """The tape with kernels opened: routes lead through the gates in them."""
        return read_tape(open_kernels(self.tape.outputs))

    def _follow(self, keep: bool) -> RouteParts:
        nodes = self._opened.nodes
        return follow_routes(
            self._opened.seeds(),
            nodes,
            States(nodes),
            self._route_names,
            self._by,
            self._most,
            keep,
        )

    def route_of(self, node: Node, source: Node) -> str:
        """The name of the route that an edge begins, or nothing."""
        if self._edge_routes is None:
            self._edge_routes = EdgeRoutes(self._opened.nodes, self._route_names)
        return self._edge_routes.begun_by(node, source) or ""

    def gradient(self, tensor: Tensor) -> Statistics:
        """The gradient of a tensor on the tape. Raises DrawError for one that has none."""
        if tensor._node is None or tensor._node not in self.gradients:
            raise DrawError("the loss does not depend on this tensor, so it has no gradient here")
        return self.gradients[tensor._node]

    def check(self, tolerance: float | None = None) -> float:
        """Compare with an ordinary backward pass, to which the parts must add up.

        Args:
            tolerance: the largest relative error allowed; None takes 1e-12 for float64 and the
                equivalent in other dtypes.

        Returns the largest relative error found: of the routes of every state and leaf, and of the
        norm of every measured gradient. Where larger numbers cancel to a gradient, the error is
        relative to them. Raises DrawError when it exceeds the tolerance.
        """
        parts = self._follow(keep=True)
        keep = set(parts.wholes)
        true = self._ordinary(keep, 1.0)
        # The same gradient with other rounding errors; a power of 2 would change no mantissa.
        again = self._ordinary(keep, 3.0)
        worst = 0.0
        for node, expected in true.items():
            scale = norm_of(expected)
            eps = float(np.finfo(expected.dtype).eps)
            allowed = 4500 * eps if tolerance is None else tolerance
            # Their difference shows how large the numbers were that were rounded.
            size = max(scale, norm_of(again[node] / 3 - expected) / eps)
            errors = []
            if node in parts.wholes:
                errors.append(norm_of(parts.wholes[node] - expected))
            if node in self.gradients and self.gradients[node].norm is not None:
                errors.append(abs(float(self.gradients[node].norm or 0.0) - scale))
            for error in errors:
                relative = error / size if size else error
                if not relative <= allowed and np.isfinite(scale):
                    raise DrawError(
                        f"the parts of the gradient at {node.name or node.where} do not add up to "
                        f"it: relative error {relative:.3g}, allowed {allowed:.3g}. Does the graph "
                        "have hooks, which the analysis leaves out?"
                    )
                worst = max(worst, relative) if np.isfinite(scale) else worst
        return worst

    def _ordinary(self, keep: set[Node], factor: float) -> dict[Node, Any]:
        """The gradients of an ordinary backward pass from the seeds times a factor."""
        seeds = [(node, g * g.dtype.type(factor)) for node, g in self._opened.seeds().items()]
        with ModeChange(observers=()):
            return pull_back(seeds, keep)

    def __repr__(self) -> str:
        leaves = sum(isinstance(node, Leaf) for node in self.gradients)
        return (
            f"GradientFlow({len(self.gradients)} gradients, {len(self.contributions)} edges, "
            f"{leaves} leaves)"
        )


def _ways_to(tape: Tape, wrt: Sequence[Tensor]) -> set[Node]:
    """The nodes between the loss and some tensors."""
    on_tape = set(tape.nodes)
    for number, tensor in enumerate(wrt):
        if tensor._node is None or tensor._node not in on_tape:
            name = f" {tensor.name!r}" if getattr(tensor, "name", None) else ""
            raise DrawError(
                f"wrt {number}{name}: the loss does not depend on it, so nothing flows back to it. "
                "Was it detached, or used inside no_grad()?"
            )
    nodes = {tensor._node for tensor in wrt if tensor._node is not None}
    needed, _ = needed_nodes([t._node for t in tape.outputs if t._node is not None], nodes)
    return on_tape if needed is None else needed
