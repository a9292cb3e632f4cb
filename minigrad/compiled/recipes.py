"""What is computed at each element of many arrays, whatever their lengths."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Recipe", "Step"]

Step: TypeAlias = tuple[str, tuple[int, ...], str]
"""An operation, the numbers of the steps that it reads, and the name of its dtype.

Beside NumPy's names, as in `minigrad.compiled.graph`, there are `array`, the next of the arrays
that are read, and `number`, the next of the numbers that a call brings, which are the same at all
elements. Operands have the dtype that the operation needs; `convert` gives them another.
"""


@dataclass(frozen=True)
class Recipe:
    """Steps on the elements of arrays; an entry of a call has arrays of one length for all.

    Attributes:
        steps: in order.
        results: the steps that are written, each to an array.
        total: the step whose sum over all elements is wanted, if any; its dtype is float64.
    """

    steps: tuple[Step, ...]
    results: tuple[int, ...]
    total: int | None = None

    @property
    def arrays(self) -> int:
        """How many arrays are read."""
        return sum(op == "array" for op, _, _ in self.steps)
