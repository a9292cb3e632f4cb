"""Pooling over windows, in PyTorch's layouts: (batch, channels, length...), or without batch."""

from collections.abc import Sequence
from typing import Any, ClassVar

import minigrad as mg
from layers.base.module import Module
from minigrad import Tensor
from minigrad.core.tensors import TensorLike
from minigrad.ops.nn.pooling import pooling_windows
from minigrad.ops.signal.spatial import spatial_sizes

__all__ = ["AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d"]

Sizes = int | Sequence[int]


class _Pool(Module):
    """What pooling layers have in common."""

    dims: ClassVar[int]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        windows = pooling_windows(type(self).__name__, self.dims, kernel_size, stride, padding)
        self.kernel_size, self.stride = windows.kernel, windows.stride
        self.padding = tuple(before for before, _ in windows.pads)


class _MaxPool(_Pool):
    """What layers that take the largest number have in common."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        name = type(self).__name__
        self.dilation = spatial_sizes(name, "dilation", dilation, self.dims, 1)
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: TensorLike) -> Any:
        """Apply the layer."""
        pool = mg.max_pool1d if self.dims == 1 else mg.max_pool2d
        return pool(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest number of each window of a sequence.

    Args:
        kernel_size: the length of a window.
        stride: the step from one window to the next; None for `kernel_size`.
        padding: places of -inf on both sides, at most half a window.
        dilation: the step from one place of a window to the next.
        return_indices: return a pair, the numbers and where in the length they stand.
        ceil_mode: round the number of windows up: a last window may reach past the end.

    Of equal numbers the first one gets the whole gradient, as in PyTorch.

    Shapes: (batch, channels, length), or without batch -> (batch, channels,
    (length + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1).
    """

    dims = 1


class MaxPool2d(_MaxPool):
    """The largest number of each window of an image (batch, channels, height, width).

    The arguments are those of `MaxPool1d`, or pairs for height and width; indices are places in the
    flattened plane of a channel.
    """

    dims = 2


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

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        pool = mg.avg_pool1d if self.dims == 1 else mg.avg_pool2d
        return pool(x, self.kernel_size, self.stride, self.padding, self.count_include_pad)


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


class AvgPool2d(_AvgPool):
    """The mean of each window of an image (batch, channels, height, width).

    The arguments are those of `AvgPool1d`, or pairs for height and width.
    """

    dims = 2
