"""A sequence of traced steps as one operation on the tape, whose reference is the steps themselves.

Its inputs are the arrays that the steps are given, the tensors that they read from outside, and the
random numbers that they draw. So whatever runs the reference (a second derivative, a drawing,
anomaly mode) gets the very numbers of the call.
"""

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.forks import give_lock
from minigrad.compiled.graph import PlainArray
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.programs import WATCHED, Draw, Repeat, all_finite
from minigrad.compiled.stepping.chunks import Chunks
from minigrad.compiled.trace import Traced
from minigrad.core.blocks import observed_by
from minigrad.core.contributions import output_node
from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import make_node
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.fusing import FusedOperation
from minigrad.transforms.recorded_writes import rewritten

__all__ = ["Order", "Sequences"]


class Order(NamedTuple):
    """Which steps of a padded array run, one after the other.

    Attributes:
        lengths: integers (batch,); None when all sequences are full.
        reverse: from the last step of each sequence to the first.
        skipped: how many steps at the beginning are left out.
    """

    lengths: PlainArray | None = None
    reverse: bool = False
    skipped: int = 0

    def times(self, time: int) -> range:
        """The numbers of the steps that some sequence has, one at least, as they run."""
        count = time if self.lengths is None else max(int(self.lengths.max(initial=0)), 1)
        times = range(count)
        return (times[::-1] if self.reverse else times)[self.skipped :]

    def steps(self, x: PlainArray) -> PlainArray:
        """From (batch, time, ...) to (steps, batch, ...), contiguous."""
        return np.ascontiguousarray(x.swapaxes(0, 1)[self._place(x.shape[1])])

    def padded(self, x: PlainArray, time: int) -> PlainArray:
        """From (steps, batch, ...) to (batch, time, ...), with zeros where no step ran."""
        if len(x) == time:
            return (x[::-1] if self.reverse else x).swapaxes(0, 1)
        whole = np.zeros((time, *x.shape[1:]), x.dtype)
        whole[self._place(time)] = x
        return whole.swapaxes(0, 1)

    def active(self, time: int) -> PlainArray:
        """Which sequences have a step, (steps, batch)."""
        active: PlainArray = np.asarray(self.times(time))[:, None] < self.lengths
        return active

    def _place(self, time: int) -> slice:
        times = self.times(time)
        stop = times.stop if times.stop >= 0 else None
        return slice(times.start, stop, times.step)


