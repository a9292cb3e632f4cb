"""What stands in a template in the place of the tensors and arrays that a function returned."""

import weakref
from typing import Any

__all__ = ["Again", "Argument", "Mark", "Outer", "Output"]


class Mark(int):
    """Stands in a template."""


class Output(Mark):
    """Stands for an output of this number."""


class Outer(Output):
    """Stands for an output that is a tensor from outside itself: that one is returned.

    Attributes:
        tensor: a weak reference to it.
    """

    tensor: "weakref.ref[Any]"


class Argument(Mark):
    """Stands for a tensor or an array that came among the arguments, by its place there."""


class Again(Mark):
    """Stands for the very object that an earlier place of the result has, by that place."""
