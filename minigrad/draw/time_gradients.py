"""Backpropagation through time, measured: how much of the gradient is left after how many steps.

The gradient dL/ds_t of a recurrent network is a sum over all later steps. The sum can look healthy
while the terms of long lags have vanished, so it is split: by the step at which the loss reads the
states, by lag, and, for parameters, by the lag of their use (Bengio et al. 1994; Pascanu et al.
2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.gradient_routes import By, RouteNames
from minigrad.draw.analysis.time_measure import TimeMeasure
from minigrad.draw.drawing import Drawing
from minigrad.draw.pages.page_measures import interaction_of
from minigrad.draw.pictures import draw
from minigrad.draw.plots.curves import plot_gradient_norms
from minigrad.draw.reading.named_states import NamedStates
from minigrad.draw.views.diagnosis import describe_time
from minigrad.forks import cached_property

__all__ = ["TimeGradients", "backprop_through_time"]


def backprop_through_time(
    loss: Tensor,
    *,
    loss_steps: Literal["auto", "all"] | Sequence[int] = "auto",
    sample: int | None = None,
    routes: RouteNames = None,
    by: By = "gate",
    most: int = 3,
    states: NamedStates = None,
) -> TimeGradients:
    """Measure the gradient of a loss at every state of every time step, lag by lag.

    The states are those that cells label. The recurrent layers of `layers` do, also where they ran
    as kernels, which are opened here, and so does any code that calls `minigrad.label_state`. A
    call is the next step of a sequence where its state comes from that of the call before; the
    steps of a decoder come after those of its encoder. No `.grad` is touched.

    Args:
        loss: a tensor of one number.
        loss_steps: the time steps k, those of a decoder counted on from its encoder's, at which
            the loss reads the states, for which the gradient is measured separately: dL_k/ds_t,
            with L_k all paths from the loss that enter the states at step k. "auto" takes them all
            where that is quick, and else the last one and others evenly spread, 128 at most.
        sample: measure one sample of the batch, axis 0 of the states; None takes norms over all.
        routes, by, most: see `gradient_flow`.
        states: the states of a cell that is written in plain operations, by name and time step,
            such as ``{"h": [h0, h1, h2]}``; a list of tensors names one state, a list of pairs
            (h, c) two. None takes those that were labelled, and without any finds those of a loop
            whose weights are used again at every step.

    Raises DrawError for a tensor without a graph or without labelled states, for one that is not a
    single number, and for a graph that a backward freed; ValueError for unknown loss steps.

    >>> import minigrad as mg
    >>> w = mg.Tensor(0.5, dtype="float64", requires_grad=True)
    >>> h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    >>> for t in range(4):
    ...     with mg.step(t), mg.scope("cell"):
    ...         h = mg.label_state(w * h, "h")
    >>> found = backprop_through_time(h)
    >>> found.lane("h").norms.tolist()
    [0.125, 0.25, 0.5, 1.0]
    >>> found.lane("h").half_life
    1.0
    """
    return TimeGradients(loss, loss_steps, sample, routes, by, most, states)


class TimeGradients(TimeMeasure):
    """What `backprop_through_time` found, with words and pictures for it."""

    @cached_property
    def diagnosis(self) -> tuple[str, ...]:
        """Sentences: how far the gradient falls, and along which route it comes."""
        return describe_time(self)

    def summary(self) -> dict[str, Any]:
        """All that was found as plain Python values, so that a test can assert on it."""
        return {
            "steps": len(self.states.steps),
            "loss_steps": [int(k) for k in self.weights.loss_steps],
            "states": {str(lane.lane): lane.summary() for lane in self.lanes},
            "parameters": self.weights.summary(),
            "gates": {str(gate): gate.summary() for gate in self.gates},
            "routes": self._route_summary(),
            "diagnosis": list(self.diagnosis),
        }

    def _route_summary(self) -> dict[str, dict[str, float]]:
        """For each state, the shares of the routes at the longest lag."""
        found: dict[str, dict[str, float]] = {}
        for lane in self.lanes:
            steps, _, shares = self.routes.series(lane.lane, lane.offset)
            if not steps:
                continue
            known = np.flatnonzero(np.isfinite(shares[:, 0]))
            if len(known):
                row = shares[known[-1] if lane.backwards else known[0]]
                pairs = zip(self.routes.names, row, strict=True)
                found[str(lane.lane)] = {name: float(share) for name, share in pairs}
        return found

    def plot(self, axes: Any = None, **options: Any) -> Any:
        """Gradient norm against lag, one line a state; see `minigrad.draw.plots.curves`."""
        return plot_gradient_norms({"": self}, axes, **options)

    def draw(self, **options: Any) -> Drawing:
        """The picture of the cells and the gradient's way back; options as for `draw`."""
        options = {"level": "cells", "grad": "norm"} | options
        drawing = draw(list(self.tape.outputs), **options)
        drawing.interaction = interaction_of(self, drawing.graph)
        return drawing

    def __repr__(self) -> str:
        names = ", ".join(str(lane.lane) for lane in self.lanes)
        return f"TimeGradients({len(self.states.steps)} steps of {names})"
