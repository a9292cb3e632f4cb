"""The model of the state machine: what each tensor stands for, and the state of its record."""

from collections.abc import Iterator
from typing import Any

from minigrad.core.tensors import Tensor
from minigrad.testing.hyperdual import Jet

__all__ = ["Source", "Term"]


class Source:
    """A leaf of the model: its value, the gradient that it should have, when it was written."""

    def __init__(self, tensor: Tensor, value: Any) -> None:
        self.tensor, self.value = tensor, value
        self.grad: Any = None
        self.writes = 0


class Term:
    """An expression of the model: what a tensor stands for, and the state of its record.

    Attributes:
        name: the operation; "leaf" or "constant" where the expression begins.
        terms: the expressions of the inputs.
        recorded: whether the engine put it on the tape.
        freed: whether a backward freed its saved arrays.
        written: of a leaf, how often it had been written when it was read.
    """

    def __init__(
        self, name: str, apply: Any = None, terms: "tuple[Term, ...]" = (), recorded: bool = False
    ) -> None:
        self.name, self.apply, self.terms = name, apply, terms
        self.recorded, self.freed = recorded, False
        self.source: Source | None = None
        self.written = 0
        self.value: Any = None

    def history(self) -> "list[Term]":
        """This term and those on the tape below it, the latest first; each once."""
        found: dict[int, Term] = {}

        def visit(term: Term) -> Iterator[Term]:
            if id(term) in found or not term.recorded:
                return
            found[id(term)] = term
            for part in term.terms:
                yield from visit(part)
            yield term

        return list(visit(self))[::-1]

    def evaluate(self, directions: dict[Source, tuple[Any, Any]]) -> Jet:
        """The jet along two directions of leaves, with the values that were read at the time."""
        known: dict[int, Jet] = {}

        def visit(term: Term) -> Jet:
            if id(term) not in known:
                if term.apply is None or not term.recorded:
                    known[id(term)] = Jet(term.value)
                    if term.source in directions and term.recorded:
                        known[id(term)] = Jet(term.value, *directions[term.source])
                else:
                    known[id(term)] = term.apply(*(visit(part) for part in term.terms))
            return known[id(term)]

        return visit(self)