class _Operation(FusedOperation):
    """The operation of a sequence."""

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

    Attributes:
        on_tape: the numbers of the results that require grad.
        failure: why a program could not run, where the steps themselves could.
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
    ) -> None:
        self.guards, self.name = guards, name
        self._loop, self._padded = loop, padded
        self._dtype = current_mode().dtype
        self._watched = WATCHED
        give_lock(self, "_lock", threading.Lock)
        self._draws = [Draw(draw.request) for draw in traced.draws]
        self._captured = [
            (reference, value.shape, value.dtype, getattr(reference(), "_node", None) is not None)
            for reference, value in traced.captured
        ]
        self._states, self._fixed = states, len(traced.arguments) - 1 - states - padded
        self._chunks = Chunks(traced, states, padded, backend)
        count = 1 + states + self._fixed + len(self._captured) + len(self._draws)
        series = [f"y{i}" for i in range(self._chunks.series)]
        last = [f"last{i}" for i in range(states)]
        recorded = [*traced.recorded[states:], *traced.recorded[:states]]
        self.on_tape = [i for i, on_tape in enumerate(recorded) if on_tape]
        self._recorded_series = sum(traced.recorded[states:])
        names = [name for name, on_tape in zip([*series, *last], recorded, strict=True) if on_tape]
        self._operation = _Operation(self, count, tuple(names) or ("y",))

    # -- a call ------------------------------------------------------------------------------------

    def fits(self) -> bool:
        """Whether everything that was read from outside is as it was."""
        for reference, shape, dtype, recorded in self._captured:
            tensor = reference()
            if (
                tensor is None
                or tensor._array.shape != shape
                or tensor._array.dtype != dtype
                or (tensor._node is not None) != recorded
            ):
                return False
        return self.guards.hold()

    def run(
        self, x: Any, states: Sequence[Any], fixed: Sequence[Any], order: Order
    ) -> tuple[Any, ...]:
        """The values of all steps, (batch, time, ...), then the states after the last."""
        mode = current_mode()
        steps = len(order.times(x.shape[1]))
        drawn = [[draw.numbers(mode) for draw in self._draws] for _ in range(steps)]
        numbers = [np.stack(column) for column in zip(*drawn, strict=True)]
        tensors = [x, *states, *fixed, *(reference() for reference, *_ in self._captured)]
        arrays = [t._array if isinstance(t, Tensor) else t for t in tensors] + numbers
        nodes = [t._node if isinstance(t, Tensor) else None for t in tensors]
        nodes += [None] * len(numbers)
        try:
            results, kept, flagged = self.compute(arrays, order)
        except Exception as error:
            found = self._one_by_one(tensors, numbers, order)  # unless it is the user's own error
            self.failure = error
            return found
        if self._watched and flagged and not all_finite(results):
            self._watched -= 1  # the steps themselves warn, where and as NumPy does
            return self._one_by_one(tensors, numbers, order)
        tapes: list[Any] = [None] * len(results)
        if self._chunks.with_gradient and mode.recording:
            self._put_on_tape(tapes, nodes, arrays, results, kept, order)
        return tuple(wrap(array, tape) for array, tape in zip(results, tapes, strict=True))

    def compute(
        self, arrays: Sequence[Any], order: Order
    ) -> tuple[list[PlainArray], list[list[PlainArray]], int]:
        """The results, what the programs gave for each chunk, and whether flags were raised."""
        x, time = order.steps(arrays[0]), arrays[0].shape[1]
        states = [np.ascontiguousarray(state) for state in arrays[1 : 1 + self._states]]
        with self._lock:
            series, last, kept, flagged = self._chunks.forward(
                x, states, self._others(arrays, order)
            )
        results = [order.padded(array, time) for array in series]
        return [*results, *(state.copy() for state in last)], kept, flagged

    def _others(self, arrays: Sequence[Any], order: Order) -> tuple[list[PlainArray], ...]:
        """What is told of sequences, what is fixed, and the draws."""
        first = 1 + self._states
        rest = [np.ascontiguousarray(array) for array in arrays[first:]]
        fixed = self._fixed + len(self._captured)
        active = [order.active(arrays[0].shape[1])] if self._padded else []
        return active, rest[:fixed], rest[fixed:]

    def backward(
        self, grads: Sequence[Any], kept: Any, inputs: Any, needed: Any, order: Order
    ) -> list[Any]:
        """The gradients by the inputs."""
        x, time, n = order.steps(inputs[0]), inputs[0].shape[1], self._recorded_series
        series = [order.steps(g) for g in grads[:n]]
        last = [np.ascontiguousarray(g) for g in grads[n:]]
        others = self._others(inputs, order)
        with self._lock, np.errstate(all="ignore"):
            found = self._chunks.backward(x, others, kept, series, last)
        result: list[Any] = [None] * len(inputs)
        for number, gradient in found.items():
            i = self._place(number)
            if needed[i]:
                result[i] = order.padded(gradient, time) if i == 0 else gradient
        return result

    def _place(self, number: int) -> int:
        """Which input of the operation something is that a step is given."""
        return number - self._padded if number > self._states else number

    def reference(self, *values: Any, order: Order) -> tuple[Any, ...]:
        """The steps one by one, with what they read and drew in the call."""
        if not self.guards.hold():
            raise GradientError(
                f"{self.name}: {self.guards.changed()} was changed after the sequence ran, and its "
                "steps must run again here, for a derivative of higher order, a drawing or an "
                "anomaly check. Change it later, or make another copy of what was changed."
            )
        first = 1 + self._states + self._fixed
        last = first + len(self._captured)
        before: list[Any] = []
        for (reference, *_), value in zip(self._captured, values[first:last], strict=True):
            node = value._node if isinstance(value, Tensor) else None
            array = value._array if isinstance(value, Tensor) else value
            before.append((reference, array, node))
        numbers = [v._array if isinstance(v, Tensor) else v for v in values[last:]]
        with rewritten(before), ModeChange(dtype=self._dtype):
            results = self._one_by_one(values[:first], numbers, order)
        return tuple(results[i] for i in self.on_tape)

    def _one_by_one(
        self, given: Sequence[Any], numbers: Sequence[PlainArray], order: Order
    ) -> tuple[Any, ...]:
        k = self._states
        drawn = [number for step in zip(*numbers, strict=True) for number in step]
        with observed_by(Repeat(drawn)):
            return self._loop(given[0], given[1 : 1 + k], given[1 + k : 1 + k + self._fixed], order)

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
        for number in self._chunks.with_gradient:
            i = self._place(number)
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
