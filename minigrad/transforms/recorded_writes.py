"""Tensors that a block writes in place, with what they held before: see `minigrad.checkpoint`.

A function that moves state of its own, such as the running averages of a norm, must start from the
old state when it is computed again, and must not move it a second time.
"""

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

from minigrad.core.observer import Observer
from minigrad.restoring import Restoring

__all__ = ["Standing", "Writes", "put_back", "rewritten"]

Written = tuple["weakref.ref[Any]", Any, Any]  # a tensor, its array and its node


class Writes(Observer):
    """Notes which tensors are written, and what they held before the first time.

    Leaves that require grad are not among them: nodes on the tape may depend on their new values.
    Nor are tensors that are gone by now, such as those that the block made for itself.
    """

    def __init__(self) -> None:
        self._before: dict[int, Written] = {}

    def write(self, tensor: Any) -> None:
        """Note a tensor that is about to be written."""
        key = id(tensor)
        if key not in self._before:
            gone = weakref.ref(tensor, partial(self._before.pop, key))
            self._before[key] = gone, tensor._array, tensor._node

    def before(self) -> list[Written]:
        """The tensors that still exist, with what they held."""
        return list(self._before.values())


class Standing(Observer):
    """Tells checkpoints what tensors hold in a `rewritten` block: they are computed again after it.

    Args:
        before: as for the block.
    """

    def __init__(self, before: list[Written]) -> None:
        self._before = before

    @staticmethod
    def within(observers: Iterable[Observer]) -> list[Written]:
        """What tensors hold in the blocks that these observers were told of."""
        return [kept for o in observers if isinstance(o, Standing) for kept in o._before]


class rewritten(Restoring):
    """A block in which tensors start from noted values; afterwards they are as they were."""

    def __init__(self, before: list[Written]) -> None:
        super().__init__()
        self._before = before

    def begin(self) -> None:
        """Write the noted values."""
        alive = [(ref(), array, node) for ref, array, node in self._before]
        self.undone_by(put_back, [(t, t._array, t._node) for t, _, _ in alive if t is not None])
        put_back(alive)


def put_back(values: list[tuple[Any, Any, Any]]) -> None:
    """Give tensors, or those that references lead to, the arrays and nodes beside them."""
    for tensor, array, node in values:
        tensor = tensor() if isinstance(tensor, weakref.ref) else tensor
        if tensor is not None:
            tensor._array, tensor._node = array, node
