"""What all optimisers share: their parameters, a step count and a state dict."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.errors import GradientError, describe
from minigrad.tensors import Tensor

__all__ = ["Optimizer"]


class Optimizer:
    """The base of optimisers.

    Args:
        parameters: the tensors to update; leaves that require grad.
        rate: the learning rate; may be changed between steps.

    Raises:
        GradientError: when there is no parameter, or one is not a leaf that requires grad.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        self.parameters = list(parameters)
        self.rate = rate
        self.steps = 0
        self.state: list[dict[str, np.ndarray[Any, Any]]] = [{} for _ in self.parameters]
        if not self.parameters:
            raise GradientError(f"{type(self).__name__}: parameters is empty, nothing to optimise")
        for i, parameter in enumerate(self.parameters):
            if not (parameter.requires_grad and parameter.is_leaf):
                raise GradientError(
                    f"{type(self).__name__}: parameters[{i}] {describe(parameter)} is not a leaf "
                    "that requires grad"
                )
        if rate < 0:
            raise ValueError(f"{type(self).__name__}: rate must be 0 or more, got {rate}")

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps += 1
        for parameter, state in zip(self.parameters, self.state, strict=True):
            if parameter.grad is not None:
                parameter.write(self.update(parameter.numpy(), parameter.grad.numpy(), state))

    def update(
        self,
        value: "np.ndarray[Any, Any]",
        gradient: "np.ndarray[Any, Any]",
        state: dict[str, "np.ndarray[Any, Any]"],
    ) -> "np.ndarray[Any, Any]":
        """The new value of one parameter, as a new array; `state` is its own to keep."""
        raise AttributeError(f"{type(self).__name__} defines no update")

    def state_dict(self) -> dict[str, "np.ndarray[Any, Any]"]:
        """The step count and all state as arrays by name."""
        arrays = {
            f"{i}.{name}": array.copy()
            for i, state in enumerate(self.state)
            for name, array in state.items()
        }
        return {"steps": np.asarray(self.steps), "rate": np.asarray(self.rate), **arrays}

    def load_state_dict(self, arrays: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            KeyError: when it belongs to another number of parameters.
        """
        state: list[dict[str, np.ndarray[Any, Any]]] = [{} for _ in self.parameters]
        for key, array in arrays.items():
            index, _, name = key.partition(".")
            if name:
                if int(index) >= len(state):
                    raise KeyError(
                        f"{type(self).__name__}.load_state_dict: state of parameter {index}, but "
                        f"there are {len(state)} parameters"
                    )
                state[int(index)][name] = np.array(array)
        self.state, self.steps, self.rate = state, int(arrays["steps"]), float(arrays["rate"])
