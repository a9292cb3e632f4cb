"""Derivatives as functions: gradients, Jacobians, rules of the user's own, recomputation.

May import everything of minigrad up to `debug`.
"""

from typing import TYPE_CHECKING

from minigrad.moved import names_from

if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = names_from(__name__, "minigrad.transforms.derivatives")
