"""Sequences that are part of another function's trace: what is refused there."""

from collections.abc import Iterator
from contextlib import contextmanager

from minigrad.compiled.stepping.order import Order
from minigrad.compiled.tracing.tracer import Tracer
from minigrad.core.modes import current_mode

__all__ = ["MOST_IN_TRACES", "refusing_in_traces"]

MOST_IN_TRACES = 256
"""Steps up to which a sequence may be part of another program, which is traced step by step."""


@contextmanager
def refusing_in_traces(steps: int, order: Order) -> Iterator[None]:
    """Around a sequence: refuse the traces that go on, where a program could not stand for it.

    Args:
        steps: how many there are with padding. So many must not take a trace too long.
        order: which of them run. Where it cannot know the lengths, those of padding run as well,
            which must not draw random numbers: without `compile` they would not.
    """
    tracers = [one for one in current_mode().observers if isinstance(one, Tracer)]
    if steps > MOST_IN_TRACES:
        for tracer in tracers:
            tracer.refuse(
                f"a sequence of {steps} steps is in it, more than {MOST_IN_TRACES}: layers and "
                "scan compile these by themselves"
            )
    drawn = [len(tracer.draws) for tracer in tracers]
    yield
    if not order.lengths_are_data or drawn == [len(tracer.draws) for tracer in tracers]:
        return
    longest = order.longest()  # looked at: a program serves those lengths alone
    if longest < steps:
        for tracer in tracers:
            tracer.refuse(
                f"random numbers are drawn at each step, and the longest of the sequences has "
                f"{longest} steps while {steps} are given; pass x[:, :{longest}]"
            )
