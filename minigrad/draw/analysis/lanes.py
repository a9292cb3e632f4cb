"""The gradient along one state of one cell: by time step, by loss step and by lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.tape_states import Lane

__all__ = ["LaneGradients"]

REMEMBERED: Final = 0.01
"""The memory horizon is the last lag with this part of the largest gradient norm."""


@dataclass
class LaneGradients:
    """The gradient along one state of one cell.

    Attributes:
        lane: the cell's path and the state's name.
        steps: all time steps, (T,), counted from where the cell's time axis begins.
        norms: |dL/ds_t|, (T,).
        per_sample: the same for each sample of a batch, (T, batch); None where steps differ.
        loss_steps: the chosen loss steps, (K,), on the same axis: for an encoder, those of its
            decoder come after its own last step.
        triangle: |dL_k/ds_t|, (K, T); NaN where s_t does not come before the loss step.
        backwards: whether the cell reads time backwards.
        offset: what is added to a step to get its place on the time line of the picture.
    """

    lane: Lane
    steps: PlainArray
    norms: PlainArray
    per_sample: PlainArray | None
    loss_steps: PlainArray
    triangle: PlainArray
    backwards: bool = False
    offset: int = 0

    @property
    def lags(self) -> PlainArray:
        """Steps from the last loss step back to each state, (T,); negative before it."""
        last = self._last
        return self.steps - last if self.backwards else last - self.steps

    @property
    def _last(self) -> int:
        if not len(self.loss_steps):
            return int(self.steps[0] if self.backwards else self.steps[-1])
        return int(self.loss_steps.min() if self.backwards else self.loss_steps.max())

    @property
    def by_lag(self) -> tuple[PlainArray, PlainArray]:
        """Lags from 0 on, and the norm of the last loss step's gradient at each of them."""
        lags = self.lags
        keep = lags >= 0
        order = np.argsort(lags[keep])
        norms = self.norms
        if len(self.loss_steps):
            row = int(np.flatnonzero(self.loss_steps == self._last)[0])
            norms = self.triangle[row]
        return lags[keep][order], norms[keep][order]

    def quantiles(self, levels: Sequence[float] = (0.1, 0.5, 0.9)) -> PlainArray:
        """Quantiles of the norms over the samples of the batch, (levels, T)."""
        if self.per_sample is None:
            raise DrawError(f"the states of {self.lane} have no batch axis of one length")
        return np.quantile(self.per_sample, levels, axis=1)

    @property
    def rate(self) -> float:
        """The factor per step back that fits the norms best (least squares in the logarithm)."""
        lags, norms = self.by_lag
        good = np.isfinite(norms) & (norms > 0)
        if good.sum() < 2:
            known = len(norms) > 1 and norms.any() and np.isfinite(norms).all()
            return 0.0 if known else float("nan")
        x, y = lags[good].astype(float), np.log(norms[good])
        x = x - x.mean()
        return float(np.exp(np.dot(x, y) / np.dot(x, x)))

    @property
    def half_life(self) -> float:
        """Steps back after which half of the norm is left, by `rate`; infinite if it grows."""
        rate = self.rate
        if np.isnan(rate) or rate == 0:
            return 0.0 if rate == 0 else float("nan")
        # Rounding in the fit must not turn a constant into a half-life of 10^15 steps.
        return float("inf") if rate >= 1 - 1e-9 else round(float(-np.log(2) / np.log(rate)), 9)

    @property
    def horizon(self) -> int:
        """The largest lag at which 1 % of the largest norm is left."""
        lags, norms = self.by_lag
        finite = np.where(np.isfinite(norms), norms, np.inf)
        if not len(norms) or not np.nanmax(norms, initial=0.0) > 0:
            return 0
        return int(lags[np.flatnonzero(finite >= REMEMBERED * np.nanmax(norms))[-1]])

    def summary(self) -> dict[str, Any]:
        """The main results as plain Python values."""
        lags, norms = self.by_lag
        return {
            "steps": len(self.steps),
            "longest_lag": int(lags[-1]) if len(lags) else 0,
            "norm_at_loss": float(norms[0]) if len(norms) else 0.0,
            "norm_at_longest_lag": float(norms[-1]) if len(norms) else 0.0,
            "rate": self.rate,
            "half_life": self.half_life,
            "horizon": self.horizon,
        }
