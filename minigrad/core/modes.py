"""The mode: one immutable record of what the engine does with the next operation.

It lives in one ContextVar, so threads and async tasks each have their own, and every block that
changes it puts it back. The scope (module path, time step, carried state) is part of it, and so are
the observers, through which anomaly checks, replay and tracing look on.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigrad.core.errors import DtypeError

__all__ = [
    "Applied",
    "Mode",
    "ModeChange",
    "Observer",
    "current_mode",
    "default_dtype",
    "enable_grad",
    "is_recording",
    "no_grad",
    "observed_by",
    "set_default_dtype",
]

Function = TypeVar("Function", bound=Callable[..., Any])


class Applied(NamedTuple):
    """An operation that was applied.

    Attributes:
        operation: what was called; it has a name, the function on arrays and its reference.
        inputs: the inputs as they were given: tensors, arrays and numbers.
        arrays: the same as the function got them.
        params: the parameters of the call.
        results: the arrays that the function returned, with its aux values.
        tensors: what the caller gets.
        node: its node on the tape, None when nothing is recorded.
    """

    operation: Any
    inputs: Sequence[Any]
    arrays: Sequence[Any]
    params: dict[str, Any]
    results: Sequence[Any]
    tensors: Sequence[Any]
    node: Any


Drawn = tuple[Any, Any, Any]  # random numbers, and the states of the generator before and after


class Observer:
    """Looks on at what the engine does, from within the mode: see `observed_by`.

    The engine knows nothing of its observers but these seven events. Each does nothing unless a
    subclass has something to do with it.
    """

    looks_at_calls = True  # whether it wants the events `call` and `constant`, which cost time

    def call(self, applied: Applied) -> None:
        """An operation was applied."""

    def leave(self, tensor: Any) -> None:
        """A value goes on without its place in the graph, as after `detach`."""

    def draw(self, request: Any, ask: Callable[[], Drawn]) -> Drawn:
        """Random numbers are drawn: those of `ask()`, unless others are returned in their place."""
        return ask()

    def write(self, tensor: Any) -> None:
        """A tensor is about to be written in place."""

    def constant(self, value: Any, array: Any) -> Any:
        """A value that is no tensor enters an operation, `array` in its place; return what does.

        Of a parameter of the call, `array` is the value itself, perhaps a container of arrays.
        """
        return array

    def enter(self, module: Any, scope: Any) -> None:
        """A module is called."""

    def edge(self, node: Any, gradient: Any, slot: int, source: Any, part: Any) -> None:
        """A gradient goes along an edge: `node` got `gradient`, and sends `part` to `source`.

        Where a backward pass begins, `node` is None; where it ends, at a leaf, `source` is None.
        """

    def of_pass(self) -> "Observer":
        """Who looks on at the edges of one backward pass: itself, or somebody with a memory."""
        return self


class Mode:
    """What is recorded just now. Immutable: change a copy with `replace`.

    Attributes:
        recording: whether operations on tensors that require grad are recorded.
        scope: the scope that new nodes point to.
        observers: who looks on.
        fused: whether fused operations run as kernels; else their reference is recorded.
        deriving: whether the running code is a derivative rule that is being recorded.
        dtype: the dtype given to Python floats and to the parameters of layers.
        watchers: the observers that look at every call; mostly there are none.
    """

    __slots__ = ("deriving", "dtype", "fused", "observers", "recording", "scope", "watchers")

    def __init__(
        self,
        recording: bool = True,
        scope: Any = None,
        observers: tuple[Observer, ...] = (),
        fused: bool = True,
        deriving: bool = False,
        dtype: "np.dtype[Any]" = np.dtype(np.float32),  # noqa: B008 - a dtype is immutable
    ) -> None:
        self.recording = recording
        self.scope = scope
        self.observers = observers
        self.fused = fused
        self.deriving = deriving
        self.dtype = dtype
        self.watchers = tuple(o for o in observers if o.looks_at_calls) if observers else ()

    def replace(self, **changes: Any) -> "Mode":
        """A copy with some fields changed."""
        return Mode(**({name: getattr(self, name) for name in _FIELDS} | changes))

    def without(self, kind: type[Observer]) -> tuple[Observer, ...]:
        """The observers but for those of a kind."""
        return tuple(o for o in self.observers if not isinstance(o, kind))


_FIELDS = tuple(name for name in Mode.__slots__ if name != "watchers")
_mode: ContextVar[Mode] = ContextVar("minigrad_mode", default=Mode())  # noqa: B039 - immutable
current_mode = _mode.get
set_mode = _mode.set
reset_mode = _mode.reset


_GENERATOR_FLAGS = 0x20 | 0x200  # inspect.CO_GENERATOR | CO_ASYNC_GENERATOR, without its import


class ModeChange:
    """A block, or a decorated function, that runs with some fields of the mode changed."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._tokens: list[Token[Mode]] = []

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The fields that change, given the mode around the block."""
        return self._changes

    def __enter__(self) -> None:
        mode = current_mode()
        self._tokens.append(set_mode(mode.replace(**self.changes(mode))))

    def __exit__(self, *exc: object) -> None:
        reset_mode(self._tokens.pop())

    def __call__(self, function: Function) -> Function:
        """Decorate a function so that each of its calls runs inside such a block."""
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _GENERATOR_FLAGS:
            raise TypeError(
                f"{function.__name__} is a generator: a block that changes the mode must not be "
                "held across a yield, or the mode would leak into the caller. Put the `with` "
                "block inside, around the work between two yields."
            )

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            block = copy.copy(self)  # one for each call: calls may run side by side in threads
            block._tokens = []
            with block:
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]  # the wrapper keeps the signature


class no_grad(ModeChange):
    """Record nothing: results do not require grad, and leaves may be written in place.

    Use as ``with no_grad():`` or as a decorator ``@no_grad()``.

    >>> import minigrad as mg
    >>> x = mg.Tensor(2.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(recording=False)


class enable_grad(ModeChange):
    """Record again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(recording=True)


class observed_by(ModeChange):
    """A block at which an observer looks on, besides those that do already."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The observers with this one, the innermost."""
        return {"observers": (*mode.observers, self._observer)}


def is_recording() -> bool:
    """Whether operations are being recorded just now."""
    return current_mode().recording


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of Python floats and of the parameters of layers in this context.

    Raises:
        DtypeError: when it is not a floating dtype.
    """
    set_mode(current_mode().replace(dtype=_floating(dtype)))


class default_dtype(ModeChange):
    """A block in which Python floats and the parameters of layers get another dtype.

    >>> import minigrad as mg
    >>> with mg.default_dtype("float64"):
    ...     mg.Tensor(1.5).dtype
    dtype('float64')
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(dtype=_floating(dtype))


def _floating(dtype: Any) -> "np.dtype[Any]":
    try:
        resolved: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"the default dtype {dtype!r} is not a dtype of NumPy") from None
    if resolved.kind != "f":
        raise DtypeError(
            f"the default dtype must be floating (float16, float32, float64), got {resolved}"
        )
    return resolved
