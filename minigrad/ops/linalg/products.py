"""Products of vectors, matrices and stacks of them. `einsum` is in `contractions`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import method
from minigrad.ops.axis_utils import normalize_axes, normalize_axis
from minigrad.ops.elementwise.arithmetic import multiply
from minigrad.ops.primitives import primitive

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "multi_dot",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]


def _matmul_x1(g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return g[..., None] * x2
    if x1.ndim == 1:
        return (g[..., None, :] @ x2.swapaxes(-1, -2))[..., 0, :]
    return matmul.generic(g, x2.swapaxes(-1, -2))


def _matmul_x2(g: Array, x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        if x1.ndim == 1:
            return g * x1
        return (x1.swapaxes(-1, -2) @ g[..., None])[..., 0]
    if x1.ndim == 1:
        return x1[:, None] * g[..., None, :]
    if x2.ndim == 2 and x1.ndim > 2:
        # One product over all leading axes, instead of a stack of products summed afterwards.
        rows = math.prod(x1.shape[:-1])
        flat = x1.reshape((rows, x1.shape[-1]))
        return flat.swapaxes(0, 1) @ g.reshape((rows, g.shape[-1]))
    return x1.swapaxes(-1, -2) @ g


@primitive(hint="The last axis of x1 must be as long as the last but one of x2", method=True)
def matmul(x1: Array, x2: Array) -> Array:
    """The matrix product over the last two axes, stacked and broadcast over the others.

    A vector `x1` counts as one row and a vector `x2` as one column, without that axis in the
    result. Numbers are refused: multiply with `*`.
    """
    if getattr(x2, "ndim", 0) == 2 and getattr(x1, "ndim", 0) > 2 and x1.shape[-1] == x2.shape[0]:
        # One product of many rows; NumPy would run one small product per matrix of the stack.
        flat = x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1])
        return np.matmul(flat, x2).reshape(*x1.shape[:-1], x2.shape[1])
    return np.matmul(x1, x2)


matmul.vjp(x1=_matmul_x1, x2=_matmul_x2)


def _check_axes(name: str, array: Array, least: int) -> None:
    """Refuse an operand with too few axes, which `matmul` would take for a vector or matrix."""
    if np.ndim(array) < least:
        kind = "a matrix (..., m, n)" if least == 2 else "a vector (..., n)"
        raise ValueError(f"{name} must be {kind}, got shape {np.shape(array)}")


@primitive(hint="The last axis of x1 must be as long as the last axis of x2")
def matvec(x1: Array, x2: Array, /) -> Array:
    """Matrices (..., m, n) times vectors (..., n), as in `numpy.matvec` (NumPy 2.2)."""
    _check_axes("x1", x1, 2)
    _check_axes("x2", x2, 1)
    return np.matmul(x1, np.asarray(x2)[..., None])[..., 0]


matvec.vjp(
    x1=lambda g, x2: g[..., None] * x2[..., None, :],
    x2=lambda g, x1: (x1.swapaxes(-1, -2) @ g[..., None])[..., 0],
)


@primitive(hint="The last axis of x1 must be as long as the last but one of x2")
def vecmat(x1: Array, x2: Array, /) -> Array:
    """Vectors (..., m), conjugated if complex, times matrices (..., m, n), as `numpy.vecmat`."""
    _check_axes("x1", x1, 1)
    _check_axes("x2", x2, 2)
    return np.matmul((x1.conj() if x1.dtype.kind == "c" else x1)[..., None, :], x2)[..., 0, :]


vecmat.vjp(
    x1=lambda g, x2: (x2 @ g[..., None])[..., 0],
    x2=lambda g, x1: x1[..., None] * g[..., None, :],
)


def _move(x: Array, source: int, target: int) -> Array:
    """One axis moved to another place; on arrays and tensors alike."""
    order = [i for i in range(x.ndim) if i != source % x.ndim]
    order.insert(target % x.ndim, source % x.ndim)
    return np.transpose(x, tuple(order))


def _from_end(axis: int, shape: tuple[int, ...]) -> int:
    """An axis counted from the end, where shapes of different length are aligned."""
    return normalize_axis(axis, len(shape)) - len(shape)


def _vecdot_rule(g: Array, other: Array, shape: tuple[int, ...], axis: int) -> Array:
    return _move(g[..., None] * _move(other, axis, -1), -1, _from_end(axis, shape))


_vecdot: Any = np.vecdot  # whose annotations do not know `axis`


@primitive
def vecdot(x1: Array, x2: Array, /, axis: int = -1) -> Array:
    """The sum of `conj(x1) * x2` over `axis` of both; the other axes broadcast."""
    return _vecdot(x1, x2, axis=axis)


vecdot.vjp(
    x1=lambda g, x2, x1_shape, axis: _vecdot_rule(g, x2, x1_shape, axis),
    x2=lambda g, x1, x2_shape, axis: _vecdot_rule(g, x1, x2_shape, axis),
)


@primitive(hint="Both are flattened, and must then be equally long")
def vdot(a: Array, b: Array) -> Array:
    """The sum of `conj(a) * b` over all elements, whatever the shapes."""
    return np.vdot(a, b)


vdot.vjp(
    a=lambda g, b, a_shape: (g * b.reshape(-1)).reshape(a_shape),
    b=lambda g, a, b_shape: (g * a.reshape(-1)).reshape(b_shape),
)


def _tensordot_axes(axes: Any, a_ndim: int, b_ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of both inputs that are summed over, pairwise and counted from 0."""
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(a_ndim, b_ndim):
            raise ShapeError(
                f"axes={axes} needs that many axes in both inputs, which have {a_ndim} and {b_ndim}"
            )
        return tuple(range(a_ndim - axes, a_ndim)), tuple(range(axes))
    first, second = axes
    pair = (
        normalize_axes(list(first) if np.iterable(first) else first, a_ndim),
        normalize_axes(list(second) if np.iterable(second) else second, b_ndim),
    )
    if len(pair[0]) != len(pair[1]) or any(len(set(p)) != len(p) for p in pair):
        raise ShapeError(f"axes={axes!r} must name equally many axes of both inputs, none twice")
    return pair


