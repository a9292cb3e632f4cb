"""Locks over `os.fork`: a new process has none of the other threads, which may hold some."""

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["after_forks", "give_lock", "wait_before_forks"]

_given: dict[int, tuple[weakref.ref[Any], list[tuple[str, Callable[[], Any]]]]] = {}


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
    held: list[Any] = []

    def before() -> None:
        lock = find()
        lock.__enter__()
        held.append(lock)

    def after() -> None:
        held.pop().__exit__(None, None, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)


def after_forks(function: Callable[[], object]) -> None:
    """Call a function in every forked process, to forget the threads that it does not have."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def _renew() -> None:
    for reference, locks in list(_given.values()):
        owner = reference()
        for name, make in locks if owner is not None else ():
            setattr(owner, name, make())


after_forks(_renew)
