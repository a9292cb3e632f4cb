"""Indexing, and the functional update that in-place writing is made of."""

from typing import Any

import numpy as np

from minigrad.primitives import primitive

__all__ = []

Array = Any


@primitive
def scatter(x: Array, /, shape: tuple[int, ...], index: Any) -> Array:
    """Zeros of `shape` with `x` added at `index`; repeated indices add up."""
    out = np.zeros(shape, np.asarray(x).dtype)
    if _is_basic(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out


scatter.vjp(x=lambda g, index: g[index])


@primitive(view=True)
def getitem(x: Array, /, index: Any) -> Array:
    """`x[index]` for any index that NumPy knows; a value, never an alias to write through."""
    return x[index]


getitem.vjp(x=lambda g, x_shape, index: scatter.generic(g, x_shape, index))


def _is_basic(index: Any) -> bool:
    """Whether an index selects every element at most once: no integer arrays in it."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, (int, slice, np.integer))
        or (isinstance(part, np.ndarray) and part.dtype == bool)
        for part in parts
    )


@primitive
def setitem(x: Array, value: Array, /, index: Any) -> Array:
    """A copy of `x` in which `x[index]` is `value`."""
    out = np.array(x)
    out[index] = value
    return out


setitem.vjp(
    x=lambda g, index: setitem.generic(g, 0, index),
    value=lambda g, index: g[index],
)
