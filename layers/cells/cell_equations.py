"""One step of a recurrent cell, and many: what cells, layers and `scan` share.

The mathematics of a cell is a function ``step(x, states, active)`` that returns the new states,
those of before where `active` is False, and the gates (see `layers.cells.gated_cells`). Here such a
function is run over time, with sequences of several lengths, and its results are marked for
drawings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor

__all__ = ["Routes", "Run", "Weights", "freeze_finished", "run_steps", "take_step"]

States = tuple[Any, ...]
Gates = tuple[Any, ...]
Step = Callable[[Any, States, Any], tuple[States, Gates]]


@dataclass(frozen=True)
class Routes:
    """Which ways a cell offers to what it carries from step to step.

    Attributes:
        highway: the state that is carried on by a product alone, past all gates ("c" in an LSTM);
            empty when every way leads through a gate.
        detours: the named scopes within the cell that are the other ways. An operation inside one
            that reads a value from outside of all of them starts a detour of that name.
    """

    highway: str
    detours: tuple[str, ...]


class Weights(NamedTuple):
    """The parameters of one cell; None for those that it does not have.

    Attributes:
        ih: of the inputs, (gates x H, inputs).
        hh: of the hidden state, (gates x H, H), or (4 H, P) with a projection.
        b_ih, b_hh: the two biases, (gates x H,).
        hr: the projection of the hidden state, (P, H).
        norm_ih, norm_hh: the gains of layer normalisation, (gates x H,).
        norm_c, norm_c_bias: gain and bias of the normalised cell state, (H,).
    """

    ih: Any
    hh: Any
    b_ih: Any = None
    b_hh: Any = None
    hr: Any = None
    norm_ih: Any = None
    norm_hh: Any = None
    norm_c: Any = None
    norm_c_bias: Any = None


def take_step(
    step: Step, names: Sequence[str], x: Any, states: States, active: Any = None
) -> tuple[States, Gates]:
    """One step, whose results are labelled as the states that the cell carries.

    Args:
        step: the mathematics of the cell.
        names: of its states, such as ("h", "c").
        x: the inputs (batch, features).
        states: the states before, (batch, ...) each.
        active: where False, (batch,), the states stay as they are.
    """
    new, gates = step(x, states, active)
    for name, value, before in zip(names, new, states, strict=True):
        mg.label_state(value, name, before)
    return new, gates


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
    step: Step,
    names: Sequence[str],
    x: Any,
    states: States,
    *,
    lengths: "np.ndarray[Any, Any] | None" = None,
    reverse: bool = False,
    gates: int = 0,
) -> Run:
    """A cell over the time steps of x (batch, time, features), tagged with their numbers.

    Args:
        step: the mathematics of the cell.
        names: of its states; the first one is its output.
        x: the inputs, one step or more; what lies beyond the lengths is not looked at, be it NaN.
        states: the initial states.
        lengths: integers (batch,), 0 or more; None when all sequences are as long as x.
        reverse: from the last step of each sequence to the first.
        gates: how many gates to keep; 0 or all that `step` returns.
    """
    time = x.shape[1]
    if lengths is not None:
        x = clear_padding(x, lengths)
    kept: list[list[Any]] = [[None] * time for _ in range(len(names) + gates)]
    for t in reversed(range(time)) if reverse else range(time):
        active = active_at(t, lengths)
        if t and active is not None and not active.any():
            continue  # but step 0 runs even for an empty batch, so that gradients are recorded
        with mg.step(t):
            states, made = take_step(step, names, x[:, t], states, active)
        for series, value in zip(kept, (*states, *made[:gates]), strict=True):
            series[t] = zero_finished(value, active)
    series = [stack_steps(values) for values in kept]
    return Run(tuple(series[: len(names)]), tuple(series[len(names) :]), states)


def freeze_finished(active: Any, after: Any, before: Any) -> Any:
    """A state after a step, and that of before for the sequences that have ended.

    Cells do this themselves, at once: h must read the very c that is carried on, or a gradient by c
    would miss the way through h.
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
