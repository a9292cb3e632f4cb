"""Derivatives of eigenvectors and singular vectors where values are equal.

Vectors of equal values are determined up to a rotation among them. A function that depends on their
choice has no derivative there. One that does not, such as a matrix rebuilt from its parts, has one,
but the gradients by values and vectors at that point do not contain all of it: the derivative G by
the matrix, written in the basis of the vectors, has the gradient by the values on its diagonal, in
every basis that could have been chosen. So its other elements are found by rotating the basis: how
the gradient by the values changes with the vectors. That is a second derivative of what was
computed from the decomposition, for which the backward pass must be recorded.
"""

from typing import Any

import numpy as np

from minigrad.mode import ModeChange
from minigrad.nodes import Bundle
from minigrad.ops.arguments import named
from minigrad.primitives import primitive
from minigrad.tape import needed_nodes, run_backward
from minigrad.tensors import Tensor, wrap

__all__ = ["equal_pairs", "pairs_by_rotation", "plain", "settled"]

Array = Any

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


def rotated(
    total: Any, output: Any, equal: Array, vectors: dict[int, Array]
) -> tuple[Array, Array]:
    """How a number changes when two vectors of equal values are rotated: (..., n, n).

    Args:
        total: a tensor of one element that depends on the outputs of a decomposition.
        output: one of them, in its place in the graph.
        equal: the pairs of equal values.
        vectors: the outputs that are rotated together, as columns, by their number; the last
            output of `svd`, number 2, holds them as rows.

    Returns:
        The change at the pairs, 0 elsewhere; and the numbers that it is a difference of.
    """
    turn = np.zeros(equal.shape, output.dtype)
    if not isinstance(total, Tensor) or total._node is None:
        return turn, turn
    node = output._node.inputs[0]
    needed, _ = needed_nodes([total._node], {node})
    with ModeChange(anomaly="", replay=False):
        found = run_backward(
            [(total._node, np.ones((), total.dtype))],
            needed=needed,
            stop={node},
            retain=True,
            wrap=wrap,
            hooks=False,
        )
    bundle = found.get(node)
    for number, slope in bundle.slots.items() if isinstance(bundle, Bundle) else ():
        if number in vectors:
            across = np.swapaxes(slope, -1, -2) if number == 2 else slope
            turn = turn + np.swapaxes(vectors[number], -1, -2) @ across
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
        output, equal, vectors: as in `rotated`.
    """
    if not isinstance(output, Tensor):
        return np.where(equal, np.nan, 0).astype(output.dtype)
    weights = np.arange(1.0, equal.shape[-1] + 1).astype(output.dtype)
    turn, _ = rotated((by_values * weights).sum(), output, equal, vectors)
    part = turn / np.where(equal, 2 * (weights[:, None] - weights[None, :]), 1)
    rows, columns = np.indices(equal.shape[-2:])
    uneven = np.where(equal, np.sin(7.0 * rows + 3.0 * columns), 0).astype(output.dtype)
    again, parts = rotated((choice * uneven).sum(), output, equal, vectors)
    # The values have a rounding, of which the gradient by them makes one of the numbers in `size`;
    # and the slopes `parts` may have cancelled, so that their rounding is that of all the others.
    largest = np.abs(values).max(axis=-1)[..., None, None]
    slopes = np.concatenate([plain(by_values)[..., None, :], part], axis=-2)
    size = np.concatenate([size, slopes * largest], axis=-2)
    parts = np.concatenate([size, parts], axis=-2)
    return part + _unless_zero(plain(choice), size, equal) + _unless_zero(again, parts, equal)


def _unless_zero(difference: Array, size: Array, pairs: Array) -> Array:
    """0 where a difference vanishes but for the rounding of its terms, else NaN; at the pairs."""
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
