"""Normalisation of each example by itself: over its features, or over groups of its channels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from layers.base.init import ones_, zeros_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_sizes
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import TensorLike

__all__ = ["GroupNorm", "LayerNorm", "RMSNorm"]


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axes (Ba et al. 2016).

    Args:
        normalized_shape: the lengths of the last axes to normalise over; a number for one axis.
        eps: added to the variance, which is the mean squared deviation.
        elementwise_affine: whether there are weight and bias.
        bias: whether there is a bias.

    Shapes: (..., *normalized_shape), and the same; weight and bias normalized_shape, ones and
    zeros at the start.

    >>> LayerNorm(2, eps=0.0)(np.array([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self.weight = Parameter(blank(self, "weight", *self.normalized_shape)) if affine else None
        self.bias = (
            Parameter(blank(self, "bias", *self.normalized_shape)) if affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: weight ones, bias zeros."""
        reset_affine(self)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = cast_input("LayerNorm", "x", x, dtype_of(self.weight))
        axes = _trailing("LayerNorm", x, self.normalized_shape)
        return mg.layer_norm(x, self.weight, self.bias, axes, self.eps)


class RMSNorm(Module):
    """x / sqrt(mean(x ** 2) + eps) * weight over the last axes (Zhang and Sennrich 2019).

    Args:
        normalized_shape: the lengths of the last axes to normalise over; a number for one axis.
        eps: added to the mean square; None for the spacing of the dtype's numbers at 1.
        elementwise_affine: whether there is a weight.

    Shapes: (..., *normalized_shape), and the same; weight normalized_shape, ones at the start.

    >>> RMSNorm(2, eps=0.0)(np.array([[3.0, 3.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = (
            Parameter(blank(self, "weight", *self.normalized_shape)) if elementwise_affine else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: weight ones."""
        reset_affine(self)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = cast_input("RMSNorm", "x", x, dtype_of(self.weight))
        axes = _trailing("RMSNorm", x, self.normalized_shape)
        return mg.rms_norm(x, self.weight, axes, self.eps)


class GroupNorm(Module):
    """Normalises groups of channels of each example by itself (Wu and He 2018).

    The channels are axis 1, as in PyTorch; from (batch, time, features) swap the axes around it.
    With one group it normalises whole examples, with a group for each channel it is `InstanceNorm`.

    Args:
        num_groups: into how many groups of equal size the channels are split.
        num_channels: the number of channels.
        eps: added to the variance, which is the mean squared deviation.
        affine: whether there are weight and bias, a number for each channel.

    Shapes: (batch, num_channels, ...), and the same; weight and bias (num_channels,), ones and
    zeros at the start.

    Raises:
        ValueError: when the channels do not divide into the groups.
        ShapeError: for another number of channels, and when a group has a single number.
        DtypeError: when the input is not floating.

    >>> GroupNorm(2, 4, eps=0.0)(np.array([[1.0, 3.0, 5.0, 9.0]], np.float32)).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        check_sizes("GroupNorm", 1, num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} must divide into num_groups={num_groups}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self.weight = Parameter(blank(self, "weight", num_channels)) if affine else None
        self.bias = Parameter(blank(self, "bias", num_channels)) if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: weight ones, bias zeros."""
        reset_affine(self)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = cast_input("GroupNorm", "x", x, dtype_of(self.weight))
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(
                f"GroupNorm: x must be (batch, {self.num_channels}, ...): the channels are axis 1, "
                f"as in PyTorch. Got {describe(x)}"
            )
        batch, groups = x.shape[0], self.num_groups
        size = self.num_channels // groups * math.prod(x.shape[2:])  # of one group
        if size == 1:
            raise ShapeError(
                f"GroupNorm: a group has a single number, which has no variance, in "
                f"{describe(x)}; use fewer groups than num_groups={groups}"
            )
        y = mg.layer_norm(x.reshape((batch, groups, size)), axis=-1, eps=self.eps).reshape(x.shape)
        return scale_channels(y, self.weight, self.bias)


# -- what they share -------------------------------------------------------------------------------


def _shape(name: str, value: Any) -> tuple[int, ...]:
    """Lengths of axes, at least one, each of 0 or more."""
    lengths = tuple(value) if isinstance(value, Sequence) else (value,)
    if not lengths:
        raise ValueError(f"{name}: normalized_shape must name at least one axis, got {value!r}")
    for length in lengths:
        check_sizes(name, normalized_shape=length)
    return tuple(int(n) for n in lengths)


def reset_affine(module: Any) -> None:
    """Let weight and bias, where there are any, change nothing."""
    if getattr(module, "weight", None) is not None:
        ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        zeros_(module.bias)


def dtype_of(parameter: Any) -> Any:
    """The dtype of a parameter or buffer; None where there is none."""
    return None if parameter is None else parameter.dtype


def scale_channels(x: Tensor, weight: Any, bias: Any) -> Tensor:
    """x * weight + bias with one number for each channel, axis 1; each may be None for none."""
    column = (x.shape[1], *(1,) * (x.ndim - 2))
    if weight is not None:
        x = x * weight.reshape(column)
    return x if bias is None else x + bias.reshape(column)


def _trailing(name: str, x: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """The last axes of `x`, which must have these lengths."""
    shape = np.shape(x)
    if shape[max(len(shape) - len(lengths), 0) :] != lengths:
        raise ShapeError(
            f"{name}: the last {len(lengths)} axes of x must be the normalized_shape {lengths}, "
            f"got x {describe(x)}"
        )
    return tuple(range(-len(lengths), 0))
