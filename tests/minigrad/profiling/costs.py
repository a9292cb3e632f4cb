"""Operations that take a time of the test's choice, on a clock that only the test moves."""

from typing import Any

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.profiling import profiles, watching

F = np.float32


class Clock:
    """A clock in ns that stands still unless somebody spends time."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now

    def spend(self, ns: int) -> None:
        self.now += ns


def on_clock(patch: pytest.MonkeyPatch) -> Clock:
    """Let profiles read a new clock."""
    clock = Clock()
    patch.setattr(watching, "perf_counter_ns", clock)
    patch.setattr(profiles, "perf_counter_ns", clock)
    return clock


def costly(clock, forward=1000, backward=300, name="costly"):
    """The double of something, whose forward and rule take so long."""

    def double(x: Any) -> Any:
        clock.spend(forward)
        return x * 2

    def rule(g: Any) -> Any:
        clock.spend(backward)
        return g * 2

    double.__name__ = name
    operation = mg.primitive(double)
    operation.vjp(x=rule)
    return operation


def leaf(*shape):
    return mg.Tensor(np.ones(shape, F), requires_grad=True)


def nanoseconds(records):
    return [(r.operation, r.phase, round(1e9 * r.seconds)) for r in records]


class Outer(layers.Module):
    def __init__(self, inner, operation):
        super().__init__()
        self.inner, self.operation = inner, operation

    def forward(self, x):
        return self.operation(self.inner(self.inner(x)))


class Inner(layers.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


def names(p):
    """The operations that a profile saw, in their order."""
    return [r.operation for r in p.records]


def check_nesting(events):
    """Whether the events of each thread lie within each other; of each, the names around it."""
    around = []
    open_ones: dict[int, list[Any]] = {}
    for event in events:
        if event["ph"] == "M":
            continue
        start = round(1000 * event["ts"])
        end = start + round(1000 * event["dur"])
        stack = open_ones.setdefault(event["tid"], [])
        while stack and not (stack[-1][0] <= start and end <= stack[-1][1]):
            assert stack[-1][1] <= start
            stack.pop()
        around.append((event, [name for _, _, name in stack]))
        stack.append((start, end, event["name"]))
    return around
