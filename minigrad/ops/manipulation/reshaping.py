"""Operations that change the shape or the order of the axes, and none of the values.

Those that can be are views: they copy nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import AxisError, ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, method, wrap
from minigrad.ops.arguments import source_of
from minigrad.ops.axis_utils import normalize_axis, whole_number
from minigrad.ops.checks import check_option
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "empty_like",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "full_like",
    "matrix_transpose",
    "meshgrid",
    "moveaxis",
    "ones_like",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "rot90",
    "squeeze",
    "swapaxes",
    "transpose",
    "zeros_like",
]


# -- the same elements in another shape ----------------------------------------------------------


@primitive(view=True)
def reshape(x: Array, /, shape: Any, order: str = "C") -> Array:
    """The same elements in another shape; -1 stands for the length that is left over.

    Args:
        x: any array.
        shape: the new shape, an int or a sequence of them.
        order: "C" reads and fills with the last axis fastest, "F" with the first.
    """
    if order != "C":
        check_option("order", order, ("C", "F"))
    return x.reshape(shape) if order == "C" else x.reshape(shape, order=order)


reshape.vjp(
    x=lambda g, x_shape, order: (
        g.reshape(x_shape) if order == "C" else np.reshape(g, x_shape, order=order)
    )
)


@method
def ravel(x: Any, order: str = "C") -> Tensor:
    """All elements in one axis."""
    return reshape(x, -1, order)


@method
@returns_value
def flatten(x: Any, order: str = "C") -> Tensor:
    """All elements in one axis: a value that can be written, as NumPy's is a copy."""
    return ravel(x, order)


@primitive(view=True, method=True)
def squeeze(x: Array, /, axis: Any = None) -> Array:
    """Without axes of length 1: all of them, or those named by `axis` (an int or a tuple)."""
    return np.squeeze(x, axis)


squeeze.vjp(x=lambda g, x_shape: g.reshape(x_shape))


@primitive(view=True, method=True)
def expand_dims(x: Array, /, axis: Any) -> Array:
    """With new axes of length 1, at the places in the result that `axis` names."""
    return np.expand_dims(x, axis)


expand_dims.vjp(x=lambda g, x_shape: g.reshape(x_shape))


def atleast_1d(*arrays: Any) -> Any:
    """With one axis or more; a tuple of results for several arrays."""
    return _at_least(arrays, lambda x: reshape(x, (1,)) if not x.ndim else x)


def atleast_2d(*arrays: Any) -> Any:
    """With two axes or more, new ones in front; a tuple of results for several arrays."""
    return _at_least(arrays, lambda x: reshape(x, (1, math.prod(x.shape))) if x.ndim < 2 else x)


def atleast_3d(*arrays: Any) -> Any:
    """With three axes or more: (n,) gives (1, n, 1) and (m, n) gives (m, n, 1)."""

    def three(x: Any) -> Any:
        if x.ndim < 2:
            return reshape(x, (1, math.prod(x.shape), 1))
        return expand_dims(x, 2) if x.ndim == 2 else x

    return _at_least(arrays, three)


def _at_least(arrays: tuple[Any, ...], widen: Any) -> Any:
    results = []
    for value in arrays:
        wide = widen(source_of(value, "atleast"))
        results.append(wide if isinstance(wide, Tensor) else Tensor(wide))
    return results[0] if len(results) == 1 else tuple(results)


# -- the same elements along other axes ----------------------------------------------------------


