"""Computation graphs as plain records: their JSON, and passes from graph to graph.

May import `minigrad` without `draw`, and nothing else of `minigrad.draw`.
"""

from minigrad.draw.graph.elision import elide, interesting_steps, steps_to_show
from minigrad.draw.graph.errors import (
    DrawError,
    GraphFormatError,
    LayoutError,
    LayoutTimeoutError,
    MissingGlyphWarning,
    MissingGraphvizError,
)
from minigrad.draw.graph.interaction import Interaction, LossNorms, RouteProducts
from minigrad.draw.graph.merging import combine_contributions
from minigrad.draw.graph.passes import focus, prune, tag_leaves, without
from minigrad.draw.graph.records import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
)
from minigrad.draw.graph.rolling import fold_repeats, roll

__all__ = [
    "Contribution",
    "DrawError",
    "Edge",
    "GraphFormatError",
    "Interaction",
    "LayoutError",
    "LayoutTimeoutError",
    "LossNorms",
    "MissingGlyphWarning",
    "MissingGraphvizError",
    "Picture",
    "PictureNode",
    "PictureScope",
    "RouteProducts",
    "Statistics",
    "combine_contributions",
    "elide",
    "focus",
    "fold_repeats",
    "interesting_steps",
    "prune",
    "roll",
    "steps_to_show",
    "tag_leaves",
    "without",
]
