"""Time steps: the one loop that runs a cell over a sequence, for layers, kernels and `scan`.

What runs is a function ``advance(x, states, active)``, which returns the new states, those of
before where `active` is False, and the gates that are to be kept.
"""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor

__all__ = ["Advance", "Routes", "Run", "freeze_finished", "label_states", "run_steps"]

States = tuple[Any, ...]
Gates = tuple[Any, ...]
Advance = Callable[[Any, Any, Any], tuple[States, Gates]]


@dataclass(frozen=True)
class Routes:
    """Which ways a cell offers to what it carries from step to step.

    Attributes:
        highway: the state that is carried on by a product alone, past all gates ("c" in an LSTM);
            empty when every way leads through a gate.
        detours: the named scopes within the cell that are the other ways. An operation inside one
            that reads a value from outside of all of them starts a detour of that name.
    """

    highway: str = ""
    detours: tuple[str, ...] = ()


class Run(NamedTuple):
    """What a cell did over time.

    Attributes:
        states: each state at all steps, (batch, time, ...); zero beyond the lengths.
        gates: each gate likewise.
        last: each state after the last step of each sequence.
    """

    states: tuple[Tensor, ...]
    gates: tuple[Tensor, ...]
    last: States


def run_steps(
    advance: Advance,
    x: Any,
    states: Any,
    *,
    lengths: "np.ndarray[Any, Any] | None" = None,
    reverse: bool = False,
) -> Run:
    """A cell over the time steps of x (batch, time, ...), tagged with their numbers.

    Args:
        advance: takes the inputs of a step (batch, ...), the states before it, and where sequences
            go on (batch,), None for all; returns the states after it and the gates to keep.
        x: the inputs, one step or more; values beyond the lengths are not read and may be NaN.
        states: the initial states, handed to the first step as they are.
        lengths: integers (batch,), 0 or more; None when all sequences are as long as x.
        reverse: from the last step of each sequence to the first.
    """
    time = x.shape[1]
    if lengths is not None:
        x = clear_padding(x, lengths)
    kept: list[tuple[Any, ...] | None] = [None] * time
    for t in reversed(range(time)) if reverse else range(time):
        active = active_at(t, lengths)
        if t and active is not None and not active.any():
            continue  # but step 0 runs even for an empty batch, so that gradients are recorded
        with mg.step(t):
            states, gates = advance(x[:, t], states, active)
        kept[t] = tuple(zero_finished(value, active) for value in (*states, *gates))
    series = [
        stack_steps([None if made is None else made[k] for made in kept])
        for k in range(len(states) + len(gates))
    ]
    return Run(tuple(series[: len(states)]), tuple(series[len(states) :]), states)


def label_states(names: Sequence[str], values: States, before: States) -> None:
    """Label the states that a step made, for graphs and drawings.

    Args:
        names: of the states, such as ("h", "c").
        values: the states after the step.
        before: those before it.
    """
    for name, value, old in zip(names, values, before, strict=True):
        mg.label_state(value, name, old)


def freeze_finished(active: Any, after: Any, before: Any) -> Any:
    """A state after a step, and that of before for the sequences that have ended.

    A cell in which one new state is made from another, as h from c in an LSTM, does this itself,
    at once: h must read the very c that is carried on, or a gradient by c would miss the way
    through h.

    Args:
        active: where sequences go on, booleans (batch,); None when all do.
        after, before: the state after and before the step, (batch, ...).
    """
    return after if active is None else mg.where(expand_batch(active, after), after, before)


def active_at(t: int, lengths: "np.ndarray[Any, Any] | None") -> Any:
    """Which sequences have a step t, (batch,); None when all of them."""
    active = None if lengths is None else t < lengths
    return None if active is None or active.all() else active


def expand_batch(active: Any, value: Any) -> Any:
    """Facts about sequences (batch,), so that they broadcast along the other axes of a value."""
    return active.reshape(active.shape + (1,) * (value.ndim - 1))


def zero_finished(value: Any, active: Any) -> Any:
    """A value of one step, zero for the sequences that have ended."""
    if active is None:
        return value
    return mg.where(expand_batch(active, value), value, np.zeros((), value.dtype))


def clear_padding(x: Any, lengths: "np.ndarray[Any, Any]") -> Any:
    """Inputs (batch, time, ...) with zeros beyond the lengths, which stop gradients as well."""
    valid = np.arange(x.shape[1]) < lengths[:, None]  # (batch, time)
    zero = np.zeros((), x.dtype)  # of that dtype: token ids stay integers
    return mg.where(valid.reshape(valid.shape + (1,) * (x.ndim - 2)), x, zero)


def stack_steps(values: list[Any]) -> Tensor:
    """The values of all steps along axis 1; None stands for zeros."""
    made = next(value for value in values if value is not None)
    zero = np.zeros(made.shape, made.dtype)
    return mg.stack([zero if value is None else value for value in values], axis=1)


_MOVED = {  # names of earlier versions, in `layers.steps`
    "hold": ("layers.cells.steps", "freeze_finished"),
    "Weights": ("layers.cells.cell_equations", "Weights"),
}


def _old_name(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, new = _MOVED[name]
    warnings.warn(f"{name} is {module}.{new} now", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(module), new)


if not TYPE_CHECKING:  # it would hide misspelt names
    __getattr__ = _old_name
