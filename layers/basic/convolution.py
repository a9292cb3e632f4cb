"""Convolutions over sequences and images, and their transposes, in PyTorch's layouts.

The channels come before the places, (batch, channels, length) or (batch, channels, height, width),
unlike in the sequence layers here: from (batch, time, features) swap the axes, x.swapaxes(1, 2).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import calculate_fan_in_and_fan_out, fan_in_bound
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_sizes, draw_uniform
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import as_tensor
from minigrad.ops.signal.spatial import (
    check_channels,
    check_groups,
    spatial_sizes,
    windows_of,
)

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""PyTorch's names of what may stand in the padding, and NumPy's."""

Sizes = int | Sequence[int]


class _Convolution(Module):
    """What convolutions and their transposes have in common."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        name, dims = type(self).__name__, self.dims
        check_sizes(name, 1, in_channels=in_channels, out_channels=out_channels)
        check_groups(name, groups, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = spatial_sizes(name, "kernel_size", kernel_size, dims, 1)
        self._windows = windows_of(name, self.kernel_size, stride, padding, dilation)
        self.stride, self.dilation = self._windows.stride, self._windows.dilation
        self.padding = padding
        first, second = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        self.weight = Parameter(blank(self, "weight", first, second // groups, *self.kernel_size))
        self.bias = Parameter(blank(self, "bias", out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw weight and bias again, uniformly from +-1/sqrt(fan_in) of the weight."""
        fan_in, _ = calculate_fan_in_and_fan_out(self.weight)
        draw_uniform(self, fan_in_bound(fan_in), generator)

    def _checked(self, x: TensorLike) -> Tensor:
        """`x` as a tensor of the right axes and channels."""
        name = type(self).__name__
        tensor = as_tensor(cast_input(name, "x", x, self.weight.dtype), name, "x")
        check_channels(name, self.dims, tensor, self.weight, self.in_channels)
        return tensor


class _Forward(_Convolution):
    """A convolution."""

    convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{type(self).__name__}: padding_mode must be one of {', '.join(PADDING_MODES)}, "
                f"got {padding_mode!r}"
            )
        self.padding_mode = padding_mode

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = self._checked(x)
        padding = self.padding
        if self.padding_mode != "zeros" and self._windows.padded:
            widths = [(0, 0)] * (x.ndim - self.dims) + list(self._windows.pads)
            x = mg.pad(x, widths, mode=PADDING_MODES[self.padding_mode])
            padding = 0
        options = (self.stride, padding, self.dilation, self.groups)
        return type(self).convolve(x, self.weight, self.bias, *options)


class Conv1d(_Forward):
    """The cross-correlation of a sequence with learned kernels.

    Args:
        in_channels, out_channels: the numbers of channels.
        kernel_size: the length of a kernel.
        stride: the step from one window to the next.
        padding: how many places to add on both sides; "same" (stride 1: the length stays) or
            "valid" (none).
        dilation: the step between the places of one window.
        groups: how many groups the channels are split into.
        bias: whether to add a bias.
        padding_mode: what stands in the padding: "zeros"; "reflect", which mirrors without the
            outermost place; "replicate", which repeats that; "circular", which goes on from the
            other end.

    Shapes: (batch, in_channels, length), or without the batch axis -> (batch, out_channels,
    (length + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1). Weight (out_channels,
    in_channels / groups, kernel_size) and bias (out_channels,), both drawn uniformly from
    +-1/sqrt(in_channels / groups * kernel_size), as in PyTorch.

    Raises:
        ShapeError: when the channels do not fit, or no window does.
        ValueError: for options that make no sense.

    >>> Conv1d(3, 5, kernel_size=3, padding="same")(np.ones((2, 3, 7), np.float32)).shape
    (2, 5, 7)
    """

    dims = 1
    convolve = staticmethod(mg.conv1d)


class Conv2d(_Forward):
    """The cross-correlation of an image with learned kernels.

    Args:
        in_channels, out_channels: the numbers of channels.
        kernel_size, stride, padding, dilation: as in `Conv1d`; numbers, or pairs for height and
            width.
        groups, bias, padding_mode: as in `Conv1d`.

    Shapes: (batch, in_channels, height, width), or without the batch axis -> (batch, out_channels,
    height', width'), each as in `Conv1d`. Weight (out_channels, in_channels / groups, kernel
    height, kernel width), bias (out_channels,).

    >>> Conv2d(3, 5, kernel_size=(1, 3))(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 5, 4, 2)
    """

    dims = 2
    convolve = staticmethod(mg.conv2d)


class _Transposed(_Convolution):
    """The transpose of a convolution."""

    transposed = True
    convolve: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
    ) -> None:
        name = type(self).__name__
        if isinstance(padding, str):
            raise ValueError(
                f"{name}: padding must be a number, got {padding!r}; padding = (kernel_size - 1) "
                "// 2 keeps the length of odd kernels at stride 1"
            )
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.output_padding = spatial_sizes(name, "output_padding", output_padding, self.dims, 0)

    def forward(self, x: TensorLike, output_size: Sizes | None = None) -> Tensor:
        """Apply the layer.

        Args:
            x: the input.
            output_size: the lengths of the result, where several lengths shrink to the same one
                under the convolution; in place of `output_padding`.

        Raises:
            ShapeError: when no such lengths can come out.
        """
        x = self._checked(x)
        extra = self.output_padding if output_size is None else self._extra(x, output_size)
        return type(self).convolve(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _extra(self, x: Tensor, output_size: Sizes) -> tuple[int, ...]:
        """The output padding that gives the wanted lengths."""
        name = type(self).__name__
        wanted = spatial_sizes(name, "output_size", output_size, self.dims, 0)
        smallest = self._windows.transposed_lengths(x.shape[-self.dims :])
        extra = tuple(w - n for w, n in zip(wanted, smallest, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = tuple(n + s - 1 for n, s in zip(smallest, self.stride, strict=True))
            raise ShapeError(
                f"{name}: output_size must be from {smallest} to {largest} for x {describe(x)} "
                f"with stride {self.stride}, got {wanted}"
            )
        return extra


class ConvTranspose1d(_Transposed):
    """The transpose of `Conv1d`: its derivative by the input, which makes sequences longer.

    Args:
        in_channels, out_channels: the numbers of channels.
        kernel_size, stride, padding, dilation, groups: those of the convolution that this
            transposes.
        output_padding: how much longer the result is at its end; less than the stride.
        bias: whether to add a bias.

    Shapes: (batch, in_channels, length), or without the batch axis -> (batch, out_channels,
    (length - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1). Weight
    (in_channels, out_channels / groups, kernel_size) and bias (out_channels,), both drawn uniformly
    from +-1/sqrt(out_channels / groups * kernel_size), as in PyTorch.

    Raises:
        ShapeError: when the channels do not fit.
        ValueError: for options that make no sense.

    >>> ConvTranspose1d(3, 5, kernel_size=2, stride=2)(np.ones((2, 3, 4), np.float32)).shape
    (2, 5, 8)
    """

    dims = 1
    convolve = staticmethod(mg.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The transpose of `Conv2d`; arguments as in `ConvTranspose1d`, or pairs of them.

    Shapes: (batch, in_channels, height, width), or without the batch axis -> (batch, out_channels,
    height', width'), each as in `ConvTranspose1d`. Weight (in_channels, out_channels / groups,
    kernel height, kernel width), bias (out_channels,).
    """

    dims = 2
    convolve = staticmethod(mg.conv_transpose2d)
