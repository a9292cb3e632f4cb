"""Linear algebra under the names of `numpy.linalg`; `minigrad.linalg` is the same.

The rules of the decompositions are in `minigrad.ops.linalg.decompositions`; here are the functions
whose results have named fields or that are composed of others.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import GradientError, MatrixError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.axis_utils import whole_number
from minigrad.ops.checks import check_option
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.linalg import decompositions, determinants
from minigrad.ops.linalg.decompositions import cholesky, inv, matrices, solve
from minigrad.ops.linalg.determinants import det
from minigrad.ops.linalg.products import matmul
from minigrad.ops.linalg.spectra import eigvalsh, svdvals
from minigrad.ops.manipulation.reshaping import matrix_transpose, reshape, transpose
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.sums import sum as sum_over

__all__ = [
    "cholesky",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_power",
    "matrix_rank",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
]


class EighResult(NamedTuple):
    """Eigenvalues (..., n) in ascending order, and eigenvectors (..., n, n) as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Orthonormal columns Q (..., m, k) and the upper triangle R (..., k, n)."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """Left vectors U (..., m, k), singular values S (..., k), right vectors Vh (..., k, n)."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SlogdetResult(NamedTuple):
    """The sign (...) and the logarithm of the absolute value (...) of a determinant."""

    sign: Tensor
    logabsdet: Tensor


class LstsqResult(NamedTuple):
    """The solution, the sums of squared residuals, the rank and the singular values."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


def _recorded(a: Any) -> bool:
    return isinstance(a, Tensor) and a.requires_grad and current_mode().recording


def eigh(a: Array, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices: ``a @ v = v * w``.

    Only the triangle named by `UPLO` is read, the lower one by default; the gradient is symmetric,
    as in PyTorch. The sign of an eigenvector is arbitrary: only functions that do not depend on it
    have a meaningful gradient. Where eigenvalues are equal, their eigenvectors are determined up to
    a rotation, and functions that do not depend on it, such as ``(v * w) @ v.T``, have their first
    derivative; for others the gradient is NaN, and so are second derivatives. There the backward
    pass is recorded (see `minigrad.ops.linalg.equal_values`). Values of another decomposition of
    `a` must not stand in for these. Derivatives as in M. Giles, Collected matrix derivative results
    (2008).

    Args:
        a: matrices (..., n, n), float32 or float64; complex Hermitian ones without grad.
        UPLO: "L" or "U".

    Returns:
        Named fields `eigenvalues` (..., n), in ascending order, and `eigenvectors` (..., n, n).

    Raises:
        ShapeError: for matrices that are not square.
        DtypeError: for float16.
    """
    return EighResult(*decompositions.eigh(a, UPLO))


def slogdet(a: Array) -> SlogdetResult:
    """The sign and the logarithm of the absolute value of the determinant, without overflow.

    Returns:
        Named fields `sign`, whose gradient is zero, and `logabsdet`.

    Raises:
        numpy.linalg.LinAlgError: in backward, at a singular matrix, where there is no derivative.
    """
    return SlogdetResult(*determinants.slogdet(a))


def qr(a: Array, mode: str = "reduced") -> Any:
    """Orthonormal columns Q and an upper triangle R with ``a = Q @ R``.

    Derivatives as in S. Walter, L. Lehmann, Algorithmic differentiation of linear algebra functions
    (2018), and for wide matrices M. Seeger et al., Auto-differentiating linear algebra (2017).

    Args:
        a: matrices (..., m, n), float32 or float64.
        mode: "reduced", "complete", "r" (R alone) or "raw" (LAPACK's reflections), as in NumPy.

    Returns:
        Named fields `Q` (..., m, k) and `R` (..., k, n) with k = min(m, n); with "complete" k = m.

    Raises:
        GradientError: where requires-grad meets "raw", or "complete" with m > n: the extra columns
            of Q are arbitrary, so they have no derivative.
        numpy.linalg.LinAlgError: in backward, where the first k columns are linearly dependent.
    """
    check_option("mode", mode, ("reduced", "complete", "r", "raw"), "qr")
    shape = np.shape(a)
    extra = mode == "complete" and len(shape) > 1 and shape[-2] > shape[-1]
    if extra or mode == "raw":
        if _recorded(a):
            raise GradientError(
                f"qr: mode={mode!r} has no derivative for {describe(a)}"
                + (", because the extra columns of Q are arbitrary" if extra else "")
                + ". Use mode='reduced', or a.detach() for a constant."
            )
        found = qr_without_gradient(a, mode)
        return QRResult(*found) if extra else found
    q, r = decompositions.qr(a)
    return r if mode == "r" else QRResult(q, r)


