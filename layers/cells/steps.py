"""Time steps: the one loop that runs a cell over a sequence, for layers, kernels and `scan`.

What runs is a function ``advance(x, states, active)``, which returns the new states, those of
before where `active` is False, and the gates that are to be kept.
"""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import minigrad as mg
from layers.base.module import Module
from minigrad import Tensor
from minigrad.compiled.stepping.closures import note, one_for_all
from minigrad.compiled.stepping.in_traces import run_in_traces
from minigrad.compiled.stepping.order import Order
from minigrad.compiled.stepping.scanned import Begun, Scanned

__all__ = ["Advance", "Routes", "Run", "Step", "clear_padding", "freeze_finished"]
__all__ += ["label_states", "run_compiled", "run_steps"]

States = Any  # a tuple; one that stands alone, where the step takes and returns it like that
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
        states: each state at all steps, (batch, time, ...); zero beyond the lengths. None for those
            that were not asked for.
        gates: each gate likewise.
        last: each state after the last step of each sequence.
    """

    states: tuple[Any, ...]
    gates: tuple[Tensor, ...]
    last: States


class Step(NamedTuple):
    """One step as a function of what it is made of, so that it can be compiled.

    Attributes:
        function: called as ``function(x, states, active, fixed, *objects)``; does what an `Advance`
            does.
        owner: the object that its programs belong to.
        objects: what it is made of: modules, functions and plain values.
        fixed: arrays that are the same at all steps.
        shown: the number of the one state of which all steps are asked for; None for all states
            and gates.
    """

    function: Callable[..., tuple[States, Gates]]
    owner: Any
    objects: tuple[Any, ...]
    fixed: tuple[Any, ...] = ()
    shown: int | None = None

    def __call__(self, x: Any, states: Any, active: Any) -> tuple[States, Gates]:
        return self.function(x, states, active, self.fixed, *self.objects)

    @property
    def programs(self) -> Scanned | None:
        """Those of the owner; None where it cannot have any, and where its hooks must run."""
        if not isinstance(self.owner, (Module, FunctionType)):
            return None
        if isinstance(self.owner, Module) and (self.owner._hooks or self.owner._pre_hooks):
            return None
        found: Scanned | None = vars(self.owner).get("_scanned")
        if found is None:
            found = Scanned(_compiled_step, _compiled_loop)
            object.__setattr__(self.owner, "_scanned", found)
        return found

    @property
    def compiled(self) -> bool:
        """Whether sequences ran as programs, and nothing speaks against it."""
        programs = self.programs
        return programs is not None and programs.runs((self.function, self.shown, *self.objects))


def run_steps(
    advance: Advance | Step,
    x: Any,
    states: Any,
    *,
    lengths: "np.ndarray[Any, Any] | None" = None,
    reverse: bool = False,
) -> Run:
    """A cell over the time steps of x (batch, time, ...), tagged with their numbers.

    A `Step` is compiled, where that can be done.

    Args:
        advance: takes the inputs of a step (batch, ...), the states before it, and where sequences
            go on (batch,), None for all; returns the states after it and the gates to keep.
        x: the inputs, one step or more; values beyond the lengths are not read and may be NaN.
        states: the initial states, handed to the first step as they are.
        lengths: integers (batch,), 0 or more; None when all sequences are as long as x.
        reverse: from the last step of each sequence to the first.
    """
    if lengths is not None:
        x = clear_padding(x, lengths)
    order = Order(lengths, reverse)
    return run_in_traces(partial(_run_in_order, advance), x, states, order, advance)


def _run_in_order(advance: Advance | Step, x: Any, states: Any, order: Order) -> Run:
    if not isinstance(advance, Step):
        return _one_by_one(advance, x, states, order)
    if _is_other_at_first(x, states) and Scanned.wanted(x, order):
        return _first_apart(advance, x, states, order)
    found = run_compiled(advance, x, states, order)
    return found if isinstance(found, Run) else _one_by_one(advance, x, states, order, found)


def parts_of(states: Any) -> tuple[Any, ...]:
    """States, of which one may stand alone, as a tuple."""
    return states if isinstance(states, tuple) else (states,)


def _is_other_at_first(x: Any, states: Any) -> bool:
    """Whether the first step may be another than the next: it begins by itself, or converts."""
    return not all(
        isinstance(state, (Tensor, np.ndarray))
        and (state.dtype == x.dtype or state.dtype.kind != "f" or x.dtype.kind != "f")
        for state in parts_of(states)
    )


def _first_apart(step: Step, x: Any, states: Any, order: Order) -> Run:
    """The first step by itself, then the others."""
    t = order.times(x.shape[1])[0]
    active = active_at(t, order.lengths)
    with mg.step(t):
        states, gates = step(x[:, t], states, active)
    first = [zero_finished(value, active) for value in _asked(step.shown, states, gates)]
    order = order._replace(skipped=1)
    found = run_compiled(step, x, states, order)
    run = found if isinstance(found, Run) else _one_by_one(step, x, states, order, found)
    series = [
        mg.concatenate([others[:, :t], value[:, None], others[:, t + 1 :]], axis=1)
        for value, others in zip(first, _asked(step.shown, run.states, run.gates), strict=True)
    ]
    return _run_of(step.shown, series, run.last)


def run_compiled(step: Step, x: Any, states: States, order: Order) -> Run | Begun | None:
    """A sequence by the programs of its step.

    Args:
        step: whose programs run.
        x: as in `run_steps`, with zeros beyond the lengths.
        states: as in `run_steps`.
        order: lengths and direction.

    Returns:
        What `run_steps` returns; where there is no program, None, or the first step.
    """
    owner = step.owner
    if not isinstance(owner, FunctionType) or "_scanned" in vars(owner):
        return _run_by(step, x, states, order)
    found = one_for_all(owner)
    if found is not None:  # it is another one of a kind
        function, block = found
        with block:
            return _run_by(step._replace(owner=function, objects=(function,)), x, states, order)
    run = _run_by(step, x, states, order)
    if isinstance(run, Run):
        note(owner)
    return run


def _run_by(step: Step, x: Any, states: States, order: Order) -> Run | Begun | None:
    """A sequence by the programs of the step's owner."""
    programs = step.programs
    if programs is None:
        return None
    objects = step.function, step.shown, *step.objects
    found = programs.run(objects, step.owner, x, states, step.fixed, order, mg.step)
    if found is None or isinstance(found, Begun):
        return found
    k = len(parts_of(states))
    last = found[-k:] if isinstance(states, tuple) else found[-1]
    return _run_of(step.shown, found[:-k], last)


