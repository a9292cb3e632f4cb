"""Pooling over windows, in PyTorch's layouts: (batch, channels, length...), or without batch."""

from collections.abc import Sequence
from typing import ClassVar

import minigrad as mg
from layers.module import Module
from minigrad import Tensor
from minigrad.ops.spatial import spatial_sizes
from minigrad.signatures import TensorLike

__all__ = ["AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d"]

Sizes = int | Sequence[int]


class _Pool(Module):
    """What pooling layers have in common."""

    dims: ClassVar[int]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = spatial_sizes(name, "kernel_size", kernel_size, self.dims, 1)
        self.stride = (
            self.kernel_size
            if stride is None
            else spatial_sizes(name, "stride", stride, self.dims, 1)
        )
        self.padding = spatial_sizes(name, "padding", padding, self.dims, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{name}: padding {self.padding} must be at most half the window {self.kernel_size}"
            )


class MaxPool1d(_Pool):
    """The largest number of each window of a sequence.

    Args:
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: places of -inf on both sides, at most half a window.

    Of equal numbers the first one gets the whole gradient, as in PyTorch.

    Shapes: (batch, channels, length), or without batch -> (batch, channels,
    (length + 2 padding - kernel_size) // stride + 1).
    """

    dims = 1

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        return mg.max_pool1d(x, self.kernel_size, self.stride, self.padding)


class MaxPool2d(_Pool):
    """The largest number of each window of an image (batch, channels, height, width).

    The arguments are those of `MaxPool1d`, or pairs for height and width.
    """

    dims = 2

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        return mg.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class _AvgPool(_Pool):
    """What layers that average have in common."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad


class AvgPool1d(_AvgPool):
    """The mean of each window of a sequence.

    Args:
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: zeros on both sides, at most half a window.
        count_include_pad: whether these zeros count in the mean.

    Shapes: as in `MaxPool1d`.
    """

    dims = 1

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        count = self.count_include_pad
        return mg.avg_pool1d(x, self.kernel_size, self.stride, self.padding, count)


class AvgPool2d(_AvgPool):
    """The mean of each window of an image (batch, channels, height, width).

    The arguments are those of `AvgPool1d`, or pairs for height and width.
    """

    dims = 2

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        count = self.count_include_pad
        return mg.avg_pool2d(x, self.kernel_size, self.stride, self.padding, count)
