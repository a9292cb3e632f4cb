"""Curves, bars and heat maps with matplotlib.

May import the folders of `minigrad.draw` up to `views`.
"""

from minigrad.draw.plots.curves import (
    plot_gates,
    plot_gradient_norms,
    plot_jacobians,
    plot_parameter_gradients,
    plot_routes,
)
from minigrad.draw.plots.plot_maps import plot_attention, plot_triangle

__all__ = [
    "plot_attention",
    "plot_gates",
    "plot_gradient_norms",
    "plot_jacobians",
    "plot_parameter_gradients",
    "plot_routes",
    "plot_triangle",
]