def _one_by_one(
    advance: Advance | Step, x: Any, states: Any, order: Order, begun: Begun | None = None
) -> Run:
    """The steps in a loop of Python's; the first one ran already if they have begun."""
    shown = advance.shown if isinstance(advance, Step) else None
    kept: list[tuple[Any, ...] | None] = [None] * x.shape[1]
    made: tuple[Any, ...] = ()
    for t in order.times(x.shape[1]):
        if begun is None:
            active = active_at(t, order.lengths)
            with mg.step(t):
                states, gates = advance(x[:, t], states, active)
            made = tuple(zero_finished(value, active) for value in _asked(shown, states, gates))
        else:
            states, made = begun
            begun = None
        kept[t] = made
    series = [
        stack_steps([None if values is None else values[k] for values in kept])
        for k in range(len(made))
    ]
    return _run_of(shown, series, states)


def _asked(shown: int | None, states: States, gates: Gates) -> tuple[Any, ...]:
    """The values of a step that are asked for at all steps."""
    parts = parts_of(states)
    return (*parts, *gates) if shown is None else (parts[shown],)


def _run_of(shown: int | None, series: Sequence[Any], last: States) -> Run:
    """What a cell did, from the values that were asked for at all steps."""
    k = len(parts_of(last))
    if shown is None:
        return Run(tuple(series[:k]), tuple(series[k:]), last)
    return Run(tuple(series[0] if i == shown else None for i in range(k)), (), last)


def _compiled_step(
    x: Any,
    states: States,
    active: Any,
    fixed: tuple[Any, ...],
    function: Any,
    shown: int | None,
    *objects: Any,
) -> tuple[States, tuple[Any, ...]]:
    """One step for programs: the new states, and the values to be kept of all steps."""
    states, gates = function(x, states, active, fixed, *objects)
    # Of their own, so that each has a gradient of its own.
    values = (mg.positive(value) for value in _asked(shown, states, gates))
    return states, tuple(zero_finished(value, active) for value in values)


def _compiled_loop(
    x: Any,
    states: States,
    fixed: tuple[Any, ...],
    order: Order,
    function: Any,
    shown: int | None,
    *objects: Any,
) -> tuple[Any, ...]:
    """All steps for programs: the values of all steps, then the last states."""
    step = Step(function, None, objects, fixed, shown)
    run = _one_by_one(step, x, states, order)
    return *_asked(shown, run.states, run.gates), *parts_of(run.last)


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
    # Inside `mg.compile` the lengths are data, and a program serves them all.
    return None if type(active) is np.ndarray and active.all() else active


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
