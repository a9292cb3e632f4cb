"""Decompositions of matrices, and what is solved with them: the primitives of linear algebra.

All take stacks (..., m, n), empty ones too, in float32 and float64. Gradients of symmetric inputs
are symmetric, as in PyTorch, although only one triangle is read: the derivative is meant for
changes that keep the matrix symmetric.

Sources, named below by their first author:

- M. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
  differentiation (2008);
- G. Golub, V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares
  problems whose variables separate (1973);
- I. Murray, Differentiation of the Cholesky decomposition (2016);
- M. Seeger et al., Auto-differentiating linear algebra (2017);
- J. Townsend, Differentiating the singular value decomposition (2016);
- S. Walter, L. Lehmann, Algorithmic differentiation of linear algebra functions with application
  in optimum experimental design (2018).
"""

from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from minigrad.core.errors import MatrixError
from minigrad.core.nodes import Array
from minigrad.ops.linalg.equal_values import (
    at_zero,
    equal_pairs,
    pairs_by_rotation,
    plain,
    settled,
    unless_zero,
)
from minigrad.ops.primitives import primitive

__all__ = ["cholesky", "inv", "solve"]


def matrices(x: Array, square: bool = False) -> Array:
    """The input as an array, checked to hold matrices of a dtype that LAPACK has routines for.

    Raises:
        TypeError: for other dtypes, such as float16.
        MatrixError: for less than two axes, or matrices that should be square and are not.
    """
    x = np.asarray(x)
    if x.dtype.kind in "fc" and x.dtype.char not in "fdFD":
        raise TypeError(
            f"there are no LAPACK routines for {x.dtype}; convert with t.astype('float32') first"
        )
    if x.ndim < 2:
        raise MatrixError(
            f"matrices of shape (..., m, n) are needed, got an array of shape {x.shape}"
        )
    if square and x.shape[-1] != x.shape[-2]:
        raise MatrixError(f"the last two axes must be equally long, got the shape {x.shape}")
    return x


def transposed(x: Array) -> Array:
    """The matrices with rows and columns exchanged."""
    return x.swapaxes(-1, -2)


def _eye(count: int, like: Array) -> Array:
    return np.eye(count, dtype=like.dtype)


def symmetric(x: Array) -> Array:
    return (x + transposed(x)) / 2


# -- inverse and solution ------------------------------------------------------------------------


@primitive
def inv(a: Array) -> Array:
    """The inverse of square matrices (..., n, n). Giles, on the inverse.

    Raises:
        numpy.linalg.LinAlgError: when a matrix is singular.
    """
    a = matrices(a, square=True)
    try:
        return np.linalg.inv(a)
    except LinAlgError:
        raise LinAlgError(
            "a matrix is singular, so it has no inverse. Use pinv for the pseudo-inverse, or add a "
            "small multiple of the identity"
        ) from None


inv.vjp(a=lambda g, y: -(transposed(y) @ g @ transposed(y)))


