"""`compile`: a function that runs as one program, once it was traced, with the same results."""

import copy
import threading
import warnings
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from minigrad.compiled.agreement import what_differs
from minigrad.compiled.backends import chosen_backend, prepare, switched_off, to_pickle
from minigrad.compiled.graph import Unsupported
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Held, Key, flatten, key_of, objects_around, what_hides
from minigrad.compiled.guarding.made import TOO_MANY, Entry, Methods, Refusal
from minigrad.compiled.guarding.outside import set_apart
from minigrad.compiled.lowered import Lowered
from minigrad.compiled.programs import Program
from minigrad.compiled.trace import array_leaves, settle, trace
from minigrad.compiled.tracing.called import Refused
from minigrad.compiled.tracing.memory import give_back
from minigrad.compiled.tracing.watching import Watch
from minigrad.core.blocks import observed_by
from minigrad.core.modes import Mode, current_mode
from minigrad.core.observer import Observer
from minigrad.core.tensors import Tensor
from minigrad.debug.graph_view import paused_gc
from minigrad.forks import give_lock
from minigrad.profiling.watching import see_whole_calls, whole_work
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of
from minigrad.transforms.recorded_writes import Writes, put_back

__all__ = ["Compiled", "CompileWarning", "compile"]

MOST_PROGRAMS = 8
MOST_MISSES = 3  # calls for which a program does not hold, until a warning


class CompileWarning(UserWarning):
    """A function runs as before, because it cannot be compiled; the message says why."""


def compile(
    function: Callable[..., Any] | None = None, *, check: int = 0, backend: Any = None
) -> Any:
    """Make a function, a method or a module run as one program.

    The first call with arguments of new shapes, dtypes or flags runs as always, and is traced;
    later ones run what was traced: the same values and gradients within rounding, as one node on
    the tape. The function is traced a second time with other values, and all plain values that it
    can read from outside are watched, so that nothing is frozen by mistake. What cannot be
    followed runs as before, after one warning that says why. Derivatives of higher order, drawings
    and anomaly mode run the function itself, with the random numbers of the call.

    ``MINIGRAD_COMPILE=0`` in the environment leaves everything as it is. Native code of large
    programs runs on all processors while that is faster, or on ``MINIGRAD_THREADS`` at most;
    results have the same bits with any number.

    Args:
        function: takes and returns tensors, arrays and containers of them. Without it, the result
            is a decorator.
        check: compare every n-th call with the function itself, values and gradients; 0 for never.
        backend: "native", "plain" for NumPy, or an object with `build(graph)`; the best if None.

    Raises:
        TypeError, ValueError, MissingPackageError: naming the argument, or what to install.
        CompileError: at a call that is checked and differs.

    >>> import numpy as np
    >>> import minigrad as mg
    >>> @mg.compile
    ... def loss(x, w):
    ...     return (mg.tanh(x @ w) ** 2).sum()
    >>> w = mg.Tensor(np.ones((3, 2)), requires_grad=True)
    >>> for _ in range(2):
    ...     w.grad = None
    ...     loss(np.full((1, 3), 0.1), w).backward()
    >>> w.grad[0].numpy()
    array([0.053, 0.053])
    """
    if function is None:
        return lambda function: compile(function, check=check, backend=backend)
    if isinstance(function, staticmethod) or not callable(function):
        kind = type(function).__name__
        below = "; put it below that" if kind in ("staticmethod", "classmethod") else ""
        raise TypeError(f"compile: takes a function, got {kind}{below}")
    if check < 0:
        raise ValueError(f"compile: check must be 0 or more, got {check}")
    return Compiled(function, check, chosen_backend(backend))


def _compiled(function: Callable[..., Any], check: int, backend: Any, *options: Any) -> "Compiled":
    """For pickle."""
    return Compiled(function, check, chosen_backend(backend), *options)


