"""Plots beside the pictures, with matplotlib: each takes Axes, or makes them, and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from minigrad.draw.analysis.jacobians import JacobianSpectra
from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.analysis.time_measure import TimeMeasure
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.plots.plot_axes import (
    as_text,
    axes_of,
    finish,
    name_of,
    note,
    where_lost,
    whole_steps,
)
from minigrad.draw.style.scale import number_text
from minigrad.draw.style.theme import theme_named
from minigrad.io.packages import require

__all__ = [
    "plot_gates",
    "plot_gradient_norms",
    "plot_jacobians",
    "plot_parameter_gradients",
    "plot_routes",
]

# Okabe and Ito's palette, distinct with any colour vision; yellow is too pale on white.
COLORS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES: Final = ("-", "--", "-.", ":")
MARKERS: Final = "osD^vP"
MANY_STEPS: Final = 200
"""Curves of more steps than this are thinner."""


def plot_gradient_norms(
    models: Mapping[str, TimeMeasure | LaneGradients],
    axes: Any = None,
    *,
    theme: str = "light",
) -> Any:
    """Gradient norm against lag, one line for each state, with its half-life in the legend.

    Args:
        models: what `backprop_through_time` found, or one of its lanes, by the name to show.
        axes: matplotlib Axes; None makes them.
        theme: `light` or `dark`.

    Batches get a band from the 10 % to the 90 % quantile of their samples' norms where the loss
    reads the states at one step alone.

    Raises TypeError for anything but a mapping.
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            "plot_gradient_norms needs a mapping from names to what was measured, such as "
            f"{{'LSTM': found}}, got {type(models).__name__}"
        )
    axes = axes_of(axes, theme)
    number = 0
    for model, (name, found) in enumerate(models.items()):
        lanes = found.lanes if hasattr(found, "lanes") else [found]
        cells = {lane.lane.cell for lane in lanes}
        for place, lane in enumerate(lanes):
            lags, norms = lane.by_lag
            shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
            words = [name_of(name)] if name else []
            if len(lanes) > 1 or not name:
                words.append(name_of(str(lane.lane) if len(cells) > 1 else lane.lane.state))
            label = f"{' '.join(words)} ({decay_text(lane)})"
            color = COLORS[model % len(COLORS)] if len(models) > 1 else COLORS[number % len(COLORS)]
            line = DASHES[(place if len(models) > 1 else number) % len(DASHES)]
            every = max(1, len(lags) // 8)
            axes.plot(
                lags,
                shown,
                line,
                color=color,
                label=label,
                marker=MARKERS[number % len(MARKERS)],
                markevery=every,
                markersize=4,
            )
            if lane.per_sample is not None and len(lane.loss_steps) == 1 and len(models) == 1:
                low, _, high = lane.quantiles()
                keep = lane.lags >= 0
                order = np.argsort(lane.lags[keep])
                low, high = low[keep][order], high[keep][order]
                if lane.per_sample.shape[1] > 1:
                    low = np.where(low > 0, low, np.nan)
                    words[-1] = f"{words[-1]}, single samples: 10 to 90 %"
                    axes.fill_between(
                        lags, low, high, color=color, alpha=0.15, lw=0, label=words[-1]
                    )
            number += 1
    if any(np.nanmax(line.get_ydata(), initial=0.0) > 0 for line in axes.lines):
        axes.set_yscale("log")
    else:
        axes.set_yticks([])
        note(axes, theme, "nothing to draw: every norm is 0, or not finite")
    whole_steps(axes.xaxis)
    return finish(
        axes,
        theme,
        "What is left of the gradient",
        "lag: steps back from the loss",
        "norm of the gradient",
    )


def decay_text(lane: LaneGradients) -> str:
    """The half-life in words, and from which lag on the norms are zero or not finite."""
    lags, norms = lane.by_lag
    lost = where_lost(lags, norms, "lag")
    known = norms[np.isfinite(norms) & (norms > 0)]
    if not len(known):
        return lost or "no gradient"
    rate = lane.rate
    if len(known) == 1:
        words = "one step"
    elif rate > 1 + 1e-6:
        words = "grows"
    else:
        decays = np.isfinite(lane.half_life)
        words = f"half-life {number_text(lane.half_life)}" if decays else "no decay"
    return f"{words}, {lost}" if lost else words


def plot_routes(
    found: TimeMeasure, axes: Any = None, *, state: str | None = None, theme: str = "light"
) -> Any:
    """The signed shares of the routes at each time step of one state; they add up to 1.

    Args:
        found: of `backprop_through_time`.
        state: its name; None takes the highway's own state where it has one.
    """
    axes = axes_of(axes, theme)
    names = found.routes.names
    if state is None:
        known = {lane.lane.state for lane in found.lanes}
        state = next((s for s in sorted(known) if f"({s})" in names[0]), sorted(known)[0])
    lane = found.lane(state)
    steps, _, shares = found.routes.series(lane.lane, lane.offset)
    colors = theme_named(theme)
    axes.axhline(0, color=colors.box_line, lw=0.8)
    axes.axhline(1, color=colors.box_line, lw=0.8, ls=":")
    tints = [colors.text, *COLORS]
    for number, name in enumerate(names):
        axes.plot(
            steps,
            shares[:, number],
            DASHES[number % len(DASHES)],
            color=tints[number % len(tints)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=(number, max(1, len(steps) // 8)),
            markersize=4,
            lw=(2.6 if number == 0 else 1.3) / (1 if len(steps) <= MANY_STEPS else 2),
            label=name_of(name),
        )
    if not np.isfinite(shares).any():
        note(axes, theme, "no shares: the gradient is 0, or not finite, at every step")
    whole_steps(axes.xaxis)
    title = "By which route the gradient came"
    return finish(axes, theme, title, "time step t", f"share of the gradient at {name_of(state)}")


def plot_gates(
    found: TimeMeasure,
    axes: Any = None,
    *,
    cell: str | None = None,
    saturation: bool = False,
    theme: str = "light",
) -> Any:
    """The gates of a cell over time: their mean with the 10 to 90 % band, or how much is saturated.

    Args:
        found: of `backprop_through_time`.
        cell: its path; None takes the last one with gates.
        saturation: show the part of all units within 5 % of either end of the gate's range.
    """
    gates = found.gates
    if not gates:
        raise DrawError("no gates on this tape: the cells declare none, or the values were freed")
    cell = gates[-1].cell if cell is None else cell
    chosen = [gate for gate in gates if gate.cell == cell]
    if not chosen:
        raise DrawError(f"no gates in {cell!r}; there are {sorted({g.cell for g in gates})}")
    axes = axes_of(axes, theme)
    for number, gate in enumerate(chosen):
        color = COLORS[number % len(COLORS)]
        lost = "" if np.isfinite(gate.mean).all() else where_lost(gate.steps, gate.mean, "step")
        axes.plot(
            gate.steps,
            gate.saturated if saturation else gate.mean,
            DASHES[number % len(DASHES)],
            color=color,
            marker=MARKERS[number % len(MARKERS)],
            markevery=max(1, len(gate.steps) // 8),
            markersize=4,
            lw=1.5 if len(gate.steps) <= MANY_STEPS else 0.8,
            label=name_of(gate.name) + (f", {lost}" if lost else ""),
        )
        if not saturation:
            low, _, high = gate.quantiles
            axes.fill_between(gate.steps, low, high, color=color, alpha=0.12, lw=0)
    if saturation:
        axes.set_ylim(-0.03, 1.03)
    whole_steps(axes.xaxis)
    measured = "part of units saturated" if saturation else "mean, 10 to 90 % of units"
    title = f"{'Saturation' if saturation else 'Activation'} of the gates of {name_of(cell)}"
    return finish(axes, theme, title, "time step t", measured)


def plot_jacobians(found: JacobianSpectra, axes: Any = None, *, theme: str = "light") -> Any:
    """The band from the smallest to the largest singular value of each step's Jacobian.

    Its spectral radius lies within; for a plain recurrent network the bounds of Pascanu et al.
    (2013) are drawn too: |U| times the largest slope at each step, and at all.
    """
    axes = axes_of(axes, theme)
    steps = found.steps
    top = float(found.largest.max(initial=0.0))
    # Far below the largest one is rounding error alone, and zero is not on a log scale.
    low = np.where(found.smallest > 0, np.maximum(found.smallest, max(top * 1e-6, 1e-300)), np.nan)
    floor = np.where(np.isnan(low), max(top * 1e-6, 1e-300), low)
    marker = "o" if len(steps) < 3 else ""
    if top > 0:
        axes.fill_between(steps, floor, found.largest, color=COLORS[0], alpha=0.2, lw=0)
    curves = (
        ("largest singular value", found.largest, "-", COLORS[0]),
        ("spectral radius", found.radius, "--", COLORS[1]),
        ("smallest singular value", low, ":", COLORS[0]),
    )
    for label, values, dash, color in curves:
        known = np.where(values > 0, values, np.nan)
        zero = ", 0 at every step" if np.isnan(known).all() else ""
        axes.plot(steps, known, dash, color=color, marker=marker, markersize=4, label=label + zero)
    if found.bounds is not None:
        bound = found.bounds.weight_norm * found.bounds.slope
        label = f"bound |U| f' = {number_text(bound)}"
        shown = bound if bound > 0 else np.nan
        axes.axhline(shown, color=COLORS[3], ls="-.", lw=1.2, label=label)
        axes.plot(
            steps,
            np.where(found.bounds.step_bounds > 0, found.bounds.step_bounds, np.nan),
            color=COLORS[3],
            lw=0.8,
            marker=marker and "_",
            label="bound at this step",
        )
    axes.axhline(1, color=theme_named(theme).text, lw=0.8)
    axes.set_yscale("log")
    axes.set_xlim(steps.min() - 0.5, steps.max() + 0.5)
    whole_steps(axes.xaxis)
    states = ", ".join(name_of(state) for state in found.states)
    title = f"Jacobians of {states} in {name_of(found.cell) or 'the cell'}"
    return finish(axes, theme, title, "time step t", "of the Jacobian of step t")


def plot_parameter_gradients(
    found: TimeMeasure, axes: Any = None, *, most: int = 8, theme: str = "light"
) -> Any:
    """The gradient of each parameter as bars, one for each bin of lags, in log10.

    At most `most` parameters, those with the largest gradients.
    """
    axes = axes_of(axes, theme, (8.0, 4.4))
    weights = found.weights
    leaves = sorted(weights.norms, key=lambda leaf: -max(weights.norms[leaf], default=0.0))[:most]
    leaves = [leaf for leaf in leaves if any(weights.norms[leaf])]
    title = "Where the gradients of the parameters come from"
    meaning = "norm of the gradient from uses at these lags (root sum of squares)"
    if not leaves:
        axes.set_xticks([])
        axes.set_yticks([])
        note(axes, theme, "no parameter has a gradient above 0 from any time step")
        return finish(axes, theme, title, meaning, "")
    bins = grouped_bins(weights.bins)
    height = 0.8 / len(bins)
    shades = require("matplotlib", "plot", "plotting").colormaps["cividis"]
    values = []
    for number, (first, last) in enumerate(bins):
        # The norm over several lags is at most this root sum of squares' size; shown as such.
        sizes = [
            float(
                np.sqrt(
                    sum(
                        n * n
                        for n, ends in zip(weights.norms[leaf], weights.bins, strict=True)
                        if first <= ends[0] and ends[1] <= last
                    )
                )
            )
            for leaf in leaves
        ]
        values += sizes
        label = f"lag {first}" if first == last else f"lags {first} to {last}"
        axes.barh(
            np.arange(len(leaves)) - 0.4 + height * (number + 0.5),
            [size or np.nan for size in sizes],
            height * 0.92,
            color=shades(0.12 + 0.8 * number / max(1, len(bins) - 1)),
            edgecolor=theme_named(theme).box_line,
            linewidth=0.3,
            label=label,
        )
    positive = [size for size in values if size > 0 and np.isfinite(size)]
    axes.set_xscale("log")
    if positive:
        # A decade at least, so that small differences look small; twelve at most.
        top = max(positive)
        axes.set_xlim(min(max(min(positive), top * 1e-12) * 0.5, top / 20), top * 1.5)
        axes.xaxis.set_minor_formatter(
            require("matplotlib.ticker", "plot", "plotting").NullFormatter()
        )
    names = [name_of(weights.names[leaf], 28) for leaf in leaves]
    for place, leaf in enumerate(leaves):
        if not np.isfinite(weights.norms[leaf]).all():
            names[place] += "\n(not finite)"
    axes.set_yticks(range(len(leaves)), names)
    as_text(axes.get_yticklabels())
    axes.set_ylim(len(leaves) - 0.5, -0.5)
    if not positive:
        note(axes, theme, "no norm is finite and above 0")
    return finish(axes, theme, title, meaning, "", loc="center left", bbox_to_anchor=(1.01, 0.5))


def grouped_bins(bins: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most eight groups of lags, each about twice as wide as the one before."""
    if len(bins) <= 8:
        return list(bins)
    last = bins[-1][1]
    firsts = sorted({0, *(round(last ** (k / 6)) for k in range(6))})
    # Groups begin where bins do.
    starts = [max(a for a, _ in bins if a <= first) for first in firsts]
    starts = sorted(set(starts))
    return [
        (first, (starts[k + 1] - 1) if k + 1 < len(starts) else last)
        for k, first in enumerate(starts)
    ]
