"""From records to pictures: DOT, cells in columns of time, tiles, layout by Graphviz, plain text.

May import `graph`, `style`, `reading` and `analysis`.
"""

from minigrad.draw.render.cells import cells_to_dot
from minigrad.draw.render.dot import graph_to_dot
from minigrad.draw.render.layout import DEFAULT_TIME_LIMIT, Engine, Format, render_dot
from minigrad.draw.render.progress_note import ProgressNote
from minigrad.draw.render.text import graph_to_text, printed
from minigrad.draw.render.tiled_boxes import boxes_to_dot

__all__ = [
    "DEFAULT_TIME_LIMIT",
    "Engine",
    "Format",
    "ProgressNote",
    "boxes_to_dot",
    "cells_to_dot",
    "graph_to_dot",
    "graph_to_text",
    "printed",
    "render_dot",
]
