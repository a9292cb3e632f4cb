"""Blocks that put back what they changed, even when Ctrl-C comes at their first or last step.

Python acts on signals where a function of its own begins, after a call of a function written in C,
and where a loop goes back. An `__exit__` written in Python may so be interrupted before its first
line, and what `__enter__` did is never undone. Here a block ends in C: `__exit__` of files does
nothing but call `close`, which is an iterator over what is to be undone. Where a function only
changes a context variable for itself, `try` with one call of C in `finally` is as safe, and faster.

Where a loop goes back under a condition, Python 3.13 takes the jump for one outside of the blocks
around it (python/cpython#130279), and Ctrl-C there passes their ends by. Such loops are functions
of their own, which blocks call; `tests/test_loops_in_blocks.py` looks for others.

What Python drops are errors in callbacks of weak references and in destructors, Ctrl-C among them.
Callbacks of our own are functions in C, such as `dict.pop`, for that reason.
"""

import io
import operator
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from functools import partial, wraps
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from minigrad.forks import after_forks, give_lock

__all__ = ["Restoring", "Setting", "Shared", "errstate", "new_bits", "new_generator", "quiet"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Restoring(io.IOBase):
    """A block that is undone whatever happens; a subclass says in `begin` what it does.

    It may be entered again within itself.
    """

    closed = True  # for the destructor of files: it has nothing to do here

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []
        # Each call takes the last one off the list and calls it, in C.
        ending: Any = map(operator.call, iter(self._undo.pop, None))
        self.close = ending.__next__  # type: ignore[method-assign]

    def begin(self) -> Any:
        """Change something, once `undone_by` knows the way back; returns what `with` gives."""
        # Not abstract: a `Setting` begins in `__enter__`, and has none.
        raise NotImplementedError(f"{type(self).__name__} does not say what it changes")

    def undone_by(self, undo: Callable[..., object], *args: Any) -> None:
        """Note the one call that ends the block. It is repeated when Ctrl-C comes within."""
        ending = _surely(undo, args)
        next(ending)
        self._undo.append(partial(next, ending, None))  # whose result is false: errors pass

    def __enter__(self) -> Any:
        before = len(self._undo)
        try:
            return self.begin()
        except BaseException:
            if len(self._undo) > before:
                self._undo.pop()()
            raise


def _surely(undo: Callable[..., object], args: tuple[Any, ...]) -> Iterator[None]:
    """A generator whose second step calls a function, and calls it again after Ctrl-C."""
    interrupt = None
    try:
        yield
    except GeneratorExit:  # it was dropped before the block began
        raise
    except BaseException as error:  # Ctrl-C as the second step begins
        interrupt = error
    try:
        undo(*args)
    except BaseException:
        undo(*args)
        raise
    if interrupt is not None:
        raise interrupt


class Shared(Restoring):
    """A block that changes what all threads share, such as a setting of the process.

    The first one that is entered, in any thread, changes it, and the last one that ends puts it
    back. Each subclass counts its own.
    """

    _lock: ClassVar[threading.Lock]
    _open: ClassVar[dict[object, int]]  # each block that is open, and its thread
    _before: ClassVar[Any]  # what the last one puts back; None when there is nothing

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        give_lock(cls, "_lock", threading.Lock)
        cls._open, cls._before = {}, None
        after_forks(cls._forget_other_threads)

    @abstractmethod
    def read(self) -> Any:
        """What is there now, and is not None; only asked where no other block is open."""

    @abstractmethod
    def change(self) -> None:
        """Have it as it is to be within."""

    @classmethod
    @abstractmethod
    def put_back(cls, before: Any) -> None:
        """Have it as it was, by what `read` gave; may be called again when Ctrl-C comes within."""

    def begin(self) -> None:
        """Change it, unless another block did."""
        cls, block = type(self), object()
        self.undone_by(cls._leave, block)
        with cls._lock:
            if not cls._open:
                cls._before = self.read()
                self.change()
            cls._open[block] = threading.get_ident()

    @classmethod
    def _leave(cls, block: object) -> None:
        with cls._lock:
            cls._open.pop(block, None)
            cls._put_back_if_last()

    @classmethod
    def _put_back_if_last(cls) -> None:
        if not cls._open and cls._before is not None:
            cls.put_back(cls._before)
            cls._before = None

    @classmethod
    def _forget_other_threads(cls) -> None:
        here = threading.get_ident()
        for block, thread in list(cls._open.items()):
            if thread != here:
                del cls._open[block]
        cls._put_back_if_last()


class Setting(Restoring):
    """A block in which a context variable has another value.

    Args:
        variable: with a default.
        value: its value within.
    """

    def __init__(self, variable: ContextVar[Any], value: Any = None) -> None:
        super().__init__()
        self._variable = variable
        self._value = value

    def value(self, before: Any) -> Any:
        """The value within, given that around the block."""
        return self._value

    def __enter__(self) -> Any:
        variable = self._variable
        before, depth = variable.get(), len(self._undo)
        value = self.value(before)
        try:
            self._undo.append(partial(variable.reset, variable.set(value)))
        except BaseException:
            variable.set(before)
            del self._undo[depth:]
            raise


def _variable_of_numpy() -> ContextVar[Any]:
    """Where NumPy keeps what it does about overflow: the variable that `errstate` changes."""

    def changed() -> ContextVar[Any]:
        before = copy_context()
        np.seterr(all="raise", under="ignore")
        found = [v for v, value in copy_context().items() if before.get(v) is not value]
        assert len(found) == 1, found
        return found[0]

    return copy_context().run(changed)


_errors: Final = _variable_of_numpy()


def _settings_with(before: Any, settings: dict[str, Any]) -> Any:
    """NumPy's settings as `numpy.errstate` would change them."""

    def changed() -> Any:
        _errors.set(before)
        others = dict(settings)
        if "call" in others:
            np.seterrcall(others.pop("call"))
        np.seterr(**others)
        return _errors.get()

    return copy_context().run(changed)


class errstate(Setting):
    """`numpy.errstate` as a block that Ctrl-C cannot leave open."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(_errors)
        self._settings = settings
        self._last: tuple[Any, Any] = None, None  # around the block, and within it

    def value(self, before: Any) -> Any:
        """NumPy's settings within."""
        if self._settings == _QUIET:
            return _ignoring(before)
        around, within = self._last
        if around is not before:
            within = _settings_with(before, self._settings)
            self._last = before, within
        return within


def new_generator(seed: Any) -> np.random.Generator:
    """`numpy.random.default_rng`, which switches NumPy's `errstate` in a way that Ctrl-C may cut.

    Here it does so in a context of its own.
    """
    return copy_context().run(np.random.default_rng, seed)


def new_bits(kind: Callable[[int], Any]) -> Any:
    """A bit generator of a class, for a state that it is then given; made as `new_generator` does.

    Args:
        kind: a class of `numpy.random.BitGenerator`.
    """
    return copy_context().run(kind, 0)


_QUIET: Final = {"all": "ignore"}
_last: tuple[Any, Any] = None, None  # settings, and the same with everything ignored


def _ignoring(before: Any) -> Any:
    global _last
    around, within = _last  # mostly the same as the last time
    if around is not before:
        within = _settings_with(before, _QUIET)
        _last = before, within
    return within


def quiet(function: Function) -> Function:
    """Decorate what may underflow or meet infinities without that being worth a warning."""

    @wraps(function)
    def quietly(*args: Any, **kwargs: Any) -> Any:
        before = _errors.get()
        try:
            _errors.set(_ignoring(before))
            return function(*args, **kwargs)
        finally:
            _errors.set(before)

    return quietly  # type: ignore[return-value]  # the wrapper keeps the signature
