"""Derivatives of eigenvectors and singular vectors where values are equal (degenerate).

Vectors of equal values are determined up to a rotation among them. A function that depends on their
choice has no derivative there. One that does not, such as a matrix rebuilt from its parts, has one,
but the gradients by values and vectors at that point do not contain all of it: the derivative G by
the matrix, written in the basis of the vectors, has the gradient by the values on its diagonal, in
every basis that could have been chosen. So its other elements are found by rotating the basis: how
the gradient by the values changes with the vectors. That is a second derivative of what was
computed from the decomposition, for which the backward pass must be recorded.
"""

from typing import Any, NamedTuple

import numpy as np

from minigrad.core.backward import pull_back
from minigrad.core.contributions import OutputGradients
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import named
from minigrad.ops.primitives import primitive
from minigrad.ops.pruning import needed_nodes

__all__ = [
    "at_zero",
    "equal_pairs",
    "pairs_by_rotation",
    "plain",
    "settled",
    "unless_zero",
]

SLACK = 100.0  # how many units of rounding a difference may have that should be 0


def plain(x: Array) -> Array:
    """The numbers of an array or tensor."""
    return np.asarray(getattr(x, "_array", x))


def equal_pairs(values: Array, length: int) -> Array:
    """Which pairs (..., n, n) of values (..., n) are equal up to the rounding of a decomposition.

    Args:
        values: eigenvalues or singular values.
        length: the larger length of the matrices.
    """
    if not values.size:
        return np.zeros((*values.shape, values.shape[-1]), bool)
    limit = 4 * length * np.finfo(values.dtype).eps * np.abs(values).max(axis=-1)
    gaps = np.abs(values[..., None, :] - values[..., :, None])
    equal: Array = (gaps <= limit[..., None, None]) & ~np.eye(values.shape[-1], dtype=bool)
    return equal


def ranks(values: Array) -> Array:
    """A weight for each value, so that no two are equal: 1, 2, ..."""
    return np.arange(1.0, values.shape[-1] + 1).astype(values.dtype)


def slopes_of(total: Any, output: Any) -> dict[int, Array]:
    """The gradients of a number by the outputs of a decomposition.

    Args:
        total: a tensor of one element that depends on the outputs.
        output: one of them, in its place in the graph.

    Returns:
        A gradient by the number of the output; those that are missing are 0. The last output of
        `svd`, number 2, holds vectors as rows, and its gradient is given in columns.
    """
    if not isinstance(total, Tensor) or total._node is None:
        return {}
    node = output._node.inputs[0]
    needed, _ = needed_nodes([total._node], {node})
    with ModeChange(observers=()):
        seed = np.ones((), total.dtype)
        found = pull_back([(total._node, seed)], stop={node}, needed=needed, hooks=False)
    bundle = found.get(node)
    slots = bundle.slots if isinstance(bundle, OutputGradients) else {}
    return {i: np.swapaxes(slope, -1, -2) if i == 2 else slope for i, slope in slots.items()}


def rotated(
    slopes: dict[int, Array], equal: Array, vectors: dict[int, Array]
) -> tuple[Array, Array]:
    """How a number changes when two vectors of equal values are rotated: (..., n, n).

    Args:
        slopes: its gradients by the outputs, from `slopes_of`.
        equal: the pairs of equal values.
        vectors: the outputs that are rotated together, as columns, by their number.

    Returns:
        The change at the pairs, 0 elsewhere; and the numbers that it is a difference of.
    """
    turn = np.zeros(equal.shape, next(iter(vectors.values())).dtype)
    for number, columns in vectors.items():
        if number in slopes:
            turn = turn + np.swapaxes(columns, -1, -2) @ slopes[number]
    return np.where(equal, np.swapaxes(turn, -1, -2) - turn, 0), turn


