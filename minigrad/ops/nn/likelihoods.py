"""Negative log-likelihood losses: Gaussian with a predicted variance, and Poisson."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensors, quiet, widen
from minigrad.ops.checks import OptionError
from minigrad.ops.elementwise.powers import exp, log
from minigrad.ops.nn.loss_parts import pair, reduced
from minigrad.ops.primitives import primitive

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]


@quiet
def gaussian_nll_loss(
    x: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The Gaussian negative log-likelihood (Nix and Weigend 1994).

    (log var + (x - target) ** 2 / var) / 2.

    Args:
        x: predicted means, floating, of any shape.
        target: what they should be, in the same shape.
        var: predicted variances: in that shape, or with 1 for the length of the last axis, or
            without that axis, or one number for all.
        full: whether to add the constant log(2 pi) / 2.
        eps: the smallest variance; where it takes the place of one, the gradient is as if that
            were the variance, so that it may grow again, as in PyTorch.
        reduction: "mean" over all places, "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit: losses do not broadcast.
        ValueError: when a variance is negative, or `eps` is not above 0.

    >>> gaussian_nll_loss(np.array([1.0]), np.array([0.0]), np.array([1.0])).item()
    0.5
    """
    name = "gaussian_nll_loss"
    if not eps > 0:
        raise ValueError(f"{name}: eps must be above 0, got {eps}")
    mean, wanted, dtype = pair(name, x, target, reduction)
    _, variance = as_tensors(name, x=mean, var=var)
    shapes = {mean.shape, (), (*mean.shape[:-1], 1)}
    if mean.ndim and variance.shape == mean.shape[:-1]:
        variance = variance.reshape((*variance.shape, 1))
    elif variance.shape not in shapes:
        raise ShapeError(
            f"{name}: var must have the shape of x, or 1 for the length of its last axis, or be a "
            f"number, got x {describe(mean)} and var {describe(variance)}"
        )
    dtype = np.result_type(dtype, variance.dtype)
    variance = gaussian_nll_variance(widen(variance), eps)
    difference = mean - wanted
    rows = (log(variance) + difference * difference / variance) * 0.5
    if full:
        rows = rows + 0.5 * math.log(2 * math.pi)
    return reduced(name, rows, dtype, None, reduction)


@primitive
def gaussian_nll_variance(var: Array, /, eps: float) -> Array:
    """A variance, or `eps` where that is larger; its derivative is 1 there, too."""
    if (var.real < 0).any():
        raise OptionError(
            "a variance must not be negative, got var from "
            f"{var.real.min()}; predict its logarithm, or pass softplus of what is predicted"
        )
    return np.maximum(var, eps)


gaussian_nll_variance.vjp(var=lambda g: g)


@quiet
def poisson_nll_loss(
    x: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """The Poisson negative log-likelihood of counts, of rate exp(x): exp(x) - target x.

    Args:
        x: predicted logarithms of rates, floating, of any shape.
        target: counts, in the same shape.
        log_input: False for rates themselves: the loss is x - target log(x + eps).
        full: whether to add log(target!) by Stirling's formula, where the target is above 1.
        eps: keeps the logarithm finite at a rate of 0.
        reduction: "mean" over all places, "sum" or "none".

    Raises:
        ShapeError: when the shapes differ: losses do not broadcast.

    >>> poisson_nll_loss(np.array([0.0]), np.array([2.0])).item()
    1.0
    """
    name = "poisson_nll_loss"
    rate, count, dtype = pair(name, x, target, reduction)
    rows = exp(rate) - count * rate if log_input else rate - count * log(rate + eps)
    if full:
        several = count.detach().numpy().real > 1
        safe = np.where(several, count, 1)
        stirling = safe * log(safe) - safe + log(safe * (2 * math.pi)) * 0.5
        rows = rows + stirling * several
    return reduced(name, rows, dtype, None, reduction)
