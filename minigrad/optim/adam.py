"""Adam."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.optim.optimizer import Optimizer
from minigrad.tensors import Tensor

__all__ = ["Adam"]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with PyTorch's formula and defaults.

    Args:
        parameters: the tensors to update.
        rate: the learning rate.
        betas: how slowly the averages of gradient and squared gradient follow.
        epsilon: added to the root of the squared average.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, rate)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: betas must be in [0, 1), got {betas}")
        self.betas = betas
        self.epsilon = epsilon

    def update(
        self,
        value: "np.ndarray[Any, Any]",
        gradient: "np.ndarray[Any, Any]",
        state: dict[str, "np.ndarray[Any, Any]"],
    ) -> "np.ndarray[Any, Any]":
        """The new value of one parameter."""
        beta1, beta2 = self.betas
        if not state:
            state["mean"], state["square"] = np.zeros_like(value), np.zeros_like(value)
        mean, square = state["mean"], state["square"]
        mean *= beta1
        mean += (1 - beta1) * gradient
        square *= beta2
        square += (1 - beta2) * (gradient * gradient)
        root: np.ndarray[Any, Any] = np.sqrt(square)
        root /= math.sqrt(1 - beta2**self.steps)
        root += self.epsilon
        np.divide(mean, root, out=root)
        root *= -self.rate / (1 - beta1**self.steps)
        root += value
        return root