@primitive(constant=True, outputs=("q", "r"))
def qr_without_gradient(a: Array, /, mode: Any) -> Any:
    """The factors of a mode without a derivative."""
    return tuple(np.linalg.qr(matrices(a), mode))


def svd(
    a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """The singular value decomposition ``a = U * S @ Vh``.

    The signs of a pair of vectors are arbitrary: only functions that do not depend on them have a
    meaningful gradient. Where singular values are equal, functions that do not depend on the choice
    of their vectors, such as ``(U * S) @ Vh``, have their first derivative, as with `eigh`; for
    others the gradient is NaN, and so are second derivatives. Derivatives as in J. Townsend,
    Differentiating the singular value decomposition (2016).

    Args:
        a: matrices (..., m, n), float32 or float64.
        full_matrices: complete U to (..., m, m) and Vh to (..., n, n), as NumPy does by default.
            The vectors added are arbitrary, so with grad only where m = n.
        compute_uv: whether to return U and Vh at all; if not, see `svdvals`.
        hermitian: for symmetric matrices by `eigh`, in NumPy; not with grad.

    Returns:
        Named fields `U`, `S` (in descending order) and `Vh`, or S alone without `compute_uv`.

    Raises:
        GradientError: for the two cases without a derivative.
    """
    shape = np.shape(a)
    extra = full_matrices and compute_uv and len(shape) > 1 and shape[-1] != shape[-2]
    if not (extra or hermitian):
        return SVDResult(*decompositions.svd(a)) if compute_uv else svdvals(a)
    if _recorded(a):
        raise GradientError(
            f"svd: hermitian=True has no derivative for {describe(a)}; use eigh."
            if hermitian
            else f"svd: full_matrices=True has no derivative for {describe(a)}, because it adds "
            "arbitrary vectors. Pass full_matrices=False, or use svdvals."
        )
    found = SVDResult(*svd_without_gradient(a, full_matrices, hermitian))
    return found if compute_uv else found.S


@primitive(constant=True, outputs=("u", "s", "vh"))
def svd_without_gradient(a: Array, /, full_matrices: bool, hermitian: bool) -> Any:
    """The decomposition in a form without a derivative."""
    return tuple(np.linalg.svd(matrices(a, square=hermitian), full_matrices, True, hermitian))


def pinv(a: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """The pseudo-inverse (..., n, m) of matrices (..., m, n).

    The derivative is that along matrices of the same rank, as in PyTorch; where the rank changes,
    the pseudo-inverse jumps. G. Golub, V. Pereyra, The differentiation of pseudo-inverses (1973).

    Args:
        a: matrices, float32 or float64.
        rcond, rtol: singular values below this part of the largest one count as zero, as in NumPy.
        hermitian: `a` is symmetric; its lower triangle is read, and the gradient is symmetric.
    """
    return decompositions.pinv(a, rcond, hermitian, rtol=rtol)


def matrix_power(a: Array, n: int) -> Tensor:
    """The product of `n` factors `a` (..., m, m), by repeated squaring; of inverses for n < 0.

    Raises:
        DtypeError: when `n` is not an integer.
        ShapeError: for matrices that are not square.
    """
    shape = np.shape(a)
    n = whole_number(n, "matrix_power: n")
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise MatrixError(f"matrix_power: a must hold square matrices, got {describe(a)}")
    base = a if isinstance(a, Tensor) else Tensor(a)
    if n == 0:
        # Connected to `a`, so that its gradient is zeros and not missing.
        return where(False, base, np.eye(shape[-1], dtype=base.dtype))
    if n < 0:
        base, n = inv(base), -n
    result: Tensor | None = None
    while True:
        if n & 1:
            result = base if result is None else matmul(result, base)
        n >>= 1
        if not n:
            assert result is not None
            return result
        base = matmul(base, base)


@primitive(constant=True)
def matrix_rank(A: Array, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The number of singular values that are not zero within rounding: a constant."""
    return np.linalg.matrix_rank(A if np.ndim(A) < 2 else matrices(A), tol, hermitian, rtol=rtol)


@names_its_errors
def lstsq(a: Array, b: Array, rcond: float | None = None) -> LstsqResult:
    """The least-squares solution of ``a @ x = b``; of all solutions, the shortest.

    Args:
        a: a matrix (m, n).
        b: a vector (m,) or a matrix (m, k).
        rcond: singular values below this part of the largest one count as zero; None: the
            machine's precision times max(m, n).

    Returns:
        Named fields `x` (n,) or (n, k); `residuals`, the sums of squares (k,) of what is left, or
        empty where m <= n or the rank is less than n; `rank`, a constant; `s`, singular values.

    Composed of `pinv` and products: its derivative is that along matrices of the same rank.
    """
    shape, other = np.shape(a), np.shape(b)
    if len(shape) != 2 or len(other) not in (1, 2) or other[0] != shape[0]:
        raise ShapeError(
            "lstsq: a must be a matrix (m, n) and b a vector (m,) or a matrix (m, k), got "
            f"{describe(a)} and {describe(b)}; for stacks, use pinv(a) @ b."
        )
    s = svdvals(a)
    if rcond is None or rcond == -1:
        rcond = float(np.finfo(s.dtype).eps) * (max(shape) if rcond is None else 1)
    rank = matrix_rank(a, rtol=rcond)
    x = matmul(pinv(a, rcond), b)
    if rank.item() == shape[1] < shape[0]:
        left = matmul(a, x) - b
        residuals = sum_over(left * left, axis=0, keepdims=len(other) == 1)
    else:
        residuals = Tensor(np.zeros(0, x.dtype))
    return LstsqResult(x, residuals, rank.astype(np.int32), s)  # the dtype that LAPACK gives


@returns_value
def tensorinv(a: Array, ind: int = 2) -> Tensor:
    """The inverse for `tensordot` with `ind` axes: the first `ind` axes against the others.

    Raises:
        ShapeError: when both parts do not have equally many elements.
    """
    shape = np.shape(a)
    rows, columns = shape[:ind], shape[ind:]
    if ind <= 0 or math.prod(rows) != math.prod(columns):
        raise ShapeError(
            f"tensorinv: the first ind={ind} axes {rows} and the others {columns} must have "
            "equally many elements, and ind must be positive"
        )
    return reshape(inv(reshape(a, (math.prod(rows), -1))), columns + rows)


@names_its_errors
@returns_value
def tensorsolve(a: Array, b: Array, axes: Any = None) -> Tensor:
    """The x with ``tensordot(a, x, x.ndim) = b``.

    Args:
        a: its shape is that of `b`, followed by that of the solution, with equally many elements.
        b: any shape.
        axes: axes of `a` to move to its end first.
    """
    if axes is not None:
        order = [i for i in range(np.ndim(a)) if i not in axes]
        a = transpose(a, (*order, *axes))
    shape, other = np.shape(a), np.shape(b)
    size = math.prod(other)
    if shape[: len(other)] != other or math.prod(shape) != size * size:
        raise ShapeError(
            f"tensorsolve: the shape of a must be that of b, {other}, and then that of the "
            f"solution, with equally many elements; got {shape}"
        )
    solution = solve(reshape(a, (size, size)), reshape(b, (size,)))
    return reshape(solution, shape[len(other) :])


NUMPY = {
    np.linalg.cholesky: cholesky,
    np.linalg.det: det,
    np.linalg.eigh: eigh,
    np.linalg.eigvalsh: eigvalsh,
    np.linalg.inv: inv,
    np.linalg.lstsq: lstsq,
    np.linalg.matrix_power: matrix_power,
    np.linalg.matrix_rank: matrix_rank,
    np.linalg.matrix_transpose: matrix_transpose,
    np.linalg.pinv: pinv,
    np.linalg.qr: qr,
    np.linalg.slogdet: slogdet,
    np.linalg.solve: solve,
    np.linalg.svd: svd,
    np.linalg.svdvals: svdvals,
    np.linalg.tensorinv: tensorinv,
    np.linalg.tensorsolve: tensorsolve,
}
