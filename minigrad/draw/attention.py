"""Attention maps: how much each token attends to each other one, one panel for each head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.draw.drawing import Drawing
from minigrad.draw.graph.records import Edge, Picture, PictureNode, Statistics
from minigrad.draw.render.geometry import placed
from minigrad.draw.style import escape
from minigrad.draw.style.scale import cividis, contrasting, hexadecimal
from minigrad.draw.style.theme import FONT, Theme, theme_named

__all__ = ["attention_map"]

CELL: Final = 30.0
GAP: Final = 34.0
MOST_NUMBERS: Final = 20
MOST_CELLS: Final = 20_000
LONGEST: Final = 14


def attention_map(
    weights: Any,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    title: str = "",
    theme: str = "light",
    heads: Sequence[str] | None = None,
) -> Drawing:
    """Draw attention weights with their tokens: a row for each query, a column for each key.

    Colour and number show the weight; exact zeros, as of masked positions, are dotted and empty.

    Args:
        weights: (queries, keys) or (heads, queries, keys), each row adding up to 1 or to 0.
        queries: the tokens that attend.
        keys: the tokens that are attended to.
        title: heading of the picture.
        theme: `light` or `dark`.
        heads: names of the heads.

    Raises ValueError where shapes do not fit, weights lie outside of 0 to 1, or there are more
    than 20,000 of them.

    >>> attention_map([[1.0, 0.0], [0.25, 0.75]], ["a", "b"], ["a", "b"])
    Drawing(ops, 4 nodes, 4 edges)
    """
    values = np.asarray(getattr(weights, "_array", weights), np.float64)
    panels = values[None] if values.ndim == 2 else values
    if panels.ndim != 3 or panels.shape[1:] != (len(queries), len(keys)):
        raise ValueError(
            f"weights must have shape (queries, keys) = ({len(queries)}, {len(keys)}), with heads "
            f"before them or not; got {values.shape}"
        )
    if not panels.size or panels.size > MOST_CELLS:
        raise ValueError(f"attention_map draws 1 to {MOST_CELLS:,} weights, got {panels.size:,}")
    if not ((panels >= 0) & (panels <= 1 + 1e-3)).all():
        raise ValueError("weights must lie between 0 and 1: are these scores, before the softmax?")
    names = list(heads) if heads is not None else [f"head {k}" for k in range(len(panels))]
    if len(names) != len(panels):
        raise ValueError(f"heads must name {len(panels)} heads, got {len(names)}")
    graph = records(panels, queries, keys, names, title)
    return Drawing(
        graph,
        picture(panels, queries, keys, names if len(panels) > 1 else [""], title, theme),
        engine="nop2",
    )


def records(
    panels: np.ndarray[Any, Any],
    queries: Sequence[str],
    keys: Sequence[str],
    heads: Sequence[str],
    title: str,
) -> Picture:
    """The map as a graph: an edge from each key to each query, its weight in words."""
    nodes = [PictureNode(k, "input", op="key", name=name) for k, name in enumerate(keys)]
    for q, name in enumerate(queries):
        row = panels[:, q]
        spread = Statistics(minimum=float(row.min()), maximum=float(row.max()))
        nodes.append(PictureNode(len(keys) + q, "op", op=name, name="query", value=spread))
    edges = [
        Edge(k, len(keys) + q, slot=k, route=f"{head}: {panels[number, q, k]:.4g}")
        for number, head in enumerate(heads)
        for q in range(len(queries))
        for k in range(len(keys))
    ]
    return Picture(tuple(nodes), tuple(edges), title=title or "Attention")


def picture(
    panels: np.ndarray[Any, Any],
    queries: Sequence[str],
    keys: Sequence[str],
    heads: Sequence[str],
    title: str,
    theme: str,
) -> Any:
    """The map as DOT with positions."""
    import graphviz

    colors = theme_named(theme)
    dot = graphviz.Digraph("minigrad")
    dot.attr("graph", bgcolor=colors.background, outputorder="nodesfirst", pad="0.2")
    dot.attr("node", label="\\N", fontname=FONT, fixedsize="true", shape="box", margin="0")
    short = [escape.shorten(escape.printable(name), LONGEST) for name in keys]
    tokens = [escape.shorten(escape.printable(name), LONGEST) for name in queries]
    # Columns are as wide as their tokens need; those of long sequences are narrow.
    numbers = max(len(keys), len(queries)) <= MOST_NUMBERS
    longest = max(len(name) for name in short)
    column = max(CELL, 6.4 * longest + 8) if numbers else 15.0
    row = CELL if numbers else 15.0
    margin = 6.6 * max(len(name) for name in tokens) + 12
    panel_width = margin + column * len(keys)
    top = row * len(queries)
    tall = 20.0 if numbers else 9.4 * longest + 6  # of the keys' tokens
    letters = {"shape": "none", "fontcolor": colors.text, "fontsize": "8"}
    at = 0

    def add(text: str, x: float, y: float, width: float, height: float, **style: str) -> None:
        nonlocal at
        label = escape.label_lines(text.split("\n"), limit=60, justify=style.pop("justify", "n"))
        tip = escape.tooltip([style.pop("tip", text)])
        dot.node(f"n{at}", label=label, tooltip=tip, **placed((x, y), width, height), **style)
        at += 1

    def plain(text: str, x: float, y: float, width: float, **style: str) -> None:
        color = style.pop("color", colors.text)
        add(text, x, y, width, 16, shape="none", fontcolor=color, **({"fontsize": "11"} | style))

    for number, head in enumerate(heads):
        left = number * (panel_width + GAP) + margin
        for q, token in enumerate(tokens):
            y = top - (q + 0.5) * row
            plain(token, left - margin / 2 - 3, y, margin - 8, justify="r")
            for k in range(len(keys)):
                weight = float(panels[number, q, k])
                add(
                    f"{weight:.2f}" if numbers and weight else "",
                    left + (k + 0.5) * column,
                    y,
                    column - 2,
                    row - 2,
                    tip=f"{queries[q]} looks at {keys[k]}: {weight:.4g}",
                    fontsize="10",
                    **cell_style(weight, colors),
                )
        for k, token in enumerate(short):
            x = left + (k + 0.5) * column
            if numbers:
                plain(token, x, top + 11, column, tip=keys[k])
            else:  # too narrow for whole tokens: one letter below the other
                add("\n".join(token), x, top + tall / 2, column, tall, tip=keys[k], **letters)
        if head:
            middle = left + column * len(keys) / 2
            plain(head, middle, top + tall + 10, max(120.0, column * len(keys)), fontsize="12")
    whole = len(heads) * (panel_width + GAP) - GAP
    add_frame(
        plain, add, colors, title or "Attention", whole, top + tall + (38 if heads[0] else 22)
    )
    return dot


def cell_style(weight: float, colors: Theme) -> dict[str, str]:
    """Fill and line of one weight."""
    if weight == 0:
        return {"style": "dotted", "color": colors.zero, "penwidth": "0.6"}
    # From the background to the end of the ramp, so that small weights are inconspicuous.
    depth = 0.07 + 0.93 * min(weight, 1.0)
    base = [int(colors.background[k : k + 2], 16) for k in (1, 3, 5)]
    red, green, blue = (
        round(low + depth * (high - low))
        for low, high in zip(base, cividis(colors.ramp[1]), strict=True)
    )
    fill = (red, green, blue)
    color = hexadecimal(fill)
    return {
        "style": "filled",
        "fillcolor": color,
        "color": color,
        "fontcolor": contrasting(fill),
    }


def add_frame(plain: Any, add: Any, colors: Theme, title: str, width: float, y: float) -> None:
    """Title above, legend below."""
    wide = max(width, 7.8 * min(len(title), 60), 330.0)
    plain(title, wide / 2, y, wide, fontsize="15", justify="l")
    x = 0.0
    for text, room in (("attention weight", 104.0),):
        plain(text, x + room / 2, -18, room, fontsize="10", justify="l")
        x += room
    for weight in (0.1, 0.25, 0.5, 0.75, 1.0):
        style = cell_style(weight, colors)
        add(f"{weight:g}", x + 17, -18, 32, 14, fontsize="9", **style)
        x += 36
    add("", x + 17, -18, 32, 14, **cell_style(0.0, colors))
    plain("0", x + 44, -18, 14, fontsize="10")
