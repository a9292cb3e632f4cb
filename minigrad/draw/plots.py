"""Plots beside the pictures, with matplotlib: each takes Axes, or makes them, and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from minigrad.draw.errors import DrawError
from minigrad.draw.plot_axes import axes_of, legend_of
from minigrad.draw.scale import number_text
from minigrad.draw.theme import theme_named
from minigrad.errors import require

if TYPE_CHECKING:
    from minigrad.draw.jacobians import JacobianSpectra
    from minigrad.draw.lanes import LaneGradients
    from minigrad.draw.time_measure import TimeMeasure

__all__ = [
    "plot_attention",
    "plot_gates",
    "plot_gradient_norms",
    "plot_jacobians",
    "plot_parameter_gradients",
    "plot_routes",
    "plot_triangle",
]

# Okabe and Ito's palette, told apart with any colour vision; yellow is left out: too pale on white.
COLORS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES: Final = ("-", "--", "-.", ":")
MARKERS: Final = "osD^vP"
MOST_NUMBERS: Final = 16


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
    """
    axes = axes_of(axes, theme)
    number = 0
    for model, (name, found) in enumerate(models.items()):
        lanes = found.lanes if hasattr(found, "lanes") else [found]
        cells = {lane.lane.cell for lane in lanes}
        for place, lane in enumerate(lanes):
            lags, norms = lane.by_lag
            shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
            words = [name] if name else []
            if len(lanes) > 1 or not name:
                words.append(str(lane.lane) if len(cells) > 1 else lane.lane.state)
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
    axes.set_xlabel("lag: steps back from the loss")
    axes.set_ylabel("norm of the gradient")
    axes.set_title("What is left of the gradient")
    legend_of(axes, theme)
    return axes


def decay_text(lane: LaneGradients) -> str:
    """The half-life in words."""
    rate = lane.rate
    if np.isnan(rate):
        return "no gradient"
    if rate > 1 + 1e-6:
        return "grows"
    return "no decay" if np.isinf(lane.half_life) else f"half-life {number_text(lane.half_life)}"


def plot_triangle(lane: LaneGradients, axes: Any = None, *, theme: str = "light") -> Any:
    """The triangle |dL_k/ds_t|: loss steps k as rows, state steps t as columns, colour in log10.

    Zero is left blank, as is what comes after the loss step.
    """
    axes = axes_of(axes, theme, (5.6, 4.6))
    if not lane.triangle.size:
        raise DrawError(f"the loss reads {lane.lane} at no step, so there is no triangle")
    with np.errstate(divide="ignore"):
        logs = np.log10(lane.triangle)
    logs[~np.isfinite(logs)] = np.nan
    ends = np.r_[lane.steps, lane.steps[-1] + 1] - 0.5
    picture = axes.pcolormesh(
        ends, np.arange(len(lane.loss_steps) + 1) - 0.5, logs, cmap="cividis", rasterized=True
    )
    places = np.unique(np.linspace(0, len(lane.loss_steps) - 1, 8).round().astype(int))
    axes.set_yticks(places, [str(lane.loss_steps[place]) for place in places])
    bar = axes.figure.colorbar(picture, ax=axes)
    colors = theme_named(theme)
    bar.set_label("log10 of the gradient norm", color=colors.text)
    bar.ax.tick_params(colors=colors.faint_text, labelcolor=colors.text)
    bar.outline.set_edgecolor(colors.box_line)
    axes.set_xlabel("state at step t")
    axes.set_ylabel("loss at step k")
    axes.set_title(f"Gradient of the loss at k by {lane.lane.state} at t")
    return axes


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
    steps, _, shares = found.routes.series(found.lane(state).lane)
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
            lw=2.6 if number == 0 else 1.3,
            label=name,
        )
    axes.set_xlabel("time step t")
    axes.set_ylabel(f"share of the gradient at {state}")
    axes.set_title("By which route the gradient came")
    legend_of(axes, theme)
    return axes


