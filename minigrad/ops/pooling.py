"""Pooling over windows, in PyTorch's layouts: (batch, channels, length...)."""

import math
from typing import Any

import numpy as np

from minigrad.errors import ShapeError, describe
from minigrad.ops.arguments import as_tensor, named
from minigrad.ops.convolution import convolution
from minigrad.ops.neural import embedding_gradient
from minigrad.ops.spatial import Sizes, spatial_sizes
from minigrad.parts import returns_value
from minigrad.primitives import primitive
from minigrad.tensors import Tensor

__all__ = ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]

METHODS = ()

Array = Any


def max_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest number of each window of a sequence.

    Args:
        x: (batch, channels, length), or without the batch axis.
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: places of -inf on both sides, at most half a window.

    Of equal numbers the first one gets the whole gradient, as in PyTorch.

    Raises:
        ShapeError: when the shapes do not fit, or no window fits.

    >>> max_pool1d(np.array([[1.0, 3.0, 2.0, 5.0]]), 2).tolist()
    [[3.0, 5.0]]
    """
    return _pooled("max_pool1d", 1, x, kernel_size, stride, padding)


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest number of each window of an image (batch, channels, height, width).

    The arguments are those of `max_pool1d`, or pairs for height and width.
    """
    return _pooled("max_pool2d", 2, x, kernel_size, stride, padding)


@returns_value
def avg_pool1d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window of a sequence.

    Args:
        x: (batch, channels, length), or without the batch axis.
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: zeros on both sides, at most half a window.
        count_include_pad: whether these zeros count in the mean.

    Raises:
        ShapeError: when the shapes do not fit, or no window fits.
    """
    return _averaged("avg_pool1d", 1, x, kernel_size, stride, padding, count_include_pad)


@returns_value
def avg_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window of an image (batch, channels, height, width).

    The arguments are those of `avg_pool1d`, or pairs for height and width.
    """
    return _averaged("avg_pool2d", 2, x, kernel_size, stride, padding, count_include_pad)


def _prepared(
    name: str, dims: int, x: Any, kernel_size: Any, stride: Any, padding: Any
) -> tuple[Tensor, Sizes, Sizes, Sizes]:
    x = as_tensor(x, name, "x")
    kernel = spatial_sizes(name, "kernel_size", kernel_size, dims, 1)
    steps = kernel if stride is None else spatial_sizes(name, "stride", stride, dims, 1)
    pads = spatial_sizes(name, "padding", padding, dims, 0)
    if x.ndim not in (dims + 1, dims + 2):
        raise ShapeError(
            f"{name}: x must have the axes (batch, channels) or (channels) and then {dims} of "
            f"space, got {describe(x)}"
        )
    for length, reach, pad in zip(x.shape[-dims:], kernel, pads, strict=True):
        if 2 * pad > reach:
            raise ValueError(f"{name}: padding {pad} must be at most half the window {reach}")
        if not length or length + 2 * pad < reach:
            raise ShapeError(
                f"{name}: a window of {reach} does not fit into {length} places and {2 * pad} of "
                f"padding of x {describe(x)}"
            )
    return x, kernel, steps, pads


def _pooled(name: str, dims: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Tensor:
    x, kernel, steps, pads = _prepared(name, dims, x, kernel_size, stride, padding)
    return _max_pool(x, kernel=kernel, stride=steps, padding=pads)


def _averaged(
    name: str,
    dims: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    count_include_pad: bool,
) -> Tensor:
    x, kernel, steps, pads = _prepared(name, dims, x, kernel_size, stride, padding)
    # The mean of windows is a convolution of each channel alone with a constant kernel.
    alone = x.reshape((math.prod(x.shape[:-dims]), 1, *x.shape[-dims:]))
    options: dict[str, Any] = {
        "stride": steps,
        "pads": tuple((n, n) for n in pads),
        "dilation": (1,) * dims,
        "groups": 1,
    }
    weight = np.full((1, 1, *kernel), 1 / math.prod(kernel), x.dtype)
    y = convolution(alone, weight, **options)
    if any(pads) and not count_include_pad:
        inside = np.ones((1, 1, *x.shape[-dims:]), x.dtype)
        y = y / convolution(inside, weight, **options)
    return y.reshape((*x.shape[:-dims], *y.shape[2:]))


@primitive(aux=("chosen",))
@named("max_pool")
def _max_pool(x: Array, /, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """The largest of each window, and where it stands in the flattened array."""
    dims = len(kernel)
    lead, lengths = x.shape[: x.ndim - dims], x.shape[x.ndim - dims :]
    shape = (*lead, *(n + 2 * p for n, p in zip(lengths, padding, strict=True)))
    inner: Any = (..., *(slice(p, p + n) for n, p in zip(lengths, padding, strict=True)))
    padded = np.full(shape, -math.inf, x.dtype)
    padded[inner] = x
    places = np.full(shape, -1)
    places[inner] = np.arange(x.size).reshape(x.shape)

    def windows(a: Array) -> Array:
        axes = tuple(range(-dims, 0))
        view = np.lib.stride_tricks.sliding_window_view(a, kernel, axis=axes)
        steps: Any = (..., *(slice(None, None, s) for s in stride), *(slice(None),) * dims)
        view = view[steps]
        return view.reshape((*view.shape[:-dims], math.prod(kernel)))

    rows, at = windows(padded), windows(places)
    first = np.argmax(rows.real, axis=-1)[..., None]
    # Where all numbers are -inf, the first of them that is not padding.
    real = np.argmax(at >= 0, axis=-1)[..., None]
    first = np.where(np.take_along_axis(at, first, -1) < 0, real, first)
    return tuple(np.take_along_axis(a, first, -1)[..., 0] for a in (rows, at))


def _max_pool_rule(g: Array, x_shape: Sizes, chosen: Array) -> Array:
    size = math.prod(x_shape)
    gathered = embedding_gradient.generic(g.reshape((g.size, 1)), chosen.reshape(-1), size, None)
    return gathered.reshape(x_shape)


_max_pool.vjp(x=_max_pool_rule)
