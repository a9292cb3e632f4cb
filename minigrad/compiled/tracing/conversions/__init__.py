"""What operations and NumPy functions are as values of a graph.

May import `minigrad.compiled.graph` and `minigrad.compiled.tracing.builder`.
"""

from minigrad.compiled.tracing.conversions import elementwise, products, reductions, shapes
from minigrad.compiled.tracing.conversions.indexed import with_index
from minigrad.compiled.tracing.conversions.registry import convert

__all__ = ["convert", "elementwise", "products", "reductions", "shapes", "with_index"]
