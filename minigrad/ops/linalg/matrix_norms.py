"""Norms and condition numbers of matrices."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import AxisError, MatrixError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.elementwise.comparisons import absolute, where
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.linalg.decompositions import inv
from minigrad.ops.linalg.determinants import slogdet
from minigrad.ops.linalg.p_norms import p_norm
from minigrad.ops.linalg.spectra import svdvals
from minigrad.ops.reduction.reductions import max as max_over
from minigrad.ops.reduction.reductions import min as min_over
from minigrad.ops.reduction.sums import sum as sum_over
from minigrad.restoring import errstate

__all__ = ["cond", "matrix_norm"]


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of each matrix (..., m, n).

    Args:
        x: matrices.
        keepdims: keep the last two axes, with length 1.
        ord: "fro" (the root of the sum of squares), "nuc" (the sum of the singular values), 2 and
            -2 (the largest and the smallest of them), 1 and -1 (the largest and the smallest sum of
            absolute values of a column), inf and -inf (of a row).

    Raises:
        ValueError: for another `ord`.
        AxisError: for less than two axes.

    The gradient of "fro" at a zero matrix is 0, as in PyTorch. Columns, rows or singular values
    that tie share the gradient equally.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind not in "fc":
        x = x.astype(np.float64)
    if x.ndim < 2:
        raise AxisError(f"matrix_norm: x must hold matrices (..., m, n), got {describe(x)}")
    if ord in (None, "fro"):
        return p_norm(x, 2.0, (-2, -1), keepdims)
    if ord in ("nuc", 2, -2):
        values = svdvals(x)
        result = sum_over(values, axis=-1) if ord == "nuc" else _extremum(values, ord)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = sum_over(absolute(x), axis=-2 if abs(ord) == 1 else -1)
        result = _extremum(sums, ord)
    else:
        raise ValueError(
            "matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got "
            f"{describe(ord)}; for other norms of all elements, flatten the matrices first."
        )
    return result[..., None, None] if keepdims else result


def _extremum(values: Tensor, ord: float) -> Tensor:
    """The largest for a positive `ord`, else the smallest; no value at all leaves 0, as NumPy."""
    if ord < 0:
        return min_over(values, axis=-1)
    return max_over(values, axis=-1, initial=None if values.shape[-1] else 0)


@names_its_errors
def cond(x: Array, p: Any = None) -> Tensor:
    """The condition number of each matrix, infinite for singular ones.

    Args:
        x: matrices (..., m, n); square ones unless `p` is None, 2 or -2.
        p: which `matrix_norm` of the matrix is multiplied with that of its inverse; None is 2.

    Raises:
        MatrixError: for matrices that are empty, or not square although `p` needs an inverse.
    """
    if np.ndim(x) < 2 or 0 in np.shape(x)[-2:]:
        raise MatrixError(f"cond: needs matrices (..., m, n) that are not empty, got {describe(x)}")
    if p not in (None, 2, -2):
        x = x if isinstance(x, Tensor) else Tensor(x)
        singular = _singular(x)
        several = bool(singular.any())
        if several:
            x = where(singular[..., None, None], np.eye(x.shape[-1], dtype=x.dtype), x)
        result = matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)
        return where(singular, math.inf, result) if several else result
    values = svdvals(x)
    large, small = values[..., 0], values[..., -1]
    if p == -2:
        return small / large
    with errstate(divide="ignore", invalid="ignore"):
        return where(small == 0, math.inf, large / small)


def _singular(x: Tensor) -> Any:
    """Which of the matrices have no inverse at all."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return np.array(False)  # `inv` says what is wrong with them
    return slogdet(x.detach())[0] == 0


NUMPY = {np.linalg.cond: cond, np.linalg.matrix_norm: matrix_norm}
