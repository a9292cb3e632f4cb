"""The gates of recurrent cells at every step, read from the arrays that the tape saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import Node
from minigrad.debug.scopes import Scope
from minigrad.draw.reading.tape_states import States, value_of
from minigrad.restoring import errstate

__all__ = ["GateSeries", "gate_series"]

SATURATED: Final = 0.05
"""A gate within this part of its range from an end counts as saturated: its slope is below a fifth
of the largest one, 0.05 * 0.95 / 0.25."""
SQUASHING: Final = {"sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


@dataclass
class GateSeries:
    """One gate of one cell over time.

    Attributes:
        cell, name: the cell's path and the gate's name.
        op: its activation, `sigmoid` or `tanh`.
        steps: the time steps, (T,).
        mean: over the batch and the units, (T,).
        quantiles: the 10, 50 and 90 % quantiles over batch and units, (3, T).
        saturated: the part of all units within 5 % of either end of the range, (T,).
        most_open: the mean over the batch of one unit, the one that is open widest over all steps,
            (T,): a few open units are enough to remember by, and the mean does not show them.
        log_mean: the mean logarithm, for gates between 0 and 1, (T,): by which a product of gates
            over time decays.
    """

    cell: str
    name: str
    op: str
    steps: np.ndarray[Any, Any]
    mean: np.ndarray[Any, Any]
    quantiles: np.ndarray[Any, Any]
    saturated: np.ndarray[Any, Any]
    most_open: np.ndarray[Any, Any]
    log_mean: np.ndarray[Any, Any]

    def summary(self) -> dict[str, float]:
        """The means over time."""
        return {
            "mean": float(self.mean.mean()),
            "saturated": float(self.saturated.mean()),
        }

    def __str__(self) -> str:
        return f"{self.cell} {self.name}".strip()


def gate_series(nodes: Sequence[Node], states: States) -> list[GateSeries]:
    """Every gate on a tape: an activation in a scope that a cell declares as a route.

    Gates whose values were freed, or not saved, are left out.
    """
    readers: dict[Node, list[tuple[Node, int]]] = {}
    found: dict[tuple[str, str, str], dict[int, Any]] = {}
    known: dict[Scope, str | None] = {}
    for node in nodes:
        for slot, source in enumerate(node.inputs):
            if source is not None and source.plan.name in SQUASHING:
                readers.setdefault(source, []).append((node, slot))
    for node in nodes:
        scope = node.scope
        if node.plan.name not in SQUASHING or scope is None:
            continue
        if scope not in known:
            known[scope] = _gate_of(scope)
        name, call = known[scope], states.call_of(node)
        if name is None or call is None:
            continue
        value = value_of(node, readers.get(node, ()))
        if value is not None:
            cell = states.title_of(call)
            steps = found.setdefault((cell, name, node.plan.name), {})
            steps[call.time - states.offset_of(cell)] = value
    return [_series(*key, values) for key, values in found.items()]


def _gate_of(scope: Scope) -> str | None:
    """The gate of a scope, if its cell declares one there as a route."""
    declared: tuple[str, ...] = ()
    for part in scope.chain():
        if part.routes is not None:
            declared = part.routes.detours
        elif part.name in declared:
            return part.name
    return None


def _series(cell: str, name: str, op: str, values: dict[int, Any]) -> GateSeries:
    steps = sorted(values)
    low, high = SQUASHING[op]
    margin = SATURATED * (high - low)
    arrays = [np.asarray(values[step], np.float64) for step in steps]
    with errstate(divide="ignore", invalid="ignore"):
        logs = [float(np.log(a).mean()) if low == 0 else np.nan for a in arrays]
    return GateSeries(
        cell,
        name,
        op,
        np.array(steps),
        np.array([a.mean() for a in arrays]),
        np.array([np.quantile(a, (0.1, 0.5, 0.9)) for a in arrays]).T,
        np.array([float(((a < low + margin) | (a > high - margin)).mean()) for a in arrays]),
        _most_open(arrays),
        np.array(logs),
    )


def _most_open(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The mean over the batch of the unit with the highest mean over all time steps."""
    units = np.array([a.reshape(-1, a.shape[-1] if a.ndim else 1).mean(axis=0) for a in arrays])
    found: np.ndarray[Any, Any] = units[:, units.mean(axis=0).argmax()]
    return found
