"""Any cell over time, and gradients that go back only so far."""

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

import minigrad as mg
from layers.base.inputs import cast_input
from layers.base.module import Module
from layers.cells.cell import Cell
from layers.cells.cell_checks import check_lengths
from layers.cells.steps import Step, expand_batch, run_steps
from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import ModeChange, current_mode
from minigrad.debug.labels import state_source
from minigrad.debug.scopes import ModuleToken, Scope

__all__ = ["detach_state", "run_in_chunks", "scan"]


def scan(
    cell: Any,
    inputs: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    return_states: str = "last",
) -> Any:
    """Run a cell over sequences (batch, time, ...), tagging its steps for graphs and drawings.

    Where llvmlite is installed, 8 steps or more run as one program, if the cell is a module or a
    function: one step is traced, in the first call, and the loop is made of it, so that compiling
    does not take longer for longer sequences. Other lengths and batches need no new program, and
    what the cell reads from outside may change. Of functions that are made anew for each call, as
    in a loss function, one serves all whose closures hold tensors and plain values. A cell that
    writes attributes or buffers, has hooks, or branches on numbers runs step by step, and so do all
    under ``MINIGRAD_COMPILE=0``; results agree within rounding.

    Args:
        cell: a `layers.Cell`, or anything that is called as ``cell(x, state)`` for each step with
            x (batch, ...) and returns the new state, a tensor or a tuple of tensors (batch, ...),
            the first of which is the output. What it declares is noted in the graph: `states`, the
            names of its states ("h", "c"), and `routes`, a `layers.Routes`; both may be missing.
        inputs: a tensor or an array (batch, time, ...).
        state: the initial state; None lets the cell begin by itself.
        lengths: integers (batch,), in any order, 0 allowed: how many steps of each sequence count.
            Inputs beyond are not read, and the output there is zero.
        reverse: from the last step of each sequence to the first.
        return_states: "last", or "all" for a third result: a tuple of the states at all steps.

    Returns:
        The output at all steps (batch, time, ...), and the state after the last step of each
        sequence, in the form in which the cell returns it.

    Raises:
        ShapeError, ValueError: for inputs without a time axis or step, or wrong lengths.
        DtypeError: when the cell returns something else than tensors.

    >>> output, last = scan(lambda x, s: x if s is None else 0.5 * s + x, np.ones((1, 3, 1)))
    >>> output.tolist(), last.tolist()
    ([[[1.0], [1.5], [1.75]]], [[1.75]])
    """
    if return_states not in ("last", "all"):
        raise ValueError(f'scan: return_states must be "last" or "all", got {return_states!r}')
    if not isinstance(inputs, (Tensor, np.ndarray)) or inputs.ndim < 2:
        raise ShapeError(f"scan: inputs must have shape (batch, time, ...), got {describe(inputs)}")
    batch, time = inputs.shape[:2]
    if not time:
        raise ShapeError(f"scan: inputs must have a time step, got {describe(inputs)}")
    lengths = check_lengths("scan", lengths, batch, time, inputs)
    shown = getattr(cell, "output_index", 0)
    every = return_states == "all"
    step = Step(_step, getattr(cell, "__self__", cell), (cell,), shown=None if every else shown)
    run = run_steps(step, inputs, state, lengths=lengths, reverse=reverse)
    output = run.states[shown]
    return (output, run.last, run.states) if every else (output, run.last)


def _step(
    x: Any, state: Any, active: Any, fixed: tuple[Any, ...], cell: Any
) -> tuple[Any, tuple[()]]:
    """A step of a cell, as `Step` calls it."""
    if isinstance(cell, Cell) and type(cell).forward is Cell.forward:
        return cell(x, state, active=active), ()
    return _call(cell, x, state, active), ()


def _call(cell: Any, x: Any, state: Any, active: Any) -> Any:
    """One step of a cell, whose states are labelled as made in the scope of its call."""
    step = current_mode().scope
    name = getattr(cell, "__name__", type(cell).__name__)
    if isinstance(cell, Module):
        new = cell(x, state)
    else:
        routes = getattr(cell, "routes", None)
        with ModeChange(scope=Scope(step, name, name, routes=routes, token=_token_of(cell, name))):
            new = cell(x, state)
    made = new if isinstance(new, tuple) else (new,)
    made = tuple(mg.Tensor(value) if isinstance(value, np.ndarray) else value for value in made)
    before = state if isinstance(state, tuple) else (state,)
    names = getattr(cell, "states", None) or ["h", "c", *map(str, range(2, len(made)))]
    if not all(isinstance(value, Tensor) for value in made) or len(names) < len(made):
        raise DtypeError(
            f"scan: {name} must return its state, a tensor or a tuple of tensors"
            + (f" ({', '.join(names)})" if hasattr(cell, "states") else "")
            + f", got {describe(new)}"
        )
    if state is not None and len(before) != len(made):
        raise ShapeError(
            f"scan: {name} must return as many states as it is given, {describe(state)}, got "
            f"{describe(new)}"
        )
    carried = [
        _carry(value, old, label, step, active)
        for value, old, label in zip(
            made, [None] * len(made) if state is None else before, names, strict=False
        )
    ]
    return tuple(carried) if isinstance(new, tuple) else carried[0]


