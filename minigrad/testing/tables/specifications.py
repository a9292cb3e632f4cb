"""What random programs need to know of an operation: where it may be used, and what it computes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import ops

__all__ = [
    "ANY",
    "MARGIN",
    "POSITIVE",
    "SMALL",
    "SOME",
    "THREE",
    "TWO",
    "WIDE",
    "Specification",
    "apart",
    "away_from",
    "broadcastable",
    "distinct",
    "ndim",
    "same_shapes",
    "specify",
]

WIDE, SMALL, POSITIVE = (-4.0, 4.0), (-2.0, 2.0), (0.3, 3.0)  # intervals of numbers
TWO, THREE = (SMALL, SMALL), (SMALL, SMALL, SMALL)
MARGIN = 1e-3  # the distance that programs keep from ties and kinks
Draw = Callable[[Any], Any]  # what hypothesis hands to a composite strategy
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Specification:
    """An operation as random programs use it.

    Attributes:
        name: how programs print it.
        function: it, on tensors.
        on_jets: the same on jets of `minigrad.testing.hyperdual`, written independently.
        domains: for each input, the lowest and highest number it takes; a program first maps
            numbers beyond them into this interval.
        fits: called with the shapes of the first inputs, of one up to all: whether they will do.
        params: called with hypothesis' `draw` and the shapes; draws the parameters of the call.
        smooth: called with the values of the inputs and the parameters: whether the operation can
            be differentiated twice there. None: in the whole domain.
    """

    name: str
    function: Callable[..., Any]
    on_jets: Callable[..., Any]
    domains: tuple[tuple[float, float], ...] = (WIDE,)
    fits: Callable[..., bool] = lambda *shapes: True
    params: Callable[[Draw, list[Shape]], dict[str, Any]] | None = None
    smooth: Callable[..., bool] | None = None

    def __repr__(self) -> str:
        return f"Specification({self.name})"


def broadcastable(*shapes: Shape) -> bool:
    """Whether shapes broadcast together."""
    try:
        return math.prod(np.broadcast_shapes(*shapes)) >= 0
    except ValueError:
        return False


def same_shapes(*shapes: Shape) -> bool:
    """Whether all shapes are one."""
    return len(set(shapes)) == 1


def away_from(*places: float) -> Callable[..., bool]:
    """For functions of each number that have kinks at some places."""

    def smooth(x: Any, **params: Any) -> bool:
        return all(bool((np.abs(x - place) > MARGIN).all()) for place in places)

    return smooth


def apart(x: Any, z: Any, **params: Any) -> bool:
    """For choices between two: no two numbers that meet are nearly equal."""
    return bool((np.abs(x - z) > MARGIN).all())


def distinct(x: Any, **params: Any) -> bool:
    """For choices within one array: no two of its numbers are nearly equal."""
    return x.size > 0 and bool((np.diff(np.sort(x, axis=None)) > MARGIN).all())


def ndim(*counts: int) -> Callable[..., bool]:
    """Takes a first input with so many axes."""
    return lambda x, *others: len(x) in counts


ANY, SOME = ndim(0, 1, 2, 3, 4), ndim(1, 2, 3, 4)


def specify(
    name: str, on_jets: Any, fits: Any, params: Any = None, smooth: Any = None, **more: Any
) -> Specification:
    """A specification; the operation is that of its name unless `function` is given."""
    function = more.pop("function", None) or getattr(ops, name)
    return Specification(name, function, on_jets, fits=fits, params=params, smooth=smooth, **more)
