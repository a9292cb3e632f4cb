"""The references of the kernels: the equations of a cell, step by step."""

from collections.abc import Callable, Sequence
from typing import Any

from layers.cells.cell_equations import Weights
from layers.cells.steps import label_states, run_steps

__all__ = ["run_equations"]


def run_equations(
    equations: Callable[..., Any],
    names: Sequence[str],
    x: Any,
    states: tuple[Any, ...],
    weights: Weights,
    lengths: Any,
    reverse: bool,
    **options: Any,
) -> tuple[Any, ...]:
    """What a kernel returns, the output and the last states, from the equations of its cell.

    Args:
        equations: one step, such as `layers.cells.cell_equations.lstm_step`.
        names: of the states, the output first.
        x, states, weights: the inputs of the kernel.
        lengths, reverse: as the kernel takes them.
        options: of the equations.
    """

    def advance(x: Any, before: Any, active: Any) -> tuple[Any, Any]:
        after, _ = equations(x, before, weights, active=active, **options)
        label_states(names, after, before)
        return after, ()

    run = run_steps(advance, x, states, lengths=lengths, reverse=reverse)
    return run.states[0], *run.last
