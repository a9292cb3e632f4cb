"""The tensors that a traced function reads from outside, and whether they are as they were."""

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.compiled.graph import Value
from minigrad.core.plans import compile_source

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
        self._written: Callable[[], list[Any]] | None = None

    def __len__(self) -> int:
        return len(self.references)

    def held(self) -> list[Any] | None:
        """The tensors; None unless each is there, with its shape, dtype and place on the tape."""
        if not self.references:
            return []
        if self._written is None:
            self._written = self._write()
        try:
            return self._written()
        except AttributeError:  # one of them is gone
            return None

    def _write(self) -> Callable[[], list[Any]]:
        """The function, with lines of its own for each tensor, as every call asks."""
        scope: dict[str, Any] = {}
        lines = ["def held():"]
        names = [f"t{i}" for i in range(len(self))]
        kinds = zip(names, self.references, self._kinds, self._off_tape, strict=True)
        for name, reference, (shape, dtype), off_tape in kinds:
            scope |= {f"{name}_held": reference, f"{name}_shape": shape, f"{name}_dtype": dtype}
            lines.append(f"{name} = {name}_held(); a = {name}._array; d = a.dtype")
            elsewhere = f"{name}._node {'is not' if off_tape else 'is'} None"
            other = f"a.shape != {name}_shape or (d is not {name}_dtype and d != {name}_dtype)"
            lines.append(f"if {elsewhere} or {other}: return None")
        lines.append(f"return [{', '.join(names)}]\n")
        written: Callable[[], list[Any]]
        written = compile_source("\n    ".join(lines), "tensors from outside", scope)["held"]
        return written
