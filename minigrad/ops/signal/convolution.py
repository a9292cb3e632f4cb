"""Convolutions over one or two spatial axes, in PyTorch's layouts: (batch, channels, length...).

Three operations, each linear in both of its inputs, are each other's derivatives: the convolution,
its transpose (by the input) and the gradient of its weight. So every order is exact. Each is one
matrix product over columns, the windows of the input laid side by side.
"""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensors, quiet, widen
from minigrad.ops.parts import as_value
from minigrad.ops.primitives import primitive
from minigrad.ops.signal.spatial import (
    Sizes,
    Windows,
    check_channels,
    check_groups,
    check_windows,
    spatial_sizes,
    windows_of,
)

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of a sequence with a bank of kernels.

    Args:
        x: (batch, in_channels, length), or without the batch axis.
        weight: (out_channels, in_channels / groups, kernel).
        bias: (out_channels,), or None.
        stride: the step from one window to the next.
        padding: zeros on both sides; or "same" (stride 1: the length stays; an odd zero goes to
            the right end, as in PyTorch) or "valid" (none).
        dilation: the step between the places of one window.
        groups: how many groups the channels are split into.

    Returns:
        (batch, out_channels, (length + 2 padding - dilation (kernel - 1) - 1) // stride + 1).

    Raises:
        ShapeError: when the shapes do not fit, or no window fits.

    >>> conv1d(np.arange(4.0).reshape(1, 4), np.ones((1, 1, 2))).tolist()
    [[1.0, 3.0, 5.0]]
    """
    return _convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of an image with a bank of kernels.

    Args:
        x: (batch, in_channels, height, width), or without the batch axis.
        weight: (out_channels, in_channels / groups, kernel height, kernel width).
        bias, stride, padding, dilation, groups: as in `conv1d`; numbers, or pairs for height and
            width.

    Raises:
        ShapeError: when the shapes do not fit, or no window fits.
    """
    return _convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv1d`: its derivative by the input, which makes sequences longer.

    Args:
        x: (batch, in_channels, length), or without the batch axis.
        weight: (in_channels, out_channels / groups, kernel).
        bias: (out_channels,), or None.
        stride, padding, dilation, groups: those of the convolution that this transposes.
        output_padding: how much longer the result is at its end; less than the stride.

    Returns:
        (batch, out_channels,
        (length - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1).

    Raises:
        ShapeError: when the shapes do not fit.
    """
    options = (stride, padding, output_padding, groups, dilation)
    return _transpose("conv_transpose1d", 1, x, weight, bias, *options)


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv2d`; arguments as in `conv_transpose1d`, or pairs of them."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transpose("conv_transpose2d", 2, x, weight, bias, *options)


def _convolve(
    name: str,
    dims: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    x, weight = as_tensors(name, x=x, weight=weight)
    check_groups(name, groups)
    check_channels(name, dims, x, weight, (weight.shape[1] if weight.ndim > 1 else 0) * groups)
    check_groups(name, groups, output_channels=weight.shape[0])
    windows = windows_of(name, weight.shape[2:], stride, padding, dilation)
    check_windows(name, x, windows)
    batched = x if x.ndim == dims + 2 else x.reshape((1, *x.shape))
    y = convolution(batched, weight, windows=windows, groups=groups)
    return _finished(name, y, bias, dims, x.ndim == dims + 1)


def _transpose(
    name: str,
    dims: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    x, weight = as_tensors(name, x=x, weight=weight)
    check_channels(name, dims, x, weight, weight.shape[0] if weight.ndim else 0)
    check_groups(name, groups, input_channels=weight.shape[0])
    windows = windows_of(name, weight.shape[2:], stride, padding, dilation)
    extra = spatial_sizes(name, "output_padding", output_padding, dims, 0)
    for more, step in zip(extra, windows.stride, strict=True):
        if more >= step:
            raise ValueError(f"{name}: output_padding {more} must be less than stride {step}")
    smallest = windows.transposed_lengths(x.shape[-dims:])
    lengths = tuple(n + more for n, more in zip(smallest, extra, strict=True))
    if any(n < 0 for n in lengths):
        raise ShapeError(f"{name}: the result would have lengths {lengths}; use less padding")
    batched = x if x.ndim == dims + 2 else x.reshape((1, *x.shape))
    y = convolution_transpose(batched, weight, lengths=lengths, windows=windows, groups=groups)
    return _finished(name, y, bias, dims, x.ndim == dims + 1)


def _finished(name: str, y: Tensor, bias: Any, dims: int, unbatched: bool) -> Tensor:
    """The result with its bias, and without a batch axis where `x` had none."""
    if unbatched:
        y = as_value(y.reshape(y.shape[1:]))
    if bias is None:
        return y
    _, shift = as_tensors(name, x=y, bias=bias)
    channels = y.shape[-dims - 1]
    if shift.shape != (channels,):
        raise ShapeError(
            f"{name}: bias must hold one number for each of the {channels} output channels, got "
            f"{describe(shift)}"
        )
    return y + shift.reshape((channels,) + (1,) * dims)


# -- columns ---------------------------------------------------------------------------------------


def _columns(x: Array, windows: Windows, groups: int) -> tuple[Array, Sizes]:
    """All windows of x (batch, channels, ...) as matrices, and how many there are on each axis.

    The matrices are (groups, channels / groups * kernel, batch * places).
    """
    dims = len(windows.kernel)
    view = windows.view(x)  # (batch, channels, *places, *kernel)
    places = view.shape[2 : 2 + dims]
    columns = view.transpose(1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims))
    rows = x.shape[1] // groups * math.prod(windows.kernel)
    return columns.reshape(groups, rows, len(x) * math.prod(places)), places


def _outputs(y: Array, groups: int) -> Array:
    """y (batch, channels, ...) as matrices (groups, channels / groups, batch * places)."""
    batch, channels, *places = y.shape
    count = batch * math.prod(places)
    return np.moveaxis(y, 1, 0).reshape(groups, channels // groups, count)


def _weights(weight: Array, groups: int) -> Array:
    """weight as matrices (groups, out / groups, in / groups * kernel)."""
    return weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))


@primitive
@quiet
def convolution(x: Array, weight: Array, /, windows: Windows, groups: int) -> Array:
    """The cross-correlation of `x` (batch, channels, ...) with `weight`; see `conv1d`."""
    columns, places = _columns(widen(x), windows, groups)
    product = np.matmul(_weights(widen(weight), groups), columns)  # (groups, out / groups, ...)
    y = np.moveaxis(product.reshape(len(weight), len(x), *places), 0, 1)
    return np.ascontiguousarray(y, np.result_type(x, weight))


@primitive
@quiet
def convolution_transpose(
    x: Array, weight: Array, /, lengths: Sizes, windows: Windows, groups: int
) -> Array:
    """The derivative of `convolution` by its input, whose spatial lengths were `lengths`."""
    channels, counts = weight.shape[1] * groups, x.shape[2:]
    product = np.matmul(_weights(widen(weight), groups).swapaxes(1, 2), _outputs(widen(x), groups))
    columns = product.reshape(channels, *windows.kernel, len(x), *counts)
    total = np.zeros((channels, len(x), *windows.padded_lengths(lengths)), product.dtype)
    for place in np.ndindex(*windows.kernel):
        reach = tuple(
            slice(k * d, k * d + s * (n - 1) + 1, s) if n else slice(0)
            for k, d, s, n in zip(place, windows.dilation, windows.stride, counts, strict=True)
        )
        total[(slice(None), slice(None), *reach)] += columns[(slice(None), *place)]
    y = np.moveaxis(total[(slice(None), slice(None), *windows.inside(lengths))], 0, 1)
    return np.ascontiguousarray(y, np.result_type(x, weight))


@primitive
@quiet
def convolution_weight(x: Array, slope: Array, /, windows: Windows, groups: int) -> Array:
    """The derivative of `convolution` by its weight, from the gradient `slope` of its result."""
    columns, _ = _columns(widen(x), windows, groups)
    product = np.matmul(_outputs(widen(slope), groups), columns.swapaxes(1, 2))
    out = product.reshape(slope.shape[1], x.shape[1] // groups, *windows.kernel)
    return out.astype(np.result_type(x, slope), copy=False)


convolution.vjp(
    x=lambda g, weight, x_shape, windows, groups: convolution_transpose.generic(
        g, weight, x_shape[2:], windows, groups
    ),
    weight=lambda g, x, windows, groups: convolution_weight.generic(x, g, windows, groups),
)
convolution_transpose.vjp(
    x=lambda g, weight, windows, groups: convolution.generic(g, weight, windows, groups),
    weight=lambda g, x, windows, groups: convolution_weight.generic(g, x, windows, groups),
)
convolution_weight.vjp(
    x=lambda g, slope, x_shape, windows, groups: convolution_transpose.generic(
        slope, g, x_shape[2:], windows, groups
    ),
    slope=lambda g, x, windows, groups: convolution.generic(x, g, windows, groups),
)