def _carry(value: Tensor, old: Any, label: str, step: Scope | None, active: Any) -> Tensor:
    """The state to go on with: labelled, and the old one of the sequences that have ended."""
    scope = None if value._node is None else value._node.scope
    while scope is not None and scope.parent is not step:
        scope = scope.parent  # up to that of the cell's call; None when it was not made there
    if scope is not None and scope.state:
        scope = scope.with_state("")  # the cell labelled it itself
    made = value
    if active is not None:
        with ModeChange(scope=scope or step):
            before = np.zeros(value.shape, value.dtype) if old is None else old
            if value.dtype.kind == "f":  # a cell may count in integers
                before = cast_input("scan", f"state {label}", before, value.dtype)
            value = mg.where(expand_batch(active, value), value, before)
    if scope is not None and made._node is not None and value._node is not None:
        made._node.scope = scope
        value._node.scope = scope.with_state(label, state_source(old))
    return value


_tokens: WeakKeyDictionary[Any, dict[str, ModuleToken]] = WeakKeyDictionary()


def _token_of(cell: Any, name: str) -> ModuleToken | None:
    """The identity of a function or a bound method; None for what cannot be referred to weakly."""
    try:
        known = _tokens.setdefault(getattr(cell, "__self__", cell), {})
    except TypeError:
        return None
    return known.setdefault(name, ModuleToken())


def detach_state(state: Any) -> Any:
    """The state that a layer or cell returned, as constants: no gradient goes back beyond it.

    Args:
        state: a tensor, a tuple of tensors such as (h, c), or any other container; or None.
    """
    return mg.stop_gradient(state)


def run_in_chunks(
    model: Any, inputs: Any, steps: int, state: Any = None, *, axis: int = 1, **options: Any
) -> Iterator[tuple[slice, Any, Any]]:
    """Truncated backpropagation through time: chunk by chunk, the state carried as constants.

    Each chunk begins with the values of the state that the one before ended with, and its
    gradients stop there (Williams and Peng 1990). Between two chunks one may run backward and an
    optimiser. All chunks together give the output that one call would give.

    Args:
        model: called as ``model(chunk, state)``; returns (output, state), as layers do.
        inputs: a tensor or an array (batch, time, ...).
        steps: the time steps of a chunk; the last one may be shorter.
        state: the initial state; None lets the model begin by itself.
        axis: the time axis of the inputs; 0 for one sequence, or with batch_first=False.
        options: passed on to the model; `lengths` are those of the whole sequences.

    Yields:
        The slice of time steps, the output, and the state, which requires grad like the output.

    >>> total = lambda x, s: (x.cumsum(axis=1) + s, x.sum(axis=1, keepdims=True) + s)
    >>> x = mg.Tensor(np.ones((1, 5)))
    >>> for part, output, _ in run_in_chunks(total, x, 2, state=0.0):
    ...     print(part.start, part.stop, output.tolist())
    0 2 [[1.0, 2.0]]
    2 4 [[3.0, 4.0]]
    4 5 [[5.0]]
    """
    if steps < 1:
        raise ValueError(f"run_in_chunks: steps must be 1 or more, got {steps}")
    if inputs.ndim <= axis:
        raise ShapeError(f"run_in_chunks: inputs {describe(inputs)} have no axis {axis} for time")
    time = inputs.shape[axis]
    lengths = options.pop("lengths", None)
    if lengths is not None:
        lengths = np.asarray(lengths)
    return _chunks(model, inputs, steps, state, axis, time, lengths, options)


def _chunks(
    model: Any,
    inputs: Any,
    steps: int,
    state: Any,
    axis: int,
    time: int,
    lengths: Any,
    options: dict[str, Any],
) -> Iterator[tuple[slice, Any, Any]]:
    for start in range(0, time, steps):
        part = slice(start, min(start + steps, time))
        chunk = inputs[(slice(None),) * axis + (part,)]
        if lengths is not None:
            options["lengths"] = np.clip(lengths - start, 0, part.stop - start)
        output, state = model(chunk, state, **options)
        yield part, output, state
        state = detach_state(state)