@primitive(view=True)
def transpose(x: Array, /, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order; without `axes`, in reverse order."""
    return np.transpose(x, axes)


transpose.vjp(
    x=lambda g, axes: np.transpose(
        g, None if axes is None else tuple(int(i) for i in np.argsort([a % g.ndim for a in axes]))
    )
)


permute_dims = transpose


@primitive(view=True, method=True)
def swapaxes(x: Array, /, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


swapaxes.vjp(x=lambda g, axis1, axis2: g.swapaxes(axis1, axis2))


@primitive(view=True, method=True)
def moveaxis(x: Array, /, source: Any, destination: Any) -> Array:
    """Axes moved to new places, the others in their order; ints or tuples."""
    return np.moveaxis(x, source, destination)


moveaxis.vjp(x=lambda g, source, destination: np.moveaxis(g, destination, source))


@names_its_errors
def rollaxis(x: Any, axis: int, start: int = 0) -> Tensor:
    """One axis moved to in front of the axis that is now at `start`; `moveaxis` is clearer."""
    x = source_of(x, "rollaxis")
    axis = normalize_axis(axis, x.ndim, "rollaxis: axis")
    start += x.ndim if start < 0 else 0
    if not 0 <= start <= x.ndim:
        raise AxisError(
            f"rollaxis: start {start} is out of bounds for {x.ndim} axes ({describe(x)})"
        )
    return moveaxis(x, axis, start - (start > axis))


def matrix_transpose(x: Any) -> Tensor:
    """The last two axes exchanged.

    Raises:
        ShapeError: for fewer than two axes.
    """
    x = source_of(x, "matrix_transpose")
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: needs two axes or more, got {describe(x)}")
    return swapaxes(x, -1, -2)


@primitive(view=True, method=True)
def flip(x: Array, /, axis: Any = None) -> Array:
    """The elements in reverse order along `axis` (None: all axes; an int; a tuple)."""
    return np.flip(x, axis)


flip.vjp(x=lambda g, axis: np.flip(g, axis))


def fliplr(x: Any) -> Tensor:
    """The columns, along axis 1, in reverse order."""
    return flip(x, 1)


def flipud(x: Any) -> Tensor:
    """The rows, along axis 0, in reverse order."""
    return flip(x, 0)


@primitive(view=True)
def rot90(x: Array, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Rotated by `k` times 90 degrees in the plane of two axes, from the first to the second."""
    return np.rot90(x, whole_number(k, "k"), axes)


rot90.vjp(x=lambda g, k, axes: np.rot90(g, -k, axes))

# -- broadcasting --------------------------------------------------------------------------------


@primitive(view=True, method=True)
def broadcast_to(x: Array, /, shape: Any) -> Array:
    """`x` repeated along new axes and along axes of length 1."""
    return np.broadcast_to(x, shape)


broadcast_to.vjp(x=lambda g: g)  # the engine sums over broadcast axes


def broadcast_arrays(*arrays: Any) -> tuple[Tensor, ...]:
    """Arrays broadcast to the shape that they have together.

    Raises:
        ShapeError: when they do not broadcast together.
    """
    sources = [source_of(x, "broadcast_arrays", f"arrays[{i}]") for i, x in enumerate(arrays)]
    try:
        shape = np.broadcast_shapes(*(x.shape for x in sources))
    except ValueError:
        raise ShapeError(
            f"broadcast_arrays: the shapes do not broadcast together: "
            f"{', '.join(str(x.shape) for x in sources)}. Lengths must be equal or 1, counted "
            "from the last axis."
        ) from None
    return tuple(broadcast_to(x, shape) for x in sources)


@returns_value
def meshgrid(
    *arrays: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Tensor, ...]:
    """The coordinates of a grid from those along its axes.

    Args:
        arrays: the coordinates along each axis, with one axis or none.
        copy: without effect, since tensors are values.
        sparse: leave axes of length 1 where a coordinate does not change.
        indexing: "xy", where the first two axes of the results are exchanged, or "ij".

    Raises:
        ShapeError: when a coordinate has several axes.
        ValueError: for another `indexing`.
    """
    check_option("indexing", indexing, ("xy", "ij"), "meshgrid")
    sources = [source_of(x, "meshgrid", f"arrays[{i}]") for i, x in enumerate(arrays)]
    places = list(range(len(sources)))
    if indexing == "xy" and len(sources) > 1:
        places[:2] = [1, 0]
    results = []
    for place, x in zip(places, sources, strict=True):
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: coordinates must have one axis, got {describe(x)}")
        results.append(reshape(x, tuple(-1 if i == place else 1 for i in range(len(sources)))))
    return tuple(results) if sparse else broadcast_arrays(*results)


# -- constants of the shape of another array -----------------------------------------------------


def _constant(maker: Any, x: Any, dtype: Any, shape: Any) -> Tensor:
    x = source_of(x, f"{maker.__name__}_like")
    return wrap(maker(x.shape if shape is None else shape, dtype or x.dtype), None)


@names_its_errors
def zeros_like(x: Any, dtype: Any = None, *, shape: Any = None) -> Tensor:
    """A constant of zeros in the shape and dtype of `x`, or in those given."""
    return _constant(np.zeros, x, dtype, shape)


@names_its_errors
def ones_like(x: Any, dtype: Any = None, *, shape: Any = None) -> Tensor:
    """A constant of ones in the shape and dtype of `x`, or in those given."""
    return _constant(np.ones, x, dtype, shape)


def empty_like(x: Any, dtype: Any = None, *, shape: Any = None) -> Tensor:
    """A constant of zeros, as `zeros_like`: memory that was not set would not be a value."""
    return _constant(np.zeros, x, dtype, shape)


@names_its_errors
@returns_value
def full_like(x: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Tensor:
    """`fill_value` broadcast to the shape of `x` and in its dtype, or in those given.

    A constant, unless the value is a tensor that requires grad.
    """
    x = source_of(x, "full_like")
    value = source_of(fill_value, "full_like", "fill_value", x)
    dtype = np.dtype(dtype or x.dtype)
    if value.dtype != dtype:
        value = value.astype(dtype)
    return broadcast_to(value, x.shape if shape is None else shape)
