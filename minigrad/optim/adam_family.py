"""What came of Adam: with Nesterov's momentum, rectified, and by the infinity norm."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.options import pair_of
from minigrad.optim.states import State, follow, follow_square

__all__ = ["Adamax", "NAdam", "RAdam"]


class Adamax(Optimizer):
    """Adam by the infinity norm (Kingma and Ba 2015, algorithm 2), with PyTorch's defaults.

        m = beta1 m + (1 - beta1) g,  u = max(beta2 u, |g| + epsilon),
        w = w - rate / (1 - beta1^t) m / u

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        betas: how slowly m follows, and how slowly u falls.
        epsilon: added to the size of the gradient.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        maximize: go up along the gradient.
    """

    _fractions: ClassVar[frozenset[str]] = frozenset({"betas"})
    _zeros: ClassVar[tuple[str, ...]] = ("mean", "norm")
    _sizes: ClassVar[frozenset[str]] = frozenset({"norm"})

    def __init__(
        self,
        parameters: Any,
        rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            betas=pair_of(type(self).__name__, "betas", betas),
            epsilon=epsilon,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        beta1, beta2 = options["betas"]
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        mean, norm = state["mean"], state["norm"]
        follow(mean, gradient, beta1)
        size = np.abs(gradient)
        size += options["epsilon"]
        norm *= beta2
        np.maximum(norm, size, out=norm)
        step: PlainArray = mean / norm
        step *= -options["rate"] / (1 - beta1 ** state["steps"])
        step += value
        return step


class _Decaying(Optimizer):
    """Adam's averages, and a weight decay in the gradient or apart from it."""

    _fractions: ClassVar[frozenset[str]] = frozenset({"betas"})
    _zeros: ClassVar[tuple[str, ...]] = ("mean", "square")
    _sizes: ClassVar[frozenset[str]] = frozenset({"square"})

    @staticmethod
    def _decay(
        value: PlainArray, gradient: PlainArray, options: Mapping[str, Any]
    ) -> tuple[PlainArray, PlainArray]:
        """Value and gradient, one of them with the weight decay."""
        decay = options["weight_decay"]
        if decay and options["decoupled_weight_decay"]:
            return value * (1 - options["rate"] * decay), gradient
        return value, gradient + decay * value if decay else gradient


class NAdam(_Decaying):
    """Adam with Nesterov's momentum (Dozat 2016), with PyTorch's formula and defaults.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        betas: how slowly the averages of gradient and squared gradient follow.
        epsilon: added to the root of the squared average.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        momentum_decay: the momentum of step t is beta1 (1 - 0.96 ** (momentum_decay t) / 2).
        decoupled_weight_decay: take the decay off the weights as `AdamW` does.
        maximize: go up along the gradient.
    """

    _numbers: ClassVar[Mapping[str, float]] = {"momenta": 1.0}

    def __init__(
        self,
        parameters: Any,
        rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            betas=pair_of(type(self).__name__, "betas", betas),
            epsilon=epsilon,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """The product of all momenta so far begins at one."""
        super().begin(state, value, options)
        state["momenta"] = 1.0

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        beta1, beta2 = options["betas"]
        rate, steps = options["rate"], state["steps"]
        value, gradient = self._decay(value, gradient, options)
        now, following = (
            beta1 * (1 - 0.5 * 0.96 ** (t * options["momentum_decay"])) for t in (steps, steps + 1)
        )
        momenta = state["momenta"] = state["momenta"] * now
        mean, square = state["mean"], state["square"]
        follow(mean, gradient, beta1)
        follow_square(square, gradient, beta2)
        root: PlainArray = np.sqrt(square / (1 - beta2**steps))
        root += options["epsilon"]
        step: PlainArray = gradient * (-rate * (1 - now) / (1 - momenta))
        step += mean * (-rate * following / (1 - momenta * following))
        step /= root
        step += value
        return step


class RAdam(_Decaying):
    """Adam whose first steps do not divide by a variance not yet known (Liu et al. 2020).

    With PyTorch's formula and defaults.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        betas: how slowly the averages of gradient and squared gradient follow.
        epsilon: added to the root of the squared average.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        decoupled_weight_decay: take the decay off the weights as `AdamW` does.
        maximize: go up along the gradient.
    """

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            betas=pair_of(type(self).__name__, "betas", betas),
            epsilon=epsilon,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        beta1, beta2 = options["betas"]
        steps = state["steps"]
        value, gradient = self._decay(value, gradient, options)
        mean, square = state["mean"], state["square"]
        follow(mean, gradient, beta1)
        follow_square(square, gradient, beta2)
        known = 1 - beta2**steps
        longest = 2 / (1 - beta2) - 1  # the length of the average of squares, in the end
        length = longest - 2 * steps * beta2**steps / known  # and at this step
        step: PlainArray = mean * (-options["rate"] / (1 - beta1**steps))
        if length > 5:
            rectified = (
                (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            ) ** 0.5
            root: PlainArray = np.sqrt(square)
            root += options["epsilon"]
            step *= known**0.5 * rectified / root
        step += value
        return step
