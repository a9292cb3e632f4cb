"""Schedules that do more than scale the base rate: cycles, and waiting on plateaus."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigrad.core.errors import GradientError
from minigrad.core.nodes import PlainArray
from minigrad.io.state_dicts import StateDictError, real_of
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.schedules import Schedule, check_positive

__all__ = ["CyclicSchedule", "OneCycleSchedule", "PlateauSchedule"]


def per_group(owner: str, name: str, value: Any, optimizer: Optimizer) -> list[float]:
    """One number for each group, given one or one for all.

    Raises:
        ValueError: when there are more or fewer numbers than groups.
    """
    count = len(optimizer.groups)
    numbers = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(numbers) != count:
        raise ValueError(f"{owner}: {len(numbers)} values of {name} for {count} groups")
    return numbers


def has_momentum(optimizer: Optimizer) -> bool:
    """Whether there is a `momentum`, or `betas`, to be moved."""
    return any(option in group for group in optimizer.groups for option in ("momentum", "betas"))


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set the momentum, or the first of the betas, of all groups."""
    for group in optimizer.groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicSchedule(Schedule):
    """The rate goes up and down between two bounds, again and again (Smith 2017).

    Args:
        optimizer: whose rates it sets, and whose `momentum`, or first of `betas`, if it has one.
        base_rate, max_rate: the bounds; one number each, or one for each group.
        step_size_up: the steps of a rise.
        step_size_down: the steps of a fall; as many as of a rise if None.
        mode: "triangular"; "triangular2", which halves the height with each cycle; "exp_range",
            which multiplies it by gamma at each step.
        gamma: see `mode`.
        scale_function: a factor of the height, in place of a mode.
        scale_mode: whether that is a function of the "cycle" 1, 2, ..., or of the number of
            "iterations".
        cycle_momentum: whether to move the momentum the other way.
        momenta: the lowest and the highest momentum.

    Raises:
        ValueError: for an option out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_rate: float | list[float],
        max_rate: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_function: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        momenta: tuple[float, float] = (0.8, 0.9),
    ) -> None:
        name = "CyclicSchedule"
        step_size_down = step_size_up if step_size_down is None else step_size_down
        check_positive(name, step_size_up=step_size_up, step_size_down=step_size_down)
        modes = ("triangular", "triangular2", "exp_range")
        if mode not in modes:
            raise ValueError(f"{name}: mode must be one of {', '.join(modes)}, got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(
                f'{name}: scale_mode must be "cycle" or "iterations", got {scale_mode!r}'
            )
        super().__init__(optimizer)
        self.low_rates = per_group(name, "base_rate", base_rate, optimizer)
        self.max_rates = per_group(name, "max_rate", max_rate, optimizer)
        self.length, self.rise = step_size_up + step_size_down, step_size_up
        self.mode, self.gamma = mode, gamma
        self.scale_function, self.scale_mode = scale_function, scale_mode
        self.momenta = momenta
        self.cycle_momentum = cycle_momentum and has_momentum(optimizer)
        self._set()

    def _height(self, count: int) -> float:
        """How far up it is at a step, 0 to 1 times the factor of the mode."""
        cycle, place = 1 + count // self.length, count % self.length
        fall = self.length - self.rise
        height = place / self.rise if place <= self.rise else (self.length - place) / fall
        if self.scale_function is not None:
            return height * float(
                self.scale_function(cycle if self.scale_mode == "cycle" else count)
            )
        if self.mode == "triangular2":
            return math.ldexp(height, 1 - cycle)  # no power of 2 overflows
        return height * self.gamma**count if self.mode == "exp_range" else height

    def rate_of(self, count: int, group: int) -> float:
        """The rate of a group at a step."""
        low = self.low_rates[group]
        return low + (self.max_rates[group] - low) * self._height(count)

    def _set(self) -> None:
        super()._set()
        if self.cycle_momentum:
            low, high = self.momenta
            set_momentum(self.optimizer, high - (high - low) * self._height(self.count))

    def _load(self, state: Mapping[str, PlainArray]) -> None:
        super()._load(state)
        self._set()


class OneCycleSchedule(Schedule):
    """Up to a high rate and far down again, with the momentum the other way (Smith and Topin 2019).

    Args:
        optimizer: whose rates it sets, and whose `momentum`, or first of `betas`, if it has one.
        max_rate: the highest rate; one number, or one for each group.
        total_steps: the length of the cycle.
        rise: the share of the steps in which the rate rises.
        shape: "cosine" or "linear".
        cycle_momentum: whether to move the momentum.
        momenta: the lowest and the highest momentum.
        initial_divisor: the cycle begins at max_rate / initial_divisor.
        final_divisor: and ends at the initial rate / final_divisor.
        three_phase: fall back to the initial rate as fast as it rose, and only then to the end.

    The last rate is that of step total_steps - 1; it stays when a loop of `total_steps` steps
    calls `step` once more at its end.

    Raises:
        ValueError: for an option out of its range; from `step`, when the cycle is over.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_rate: float | list[float],
        total_steps: int,
        rise: float = 0.3,
        shape: str = "cosine",
        cycle_momentum: bool = True,
        momenta: tuple[float, float] = (0.85, 0.95),
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        name = "OneCycleSchedule"
        check_positive(
            name,
            total_steps=total_steps,
            initial_divisor=initial_divisor,
            final_divisor=final_divisor,
        )
        if not 0 <= rise <= 1:
            raise ValueError(f"{name}: rise must be between 0 and 1, got {rise}")
        if shape not in ("cosine", "linear"):
            raise ValueError(f'{name}: shape must be "cosine" or "linear", got {shape!r}')
        super().__init__(optimizer)
        self.max_rates = per_group(name, "max_rate", max_rate, optimizer)
        self.total_steps, self.shape, self.momenta = total_steps, shape, momenta
        self.initial_divisor, self.final_divisor = initial_divisor, final_divisor
        top = float(rise * total_steps) - 1
        # Where each phase ends, and between which levels it goes: 0 the initial rate, 1 the
        # highest, 2 the last.
        self.phases = [(top, 0, 1), (total_steps - 1, 1, 2)]
        if three_phase:
            self.phases = [(top, 0, 1), (2 * top, 1, 0), (total_steps - 1, 0, 2)]
        self.cycle_momentum = cycle_momentum and has_momentum(optimizer)
        self._set()

    def _between(self, count: int, levels: tuple[float, float, float]) -> float:
        start = 0.0
        for i, (end, first, last) in enumerate(self.phases):
            if count <= end or i == len(self.phases) - 1:
                done = min(1.0, (count - start) / (end - start)) if end > start else 1.0
                if self.shape == "cosine":
                    done = (1 - math.cos(math.pi * done)) / 2
                return levels[first] + (levels[last] - levels[first]) * done
            start = end
        raise AssertionError("the last phase holds all counts")

    def rate_of(self, count: int, group: int) -> float:
        """The rate of a group at a step."""
        initial = self.max_rates[group] / self.initial_divisor
        return self._between(count, (initial, self.max_rates[group], initial / self.final_divisor))

    def step(self) -> None:
        """Go on to the next step and set its rates."""
        if self.count >= self.total_steps:
            raise ValueError(
                f"OneCycleSchedule: the cycle of total_steps={self.total_steps} is over"
            )
        super().step()

    def _set(self) -> None:
        super()._set()
        if not self.cycle_momentum:
            return
        low, high = self.momenta
        set_momentum(self.optimizer, self._between(self.count, (high, low, high)))

    def _check(self, what: str, name: str, value: PlainArray) -> None:
        super()._check(what, name, value)
        if name == "count" and value > self.total_steps:
            raise StateDictError(f"{what} must be at most {self.total_steps}, got {value}")

    def _load(self, state: Mapping[str, PlainArray]) -> None:
        super()._load(state)
        self._set()


