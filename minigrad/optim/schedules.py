"""Schedules of the learning rate that depend on the number of steps alone.

Each says by what factor the rates of step t = 0, 1, 2, ... differ from the base rates, those that
the optimiser was made with. So a schedule holds nothing but its count, and schedules combine.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.nodes import PlainArray
from minigrad.io.state_dicts import StateDictError, count_of, entry_of, real_of
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.options import check_names

__all__ = [
    "ConstantSchedule",
    "CosineRestartsSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "LambdaSchedule",
    "LinearSchedule",
    "MultiStepSchedule",
    "MultiplicativeSchedule",
    "PolynomialSchedule",
    "Schedule",
    "StepSchedule",
]

# What PyTorch calls our arguments.
PYTORCH_NAMES = {
    "T_0": "period",
    "T_max": "total_steps",
    "T_mult": "growth",
    "anneal_strategy": "shape",
    "base_lr": "base_rate",
    "base_momentum": "momenta",
    "div_factor": "initial_divisor",
    "eps": "epsilon",
    "eta_min": "min_rate",
    "final_div_factor": "final_divisor",
    "lr_lambda": "function",
    "max_lr": "max_rate",
    "max_momentum": "momenta",
    "min_lr": "min_rate",
    "pct_start": "rise",
    "scale_fn": "scale_function",
    "total_iters": "total_steps",
}


class Schedule:
    """The base of schedules: made, it sets the rates of step 0, and those of the next with `step`.

    A subclass calls ``super().__init__(optimizer)``, keeps its options and defines `factor` (or
    `rate_of`). The rates follow from the count: one set by hand holds until the next `step`.

    Args:
        optimizer: whose rates it sets; call `step` once after each of the optimiser's.

    Attributes:
        count: the steps so far.
        base_rates: the rates of the optimiser's groups before any schedule touched them.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        check_names(cls.__name__, kwargs, PYTORCH_NAMES)
        return object.__new__(cls)

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: optimizer must be an Optimizer, got {describe(optimizer)}"
            )
        self.optimizer = optimizer
        self.count = 0
        self.base_rates: list[float] = [
            group.setdefault("base_rate", group["rate"]) for group in optimizer.groups
        ]

    def factor(self, count: int, group: int) -> float:
        """What the base rate of a group is multiplied with at a step."""
        raise AttributeError(f"{type(self).__name__} defines no factor")

    def rate_of(self, count: int, group: int) -> float:
        """The rate of a group at a step."""
        return self.base_rates[group] * self.factor(count, group)

    @property
    def rates(self) -> list[float]:
        """The rates of the optimiser's groups now."""
        return [group["rate"] for group in self.optimizer.groups]

    def step(self) -> None:
        """Go on to the next step and set its rates."""
        self.count += 1
        self._set()

    def _set(self) -> None:
        for i, group in enumerate(self.optimizer.groups):
            group["rate"] = self.rate_of(self.count, i)

    def state_dict(self) -> dict[str, PlainArray]:
        """The count and the rates, as arrays by name. Options are not in it: make it anew first."""
        return {
            "count": np.array(self.count),
            "base_rates": np.array(self.base_rates, np.float64),
            "rates": np.array(self.rates, np.float64),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, and set the optimiser's rates; all or nothing.

        Raises:
            StateDictError: when names are missing or unexpected, when it belongs to another number
                of groups, or a number is out of its range.
        """
        owner, before = f"{type(self).__name__}.load_state_dict", self.state_dict()
        if state.keys() != before.keys():
            raise StateDictError(
                f"{owner}: the names must be {', '.join(sorted(before))}, got "
                f"{', '.join(sorted(state)) or 'none'}"
            )
        arrays = {name: entry_of(owner, state, name) for name in before}
        for name, array in before.items():
            if arrays[name].shape != array.shape:
                raise StateDictError(
                    f"{owner}: {name} has shape {arrays[name].shape}, but there are "
                    f"{len(self.base_rates)} groups"
                )
            self._check(f"{owner}: {name}", name, arrays[name])
        try:
            self._load(arrays)
        except BaseException:  # Ctrl-C
            self._load(before)
            raise

    def _check(self, what: str, name: str, value: PlainArray) -> None:
        """Refuse an entry that is out of its range: counts, and rates of 0 or more."""
        if name.endswith("rates"):
            real_of(what, value, 0)
        else:
            count_of(what, value)

    def _load(self, state: Mapping[str, PlainArray]) -> None:
        self.count = int(state["count"])
        self.base_rates = [float(rate) for rate in state["base_rates"]]
        for group, rate in zip(self.optimizer.groups, state["rates"], strict=True):
            group["rate"] = float(rate)


def check_positive(owner: str, **numbers: float) -> None:
    """Refuse counts and factors that must be above 0.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{owner}: {name} must be above 0, got {number}")


class StepSchedule(Schedule):
    """The rate is multiplied by `gamma` every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        check_positive("StepSchedule", step_size=step_size)
        super().__init__(optimizer)
        self.step_size, self.gamma = step_size, gamma
        self._set()

    def factor(self, count: int, group: int) -> float:
        """Constant between the drops."""
        return float(self.gamma ** (count // self.step_size))


class MultiStepSchedule(Schedule):
    """The rate is multiplied by `gamma` at each of the steps `milestones`."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.milestones, self.gamma = sorted(milestones), gamma
        self._set()

    def factor(self, count: int, group: int) -> float:
        """Constant between the milestones."""
        return float(self.gamma ** sum(count >= milestone for milestone in self.milestones))


class ExponentialSchedule(Schedule):
    """The rate is multiplied by `gamma` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        check_positive("ExponentialSchedule", gamma=gamma)
        super().__init__(optimizer)
        self.gamma = gamma
        self._set()

    def factor(self, count: int, group: int) -> float:
        """gamma to the power of the count."""
        return float(self.gamma**count)


class ConstantSchedule(Schedule):
    """The rate is multiplied by `factor` before step `total_steps`, and is the base rate then."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_steps: int = 5) -> None:
        check_positive("ConstantSchedule", total_steps=total_steps)
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantSchedule: factor must be between 0 and 1, got {factor}")
        super().__init__(optimizer)
        self.share, self.total_steps = factor, total_steps
        self._set()

    def factor(self, count: int, group: int) -> float:
        """One of two numbers."""
        return self.share if count < self.total_steps else 1.0


class PolynomialSchedule(Schedule):
    """The factor is (1 - t / total_steps) ** power, down to 0 at `total_steps`, where it stays."""

    def __init__(self, optimizer: Optimizer, total_steps: int = 5, power: float = 1.0) -> None:
        check_positive("PolynomialSchedule", total_steps=total_steps)
        super().__init__(optimizer)
        self.total_steps, self.power = total_steps, power
        self._set()

    def factor(self, count: int, group: int) -> float:
        """The power of what is left."""
        return float((1 - min(count, self.total_steps) / self.total_steps) ** self.power)


class LinearSchedule(Schedule):
    """The factor goes on a line from `start_factor` to `end_factor`, and stays: a linear warm-up.

    Args:
        optimizer: whose rates it sets.
        start_factor: the factor at step 0.
        end_factor: the factor from step `total_steps` on.
        total_steps: how many steps the way takes.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_steps: int = 5,
    ) -> None:
        check_positive("LinearSchedule", total_steps=total_steps)
        super().__init__(optimizer)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_steps = total_steps
        self._set()

    def factor(self, count: int, group: int) -> float:
        """The point on the line."""
        done = min(count, self.total_steps) / self.total_steps
        return self.start_factor + (self.end_factor - self.start_factor) * done


class CosineSchedule(Schedule):
    """Half a cosine from the base rate down to `min_rate` (Loshchilov and Hutter 2017).

    Past `total_steps` it goes on along the cosine and rises again, as PyTorch's does.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, min_rate: float = 0.0) -> None:
        check_positive("CosineSchedule", total_steps=total_steps)
        super().__init__(optimizer)
        self.total_steps, self.min_rate = total_steps, min_rate
        self._set()

    def factor(self, count: int, group: int) -> float:
        """Between 1 and the share that `min_rate` is of the base rate."""
        base = self.base_rates[group]
        low = self.min_rate / base if base else 0.0
        return low + (1 - low) * (1 + math.cos(math.pi * count / self.total_steps)) / 2


class CosineRestartsSchedule(Schedule):
    """Cosines that start again from the base rate (SGDR, Loshchilov and Hutter 2017, equation 5).

    Args:
        optimizer: whose rates it sets.
        period: the steps of the first cosine.
        growth: by what whole number each is longer than the one before.
        min_rate: where each of them ends.
    """

    def __init__(
        self, optimizer: Optimizer, period: int, growth: int = 1, min_rate: float = 0.0
    ) -> None:
        check_positive("CosineRestartsSchedule", period=period)
        if growth < 1 or growth != int(growth):
            raise ValueError(
                f"CosineRestartsSchedule: growth must be a whole number of 1 or more, got {growth}"
            )
        super().__init__(optimizer)
        self.period, self.growth, self.min_rate = period, growth, min_rate
        self._set()

    def factor(self, count: int, group: int) -> float:
        """The place on the cosine that runs at this step."""
        length = self.period
        if self.growth == 1:
            count %= length
        while count >= length:
            count -= length
            length *= self.growth
        base = self.base_rates[group]
        low = self.min_rate / base if base else 0.0
        return low + (1 - low) * (1 + math.cos(math.pi * count / length)) / 2


class LambdaSchedule(Schedule):
    """The factor is what a function says of the count.

    Args:
        optimizer: whose rates it sets.
        function: from the count to the factor; or one function for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        function: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        super().__init__(optimizer)
        self.functions = functions_of("LambdaSchedule", function, optimizer)
        self._set()

    def factor(self, count: int, group: int) -> float:
        """What the function says."""
        return float(self.functions[group](count))


class MultiplicativeSchedule(Schedule):
    """The rate of each step is that of the step before, times what a function says of the count.

    Args:
        optimizer: whose rates it sets.
        function: from the count 1, 2, ... to the factor; or one function for each group.

    >>> from minigrad import Tensor
    >>> from minigrad.optim import SGD
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], rate=1.0)
    >>> schedule = MultiplicativeSchedule(optimizer, lambda count: 1 / count)
    >>> for _ in range(4):
    ...     schedule.step()
    >>> round(1 / optimizer.rate)
    24
    """

    def __init__(
        self,
        optimizer: Optimizer,
        function: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        super().__init__(optimizer)
        self.functions = functions_of("MultiplicativeSchedule", function, optimizer)
        self._products: list[list[float]] = [[1.0] for _ in self.functions]
        self._set()

    def factor(self, count: int, group: int) -> float:
        """The product of all factors up to the count."""
        products = self._products[group]
        while len(products) <= count:
            products.append(products[-1] * float(self.functions[group](len(products))))
        return products[count]


def functions_of(owner: str, function: Any, optimizer: Optimizer) -> list[Callable[[int], float]]:
    """One function of the count for each group, given one or one for all.

    Raises:
        ValueError: when there are more or fewer functions than groups.
    """
    count = len(optimizer.groups)
    functions = [function] * count if callable(function) else list(function)
    if len(functions) != count:
        raise ValueError(
            f"{owner}: {len(functions)} functions for {count} groups; pass one for each, or one "
            "for all"
        )
    return functions
