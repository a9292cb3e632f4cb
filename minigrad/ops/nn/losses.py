"""Losses without classes: MSE, L1, Huber, binary cross entropy, KL divergence.

None of them broadcasts: predictions and target must have equal shapes. All are differentiated by
the target too.
"""

import math
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import named, quiet
from minigrad.ops.checks import OptionError
from minigrad.ops.elementwise.powers import exp
from minigrad.ops.nn.activations import sigmoid, softplus
from minigrad.ops.nn.class_targets import check_reduction
from minigrad.ops.nn.loss_parts import factor, pair, reduced
from minigrad.ops.primitives import primitive

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


SMALLEST_LOG = -100.0  # PyTorch's bound for the logarithm of a probability
SMALLEST_VARIANCE = 1e-12  # and for p (1 - p) in its derivative


@quiet
def mse_loss(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The mean squared error (MSE): (x - target) ** 2.

    Args:
        x: predictions, floating, of any shape.
        target: what they should be, in the same shape.
        weight: a constant factor for each place, broadcast to that shape, or None.
        reduction: "mean" over all places (NaN when there are none), "sum", or "none" for the
            losses in the shape of `x`.

    Raises:
        ShapeError: when the shapes differ: losses do not broadcast.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([0.0, 4.0])).item()
    2.5
    """
    predicted, wanted, dtype = pair("mse_loss", x, target, reduction)
    difference = predicted - wanted
    return reduced("mse_loss", difference * difference, dtype, weight, reduction)


@quiet
def l1_loss(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The mean absolute error (L1) |x - target|, with derivative 0 at 0; see `mse_loss`."""
    predicted, wanted, dtype = pair("l1_loss", x, target, reduction)
    return reduced("l1_loss", abs(predicted - wanted), dtype, weight, reduction)


