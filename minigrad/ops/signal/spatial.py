"""Windows over spatial axes, and the arguments that describe them: kernel, stride, padding.

What convolutions and pooling share, over any number of axes, and layers check with.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.checks import check_sizes, is_size

__all__ = [
    "Pads",
    "Sizes",
    "Windows",
    "check_axes",
    "check_channels",
    "check_groups",
    "check_windows",
    "spatial_sizes",
    "windows_of",
]

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class Windows(NamedTuple):
    """Where windows over the last axes stand; one entry for each axis.

    Attributes:
        kernel: how many places a window has.
        stride: the step from one window to the next.
        dilation: the step from one place of a window to the next.
        pads: the places of padding before and after the axis.
    """

    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    pads: Pads

    @property
    def span(self) -> Sizes:
        """How many places a window reaches over."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(before or after for before, after in self.pads)

    def padded_lengths(self, lengths: Sizes) -> Sizes:
        """The lengths of the axes with their padding."""
        return tuple(b + n + a for n, (b, a) in zip(lengths, self.pads, strict=True))

    def inside(self, lengths: Sizes) -> tuple[slice, ...]:
        """Where in the padded axes the axes themselves stand."""
        return tuple(slice(b, b + n) for n, (b, _) in zip(lengths, self.pads, strict=True))

    def transposed_lengths(self, counts: Sizes) -> Sizes:
        """The smallest lengths over which there are as many windows as `counts`."""
        return tuple(
            (count - 1) * step - before - after + reach
            for count, step, (before, after), reach in zip(
                counts, self.stride, self.pads, self.span, strict=True
            )
        )

    def view(self, x: Array, fill: float = 0) -> Array:
        """The windows of `x` (..., *lengths) as (..., *places, *kernel), without copies of them.

        `fill` stands in the padding.
        """
        dims = len(self.kernel)
        lengths = x.shape[x.ndim - dims :]
        if self.padded:
            shape = (*x.shape[: x.ndim - dims], *self.padded_lengths(lengths))
            padded: Array = np.full(shape, fill, x.dtype) if fill else np.zeros(shape, x.dtype)
            padded[(..., *self.inside(lengths))] = x
            x = padded
        axes = tuple(range(x.ndim - dims, x.ndim))
        windows: Array = np.lib.stride_tricks.sliding_window_view(x, self.span, axis=axes)
        return windows[(..., *(slice(None, None, n) for n in (*self.stride, *self.dilation)))]


def windows_of(name: str, kernel: Sizes, stride: Any, padding: Any, dilation: Any = 1) -> Windows:
    """Windows from what a caller gives: numbers, or one for each axis.

    Args:
        name: the operation or layer, for messages.
        kernel: the places of a window, checked already.
        stride, dilation: the steps.
        padding: the places on both sides, "same" or "valid".

    Raises:
        ValueError: for numbers that make no sense, and "same" with a stride.
    """
    dims = len(kernel)
    steps = spatial_sizes(name, "stride", stride, dims, 1)
    apart = spatial_sizes(name, "dilation", dilation, dims, 1)
    if not isinstance(padding, str):
        sides = spatial_sizes(name, "padding", padding, dims, 0)
        return Windows(kernel, steps, apart, tuple((n, n) for n in sides))
    windows = Windows(kernel, steps, apart, ((0, 0),) * dims)
    if padding == "valid":
        return windows
    if padding != "same":
        raise ValueError(f'{name}: padding must be a number, "same" or "valid", got {padding!r}')
    if any(n != 1 for n in steps):
        raise ValueError(f'{name}: padding="same" needs stride 1, got {steps}')
    return windows._replace(pads=tuple(((n - 1) // 2, n // 2) for n in windows.span))


def spatial_sizes(name: str, argument: str, value: Any, dims: int, least: int) -> Sizes:
    """A number, or one for each spatial axis.

    Raises:
        ValueError: when there are too few or many, or one is below `least`.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    sizes = value if several else (value,) * dims
    if len(sizes) != dims or not all(is_size(n, least) for n in sizes):
        raise ValueError(
            f"{name}: {argument} must be an integer of {least} or more"
            + (f", or {dims} of them" if dims > 1 else "")
            + f", got {value!r}"
        )
    return tuple(int(n) for n in sizes)


def check_windows(name: str, x: Tensor, windows: Windows, beyond: Sizes | None = None) -> None:
    """Refuse an input over which not a single window fits.

    Args:
        name: the operation, for the message.
        x: (..., *lengths).
        windows: the windows.
        beyond: how far the first window may reach past the end of each axis; None for nowhere.

    Raises:
        ShapeError: with the numbers.
    """
    dims = len(windows.kernel)
    more = beyond or (0,) * dims
    axes = zip(x.shape[x.ndim - dims :], windows.span, windows.pads, more, strict=True)
    for length, reach, (before, after), past in axes:
        if length + before + after + past < reach:
            raise ShapeError(
                f"{name}: a window reaches over {reach} places, but x {describe(x)} has only "
                f"{length} and {before + after} of padding; use padding= or a smaller kernel"
            )


def _layout(dims: int) -> str:
    return "(batch, channels, length)" if dims == 1 else "(batch, channels, height, width)"


def check_axes(name: str, dims: int, x: Tensor) -> None:
    """Refuse an input of another number of axes.

    Raises:
        ShapeError: naming the layout.
    """
    if x.ndim not in (dims + 1, dims + 2):
        raise ShapeError(f"{name}: x must be {_layout(dims)}, or without batch, got {describe(x)}")


def check_channels(name: str, dims: int, x: Tensor, weight: Tensor, channels: int) -> None:
    """Refuse an input and a weight whose axes or channels do not fit each other.

    Raises:
        ShapeError: naming the layout.
    """
    check_axes(name, dims, x)
    if weight.ndim != dims + 2 or not all(weight.shape[2:]):
        raise ShapeError(
            f"{name}: weight must have {dims + 2} axes (two of channels, then the kernel, not "
            f"empty), got {describe(weight)}"
        )
    if x.shape[-dims - 1] != channels:
        raise ShapeError(
            f"{name}: weight {describe(weight)} is for {channels} input channels, but x "
            f"{describe(x)} has {x.shape[-dims - 1]} on axis {x.ndim - dims - 1}, its channel "
            f"axis: the layout is {_layout(dims)}."
            + (" From (batch, length, channels) swap: x.swapaxes(1, 2)." if dims == 1 else "")
        )


def check_groups(name: str, groups: Any, **channels: int) -> None:
    """Refuse numbers of channels that do not split into the groups.

    Raises:
        ValueError: when there are not 1 or more groups.
        ShapeError: naming the number of channels.
    """
    check_sizes(name, 1, groups=groups)
    for what, count in channels.items():
        if count % groups:
            raise ShapeError(
                f"{name}: groups={groups} must divide the {count} {what.replace('_', ' ')}"
            )
