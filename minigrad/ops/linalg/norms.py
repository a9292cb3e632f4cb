"""Vector norms, and `norm`, which takes matrices too."""

import math
from typing import Any

import numpy as np

from minigrad.core.applying import operand
from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import Tensor, TensorLike, method, wrap
from minigrad.ops.axis_utils import Axis, normalize_axes
from minigrad.ops.elementwise.comparisons import absolute
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.linalg.matrix_norms import matrix_norm
from minigrad.ops.linalg.p_norms import p_norm
from minigrad.ops.reduction.reductions import count_nonzero
from minigrad.ops.reduction.reductions import max as max_over
from minigrad.ops.reduction.reductions import min as min_over

__all__ = ["norm", "vector_norm"]


@names_its_errors
def vector_norm(
    x: TensorLike, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2
) -> Tensor:
    """The norm of the elements over `axis`, taken as vectors.

    The gradient at a zero vector is 0, the smallest subgradient, as in PyTorch; for ord inf and
    -inf, ties share it equally.

    Args:
        x: any shape.
        axis: None for all elements, an int or a tuple.
        keepdims: keep the reduced axes with length 1.
        ord: any number; inf for the largest and -inf for the smallest absolute value, and 0 for
            how many are not 0 (a constant).

    Raises:
        ValueError: when `ord` is not a number.
    """
    x = _floating(x, "vector_norm")
    ord = 2 if ord is None else ord
    if not isinstance(ord, (int, float, np.integer, np.floating)) or math.isnan(ord):
        raise ValueError(f"vector_norm: ord must be a number, got {ord!r}")
    if ord == math.inf:
        empty = not x.size  # of no elements it is 0, as in NumPy
        return max_over(absolute(x), axis, keepdims=keepdims, initial=0 if empty else None)
    if ord == -math.inf:
        return min_over(absolute(x), axis, keepdims=keepdims)
    if ord == 0:
        return count_nonzero(x, axis, keepdims=keepdims).astype(x.dtype)
    return p_norm(x, float(ord), axis, keepdims)


@method
@names_its_errors
def norm(x: TensorLike, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors or matrices, as `np.linalg.norm`.

    Args:
        x: any shape.
        ord: None for the square root of the sum of squares; else see `vector_norm` for vectors
            and `minigrad.ops.linalg.matrix_norms.matrix_norm` for matrices.
        axis: an int for vectors, a pair for matrices; None for all of `x`.
        keepdims: keep the reduced axes with length 1.

    Raises:
        ShapeError: when `ord` does not fit, or is given for `x` of more than two axes.
    """
    x = _floating(x, "norm")
    if axis is None:
        if ord is None:
            return p_norm(x, 2.0, None, keepdims)
        if x.ndim not in (1, 2):
            raise ShapeError(
                f"norm: ord={ord!r} needs one or two axes, got {describe(x)}; say which with axis="
            )
        axis = tuple(range(x.ndim))
    axes = normalize_axes(axis, x.ndim, "norm: axis")
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise ShapeError(f"norm: axis must be an int or two axes, got {axis!r}")
    if ord in (None, "fro"):
        return p_norm(x, 2.0, axes, keepdims)
    others = tuple(i for i in range(x.ndim) if i not in axes)
    y = matrix_norm(x.transpose((*others, *axes)), ord=ord)
    return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y


def _floating(x: TensorLike, name: str) -> Tensor:
    """The argument as a tensor; integers as floats, as NumPy does."""
    tensor = x if isinstance(x, Tensor) else wrap(operand(x, name, "x"), None)
    return tensor if tensor.dtype.kind in "fc" else tensor.astype(np.float64)


NUMPY = {np.linalg.norm: norm, np.linalg.vector_norm: vector_norm}
