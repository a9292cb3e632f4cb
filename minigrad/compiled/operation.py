"""`compile`: a function that runs as one program, once it was traced, with the same results."""

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.compiled.forks import give_lock
from minigrad.compiled.graph import Unsupported
from minigrad.compiled.guarding.comparing import differences
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Held, Key, flatten, key_of
from minigrad.compiled.guarding.other_values import other_argument
from minigrad.compiled.lowered import Lowered
from minigrad.compiled.programs import Program
from minigrad.compiled.trace import Traced, settle, trace
from minigrad.compiled.tracing.called import Refused
from minigrad.compiled.tracing.watching import Watch
from minigrad.core.blocks import observed_by
from minigrad.core.modes import current_mode
from minigrad.core.tensors import Tensor
from minigrad.ops.pytree import replace_leaves
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import restore_state, state_of
from minigrad.transforms.recorded_writes import Writes, put_back

__all__ = ["Compiled", "CompileWarning", "compile"]

MOST_PROGRAMS = 8
MOST_MISSES = 3  # calls for which a program does not hold, until a warning


class CompileWarning(UserWarning):
    """A function runs as before, because it cannot be compiled; the message says why."""


class Refusal(NamedTuple):
    """Why calls of one kind are not compiled.

    Attributes:
        reason: in words.
        line: where that was seen, as "file:line"; may be empty.
        guards: what the function read; None when that is not known.
    """

    reason: str
    line: str = ""
    guards: Guards | None = None


class Entry(NamedTuple):
    """What was made of one call."""

    program: Program | Refusal
    held: Held


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

    The environment variable ``MINIGRAD_COMPILE=0`` leaves everything as it is.

    Args:
        function: takes and returns tensors, arrays and containers of them. Without it, the result
            is a decorator.
        check: compare every n-th call with the function itself, values and gradients; 0 for never.
        backend: an object with a function `build(graph)`; the best one that is there unless given.

    Raises:
        TypeError: when it is not callable.
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
    if not callable(function):
        raise TypeError(f"compile: takes a function, got {type(function).__name__}")
    if check < 0:
        raise ValueError(f"compile: check must be 0 or more, got {check}")
    return Compiled(function, check, backend or default_backend())


