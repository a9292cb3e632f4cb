"""Curves, bars and heat maps with matplotlib.

May import the folders of `minigrad.draw` up to `views`.
"""

from typing import TYPE_CHECKING

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.draw.plots.curves")