def plot_gates(
    found: TimeMeasure,
    axes: Any = None,
    *,
    cell: str | None = None,
    saturation: bool = False,
    theme: str = "light",
) -> Any:
    """What the gates of a cell did: their mean with the 10 to 90 % band, or how much is saturated.

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
        axes.plot(
            gate.steps,
            gate.saturated if saturation else gate.mean,
            DASHES[number % len(DASHES)],
            color=color,
            marker=MARKERS[number % len(MARKERS)],
            markevery=max(1, len(gate.steps) // 8),
            markersize=4,
            label=gate.name,
        )
        if not saturation:
            low, _, high = gate.quantiles
            axes.fill_between(gate.steps, low, high, color=color, alpha=0.12, lw=0)
    axes.set_xlabel("time step t")
    if saturation:
        axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("part of units saturated" if saturation else "mean, 10 to 90 % of units")
    axes.set_title(f"{'Saturation' if saturation else 'Activation'} of the gates of {cell}")
    legend_of(axes, theme)
    return axes


def plot_jacobians(found: JacobianSpectra, axes: Any = None, *, theme: str = "light") -> Any:
    """The band from the smallest to the largest singular value of each step's Jacobian.

    Its spectral radius lies within; for a plain recurrent network the bounds of Pascanu et al.
    (2013) are drawn too: |U| times the largest slope at each step, and at all.
    """
    axes = axes_of(axes, theme)
    steps = found.steps
    floor = max(float(found.largest.max(initial=1e-12)) * 1e-6, 1e-300)
    low = np.maximum(found.smallest, floor)
    axes.fill_between(steps, low, found.largest, color=COLORS[0], alpha=0.2, lw=0)
    axes.plot(steps, found.largest, "-", color=COLORS[0], label="largest singular value")
    axes.plot(steps, found.radius, "--", color=COLORS[1], label="spectral radius")
    axes.plot(steps, low, ":", color=COLORS[0], label="smallest singular value")
    if found.bounds is not None:
        bound = found.bounds.weight_norm * found.bounds.slope
        label = f"bound |U| f' = {number_text(bound)}"
        axes.axhline(bound, color=COLORS[3], ls="-.", lw=1.2, label=label)
        axes.plot(
            steps, found.bounds.step_bounds, color=COLORS[3], lw=0.8, label="bound at this step"
        )
    axes.axhline(1, color=theme_named(theme).text, lw=0.8)
    axes.set_yscale("log")
    axes.set_xlabel("time step t")
    axes.set_ylabel("of the Jacobian of step t")
    axes.set_title(f"Jacobians of {', '.join(found.states)} in {found.cell or 'the cell'}")
    legend_of(axes, theme)
    return axes


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
    if not leaves:
        raise DrawError("no parameter has a gradient from any time step")
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
    axes.set_yticks(range(len(leaves)), [leaf.name or "leaf" for leaf in leaves])
    axes.invert_yaxis()
    axes.set_xlabel("norm of the gradient from uses at these lags (root sum of squares)")
    axes.set_title("Where the gradients of the parameters come from")
    legend_of(axes, theme, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return axes


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


def plot_attention(
    weights: Any,
    queries: Sequence[str],
    keys: Sequence[str],
    axes: Any = None,
    *,
    theme: str = "light",
) -> Any:
    """An attention map: one row for each query token, one column for each key token.

    Args:
        weights: (queries, keys), between 0 and 1; exact zeros, as of masks, are left blank.
        queries, keys: the tokens.

    Raises ValueError where the shape does not fit the tokens.
    """
    values = np.asarray(getattr(weights, "_array", weights), np.float64)
    if values.shape != (len(queries), len(keys)):
        raise ValueError(
            f"weights must have shape (queries, keys) = ({len(queries)}, {len(keys)}), got "
            f"{values.shape}; of several heads plot one at a time"
        )
    size = (min(2.2 + 0.5 * len(keys), 12.0), min(1.6 + 0.42 * len(queries), 12.0))
    axes = axes_of(axes, theme, size)
    shown = np.where(values == 0, np.nan, values)
    picture = axes.imshow(shown, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    # A dollar sign in a token is text, not the start of a formula.
    axes.set_xticks(range(len(keys)), list(keys), rotation=45 if len(keys) > 6 else 0)
    axes.set_yticks(range(len(queries)), list(queries))
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    if max(len(queries), len(keys)) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if value:
                color = "white" if value < 0.55 else "black"
                text = f"{value:.2f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    colors = theme_named(theme)
    bar = axes.figure.colorbar(picture, ax=axes)
    bar.set_label("attention weight", color=colors.text)
    bar.ax.tick_params(colors=colors.faint_text, labelcolor=colors.text)
    bar.outline.set_edgecolor(colors.box_line)
    axes.set_xlabel("keys: looked at")
    axes.set_ylabel("queries: looking")
    return axes
