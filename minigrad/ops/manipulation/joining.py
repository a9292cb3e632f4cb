"""Join and split arrays: concatenate, stack, split and their relatives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method
from minigrad.ops.arguments import read_numbers, source_of, whole_numbers
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.manipulation.indexing import getitem
from minigrad.ops.manipulation.reshaping import atleast_1d, atleast_2d, atleast_3d, ravel, reshape
from minigrad.ops.primitives import primitive

__all__ = [
    "append",
    "array_split",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


@primitive(list_input=True, aux=("shapes",))
def concatenate(arrays: Sequence[Array], /, axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis; with axis None, flattened first."""
    return np.concatenate(arrays, axis=axis), [np.shape(array) for array in arrays]


def _concatenate_rule(g: Array, shapes: list[tuple[int, ...]], axis: int | None) -> list[Array]:
    parts, start = [], 0
    for shape in shapes:
        if axis is None:
            stop = start + int(np.prod(shape))
            parts.append(g[start:stop].reshape(shape))
        else:
            stop = start + shape[axis]
            parts.append(g[(slice(None),) * (axis % g.ndim) + (slice(start, stop),)])
        start = stop
    return parts


concatenate.vjp(arrays=_concatenate_rule)

concat = concatenate


@primitive(list_input=True, aux=("count",))
def stack(arrays: Sequence[Array], /, axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis=axis), len(arrays)


def _stack_rule(g: Array, count: int, axis: int) -> list[Array]:
    lead = (slice(None),) * (axis % g.ndim)
    return [g[(*lead, i)] for i in range(count)]


stack.vjp(arrays=_stack_rule)


def _parts(arrays: Any, name: str) -> list[Any]:
    """The arrays of a list; numbers in lists take the dtype of the tensors beside them."""
    if not isinstance(arrays, (list, tuple, Tensor, np.ndarray)):
        raise DtypeError(
            f"{name}: arrays must be a list or tuple of tensors, got {describe(arrays)}"
        )
    values = list(arrays)
    if not values:
        raise ShapeError(f"{name}: arrays must hold at least one array, got none")
    return [source_of(v, name, f"arrays[{i}]", *values) for i, v in enumerate(values)]


def _several(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


def vstack(arrays: Any) -> Tensor:
    """Arrays joined along axis 0, as rows where they have one axis."""
    return concatenate(_several(atleast_2d(*_parts(arrays, "vstack"))), axis=0)


def hstack(arrays: Any) -> Tensor:
    """Arrays joined along axis 1, or along axis 0 where they have one axis."""
    parts = _several(atleast_1d(*_parts(arrays, "hstack")))
    return concatenate(parts, axis=0 if parts[0].ndim == 1 else 1)


def dstack(arrays: Any) -> Tensor:
    """Arrays joined along axis 2, after (n,) became (1, n, 1) and (m, n) became (m, n, 1)."""
    return concatenate(_several(atleast_3d(*_parts(arrays, "dstack"))), axis=2)


def column_stack(arrays: Any) -> Tensor:
    """Arrays joined along axis 1, as columns where they have one axis."""
    parts = _parts(arrays, "column_stack")
    return concatenate([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], axis=1)


@names_its_errors
def append(x: Any, values: Any, axis: int | None = None) -> Tensor:
    """`values` joined to the end of `x` along `axis`; with axis None, both are flattened first."""
    x = source_of(x, "append", "x", values)
    values = source_of(values, "append", "values", x)
    if axis is None:
        return concatenate([ravel(x), ravel(values)])
    return concatenate([x, values], axis=axis)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis: a number of nearly equal ones, or those between given places.

    Args:
        x: a tensor or an array.
        indices_or_sections: how many parts (the first ones are longer by 1 where the length does
            not divide), or a sequence of the places where to cut.
        axis: the axis to cut.

    Raises:
        AxisError: when there is no such axis.
        ShapeError: when the number of parts is not positive.
        DtypeError: when the places are not integers.
    """
    return _split(x, indices_or_sections, axis, "array_split", equal=False)


@method
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis: a number of equal ones, or those between given places.

    An integer is a number of parts, as in NumPy, and not a length of each, as in PyTorch.

    Raises:
        ShapeError: when the length of the axis does not divide into equal parts.

    >>> [part.shape for part in split(np.zeros((6, 2)), [1, 4])]
    [(1, 2), (3, 2), (2, 2)]
    """
    return _split(x, indices_or_sections, axis, "split", equal=True)


def _split(x: Any, sections: Any, axis: int, name: str, equal: bool) -> list[Tensor]:
    x = source_of(x, name)
    axis = normalize_axis(axis, x.ndim, f"{name}: axis")
    length = x.shape[axis]
    given = "indices_or_sections"
    try:
        places = read_numbers(sections, whole_numbers(sections, given))
    except TypeError:
        raise DtypeError(
            f"{name}: {given} must be an integer, a number of parts, or a sequence of integers, "
            f"the places where to cut; got {describe(sections)}"
        ) from None
    if places.ndim:
        cuts = places.tolist()
    else:
        count = int(places)
        if count < 1:
            raise ShapeError(f"{name}: the number of parts must be 1 or more, got {count}")
        if equal and length % count:
            raise ShapeError(
                f"{name}: axis {axis} of {describe(x)} does not divide into {count} equal parts; "
                "use array_split, or name the places where to cut."
            )
        each, longer = divmod(length, count)
        cuts = [i * each + min(i, longer) for i in range(1, count)]
    lead = (slice(None),) * axis
    starts, stops = [0, *cuts], [*cuts, length]
    return [getitem(x, (*lead, slice(a, b))) for a, b in zip(starts, stops, strict=True)]


def _split_axis(x: Any, sections: Any, axis: int, name: str) -> list[Tensor]:
    x = source_of(x, name)
    if x.ndim <= axis:
        raise ShapeError(f"{name}: needs {axis + 1} axes or more, got {describe(x)}")
    return _split(x, sections, axis, name, equal=True)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 0 of an array with two axes or more."""
    x = source_of(x, "vsplit")
    if x.ndim < 2:
        raise ShapeError(f"vsplit: needs 2 axes or more, got {describe(x)}")
    return _split_axis(x, indices_or_sections, 0, "vsplit")


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 1, or along axis 0 of an array with one axis."""
    x = source_of(x, "hsplit")
    return _split_axis(x, indices_or_sections, int(x.ndim > 1), "hsplit")


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """`split` along axis 2."""
    return _split_axis(x, indices_or_sections, 2, "dsplit")


@method
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along an axis, without it: the inverse of `stack`."""
    x = source_of(x, "unstack")
    axis = normalize_axis(axis, x.ndim, "unstack: axis")
    lead = (slice(None),) * axis
    return tuple(getitem(x, (*lead, i)) for i in range(x.shape[axis]))
