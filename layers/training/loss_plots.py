"""The losses of runs as curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layers.training.options import History
from layers.training.plots import plot_curves

__all__ = ["plot_losses"]


def plot_losses(
    path: Path | None,
    losses: Mapping[str, History | Sequence[float]],
    *,
    title: str,
    y: str,
    lines: Mapping[str, float] | None = None,
    log: str = "",
) -> Any:
    """The losses of runs, each a running mean over a fiftieth of its steps."""
    curves = {}
    for name, run in losses.items():
        history = run if isinstance(run, History) else History(list(run))
        curves[name] = history.running_losses()
    return plot_curves(path, curves, title=title, x="step", y=y, lines=lines, log=log)
