"""One traced step as programs over sequences of any length.

A program has a fixed number of steps. A sequence runs in chunks, the largest that fit first, whose
states are carried on; on the way back the gradients of weights add up. So a few programs serve all
lengths, and the bits of a result depend on its length alone. Small steps may run beyond the end of
a sequence, where that saves programs: forward, nobody sees what they compute, and backward it is
zero, if no gradient arrives at the last states. Arrays over steps are (steps, batch, ...), in the
order in which the steps run.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.backends import build_in_turn
from minigrad.compiled.graph import Graph, PlainArray, View
from minigrad.compiled.simplify import finish
from minigrad.compiled.splitting import split
from minigrad.compiled.stepping.derivatives import Derivative, Derivatives
from minigrad.compiled.stepping.loops import Body, Steps
from minigrad.compiled.stepping.parts import parts_of, programs_of, steps_in_vain
from minigrad.compiled.stepping.rows import (
    FREE,
    Kind,
    Mixed,
    Role,
    check_rows,
    row_wise,
    seen_role,
    without_rows,
)
from minigrad.compiled.trace import Traced

__all__ = ["Chunks", "Made", "all_finite"]


class Source(NamedTuple):
    """Which result of a program a value is.

    Attributes:
        number: of the result: all steps, perhaps after what was before the first.
        fixed: whether it is the same at all steps, and there once.
    """

    number: int
    fixed: bool = False

    def steps(self, made: "Made", part: slice) -> PlainArray:
        """The value at some steps, (steps, batch, ...)."""
        found = self.handed_over(made, part)
        count = part.stop - part.start
        return np.broadcast_to(found, (count, *found.shape)) if self.fixed else found

    def handed_over(self, made: "Made", part: slice) -> PlainArray:
        """The value at some steps as the backward program takes it."""
        found = made.results[self.number]
        if self.fixed:
            return found
        before = len(found) - made.steps
        return found[before + part.start : before + part.stop]


class Made(NamedTuple):
    """What a program gave.

    Attributes:
        part: the steps of the sequence that it was for.
        steps: how many the program has; some may be beyond the end of the sequence.
        results: its own.
    """

    part: slice
    steps: int
    results: list[PlainArray]

    @property
    def within(self) -> slice:
        """The steps of the program that count."""
        return slice(0, self.part.stop - self.part.start)


class Chunks:
    """The programs of one traced step, and sequences that run by them.

    Args:
        traced: what was seen of a step, with its seeds as inputs. It was given inputs x, states,
            perhaps which sequences go on, and arrays that are the same at all steps; it returned
            the new states, then values to be kept of all steps.
        states: how many states there are.
        padded: whether it was told which sequences go on.
        backend: has a function `build`, and `LIFTS`: see `roll`.

    Attributes:
        series: how many values are kept of all steps.
        with_gradient: the numbers of what the step is given and its derivative gives a gradient
            of: x, states, what is told of sequences, what is fixed, captured tensors, draws.
    """

    def __init__(self, traced: Traced, states: int, padded: bool, backend: Any) -> None:
        self._states, self._padded, self._backend = states, padded, backend
        self._per_row = len(traced.arguments)
        self._fixed = self._per_row - 1 - states - padded + len(traced.captured)
        self._derivatives = self._graphs(traced)
        every = self._derivatives.every.built if self._derivatives is not None else dict[int, Any]()
        self._built: tuple[dict[int, Any], dict[int, Any]] = {}, every  # forward, and backward
        self._in_vain = steps_in_vain(self._values)

    # -- the graphs --------------------------------------------------------------------------------

    def _graphs(self, traced: Traced) -> Derivatives | None:
        """The body of the loop forward; returns those of the ways back, if there are any."""
        builder, k = traced.tracer.builder, self._states
        arguments = traced.arguments
        captured = [value for _, value in traced.captured]
        draws = [draw.value for draw in traced.draws]
        inputs = [*arguments, *captured, *draws]
        found = {i: traced.gradients[v] for i, v in enumerate(inputs) if v in traced.gradients}
        self.with_gradient = list(found)
        self.series = len(traced.outputs) - k
        outputs = len(traced.outputs)
        if found:
            halves = split(
                builder, inputs, traced.outputs, traced.seeds, list(found.values()), pack=False
            )
            forward = halves.forward
        else:
            forward = finish(builder, inputs, traced.outputs)
        moving = [arguments[0], *arguments[1 + k : 1 + k + self._padded], *draws]
        fixed = [*arguments[1 + k + self._padded :], *captured]
        given = arguments[1 : 1 + k]
        carried = dict(zip(given, forward.outputs[:k], strict=True))
        self._forward = Body(forward.values, moving, carried, fixed)
        self._given, self._inputs = given, forward.inputs
        self._values, self._results = forward.values, forward.outputs[:outputs]
        self._residuals = forward.outputs[outputs:]
        self._own: list[View] = []
        self._sources = [self._source(view) for view in forward.outputs[k:]]
        if not found:
            return None
        once = [self._is_fixed(view) for view in self._residuals]
        recorded = [i for i, on_tape in enumerate(traced.recorded) if on_tape]
        same = [value in fixed for value in inputs]
        return Derivatives(halves.backward, len(inputs), recorded, k, list(found), [*same, *once])

    def _is_fixed(self, view: View) -> bool:
        """Whether a residual is the same at all steps."""
        value, body = view.value, self._forward
        return value in body.invariant or value in body.fixed or value.op == "constant"

    def rows_apart(self, rows: int, draws: Sequence[Role]) -> list[Any]:
        """Make sure that each row of a batch is computed by itself.

        Args:
            rows: how many rows the step was traced with.
            draws: the roles of the random numbers.

        Returns:
            What is computed, but for how many rows there are.

        Raises:
            Mixed: when rows may depend on each other.
        """
        inputs, values, per_row = self._inputs, self._values, self._per_row
        given = [row_wise() if i < per_row else FREE for i in range(len(inputs) - len(draws))]
        given += draws
        roles = check_rows(values, dict(zip(inputs, given, strict=True)), rows)
        if any(seen_role(view, roles, rows) != row_wise() for view in self._results):
            raise Mixed("its results may mix the rows of a batch")
        handed = [*self._results, *self._residuals]
        found = without_rows(values, inputs, roles, handed)
        if self._derivatives is None:
            return found
        derivative = self._derivatives.every
        given += [row_wise(linear=True)] * (len(derivative.states) + len(derivative.series))
        given += [seen_role(view, roles, rows) for view in self._residuals]
        inputs, values = derivative.inputs, self._derivatives.graph.values
        roles = check_rows(values, dict(zip(inputs, given, strict=True)), rows)
        for i, view in derivative.gradients.items():
            role = seen_role(view, roles, rows)
            if role.kind is not (Kind.SUM if i >= per_row else Kind.ROWS) or role.axis:
                raise Mixed("its derivative may mix the rows of a batch")
        return found + without_rows(values, inputs, roles, derivative.gradients.values())

    def _source(self, view: View) -> "Source":
        """Where a value is among the results of a program."""
        place = self._forward.places.get(view.value) if view.whole else None
        for number, state in enumerate(self._given):
            if place is not None and self._forward.carried[state] == place:
                return Source(number)
        known = [other.key for other in self._own]
        if view.key not in known:
            self._own.append(view)
            known.append(view.key)
        return Source(self._states + known.index(view.key), self._is_fixed(view))

    def _program(self, count: int, derivative: Derivative | None = None) -> Any:
        """The program of a number of steps, or of their derivative."""
        built = self._built[0] if derivative is None else derivative.built
        found = built.get(count)
        if found is None:
            lift = bool(getattr(self._backend, "LIFTS", False))
            if derivative is None:
                graph = self._forward_of(count, lift)
            else:
                graph = derivative.steps(count, lift, 1 + self._states)
            others = [program for some in (*self._built, built) for program in some.values()]
            (found,) = build_in_turn(self._backend, [graph], others)
            built[count] = found
        return found

    def _forward_of(self, count: int, lift: bool) -> Graph:
        moving = [view for view in self._own if not self._is_fixed(view)]
        steps = Steps(self._forward, count, False, lift, moving)
        outputs = [steps.stack(state) for state in self._given]
        outputs += [steps.once(v) if self._is_fixed(v) else steps.kept(v) for v in self._own]
        return steps.graph(self._inputs, outputs)

    # -- running -----------------------------------------------------------------------------------

    def forward(
        self, x: PlainArray, states: list[PlainArray], others: Sequence[Sequence[PlainArray]]
    ) -> tuple[list[PlainArray], list[PlainArray], list[Made], int]:
        """Run all steps.

        Args:
            x: the inputs of all steps.
            states: the initial ones.
            others: what is told of sequences at all steps, if it is; what is fixed, with captured
                tensors; and the random numbers of all steps.

        Returns:
            What is kept of all steps, the last states, what the programs gave, and their flags.
        """
        active, fixed, draws = others
        chunks, flagged = [], 0
        for part, steps in programs_of(len(x), self._in_vain):
            program = self._program(steps)
            some = [_cut(arrays, part, steps) for arrays in ([x], active, draws)]
            given = (*some[0], *states, *some[1], *fixed, *some[2])
            made = Made(part, steps, program(given))
            flagged |= getattr(program, "status", 1)
            states = [stack[made.within.stop] for stack in made.results[: self._states]]
            chunks.append(made)
        series = []
        for source in self._sources[: self.series]:
            found = [source.steps(made, made.within) for made in chunks]
            series.append(found[0] if len(found) == 1 else np.concatenate(found))
        return series, states, chunks, flagged

    def backward(
        self,
        x: PlainArray,
        others: Sequence[Sequence[PlainArray]],
        chunks: Sequence[Made],
        series: Sequence[PlainArray | None],
        last: Sequence[PlainArray | None],
    ) -> dict[int, PlainArray]:
        """The gradients, by the numbers in `with_gradient`.

        Args:
            x, others: as they were given.
            chunks: what the programs gave.
            series, last: the gradients of what is kept of all steps, and of the last states, of
                those that are recorded; None for one that has none.
        """
        assert self._derivatives is not None
        derivative = self._derivatives.those([g is not None for g in (*last, *series)])
        beyond = derivative.beyond and all(gradient is None for gradient in last)
        waiting = [(made, *one) for made in chunks for one in _ways_back(made, beyond)]
        states = [stack[0] for stack in chunks[0].results[: self._states]]
        carried: dict[int, PlainArray] = {
            number: np.zeros_like(states[number]) if gradient is None else gradient
            for number, gradient in zip(self._derivatives.every.states, last, strict=True)
            if number in derivative.states
        }
        sent = [
            np.zeros((*x.shape[:2], *shape), dtype) if (g := series[i]) is None else g
            for i, shape, dtype in derivative.series
        ]
        by_input: list[PlainArray] = []
        totals: dict[int, PlainArray] = {}
        while waiting:
            made, part, steps = waiting.pop()
            found = self._taken_back(derivative, made, part, steps, x, others, carried, sent)
            count = part.stop - part.start
            if steps > count and not _moderate(found):
                # Zero times infinity is none, so nothing may be computed beyond the end.
                waiting += [(made, *one) for one in _ways_back(made, False)]
                continue
            arrived: dict[int, PlainArray] = {}
            for (i, view), gradient in zip(derivative.gradients.items(), found, strict=True):
                shape = view.shape if i else (steps, *view.shape)
                if gradient.shape != shape:
                    gradient = gradient.reshape(shape)
                if i == 0:
                    by_input.append(gradient[:count])
                elif i - 1 in carried:
                    arrived[i - 1] = gradient
                elif i in totals:
                    totals[i] += gradient
                else:
                    totals[i] = gradient
            for i in carried.keys() - arrived.keys():  # states that a step does not read
                arrived[i] = np.zeros_like(carried[i])
            carried = {i: arrived[i] for i in carried}
        if by_input:
            totals[0] = by_input[0] if len(by_input) == 1 else np.concatenate(by_input[::-1])
        return totals | {1 + i: g for i, g in carried.items() if 1 + i in derivative.gradients}

    def _taken_back(
        self,
        derivative: Derivative,
        made: Made,
        part: slice,
        steps: int,
        x: PlainArray,
        others: Sequence[Sequence[PlainArray]],
        carried: dict[int, PlainArray],
        series: Sequence[PlainArray],
    ) -> list[PlainArray]:
        """What a backward program of so many steps gives for a part of those of a program."""
        active, fixed, draws = others
        start, held = made.part.start, slice(part.start, part.start + steps)
        now = slice(start + part.start, start + part.stop)
        moving = [_cut(arrays, now, steps) for arrays in ([x], active, draws)]
        states = [stack[held] for stack in made.results[: self._states]]
        seeds = [*carried.values(), *_cut(series, now, steps, zeros=True)]
        residuals = [each.handed_over(made, held) for each in self._sources[self.series :]]
        given = [*moving[0], *states, *moving[1], *fixed, *moving[2], *seeds, *residuals]
        found: list[PlainArray] = self._program(steps, derivative)(given)
        return found


def _ways_back(made: Made, beyond: bool) -> list[tuple[slice, int]]:
    """The parts of a program's steps that one program each takes back, and how many steps it has.

    Args:
        made: what the program gave.
        beyond: whether steps beyond the end of the sequence may be taken back, too.
    """
    if made.steps == made.within.stop or beyond:
        return [(made.within, made.steps)]
    return [(part, part.stop - part.start) for part in parts_of(made.within.stop)]


def _cut(
    arrays: Sequence[PlainArray], part: slice, steps: int, zeros: bool = False
) -> list[PlainArray]:
    """Some steps of arrays; if there should be more, the last one again and again, or zeros."""
    count = part.stop - part.start
    if steps == count:
        return [array[part] for array in arrays]
    found = []
    for array in arrays:
        filled = np.empty((steps, *array.shape[1:]), array.dtype)
        filled[:count] = array[part]
        filled[count:] = 0 if zeros else array[part.stop - 1]
        found.append(filled)
    return found


def _moderate(arrays: Sequence[PlainArray]) -> bool:
    """Whether all numbers are finite, and not so large that their squares are not."""
    return all(abs(np.vdot(array, array)) < np.inf for array in arrays)


def all_finite(arrays: Sequence[PlainArray]) -> bool:
    """Whether no number is infinite or NaN."""
    return all(a.dtype.kind not in "fc" or bool(np.isfinite(a).all()) for a in arrays)
