"""Axes, names, notes and legends of plots, in the colours of a theme."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from minigrad.draw.style.escape import printable, shorten
from minigrad.draw.style.theme import theme_named
from minigrad.io.packages import require

__all__ = [
    "as_text",
    "axes_of",
    "finish",
    "legend_of",
    "name_of",
    "note",
    "readable",
    "show_in_notebook",
    "thin_places",
    "where_lost",
    "whole_steps",
]

MOST_INSIDE: Final = 6
"""A legend with more lines than this would cover the curves, and stands beside the axes."""

# Fonts with the writing systems that matplotlib's own font lacks, the first one installed is used.
WIDE_FONTS: Final = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Arial Unicode MS",
    "Unifont",
)


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
        show_in_notebook(axes, figure)
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


def show_in_notebook(shown: Any, figure: Any, dpi: float = 110) -> None:
    """Have notebooks show a figure, which has no window, where `shown` is the value of a cell.

    They take the SVG where they can: it is sharp at every size, and its words stay words, which can
    be searched, read aloud and translated. The PNG is for places that take nothing else.

    Args:
        shown: the object that a cell ends with: the figure, or its axes.
        figure: what to show, as it is by the end of the cell.
        dpi: dots per inch of the PNG, and of what is rasterised in the SVG.
    """
    shown._repr_svg_ = functools.partial(figure_svg, figure, dpi)
    shown._repr_png_ = functools.partial(figure_png, figure, dpi)


def figure_png(figure: Any, dpi: float) -> bytes:
    """A figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def figure_svg(figure: Any, dpi: float) -> str:
    """A figure as SVG, with text as text, and the same for the same figure."""
    stream = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "minigrad"}
    with require("matplotlib", "plot", "plotting").rc_context(settings):
        figure.savefig(stream, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def name_of(text: str, limit: int = 40) -> str:
    """A name of the user as one line that fits: without control characters, cut in its middle."""
    name = printable(shorten(text, limit))
    return f" {name}" if name.startswith("_") else name  # else legends leave it out


def finish(axes: Any, theme: str, title: str, x: str, y: str, **legend: Any) -> Any:
    """Set title and labels, and a legend; text of users is only text.

    Args:
        axes: what to finish.
        theme: `light` or `dark`.
        title, x, y: the texts; a dollar sign in them starts no formula.
        legend: options for it. With many lines it stands beside the axes, where there is room.
    """
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    as_text([axes.title, axes.xaxis.label, axes.yaxis.label])
    legend_of(axes, theme, **legend)
    return axes


def legend_of(axes: Any, theme: str, **options: Any) -> None:
    """A legend in the colours of a theme, where there is anything to explain."""
    count = len(axes.get_legend_handles_labels()[0])
    if not count:
        return
    colors = theme_named(theme)
    if count > MOST_INSIDE and axes.figure.get_layout_engine() is not None:
        options = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} | options
    made = axes.legend(
        frameon=True,
        facecolor=colors.background,
        edgecolor=colors.box_line,
        labelcolor=colors.text,
        **({"fontsize": "small"} | options),
    )
    as_text(made.get_texts())


def whole_steps(axis: Any) -> None:
    """Ticks at whole numbers only: there is no step 2.5."""
    ticker = require("matplotlib.ticker", "plot", "plotting")
    axis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))


def readable(text: str) -> str:
    """Lines of text with U+FFFD for control characters, with which no SVG could be read."""
    return "\n".join(printable(line) for line in text.split("\n"))


def as_text(texts: Iterable[Any]) -> None:
    """Show some texts as they are, without formulas, in a font that has their characters.

    Where none is installed, matplotlib warns when it draws, and shows boxes.
    """
    for text in texts:
        text.set_parse_math(False)
        content = readable(text.get_text())
        text.set_text(content)  # names of ticks alone stay as they were given: see `readable`
        if content.isascii():
            continue
        manager = require("matplotlib.font_manager", "plot", "plotting")
        own = manager.get_font(manager.findfont(text.get_fontproperties())).get_charmap()
        if all(ord(char) in own for char in content):
            continue
        installed = {font.name for font in manager.fontManager.ttflist}
        text.set_fontfamily(
            [*text.get_fontfamily(), *(name for name in WIDE_FONTS if name in installed)]
        )


def note(axes: Any, theme: str, text: str) -> None:
    """Say in the middle of the axes why there is nothing, or little, to see."""
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        wrap=True,
        color=theme_named(theme).faint_text,
    )


def thin_places(count: int, most: int) -> list[int]:
    """At most `most` places out of `count`, evenly spread from the first one on."""
    return list(range(0, count, max(1, -(-count // most))))


def where_lost(places: Any, values: Any, word: str) -> str:
    """The place from which on all values are exactly zero, or not finite, in words; else nothing.

    Args:
        places: lags or steps, in the order in which the gradient, or the forward pass, meets them.
        values: of the same length.
        word: what the places are, `lag` or `step`.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        return f"not finite from {word} {places[int(np.flatnonzero(~finite)[0])]}"
    alive = np.flatnonzero(values)
    if len(alive) and alive[-1] + 1 < len(values):
        return f"0 from {word} {places[int(alive[-1]) + 1]}"
    return ""
