"""Axes and legends of plots in the colours of a theme."""

from __future__ import annotations

from typing import Any

from minigrad.draw.theme import theme_named
from minigrad.errors import require

__all__ = ["axes_of", "legend_of"]


def axes_of(axes: Any, theme: str, size: tuple[float, float] = (7.0, 4.2)) -> Any:
    """The given Axes, or those of a new figure, in the colours of a theme.

    Raises MissingPackageError without matplotlib, ValueError for an unknown theme.
    """
    colors = theme_named(theme)
    if axes is None:
        figure = require("matplotlib.figure", "plot", "plotting").Figure(
            figsize=size, layout="constrained"
        )
        require("matplotlib.backends.backend_agg", "plot", "plotting").FigureCanvasAgg(figure)
        figure.set_facecolor(colors.background)
        axes = figure.add_subplot()
    axes.set_facecolor(colors.background)
    axes.tick_params(colors=colors.faint_text, which="both", labelcolor=colors.text)
    for spine in axes.spines.values():
        spine.set_color(colors.box_line)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.xaxis.label.set_color(colors.text)
    axes.yaxis.label.set_color(colors.text)
    axes.title.set_color(colors.text)
    return axes


def legend_of(axes: Any, theme: str, **options: Any) -> None:
    """A legend in the colours of a theme, where there is anything to explain."""
    if axes.get_legend_handles_labels()[0]:
        colors = theme_named(theme)
        axes.legend(
            frameon=True,
            facecolor=colors.background,
            edgecolor=colors.box_line,
            labelcolor=colors.text,
            **({"fontsize": "small"} | options),
        )