def pairs_by_rotation(
    values: Array,
    by_values: Any,
    choice: Any,
    size: Array,
    output: Any,
    equal: Array,
    vectors: dict[int, Array],
) -> Array:
    """The symmetric part of the gradient at pairs of equal values, (..., n, n).

    NaN where the function depends on the choice of vectors, and at all pairs when the backward
    pass is not recorded, so that nothing is known.

    Args:
        values: the eigenvalues or singular values (..., n).
        by_values: the gradient (..., n) by them.
        choice: (..., n, n), how the function changes when two vectors are rotated: 0 at the pairs,
            for these vectors and any others that could have been chosen.
        size: the numbers (..., n, n) that `choice` is a difference of.
        output: an output of the decomposition, in its place in the graph.
        equal, vectors: as in `rotated`.
    """
    if not isinstance(output, Tensor):
        return np.where(equal, np.nan, 0).astype(output.dtype)
    weights = ranks(values)
    turn, _ = rotated(slopes_of((by_values * weights).sum(), output), equal, vectors)
    part = turn / np.where(equal, 2 * (weights[:, None] - weights[None, :]), 1)
    rows, columns = np.indices(equal.shape[-2:])
    uneven = np.where(equal, np.sin(7.0 * rows + 3.0 * columns), 0).astype(output.dtype)
    again, parts = rotated(slopes_of((choice * uneven).sum(), output), equal, vectors)
    # The values have a rounding, of which the gradient by them makes one of the numbers in `size`;
    # and the slopes `parts` may have cancelled, so that their rounding is that of all the others.
    largest = np.abs(values).max(axis=-1)[..., None, None]
    slopes = np.concatenate([plain(by_values)[..., None, :], part], axis=-2)
    size = np.concatenate([size, slopes * largest], axis=-2)
    parts = np.concatenate([size, parts], axis=-2)
    return part + unless_zero(plain(choice), size, equal) + unless_zero(again, parts, equal)


class AtZero(NamedTuple):
    """The gradient by a matrix where singular values are exactly 0, in the basis of the vectors.

    Left and right vectors of such values may be chosen apart from each other, so that rotating
    either of them tells of the gradient.

    Attributes:
        antisymmetric: (..., k, k), at pairs of zeros.
        left: (..., m, k), of the right vectors of zeros and all that is beyond the left ones.
        right: (..., n, k), the reverse.
    """

    antisymmetric: Array
    left: Array
    right: Array


def at_zero(
    by_values: Any, output: Any, pairs: Array, zero: Array, vectors: dict[int, Array]
) -> AtZero:
    """What the gradients by singular values and vectors do not tell where values are 0.

    Args:
        by_values: the gradient (..., k) by the singular values.
        output: an output of the decomposition, in its place in the graph.
        pairs: (..., k, k), the pairs of zeros.
        zero: (..., k), which values are 0.
        vectors: the left ones (..., m, k), number 0, and the right ones (..., n, k), number 2.
    """
    known = isinstance(output, Tensor)
    weights = ranks(vectors[0])
    slopes = slopes_of((by_values * weights).sum(), output) if known else {}
    turns = [rotated(slopes, pairs, {number: vectors[number]})[0] for number in (0, 2)]
    sums = 2 * (weights[:, None] + weights[None, :])
    beyond = []
    for columns, slope in ((vectors[i], slopes.get(i)) for i in (0, 2)):
        rest = np.zeros_like(columns)
        if slope is not None:
            rest = (slope - columns @ (np.swapaxes(columns, -1, -2) @ slope)) / weights
        beyond.append(np.where(zero[..., None, :], rest if known else np.nan, 0))
    return AtZero((turns[1] - turns[0]) / sums, beyond[0], beyond[1])


def unless_zero(difference: Array, size: Array, pairs: Array) -> Array:
    """0 where a difference vanishes up to the rounding of its terms, else NaN; at the pairs."""
    largest = np.abs(size).max(axis=(-2, -1), keepdims=True, initial=0)
    limit = SLACK * size.shape[-1] * np.finfo(size.dtype).eps * largest
    return np.where(pairs & ~(np.abs(difference) <= limit), np.nan, 0).astype(size.dtype)


@primitive(list_input=True)
@named("equal_values")
def settled(arrays: Any, /, part: Array) -> Array:
    """A part of a gradient that was found by rotation; it has no second derivative here.

    Args:
        arrays: what it depends on: the gradients by and the values of the outputs.
        part: the part itself.
    """
    return part


settled.vjp(arrays=lambda g, arrays: [np.full(np.shape(a), np.nan) for a in arrays])
