"""Which arrays are which values of a graph, and which are parts of them."""

import weakref
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View
from minigrad.compiled.tracing.builder import Builder
from minigrad.compiled.tracing.memory import axes_in_memory, owner_of, part_of

__all__ = ["KnownArrays"]


class KnownArrays:
    """Arrays by their identity, as long as they live.

    Args:
        builder: makes copies, where a part of a value lies in memory of its own.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._views: dict[int, View] = {}
        self._known: dict[int, Any] = {}  # references, some of them to what is gone

    def enter_array(self, array: PlainArray, view: View) -> None:
        """Know an array as a view from now on, unless it is known."""
        if id(array) not in self._views:
            self.know(array, view)

    def know(self, array: PlainArray, view: View) -> None:
        """Know an array as long as it lives: then its identity may be given to another one."""
        key = id(array)
        self._views[key] = view
        # No function of Python's: thousands of arrays die in a trace, and a profiler looks on.
        self._known[key] = weakref.ref(array, partial(self._views.pop, key))

    def sharing(self, owner: PlainArray) -> list[PlainArray]:
        """The known arrays that look at the memory of one."""
        return [array for array in self.alive() if owner_of(array) is owner]

    def view_of(self, array: PlainArray) -> View | None:
        """The view that an array is, or the part of one that it looks at."""
        found = self._views.get(id(array))
        base = array
        while found is None and isinstance(base.base, ndarray):
            base = base.base
            known = self._views.get(id(base))
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
        self._views[id(array)] = copy
        return copy

    def alive(self) -> list[PlainArray]:
        """The known arrays."""
        return [a for reference in list(self._known.values()) if (a := reference()) is not None]

    def forget(self) -> None:
        """Know none any more."""
        self._views.clear()
        self._known.clear()
