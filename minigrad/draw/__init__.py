"""Pictures of computation graphs, and of the gradient on its way back through them.

A `Picture` is a graph as plain records; `draw_graph` turns one into a `Drawing`, which is shown,
saved as SVG, PNG or PDF, or handed on as an object of the `graphviz` package. `gradient_flow` and
`backprop_through_time` measure how the gradient flows, and the plots show it with matplotlib.
"""

import sys
from typing import TYPE_CHECKING

from minigrad.draw.analysis import (
    Connectivity,
    GradientFlow,
    JacobianSpectra,
    gradient_flow,
    input_connectivity,
    jacobian_spectra,
)
from minigrad.draw.attention import attention_map
from minigrad.draw.comparison import Comparison, compare
from minigrad.draw.drawing import Drawing, draw_graph
from minigrad.draw.films import Film
from minigrad.draw.graph import (
    Contribution,
    DrawError,
    Edge,
    GraphFormatError,
    LayoutError,
    LayoutTimeoutError,
    MissingGlyphWarning,
    MissingGraphvizError,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
    combine_contributions,
    elide,
    elision,
    focus,
    fold_repeats,
    interesting_steps,
    prune,
    roll,
    without,
)
from minigrad.draw.pictures import draw, view
from minigrad.draw.plots import (
    plot_attention,
    plot_gates,
    plot_gradient_norms,
    plot_jacobians,
    plot_parameter_gradients,
    plot_routes,
    plot_triangle,
)
from minigrad.draw.reading import open_kernels
from minigrad.draw.time_gradients import TimeGradients, backprop_through_time
from minigrad.moved import renamed

__all__ = [
    "Comparison",
    "Connectivity",
    "Contribution",
    "DrawError",
    "Drawing",
    "Edge",
    "Film",
    "GradientFlow",
    "GraphFormatError",
    "JacobianSpectra",
    "LayoutError",
    "LayoutTimeoutError",
    "MissingGlyphWarning",
    "MissingGraphvizError",
    "Picture",
    "PictureNode",
    "PictureScope",
    "Statistics",
    "TimeGradients",
    "attention_map",
    "backprop_through_time",
    "combine_contributions",
    "compare",
    "draw",
    "draw_graph",
    "elide",
    "focus",
    "fold_repeats",
    "gradient_flow",
    "input_connectivity",
    "interesting_steps",
    "jacobian_spectra",
    "open_kernels",
    "plot_attention",
    "plot_gates",
    "plot_gradient_norms",
    "plot_jacobians",
    "plot_parameter_gradients",
    "plot_routes",
    "plot_triangle",
    "prune",
    "roll",
    "view",
    "without",
]

# The path of the module in earlier versions; the attribute of that name is the function.
sys.modules["minigrad.draw.elide"] = elision

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = renamed(
        __name__, {"Graph": "Picture", "Node": "PictureNode", "Scope": "PictureScope"}
    )
