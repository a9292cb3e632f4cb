"""Schedules that act together: at once, or one after the other."""

import math
from collections.abc import Mapping, Sequence

from minigrad.core.nodes import PlainArray
from minigrad.optim.schedules import Schedule

__all__ = ["ChainedSchedule", "SequentialSchedule"]


class _Combination(Schedule):
    """Schedules of one optimiser that act together."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        name = type(self).__name__
        if not schedules:
            raise ValueError(f"{name}: schedules is empty")
        for i, schedule in enumerate(schedules):
            if getattr(type(schedule), "rate_of", None) is not Schedule.rate_of:
                raise TypeError(
                    f"{name}: schedules[{i}] is a {type(schedule).__name__}, which is no multiple "
                    "of the base rate at each step and cannot be combined"
                )
            if schedule.optimizer is not schedules[0].optimizer:
                raise ValueError(f"{name}: schedules[{i}] belongs to another optimiser")
        super().__init__(schedules[0].optimizer)
        self.schedules = list(schedules)

    def _load(self, state: Mapping[str, PlainArray]) -> None:
        super()._load(state)
        for schedule in self.schedules:
            schedule.base_rates = list(self.base_rates)


class ChainedSchedule(_Combination):
    """Several schedules at once: their factors are multiplied.

    Args:
        schedules: of one optimiser; step this one instead of them.

    >>> from minigrad import Tensor
    >>> from minigrad.optim import SGD, ExponentialSchedule, LinearSchedule
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], rate=1.0)
    >>> warmup = LinearSchedule(optimizer, start_factor=0.5, total_steps=2)
    >>> schedule = ChainedSchedule([warmup, ExponentialSchedule(optimizer, gamma=0.5)])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.rate)
    ...     schedule.step()
    >>> rates
    [0.5, 0.375, 0.25, 0.125]
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        super().__init__(schedules)
        self._set()

    def factor(self, count: int, group: int) -> float:
        """The product of all."""
        return math.prod(schedule.factor(count, group) for schedule in self.schedules)


class SequentialSchedule(_Combination):
    """One schedule after the other; each counts from 0 where it begins.

    Args:
        schedules: of one optimiser; step this one instead of them.
        milestones: the steps at which the second, the third, ... begin.
    """

    def __init__(self, schedules: Sequence[Schedule], milestones: Sequence[int]) -> None:
        if len(milestones) != len(schedules) - 1 or list(milestones) != sorted(set(milestones)):
            raise ValueError(
                f"SequentialSchedule: milestones must rise and be one fewer than the "
                f"{len(schedules)} schedules, got {list(milestones)}"
            )
        super().__init__(schedules)
        self.milestones = list(milestones)
        self._set()

    def factor(self, count: int, group: int) -> float:
        """That of the schedule whose turn it is."""
        turn = sum(count >= milestone for milestone in self.milestones)
        start = self.milestones[turn - 1] if turn else 0
        return self.schedules[turn].factor(count - start, group)
