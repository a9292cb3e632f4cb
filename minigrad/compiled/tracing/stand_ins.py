"""A second trace that computes little: other numbers stand in for large results.

What the second trace has to show is that no number leaves the graph. For that, the results need not
be right, but other ones than those of the first trace. So where an operation is one that the first
trace has converted, with the same operands, nothing is computed: an array of the known shape and
dtype stands in for its result. What reads the numbers then, outside of operations, reads other
ones, as it would in a second trace that computes everything. Agreement shows what it always
shows. A disagreement may come from numbers that the function never meets, and shows nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View, size_of
from minigrad.compiled.tracing.earlier import is_plain
from minigrad.compiled.tracing.memory import owner_of
from minigrad.compiled.tracing.tracer import Tracer
from minigrad.core.tensors import Tensor
from minigrad.restoring import new_generator

__all__ = ["LARGE", "StandIns"]

LARGE: Final = 1 << 13
"""Elements of a result or an operand, from which on to compute it takes longer than to ask."""

_PERIOD: Final = 8191
"""After so many numbers those of stand-ins repeat: a prime, so that rows are not alike."""


class StandIns(Tracer):
    """Traces again a function that was traced, without computing what is large and known.

    Stand-ins share memory among each other, so that they cost none, but none of them is known for a
    part of another one: that goes by the arrays that they are views of, and these have none.

    Args:
        states, kernels, before: see `Tracer`; `before` is the first trace.
    """

    def __init__(
        self,
        states: dict[int, Any] | None = None,
        kernels: bool = False,
        before: Tracer | None = None,
    ) -> None:
        super().__init__(states, kernels, before)
        self._count = 0
        self._rooms: dict[Any, bytearray] = {}

    def instead(self, operation: Any, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """An array that stands in for the result, if that is large and known."""
        if self.refusal is not None or operation.view or operation.part or operation.aux:
            return None
        if len(operation.outputs) > 1 or not all(map(is_plain, params.values())):
            return None
        operands = self._operands(inputs)
        if operands is None:
            return None
        known = self.calls.again(self.calls.key(operation, operands, params))
        if known is None or known.dtype.char not in "fd":
            return None
        shapes = [known.shape, *(o.shape for o in operands if isinstance(o, View))]
        return self._stand_in(known) if max(map(size_of, shapes)) >= LARGE else None

    def _operands(self, inputs: Sequence[Any]) -> list[Any] | None:
        """What the inputs are in the graph; None if there are arrays that nobody knows.

        Tensors from outside are met in the order in which they will be when the operation ran.
        """
        for value in inputs:
            known = isinstance(value, ndarray) and self.view_of(value) is not None
            if isinstance(value, (ndarray, np.generic)) and not known:
                return None
            if isinstance(value, Tensor) and value._node is None:
                self.source(value, value._array)
        return [self.source(v, v._array if isinstance(v, Tensor) else v) for v in inputs]

    def _stand_in(self, like: View) -> PlainArray:
        """An array of a shape and dtype, with numbers of all sizes and both signs."""
        step, periods = like.dtype.itemsize, size_of(like.shape) // _PERIOD + 2
        room = self._rooms.get(like.dtype, b"")
        if len(room) < periods * _PERIOD * step:
            drawn = new_generator(_PERIOD).standard_normal(_PERIOD)
            room = bytearray(drawn.astype(like.dtype).tobytes()) * periods
            self._rooms[like.dtype] = room
        self._count += 1
        return ndarray(like.shape, like.dtype, room, self._count * 31 % _PERIOD * step)

    def _constant(self, value: Any, array: Any) -> Any:
        """Nobody writes a stand-in, or a view of one, so neither needs a copy."""
        base: Any = owner_of(array).base if isinstance(array, ndarray) else None
        is_stand_in = any(base is room for room in self._rooms.values())
        return array if is_stand_in else super()._constant(value, array)
