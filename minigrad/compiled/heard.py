"""Which part of a program would warn, and what it raises when it is asked."""

from collections.abc import Sequence
from typing import Any

from minigrad.compiled import plain
from minigrad.compiled.graph import Graph, Value, View, reachable
from minigrad.compiled.tracing.builder import Builder

__all__ = ["Heard"]


class Heard:
    """The part of a traced call that computes in no derivative and in no quiet block.

    The status of a program counts all of it, and native code may raise flags that NumPy does not,
    as for comparisons with NaN. So a status sends us here, where NumPy computes that part again.

    Args:
        builder: which made the values of the call.
        inputs: of the program.
        results: what the program computes.
    """

    def __init__(self, builder: Builder, inputs: Sequence[Value], results: Sequence[View]) -> None:
        loud = builder.loud.intersection(reachable(builder.values, results))
        values = reachable(builder.values, [View(value) for value in loud])
        read = {view.value for value in values for view in value.views}
        ends = [View(value) for value in values if value not in read and value.op != "call"]
        self._graph = Graph(inputs, values, ends)
        self._silent = set(values) - loud
        self._program: Any = None

    def status(self, arrays: Sequence[Any]) -> int:
        """What a call with these inputs raises."""
        if self._program is None:
            self._program = plain.build(self._graph, self._silent)
        self._program(arrays)
        status: int = self._program.status
        return status
