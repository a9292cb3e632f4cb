"""The gradients of parameters, split by how many steps before the loss they were used.

dL/dW adds up over all time steps. It can look healthy while every long lag has vanished, because
the short ones compensate; so the terms are summed separately for each lag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import Leaf, Node
from minigrad.draw.reading.backward_passes import OnTerm, dense
from minigrad.draw.reading.measure import norm_of
from minigrad.draw.reading.tape_states import States

__all__ = ["WeightLags", "lag_bins"]

MOST_SINGLE_LAGS: Final = 128
BUDGET: Final = 1 << 27
"""Bytes that the sums by lag may take; with more, lags share bins that double in width."""


def lag_bins(longest: int, single: bool) -> list[tuple[int, int]]:
    """First and last lag of each bin: each lag by itself, or widths of 1, 1, 2, 4, 8 and so on."""
    if single:
        return [(lag, lag) for lag in range(longest + 1)]
    bins = [(0, 0)]
    while bins[-1][1] < longest:
        first = bins[-1][1] + 1
        bins.append((first, min(2 * first - 1, longest)))
    return bins


class WeightLags:
    """Adds up the terms of each parameter by lag, in backward passes from single loss steps.

    Args:
        nodes, states: the tape.
        loss_steps: the loss steps from which the passes start.
        exact: whether they are all loss steps, so that the lags add up to dL/dW.

    Attributes:
        names: of each parameter, unique: where several have the same one, the module of the first
            use is put before it.
        bins: first and last lag of each bin.
        norms: by parameter, the norm of its gradient in each bin.
        wholes: by parameter, the norm of dL/dW itself.
        by_step: by parameter and time step, the norm of the term from its use at that step.
        outside: by parameter, the norm of what came from uses at no time step, if any.
    """

    def __init__(
        self, nodes: Sequence[Node], states: States, loss_steps: Sequence[int], exact: bool
    ) -> None:
        self.loss_steps, self.exact = list(loss_steps), exact
        self.leaves = [node for node in nodes if isinstance(node, Leaf) and node.learned] or [
            node for node in nodes if isinstance(node, Leaf)
        ]
        self._step_of, self._states = states.time_of, states
        self._home: dict[Node, Node] = {leaf: leaf for leaf in self.leaves}
        for node in nodes:
            # A parameter that was transposed once, before all steps, is still the parameter.
            source = node.inputs[0] if node.inputs else None
            if source in self._home and node.plan.view and self._step_of(node) is None:
                self._home[node] = self._home[source]
        self.names = self._names(nodes, states)
        size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in self.leaves)
        longest = states.steps[-1] - states.steps[0]
        single = longest < MOST_SINGLE_LAGS and size * (longest + 1) <= BUDGET
        self.bins = lag_bins(longest, single)
        self._firsts = np.array([first for first, _ in self.bins])
        self._sums: dict[tuple[Node, int], Any] = {}
        self._step_sums: dict[Node, tuple[int | None, Any]] = {}
        self.norms: dict[Leaf, list[float]] = {}
        self.by_step: dict[tuple[Leaf, int | None], float] = {}
        self.outside: dict[Leaf, float] = {}

    def _names(self, nodes: Sequence[Node], states: States) -> dict[Node, str]:
        """A unique name for each parameter."""
        places: dict[Node, str] = {}
        for node in nodes:
            for source in node.inputs:
                if source in self._home and node.scope is not None:
                    places.setdefault(self._home[source], states.names(node.scope))
        plain = {leaf: leaf.name or f"leaf {k}" for k, leaf in enumerate(self.leaves)}
        times = Counter(plain.values())
        names: dict[Node, str] = {}
        taken: set[str] = set()
        for leaf, name in plain.items():
            if times[name] > 1 and places.get(leaf):
                name = f"{places[leaf]}.{name}"
            unique, number = name, 1
            while unique in taken:
                number += 1
                unique = f"{name} ({number})"
            taken.add(unique)
            names[leaf] = unique
        return names

    def on_term_of_whole(self, node: Node, source: Node, slot: int, term: Any, _: int) -> None:
        """Take a term of the whole gradient, whose norms are summed by time step."""
        if source not in self._home or node in self._home:
            return
        step = self._step_of(node)
        before = self._step_sums.get(source)
        if before is not None and before[0] == step:
            self._step_sums[source] = (step, before[1] + term)
            return
        if before is not None:
            self._close(source, *before)
        self._step_sums[source] = (step, term)

    def _close(self, source: Node, step: int | None, term: Any) -> None:
        leaf = self._home[source]
        assert isinstance(leaf, Leaf)
        norm = norm_of(term)
        if step is None:
            self.outside[leaf] = float(np.hypot(norm, self.outside.get(leaf, 0.0)))
        else:
            key = (leaf, step)
            self.by_step[key] = float(np.hypot(norm, self.by_step.get(key, 0.0)))

    def on_term_from(self, loss_step: int) -> OnTerm:
        """The callback for the terms of a backward pass from one loss step."""

        def on_term(node: Node, source: Node, slot: int, term: Any, _: int) -> None:
            if source not in self._home or node in self._home:
                return
            step = self._step_of(node)
            if step is None:
                return
            place = int(np.searchsorted(self._firsts, abs(loss_step - step), side="right")) - 1
            before = self._sums.get((source, place))
            if before is None:
                self._sums[source, place] = np.array(dense(term))
            else:
                before += dense(term)

        return on_term

    def finish(self) -> None:
        """Measure the sums, once all passes are done."""
        for source, last in self._step_sums.items():
            self._close(source, *last)
        self._step_sums.clear()
        for leaf in self.leaves:
            norms = []
            for place in range(len(self.bins)):
                total: Any = None
                for source, home in self._home.items():
                    if home is leaf and (source, place) in self._sums:
                        term = self._through(source, leaf, self._sums[source, place])
                        total = term if total is None else total + term
                norms.append(0.0 if total is None else norm_of(total))
            self.norms[leaf] = norms
        self._sums.clear()

    def _through(self, source: Node, leaf: Leaf, term: Any) -> Any:
        """The term of a parameter, given that of a view of it."""
        while source is not leaf:
            term = dense(source.plan.vjp(source, term)[0])
            before = source.inputs[0]
            assert before is not None
            source = before
        return term

    def series(self, leaf: Leaf) -> tuple[list[int], list[float]]:
        """Time steps, and the norm of the term from the parameter's use at each."""
        steps = sorted(s for known, s in self.by_step if known is leaf and s is not None)
        return steps, [self.by_step[leaf, step] for step in steps]

    def summary(self) -> dict[str, dict[str, Any]]:
        """By the parameter's name: bins of lags and the norm of the gradient in each."""
        return {
            self.names[leaf]: {
                "lags": [list(ends) for ends in self.bins],
                "norms": list(self.norms.get(leaf, [])),
                "exact": self.exact,
            }
            for leaf in self.leaves
            if any(self.norms.get(leaf, []))
        }
