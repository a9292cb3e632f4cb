"""Gradient clipping."""

import math
from collections.abc import Iterable

import numpy as np

from minigrad.core.errors import GradientError
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.elementwise.piecewise import clip
from minigrad.optim.together.gradients import scaled, sum_of_squares
from minigrad.restoring import errstate

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0
) -> float:
    """Scale the gradients so that their common norm is at most `max_norm` (Pascanu et al. 2013).

    They are scaled by max_norm / (norm + 1e-6) where that is below 1, as in PyTorch.

    Args:
        parameters: tensors; those without a gradient are passed over.
        max_norm: the largest norm allowed.
        norm_type: the order of the norm: 2 for the Euclidean one, `math.inf` for the largest
            magnitude, or any other number above 0. Neither large nor small numbers overflow or
            vanish on the way.

    Returns:
        The norm before clipping.

    Raises:
        GradientError: when the norm is not finite, naming the parameters; the gradients are left
            as they are.
        ValueError: for a negative `max_norm` or a `norm_type` that is not above 0.

    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> w.grad = [3.0, 4.0]
    >>> clip_grad_norm([w], 1.0)
    5.0
    >>> w.grad.tolist()
    [0.6, 0.8]
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm: max_norm must be 0 or more, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm: norm_type must be above 0, got {norm_type}")
    held = _with_gradient(parameters)
    if current_mode().observers:  # they are told of what leaves the graph
        norm = _norm([gradient.numpy() for _, gradient in held], norm_type)
    else:
        norm = _norm([gradient._array for _, gradient in held], norm_type)
    if not math.isfinite(norm):
        names = [p.name or str(p.shape) for p, g in held if not np.isfinite(g.numpy()).all()]
        raise GradientError(
            "clip_grad_norm: the norm of the gradients is not finite"
            + (f" (in {', '.join(names)})" if names else ", it overflows")
            + ". minigrad.anomaly_mode() finds the operation that made it."
        )
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        gradients = _scaled([gradient for _, gradient in held], scale)
        for (parameter, _), gradient in zip(held, gradients, strict=True):
            parameter._leaf("grad").grad = gradient  # of the shape and the dtype that it had
    return norm


def clip_grad_value(parameters: Iterable[Tensor] | Tensor, max_value: float) -> None:
    """Clip each number of the gradients to between -max_value and max_value.

    Raises:
        GradientError: when a gradient has NaN, which no clipping mends.
        ValueError: for a negative `max_value`.
    """
    if not max_value >= 0:
        raise ValueError(f"clip_grad_value: max_value must be 0 or more, got {max_value}")
    held = _with_gradient(parameters)
    names = [p.name or str(p.shape) for p, g in held if np.isnan(g.numpy()).any()]
    if names:
        raise GradientError(
            f"clip_grad_value: there is NaN in the gradients of {', '.join(names)}. "
            "minigrad.anomaly_mode() finds the operation that made it."
        )
    clipped = [clip(gradient, -max_value, max_value) for _, gradient in held]
    for (parameter, _), gradient in zip(held, clipped, strict=True):
        parameter.grad = gradient


def _with_gradient(parameters: Iterable[Tensor] | Tensor) -> list[tuple[Tensor, Tensor]]:
    held = []
    for parameter in [parameters] if isinstance(parameters, Tensor) else parameters:
        node = parameter._node
        gradient = node.grad if node.__class__ is Leaf else parameter.grad  # mostly, and quicker
        if gradient is not None:
            held.append((parameter, gradient))
    return held


def _scaled(gradients: list[Tensor], factor: float) -> list[Tensor]:
    """The gradients times a number, recorded where they have a history or somebody watches."""
    if current_mode().watchers or any(gradient.requires_grad for gradient in gradients):
        return [gradient * factor for gradient in gradients]
    arrays = scaled([gradient._array for gradient in gradients], factor)
    if arrays is None:
        return [gradient * factor for gradient in gradients]
    return [wrap(array, None) for array in arrays]


def _norm(arrays: list[PlainArray], order: float) -> float:
    """The norm of all numbers together."""
    if order == 2:
        together = sum_of_squares(arrays)
        total = _sum_of_squares(arrays) if together is None else together
        if 1e-30 < total < math.inf:
            return math.sqrt(total)
    # Squares that overflow, vanish or are NaN; or another order: relative to the largest number.
    largest = float(np.max([0.0, *(np.abs(a).max() for a in arrays if a.size)]))  # NaN stays
    if not largest or not math.isfinite(largest) or order == math.inf:
        return largest
    scaled = (np.abs(array.astype(np.float64)) / largest for array in arrays)
    with errstate(under="ignore", over="ignore"):
        total = np.float64(sum((part**order).sum() for part in scaled))  # 1 or more
        return largest * float(total ** (1 / order))


def _sum_of_squares(arrays: list[PlainArray]) -> float:
    total = 0.0
    with errstate(over="ignore"):
        for array in arrays:
            flat = array.ravel() if array.itemsize > 2 else array.ravel().astype(np.float32)
            total += float(np.dot(flat, flat))
    return total
