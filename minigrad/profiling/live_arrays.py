"""How much memory is held by the arrays that were seen."""

import threading
import weakref
from collections import deque
from collections.abc import Sequence, Set
from typing import Any

from numpy import ndarray

from minigrad.core.contributions import OutputGradients, SlicedGradient
from minigrad.core.nodes import PlainArray
from minigrad.debug.graph_view import memory_of, saved_arrays
from minigrad.forks import give_lock

__all__ = ["LiveArrays"]


class _Held(weakref.ref[PlainArray]):
    """A weak reference to an array that owns its memory."""

    __slots__ = ("key", "size")
    key: int
    size: int


class LiveArrays:
    """The arrays that were seen and are alive, each piece of memory once.

    Attributes:
        peak: the most bytes that they held together.
    """

    _lock: threading.Lock

    def __init__(self) -> None:
        self.peak = 0
        self._bytes = 0
        self._held: dict[int, _Held] = {}
        # Arrays die anywhere, also while the lock is held: their end is only noted there.
        self._freed: deque[_Held] = deque()
        give_lock(self, "_lock", threading.Lock)

    def add(self, values: Sequence[Any], given: Sequence[Any] = ()) -> tuple[int, int]:
        """See arrays, however nested; returns the bytes that are new, and all that are held now.

        Args:
            values: the arrays.
            given: what they were made from, whose memory they may be views of; it is not new.
        """
        before = set(map(id, _owners(given)))
        with self._lock:  # no loop in it: see `minigrad.restoring`
            added = self._hold(_owners(values), before)
            self._let_go()
            self.peak = max(self.peak, self._bytes)
            return added, self._bytes

    def _hold(self, owners: Sequence[PlainArray], before: Set[int]) -> int:
        """Note the arrays that are new; returns their bytes."""
        added = 0
        for owner in owners:
            key = id(owner)
            held = self._held.get(key)
            if (held is None or held() is not owner) and key not in before:
                self._held[key] = new = _Held(owner, self._freed.append)
                new.key, new.size = key, owner.nbytes
                added += new.size
        self._bytes += added
        return added

    def _let_go(self) -> None:
        """Take off what was freed."""
        while self._freed:
            gone = self._freed.popleft()
            self._bytes -= gone.size
            if self._held.get(gone.key) is gone:
                del self._held[gone.key]

    def clear(self) -> None:
        """Forget all arrays, so that nothing is noted of them any more."""
        with self._lock:
            self._held.clear()
            self._freed.clear()
            self._bytes = 0


def _owners(values: Sequence[Any]) -> list[PlainArray]:
    """The arrays that own the memory of arrays, however nested."""
    owners: list[PlainArray] = []
    for value in values:
        if value.__class__ is ndarray:
            owners.append(value if value.base is None else memory_of(value))
        elif value.__class__ is SlicedGradient:
            owners += _owners([value.part])
        elif value.__class__ is OutputGradients:
            owners += _owners(list(value.slots.values()))
        else:
            owners += map(memory_of, saved_arrays(value))
    return owners
