"""The tensors that a traced function reads from outside, and whether they are as they were."""

import operator
from collections.abc import Sequence
from typing import Any

from minigrad.compiled.graph import Value

__all__ = ["Outside"]

_kind = operator.attrgetter("_array.shape", "_array.dtype")  # of a tensor


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

    def __len__(self) -> int:
        return len(self.references)

    def held(self) -> list[Any] | None:
        """The tensors; None unless each is there, with its shape, dtype and place on the tape."""
        held: list[Any] = [tensor() for tensor in self.references]
        if not held:
            return held
        try:
            kinds = list(map(_kind, held))
        except AttributeError:  # one of them is gone
            return None
        fits = kinds == self._kinds and [t._node is None for t in held] == self._off_tape
        return held if fits else None
