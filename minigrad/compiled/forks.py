"""Locks that a forked process can take, though a thread that it does not have holds them."""

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["give_lock"]

_given: WeakKeyDictionary[Any, list[tuple[str, Callable[[], Any]]]] = WeakKeyDictionary()


def give_lock(owner: Any, name: str, make: Callable[[], Any]) -> None:
    """Give an object a lock as an attribute, and another one in every forked process.

    A thread may hold the lock while another one forks; in the new process nobody would ever let go
    of it. A `with` statement that the forking thread itself is in ends with the lock that it took.

    Args:
        owner: of the lock, known by identity.
        name: of the attribute.
        make: `threading.Lock` or `threading.RLock`.
    """
    setattr(owner, name, make())
    _given.setdefault(owner, []).append((name, make))


def _renew() -> None:
    for owner, locks in list(_given.items()):
        for name, make in locks:
            setattr(owner, name, make())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
