"""Linear algebra."""

from typing import Any

import numpy as np

from minigrad.primitives import primitive

__all__ = [
    "matmul",
]

METHODS = ("matmul",)  # operations that are methods of Tensor too

Array = Any


def _matmul_x(g: Array, x: Array, z: Array) -> Array:
    if z.ndim == 1:
        return g[..., None] * z
    if x.ndim == 1:
        return (g[..., None, :] @ z.swapaxes(-1, -2))[..., 0, :]
    return g @ z.swapaxes(-1, -2)


def _matmul_z(g: Array, x: Array, z: Array) -> Array:
    if z.ndim == 1:
        if x.ndim == 1:
            return g * x
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]
    if x.ndim == 1:
        return x[:, None] * g[..., None, :]
    if z.ndim == 2 and x.ndim > 2:
        # One product over all leading axes, instead of a stack of products summed afterwards.
        return x.reshape((-1, x.shape[-1])).swapaxes(0, 1) @ g.reshape((-1, g.shape[-1]))
    return x.swapaxes(-1, -2) @ g


@primitive(hint="The last axis of x must be as long as the last but one of z")
def matmul(x: Array, z: Array) -> Array:
    """The matrix product over the last two axes, stacked and broadcast over the others."""
    return np.matmul(x, z)


matmul.vjp(x=_matmul_x, z=_matmul_z)
