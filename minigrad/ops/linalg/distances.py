"""Pairwise distances between two sets of vectors (cdist)."""

from typing import Any

from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensors
from minigrad.ops.linalg.norms import vector_norm

__all__ = ["cdist"]


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Tensor:
    """The p-norm distance of each vector of `x1` to each of `x2`, as `torch.cdist`.

    The differences are taken themselves, of which an array (..., P, R, M) is made: the way over
    matrix products loses the digits of small distances. Where a distance is 0 its gradient is 0, a
    subgradient.

    Args:
        x1: (..., P, M) vectors of length M.
        x2: (..., R, M); the leading axes broadcast.
        p: the order of the norm: inf takes the largest. 0 counts the elements that differ; that
            is a constant, of which gradients are refused, where PyTorch's are zeros.

    Returns:
        (..., P, R) distances.

    Raises:
        ShapeError: when the vectors have different lengths, or an input no axis of vectors.
        ValueError: when `p` is negative.

    >>> import numpy as np
    >>> cdist(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    Tensor([[5., 0.]], f64[1, 2])
    """
    x1, x2 = as_tensors("cdist", x1=x1, x2=x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            "cdist: x1 must be (..., P, M) and x2 (..., R, M) with vectors of one length M, got "
            f"{describe(x1)} and {describe(x2)}"
        )
    if not p >= 0:
        raise ValueError(f"cdist: p must be 0 or more, got {p!r}")
    difference = x1[..., :, None, :] - x2[..., None, :, :]  # (..., P, R, M)
    if not x1.shape[-1]:
        empty: Tensor = difference.sum(axis=-1)
        return empty  # vectors without elements are equal
    return vector_norm(difference, axis=-1, ord=p)
