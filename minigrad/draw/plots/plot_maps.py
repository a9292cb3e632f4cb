"""Heat maps beside the pictures: the triangle of loss steps and state steps, and attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.plots.plot_axes import (
    as_text,
    axes_of,
    finish,
    name_of,
    note,
    thin_places,
    whole_steps,
)
from minigrad.draw.style.theme import Theme, theme_named
from minigrad.io.packages import require
from minigrad.restoring import errstate

__all__ = ["plot_attention", "plot_triangle"]

MOST_NUMBERS: Final = 16
MOST_TOKENS: Final = 40
LONGEST_TOKEN: Final = 24


def plot_triangle(lane: LaneGradients, axes: Any = None, *, theme: str = "light") -> Any:
    """The triangle |dL_k/ds_t|: loss steps k as rows, state steps t as columns, colour in log10.

    Exact zeros are grey and what is not finite is red with crosses, as the legend says; what
    comes after the loss step is left blank.
    """
    axes = axes_of(axes, theme, (5.6, 4.6))
    title = f"Gradient of the loss at k by {name_of(lane.lane.state)} at t"
    if not lane.triangle.size:
        axes.set_xticks([])
        axes.set_yticks([])
        note(axes, theme, f"no gradient above 0 enters {name_of(str(lane.lane))} at any step")
        return finish(axes, theme, title, "state at step t", "loss at step k")
    colors = theme_named(theme)
    with errstate(divide="ignore"):
        logs = np.log10(lane.triangle)
    logs[~np.isfinite(logs)] = np.nan
    ends = np.r_[lane.steps, lane.steps[-1] + 1] - 0.5
    rows = np.arange(len(lane.loss_steps) + 1) - 0.5
    after = lane.steps[None, :] < lane.loss_steps[:, None]
    after = after if lane.backwards else lane.steps[None, :] > lane.loss_steps[:, None]
    zero, nonfinite = (lane.triangle == 0) & ~after, ~np.isfinite(lane.triangle) & ~after
    _fill(axes, ends, rows, zero, colors.box_line, "exactly 0")
    _fill(axes, ends, rows, nonfinite, colors.alarm, "NaN or infinite")
    if 0 < nonfinite.sum() <= 2000:
        k, t = np.nonzero(nonfinite)
        axes.plot(lane.steps[t], k, "x", color=colors.background, markersize=3)
    if np.isfinite(logs).any():
        picture = axes.pcolormesh(ends, rows, logs, cmap="cividis", rasterized=True)
        _color_bar(axes, picture, "log10 of the gradient norm", colors)
    places = np.unique(np.linspace(0, len(lane.loss_steps) - 1, 8).round().astype(int))
    axes.set_yticks(places, [str(lane.loss_steps[place]) for place in places])
    axes.set_xlim(ends[0], ends[-1])
    axes.set_ylim(rows[0], rows[-1])
    whole_steps(axes.xaxis)
    return finish(axes, theme, title, "state at step t", "loss at step k", loc="upper left")


def _fill(axes: Any, columns: Any, rows: Any, mask: Any, color: str, label: str) -> None:
    """Give some cells of a grid one colour, and the legend a word for it."""
    if mask.any():
        cells = np.where(mask, 0.5, np.nan)
        axes.pcolormesh(
            columns, rows, cells, cmap=_one_color(color), vmin=0, vmax=1, rasterized=True
        )
        axes.plot([], [], "s", color=color, label=label)


def _one_color(color: str) -> Any:
    """A colour map of a single colour."""
    return require("matplotlib.colors", "plot", "plotting").ListedColormap([color])


def _color_bar(axes: Any, picture: Any, label: str, colors: Theme) -> None:
    bar = axes.figure.colorbar(picture, ax=axes)
    bar.set_label(label, color=colors.text)
    bar.ax.tick_params(colors=colors.faint_text, labelcolor=colors.text)
    bar.outline.set_edgecolor(colors.box_line)


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
        weights: (queries, keys), between 0 and 1; exact zeros, as of masks, are left blank, and
            what is not finite is red, with its name.
        queries, keys: the tokens. Long ones are cut in their middle, and of very many only
            evenly spread ones are written.

    Raises ValueError where the shape does not fit the tokens.
    """
    values = np.asarray(getattr(weights, "_array", weights), np.float64)
    if values.shape != (len(queries), len(keys)):
        raise ValueError(
            f"weights must have shape (queries, keys) = ({len(queries)}, {len(keys)}), got "
            f"{values.shape}; of several heads plot one at a time"
        )
    colors = theme_named(theme)
    rows = [name_of(token, LONGEST_TOKEN) for token in queries]
    columns = [name_of(token, LONGEST_TOKEN) for token in keys]
    # A letter takes about 0.09 inches; those of a column stand upright or aslant.
    wide = max((len(row) for row in rows), default=0) * _inches(rows)
    slanted = len(columns) > 6 or max((len(c) for c in columns), default=0) > 8
    high = max((len(c) for c in columns), default=0) * _inches(columns) if slanted else 0.2
    size = (
        min(2.4 + wide + 0.5 * len(keys), 16.0),
        min(1.4 + 0.8 * high + 0.42 * len(queries), 14.0),
    )
    axes = axes_of(axes, theme, size)
    nonfinite = ~np.isfinite(values)
    shown = np.where((values == 0) | nonfinite, np.nan, values)
    picture = axes.imshow(shown, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    if nonfinite.any():
        red = np.where(nonfinite, 0.5, np.nan)
        axes.imshow(red, cmap=_one_color(colors.alarm), vmin=0, vmax=1, aspect="auto")
    across, down = thin_places(len(keys), MOST_TOKENS), thin_places(len(queries), MOST_TOKENS)
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(across, [columns[place] for place in across], **turned)
    axes.set_yticks(down, [rows[place] for place in down])
    as_text([*axes.get_xticklabels(), *axes.get_yticklabels()])
    if max(len(queries), len(keys)) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if value:
                finite = bool(np.isfinite(value))
                text = f"{value:.2f}" if finite else "NaN" if np.isnan(value) else "Inf"
                color = "black" if finite and value >= 0.55 else "white"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    _color_bar(axes, picture, "attention weight", colors)
    return finish(axes, theme, "", "keys: looked at", "queries: looking")


def _inches(words: Sequence[str]) -> float:
    """About how wide one character is: those of Korean and Chinese are twice as wide."""
    return 0.09 if all(word.isascii() for word in words) else 0.15
