"""Normalisation: over the features of each example, or over the batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from layers.init import ones_, zeros_
from layers.linear import blank, check_sizes
from layers.module import Module, Parameter
from minigrad import Tensor
from minigrad.errors import ShapeError, describe
from minigrad.ops.arguments import as_tensor
from minigrad.signatures import TensorLike

__all__ = ["BatchNorm1d", "LayerNorm", "RMSNorm"]


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
        self.weight = Parameter(blank(*self.normalized_shape)) if affine else None
        self.bias = Parameter(blank(*self.normalized_shape)) if affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin anew: weight ones, bias zeros."""
        _begin(self)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
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
        self.weight = Parameter(blank(*self.normalized_shape)) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin anew: weight ones."""
        _begin(self)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        axes = _trailing("RMSNorm", x, self.normalized_shape)
        return mg.rms_norm(x, self.weight, axes, self.eps)


class BatchNorm1d(Module):
    """Normalises each channel over the batch; the channels are axis 1, as in PyTorch.

    While training, with the mean and variance of the batch (Ioffe and Szegedy 2015), of which it
    keeps running averages; in evaluation with these. For the (batch, time, features) of sequence
    layers swap the axes around it, ``norm(x.swapaxes(1, 2)).swapaxes(1, 2)``, or use `LayerNorm`,
    which looks at no other example and no other time.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the weight of a new batch in the running averages; None for the plain average of
            all batches so far.
        affine: whether there are weight and bias.
        track_running_stats: False keeps no averages and takes those of the batch always.

    Shapes: (batch, num_features) or (batch, num_features, length), and the same. Parameters weight
    and bias (num_features,), ones and zeros at the start; buffers running_mean and running_var
    (num_features,), of which the variance is the unbiased one, and num_batches_tracked. An empty
    batch leaves the buffers alone.

    Raises:
        ShapeError: for other shapes, and while training for a single number per channel, which
            has no variance.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        check_sizes("BatchNorm1d", num_features=num_features)
        self.num_features = size = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(blank(size)) if affine else None
        self.bias = Parameter(blank(size)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", blank(size) if tracked else None)
        self.register_buffer("running_var", blank(size) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin anew: weight ones, bias zeros, and no running averages."""
        _begin(self)
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget the running averages: mean 0, variance 1."""
        if self.running_mean is None:
            return
        mean, variance, seen = self._averages()
        zeros_(mean)
        ones_(variance)
        zeros_(seen)

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        x = as_tensor(x, "BatchNorm1d", "x")
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            size = self.num_features
            raise ShapeError(
                f"BatchNorm1d: x must be (batch, {size}) or (batch, {size}, length): the channels "
                f"are axis 1, as in PyTorch. Got {describe(x)}"
                + (
                    "; from (batch, time, features) swap the axes: x.swapaxes(1, 2)"
                    if x.ndim == 3 and x.shape[2] == size
                    else ""
                )
            )
        if self.training or self.running_mean is None:
            y = self._of_batch(x)
        else:
            y = self._of_running(x)
        if self.weight is None or self.bias is None:
            return y
        column = (self.num_features, 1)[: x.ndim - 1]
        return y * self.weight.reshape(column) + self.bias.reshape(column)

    def _of_batch(self, x: Tensor) -> Tensor:
        """`x` with the mean and variance of each channel taken out."""
        axes = (0, 2)[: x.ndim - 1]
        count = x.size // max(self.num_features, 1)
        if self.training and count == 1:
            raise ShapeError(
                f"BatchNorm1d: training needs more than one number for each channel, got "
                f"{describe(x)}; use a larger batch, or eval() for the running averages"
            )
        if self.training and self.running_mean is not None and count:
            self._track(x, axes, count)
        return mg.layer_norm(x, axis=axes, eps=self.eps)

    def _of_running(self, x: Tensor) -> Tensor:
        """`x` with the running averages taken out."""
        mean, variance, _ = self._averages()
        column = (self.num_features, 1)[: x.ndim - 1]
        scale = 1 / np.sqrt(variance.numpy() + self.eps)
        return (x - mean.numpy().reshape(column)) * scale.reshape(column)

    def _track(self, x: Tensor, axes: tuple[int, ...], count: int) -> None:
        """Move the running averages towards the mean and variance of a batch."""
        mean, variance, seen = self._averages()
        numbers = x.detach().numpy().real  # complex steps check derivatives
        wide = np.result_type(numbers, np.float32)
        seen.write(np.asarray(seen.numpy() + 1))
        share = 1 / seen.item() if self.momentum is None else self.momentum
        now = {
            mean: numbers.mean(axis=axes, dtype=wide),
            variance: numbers.var(axis=axes, dtype=wide, ddof=1),
        }
        for buffer, value in now.items():
            average = (1 - share) * buffer.numpy() + share * value
            buffer.write(average.astype(buffer.dtype))

    def _averages(self) -> tuple[Tensor, Tensor, Tensor]:
        """The buffers of a module that has them."""
        mean, variance, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or variance is None or seen is None:
            raise AttributeError("BatchNorm1d: there are no running averages to read")
        return mean, variance, seen


# -- what they share -------------------------------------------------------------------------------


def _shape(name: str, value: Any) -> tuple[int, ...]:
    """Lengths of axes, at least one, each of 0 or more."""
    lengths = tuple(value) if isinstance(value, Sequence) else (value,)
    if not lengths:
        raise ValueError(f"{name}: normalized_shape must name at least one axis, got {value!r}")
    for length in lengths:
        check_sizes(name, normalized_shape=length)
    return tuple(int(n) for n in lengths)


def _begin(module: Any) -> None:
    """Let weight and bias, where there are any, change nothing."""
    if getattr(module, "weight", None) is not None:
        ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        zeros_(module.bias)


def _trailing(name: str, x: Any, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """The last axes of `x`, which must have these lengths."""
    shape = np.shape(x)
    if shape[max(len(shape) - len(lengths), 0) :] != lengths:
        raise ShapeError(
            f"{name}: the last {len(lengths)} axes of x must be the normalized_shape {lengths}, "
            f"got x {describe(x)}"
        )
    return tuple(range(-len(lengths), 0))
