"""Activations with a gate or a learned slope: GLU, hardswish, PReLU."""

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike
from minigrad.ops.arguments import as_operand, floating, named, quiet
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.manipulation.indexing import getitem
from minigrad.ops.nn.activations import relu, sigmoid
from minigrad.ops.primitives import primitive

__all__ = ["glu", "hardswish", "prelu"]


def glu(x: TensorLike, /, axis: int = -1) -> Tensor:
    """The gated linear unit (Dauphin et al. 2017), a sigmoid(b).

    a is the first half of `x` along an axis and b the second.

    Args:
        x: of any shape whose length along the axis is even.
        axis: the axis that is halved.

    Raises:
        ShapeError: when the length is odd, or there is no axis.

    >>> glu(np.array([[1.0, 2.0, 0.0, 0.0]])).tolist()
    [[0.5, 1.0]]
    """
    x = as_operand(x, "glu", "x")
    if not x.ndim:
        raise ShapeError(f"glu: x must have an axis to be halved, got {describe(x)}")
    before = (slice(None),) * normalize_axis(axis, x.ndim, "glu: axis")
    length = x.shape[len(before)]
    if length % 2:
        raise ShapeError(
            f"glu: the length of axis {axis} must be even, to be halved, got {describe(x)}"
        )
    value = getitem(x, (*before, slice(length // 2)))
    gate = getitem(x, (*before, slice(length // 2, None)))
    return value * sigmoid(gate)


@primitive
@quiet
def hardswish(x: Array, /) -> Array:
    """Hard swish, x relu6(x + 3) / 6, elementwise (Howard et al. 2019): a piecewise `silu`."""
    x = floating(x)
    # The left factor stops at -3, where the right one is 0: -inf * 0 would be NaN.
    return np.maximum(x, -3) * (np.minimum(np.maximum(x + 3, 0), 6) / 6)


hardswish.vjp(x=lambda g, x: g * np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)))


@primitive
@named("prelu")
@quiet
def _prelu(x: Array, weight: Array, /) -> Array:
    """`x` above 0 and `weight * x` elsewhere, with a weight that broadcasts to `x`."""
    return np.maximum(x, 0) + np.minimum(x, 0) * weight


_prelu.vjp(
    x=lambda g, x, weight: g * np.where(x > 0, 1, weight),
    weight=lambda g, x: g * -relu.generic(-x),
)


def prelu(x: TensorLike, weight: TensorLike) -> Tensor:
    """Parametric ReLU (He et al. 2015): `x` above 0 and `weight` * `x` elsewhere.

    At 0 the slope is the weight, as in PyTorch.

    Args:
        x: of any shape.
        weight: one number, () or (1,); or one for each channel, which is axis 1 of `x`.

    Raises:
        ShapeError: when the weight has another shape.

    >>> prelu(np.array([-2.0, 3.0]), 0.5).tolist()
    [-1.0, 3.0]
    """
    x, weight = as_operand(x, "prelu", "x"), as_operand(weight, "prelu", "weight")
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.size == 1 and weight.ndim < 2:
        return _prelu(x, weight.reshape(()))
    if weight.shape != (channels,):
        raise ShapeError(
            f"prelu: weight must hold one number, or one for each channel, which is axis 1, got x "
            f"{describe(x)} and weight {describe(weight)}"
        )
    return _prelu(x, weight.reshape((channels, *(1,) * (x.ndim - 2))))