def _tensordot_a(g: Array, a_shape: Any, b: Array, axes: Any) -> Array:
    summed, summed_b = _tensordot_axes(axes, len(a_shape), b.ndim)
    free = [i for i in range(len(a_shape)) if i not in summed]
    free_b = [i for i in range(b.ndim) if i not in summed_b]
    over = (tuple(range(len(free), g.ndim)), tuple(free_b))
    order = free + [summed[summed_b.index(i)] for i in sorted(summed_b)]
    return np.transpose(
        tensordot.generic(g, b, over), tuple(order.index(i) for i in range(len(order)))
    )


def _tensordot_b(g: Array, a: Array, b_shape: Any, axes: Any) -> Array:
    summed_a, summed = _tensordot_axes(axes, a.ndim, len(b_shape))
    free_a = [i for i in range(a.ndim) if i not in summed_a]
    free = [i for i in range(len(b_shape)) if i not in summed]
    over = (tuple(free_a), tuple(range(len(free_a))))
    order = [summed[summed_a.index(i)] for i in sorted(summed_a)] + free
    return np.transpose(
        tensordot.generic(a, g, over), tuple(order.index(i) for i in range(len(order)))
    )


@primitive(hint="Axes that are summed over must be equally long in both")
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    """The sum of products over some axes of `a` and as many of `b`; the other axes stay, a's first.

    Args:
        a, b: arrays.
        axes: how many of the last axes of `a` meet the first axes of `b`, or a pair of axes or of
            sequences of axes.
    """
    a, b = np.asarray(a), np.asarray(b)
    return np.tensordot(a, b, _tensordot_axes(axes, a.ndim, b.ndim))


tensordot.vjp(a=_tensordot_a, b=_tensordot_b)


def _inner_rule(g: Array, other: Array, shape: tuple[int, ...], first: bool) -> Array:
    if not shape or not other.ndim:
        return g * other
    kept = other.ndim - 1
    where = range(len(shape) - 1, g.ndim) if first else range(kept)
    return tensordot.generic(g, other, (tuple(where), tuple(range(kept))))


@primitive(hint="The last axes must be equally long")
def inner(a: Array, b: Array) -> Array:
    """The sum of products over the last axes of both; of a number and an array, their product."""
    return np.inner(a, b)


inner.vjp(
    a=lambda g, b, a_shape: _inner_rule(g, b, a_shape, True),
    b=lambda g, a, b_shape: _inner_rule(g, a, b_shape, False),
)


@primitive
def outer(a: Array, b: Array) -> Array:
    """Every product of an element of `a` and one of `b`, both flattened: (a.size, b.size)."""
    return np.outer(a, b)


outer.vjp(
    a=lambda g, b, a_shape: (g @ b.reshape(-1)).reshape(a_shape),
    b=lambda g, a, b_shape: (a.reshape(-1) @ g).reshape(b_shape),
)


def _kron_rule(g: Array, other: Array, shape: tuple[int, ...], first: bool) -> Array:
    count = g.ndim
    mine = (1,) * (count - len(shape)) + shape
    others = (1,) * (count - other.ndim) + other.shape
    a, b = (mine, others) if first else (others, mine)
    parts = g.reshape([n for pair in zip(a, b, strict=True) for n in pair])
    over = tuple(range(1 if first else 0, 2 * count, 2))
    return tensordot.generic(parts, other.reshape(others), (over, tuple(range(count)))).reshape(
        shape
    )


