"""The mode: one immutable record of what the engine does with the next operation.

It lives in one ContextVar, so threads and async tasks each have their own, and every block that
changes it puts it back. The scope (module path, time step, carried state) is part of it.
"""

import functools
import operator
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

import numpy as np

from minigrad.core.errors import DtypeError
from minigrad.core.scopes import Scope

__all__ = [
    "Mode",
    "anomaly_mode",
    "current_mode",
    "default_dtype",
    "enable_grad",
    "is_recording",
    "no_grad",
    "recording",
    "scope",
    "set_default_dtype",
    "step",
]

Function = TypeVar("Function", bound=Callable[..., Any])


class Mode:
    """What is recorded just now. Immutable: change a copy with `replace`.

    Attributes:
        recording: whether operations on tensors that require grad are recorded.
        scope: the scope that new nodes point to.
        anomaly: whether every result is checked for NaN and infinity, and what follows: "" (not
            checked), "raise" or "mark".
        replay: whether constants and operations without gradient are kept for replay.
        fused: whether fused operations run as kernels; else their reference is recorded.
        deriving: whether the running code is a derivative rule that is being recorded.
        dtype: the dtype given to Python floats and to the parameters of layers.
        plain: recording, and neither anomaly checks nor replay: the hot path's one question.
        watching: anomaly checks or replay.
    """

    __slots__ = (
        "anomaly",
        "deriving",
        "dtype",
        "fused",
        "plain",
        "recording",
        "replay",
        "scope",
        "watching",
    )

    def __init__(
        self,
        recording: bool = True,
        scope: Scope | None = None,
        anomaly: str = "",
        replay: bool = False,
        fused: bool = True,
        deriving: bool = False,
        dtype: "np.dtype[Any]" = np.dtype(np.float32),  # noqa: B008 - a dtype is immutable
    ) -> None:
        self.recording = recording
        self.scope = scope
        self.anomaly = anomaly
        self.replay = replay
        self.fused = fused
        self.deriving = deriving
        self.dtype = dtype
        self.watching = bool(anomaly) or replay
        self.plain = recording and not self.watching

    def replace(self, **changes: Any) -> "Mode":
        """A copy with some fields changed."""
        fields = {name: getattr(self, name) for name in MODE_FIELDS}
        return Mode(**(fields | changes))


MODE_FIELDS = ("recording", "scope", "anomaly", "replay", "fused", "deriving", "dtype")
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

    def __enter__(self) -> None:
        self._tokens.append(set_mode(current_mode().replace(**self._changes)))

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
        changes = self._changes

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with ModeChange(**changes):
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


class recording(ModeChange):
    """Record with options; those left out stay as they are around the block.

    Args:
        replay: also keep constants and operations without gradient, so that `graph(y).replay()`
            can compute the outputs again bit for bit.
        fused: run fused operations as kernels (True), or record the primitives of their
            reference instead (False), as a drawing of every operation needs.
    """

    def __init__(self, *, replay: bool | None = None, fused: bool | None = None) -> None:
        options = {"replay": replay, "fused": fused}
        chosen = {name: value for name, value in options.items() if value is not None}
        super().__init__(recording=True, **chosen)


class anomaly_mode(ModeChange):
    """Check every result, forward and backward, for NaN and infinity.

    An operation is to blame when finite numbers go in and others come out (for NaN: when none went
    in), in its result or in the gradients that its derivative rule sends back. NaN in constants
    and in leaves is reported where it enters; infinite constants, such as those of masks, may pass.
    Checked are the operations, and the backward passes, that run inside of the block.

    A training step of the character LSTM takes 1.03 times as long with its kernels and 1.6 times
    as long recorded step by step: ``python benchmarks/anomaly_cost.py [--unfused]``.

    Args:
        action: "raise" raises at the first such operation. "mark" goes on, and leaves a note on
            its node, which `graph(y).first_anomaly()` reads; it survives the backward pass.

    Raises:
        AnomalyError: names the operation, its module path and time step, the shapes, how many
            numbers are NaN or infinite, and the line of user code.
        ValueError: for another action.

    >>> import minigrad as mg
    >>> x = mg.Tensor([0.0, 4.0], requires_grad=True)
    >>> with mg.anomaly_mode():
    ...     mg.sqrt(x).sum().backward()
    Traceback (most recent call last):
    minigrad.core.errors.AnomalyError: backward through sqrt: ...
    """

    def __init__(self, action: str = "raise") -> None:
        if action not in ("raise", "mark"):
            raise ValueError(f'anomaly_mode: action must be "raise" or "mark", got {action!r}')
        super().__init__(anomaly=action)


class step(ModeChange):
    """Tag the operations of a block with a time step.

    Args:
        number: the time step, 0 or more.

    Raises:
        ValueError: when the number is negative.
    """

    def __init__(self, number: int) -> None:
        try:
            self._number = operator.index(number)
        except TypeError:
            raise TypeError(f"step: number must be an integer, got {number!r}") from None
        if self._number < 0:
            raise ValueError(f"step: number must be 0 or more, got {number}")
        super().__init__()

    def __enter__(self) -> None:
        self._changes = {"scope": Scope(current_mode().scope, step=self._number)}
        super().__enter__()


class scope(ModeChange):
    """Group the operations of a block under a name, as calls of a module are grouped.

    Args:
        name: the name, such as "forget gate".
        kind: the kind of thing it is, such as the class name of a cell.
        routes: what a cell declares about the ways its states take through it.
    """

    def __init__(self, name: str, *, kind: str = "", routes: Any = None) -> None:
        self._fields = (name, kind, routes)
        super().__init__()

    def __enter__(self) -> None:
        name, kind, routes = self._fields
        self._changes = {"scope": Scope(current_mode().scope, name, kind, routes=routes)}
        super().__enter__()


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
