"""Eigenvalues and singular values without their vectors.

Their gradients are made of vectors, so second derivatives are those of vectors, which where values
are equal are not determined. When the gradient by the values is a constant that treats equal values
alike, as that of a sum, the gradient does not depend on the choice of vectors. Then it is a matrix
function of its own, of which the derivative is known: A. Lewis, H. Sendov, Twice differentiable
spectral functions (2001).
"""

from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import named
from minigrad.ops.linalg.decompositions import (
    eigh,
    gaps_of,
    known_pairs,
    matrices,
    pairs_of,
    svd,
    symmetric,
    transposed,
)
from minigrad.ops.linalg.equal_values import plain, settled
from minigrad.ops.primitives import primitive

__all__ = ["eigvalsh", "svdvals"]


def _once(vectors: Array, equal: Array) -> Array:
    """Vectors to be differentiated, unless values are equal, which are another operation's."""
    if isinstance(vectors, Tensor) and equal is not None:
        alone: Array = settled([vectors], plain(vectors))
        return alone
    return vectors


def _treats_alike(g: Array, equal: Array) -> bool:
    """Whether a gradient by values, some of them equal, is constant and the same for equal ones."""
    if equal is None or not isinstance(g, Tensor) or g._node is not None:
        return False
    numbers = plain(g)
    differences = numbers[..., None, :] - numbers[..., :, None]
    return not differences[equal].any()


@primitive
def eigvalsh(a: Array, UPLO: Any = "L") -> Array:
    """The eigenvalues of symmetric matrices (..., n, n), in ascending order. Giles.

    Only the triangle named by `UPLO` is read; the gradient is symmetric, as in PyTorch. It is
    finite where eigenvalues are equal. The second derivative there is NaN, except of sums in which
    equal eigenvalues have the same constant weight, such as the trace.
    """
    return np.linalg.eigvalsh(matrices(a, square=True), UPLO)


def _eigvalsh_rule(g: Array, a: Array, y: Array, UPLO: Any) -> Array:
    equal = pairs_of(plain(y), a.shape)
    if _treats_alike(g, equal):
        return eigenvalue_gradient.generic(a, g, UPLO)
    vectors = _once(eigh.generic(a, UPLO)[1], equal)
    return (vectors * g[..., None, :]) @ transposed(vectors)


eigvalsh.vjp(a=_eigvalsh_rule)


@primitive
@named("eigvalsh_gradient")
def eigenvalue_gradient(a: Array, /, weights: Array, UPLO: Any) -> Array:
    """The gradient of a sum of eigenvalues with constant weights, the same for equal ones."""
    vectors = np.linalg.eigh(a, UPLO)[1]
    return (vectors * plain(weights)[..., None, :]) @ transposed(vectors)


def _eigenvalue_gradient_rule(g: Array, a: Array, weights: Array, UPLO: Any) -> Array:
    values, vectors = eigh.generic(a, UPLO)
    equal = pairs_of(plain(values), a.shape)
    vectors, weights = _once(vectors, equal), plain(weights)
    differences = weights[..., None, :] - weights[..., :, None]
    inner = transposed(vectors) @ symmetric(g) @ vectors
    slopes = differences * gaps_of(values, known_pairs(plain(values), equal))
    return vectors @ (slopes * inner) @ transposed(vectors)


eigenvalue_gradient.vjp(a=_eigenvalue_gradient_rule)


@primitive
def svdvals(x: Array) -> Array:
    """The singular values of matrices (..., m, n), in descending order. Giles.

    The gradient is finite where singular values are equal. The second derivative there is NaN,
    except of sums in which equal singular values, other than 0, have the same constant weight, such
    as the nuclear norm.
    """
    return np.linalg.svd(matrices(x), compute_uv=False)


def _svdvals_rule(g: Array, x: Array, y: Array) -> Array:
    equal = pairs_of(plain(y), x.shape)
    if _treats_alike(g, equal) and plain(y).all():
        return singular_value_gradient.generic(x, g)
    u, _, vh = svd.generic(x)
    u, vh = _once(u, equal), _once(vh, equal)
    return (u * g[..., None, :]) @ vh


svdvals.vjp(x=_svdvals_rule)


@primitive
@named("svdvals_gradient")
def singular_value_gradient(x: Array, /, weights: Array) -> Array:
    """The gradient of a sum of singular values with constant weights, the same for equal ones."""
    u, _, vh = np.linalg.svd(x, full_matrices=False)
    return (u * plain(weights)[..., None, :]) @ vh


def _singular_value_gradient_rule(g: Array, x: Array, weights: Array) -> Array:
    u, s, vh = svd.generic(x)
    equal = pairs_of(plain(s), x.shape)
    u, v, weights = _once(u, equal), transposed(_once(vh, equal)), plain(weights)
    inner = transposed(u) @ g @ v
    even = symmetric(inner)
    differences = weights[..., None, :] - weights[..., :, None]
    slopes = differences * gaps_of(s, known_pairs(plain(s), equal))
    ratios = (weights[..., None, :] + weights[..., :, None]) / (s[..., None, :] + s[..., :, None])
    found = u @ (slopes * even + ratios * (inner - even)) @ transposed(v)
    outward = (weights / s)[..., None, :]
    found = found + ((g @ v - u @ inner) * outward) @ transposed(v)
    across = transposed(g) @ u - v @ transposed(inner)
    return found + u @ transposed(across * outward)


singular_value_gradient.vjp(x=_singular_value_gradient_rule)
