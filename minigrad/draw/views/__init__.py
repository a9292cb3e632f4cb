"""The levels of a picture (operations, cells, layers), and the sentences below it.

May import the folders of `minigrad.draw` up to `pages`.
"""

from typing import TYPE_CHECKING

from minigrad.draw.views.cells_view import cells_graph, has_cells
from minigrad.draw.views.diagnosis import cells_title, describe_cells, describe_time
from minigrad.draw.views.layers_view import has_modules, layers_graph
from minigrad.draw.views.operations_view import operations_graph
from minigrad.moved import names_from

__all__ = [
    "cells_graph",
    "cells_title",
    "describe_cells",
    "describe_time",
    "has_cells",
    "has_modules",
    "layers_graph",
    "operations_graph",
]

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.draw.pictures")
