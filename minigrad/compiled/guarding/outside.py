"""The tensors that a traced function reads from outside, and whether they are as they were."""

from collections.abc import Iterable, Sequence
from typing import Any

from minigrad.compiled.backends import array_looks
from minigrad.compiled.graph import Value
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.tracing.memory import owner_of
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor

__all__ = ["Outside", "set_apart"]


def set_apart(read: Iterable[Any], guards: Guards) -> bool:
    """Give tensors from outside memory of their own, if a trace took some for one another.

    A detached tensor and what `numpy()` gives share memory with a tensor until that is written, and
    a trace knows values by their memory.

    Args:
        read: the tensors from outside that a trace read, as it captured them.
        guards: they know what it could get at.

    Returns:
        Whether there were any. A trace is of use only where there were none.
    """
    needed = {id(owner_of(captured.array)) for captured in read}
    seen = {id(owner_of(array)) for array in guards.arrays}
    others: list[Tensor] = []
    for tensor in guards.tensors.values():
        owner = id(owner_of(tensor._array))
        if owner in needed and owner in seen:
            others.append(tensor)
        seen.add(owner)
    for tensor in others:
        tensor._array = tensor._array.copy(order="K")
        if isinstance(tensor._node, Leaf):
            tensor._node.value = tensor._array
    return bool(others)


class Outside:
    """Weak references to tensors, with what a program was made for.

    Args:
        captured: the references, and the inputs of the graph that stand for the tensors.

    Attributes:
        references: in the order of the inputs.
    """

    def __init__(self, captured: Sequence[tuple[Any, Value]]) -> None:
        self.references = [reference for reference, _ in captured]
        self._kinds = [(value.shape, value.dtype) for _, value in captured]
        self._off_tape = [getattr(tensor(), "_node", None) is None for tensor in self.references]
        looks = array_looks()
        self._quick = None if looks is None else looks.Kinds(self._kinds)

    def __len__(self) -> int:
        return len(self.references)

    def held(self) -> tuple[list[Tensor], list[PlainArray]] | None:
        """The tensors, and their arrays.

        None unless each is there, with its shape, dtype and place on the tape.
        """
        if not self.references:
            return [], []
        tensors = [reference() for reference in self.references]
        try:
            arrays = [tensor._array for tensor in tensors]
        except AttributeError:  # one of them is gone
            return None
        if [tensor._node is None for tensor in tensors] != self._off_tape:
            return None
        same = self._quick is not None and self._quick.are_of(tuple(arrays))
        if not same and [(array.shape, array.dtype) for array in arrays] != self._kinds:
            return None
        return tensors, arrays
