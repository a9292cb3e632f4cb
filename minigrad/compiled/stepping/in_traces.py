"""Sequences that are part of another function's trace: what is refused there."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minigrad.compiled.stepping.order import Order
from minigrad.compiled.tracing.tracer import Tracer
from minigrad.core.modes import ModeChange, current_mode
from minigrad.ops.fusing import kernels_kept
from minigrad.ops.pytree import map_leaves
from minigrad.restoring import Setting
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of

__all__ = ["MOST_IN_TRACES", "run_in_traces"]

MOST_IN_TRACES = 256
"""Steps up to which a sequence may be part of another program, which is traced step by step."""

T = TypeVar("T")


def run_in_traces(
    run: Callable[[Any, Any, Order], T], x: Any, states: Any, order: Order, step: Any
) -> T:
    """Run a sequence, and refuse the traces that go on, where a program could not stand for it.

    Args:
        run: takes x, states and the order, and runs the sequence.
        x: the inputs, (batch, time, ...), with padding. So many steps must not take a trace too
            long: where they would, the sequence runs as if nobody traced it, by its own program.
        states: the initial states.
        order: which of the steps run. Where lengths are data, those of padding run as well, and
            must not draw random numbers: without `compile` they would not.
        step: what is run; its random generators are found from here.
    """
    mode, steps = current_mode(), x.shape[1]
    tracers = [one for one in mode.observers if isinstance(one, Tracer)]
    if tracers and steps > MOST_IN_TRACES:
        for tracer in tracers:
            tracer.refuse(
                f"a sequence of {steps} steps is in it, more than {MOST_IN_TRACES}: layers and "
                "scan compile these by themselves"
            )
            tracer.records_passes = False  # or the way back would go step by step
        others = tuple(one for one in mode.observers if one not in tracers)
        if order.lengths_are_data:
            order = order._replace(lengths=np.array(order.lengths))
        with ModeChange(observers=others, fused=True), Setting(kernels_kept, False):
            return run(_own(x), map_leaves(_own, states), order)
    if not order.lengths_are_data:
        return run(x, states, order)
    drawn = [len(tracer.draws) for tracer in tracers]
    before = [(source, state_of(source)) for source in random_sources(step)]
    result = run(x, states, order)
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
    return run(x, states, order._replace(lengths=np.array(order.lengths)))


def _own(leaf: Any) -> Any:
    """An array that no tracer follows."""
    return np.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf
