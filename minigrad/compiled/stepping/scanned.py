"""Steps over sequences that compile themselves, where that can be done.

The first sequence of a kind runs its first step as always, and an observer looks on; then that step
is traced twice more, with its derivative, as `compile` does it with functions. From the same call
on, sequences of that kind run as programs. Where anything speaks against it, the steps run as they
always did, without a warning, since no program was asked for.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from operator import is_
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minigrad.compiled.agreement import left_alone, unwrite, what_differs
from minigrad.compiled.backends import compiles_natively, default_backend
from minigrad.compiled.graph import PlainArray, Unsupported
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Key, flatten, key_of
from minigrad.compiled.guarding.made import Refusal
from minigrad.compiled.guarding.marks import Output
from minigrad.compiled.guarding.outside import set_apart
from minigrad.compiled.operation import MOST_PROGRAMS
from minigrad.compiled.stepping.batches import OTHER, PIECE
from minigrad.compiled.stepping.order import Order
from minigrad.compiled.stepping.rows import Mixed
from minigrad.compiled.stepping.sequences import Sequences
from minigrad.compiled.trace import Traced, settle, trace
from minigrad.compiled.tracing.builder import same_numbers
from minigrad.compiled.tracing.called import Refused
from minigrad.compiled.tracing.watching import Watch
from minigrad.core.modes import current_mode
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.graph_view import paused_gc
from minigrad.forks import give_lock
from minigrad.ops.pytree import labelled_leaves
from minigrad.restoring import errstate
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of

__all__ = ["FEWEST", "Begun", "Scanned"]

FEWEST = 8
"""Sequences of fewer steps run one by one: they would not pay for a program. With one, 8 steps of
an LSTM take half the time, those of a cell without a kernel a quarter (8 rows, 32 features)."""

MOST_BATCHES = 2
"""For how many sizes of batches there are programs of exactly that size, before those for any."""

MOST_ALIKE = 8
"""How many functions of the same code have programs: one may be made anew for each sequence."""

_alike: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class Begun(NamedTuple):
    """The first step of a sequence ran, and the others should follow it one by one.

    Attributes:
        states: the states after it.
        values: what is to be kept of it.
    """

    states: Any
    values: tuple[Any, ...]


class Entry(NamedTuple):
    """What was made of one kind of sequence.

    Attributes:
        program: what runs it, or why it runs step by step.
        objects: what the step is made of. Keys know it by identity, so it has to live.
        batch: the size of the batch; None for any.
    """

    program: Sequences | Refusal
    objects: tuple[Any, ...]
    batch: int | None

    def holds(self) -> bool:
        """Whether everything that the step read is as it was."""
        if isinstance(self.program, Sequences):
            return self.program.fits()
        return self.program.guards is None or self.program.guards.hold()


class Scanned:
    """A step, with the programs that were made of it.

    It belongs to an object that the step is made of, such as its cell, and lives as long: programs
    refer to what they read. A copy of it has no programs yet.

    Args:
        step: called as ``step(x, states, active, fixed, *objects)``; returns the new states,
            a tensor or a tuple of tensors like those before, and a tuple of the values to be kept
            of all steps.
        loop: all of them one by one, called as ``loop(x, states, fixed, order, *objects)`` with x
            (batch, time, ...); returns the values of all steps, then the last states.
    """

    _tracing: Any  # a lock

    def __init__(self, step: Callable[..., Any], loop: Callable[..., tuple[Any, ...]]) -> None:
        self.step, self.loop = step, loop
        self._entries: dict[Key, list[Entry]] = {}
        self._counts: dict[Key, int] = {}
        self._last: tuple[tuple[Any, ...], bool, Any, Key] | None = None  # see `_kind_of`
        give_lock(self, "_tracing", threading.RLock)

    def __reduce__(self) -> tuple[Any, ...]:
        return Scanned, (self.step, self.loop)

    def reachable_by_search(self) -> tuple[Any, ...]:
        """What a search for random generators must look at: it finds the objects by itself."""
        return ()

    def run(
        self,
        objects: Sequence[Any],
        owner: Any,
        x: Any,
        states: Any,
        fixed: Sequence[Any],
        order: Order,
        within: Callable[[int], AbstractContextManager[Any]],
    ) -> tuple[Any, ...] | Begun | None:
        """A sequence by programs.

        Args:
            objects: what the step is made of, such as a cell; known by identity, and plain values.
            owner: to whom the programs belong.
            x: the inputs, (batch, time, ...).
            states: the initial states, a tensor or an array, or a tuple of them.
            fixed: arrays that are the same at all steps.
            order: which steps there are.
            within: makes a block for a step that is run, of its number.

        Returns:
            What `loop` returns; or None where the steps are to run one by one.
        """
        if not self.wanted(x, order):
            return None
        given = states if isinstance(states, tuple) else (states,)
        batch: int = x.shape[0]
        kind = self._kind_of(objects)
        key = kind, *_kind_of_arrays(x, given, fixed), order.lengths is None
        found, size = self._found(key, batch)
        if found is None:
            with self._tracing:
                found, size = self._found(key, batch)  # another thread may have made it
                if found is None:
                    made = self._first(
                        key, kind, size, objects, owner, x, states, fixed, order, within
                    )
                    if not isinstance(made, Sequences):
                        return made
                    found = made
        if isinstance(found, Refusal):
            return None
        return self._called(key, found, x, given, fixed, order)

    def _kind_of(self, objects: Sequence[Any]) -> Key:
        """The key of what a step is made of, and of the mode; mostly it is that of the last one."""
        mode, last = current_mode(), self._last
        if last is not None:
            before, recording, dtype, kind = last
            same = recording is mode.recording and dtype is mode.dtype
            if same and len(before) == len(objects) and all(map(is_, before, objects)):
                return kind
        leaves: list[Any] = []
        kind = key_of(flatten(tuple(objects), leaves), leaves, mode)
        # A container may hold something else next time; and only programs keep objects alive.
        if self._entries and all(map(is_, leaves, objects)):
            self._last = tuple(leaves), mode.recording, mode.dtype, kind
        return kind

    def _found(self, key: Key, batch: int) -> tuple[Sequences | Refusal | None, int | None]:
        """What was made for a batch of a size, and else the size to make it for; None for any."""
        entries = [entry for entry in self._entries.get(key, ()) if entry.holds()]
        for entry in entries:
            if entry.batch == batch:
                return entry.program, batch
        if len(entries) < MOST_BATCHES:
            return None, batch
        for entry in entries:
            if entry.batch is None:
                # If it cannot be, every size has programs of its own, while there may be more.
                return (None if isinstance(entry.program, Refusal) else entry.program), batch
        return None, None

    @staticmethod
    def wanted(x: Any, order: Order) -> bool:
        """Whether a sequence should run by programs, if its step can be compiled."""
        mode = current_mode()
        return (
            len(order.times(x.shape[1])) >= FEWEST
            and all(x.shape)
            and mode.fused
            and not mode.watchers
            and not mode.deriving
            and compiles_natively()
        )

    def runs(self, objects: Sequence[Any]) -> bool:
        """Whether there are programs for some objects, and nothing spoke against one."""
        kind = self._kind_of(objects)
        first = [
            next((entry.program for entry in entries if entry.holds()), None)
            for key, entries in self._entries.items()
            if key[0] == kind
        ]
        made = [program for program in first if program is not None]
        return bool(made) and all(isinstance(program, Sequences) for program in made)

    def _called(
        self,
        key: Key,
        program: Sequences,
        x: Any,
        states: Sequence[Any],
        fixed: Sequence[Any],
        order: Order,
    ) -> tuple[Any, ...]:
        results = program.run(x, states, fixed, order)
        if program.failure is not None:
            reason = f"its program fails with {type(program.failure).__name__}: {program.failure}"
            refusal = Refusal(reason, "", program.guards)
            kept = self._entries.get(key, [])
            kept[:] = [e._replace(program=refusal) if e.program is program else e for e in kept]
        return results

    # -- the first sequence of a kind --------------------------------------------------------------

    def _first(
        self,
        key: Key,
        kind: Key,
        batch: int | None,
        objects: Sequence[Any],
        owner: Any,
        x: Any,
        states: Any,
        fixed: Sequence[Any],
        order: Order,
        within: Callable[[int], AbstractContextManager[Any]],
    ) -> Sequences | Begun | None:
        """The programs for a kind of sequence; or its first step, or nothing, if there are none."""
        count = self._counts.get(kind, 0)
        if count >= MOST_PROGRAMS or (not self._counts and not _is_welcome(owner)):
            return None
        self._counts[kind] = count + 1
        before = [(source, state_of(source)) for source in random_sources(self.step, *objects)]
        t = order.times(x.shape[1])[0]
        active = None if order.lengths is None else np.asarray(t < order.lengths)
        args = x[:, t], states, active, tuple(fixed), *objects
        number = len(states) if isinstance(states, tuple) else 1
        with within(t), paused_gc():
            begun, program = self._traced(args, number, order, batch is None)
        self._entries.setdefault(key, []).append(Entry(program, tuple(objects), batch))
        if isinstance(program, Refusal) or (program.draws and current_mode().observers):
            return begun  # whoever looks on has seen what was drawn
        for source, state in before:
            restore_state(source, state)
        return program

    def _traced(
        self, args: tuple[Any, ...], states: int, order: Order, any_batch: bool
    ) -> tuple[Begun, Sequences | Refusal]:
        """The first step, and what to run in the place of all of them, perhaps in any batch."""
        watch, objects = Watch(), args[4:]
        first = trace(self.step, args, {}, None, False, watch=watch)
        begun = Begun(*first.result)
        guards = again = None
        try:
            guards = Guards([self.step, *objects], watch)
            set_apart(first.tracer.captured, guards)  # the step is traced once more
            if first.refusal is not None:
                return begun, Refusal(first.refusal, first.tracer.line, guards)
            rows, entered = PIECE if any_batch else None, len(watch.entered)
            traced = self._derived(first, args, guards, states, rows, watch)
            if len(watch.entered) > entered:  # rules of the user's
                guards = Guards([self.step, *objects], watch)
            if any_batch and traced.refusal is None:
                again = self._derived(first, args, guards, states, OTHER, None)
            for one in (traced, again):
                if one is not None and one.refusal is not None:
                    return begun, Refusal(one.refusal, one.tracer.line, guards)
            return begun, Sequences(
                lambda *given: self.loop(*given, *objects),
                traced,
                guards,
                states,
                order.lengths is not None,
                default_backend(),
                "steps",
                again,
            )
        except (Refused, Unsupported, Mixed) as error:
            return begun, Refusal(str(error), "", guards)
        except Exception as error:  # ours: the user has the result, and the reason
            reason = f"compiling it fails with {type(error).__name__}: {error}"
            return begun, Refusal(reason, "", guards)

    def _derived(
        self,
        first: Traced,
        args: tuple[Any, ...],
        guards: Guards,
        states: int,
        rows: int | None,
        watch: Watch | None,
    ) -> Traced:
        """The step traced twice more, or once with no watch, with its derivative, perhaps of other
        rows than the first step had; states of later steps require grad wherever results do."""
        x, form, active, fixed, *objects = args
        given = form if isinstance(form, tuple) else (form,)
        recorded = any(first.recorded) and current_mode().recording
        carried: Any = tuple(_as_tensor(state, recorded, rows) for state in given)
        carried = carried if isinstance(form, tuple) else carried[0]
        x = _owned(x, rows) if isinstance(x, np.ndarray) else _as_tensor(x, x.requires_grad, rows)
        active = None if active is None else _owned(active, rows)
        rest = active, tuple(_owned(array, rows) for array in fixed), *objects
        tree: tuple[Any, dict[str, Any]] = (x, carried, *rest), {}
        with left_alone(guards, random_sources(self.step, *rest)), errstate(all="ignore"):
            traced = trace(self.step, *tree, {}, recorded, watch, seeded=True)
            settle(traced, guards.tensors)
            unwrite(traced, guards)
            changed = guards.changed()
        reason = traced.refusal or (changed and f"it changes {changed}")
        if reason is None:
            shapes = [s.shape if rows is None else (rows, *s.shape[1:]) for s in given]
            kinds = [(shape, s.dtype) for shape, s in zip(shapes, given, strict=True)]
            reason = _what_hinders(traced, kinds, isinstance(form, tuple))
        if reason is None and rows is None and not traced.draws:
            reason = None if _same_results(first, traced) else "arrays and tensors differ in it"
        if reason is None and watch is not None:
            leaves = [leaf for _, leaf in labelled_leaves(tree)]
            reason = what_differs(self.step, traced, guards, tree, leaves, recorded, seeded=True)
        traced.refusal = reason
        return traced


def _what_hinders(traced: Traced, states: Sequence[Any], several: bool) -> str | None:
    """Why a step that was traced cannot follow itself, if it cannot.

    Args:
        traced: what was seen of it.
        states: the shapes and dtypes of the states that it was given.
        several: whether they came as a tuple.
    """
    if not all(type(leaf) is Output for _, leaf in labelled_leaves(traced.template)):
        return "it returns what it was given"
    made = [(view.shape, view.dtype) for view in traced.outputs[: len(states)]]
    if made != states or isinstance(traced.template[0], tuple) != several:
        return "its states change their shapes, dtypes or number"
    if traced.writes or traced.tracer.assumed:
        return "it writes tensors, or looks at numbers of a step"
    return None


def _same_results(first: Traced, again: Traced) -> bool:
    """Whether two traces gave the same numbers."""
    ones, others = ([leaf for _, leaf in labelled_leaves(t.result)] for t in (first, again))
    return len(ones) == len(others) and all(
        same_numbers(one._array, other._array) for one, other in zip(ones, others, strict=True)
    )


def _as_tensor(value: Any, recorded: bool, rows: int | None) -> Tensor:
    """An argument for a trace, perhaps one that requires grad."""
    tensor = wrap(_owned(value._array if isinstance(value, Tensor) else value, rows), None)
    return tensor.requires_grad_() if recorded and tensor.dtype.kind == "f" else tensor


def _owned(array: PlainArray, rows: int | None) -> PlainArray:
    """A copy, since views of it must lead to it alone; perhaps with its rows again and again."""
    return array.copy() if rows is None else array[np.arange(rows) % len(array)]


def _kind_of_arrays(x: Any, states: Sequence[Any], fixed: Sequence[Any]) -> tuple[Any, ...]:
    """What sequences share, whatever their batch; its size, too, where not all arrays have it."""
    arrays = *states, *fixed
    rows = all(array.ndim and len(array) == len(x) for array in arrays)
    shapes = tuple((array.shape[rows:], array.dtype) for array in arrays)
    recorded = getattr(x, "_node", None) is not None
    return x.shape[2:], x.dtype, recorded, len(states), shapes, None if rows else len(x)


def _is_welcome(owner: Any) -> bool:
    """Whether what owns no programs yet may have some: a function may be one of many alike."""
    if not isinstance(owner, FunctionType) or "_stands_for_others" in vars(owner):
        return True
    _alike[owner.__code__] = _alike.get(owner.__code__, 0) + 1
    return _alike[owner.__code__] <= MOST_ALIKE
