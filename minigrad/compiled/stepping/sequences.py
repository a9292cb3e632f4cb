"""A sequence of traced steps as one operation on the tape, whose reference is the steps themselves.

Its inputs are the arrays that the steps are given, the tensors that they read from outside, and the
random numbers that they draw. So whatever runs the reference (a second derivative, a drawing,
anomaly mode) gets the very numbers of the call.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import PlainArray
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.outside import Outside
from minigrad.compiled.stepping.batches import OTHER, PIECE, Pieces, Resized, resized
from minigrad.compiled.stepping.chunks import Chunks, Made, all_finite
from minigrad.compiled.stepping.order import Order
from minigrad.compiled.stepping.rows import Mixed, row_wise
from minigrad.compiled.trace import Traced
from minigrad.compiled.tracing.called import Draw, Repeat
from minigrad.core.blocks import observed_by
from minigrad.core.contributions import output_node
from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import make_node
from minigrad.core.tensors import Tensor, wrap
from minigrad.forks import give_lock
from minigrad.ops.fusing import FusedOperation
from minigrad.transforms.recorded_writes import Standing, rewritten

__all__ = ["Sequences"]


class _Operation(FusedOperation):
    """The operation of a sequence."""

    takes_missing = True

    def __init__(self, sequences: "Sequences", count: int, outputs: tuple[str, ...]) -> None:
        def forward(*arrays: Any, order: Order) -> Any:
            results, kept, _ = sequences.compute(arrays, order)
            return (*(results[i] for i in sequences.on_tape), kept)

        parameters = [
            inspect.Parameter(f"x{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(count)
        ]
        order = inspect.Parameter("order", inspect.Parameter.KEYWORD_ONLY)
        forward.__signature__ = inspect.Signature([*parameters, order])  # type: ignore[attr-defined]
        forward.__name__ = sequences.name
        super().__init__(forward, sequences.reference, sequences.backward, outputs)


class Sequences:
    """What one traced step does over sequences.

    A step is given inputs x (batch, ...), states, perhaps which sequences go on (batch,), and
    arrays that are the same at all steps; it returns the new states, and values to be kept of all
    steps.

    Args:
        loop: the steps one by one, called as ``loop(x, states, fixed, order)``; returns what was
            kept of all steps, (batch, time, ...), then the states after the last.
        traced: what was seen of a step, with its seeds as inputs.
        guards: what it can read from outside.
        states: how many states there are.
        padded: whether the step is told which sequences go on.
        backend: has a function `build`, and `LIFTS`: see `roll`.
        name: of the operation.
        again: the same, seen with a batch of `OTHER`; then `traced` was seen with one of `PIECE`,
            and the programs serve batches of any size.

    Attributes:
        on_tape: the numbers of the results that require grad.
        failure: why a program could not run, where the steps themselves could.

    Raises:
        Mixed: when it should serve batches of any size, and rows may depend on each other.
    """

    failure: Exception | None = None
    _lock: threading.Lock

    def __init__(
        self,
        loop: Callable[..., tuple[Any, ...]],
        traced: Traced,
        guards: Guards,
        states: int,
        padded: bool,
        backend: Any,
        name: str,
        again: Traced | None = None,
    ) -> None:
        self.guards, self.name = guards, name
        self._loop, self._padded = loop, padded
        self._several = isinstance(traced.template[0], tuple)
        self._dtype = current_mode().dtype
        give_lock(self, "_lock", threading.Lock)
        self._draws = [Draw(draw.request) for draw in traced.draws]
        self._outside = Outside(traced.captured)
        self._states, self._fixed = states, len(traced.arguments) - 1 - states - padded
        self._chunks = Chunks(traced, states, padded, backend)
        self._rows: int | None = None
        self._resized: list[Resized] | None = None
        self._by_row = [True] * len(self._draws)
        if again is not None:
            self._rows, self._resized = PIECE, resized(traced, again, (PIECE, OTHER))
            roles = [draw.role for draw in self._resized]
            self._by_row = [role == row_wise() for role in roles]
            other = Chunks(again, states, padded, backend)
            if self._chunks.rows_apart(PIECE, roles) != other.rows_apart(OTHER, roles):
                raise Mixed("what it computes depends on the size of the batch")
        # Which input of the operation something is that a step is given, beside facts on padding.
        numbers = self._chunks.with_gradient
        self._places = {n: n - padded if n > states else n for n in numbers}
        count = 1 + states + self._fixed + len(self._outside) + len(self._draws)
        series = [f"y{i}" for i in range(self._chunks.series)]
        last = [f"last{i}" for i in range(states)]
        recorded = [*traced.recorded[states:], *traced.recorded[:states]]
        self.on_tape = [i for i, on_tape in enumerate(recorded) if on_tape]
        self._recorded_series = sum(traced.recorded[states:])
        names = [name for name, on_tape in zip([*series, *last], recorded, strict=True) if on_tape]
        self._operation = _Operation(self, count, tuple(names) or ("y",))

    # -- a call ------------------------------------------------------------------------------------

    @property
    def draws(self) -> bool:
        """Whether the steps draw random numbers."""
        return bool(self._draws)

    def fits(self) -> bool:
        """Whether everything that was read from outside is as it was."""
        return self._outside.held() is not None and self.guards.hold()

    def run(
        self, x: Any, states: Sequence[Any], fixed: Sequence[Any], order: Order
    ) -> tuple[Any, ...]:
        """The values of all steps, (batch, time, ...), then the states after the last."""
        mode = current_mode()
        steps = len(order.times(x.shape[1]))
        numbers = self._drawn(mode, steps, x.shape[0])
        tensors = [x, *states, *fixed, *(tensor() for tensor in self._outside.references)]
        arrays = [t._array if isinstance(t, Tensor) else t for t in tensors] + numbers
        nodes = [t._node if isinstance(t, Tensor) else None for t in tensors]
        nodes += [None] * len(numbers)
        try:
            results, kept, flagged = self.compute(arrays, order)
        except Exception as error:
            found = self._one_by_one(tensors, numbers, order)  # unless it is the user's own error
            self.failure = error
            return found
        if flagged and not all_finite(results):
            # The steps themselves warn, where and as NumPy does.
            return self._one_by_one(tensors, numbers, order)
        tapes: list[Any] = [None] * len(results)
        if self._chunks.with_gradient and mode.recording:
            self._put_on_tape(tapes, nodes, arrays, results, kept, order)
        return tuple(wrap(array, tape) for array, tape in zip(results, tapes, strict=True))

    def _drawn(self, mode: Any, steps: int, batch: int) -> list[PlainArray]:
        """The random numbers of all steps, (steps, ...), drawn step by step."""
        if not self._draws:
            return []
        resized: Sequence[Resized | None] = self._resized or [None] * len(self._draws)
        asked = [
            (draw, None if other is None else functools.partial(other.request, batch=batch))
            for draw, other in zip(self._draws, resized, strict=True)
        ]
        drawn = [[draw.numbers(mode, other) for draw, other in asked] for _ in range(steps)]
        return [np.stack(column) for column in zip(*drawn, strict=True)]

    def compute(
        self, arrays: Sequence[Any], order: Order
    ) -> tuple[list[PlainArray], list[list[Made]], int]:
        """The results, what the programs gave for each piece, and whether flags were raised."""
        x, (batch, time) = order.steps(arrays[0]), arrays[0].shape[:2]
        pieces, flagged = Pieces(batch, self._rows), 0
        states = [np.ascontiguousarray(state) for state in arrays[1 : 1 + self._states]]
        all_series, all_last, kept = [], [], []
        with self._lock:
            for piece in pieces.slices:
                series, last, chunks, flags = self._chunks.forward(
                    pieces.cut(x, piece, 1),
                    [pieces.cut(state, piece, 0) for state in states],
                    self._others(arrays, order, pieces, piece),
                )
                all_series.append(series)
                all_last.append(last)
                kept.append(chunks)
                flagged |= flags
        results = [
            order.padded(pieces.joined(parts, 1), time) for parts in zip(*all_series, strict=True)
        ]
        results += [pieces.joined(parts, 0).copy() for parts in zip(*all_last, strict=True)]
        return results, kept, flagged

    def _others(
        self, arrays: Sequence[Any], order: Order, pieces: Pieces, piece: slice
    ) -> tuple[list[PlainArray], ...]:
        """What is told of sequences, what is fixed, and the draws, for the rows of a piece."""
        first = 1 + self._states
        rest = [np.ascontiguousarray(array) for array in arrays[first:]]
        captured = self._fixed + len(self._outside)
        active = []
        if self._padded:
            active = [pieces.cut(order.active(arrays[0].shape[1]), piece, 1)]
        fixed = [pieces.cut(array, piece, 0) for array in rest[: self._fixed]]
        draws = [
            pieces.cut(array, piece, 1) if by_row else array
            for array, by_row in zip(rest[captured:], self._by_row, strict=True)
        ]
        return active, [*fixed, *rest[self._fixed : captured]], draws

    def backward(
        self, grads: Sequence[Any], kept: Any, inputs: Any, needed: Any, order: Order
    ) -> list[Any]:
        """The gradients by the inputs, from those that arrived."""
        x, (batch, time) = order.steps(inputs[0]), inputs[0].shape[:2]
        pieces, n = Pieces(batch, self._rows), self._recorded_series
        series = [None if g is None else order.steps(g) for g in grads[:n]]
        last = [None if g is None else np.ascontiguousarray(g) for g in grads[n:]]
        found: dict[int, list[PlainArray]] = {}
        with self._lock:  # NumPy does not warn in a backward pass
            for piece, chunks in zip(pieces.slices, kept, strict=True):
                gradients = self._chunks.backward(
                    pieces.cut(x, piece, 1),
                    self._others(inputs, order, pieces, piece),
                    chunks,
                    [None if g is None else pieces.cut(g, piece, 1, zero=True) for g in series],
                    [None if g is None else pieces.cut(g, piece, 0, zero=True) for g in last],
                )
                for number, gradient in gradients.items():
                    found.setdefault(number, []).append(gradient)
        result: list[Any] = [None] * len(inputs)
        for number, parts in found.items():
            i = self._places[number]
            if not needed[i]:
                continue
            if i == 0:
                result[i] = order.padded(pieces.joined(parts, 1), time)
            elif i <= self._states:
                result[i] = pieces.joined(parts, 0)
            else:
                result[i] = functools.reduce(np.add, parts)
        return result

    def reference(self, *values: Any, order: Order) -> tuple[Any, ...]:
        """The steps one by one, with what they read and drew in the call."""
        if not self.guards.hold():
            raise GradientError(
                f"{self.name}: {self.guards.changed()} was changed after the sequence ran, and its "
                "steps must run again here, for a derivative of higher order, a drawing or an "
                "anomaly check. Change it later, or make another copy of what was changed."
            )
        first = 1 + self._states + self._fixed
        last = first + len(self._outside)
        before: list[Any] = []
        for reference, value in zip(self._outside.references, values[first:last], strict=True):
            node = value._node if isinstance(value, Tensor) else None
            array = value._array if isinstance(value, Tensor) else value
            before.append((reference, array, node))
        numbers = [v._array if isinstance(v, Tensor) else v for v in values[last:]]
        with rewritten(before), observed_by(Standing(before)), ModeChange(dtype=self._dtype):
            results = self._one_by_one(values[:first], numbers, order)
        return tuple(results[i] for i in self.on_tape)

    def _one_by_one(
        self, given: Sequence[Any], numbers: Sequence[PlainArray], order: Order
    ) -> tuple[Any, ...]:
        k = self._states
        drawn = [number for step in zip(*numbers, strict=True) for number in step]
        with observed_by(Repeat(drawn)):
            states = tuple(given[1 : 1 + k])
            fixed = tuple(given[1 + k : 1 + k + self._fixed])
            return self._loop(given[0], states if self._several else states[0], fixed, order)

    def _put_on_tape(
        self,
        tapes: list[Any],
        nodes: Sequence[Any],
        arrays: Sequence[Any],
        results: Sequence[PlainArray],
        kept: Any,
        order: Order,
    ) -> None:
        outs = [results[i] for i in self.on_tape]
        mask = 0
        sources: list[Any] = [None] * len(nodes)
        for i in self._places.values():
            if nodes[i] is not None:
                mask |= 1 << i
                sources[i] = nodes[i]
        shapes: Any = tuple(out.shape for out in outs)
        dtypes: Any = tuple(out.dtype for out in outs)
        several = len(outs) > 1
        if not several:
            (shapes,), (dtypes,) = shapes, dtypes
        plan = self._operation.plans[mask]
        node = make_node(plan, tuple(sources), shapes, dtypes, order=order)
        node.saved = plan.save(*arrays, *outs, kept)
        for number, i in enumerate(self.on_tape):
            tapes[i] = output_node(node, number) if several else node
