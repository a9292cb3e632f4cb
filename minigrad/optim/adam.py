"""Adam and AdamW."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.options import pair_of
from minigrad.optim.states import State, follow, follow_square

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with PyTorch's defaults.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        betas: how slowly the averages of gradient and squared gradient follow.
        epsilon: added to the root of the squared average.
        weight_decay: a penalty that pulls the weights to zero, added to the gradient, and so
            divided by the same root; `AdamW` does not divide it.
        amsgrad: divide by the largest squared average so far (Reddi et al. 2018).
        maximize: go up along the gradient.
    """

    _fractions: ClassVar[frozenset[str]] = frozenset({"betas"})
    _zeros: ClassVar[tuple[str, ...]] = ("mean", "square")
    _sizes: ClassVar[frozenset[str]] = frozenset({"square", "largest_square"})
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            betas=pair_of(type(self).__name__, "betas", betas),
            epsilon=epsilon,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        beta1, beta2 = options["betas"]
        rate, decay, steps = options["rate"], options["weight_decay"], state["steps"]
        if decay and not self._decoupled:
            gradient = gradient + decay * value
        mean, square = state["mean"], state["square"]
        follow(mean, gradient, beta1)
        follow_square(square, gradient, beta2)
        if options["amsgrad"]:
            if "largest_square" not in state:
                state["largest_square"] = np.zeros_like(value)
            square = np.maximum(state["largest_square"], square, out=state["largest_square"])
        root: PlainArray = np.sqrt(square)
        root /= (1 - beta2**steps) ** 0.5
        root += options["epsilon"]
        np.divide(mean, root, out=root)
        root *= -rate / (1 - beta1**steps)
        root += value * (1 - rate * decay) if decay and self._decoupled else value
        return root


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w shrinks by rate x decay w.

    Args:
        parameters, rate, betas, epsilon, amsgrad, maximize: as in `Adam`.
        weight_decay: what share of a weight is taken off, times the rate.
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(parameters, rate, betas, epsilon, weight_decay, amsgrad, maximize=maximize)
