"""Layer normalization and RMS normalization."""

import math
from typing import Any, cast

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensor, as_tensors, named, quiet, result_type, widen
from minigrad.ops.axis_utils import normalize_axes
from minigrad.ops.fusing import fused
from minigrad.ops.natives import by_rows
from minigrad.ops.primitives import primitive

__all__ = ["layer_norm", "rms_norm"]


Axes = tuple[int, ...]


def layer_norm(
    x: Any, weight: Any = None, bias: Any = None, axis: Any = -1, eps: float = 1e-5
) -> Tensor:
    """Layer normalization (Ba et al. 2016): (x - mean) / sqrt(variance + eps) * weight + bias.

    Args:
        x: a floating array of any shape.
        weight: a factor for each place along the axes, in the shape of `x` over these; or None.
        bias: a summand likewise, or None.
        axis: the axis or axes to normalise over; the last one by default. PyTorch's
            `normalized_shape` is given by as many trailing axes.
        eps: added to the variance, which is the mean squared deviation.

    Raises:
        ShapeError: when `weight` or `bias` has another shape, or an axis does not exist.

    >>> layer_norm(np.array([1.0, 3.0]), eps=0.0).tolist()
    [-1.0, 1.0]
    """
    x = as_tensor(x, "layer_norm", "x")
    axes = _axes("layer_norm", x, axis)
    factor = _affine("layer_norm", "weight", weight, 1.0, x, axes)
    shift = _affine("layer_norm", "bias", bias, 0.0, x, axes)
    return _layer_norm(x, factor, shift, axes=axes, eps=float(eps))


def rms_norm(x: Any, weight: Any = None, axis: Any = -1, eps: float | None = None) -> Tensor:
    """RMS normalization (Zhang and Sennrich 2019): x / sqrt(mean(x ** 2) + eps) * weight.

    Args:
        x: a floating array of any shape.
        weight: a factor for each place along the axes, in the shape of `x` over these; or None.
        axis: the axis or axes to normalise over; the last one by default.
        eps: added to the mean square; None for the spacing of the dtype's numbers at 1, as in
            PyTorch.

    Raises:
        ShapeError: when `weight` has another shape, or an axis does not exist.

    >>> rms_norm(np.array([3.0, 4.0]), eps=0.0).tolist()
    [0.848528137423857, 1.131370849898476]
    """
    x = as_tensor(x, "rms_norm", "x")
    axes = _axes("rms_norm", x, axis)
    factor = _affine("rms_norm", "weight", weight, 1.0, x, axes)
    y = _rms_norm(x, axes=axes, eps=float(np.finfo(x.dtype).eps if eps is None else eps))
    return y if weight is None else y * factor


def _axes(name: str, x: Tensor, axis: Any) -> Axes:
    """The axes in ascending order.

    Raises:
        ShapeError: when an axis does not exist, or there is none.
    """
    if not x.ndim:
        raise ShapeError(f"{name}: x must have an axis to normalise over, got {describe(x)}")
    return tuple(sorted(normalize_axes(axis, x.ndim, f"{name}: axis")))


