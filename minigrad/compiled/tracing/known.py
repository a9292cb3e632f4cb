"""Which arrays are which values of a graph, and which are parts of them."""

import weakref
from functools import partial
from typing import Final

import numpy as np
from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.memory import axes_in_memory, owner_of, part_of

__all__ = ["KnownArrays"]

_UNKNOWN: Final = None, None


class KnownArrays:
    """Arrays by their identity, as long as they live.

    Args:
        builder: makes copies, where a part of a value lies in memory of its own.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        # References beside the views. Ctrl-C in a callback in Python would be dropped, and a dead
        # array stay known: so one call in C takes out all there is to forget.
        self._known: dict[int, tuple[weakref.ref[PlainArray], View]] = {}
        self._sharing: dict[int, set[int]] = {}  # keys by those of whose memory they looked at

    def enter_array(self, array: PlainArray, view: View) -> None:
        """Know an array as a view from now on, unless it is known."""
        if id(array) not in self._known:
            self.know(array, view)

    def know(self, array: PlainArray, view: View) -> None:
        """Know an array as long as it lives: then its identity may be given to another one."""
        key = id(array)
        self._known[key] = weakref.ref(array, partial(self._known.pop, key)), view
        self._sharing.setdefault(id(owner_of(array)), set()).add(key)

    def sharing(self, owner: PlainArray) -> list[PlainArray]:
        """The known arrays that look at the memory of one."""
        keys = self._sharing.get(id(owner), set())
        entries = [entry for key in list(keys) if (entry := self._known.get(key)) is not None]
        alive = [array for gone, _ in entries if (array := gone()) is not None]
        found = [array for array in alive if owner_of(array) is owner]  # identities come again
        keys.intersection_update(map(id, found))
        return found

    def view_of(self, array: PlainArray) -> View | None:
        """The view that an array is, or the part of one that it looks at."""
        _, found = self._known.get(id(array), _UNKNOWN)
        base = array
        while found is None and isinstance(base.base, ndarray):
            base = base.base
            _, known = self._known.get(id(base), _UNKNOWN)
            if known is not None:
                found = part_of(array, base, known)
                if found is None and not known.whole:
                    found = part_of(array, base, self._copied(base, known))
        return found

    def _copied(self, array: PlainArray, known: View) -> View:
        """A copy of a part of a value as a value of its own, which the array is from now on."""
        order = axes_in_memory(array)
        copy = self.builder.copied(known.seen_through(lambda dummy: dummy.transpose(order)))
        copy = copy.seen_through(lambda dummy: dummy.transpose(np.argsort(order)))
        self.know(array, copy)
        return copy

    def alive(self) -> list[PlainArray]:
        """The known arrays."""
        return [a for gone, _ in list(self._known.values()) if (a := gone()) is not None]

    def forget(self) -> None:
        """Know none any more."""
        self._known.clear()
        self._sharing.clear()
