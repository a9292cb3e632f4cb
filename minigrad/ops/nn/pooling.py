"""Pooling over windows, in PyTorch's layouts: (batch, channels, length...)."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensor, named, widen
from minigrad.ops.nn.neural import embedding_gradient
from minigrad.ops.parts import returns_value
from minigrad.ops.primitives import primitive
from minigrad.ops.signal.convolution import convolution
from minigrad.ops.signal.spatial import (
    Sizes,
    Windows,
    check_axes,
    check_windows,
    spatial_sizes,
    windows_of,
)

__all__ = ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]


def max_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest number of each window of a sequence.

    Args:
        x: (batch, channels, length), or without the batch axis.
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: places of -inf on both sides, at most half a window.
        dilation: the step from one place of a window to the next.
        ceil_mode: take a last window that reaches past the end, if it begins before that of `x` and
            its first padding.
        return_indices: return a pair, the numbers and where in the length they stand: integers.

    Of equal numbers the first one gets the whole gradient, as in PyTorch.

    Raises:
        ShapeError: when the shapes do not fit, or no window fits.

    >>> max_pool1d(np.array([[1.0, 3.0, 2.0, 5.0]]), 2).tolist()
    [[3.0, 5.0]]
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled("max_pool1d", 1, x, *options, return_indices)


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest number of each window of an image (batch, channels, height, width).

    The arguments are those of `max_pool1d`, or pairs for height and width; indices are places in
    the flattened plane of a channel.
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled("max_pool2d", 2, x, *options, return_indices)


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
    name: str,
    dims: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Windows]:
    """The input as a tensor, and the windows over it."""
    x = as_tensor(x, name, "x")
    windows = pooling_windows(name, dims, kernel_size, stride, padding, dilation)
    check_axes(name, dims, x)
    lengths = x.shape[-dims:]
    if not all(lengths):
        raise ShapeError(f"{name}: x must not be empty, got {describe(x)}")
    if not ceil_mode:
        check_windows(name, x, windows)
        return x, windows
    check_windows(name, x, windows, tuple(step - 1 for step in windows.stride))
    axes = zip(lengths, windows.span, windows.stride, windows.pads, strict=True)
    pads = tuple((pad, _end(n, span, step, pad)) for n, span, step, (pad, _) in axes)
    return x, windows._replace(pads=pads)


def pooling_windows(
    name: str, dims: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Windows:
    """Windows of which no one may see more padding than numbers; stride None for `kernel_size`.

    Raises:
        ValueError: for numbers that make no sense, and padding of more than half a window.
    """
    kernel = spatial_sizes(name, "kernel_size", kernel_size, dims, 1)
    sides = spatial_sizes(name, "padding", padding, dims, 0)
    for size, pad in zip(kernel, sides, strict=True):
        if 2 * pad > size:
            raise ValueError(f"{name}: padding {pad} must be at most half the window {size}")
    return windows_of(name, kernel, kernel if stride is None else stride, sides, dilation)


def _end(length: int, span: int, step: int, pad: int) -> int:
    """How many places of padding come after an axis with ceil_mode."""
    count = -(-(length + 2 * pad - span) // step) + 1
    if (count - 1) * step >= length + pad:  # the last window would see nothing but padding
        count -= 1
    return max(pad, (count - 1) * step + span - length - pad)


def _pooled(
    name: str,
    dims: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x, windows = _prepared(name, dims, x, kernel_size, stride, padding, dilation, ceil_mode)
    y = _max_pool(x, windows=windows)
    return (y, _max_places(x, windows=windows)) if return_indices else y


def _averaged(
    name: str,
    dims: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    count_include_pad: bool,
) -> Tensor:
    x, windows = _prepared(name, dims, x, kernel_size, stride, padding)
    # The mean of windows is a convolution of each channel alone with a constant kernel.
    alone = widen(x).reshape((math.prod(x.shape[:-dims]), 1, *x.shape[-dims:]))
    weight = np.full((1, 1, *windows.kernel), 1 / math.prod(windows.kernel), alone.dtype)
    y = convolution(alone, weight, windows=windows, groups=1)
    if windows.padded and not count_include_pad:
        inside = np.ones((1, 1, *x.shape[-dims:]), alone.dtype)
        y = y / convolution(inside, weight, windows=windows, groups=1)
    y = y.reshape((*x.shape[:-dims], *y.shape[2:]))
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def _in_rows(x: Array, windows: Windows, fill: float) -> Array:
    """The numbers of each window, along a new last axis."""
    view, size = windows.view(x, fill), math.prod(windows.kernel)
    return view.reshape((*view.shape[: view.ndim - len(windows.kernel)], size))


def _largest(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest of each window, and where it stands in its flattened plane."""
    lengths = x.shape[x.ndim - len(windows.kernel) :]
    rows = _in_rows(x, windows, -math.inf)
    at = _in_rows(np.arange(math.prod(lengths)).reshape(lengths), windows, -1)
    at = np.broadcast_to(at, rows.shape)
    first = np.argmax(rows.real, axis=-1)[..., None]
    if windows.padded:
        # Where all numbers are -inf, the first of them that is not padding.
        real = np.argmax(at >= 0, axis=-1)[..., None]
        first = np.where(np.take_along_axis(at, first, -1) < 0, real, first)
    y, places = (np.take_along_axis(a, first, -1)[..., 0] for a in (rows, at))
    return y, places


@primitive(constant=True)
@named("max_pool_indices")
def _max_places(x: Array, /, windows: Windows) -> Array:
    return _largest(x, windows)[1]


@primitive(aux=("chosen",))
@named("max_pool")
def _max_pool(x: Array, /, windows: Windows) -> Array:
    """The largest of each window, and where it stands in the flattened array."""
    y, places = _largest(x, windows)
    dims = len(windows.kernel)
    planes = math.prod(x.shape[: x.ndim - dims])
    size = math.prod(x.shape[x.ndim - dims :])
    first = (np.arange(planes) * size).reshape(x.shape[: x.ndim - dims] + (1,) * dims)
    return y, places + first


def _max_pool_rule(g: Array, x_shape: Sizes, chosen: Array) -> Array:
    size = math.prod(x_shape)
    gathered = embedding_gradient.generic(g.reshape((g.size, 1)), chosen.reshape(-1), size, None)
    return gathered.reshape(x_shape)


_max_pool.vjp(x=_max_pool_rule)
