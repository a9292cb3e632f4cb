"""Stochastic gradient descent, plain and averaged."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from minigrad.core.nodes import PlainArray
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.states import State

__all__ = ["ASGD", "SGD"]


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
        maximize: go up along the gradient.

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
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
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
                kept = state["momentum"]
                kept *= momentum
                kept += (1 - options["dampening"]) * gradient
            if options["nesterov"]:
                gradient = gradient + momentum * state["momentum"]
            else:
                gradient = state["momentum"]
        step: PlainArray = gradient * -options["rate"]
        step += value
        return step


class ASGD(Optimizer):
    """Averaged gradient descent (Polyak and Juditsky 1992), with PyTorch's formula and defaults.

        w = (1 - lambd eta_t) w - eta_t g,  eta_t = rate / (1 + lambd rate t) ** alpha

    From the step t0 on the mean of the weights is kept besides them; see `averages`.

    Args:
        parameters: tensors, or groups of them; see `Optimizer`.
        rate: the learning rate of the first step.
        lambd: how fast the weights and the rate decay.
        alpha: the power with which the rate falls.
        t0: the step at which averaging begins; before, the average is the weight itself.
        weight_decay: a penalty that pulls the weights to zero, in the gradient.
        maximize: go up along the gradient.
    """

    _numbers: ClassVar[Mapping[str, float]] = {"eta": math.inf, "mu": 1.0}
    _zeros: ClassVar[tuple[str, ...]] = ("average",)

    def __init__(
        self,
        parameters: Any,
        rate: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            lambd=lambd,
            alpha=alpha,
            t0=t0,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    @property
    def averages(self) -> list[PlainArray]:
        """The averaged weights of all parameters; of one without updates, the weights."""
        found = []
        for parameter in self.parameters:
            weights = parameter.numpy()
            average = self._state.get(parameter, {}).get("average", weights)
            found.append(average.reshape(weights.shape).astype(weights.dtype))
        return found

    def begin(self, state: State, value: PlainArray, options: Mapping[str, Any]) -> None:
        """The first step has the rate itself, and counts wholly in the average."""
        super().begin(state, value, options)
        state["eta"], state["mu"] = float(options["rate"]), 1.0

    def update(
        self, value: PlainArray, gradient: PlainArray, state: State, options: Mapping[str, Any]
    ) -> PlainArray:
        """The new value of one parameter."""
        lambd, rate, steps, eta = options["lambd"], options["rate"], state["steps"], state["eta"]
        if options["weight_decay"]:
            gradient = gradient + options["weight_decay"] * value
        new: PlainArray = value * (1 - lambd * eta)
        new -= eta * gradient
        average = state["average"]
        if state["mu"] == 1:
            average[...] = new
        else:
            average += (new - average) * state["mu"]
        state["eta"] = rate / (1 + lambd * rate * steps) ** options["alpha"]
        state["mu"] = 1 / max(1.0, steps - options["t0"])
        return new