class Compiled:
    """What `compile` makes: called like the function, with the same results.

    Args:
        function, check, backend: as in `compile`.
        tell: is told why calls run as before, in the place of a warning.
        at_once: let the first call, too, return what the program computes, or what the function
            does if there is none, so that bits do not depend on which calls there were before.

    Attributes:
        function: the user's own.
    """

    _slots = "__dict__ __weakref__ _at_once _backend _calls _check _count _entries _last _tell"
    # `functools.wraps` takes the rest over.
    __slots__ = (*_slots.split(), "_tracing", "_warned", "function")

    _tracing: Any  # a lock

    def __init__(
        self,
        function: Callable[..., Any],
        check: int,
        backend: Any,
        tell: Callable[[str], None] | None = None,
        at_once: bool = False,
    ) -> None:
        self.function = function
        self._check, self._backend = check, backend
        self._tell, self._at_once = tell, at_once
        self._entries: dict[Key, list[Entry]] = {}
        self._last: Entry | None = None  # that served a call
        self._warned: set[str] = set()
        self._count = 0  # first calls since a program last served a later one
        self._calls = 0
        give_lock(self, "_tracing", threading.RLock)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = current_mode()
        tree, served = (args, kwargs), self._served(args, kwargs, mode)
        watchers: tuple[Observer, ...] = ()
        if served is None:
            watchers = mode.watchers
            if mode.deriving or not mode.fused or not see_whole_calls(watchers) or switched_off():
                return self.function(*args, **kwargs)
            leaves: list[Any] = []
            key = key_of(flatten(tree, leaves), leaves, mode)
            for entry in self._entries.get(key, ()):
                program = entry.program
                if isinstance(program, Refusal):
                    if program.guards is None or program.guards.hold():
                        return self.function(*args, **kwargs)
                elif entry.held.alive:
                    found = program.held()
                    if found is not None:
                        entry.served(tree, mode)
                        self._last = entry
                        tensors = array_leaves(leaves)
                        arrays = [t._array if isinstance(t, Tensor) else t for t in tensors]
                        served = program, leaves, tensors, arrays, found
                        break
            else:
                return self._first_call(key, tree, leaves)
        return self._run(tree, served, mode, watchers)

    def _served(self, args: tuple[Any, ...], kwargs: dict[str, Any], mode: Mode) -> Any:
        """The program of the last call and what it is given, if it serves this one; else None."""
        last = self._last
        if last is None or last.read is None or not last.fits(mode) or switched_off():
            return None
        read = last.read(args, kwargs)
        if read is None or not last.held.alive:
            return None
        found = last.program.held()
        return None if found is None else (last.program, *read, found)

    def again(self, *args: Any) -> Any:
        """The result, if the program of the last call serves this one; else None."""
        served = self._served(args, {}, mode := current_mode())
        return None if served is None else self._run((args, {}), served, mode)

    def _run(self, tree: Any, served: Any, mode: Mode, watchers: tuple[Observer, ...] = ()) -> Any:
        program, leaves, tensors, arrays, found = served
        check = False
        if self._check:
            self._calls += 1
            check = not self._calls % self._check
        if self._count:
            self._count = 0
        result = program.run(tree, leaves, tensors, arrays, found, mode, check, watchers)
        if program.failure is not None:
            self._warn(self._given_up(program))
        elif program.misses == MOST_MISSES:
            self._warn("what it looks at in its arguments differs from call to call")
        return result

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The method of an instance, which has programs of its own."""
        if instance is None:
            return self
        try:
            bound = vars(instance).get("_compiled_methods")
            if bound is None or bound.owner() is not instance:
                bound = vars(instance)["_compiled_methods"] = Methods(instance)
        except TypeError:  # a class, or without attributes: programs for it as for an argument
            return MethodType(self, instance)
        if self not in bound:
            bound[self] = self._of(MethodType(self.function, instance))
        return bound[self]

    def _of(self, function: Callable[..., Any]) -> "Compiled":
        return Compiled(function, self._check, self._backend, self._tell, self._at_once)

    def __copy__(self) -> "Compiled":
        return self._of(self.function)

    def __deepcopy__(self, known: dict[int, Any]) -> "Compiled":
        return self._of(copy.deepcopy(self.function, known))

    def __reduce__(self) -> Any:
        backend = to_pickle(self._backend)
        return _compiled, (self.function, self._check, backend, self._tell, self._at_once)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Compiled.__slots__ or name.startswith("__"):
            object.__setattr__(self, name, value)
        else:  # as it would be without compile
            setattr(self.function, name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "function":  # while it is copied
            raise AttributeError(name)
        return getattr(self.function, name)

    def reachable_by_search(self) -> tuple[Any, ...]:
        """What a search for random generators must look at."""
        return (self.function,)

    def __repr__(self) -> str:
        return f"compiled {self._label}"

    @property
    def _kernels(self) -> bool:
        """Whether the back end wants large kernels as they are."""
        return bool(getattr(self._backend, "KERNELS", False))

    @property
    def _label(self) -> str:
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def _every(self) -> list[Program | Refusal]:
        """What was made of calls so far."""
        return [e.program for entries in list(self._entries.values()) for e in entries]

    @property
    def programs(self) -> list[Program]:
        """The programs so far."""
        return [one for one in self._every() if isinstance(one, Program)]

    @property
    def refusals(self) -> list[Refusal]:
        """Why calls run as before, for each kind of call that does."""
        return [one for one in self._every() if isinstance(one, Refusal)]

    def lowered(self, *args: Any, **kwargs: Any) -> Lowered:
        """What becomes of a call: its graph after every pass, as text or to `minigrad.draw.draw`.

        The function runs for it, unless it has to be refused at once, twice, and leaves random
        generators and what it writes as they were.
        """
        tree, leaves = (args, kwargs), list[Any]()
        flatten(tree, leaves)
        with self._tracing, paused_gc():
            _, program, undo = self._traced_apart(tree, leaves, keep=True)
            undo()
            if program is None:
                return self.lowered(*args, **kwargs)
        if isinstance(program, Refusal):
            return Lowered(self._label, {}, [program.reason])
        refusals = [r.reason for r in self.refusals]
        return Lowered(self._label, program.stages, refusals, program.kernels)

    # -- first calls -------------------------------------------------------------------------------

    def _first_call(self, key: Key, tree: Any, leaves: list[Any]) -> Any:
        with self._tracing:
            if any(entry.serves() for entry in self._entries.get(key, ())):
                return self(*tree[0], **tree[1])  # another thread was first
            if len(self._every()) >= MOST_PROGRAMS:
                self._warn(TOO_MANY.format(MOST_PROGRAMS))
                return self.function(*tree[0], **tree[1])
            count = self._count
            if count >= MOST_PROGRAMS and count & (count - 1):  # still tried, but ever more rarely
                self._count += 1
                self._warn("objects among its arguments are new ones at each call")
                return self.function(*tree[0], **tree[1])
            with paused_gc(), whole_work(f"compile {self._label}") as made:
                if self._at_once:
                    result, program, undo = self._traced_apart(tree, leaves)
                else:
                    result, program = self._traced(tree, leaves)
                made.append(result)
            self._count = count + 1  # not for a call that raised
            give_back()
            if isinstance(program, Refusal):
                self._warn(program.reason, program.line)
            elif program is not None and program.unknown:
                self._warn(f"the back end does not know {program.unknown}", "", "by NumPy calls")
            if program is not None:  # else the next call is traced
                entries = self._entries.setdefault(key, [])
                held = Held([*leaves, *objects_around(tree)], lambda _: self._forget(key))
                if isinstance(program, Refusal):
                    program = program.after(entries)
                entries[:] = [*filter(lambda e: e.held.alive, entries), Entry(program, held)]
            if not self._at_once:
                return result
            undo()
        result = self(*tree[0], **tree[1])  # tracing rounds as no later call does
        self._count = count + 1
        return result

    def _forget(self, key: Key) -> None:
        self._last = None
        self._entries.pop(key, None)

    def _given_up(self, program: Program) -> str:
        """Why a program is not to run any more."""
        reason = f"its program fails with {type(program.failure).__name__}: {program.failure}"
        refusal = Refusal(reason, "", program.guards)
        self._last = None
        for entries in list(self._entries.values()):
            entries[:] = [Entry(refusal, e.held) if e.program is program else e for e in entries]
        return reason

    def _warn(self, reason: str, line: str = "", how: str = "as before") -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            message = f"{self._label} runs {how}: {reason}{line and f' ({line})'}"
            if self._tell is not None:
                self._tell(message)
            else:
                warnings.warn(f"compile: {message}", CompileWarning, stacklevel=4)

    def _traced_apart(
        self, tree: Any, leaves: list[Any], keep: bool = False
    ) -> tuple[Any, Program | Refusal | None, Callable[[], None]]:
        """As `_traced`, and what puts generators and everything that was written back."""
        before = Writes()
        states = [(source, state_of(source)) for source in random_sources(self.function, *tree)]
        with observed_by(before):
            result, program = self._traced(tree, leaves, keep)

        def undo() -> None:
            put_back(before.before())
            for source, state in states:
                restore_state(source, state)

        return result, program, undo

    def _traced(
        self, tree: Any, leaves: list[Any], keep: bool = False
    ) -> tuple[Any, Program | Refusal | None]:
        """The result of a call, and what to run at the next, or None if that is to be traced."""
        args, kwargs = tree
        if (hidden := what_hides(tree)) is not None:
            return self.function(*args, **kwargs), Refusal(hidden)
        prepare()
        watch = Watch()
        recording = current_mode().recording
        first = trace(self.function, args, kwargs, None, recording, watch, kernels=self._kernels)
        result = first.result
        if first.refusal is not None:
            return result, Refusal(first.refusal, first.tracer.line)
        rest = [v for v in leaves if not isinstance(v, (Tensor, np.ndarray))] + objects_around(tree)
        guards = None
        try:
            guards = Guards([self.function], watch, rest)
            if set_apart(first.tracer.captured, guards):
                return result, None
            settle(first, guards.tensors)
            if first.refusal is None:
                first.refusal = what_differs(
                    self.function, first, guards, tree, leaves, recording, kernels=self._kernels
                )
            if first.refusal is not None:
                return result, Refusal(first.refusal, first.tracer.line, guards)
            function, backend, label = self.function, self._backend, self._label
            return result, Program(function, first, guards, backend, label, keep)
        except (Refused, Unsupported) as error:
            return result, Refusal(str(error), "", guards)
        except Exception as error:  # ours: the user has the result, and the reason
            reason = f"compiling it fails with {type(error).__name__}: {error}"
            return result, Refusal(reason, "", guards)
