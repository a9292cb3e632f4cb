"""Stochastic gradient descent."""

from collections.abc import Mapping
from typing import Any

from minigrad.optim.optimizer import Optimizer, PlainArray, State

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak 1964) if asked for, as PyTorch writes it.

        d = g + weight_decay w,  m = momentum m + (1 - dampening) d,  w = w - rate m

    The first m is d. With `nesterov` (Sutskever et al. 2013) the step goes along d + momentum m.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate.
        momentum: the share of the last step that goes on.
        dampening: what the momentum takes off a new gradient.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        nesterov: look ahead; needs a momentum and no dampening.

    >>> from minigrad import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SGD([w], rate=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0., 0.], f32[2], requires_grad)
    """

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that are out of their range or do not go together."""
        super().check(options)
        if options["nesterov"] and (not options["momentum"] or options["dampening"]):
            raise ValueError(
                "SGD: nesterov needs a momentum above 0 and no dampening, got "
                f"momentum={options['momentum']}, dampening={options['dampening']}"
            )

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        momentum = options["momentum"]
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        if momentum:
            if "momentum" not in state:
                state["momentum"] = gradient.copy()
            else:
                state["momentum"] *= momentum
                state["momentum"] += (1 - options["dampening"]) * gradient
            if options["nesterov"]:
                gradient = gradient + momentum * state["momentum"]
            else:
                gradient = state["momentum"]
        step: PlainArray = gradient * -options["rate"]
        step += value
        return step
