"""The tensors that a traced function reads from outside, and whether they are as they were."""

from collections.abc import Sequence
from typing import Any

from minigrad.compiled.backends import array_looks
from minigrad.compiled.graph import Value
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor

__all__ = ["Outside"]


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
