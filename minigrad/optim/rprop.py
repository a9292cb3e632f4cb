"""Rprop: a step of its own for each weight, from the signs of its gradients alone."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.options import pair_of
from minigrad.optim.states import State

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller and Braun 1993), with PyTorch's formula and defaults.

    The step of a weight grows while its gradient keeps its sign, and shrinks where it changes; a
    weight whose gradient changed its sign rests for one step. It is meant for whole data sets: the
    signs of gradients of small batches change by chance.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the first step of every weight.
        etas: by what a step shrinks and grows.
        step_sizes: the smallest and the largest step.
        maximize: go up along the gradient.
    """

    _sizes: ClassVar[frozenset[str]] = frozenset({"step_size"})

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            etas=pair_of("Rprop", "etas", etas),
            step_sizes=pair_of("Rprop", "step_sizes", step_sizes),
            maximize=maximize,
        )

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that are out of their range."""
        super().check(options)
        shrink, grow = options["etas"]
        smallest, largest = options["step_sizes"]
        if not 0 < shrink < 1 < grow:
            raise ValueError(
                "Rprop: etas must be a number between 0 and 1 and one above 1, got "
                f"{options['etas']}"
            )
        if not smallest <= largest:
            raise ValueError(
                f"Rprop: step_sizes must be the smallest and the largest, got "
                f"{options['step_sizes']}"
            )

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """Every weight begins with a step of the rate."""
        state["before"] = np.zeros_like(value)
        state["step_size"] = np.full_like(value, options["rate"])

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        shrink, grow = options["etas"]
        smallest, largest = options["step_sizes"]
        turned = np.sign(gradient) * np.sign(state["before"])  # a product could underflow
        factor = np.where(turned > 0, grow, np.where(turned < 0, shrink, 1)).astype(value.dtype)
        step = state["step_size"] = np.clip(state["step_size"] * factor, smallest, largest)
        gradient = np.where(turned < 0, 0, gradient)
        state["before"] = gradient
        new: PlainArray = value - np.sign(gradient) * step
        return new
