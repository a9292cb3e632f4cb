"""Gradient clipping."""

import math
from collections.abc import Iterable

import numpy as np

from minigrad.errors import GradientError
from minigrad.tensors import Tensor

__all__ = ["clip_grad_norm"]


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale the gradients so that their common Euclidean norm is at most `max_norm`.

    Returns:
        The norm before clipping.

    Raises:
        GradientError: when the norm is not finite; the gradients are left as they are.
    """
    with_grad = [p for p in parameters if p.grad is not None]
    squares = 0.0
    for parameter in with_grad:
        flat = parameter.grad.numpy().ravel()  # type: ignore[union-attr]  # filtered above
        squares += float(np.dot(flat, flat))
    norm = math.sqrt(squares) if math.isfinite(squares) else math.inf
    if not math.isfinite(norm):
        names = [p.name or str(p.shape) for p in with_grad if not np.isfinite(p.grad.numpy()).all()]  # type: ignore[union-attr]  # filtered above
        raise GradientError(
            "clip_grad_norm: the norm of the gradients is not finite"
            + (f" (in {', '.join(names)})" if names else ", the squares overflow")
            + ". minigrad.anomaly_mode() finds the operation that made it."
        )
    if norm > max_norm:
        for parameter in with_grad:
            parameter.grad = parameter.grad * (max_norm / norm)  # type: ignore[operator]
    return norm
