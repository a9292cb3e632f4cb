"""Plots of what was measured: losses, curves, matrices and small pictures, with matplotlib.

Each writes a file, unless its path is None, and returns the matplotlib Figure, which a notebook
shows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigrad.draw.plots.plot_axes import as_text, readable, show_in_notebook
from minigrad.io.packages import require
from minigrad.io.serialize import write_atomically

__all__ = ["plot_curves", "plot_pictures", "plot_table", "save_figure"]

# Okabe and Ito's palette, told apart with any colour vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("--", ":", "-.")
RESOLUTION = 130  # dots per inch


def new_figure(width: float = 8.0, height: float = 4.5) -> Any:
    """An empty figure that belongs to no window, and that a notebook shows."""
    module = require("matplotlib.figure", "plot", "this picture")
    figure = module.Figure(figsize=(width, height), layout="constrained")
    show_in_notebook(figure, figure, RESOLUTION)
    return figure


def save_figure(figure: Any, path: Path | None) -> Any:
    """Write a figure as PNG, SVG or PDF, by the name's ending (PNG without), and return it."""
    if path is not None:
        path = path if path.suffix else path.with_suffix(".png")
        kind = path.suffix.lower()[1:]  # the temporary file has another ending
        write_atomically(path, lambda file: figure.savefig(file, format=kind, dpi=RESOLUTION))
    return figure


def plot_curves(
    path: Path | None,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x: str,
    y: str,
    lines: Mapping[str, float] | None = None,
    log: str = "",
    marker: str = "",
    ticks: Mapping[int, str] | None = None,
) -> Any:
    """Curves by name, and horizontal lines to compare them with.

    Args:
        path: the file, or None.
        curves: x and y of each curve.
        title, x, y: of the picture and its axes.
        lines: heights by name.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        marker: of the points, where there are few.
        ticks: names of places on the x axis, in place of numbers, if there are any.

    Raises:
        MissingPackageError: when matplotlib is not installed.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for number, (name, (xs, ys)) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        axes.plot(np.asarray(xs), np.asarray(ys), color=color, label=name, marker=marker or None)
    for number, (name, height) in enumerate((lines or {}).items()):
        dash = DASHES[number % len(DASHES)]
        axes.axhline(height, color="#666666", linestyle=dash, linewidth=1, label=name)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    if ticks:
        axes.set_xticks(list(ticks), [readable(name) for name in ticks.values()])
        as_text(axes.get_xticklabels())
    axes.set(title=title, xlabel=x, ylabel=y)
    as_text([axes.title, axes.xaxis.label, axes.yaxis.label, *axes.legend().get_texts()])
    return save_figure(figure, path)


def plot_table(
    path: Path | None,
    values: ArrayLike,
    *,
    title: str,
    x: str,
    y: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    center: bool = False,
    lowest: float = 0.0,
    highest: float | None = None,
) -> Any:
    """A matrix as colours, or several beside each other.

    Args:
        path: the file, or None.
        values: (rows, columns), or (matrices, rows, columns).
        title, x, y: of the picture and its axes.
        rows, columns: labels.
        center: whether the colours are for numbers of both signs.
        lowest, highest: the ends of the scale; the largest magnitude if None.
    """
    matrices = np.asarray(values, np.float64)
    matrices = matrices[None] if matrices.ndim == 2 else matrices
    figure = new_figure(max(4.5, 3.4 * len(matrices), 0.19 * len(columns)), 4.2)
    limit = (float(np.abs(matrices).max()) or 1.0) if highest is None else highest
    for number, matrix in enumerate(matrices):
        axes = figure.add_subplot(1, len(matrices), number + 1)
        image = axes.imshow(
            matrix,
            cmap="RdBu_r" if center else "viridis",
            vmin=-limit if center else lowest,
            vmax=limit,
            aspect="auto",
        )
        axes.set_xlabel(x)
        if number == 0:
            axes.set_ylabel(y)
        if len(matrices) > 1:
            axes.set_title(f"head {number + 1}", fontsize=9)
        if rows:
            axes.set_yticks(range(len(rows)), [readable(name) for name in rows])
        if columns:
            axes.set_xticks(range(len(columns)), [readable(name) for name in columns])
        named = [axes.xaxis.label, axes.yaxis.label, *(axes.get_yticklabels() if rows else ())]
        as_text([*named, *axes.get_xticklabels()] if columns else named)
    figure.colorbar(image, ax=figure.axes, shrink=0.8)
    as_text([figure.suptitle(title)])
    return save_figure(figure, path)


def plot_pictures(
    path: Path | None, pictures: ArrayLike, *, labels: Sequence[str], title: str, columns: int = 10
) -> Any:
    """Small grey pictures in a grid.

    Args:
        path: the file, or None.
        pictures: (pictures, height, width), 0 to 1.
        labels: one for each row of the grid, or one for each picture.
        title: of the whole.
        columns: pictures in a row.
    """
    shown = np.asarray(pictures)
    rows = -(-len(shown) // columns)
    figure = new_figure(0.9 * columns + 1.4, 0.95 * rows + 0.7)
    for number, picture in enumerate(shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axes.set_xticks([])
        axes.set_yticks([])
        if len(labels) == len(shown):
            as_text([axes.set_title(labels[number], fontsize=8)])
        elif number % columns == 0:
            axes.set_ylabel(labels[number // columns], fontsize=8, rotation=0, ha="right")
    as_text([figure.suptitle(title)])
    return save_figure(figure, path)