@primitive
def solve(a: Array, b: Array) -> Array:
    """The solution x of ``a @ x = b``. Giles, on the inverse product.

    Args:
        a: square matrices (..., n, n).
        b: one vector (n,), or matrices (..., n, k); as in NumPy 2, stacks of vectors need a last
            axis of length 1.

    Raises:
        numpy.linalg.LinAlgError: when a matrix is singular.
    """
    a, b = matrices(a, square=True), np.asarray(b)
    if b.dtype.kind in "fc" and b.dtype.char not in "fdFD":
        matrices(b)  # raises the error that names the dtype
    if not b.ndim or b.shape[-1 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError(
            f"b must be a vector ({a.shape[-1]},) or matrices (..., {a.shape[-1]}, k) for the "
            f"matrices {a.shape}, got the shape {b.shape}"
            + (". Give a stack of vectors a last axis: b[..., None]" if b.ndim > 1 else "")
        )
    try:
        return np.linalg.solve(a, b)
    except LinAlgError:
        raise LinAlgError(
            "a matrix is singular, so there is no unique solution. Use lstsq or pinv(a) @ b for "
            "the least-squares solution, or add a small multiple of the identity"
        ) from None


@solve.joint_vjp("a", "b")
def _solve_rule(g: Array, a: Array, y: Array, b_shape: Any) -> tuple[Array, Array]:
    if len(b_shape) == 1:
        d = solve.generic(transposed(a), g[..., None])
        return -(d * y[..., None, :]), d[..., 0]
    d = solve.generic(transposed(a), g)
    return -(d @ transposed(y)), d


@primitive
def pinv(a: Array, /, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The pseudo-inverse (see `minigrad.ops.linalg.matrices.pinv`). Golub."""
    options = {} if rtol is None else {"rtol": rtol}
    return np.linalg.pinv(matrices(a, square=hermitian), rcond, hermitian, **options)


def _pinv_rule(g: Array, a: Array, y: Array, hermitian: bool) -> Array:
    gt, yt = transposed(g), transposed(y)
    outside_columns = gt - a @ (y @ gt)  # (I - a y) g^T
    outside_rows = gt - (gt @ y) @ a  # g^T (I - y a)
    found = (outside_columns @ y) @ yt + yt @ (y @ outside_rows) - yt @ g @ yt
    return symmetric(found) if hermitian else found


pinv.vjp(a=_pinv_rule)

# -- triangular factors --------------------------------------------------------------------------


@primitive
def cholesky(a: Array, /, *, upper: bool = False) -> Array:
    """The triangular factor L with L @ L.mT = a, of symmetric positive definite matrices.

    Only the lower triangle of `a` is read (with `upper` the upper one, and the result is L.mT); the
    gradient is symmetric, as in PyTorch. Murray.

    Raises:
        numpy.linalg.LinAlgError: when a matrix is not positive definite.
    """
    a = matrices(a, square=True)
    try:
        return np.linalg.cholesky(a, upper=upper)
    except LinAlgError:
        raise LinAlgError(
            "a matrix is not positive definite. Check that it is symmetric, or add a small "
            "multiple of the identity"
        ) from None


def _cholesky_rule(g: Array, y: Array, upper: bool) -> Array:
    lower, g = (transposed(y), transposed(g)) if upper else (y, g)
    n = lower.shape[-1]
    half = np.tri(n, dtype=lower.dtype) - _eye(n, lower) / 2  # lower triangle, half the diagonal
    inverse = inv.generic(lower)
    return symmetric(transposed(inverse) @ (half * (transposed(lower) @ g)) @ inverse)


cholesky.vjp(a=_cholesky_rule)


@primitive(outputs=("q", "r"))
def qr(a: Array, /) -> Any:
    """The reduced factors q (..., m, k) and r (..., k, n), k = min(m, n).

    Walter; a wide matrix is split into a square one and the rest, as in Seeger.
    """
    return tuple(np.linalg.qr(matrices(a)))


def _qr_rule(g: Any, q: Array, r: Array) -> Array:
    gq, gr = g
    k = q.shape[-1]
    first = r[..., :k]  # square and triangular
    plain = np.asarray(getattr(first, "_array", first))  # a check has no derivative
    values = np.abs(np.diagonal(plain, axis1=-2, axis2=-1))
    limit = np.finfo(q.dtype).eps * max(q.shape[-2], r.shape[-1])
    if values.size and (values <= limit * values.max(axis=-1, keepdims=True)).any():
        raise LinAlgError(
            "qr: there is no derivative where the first min(m, n) columns are linearly dependent. "
            "Use svd, or remove columns that depend on others."
        )
    rest = r[..., k:]
    if r.shape[-1] > k:  # then q is square, and the other columns are q @ rest
        gq = gq + q @ (rest @ transposed(gr[..., k:]))
    middle = first @ transposed(gr[..., :k]) - transposed(gq) @ q
    below = np.tri(k, k=-1, dtype=q.dtype)
    middle = middle * (below + _eye(k, q)) + transposed(
        middle * below
    )  # symmetric, from its lower half
    found = transposed(solve.generic(first, transposed(gq + q @ middle)))
    if r.shape[-1] > k:
        return np.concatenate([found, q @ gr[..., k:]], axis=-1)
    return found


qr.vjp(a=_qr_rule)

# -- eigenvalues and singular values -------------------------------------------------------------


def gaps_of(values: Array, equal: Array) -> Array:
    """1 / (values[j] - values[i]), and 0 on the diagonal and where two values are equal."""
    none = equal | np.eye(values.shape[-1], dtype=bool)
    differences = values[..., None, :] - values[..., :, None]
    return np.where(none, 0, 1 / np.where(none, 1, differences))


def pairs_of(values: Array, shape: tuple[int, ...]) -> Array:
    """The pairs of equal values; None without any, as nearly always."""
    equal = equal_pairs(values, max(shape[-2:], default=0))
    return equal if equal.any() else None


def known_pairs(values: Array, equal: Array) -> Array:
    return np.zeros((*values.shape, values.shape[-1]), bool) if equal is None else equal


@primitive(outputs=("eigenvalues", "eigenvectors"), aux=("equal",), rerun="equal")
def eigh(a: Array, /, UPLO: Any = "L") -> Any:
    """Eigenvalues and eigenvectors (see `minigrad.ops.linalg.matrices.eigh`). Giles."""
    values, vectors = np.linalg.eigh(matrices(a, square=True), UPLO)
    return values, vectors, pairs_of(values, a.shape)


def _eigh_rule(g: Any, used: Any, eigenvalues: Array, eigenvectors: Array, equal: Array) -> Array:
    turned = transposed(eigenvectors)
    middle = g[0][..., None] * _eye(eigenvalues.shape[-1], eigenvalues)
    if used[1]:
        inner = turned @ g[1]
        middle = middle + gaps_of(eigenvalues, known_pairs(eigenvalues, equal)) * inner
        if equal is not None:
            choice, vectors = inner - transposed(inner), {1: plain(eigenvectors)}
            part = pairs_by_rotation(
                plain(eigenvalues), g[0], choice, plain(inner), eigenvectors, equal, vectors
            )
            middle = middle + settled.generic([*g, eigenvalues, eigenvectors], part)
    return symmetric(eigenvectors @ middle @ turned)


eigh.vjp(a=_eigh_rule)


@primitive(outputs=("u", "s", "vh"), aux=("equal",), rerun="equal")
def svd(a: Array, /) -> Any:
    """The reduced decomposition (see `minigrad.ops.linalg.matrices.svd`). Townsend; Giles."""
    u, s, vh = np.linalg.svd(matrices(a), full_matrices=False)
    equal = equal_pairs(s, max(a.shape[-2:], default=0))
    beyond_zero = a.shape[-1] != a.shape[-2] and not s.all()
    return u, s, vh, equal if beyond_zero or equal.any() else None


def _svd_rule(g: Any, used: Any, u: Array, s: Array, vh: Array, equal: Array) -> Array:
    k = s.shape[-1]
    middle = g[1][..., None] * _eye(k, s)
    gaps = gaps_of(s * s, known_pairs(s, equal))
    inner, rest, turns = {}, {}, {}  # by the number of the output, with vectors as columns
    for number, vectors, slope in ((0, u, g[0]), (2, transposed(vh), transposed(g[2]))):
        if used[number]:
            inner[number] = transposed(vectors) @ slope
            turns[number] = inner[number] - transposed(inner[number])  # of rotating two of them
            if vectors.shape[-2] > k:  # the part of their change outside of their columns
                rest[number] = slope - vectors @ inner[number]
    if 0 in turns:
        middle = middle + gaps * turns[0] * s[..., None, :]
    if 2 in turns:
        middle = middle + s[..., :, None] * (gaps * turns[2])
    if equal is None or not turns:
        rest = {number: part / s[..., None, :] for number, part in rest.items()}
    else:
        part, rest = _svd_equal_part(g, u, s, vh, equal, inner, turns, rest)
        middle = middle + part
    found = u @ middle @ vh
    if 0 in rest:
        found = found + rest[0] @ vh
    return found + u @ transposed(rest[2]) if 2 in rest else found


def _svd_equal_part(
    g: Any, u: Array, s: Array, vh: Array, equal: Array, inner: Any, turns: Any, rest: Any
) -> tuple[Array, dict[int, Array]]:
    """What the gradient is at pairs of equal singular values, and outside of all vectors.

    Rotating left and right vectors together must change nothing. Rotating them against each other
    changes the matrix, for which the sum of the two values stands in the denominator.
    """
    vectors = {0: plain(u), 2: transposed(plain(vh))}
    zero = plain(s) == 0
    apart = equal & zero[..., None, :] & zero[..., :, None]
    together = equal & ~apart
    size = np.concatenate([plain(x) for x in inner.values()], axis=-2)
    choice = sum(turns.values())
    part = pairs_by_rotation(plain(s), g[1], choice, size, s, equal, vectors)
    sums = s[..., None, :] + s[..., :, None]
    against = turns.get(0, 0) - turns.get(2, 0)
    alone = np.where(together, against / (2 * np.where(together, sums, 1)), 0)
    parts = {number: x / np.where(zero, 1, s)[..., None, :] for number, x in rest.items()}
    sources = [*g, u, s, vh]
    if zero.any():
        more = at_zero(g[1], s, apart, zero, vectors)
        part = part + more.antisymmetric
        for number, turn in turns.items():
            part = part + unless_zero(plain(turn), plain(inner[number]), apart)
        for number, x in rest.items():
            beyond = more.left if number == 0 else more.right
            outside = unless_zero(plain(x), plain(inner[number]), zero[..., None, :])
            parts[number] = parts[number] + settled.generic(sources, beyond + outside)
    return alone + settled.generic(sources, part), parts


svd.vjp(a=_svd_rule)
