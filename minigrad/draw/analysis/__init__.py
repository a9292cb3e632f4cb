"""Measurements on a graph: gradients by step, lag and route, gates, Jacobians, faults.

May import `graph`, `style` and `reading`.
"""

from minigrad.draw.analysis.box_edges import box_faults, edges_between
from minigrad.draw.analysis.connectivity import Connectivity, input_connectivity
from minigrad.draw.analysis.faults import Fault, find_faults
from minigrad.draw.analysis.flow import GradientFlow, gradient_flow
from minigrad.draw.analysis.gates import GateSeries, gate_series
from minigrad.draw.analysis.gradient_routes import RouteNames, RouteParts, follow_routes
from minigrad.draw.analysis.jacobians import JacobianSpectra, jacobian_spectra
from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.analysis.time_measure import TimeMeasure
from minigrad.draw.analysis.weight_lags import WeightLags

__all__ = [
    "Connectivity",
    "Fault",
    "GateSeries",
    "GradientFlow",
    "JacobianSpectra",
    "LaneGradients",
    "RouteNames",
    "RouteParts",
    "TimeMeasure",
    "WeightLags",
    "box_faults",
    "edges_between",
    "find_faults",
    "follow_routes",
    "gate_series",
    "gradient_flow",
    "input_connectivity",
    "jacobian_spectra",
]