class Compiled:
    """What `compile` makes: called like the function, with the same results.

    Attributes:
        function: the user's own.
    """

    _tracing: Any  # a lock

    def __init__(self, function: Callable[..., Any], check: int, backend: Any) -> None:
        self.function = function
        self._check, self._backend = check, backend
        self._off = os.environ.get("MINIGRAD_COMPILE", "") == "0"
        self._entries: dict[Key, list[Entry]] = {}
        self._warned: set[str] = set()
        self._count = 0
        self._calls = 0
        give_lock(self, "_tracing", threading.RLock)
        self._bound: WeakKeyDictionary[Any, Compiled] = WeakKeyDictionary()
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mode = current_mode()
        if self._off or mode.watchers or mode.deriving or not mode.fused:
            return self.function(*args, **kwargs)
        tree = args, kwargs
        leaves: list[Any] = []
        key = key_of(flatten(tree, leaves), leaves, mode)
        for program, held in self._entries.get(key, ()):
            if isinstance(program, Refusal):
                if program.guards is None or program.guards.hold():
                    return self.function(*args, **kwargs)
            elif held.alive and program.fits():
                self._calls += 1
                result = program.run(
                    tree, leaves, bool(self._check) and not self._calls % self._check
                )
                if program.failure is not None:
                    self._give_up(key, program)
                elif program.misses == MOST_MISSES:
                    self._warn("what it looks at in its arguments differs from call to call")
                return result
        return self._first_call(key, tree, leaves)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The method of an instance, which has programs of its own."""
        if instance is None:
            return self
        bound = self._bound.get(instance)
        if bound is None:
            method = MethodType(self.function, instance)
            bound = self._bound[instance] = Compiled(method, self._check, self._backend)
        return bound

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

    @property
    def programs(self) -> list[Program]:
        """The programs so far."""
        return [
            e.program for es in self._entries.values() for e in es if isinstance(e.program, Program)
        ]

    @property
    def refusals(self) -> list[Refusal]:
        """Why calls run as before, for each kind of call that does."""
        return [
            e.program for es in self._entries.values() for e in es if isinstance(e.program, Refusal)
        ]

    def lowered(self, *args: Any, **kwargs: Any) -> Lowered:
        """What becomes of a call: its graph after every pass, as text or to `minigrad.draw.draw`.

        The function runs for it, unless it has to be refused at once, twice, and leaves random
        generators and what it writes as they were.
        """
        tree = args, kwargs
        leaves: list[Any] = []
        flatten(tree, leaves)
        with self._tracing:
            before = Writes()
            sources = random_sources(self.function, args, kwargs)
            states = [(source, state_of(source)) for source in sources]
            with observed_by(before):
                _, program = self._traced(tree, leaves, keep=True)
            put_back(before.before())
            for source, state in states:
                restore_state(source, state)
        if isinstance(program, Refusal):
            return Lowered(self._label, {}, [program.reason])
        return Lowered(self._label, program.stages, [r.reason for r in self.refusals])

    # -- first calls -------------------------------------------------------------------------------

    def _first_call(self, key: Key, tree: Any, leaves: list[Any]) -> Any:
        with self._tracing:
            if self._count >= MOST_PROGRAMS:
                self._warn(
                    f"it has {MOST_PROGRAMS} programs for other shapes, flags and values already"
                )
                return self.function(*tree[0], **tree[1])
            result, program = self._traced(tree, leaves)
            self._count += 1
            if isinstance(program, Refusal):
                self._warn(program.reason, program.line)
            entries = self._entries.setdefault(key, [])
            held = Held(leaves, lambda _: self._forget(key))
            entries[:] = [e for e in entries if e.held.alive] + [Entry(program, held)]
            return result

    def _forget(self, key: Key) -> None:
        self._entries.pop(key, None)

    def _give_up(self, key: Key, program: Program) -> None:
        reason = f"its program fails with {type(program.failure).__name__}: {program.failure}"
        refusal = Refusal(reason, "", program.guards)
        entries = self._entries.get(key, [])
        entries[:] = [Entry(refusal, e.held) if e.program is program else e for e in entries]
        self._warn(reason)

    def _warn(self, reason: str, line: str = "") -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            where = f" ({line})" if line else ""
            message = f"compile: {self._label} runs as before: {reason}{where}"
            warnings.warn(message, CompileWarning, stacklevel=4)

    def _traced(
        self, tree: Any, leaves: list[Any], keep: bool = False
    ) -> tuple[Any, Program | Refusal]:
        """The result of a call, and what to run at the next."""
        args, kwargs = tree
        watch = Watch()
        recording = current_mode().recording
        first = trace(self.function, args, kwargs, None, recording, watch, self._kernels)
        result = first.result
        if first.refusal is not None:
            return result, Refusal(first.refusal, first.tracer.line)
        objects = [leaf for leaf in leaves if not isinstance(leaf, (Tensor, np.ndarray))]
        guards = None
        try:
            guards = Guards([self.function, *objects], watch)
            settle(first, guards.tensors)
            if first.refusal is None:
                first.refusal = self._second(first, guards, tree, leaves, recording)
            if first.refusal is not None:
                return result, Refusal(first.refusal, first.tracer.line, guards)
            return result, self._program(first, guards, keep)
        except (Refused, Unsupported) as error:
            return result, Refusal(str(error), "", guards)
        except Exception as error:  # ours: the user has the result, and the reason
            reason = f"compiling it fails with {type(error).__name__}: {error}"
            return result, Refusal(reason, "", guards)

    def _second(
        self, first: Traced, guards: Guards, tree: Any, leaves: list[Any], recording: bool
    ) -> str | None:
        """Trace again with other values; what differs, or None."""
        failure = ""
        for signs in (False, True):
            others = [other_argument(leaf, signs) for leaf in leaves]
            args, kwargs = replace_leaves(tree, others)
            try:
                return self._compared(first, guards, args, kwargs, recording)
            except Exception as error:  # perhaps of the values alone
                failure = failure or f"{type(error).__name__}: {error}"
        return f"with other values it fails with {failure}"

    def _compared(
        self, first: Traced, guards: Guards, args: Any, kwargs: Any, recording: bool
    ) -> str | None:
        """What a second trace and the first do not share."""
        with _left_alone(guards, random_sources(self.function, args, kwargs)):
            second = trace(self.function, args, kwargs, {}, recording, None, self._kernels)
            settle(second, guards.tensors)
            for reference, array, node in second.tracer.written.values():
                tensor = reference()
                if tensor is not None and id(tensor) in guards.tensors:
                    tensor._array, tensor._node = array, node
            changed = guards.changed()
            if changed is not None:
                return f"it changes {changed}"
        first.tracer.line = second.tracer.line
        return differences(first, second)

    def _program(self, traced: Traced, guards: Guards, keep: bool) -> Program:
        try:
            return Program(self.function, traced, guards, self._backend, self._label, keep)
        except Unsupported:
            if self._backend is plain:
                raise
        return Program(self.function, traced, guards, plain, self._label, keep)


@contextlib.contextmanager
def _left_alone(guards: Guards, sources: list[Any]) -> Iterator[None]:
    """A block after which generators and everything that is guarded are as they were."""
    states = [(source, state_of(source)) for source in sources]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        guards.restore()
        for source, state in states:
            restore_state(source, state)
