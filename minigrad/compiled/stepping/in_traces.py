"""Sequences that are part of another function's trace: what is refused there."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minigrad.compiled.stepping.order import Order
from minigrad.compiled.tracing.tracer import Tracer
from minigrad.core.modes import current_mode
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of

__all__ = ["MOST_IN_TRACES", "run_in_traces"]

MOST_IN_TRACES = 256
"""Steps up to which a sequence may be part of another program, which is traced step by step."""

T = TypeVar("T")


def run_in_traces(run: Callable[[Order], T], steps: int, order: Order, step: Any) -> T:
    """Run a sequence, and refuse the traces that go on, where a program could not stand for it.

    Args:
        run: runs it in an order.
        steps: how many there are with padding. So many must not take a trace too long.
        order: which of them run. Where lengths are data, those of padding run as well, and must not
            draw random numbers: without `compile` they would not.
        step: what is run; its random generators are found from here.
    """
    tracers = [one for one in current_mode().observers if isinstance(one, Tracer)]
    if steps > MOST_IN_TRACES:
        for tracer in tracers:
            tracer.refuse(
                f"a sequence of {steps} steps is in it, more than {MOST_IN_TRACES}: layers and "
                "scan compile these by themselves"
            )
    if not order.lengths_are_data:
        return run(order)
    drawn = [len(tracer.draws) for tracer in tracers]
    before = [(source, state_of(source)) for source in random_sources(step)]
    result = run(order)
    if drawn == [len(tracer.draws) for tracer in tracers]:
        return result
    longest = order.longest()  # looked at: a program serves those lengths alone
    if longest >= steps:
        return result
    for tracer in tracers:
        tracer.refuse(
            f"random numbers are drawn at each step, and the longest of the sequences has "
            f"{longest} steps while {steps} are given; pass x[:, :{longest}]"
        )
    for source, state in before:
        restore_state(source, state)
    return run(order._replace(lengths=np.array(order.lengths)))
