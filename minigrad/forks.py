"""Locks over `os.fork`: a new process has none of the other threads, which may hold some."""

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar, overload

__all__ = ["after_forks", "cached_property", "give_lock", "importing", "wait_before_forks"]

Owner = TypeVar("Owner")
Result = TypeVar("Result")

importing: Final = threading.RLock()
"""Held while a function imports what only some calls need: Python's own lock of a module that one
thread imports while another one forks is never free again in the new process."""

_waited_for: list[Callable[[], Any]] = [lambda: importing]
_taken: list[Any] = []
_given: dict[int, tuple[weakref.ref[Any], list[tuple[str, Callable[[], Any]]]]] = {}


class cached_property(Generic[Owner, Result]):
    """As that of `functools`, which in Python 3.11 holds a lock that a fork would leave taken.

    Threads that ask at once may each compute the value, one of which is kept.
    """

    def __init__(self, function: Callable[[Owner], Result]) -> None:
        self.func = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: Any = None) -> "cached_property[Owner, Result]": ...

    @overload
    def __get__(self, instance: Owner, owner: Any = None) -> Result: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The value, which later reads find in the instance itself."""
        if instance is None:
            return self
        value = vars(instance)[self._name] = self.func(instance)
        return value


def give_lock(owner: Any, name: str, make: Callable[[], Any]) -> None:
    """Give an object a lock as an attribute, and another one in every forked process.

    A thread may hold the lock while another one forks; in the new process nobody would ever let go
    of it. A `with` statement that the forking thread itself is in ends with the lock that it took.

    Args:
        owner: of the lock, known by identity; a module for a global one.
        name: of the attribute.
        make: `threading.Lock` or `threading.RLock`.
    """
    setattr(owner, name, make())
    gone = weakref.ref(owner, partial(_given.pop, id(owner)))  # in C: see `minigrad.restoring`
    _given.setdefault(id(owner), (gone, []))[1].append((name, make))


def wait_before_forks(find: Callable[[], Any]) -> None:
    """Let processes be forked only while no other thread holds a lock that is not ours to renew.

    Args:
        find: gives the lock; called before each fork.
    """
    _waited_for.append(find)


def after_forks(function: Callable[[], object]) -> None:
    """Call a function in every forked process, to forget the threads that it does not have."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def _renew() -> None:
    for reference, locks in list(_given.values()):
        owner = reference()
        for name, make in locks if owner is not None else ():
            setattr(owner, name, make())


def _take_all() -> None:
    for find in _waited_for:  # what is imported while the first one is waited for may add more
        lock = find()
        lock.__enter__()
        _taken.append(lock)


def _let_go_of_all() -> None:
    while _taken:
        _taken.pop().__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_take_all, after_in_parent=_let_go_of_all, after_in_child=_let_go_of_all
    )
after_forks(_renew)
