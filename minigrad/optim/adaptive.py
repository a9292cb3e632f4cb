"""RMSprop, Adagrad and Adadelta: each weight's rate adapts to the size of its gradients."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.states import State, follow, follow_square

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012), with PyTorch's formula and defaults.

        v = alpha v + (1 - alpha) g^2,  m = momentum m + g / (sqrt(v) + epsilon),  w = w - rate m

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        alpha: how slowly the average of the squared gradient follows.
        epsilon: added to its root.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        momentum: the share of the last step that goes on.
        centered: divide by the standard deviation instead: v less the square of the average of g
            (Graves 2013).
        maximize: go up along the gradient.
    """

    _fractions: ClassVar[frozenset[str]] = frozenset({"alpha"})
    _zeros: ClassVar[tuple[str, ...]] = ("square",)
    _sizes: ClassVar[frozenset[str]] = frozenset({"square"})

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-2,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            alpha=alpha,
            epsilon=epsilon,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        alpha, momentum = options["alpha"], options["momentum"]
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        square = state["square"]
        follow_square(square, gradient, alpha)
        if options["centered"]:
            if "mean" not in state:
                state["mean"] = np.zeros_like(value)
            mean = state["mean"]
            follow(mean, gradient, alpha)
            # A variance, which rounding may put just below zero.
            square = np.maximum(square - mean * mean, 0)
        root: PlainArray = np.sqrt(square)
        root += options["epsilon"]
        step: PlainArray = np.divide(gradient, root, out=root)
        if momentum:
            if "momentum" not in state:
                state["momentum"] = np.zeros_like(value)
            kept: PlainArray = state["momentum"]
            kept *= momentum
            kept += step
            np.multiply(kept, -options["rate"], out=step)
        else:
            step *= -options["rate"]
        step += value
        return step


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011), with PyTorch's formula and defaults.

        s = s + g^2,  w = w - rate / (1 + (t - 1) rate_decay) g / (sqrt(s) + epsilon)

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        rate_decay: how fast the rate falls with the step t = 1, 2, ...
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        initial_accumulator: what s begins with.
        epsilon: added to the root of s.
        maximize: go up along the gradient.
    """

    _sizes: ClassVar[frozenset[str]] = frozenset({"sum"})

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-2,
        rate_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator: float = 0.0,
        epsilon: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            rate_decay=rate_decay,
            weight_decay=weight_decay,
            initial_accumulator=initial_accumulator,
            epsilon=epsilon,
            maximize=maximize,
        )

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """The sum begins at `initial_accumulator`."""
        state["sum"] = np.full_like(value, options["initial_accumulator"])

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        state["sum"] += gradient * gradient
        root: PlainArray = np.sqrt(state["sum"])
        root += options["epsilon"]
        np.divide(gradient, root, out=root)
        root *= -options["rate"] / (1 + (state["steps"] - 1) * options["rate_decay"])
        root += value
        return root


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012): steps in the units of the weights, whatever those of the gradients.

        v = rho v + (1 - rho) g^2,  d = sqrt(u + epsilon) / sqrt(v + epsilon) g
        u = rho u + (1 - rho) d^2,  w = w - rate d

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: what the steps are multiplied with.
        rho: how slowly both averages follow.
        epsilon: added within both roots.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        maximize: go up along the gradient.
    """

    _fractions: ClassVar[frozenset[str]] = frozenset({"rho"})
    _zeros: ClassVar[tuple[str, ...]] = ("square", "step_square")
    _sizes: ClassVar[frozenset[str]] = frozenset({"square", "step_square"})

    def __init__(
        self,
        parameters: Any,
        rate: float = 1.0,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            rho=rho,
            epsilon=epsilon,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        rho, epsilon = options["rho"], options["epsilon"]
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        square = state["square"]
        follow_square(square, gradient, rho)
        step: PlainArray = np.sqrt(state["step_square"] + epsilon)
        step /= np.sqrt(square + epsilon)
        step *= gradient
        follow_square(state["step_square"], step, rho)
        step *= -options["rate"]
        step += value
        return step