@primitive
def kron(a: Array, b: Array) -> Array:
    """The Kronecker product: `a` with each element replaced by its product with all of `b`."""
    return np.kron(a, b)


kron.vjp(
    a=lambda g, b, a_shape: _kron_rule(g, b, a_shape, True),
    b=lambda g, a, b_shape: _kron_rule(g, a, b_shape, False),
)


@primitive
def cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The cross product of vectors of length 3.

    Args:
        a, b: arrays that broadcast over all axes except that of the vectors.
        axisa, axisb, axisc: the axis of the vectors in `a`, `b` and the result.
        axis: all three at once.

    Raises:
        ShapeError: for vectors of another length. Of vectors of length 2, the component that
            NumPy used to return is ``a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]``.
    """
    a, b = np.asarray(a), np.asarray(b)
    names = ("axisa", "axisb")
    if axis is not None:
        axisa, axisb, axisc, names = axis, axis, axis, ("axis", "axis")
    axisa, axisb = normalize_axis(axisa, a.ndim, names[0]), normalize_axis(axisb, b.ndim, names[1])
    if a.shape[axisa] != 3 or b.shape[axisb] != 3:
        raise ValueError(
            "the vectors must have length 3; of vectors of length 2, write "
            "a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]"
        )
    return np.cross(a, b, axisa=axisa, axisb=axisb, axisc=axisc)


def _cross_rule(
    g: Array, other: Array, shape: Any, own: int, others: int, axisc: int, axis: Any, sign: int
) -> Array:
    own, others, axisc = (own, others, axisc) if axis is None else (axis, axis, axis)
    pair, axes = ((other, g), (others, axisc)) if sign > 0 else ((g, other), (axisc, others))
    return cross.generic(*pair, *axes, _from_end(own, shape))


cross.vjp(
    a=lambda g, b, a_shape, axisa, axisb, axisc, axis: _cross_rule(
        g, b, a_shape, axisa, axisb, axisc, axis, 1
    ),
    b=lambda g, a, b_shape, axisa, axisb, axisc, axis: _cross_rule(
        g, a, b_shape, axisb, axisa, axisc, axis, -1
    ),
)


@method
def dot(a: Array, b: Array) -> Array:
    """NumPy's `dot`: the sum of products over the last axis of `a` and the last but one of `b`.

    Of vectors their inner product, of matrices the matrix product; a number multiplies. Unlike in
    `matmul`, stacks are not paired but combined: the result of (2, 3, 4) and (5, 4, 6) is
    (2, 3, 5, 6).
    """
    if not np.ndim(a) or not np.ndim(b):
        return multiply(a, b)
    if np.ndim(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, (-1, -2))


def multi_dot(arrays: Sequence[Array]) -> Array:
    """The product of several matrices, multiplied in the order that costs the least.

    Args:
        arrays: at least two matrices; the first may be a row and the last a column, as vectors.

    Raises:
        ShapeError: for fewer than two arrays, or axes that are not 1 or 2.

    The order is found by dynamic programming: T. Cormen et al., Introduction to Algorithms,
    section "Matrix-chain multiplication".
    """
    arrays = list(arrays)
    ends = (0, len(arrays) - 1)
    ranks = [np.ndim(array) for array in arrays]
    if len(arrays) < 2 or any(
        rank != 2 and not (rank == 1 and i in ends) for i, rank in enumerate(ranks)
    ):
        raise ShapeError(
            "multi_dot: needs two or more matrices, of which the first and the last may be "
            f"vectors; got {describe(arrays)}. Products of stacks are written with @."
        )
    shapes = [np.shape(array) for array in arrays]
    sizes = [1 if ranks[0] == 1 else shapes[0][0], *(shape[0] for shape in shapes[1:])]
    sizes.append(1 if ranks[-1] == 1 else shapes[-1][1])
    count = len(arrays)
    best = {(i, i): (0, i) for i in range(count)}  # (cost, where to split) of a run of matrices
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            best[i, j] = min(
                (
                    best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1],
                    k,
                )
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Array:
        if i == j:
            return arrays[i]
        k = best[i, j][1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, count - 1)


def _cross_last(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    return cross(x1, x2, axis=axis)


def _outer_vectors(x1: Array, x2: Array, /) -> Array:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(
            f"np.linalg.outer: needs two vectors, got {describe(x1)} and {describe(x2)}; "
            "np.outer flattens other arrays."
        )
    return outer(x1, x2)


NUMPY = {
    np.linalg.cross: _cross_last,
    np.linalg.matmul: matmul,
    np.linalg.multi_dot: multi_dot,
    np.linalg.outer: _outer_vectors,
    np.linalg.tensordot: tensordot,
    np.linalg.vecdot: vecdot,
}
