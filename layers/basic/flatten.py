"""Layers that only change the shape."""

import math
from collections.abc import Sequence

import minigrad as mg
from layers.base.module import Module
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import as_tensor
from minigrad.ops.axis_utils import normalize_axis

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Makes one axis of several neighbouring ones.

    Args:
        start_dim: the first axis of them; 1 keeps the batch.
        end_dim: the last axis of them.

    Shapes: (..., a, b, c, ...) -> (..., a b c, ...).

    Raises:
        ShapeError: when an axis does not exist, or `end_dim` comes before `start_dim`.

    >>> import numpy as np
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = as_tensor(x, "Flatten", "x")
        first, last = normalize_axis(self.start_dim, x.ndim), normalize_axis(self.end_dim, x.ndim)
        if last < first:
            raise ShapeError(
                f"Flatten: end_dim={self.end_dim} comes before start_dim={self.start_dim} in x "
                f"{describe(x)}"
            )
        middle = math.prod(x.shape[first : last + 1])
        return mg.reshape(x, (*x.shape[:first], middle, *x.shape[last + 1 :]))


class Unflatten(Module):
    """Makes several axes of one.

    Args:
        dim: the axis.
        unflattened_size: the lengths of the new axes; one of them may be -1, for what remains.

    Raises:
        ShapeError: when the axis does not exist, or the lengths do not multiply to its own.

    >>> import numpy as np
    >>> Unflatten(1, (3, -1))(np.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        sizes = tuple(unflattened_size)
        if not sizes or sizes.count(-1) > 1 or any(n < -1 for n in sizes):
            raise ValueError(
                "Unflatten: unflattened_size must hold lengths of 0 or more, at most one of them "
                f"-1, got {unflattened_size!r}"
            )
        self.dim = dim
        self.unflattened_size = sizes

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = as_tensor(x, "Unflatten", "x")
        axis = normalize_axis(self.dim, x.ndim)
        length = x.shape[axis]
        known = math.prod(n for n in self.unflattened_size if n >= 0)
        rest = length // known if known else 0
        sizes = tuple(rest if n < 0 else n for n in self.unflattened_size)
        if math.prod(sizes) != length:
            raise ShapeError(
                f"Unflatten: unflattened_size {self.unflattened_size} does not multiply to the "
                f"{length} of axis {self.dim} of x {describe(x)}"
            )
        return mg.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))
