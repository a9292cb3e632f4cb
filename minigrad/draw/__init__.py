"""Pictures of computation graphs, and of the gradient on its way back through them.

A `Graph` is plain records; `draw_graph` turns one into a `Drawing`, which is shown, saved as SVG,
PNG or PDF, or handed on as an object of the `graphviz` package.
"""

from minigrad.draw.drawing import Drawing, draw, draw_graph
from minigrad.draw.elide import elide, interesting_steps
from minigrad.draw.errors import (
    DrawError,
    GraphFormatError,
    LayoutError,
    LayoutTimeoutError,
    MissingGlyphWarning,
    MissingGraphvizError,
)
from minigrad.draw.records import (
    Contribution,
    Edge,
    Graph,
    Node,
    Scope,
    Statistics,
    combine_contributions,
)

__all__ = [
    "Contribution",
    "DrawError",
    "Drawing",
    "Edge",
    "Graph",
    "GraphFormatError",
    "LayoutError",
    "LayoutTimeoutError",
    "MissingGlyphWarning",
    "MissingGraphvizError",
    "Node",
    "Scope",
    "Statistics",
    "combine_contributions",
    "draw",
    "draw_graph",
    "elide",
    "interesting_steps",
]
