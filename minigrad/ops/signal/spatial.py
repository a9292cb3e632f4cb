"""Arguments of operations over spatial axes: kernels, strides, padding, channels."""

from collections.abc import Sequence
from typing import Any

from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import Tensor
from minigrad.ops.checks import check_sizes, is_size

__all__ = [
    "Pads",
    "Sizes",
    "check_channels",
    "check_groups",
    "pads_of",
    "span_of",
    "spatial_sizes",
]

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


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


def check_channels(name: str, dims: int, x: Tensor, weight: Tensor, channels: int) -> None:
    """Refuse an input and a weight whose axes or channels do not fit each other.

    Raises:
        ShapeError: naming the layout.
    """
    layout = "(batch, channels, length)" if dims == 1 else "(batch, channels, height, width)"
    if x.ndim not in (dims + 1, dims + 2):
        raise ShapeError(f"{name}: x must be {layout}, or without batch, got {describe(x)}")
    if weight.ndim != dims + 2 or not all(weight.shape[2:]):
        raise ShapeError(
            f"{name}: weight must have {dims + 2} axes (two of channels, then the kernel, not "
            f"empty), got {describe(weight)}"
        )
    if x.shape[-dims - 1] != channels:
        raise ShapeError(
            f"{name}: weight {describe(weight)} is for {channels} input channels, but x "
            f"{describe(x)} has {x.shape[-dims - 1]} on axis {x.ndim - dims - 1}, its channel "
            f"axis: the layout is {layout}."
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


def pads_of(name: str, padding: Any, span: Sizes, stride: Sizes) -> Pads:
    """Zeros before and after, for each spatial axis."""
    if not isinstance(padding, str):
        return tuple((n, n) for n in spatial_sizes(name, "padding", padding, len(span), 0))
    if padding == "valid":
        return ((0, 0),) * len(span)
    if padding != "same":
        raise ValueError(f'{name}: padding must be a number, "same" or "valid", got {padding!r}')
    if any(n != 1 for n in stride):
        raise ValueError(f'{name}: padding="same" needs stride 1, got {stride}')
    return tuple(((n - 1) // 2, n // 2) for n in span)


def span_of(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How many places a window reaches over."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