@quiet
def huber_loss(
    x: Any, target: Any, delta: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The Huber loss (Huber 1964), quadratic for small errors and linear for large ones.

    d ** 2 / 2 for errors |d| up to delta, and delta (|d| - delta / 2) beyond.
    The other arguments are those of `mse_loss`.

    Raises:
        ValueError: when `delta` is not above 0.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    predicted, wanted, dtype = pair("huber_loss", x, target, reduction)
    rows = huber(predicted - wanted, delta)
    return reduced("huber_loss", rows, dtype, weight, reduction)


@quiet
def smooth_l1_loss(
    x: Any, target: Any, beta: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The smooth L1 loss (Girshick 2015): `huber_loss` over its bound `beta`; with 0, `l1_loss`.

    Raises:
        ValueError: when `beta` is negative.
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must be 0 or more, got {beta}")
    predicted, wanted, dtype = pair("smooth_l1_loss", x, target, reduction)
    difference = predicted - wanted
    rows = huber(difference, beta) * (1 / beta) if beta else abs(difference)
    return reduced("smooth_l1_loss", rows, dtype, weight, reduction)


@quiet
def binary_cross_entropy(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """The binary cross entropy of probabilities: -(target log x + (1 - target) log(1 - x)).

    Prefer `binary_cross_entropy_with_logits`, which loses no digits near 0 and 1. As in PyTorch
    the logarithms stop at -100, and x (1 - x) in the derivative at 1e-12. The other arguments are
    those of `mse_loss`.

    Raises:
        ShapeError: when the shapes differ.
        ValueError: when a probability is not within 0 to 1.
    """
    predicted, wanted, dtype = pair("binary_cross_entropy", x, target, reduction)
    rows = bernoulli_surprise(predicted, wanted)
    return reduced("binary_cross_entropy", rows, dtype, weight, reduction)


@quiet
def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """The binary cross entropy between sigmoid(x) and the target, accurate for all scores.

    Args:
        x: scores (log odds), floating, of any shape.
        target: probabilities in the same shape; 0 and 1 may be integers or booleans.
        weight: a constant factor for each place, broadcast to that shape, or None.
        reduction: "mean" over all places, "sum" or "none".
        pos_weight: a constant factor for the positive part, broadcast likewise (usually one for
            each class, along the last axis), or None.

    Raises:
        ShapeError: when the shapes differ: losses do not broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    scores, wanted, dtype = pair(name, x, target, reduction)
    positive, negative = wanted, 1 - wanted
    if pos_weight is not None:
        positive = positive * factor(name, "pos_weight", pos_weight, scores)
    rows = logistic_loss(scores, positive, negative)
    return reduced(name, rows, dtype, weight, reduction)


@quiet
def kl_div(x: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence target (log target - x), from log probabilities `x`.

    Args:
        x: log probabilities of the model, floating, of any shape.
        target: probabilities in the same shape, or their logarithms with `log_target`. Places of
            probability 0 add nothing, and the derivative of 0 log 0 is taken as 0.
        reduction: "mean" over all places, as in PyTorch; "batchmean", the sum divided by the
            length of the first axis (of a scalar: by 1), which is the divergence by its
            definition; "sum" or "none".
        log_target: whether the target holds logarithms.

    Raises:
        ShapeError: when the shapes differ: losses do not broadcast.
    """
    check_reduction("kl_div", reduction, "batchmean")
    model, wanted, dtype = pair("kl_div", x, target, "sum")
    rows: Tensor
    if log_target:
        probability = exp(wanted)
        rows = probability * np.where(probability == 0, 0, wanted - model)
    else:
        rows = entropy_term(wanted) - wanted * np.where(
            (wanted == 0) * (model == -np.inf), 0, model
        )
    if reduction != "batchmean":
        return reduced("kl_div", rows, dtype, None, reduction)
    total, count = rows.sum(), rows.shape[0] if rows.ndim else 1
    return (total / count if count else total * math.nan).astype(dtype)


# -- the operations that they are made of ---------------------------------------------------------


@primitive
@quiet
def huber(x: Array, /, delta: float) -> Array:
    """x ** 2 / 2 where |x| is below delta, and delta (|x| - delta / 2) elsewhere."""
    size = x * np.sign(x.real)
    inside = np.minimum(size, delta)
    return inside * (size - inside * 0.5)


huber.vjp(x=lambda g, x, delta: g * np.minimum(np.maximum(x, -delta), delta))


@primitive
@quiet
def logistic_loss(x: Array, positive: Array, negative: Array, /) -> Array:
    """positive * softplus(-x) + negative * softplus(x): no term cancels another."""
    above = np.maximum(x, 0)
    tail = np.log1p(np.exp(x - 2 * above))  # log(1 + exp(-|x|))
    return positive * (tail + (above - x)) + negative * (tail + above)


logistic_loss.vjp(
    x=lambda g, x, positive, negative: (
        g * (negative * sigmoid.generic(x) - positive * sigmoid.generic(-x))
    ),
    positive=lambda g, x: g * softplus.generic(-x),
    negative=lambda g, x: g * softplus.generic(x),
)


@primitive(hint="If these are scores, use binary_cross_entropy_with_logits")
@named("binary_cross_entropy")
@quiet
def bernoulli_surprise(x: Array, target: Array, /) -> Array:
    """-(target log x + (1 - target) log(1 - x)), with logarithms of at least -100."""
    if ((x.real < 0) | (x.real > 1)).any():
        raise OptionError(
            f"probabilities must be within 0 to 1, got {x.real.min()} to {x.real.max()}"
        )
    return -(target * _bounded_log(x) + (1 - target) * _bounded_log(1 - x))


def _bounded_log(x: Array) -> Array:
    return np.maximum(np.log(x), SMALLEST_LOG)


bernoulli_surprise.vjp(
    x=lambda g, x, target: g * ((x - target) / np.maximum(x * (1 - x), SMALLEST_VARIANCE)),
    target=lambda g, x: g * (_bounded_log(1 - x) - _bounded_log(x)),
)


@primitive
@quiet
def entropy_term(x: Array, /) -> Array:
    """x log x, and 0 at 0, where the derivative is taken as 0 too."""
    return x * np.log(np.where(x == 0, 1, x))


entropy_term.vjp(x=lambda g, x: g * np.where(x == 0, 0, np.log(np.where(x == 0, 1, x)) + 1))
