"""Measuring backpropagation through time: the gradient at every state, by loss step.

The diagnosis and the pictures of it are in `minigrad.draw.time_gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from minigrad.core.nodes import Leaf, Node, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.gates import GateSeries, gate_series
from minigrad.draw.analysis.gradient_routes import By, RouteNames, RouteParts, follow_routes
from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.analysis.weight_lags import WeightLags
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.measure import norm_of, read_tape
from minigrad.draw.reading.named_states import NamedStates, labels_on, open_with_states
from minigrad.draw.reading.tape_states import Lane, States
from minigrad.forks import cached_property

__all__ = ["TimeMeasure"]

MOST_LOSS_STEPS: Final = 128
MOST_STEPS_BACK: Final = 30_000
"""Time steps, over all loss steps, that the passes of an automatic triangle go back at most."""


@dataclass
class _Rows:
    """What one backward pass found at the states: norms by lane and step."""

    norms: dict[tuple[Lane, int], float] = field(default_factory=dict)
    samples: dict[tuple[Lane, int], PlainArray] = field(default_factory=dict)


class TimeMeasure:
    """What `backprop_through_time` found.

    Attributes:
        lanes: the gradient along each state of each cell.
        weights: the parameters' gradients, split by the lag of their use.
        input_norms: |dL_k/dx_t|, (K, T), for each leaf (batch, T, ...) that is no parameter.
        sample: the sample that was measured, or None.
    """

    def __init__(
        self,
        loss: Tensor,
        loss_steps: Literal["auto", "all"] | Sequence[int],
        sample: int | None,
        routes: RouteNames,
        by: By,
        most: int,
        states: NamedStates = None,
    ) -> None:
        opened, named = open_with_states([loss], states)
        self.tape = read_tape(opened)
        self.states = States(self.tape.nodes, labels_on(self.tape.nodes, named))
        self.states.require("backpropagation through time")
        self.sample = sample
        batches = {node.shape[0] for node in self.states.lane_of if len(node.shape) > 1}
        for batch in batches if sample is not None else ():
            if not -batch <= sample < batch:
                raise DrawError(f"sample {sample} is not in a batch of {batch}")
        self._options = (routes, by, most)
        self.seeds = self.tape.seeds()
        direct = self._direct()
        entered = sorted({self.states.lane_of[node][1] for node in direct})
        chosen = self._chosen(loss_steps, entered)
        rows = _Rows()
        self.weights = WeightLags(self.tape.nodes, self.states, chosen, exact=entered == chosen)
        backward_pass(
            {node: {0: g} for node, g in self.seeds.items()},
            on_gradient=lambda node, parts: self._measure(rows, node, parts, keep_samples=True),
            on_term=self.weights.on_term_of_whole,
        )
        self.input_norms: dict[Leaf, PlainArray] = {}
        triangles = [self._row(direct, k, number) for number, k in enumerate(chosen)]
        self.weights.finish()
        self.lanes = [
            self._lane(lane, nodes, rows, chosen, triangles)
            for lane, nodes in self.states.lanes.items()
        ]

    def _direct(self) -> dict[Node, Any]:
        """The gradients that reach each state on paths through no other state."""
        found: dict[Node, Any] = {}

        def on_gradient(node: Node, parts: Adjoints) -> None:
            # An index into a stack of outputs sends exact zeros to all other steps.
            if node in self.states.lane_of and np.any(parts[0]):
                found[node] = parts[0]

        backward_pass(
            {node: {0: g} for node, g in self.seeds.items()},
            on_gradient=on_gradient,
            stop=self.states.lane_of.keys(),
        )
        return found

    def _chosen(
        self, wanted: Literal["auto", "all"] | Sequence[int], entered: list[int]
    ) -> list[int]:
        if isinstance(wanted, str):
            if wanted not in ("auto", "all"):
                raise ValueError(f'loss_steps must be "auto", "all" or time steps, got {wanted!r}')
            count = len(entered)
            if wanted == "auto":
                passes = max(1, MOST_STEPS_BACK // max(1, len(self.states.steps)))
                count = min(count, passes, MOST_LOSS_STEPS)
            if count == len(entered):
                return entered
            # The last one, and others evenly spaced before it.
            places = np.linspace(len(entered) - 1, 0, count, endpoint=count > 1).round()
            return sorted({entered[int(place)] for place in places})
        missing = [k for k in wanted if k not in entered]
        if missing:
            raise ValueError(
                f"loss_steps has {missing[0]}, where the loss reads no state; it does at "
                f"{entered[:10]}{' and more' if len(entered) > 10 else ''}"
            )
        return sorted(set(wanted))

    def _measure(self, rows: _Rows, node: Node, parts: Adjoints, keep_samples: bool) -> None:
        lane = self.states.lane_of.get(node)
        if lane is None:
            return
        g = parts[0]
        if keep_samples and g.ndim > 1:
            flat = np.asarray(g, np.float64).reshape(len(g), -1)
            rows.samples[lane] = np.linalg.norm(flat, axis=1)
        rows.norms[lane] = norm_of(g if self.sample is None or g.ndim < 2 else g[self.sample])

    def _row(self, direct: dict[Node, Any], step: int, number: int) -> _Rows:
        """The gradient at every state of what the loss reads at one step."""
        rows = _Rows()

        def on_gradient(node: Node, parts: Adjoints) -> None:
            self._measure(rows, node, parts, keep_samples=False)
            if isinstance(node, Leaf) and not node.learned and np.ndim(parts[0]) >= 2:
                self._measure_input(node, parts[0], number)

        seeds = {node: {0: g} for node, g in direct.items() if self.states.lane_of[node][1] == step}
        backward_pass(seeds, on_gradient=on_gradient, on_term=self.weights.on_term_from(step))
        return rows

    def _measure_input(self, leaf: Leaf, g: Any, number: int) -> None:
        if g.shape[1] <= self.states.steps[-1]:
            return
        if leaf not in self.input_norms:
            self.input_norms[leaf] = np.full((len(self.weights.loss_steps), g.shape[1]), np.nan)
        g = g if self.sample is None else g[self.sample : self.sample + 1]
        by_step = np.moveaxis(np.asarray(g, np.float64), 1, 0).reshape(g.shape[1], -1)
        self.input_norms[leaf][number] = np.linalg.norm(by_step, axis=1)

    def _lane(
        self,
        lane: Lane,
        nodes: dict[int, Node],
        rows: _Rows,
        chosen: list[int],
        triangles: list[_Rows],
    ) -> LaneGradients:
        steps = sorted(nodes)
        offset = self.states.offset_of(lane.cell)
        backwards = self.states.backwards(lane.cell)
        samples = [rows.samples.get((lane, step)) for step in steps]
        known = [s for s in samples if s is not None]
        per_sample = None
        if known and len({len(s) for s in known}) == 1:
            none = np.zeros(len(known[0]))
            per_sample = np.array([none if s is None else s for s in samples])
        triangle = np.array(
            [
                [
                    row.norms.get((lane, t), 0.0) if (t >= k if backwards else t <= k) else np.nan
                    for t in steps
                ]
                for k, row in zip(chosen, triangles, strict=True)
            ]
        ).reshape(len(chosen), len(steps))
        return LaneGradients(
            lane,
            np.array(steps) - offset,
            np.array([rows.norms.get((lane, step), 0.0) for step in steps]),
            per_sample,
            np.array(chosen, int) - offset,
            triangle,
            backwards,
            offset,
        )

    def lane(self, state: str, cell: str | None = None) -> LaneGradients:
        """The gradient along a state; of the last cell that has it, if none is named."""
        for lane in reversed(self.lanes):
            if lane.lane.state == state and cell in (None, lane.lane.cell):
                return lane
        known = ", ".join(str(lane.lane) for lane in self.lanes)
        raise DrawError(f"no state {state!r} in cell {cell!r}; there are {known}")

    @cached_property
    def routes(self) -> RouteParts:
        """The gradient of every state and leaf, split by route."""
        names, by, most = self._options
        return follow_routes(self.seeds, self.tape.nodes, self.states, names, by, most)

    @cached_property
    def gates(self) -> list[GateSeries]:
        """The gates of the cells at every step."""
        return gate_series(self.tape.nodes, self.states)
