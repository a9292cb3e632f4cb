"""The mode: one immutable record of what the engine does with the next operation.

It lives in one ContextVar, so threads and async tasks each have their own, and every block that
changes it puts it back. The blocks themselves, such as `no_grad`, are in `minigrad.core.blocks`.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from minigrad.core.observer import Observer
from minigrad.restoring import Setting

__all__ = ["Mode", "ModeChange", "current_mode", "set_mode"]

Function = TypeVar("Function", bound=Callable[..., Any])


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

    FIELDS = ("deriving", "dtype", "fused", "observers", "recording", "scope", "watchers")
    __slots__ = (*FIELDS, "_unrecorded")

    def __init__(
        self,
        recording: bool = True,
        scope: Any = None,
        observers: tuple[Observer, ...] = (),
        fused: bool = True,
        deriving: bool = False,
        dtype: "np.dtype[Any]" = np.dtype(np.float32),  # noqa: B008 - a dtype is immutable
    ) -> None:
        self.recording, self.scope, self.observers = recording, scope, observers
        self.fused, self.deriving, self.dtype = fused, deriving, dtype
        self.watchers = tuple(o for o in observers if o.looks_at_calls)

    def replace(self, **changes: Any) -> "Mode":
        """A copy with some fields changed."""
        mode: Mode = object.__new__(Mode)  # every call of a module makes one: quicker than __init__
        mode.recording, mode.scope, mode.observers = self.recording, self.scope, self.observers
        mode.fused, mode.deriving, mode.dtype = self.fused, self.deriving, self.dtype
        mode.watchers = self.watchers
        for name, value in changes.items():
            setattr(mode, name, value)
        if "observers" in changes:
            mode.watchers = tuple(o for o in mode.observers if o.looks_at_calls)
        return mode

    def unrecorded(self) -> "Mode":
        """A copy that does not record, made once: most backward passes run in one."""
        if not hasattr(self, "_unrecorded"):
            self._unrecorded: Mode = self.replace(recording=False)
        return self._unrecorded

    def without(self, kind: type[Observer]) -> tuple[Observer, ...]:
        """The observers but for those of a kind."""
        return tuple(o for o in self.observers if not isinstance(o, kind))


_mode: ContextVar[Mode] = ContextVar("minigrad_mode", default=Mode())  # noqa: B039 - immutable
current_mode = _mode.get
set_mode = _mode.set


_PAUSING = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


class ModeChange(Setting):
    """A block, or a decorated function, that runs with some fields of the mode changed."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(_mode)
        self._changes = changes

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The fields that change, given the mode around the block."""
        return self._changes

    def value(self, before: Mode) -> Mode:
        """The mode within."""
        return before.replace(**self.changes(before))

    def __call__(self, function: Function) -> Function:
        """Decorate a function so that each of its calls runs inside such a block."""
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _PAUSING:
            raise TypeError(
                f"{function.__name__} is a generator or a coroutine: a block that changes the mode "
                "must not be held across a yield or an await, or the mode would leak into the "
                "caller. Put the `with` block inside, around the work between two of them."
            )

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = current_mode()
            try:
                set_mode(self.value(before))
                return function(*args, **kwargs)
            finally:
                set_mode(before)

        return wrapped  # type: ignore[return-value]  # the wrapper keeps the signature