def _affine(name: str, argument: str, value: Any, default: float, x: Tensor, axes: Axes) -> Any:
    """A weight or bias so that it broadcasts against `x`; a mere number stands for none."""
    if value is None:
        return default
    _, tensor = as_tensors(name, x=x, **{argument: value})
    wanted = tuple(x.shape[a] for a in axes)
    if tensor.shape != wanted:
        raise ShapeError(
            f"{name}: {argument} must have the shape {wanted} of x {describe(x)} over the axes "
            f"{axes}, got {describe(tensor)}"
        )
    if axes == tuple(range(x.ndim - len(axes), x.ndim)):
        return tensor
    return tensor.reshape(tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return max(math.prod(shape[a] for a in axes), 1)


@quiet
def _layer_norm_reference(x: Any, weight: Any, bias: Any, axes: Axes, eps: float) -> Any:
    wide, count = widen(x), _count(x.shape, axes)
    centered = wide - wide.sum(axis=axes, keepdims=True) / count
    variance = (centered * centered).sum(axis=axes, keepdims=True) / count
    y = centered / np.sqrt(variance + eps) * _wide(weight) + _wide(bias)
    return y.astype(result_type(x, weight, bias))


def _wide(value: Any) -> Any:
    return value if isinstance(value, float) else widen(value)


def _sum(a: Array, axes: Axes) -> Array:
    """The sum over the axes, which stay with length 1; a product with ones is the fastest."""
    if axes == (a.ndim - 1,):
        return (a @ np.ones(a.shape[-1], a.dtype))[..., None]
    return a.sum(axis=axes, keepdims=True)


def _dot(a: Array, b: Array, axes: Axes) -> Array:
    """The sum of a * b over the axes, which stay with length 1."""
    if axes == (a.ndim - 1,):
        return np.vecdot(a, b)[..., None]
    return (a * b).sum(axis=axes, keepdims=True)


def _weight_gradient(g: Array, normal: Array, weight: Array) -> Array:
    """The gradient of the weight: the sum of g * normal over all other axes."""
    if weight.ndim == 1:
        width = weight.shape[0]
        rows = g.size // max(width, 1)
        return np.einsum("ij,ij->j", g.reshape(rows, width), normal.reshape(rows, width))
    return g * normal


def _layer_norm_backward(
    grads: Any, residuals: Any, inputs: Any, needed: Any, axes: Axes, eps: float
) -> tuple[Any, ...]:
    normal, scale = residuals
    g, weight = widen(grads[0]), _wide(inputs[1])
    d_x = None
    if needed[0] and axes == (normal.ndim - 1,):
        found = by_rows("layer_norm_gradient", g, normal, scale, weight)
        d_x = found[0] if found is not None else None
    if needed[0] and d_x is None:
        count = _count(normal.shape, axes)
        d = g if isinstance(weight, float) else g * weight
        d_x = d - _sum(d, axes) / count
        d_x -= normal * (_dot(d_x, normal, axes) / count)
        d_x *= scale
    d_weight = _weight_gradient(g, normal, weight) if needed[1] else None
    return d_x, d_weight, g if needed[2] else None


# Its passes are few, and stay in the cache block by block.
@fused(reference=_layer_norm_reference, backward=_layer_norm_backward, whole_from=math.inf)
@named("layer_norm")
@quiet
def _layer_norm(x: Array, weight: Array, bias: Array, /, axes: Axes, eps: float) -> Array:
    found = by_rows("layer_norm", x, weight, bias, eps) if axes == (x.ndim - 1,) else None
    if found is not None:
        y, normal, scale = found
        return y, (normal, scale)
    wide, count = widen(x), _count(x.shape, axes)
    normal = wide - _sum(wide, axes) / count
    scale = 1 / np.sqrt(_dot(normal, normal, axes) / count + eps)
    normal *= scale
    dtype = result_type(x, weight, bias)
    if isinstance(weight, float) and isinstance(bias, float):
        return normal.astype(dtype), (normal, scale)  # a copy: the residual is not the result
    y = normal * _wide(weight)
    if isinstance(bias, float) or y.dtype != np.result_type(y, _wide(bias)):
        y = y + _wide(bias)
    else:
        y += _wide(bias)
    return y.astype(dtype, copy=False), (normal, scale)


def _rms_norm_rule(g: Array, x: Array, axes: Axes, eps: float) -> Array:
    found = by_rows("rms_norm_gradient", g, x, eps) if axes == (x.ndim - 1,) else None
    if found is not None:
        return cast(Array, found[0])
    wide, slope, count = widen(x), widen(g), _count(x.shape, axes)
    scale = 1 / np.sqrt((wide * wide).sum(axis=axes, keepdims=True) / count + eps)
    normal = wide * scale  # and no powers of the scale, which underflow
    return scale * (slope - normal * ((slope * normal).sum(axis=axes, keepdims=True) / count))


@primitive
@named("rms_norm")
@quiet
def _rms_norm(x: Array, /, axes: Axes, eps: float) -> Array:
    found = by_rows("rms_norm", x, eps) if axes == (x.ndim - 1,) else None
    if found is not None:
        return cast(Array, found[0])
    wide = widen(x)
    square = (wide * wide).sum(axis=axes, keepdims=True) / _count(x.shape, axes)
    return (wide / np.sqrt(square + eps)).astype(x.dtype)


_rms_norm.vjp(x=_rms_norm_rule)
