"""Normalisation by the mean and variance of a batch, or of each example, with running averages."""

from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import ones_, zeros_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_sizes
from layers.basic.normalization import dtype_of, reset_affine, scale_channels
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import as_tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"]


class _Statistics(Module):
    """Mean and variance of channels are taken out; running averages of them may be kept."""

    axes_words: ClassVar[dict[int, str]]  # the axes of the input by their number
    unbatched: ClassVar[int] = 0  # the number of axes of an input without a batch
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, num_features=num_features)
        self.num_features = size = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(blank(self, "weight", size)) if affine else None
        self.bias = Parameter(blank(self, "bias", size)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", blank(self, "running_mean", size) if tracked else None)
        self.register_buffer("running_var", blank(self, "running_var", size) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: weight ones, bias zeros, and no running averages."""
        reset_affine(self)
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
        name = type(self).__name__
        dtype = dtype_of(self.running_mean if self.weight is None else self.weight)
        x = as_tensor(cast_input(name, "x", x, dtype), name, "x")
        channels = 0 if x.ndim == self.unbatched else 1
        if x.ndim not in self.axes_words or x.shape[channels] != self.num_features:
            words = " or ".join(
                f"({axes.format(self.num_features)})" for axes in self.axes_words.values()
            )
            raise ShapeError(
                f"{name}: x must be {words}: the channels stand before the places, as in "
                f"PyTorch. Got {describe(x)}"
                + (
                    "; from (batch, time, features) swap the axes: x.swapaxes(1, 2)"
                    if x.ndim == 3 and x.shape[2] == self.num_features
                    else ""
                )
            )
        if not channels:
            return self._normalize(x[None])[0]
        return self._normalize(x)

    def _normalize(self, x: Tensor) -> Tensor:
        """The same for `x` with its batch axis."""
        if self.training or self.running_mean is None:
            y = self._by_own(x)
        else:
            y = self._by_running(x)
        return scale_channels(y, self.weight, self.bias)

    def _own_axes(self, x: Tensor) -> tuple[int, ...]:
        """The axes over which mean and variance are taken."""
        raise AttributeError(f"{type(self).__name__} names no axes")

    def _advice(self) -> str:
        """What to do about a mean over a single number."""
        return ""

    def _by_own(self, x: Tensor) -> Tensor:
        """`x` with its own mean and variance taken out."""
        axes = self._own_axes(x)
        count = int(np.prod([x.shape[axis] for axis in axes]))
        if self.training and count == 1 and x.size:
            raise ShapeError(
                f"{type(self).__name__}: training needs more than one number for each channel, got "
                f"{describe(x)}; {self._advice()}"
            )
        if self.running_mean is not None and x.size:  # in training, or they would be taken out
            self._track(x, axes)
        return mg.layer_norm(x, axis=axes, eps=self.eps)

    def _by_running(self, x: Tensor) -> Tensor:
        """`x` with the running averages taken out."""
        mean, variance, _ = self._averages()
        column = (self.num_features, *(1,) * (x.ndim - 2))
        scale = 1 / np.sqrt(variance + self.eps)
        return (x - mean.reshape(column)) * scale.reshape(column)

    def _share(self, seen: Tensor) -> Any:
        """The weight of a new batch in the running averages."""
        raise AttributeError(f"{type(self).__name__} weighs no batch")

    def _track(self, x: Tensor, axes: tuple[int, ...]) -> None:
        """Move the running averages towards the mean and variance of `x`."""
        mean, variance, seen = self._averages()
        numbers = np.real(x.detach())  # complex steps check derivatives
        numbers = numbers.astype(np.result_type(numbers.dtype, np.float32))
        with mg.no_grad():
            share = self._share(seen)
            now = {mean: numbers.mean(axis=axes), variance: numbers.var(axis=axes, ddof=1)}
            for buffer, value in now.items():
                value = value if value.ndim == 1 else value.mean(axis=0)  # of all examples
                buffer[...] = ((1 - share) * buffer + share * value).astype(buffer.dtype)

    def _averages(self) -> tuple[Tensor, Tensor, Tensor]:
        """The buffers of a module that has them."""
        mean, variance, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or variance is None or seen is None:
            raise AttributeError(f"{type(self).__name__}: there are no running averages to read")
        return mean, variance, seen


class _BatchNorm(_Statistics):
    """Mean and variance of the whole batch."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def _own_axes(self, x: Tensor) -> tuple[int, ...]:
        return (0, *range(2, x.ndim))

    def _advice(self) -> str:
        return "use a larger batch, or eval() for the running averages"

    def _share(self, seen: Tensor) -> Any:
        seen[...] = seen + 1
        return 1 / seen.astype(np.float32) if self.momentum is None else self.momentum


class BatchNorm1d(_BatchNorm):
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
        DtypeError: when the input is not floating.
    """

    axes_words: ClassVar[dict[int, str]] = {2: "batch, {0}", 3: "batch, {0}, length"}


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for images: each channel over the batch and all places.

    Shapes: (batch, num_features, height, width), and the same; parameters, buffers, options and
    errors as in `BatchNorm1d`.

    >>> norm = BatchNorm2d(2)
    >>> norm(np.zeros((3, 2, 4, 5), np.float32)).shape, norm.num_batches_tracked.item()
    ((3, 2, 4, 5), 1)
    """

    axes_words: ClassVar[dict[int, str]] = {4: "batch, {0}, height, width"}


class _InstanceNorm(_Statistics):
    """Mean and variance of each example."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def _own_axes(self, x: Tensor) -> tuple[int, ...]:
        return tuple(range(2, x.ndim))

    def _advice(self) -> str:
        return "normalise over more places, or over the channels with LayerNorm or GroupNorm"

    def _share(self, seen: Tensor) -> Any:
        return 0.0 if self.momentum is None else self.momentum


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each example over its places (Ulyanov et al. 2016).

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the weight of a new batch in the running averages.
        affine: whether there are weight and bias; there are none by default, as in PyTorch.
        track_running_stats: True keeps running averages of the means and variances, which are
            used in evaluation; num_batches_tracked is there, and stays 0, as in PyTorch.

    Shapes: (batch, num_features, length) or (num_features, length), and the same. Parameters and
    buffers, where there are any, as in `BatchNorm1d`.

    Raises:
        ShapeError: for other shapes, and while training for a single place, which has no variance.
        DtypeError: when the input is not floating.

    >>> InstanceNorm1d(1, eps=0.0)(np.array([[[1.0, 3.0]], [[2.0, 8.0]]])).tolist()
    [[[-1.0, 1.0]], [[-1.0, 1.0]]]
    """

    axes_words: ClassVar[dict[int, str]] = {2: "{0}, length", 3: "batch, {0}, length"}
    unbatched: ClassVar[int] = 2


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for images: each channel of each example over all its places.

    Shapes: (batch, num_features, height, width) or (num_features, height, width), and the same;
    parameters, buffers, options and errors as in `InstanceNorm1d`.

    >>> InstanceNorm2d(2)(np.zeros((3, 2, 4, 5), np.float32)).shape
    (3, 2, 4, 5)
    """

    axes_words: ClassVar[dict[int, str]] = {3: "{0}, height, width", 4: "batch, {0}, height, width"}
    unbatched: ClassVar[int] = 3
