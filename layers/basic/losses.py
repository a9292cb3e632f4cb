"""Losses as modules: they hold a loss's options and, as buffers, its weights.

Each computes the function of `minigrad` that its docstring names, whose documentation gives the
formula and the errors. `reduction` is "mean", "sum", or "none" for the loss of every place. Losses
do not broadcast: predictions and target must fit each other exactly.
"""

from typing import Any

import minigrad as mg
from layers.base.module import Module
from minigrad import Tensor
from minigrad.core.tensors import TensorLike
from minigrad.ops.checks import check_probabilities
from minigrad.ops.nn.class_targets import check_reduction

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
]


class Loss(Module):
    """A loss with its reduction, and with factors that are kept as buffers."""

    def __init__(self, reduction: str, *more: str, **factors: Any) -> None:
        super().__init__()
        check_reduction(type(self).__name__, reduction, *more)
        self.reduction = reduction
        for name, value in factors.items():
            self.register_buffer(name, value)


class CrossEntropyLoss(Loss):
    """The cross entropy between softmax(scores) and the target; see `minigrad.cross_entropy`.

    Args:
        weight: a factor for each class (classes,), or None; a buffer.
        ignore_index: a class number whose places add nothing to the loss.
        reduction: "mean", over the weights of the target classes; "sum" or "none".
        label_smoothing: how much of the target to spread uniformly over all classes, 0 to 1.
        axis: the class axis: the last one, as in all layers here. PyTorch's is axis 1, which
            differs once there are more than two axes: pass axis=1 for its layout.

    Shapes: scores (..., classes); target integers (...) or probabilities (..., classes).

    >>> import numpy as np
    >>> CrossEntropyLoss()(np.zeros((2, 4)), np.array([1, 3])).item()
    1.3862943611198906
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(reduction, weight=weight)
        check_probabilities("CrossEntropyLoss", label_smoothing=label_smoothing)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.axis = axis

    def forward(self, logits: TensorLike, target: Any) -> Tensor:
        """The loss of scores against class numbers or probabilities."""
        return mg.cross_entropy(
            logits,
            target,
            self.weight,
            self.ignore_index,
            self.reduction,
            self.label_smoothing,
            self.axis,
        )


class NLLLoss(Loss):
    """Minus the log probability of each target class; see `minigrad.nll_loss`.

    Args:
        weight, ignore_index, reduction, axis: as in `CrossEntropyLoss`.

    Shapes: log probabilities (..., classes); target integers (...).
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        axis: int = -1,
    ) -> None:
        super().__init__(reduction, weight=weight)
        self.ignore_index = ignore_index
        self.axis = axis

    def forward(self, log_probabilities: TensorLike, target: Any) -> Tensor:
        """The loss of log probabilities against class numbers."""
        options = (self.weight, self.ignore_index, self.reduction, self.axis)
        return mg.nll_loss(log_probabilities, target, *options)


class BCELoss(Loss):
    """The binary cross entropy of probabilities; see `minigrad.binary_cross_entropy`.

    Prefer `BCEWithLogitsLoss`, which loses no digits near 0 and 1.

    Args:
        weight: a factor for each place, broadcast to their shape, or None; a buffer.
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction, weight=weight)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of probabilities against probabilities of the same shape."""
        return mg.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Loss):
    """The binary cross entropy of scores; see `minigrad.binary_cross_entropy_with_logits`.

    Args:
        weight: a factor for each place, broadcast to their shape, or None; a buffer.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for the positive part, broadcast likewise, or None; a buffer.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of scores (log odds) against probabilities of the same shape."""
        options = (self.weight, self.reduction, self.pos_weight)
        return mg.binary_cross_entropy_with_logits(x, target, *options)


class MSELoss(Loss):
    """The squared error; see `minigrad.mse_loss`.

    >>> import numpy as np
    >>> MSELoss()(np.array([1.0, 2.0]), np.array([0.0, 4.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of predictions against a target of the same shape."""
        return mg.mse_loss(x, target, reduction=self.reduction)


class L1Loss(Loss):
    """The absolute error, whose derivative at 0 is 0; see `minigrad.l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of predictions against a target of the same shape."""
        return mg.l1_loss(x, target, reduction=self.reduction)


class HuberLoss(Loss):
    """Squared for errors up to delta, linear beyond; see `minigrad.huber_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        delta: the bound, above 0.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss: delta must be above 0, got {delta}")
        self.delta = delta

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of predictions against a target of the same shape."""
        return mg.huber_loss(x, target, self.delta, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """`HuberLoss` divided by its bound beta; see `minigrad.smooth_l1_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        beta: the bound, 0 or more; with 0 it is `L1Loss`.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if not beta >= 0:
            raise ValueError(f"SmoothL1Loss: beta must be 0 or more, got {beta}")
        self.beta = beta

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of predictions against a target of the same shape."""
        return mg.smooth_l1_loss(x, target, self.beta, reduction=self.reduction)


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence, from log probabilities; see `minigrad.kl_div`.

    Args:
        reduction: "mean" over all places, as in PyTorch; "batchmean", the sum divided by the
            length of the first axis, which is the divergence by its definition; "sum" or "none".
        log_target: whether the target holds logarithms.
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, "batchmean")
        self.log_target = log_target

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The divergence of log probabilities from a target of the same shape."""
        return mg.kl_div(x, target, self.reduction, self.log_target)


class GaussianNLLLoss(Loss):
    """The likelihood of numbers under predicted means and variances; see `gaussian_nll_loss`.

    Args:
        full: whether to add the constant log(2 pi) / 2.
        eps: the smallest variance, above 0.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not eps > 0:
            raise ValueError(f"GaussianNLLLoss: eps must be above 0, got {eps}")
        self.full, self.eps = full, eps

    def forward(self, x: TensorLike, target: Any, var: Any) -> Tensor:
        """The loss of means and variances against a target of the shape of the means."""
        return mg.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(Loss):
    """The likelihood of counts under predicted rates; see `minigrad.poisson_nll_loss`.

    Args:
        log_input: whether the logarithms of rates are predicted, or rates themselves.
        full: whether to add log(target!) by Stirling's formula.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of rates against counts of the same shape."""
        options = (self.log_input, self.full, self.eps, self.reduction)
        return mg.poisson_nll_loss(x, target, *options)
