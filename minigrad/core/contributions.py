"""What a node sends back to one of its inputs: an array, a slice of one, or one per output.

The engine fits each contribution to the input that it belongs to, once for all rules: summed over
the axes that were broadcast, and cast to the input's dtype.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError
from minigrad.core.nodes import Array, Node, fill_node

__all__ = ["OutputGradients", "SlicedGradient", "fit", "output_node", "unbroadcast"]


class SlicedGradient:
    """A gradient that is zero outside of one index, as reading `x[index]` sends back.

    Kept apart so that reading a long array piece by piece (its time steps, its gates) costs one
    array of its size in the backward pass, not one per piece. The index has no integer arrays.
    """

    __slots__ = ("dtype", "index", "part", "shape")
    __array_ufunc__ = None  # so that an array leaves the sum with a slice to the slice

    def __init__(self, shape: tuple[int, ...], index: Any, part: Array) -> None:
        self.shape, self.dtype = shape, part.dtype
        self.index, self.part = index, part

    def add_into(self, total: Array) -> Array:
        """Add it to an array in-place."""
        total[self.index] += self.part
        return total

    def dense(self) -> Array:
        """The whole gradient."""
        total = np.zeros(self.shape, self.dtype)
        total[self.index] = self.part
        return total

    def __add__(self, other: Any) -> Array:
        if other.__class__ is SlicedGradient:
            return other.add_into(self.dense())
        return self.add_into(np.array(other))

    __radd__ = __add__


class OutputGradients:
    """Gradients of the several outputs of one node, added up output by output."""

    __slots__ = ("dtype", "shape", "slots")

    def __init__(self, shape: Any, dtype: Any, slots: dict[int, Array]) -> None:
        self.shape, self.dtype, self.slots = shape, dtype, slots

    def __add__(self, other: "OutputGradients") -> "OutputGradients":
        merged = dict(self.slots)
        for index, g in other.slots.items():
            merged[index] = merged[index] + g if index in merged else g
        return OutputGradients(self.shape, self.dtype, merged)

    def mapped(self, function: Callable[[Array], Array]) -> "OutputGradients":
        """The same with each gradient replaced."""
        slots = {index: function(g) for index, g in self.slots.items()}
        return OutputGradients(self.shape, self.dtype, slots)

    def arrived(self) -> tuple[Array | None, ...]:
        """One gradient per output, None where an output was not used."""
        return tuple(map(self.slots.get, range(len(self.shape))))

    def dense(self) -> tuple[Array, ...]:
        """One gradient per output, zeros where an output was not used."""
        return tuple(
            self.slots[i] if i in self.slots else np.zeros(shape, dtype)
            for i, (shape, dtype) in enumerate(zip(self.shape, self.dtype, strict=True))
        )


class OutputPlan:
    """The plan of one output of a node that has several."""

    name = "output"
    view = True
    saved_slots = ()

    def vjp(self, node: Node, g: Array) -> Sequence[Array | None]:
        source = node.inputs[0]
        assert source is not None
        return (OutputGradients(source.shape, source.dtype, {node.params["index"]: g}),)

    vjp_recorded = vjp


output_plan = OutputPlan()


def output_node(source: Node, index: int) -> Node:
    """The node of one output of a node that has several."""
    shape, dtype = source.shape[index], source.dtype[index]
    return fill_node(Node(), output_plan, (source,), shape, dtype, {"index": index})


def unbroadcast(g: Array, shape: tuple[int, ...], where: str) -> Array:
    """Sum a gradient over the axes along which its input was broadcast."""
    extra = g.ndim - len(shape)
    if extra >= 0:
        axes = tuple(range(extra)) + tuple(
            axis + extra
            for axis, length in enumerate(shape)
            if length == 1 and g.shape[axis + extra] != 1
        )
        reduced = g
        if axes:
            half = g.dtype.itemsize == 2  # sums of ones in float16 would end at 2048
            reduced = g.sum(axis=axes, dtype=np.float32 if half else None, keepdims=True)
        if reduced.shape[extra:] == shape:
            return reduced.reshape(shape) if extra else reduced
    raise ShapeError(
        f"the derivative rule of {where} returned a gradient of shape {tuple(g.shape)} for an "
        f"input of shape {shape}; it must have the input's shape or one that broadcasts from it."
    )


def fit(g: Array, source: Node, where: str) -> Array:
    """Give a contribution the shape and dtype of the value it belongs to."""
    if not hasattr(g, "dtype"):
        g = np.asarray(g)
    if g.shape != source.shape:
        g = unbroadcast(g, source.shape, where)
    return g if g.dtype == source.dtype else g.astype(source.dtype)