class PlateauSchedule(Schedule):
    """The rate falls when a quantity no longer gets better: ``schedule.step(validation_loss)``.

    Args:
        optimizer: whose rates it sets.
        mode: "min" for a quantity that should fall, "max" for one that should rise.
        factor: what the rate is multiplied with.
        patience: how many steps without progress it waits for.
        threshold: what counts as progress, as a share of the best value so far or, with
            threshold_mode="abs", as a difference.
        threshold_mode: "rel" or "abs".
        cooldown: how many steps to wait after a drop before counting again.
        min_rate: the rate falls no lower; one number, or one for each group.
        epsilon: a drop smaller than this is not made.

    Raises:
        ValueError: for an option out of its range.
        GradientError: from `step`, when the quantity is NaN.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_rate: float | list[float] = 0.0,
        epsilon: float = 1e-8,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"PlateauSchedule: factor must be between 0 and 1, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f'PlateauSchedule: mode must be "min" or "max", got {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f'PlateauSchedule: threshold_mode must be "rel" or "abs", got {threshold_mode!r}'
            )
        super().__init__(optimizer)
        self.mode, self.drop, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.epsilon = cooldown, epsilon
        self.min_rates = per_group("PlateauSchedule", "min_rate", min_rate, optimizer)
        self.best = math.inf if mode == "min" else -math.inf
        self.waited = self.cooling = 0

    def rate_of(self, count: int, group: int) -> float:
        """The rate now: other steps' are not known."""
        return float(self.optimizer.groups[group]["rate"])

    def step(self, metric: Any = None) -> None:
        """Go on to the next step, given the quantity to watch: a number or a tensor of one."""
        if metric is None:
            raise TypeError("PlateauSchedule: step needs the quantity to watch: step(loss)")
        value = float(metric.item() if hasattr(metric, "item") else metric)
        if math.isnan(value):
            raise GradientError(
                "PlateauSchedule: the quantity to watch is NaN; minigrad.anomaly_mode() finds the "
                "operation that made it."
            )
        self.count += 1
        if self._better(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.waited = 0
        if self.waited > self.patience:
            for group, least in zip(self.optimizer.groups, self.min_rates, strict=True):
                lower = max(group["rate"] * self.drop, least)
                if group["rate"] - lower > self.epsilon:
                    group["rate"] = lower
            self.cooling, self.waited = self.cooldown, 0

    def _better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if math.isinf(self.best):
            return sign * value < sign * self.best
        if self.threshold_mode == "rel":
            goal = self.best * (1 - sign * self.threshold)
        else:
            goal = self.best - sign * self.threshold
        return sign * value < sign * goal

    def state_dict(self) -> dict[str, PlainArray]:
        """The count, the rates, and how long it has waited since the best value."""
        waiting = {"best": self.best, "waited": self.waited, "cooling": self.cooling}
        return super().state_dict() | {name: np.array(value) for name, value in waiting.items()}

    def _check(self, what: str, name: str, value: PlainArray) -> None:
        if name == "best":
            real_of(what, value, endless=True)  # infinite before the first
        else:
            super()._check(what, name, value)

    def _load(self, state: Mapping[str, PlainArray]) -> None:
        super()._load(state)
        self.best = float(state["best"])
        self.waited, self.cooling = int(state["waited"]), int(state["cooling"])
