"""x * log(y) with the limit 0 at x = 0: xlogy and xlog1py."""

from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import quiet
from minigrad.ops.primitives import primitive

__all__ = ["xlog1py", "xlogy"]


def _product(x1: Array, x2: Array, logarithm: Any) -> Array:
    zero = np.logical_and(np.equal(x1, 0), np.logical_not(np.isnan(x2)))
    return np.where(zero, 0, x1 * logarithm(np.where(zero, 1, x2)))


@primitive
@quiet
def xlogy(x1: Array, x2: Array) -> Array:
    """x1 * log(x2), elementwise, and 0 where x1 is 0, unless x2 is NaN.

    Where x1 is 0 and x2 not positive, where the product has no derivative, both gradients are 0, as
    that by x1 is in PyTorch.

    >>> xlogy([0.0, 2.0], [0.0, 1.0])
    Tensor([0., 0.], f32[2])
    """
    return _product(x1, x2, np.log)


def _outside(x1: Array, x2: Array, edge: float) -> Array:
    """Whether x1 is 0 and x2 not beyond the edge of the logarithm."""
    return np.logical_and(x1 == 0, x2 <= edge)


def _xlogy_first(g: Array, x1: Array, x2: Array) -> Array:
    return g * np.log(np.where(_outside(x1, x2, 0.0), 1, x2))


def _xlogy_second(g: Array, x1: Array, x2: Array) -> Array:
    return g * (x1 / np.where(_outside(x1, x2, 0.0), np.inf, x2))


xlogy.vjp(x1=_xlogy_first, x2=_xlogy_second)


@primitive
@quiet
def xlog1py(x1: Array, x2: Array) -> Array:
    """x1 * log(1 + x2), elementwise, exact for small x2, and 0 where x1 is 0, unless x2 is NaN.

    Where x1 is 0 and x2 not above -1, both gradients are 0.

    >>> xlog1py([0.0, 2.0], [-1.0, 1e-8])
    Tensor([0.e+00, 2.e-08], f32[2])
    """
    return _product(x1, x2, np.log1p)


def _xlog1py_first(g: Array, x1: Array, x2: Array) -> Array:
    return g * np.log1p(np.where(_outside(x1, x2, -1.0), 0, x2))


def _xlog1py_second(g: Array, x1: Array, x2: Array) -> Array:
    return g * (x1 / (1 + np.where(_outside(x1, x2, -1.0), np.inf, x2)))


xlog1py.vjp(x1=_xlog1py_first, x2=_xlog1py_second)
