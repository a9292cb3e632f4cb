"""Operations of neural networks."""

from typing import Any

import numpy as np

from minigrad.errors import ShapeError, describe
from minigrad.fused import fused
from minigrad.ops.elementwise import exp, log
from minigrad.ops.reduction import max as max_over
from minigrad.primitives import primitive

__all__ = [
    "cross_entropy",
    "embedding",
    "log_softmax",
    "softmax",
]

METHODS = (
    "softmax",
    "log_softmax",
)  # operations that are methods of Tensor too

Array = Any


@primitive
def softmax(x: Array, /, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`; computed without overflow."""
    e = np.exp(x - np.max(x.real, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


softmax.vjp(x=lambda g, y, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)))


@primitive
def log_softmax(x: Array, /, axis: int = -1) -> Array:
    """The logarithm of `softmax`; computed without overflow."""
    shifted = x - np.max(x.real, axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


log_softmax.vjp(x=lambda g, y, axis: g - np.exp(y) * g.sum(axis=axis, keepdims=True))


def _cross_entropy_reference(logits: Any, target: Any) -> Any:
    check_classes(logits, target)
    shifted = logits - max_over(logits, axis=-1, keepdims=True).detach()
    log_total = log(exp(shifted).sum(axis=-1))
    flat = shifted.reshape((-1, logits.shape[-1]))
    codes = np.asarray(target).reshape(-1)
    chosen = flat[np.arange(codes.size), codes]
    return (log_total.reshape(-1) - chosen).mean()


def _cross_entropy_backward(
    grads: Any, residuals: Any, inputs: Any, needed: Any, target: Any
) -> tuple[Any, ...]:
    probabilities, codes = residuals
    count = codes.size
    d = probabilities * (grads[0] / count)
    d[np.arange(count), codes] -= grads[0] / count
    return (d.reshape(inputs[0].shape),)


@fused(reference=_cross_entropy_reference, backward=_cross_entropy_backward)
def cross_entropy(logits: Array, /, target: Any) -> Array:
    """The mean of -log softmax(logits)[target], in nats.

    Args:
        logits: scores of shape (..., classes).
        target: class numbers, integers of shape (...).

    Raises:
        ShapeError: when the shapes do not fit or a class number is out of range.
    """
    codes = check_classes(logits, target)
    flat = logits.reshape(-1, logits.shape[-1])  # (count, classes)
    shifted = flat - flat.max(axis=-1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=-1, keepdims=True)
    chosen = shifted[np.arange(codes.size), codes]
    loss = (np.log(total[:, 0]) - chosen).mean()
    e /= total
    return loss, (e, codes)


def check_classes(logits: Any, target: Any) -> "np.ndarray[Any, Any]":
    """The flat class numbers, checked against the logits."""
    codes = np.asarray(target)
    if codes.dtype.kind not in "iu" or codes.shape != logits.shape[:-1] or not codes.size:
        raise ShapeError(
            f"cross_entropy: target must hold integer class numbers of shape {logits.shape[:-1]} "
            f"(the logits' shape without its last axis), at least one, got {describe(codes)}"
        )
    flat = codes.reshape(-1)
    if flat.min() < 0 or flat.max() >= logits.shape[-1]:
        raise ShapeError(
            f"cross_entropy: target has class numbers from {flat.min()} to {flat.max()}, but the "
            f"logits {describe(logits)} score the classes 0 to {logits.shape[-1] - 1}"
        )
    return flat


@primitive
def embedding_gradient(x: Array, /, index: Any, rows: int) -> Array:
    """Rows of `x` added up by their index: a product with one-hot rows, faster than `np.add.at`."""
    codes = np.asarray(index).reshape(-1)
    features = x.shape[-1]
    out = np.zeros((rows, features), x.dtype)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    if codes.size:
        flat = x.reshape(-1, features)[order]
        out[codes[order][starts]] = np.add.reduceat(flat, starts, axis=0)
    return out


@primitive
def embedding(weight: Array, /, index: Any) -> Array:
    """The rows `weight[index]` of a table (rows, features) for integers of any shape."""
    codes = np.asarray(index)
    if codes.dtype.kind not in "iu" or (
        codes.size and (codes.min() < 0 or codes.max() >= len(weight))
    ):
        raise ShapeError(
            f"index must hold integers from 0 to {len(weight) - 1}, got {describe(codes)}"
            + (f" from {codes.min()} to {codes.max()}" if codes.size else "")
        )
    return weight[codes]


embedding.vjp(
    weight=lambda g, weight_shape, index: embedding_gradient.generic(g, index, weight_shape[0])
)


embedding_gradient.vjp(x=lambda g, index: embedding.generic(g, index))
