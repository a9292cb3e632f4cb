"""Determinants, with derivatives at singular matrices too.

The rules are those of M. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation (2008).
"""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from minigrad.core.nodes import Array
from minigrad.ops.linalg.decompositions import inv, matrices, transposed
from minigrad.ops.primitives import primitive
from minigrad.restoring import errstate

__all__ = ["det"]


@primitive
def det(a: Array) -> Array:
    """The determinant of square matrices (..., n, n).

    The gradient is the matrix of cofactors, which is right for singular matrices too, to second
    order; the third derivative needs an inverse.
    """
    return np.linalg.det(matrices(a, square=True))


def _signed_svd(x: Array) -> tuple[Array, Array, Array, Array]:
    """x = u s vh with the sign det(u) det(vh), shaped to multiply matrices."""
    u, s, vh = np.linalg.svd(x)
    return u, s, vh, (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


def _products_around(s: Array) -> tuple[Array, Array]:
    """Of each number along the last axis, the products of those before and of those after it."""
    ones = np.ones_like(s[..., :1])
    before = np.concatenate([ones, np.cumprod(s, axis=-1)], axis=-1)[..., :-1]
    after = np.concatenate([ones, np.cumprod(s[..., ::-1], axis=-1)], axis=-1)[..., :-1]
    return before, after[..., ::-1]


@primitive
def cofactors(x: Array, /) -> Array:
    """The cofactors det(x) inv(x)^T, which exist for singular matrices too.

    Near a singular matrix the errors of det and inv cancel, since both come from one factorization.
    At one, of x = u s v^T, they are the products of all singular values but one, between u and v^T
    (G. Stewart, On the adjugate matrix, 1998).
    """
    with errstate(all="ignore"), suppress(LinAlgError):
        scale = np.linalg.det(x)[..., None, None]
        found = scale * transposed(np.linalg.inv(x))
        if (np.abs(scale) > np.finfo(scale.dtype).tiny).all() and np.isfinite(found).all():
            return found
    u, s, vh, sign = _signed_svd(matrices(x, square=True))
    before, after = _products_around(s)
    return sign * ((u * (before * after)[..., None, :]) @ vh)


@primitive
def cofactors_slope(x: Array, direction: Array, /) -> Array:
    """The derivative of `cofactors` at `x` in a direction: the second one of the determinant.

    Between u and v^T it holds the products of all singular values but two.
    """
    u, s, vh, sign = _signed_svd(x)
    n = s.shape[-1]
    before, after = _products_around(s)
    row, column = np.arange(n)[:, None], np.arange(n)
    between = np.cumprod(np.where(column > row, s[..., None, :], 1), axis=-1)
    between = np.concatenate([np.ones_like(between[..., :1]), between], axis=-1)[..., :-1]
    pairs = np.triu(before[..., :, None] * between * after[..., None, :], 1)
    pairs = pairs + transposed(pairs)
    turned = transposed(u) @ direction @ transposed(vh)
    diagonal = pairs @ np.diagonal(turned, axis1=-2, axis2=-1)[..., None]
    return sign * (u @ (diagonal * np.eye(n, dtype=s.dtype) - pairs * transposed(turned)) @ vh)


def _cofactors_slope_x(g: Array, x: Array, direction: Array) -> Array:
    # The third derivative, through the inverse: with b = inv(x)^T the slope along d is
    # det(x) (<b, d> b - b d^T b), and the derivative of b along d is -b d^T b.
    b = transposed(inv.generic(x))
    bd, bg = b @ transposed(direction), b @ transposed(g)
    along_d = (b * direction).sum(axis=(-2, -1), keepdims=True)
    along_g = (b * g).sum(axis=(-2, -1), keepdims=True)
    both = along_d * along_g - ((bd @ b) * g).sum(axis=(-2, -1), keepdims=True)
    inside = both * b - along_g * (bd @ b) - along_d * (bg @ b) + bd @ bg @ b + bg @ bd @ b
    return det.generic(x)[..., None, None] * inside


det.vjp(a=lambda g, a: g[..., None, None] * cofactors.generic(a))
cofactors.vjp(x=lambda g, x: cofactors_slope.generic(x, g))
cofactors_slope.vjp(
    x=_cofactors_slope_x,
    direction=lambda g, x: cofactors_slope.generic(x, g),  # second derivatives are symmetric
)


@primitive(outputs=("sign", "logabsdet"))
def slogdet(a: Array) -> Any:
    """The sign and the logarithm of the absolute value of the determinant."""
    return tuple(np.linalg.slogdet(matrices(a, square=True)))


def _slogdet_rule(g: Any, a: Array) -> Array:
    try:
        return g[1][..., None, None] * transposed(inv.generic(a))
    except LinAlgError:
        raise LinAlgError(
            "slogdet: there is no derivative at a singular matrix, where the logarithm is -inf. "
            "Use det, or add a small multiple of the identity."
        ) from None


slogdet.vjp(a=_slogdet_rule)
