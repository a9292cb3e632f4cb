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
from minigrad.compiled.graph import Graph, PlainArray, Value, View
from minigrad.compiled.simplify import finish
from minigrad.compiled.splitting import split
from minigrad.compiled.stepping.linear import zeros_among
from minigrad.compiled.stepping.loops import Body, Steps
from minigrad.compiled.stepping.parts import parts_of, programs_of, raises_nothing, steps_in_vain
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
from minigrad.compiled.tracing.builder import Builder

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
        self._built: tuple[dict[int, Any], dict[int, Any]] = {}, {}  # forward, and backward
        self._graphs(traced)
        self._in_vain = steps_in_vain(self._values)

    # -- the graphs --------------------------------------------------------------------------------

    def _graphs(self, traced: Traced) -> None:
        """The bodies of the loops forward and backward."""
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
        if found:
            self._backward_graph(traced, halves.backward, len(inputs), list(found))

    def _backward_graph(
        self, traced: Traced, graph: Graph, count: int, wanted: Sequence[int]
    ) -> None:
        k, n = self._states, len(traced.seeds)
        taken, seeds = graph.inputs[:count], graph.inputs[count : count + n]
        held = graph.inputs[count + n :]
        recorded = [i for i, on_tape in enumerate(traced.recorded) if on_tape]
        first = 1 + k + self._padded
        fixed = taken[first : first + self._fixed]
        once = [self._is_fixed(view) for view in self._residuals]
        fixed += [v for v, same in zip(held, once, strict=True) if same]
        gradients = dict(zip(wanted, graph.outputs, strict=True))
        carried: dict[Value, View] = {}
        self._first_seeds = [number for number in recorded if number < k]
        for number, seed in zip(recorded, seeds, strict=True):
            if number < k:
                zero = Builder().constant(np.zeros(seed.shape, seed.dtype))
                carried[seed] = gradients.get(1 + number, zero)
        moving = [v for v in graph.inputs if v not in carried and v not in fixed]
        self._backward_body = Body(graph.values, moving, carried, fixed)
        self._backward_values, self._seeds = graph.values, n
        self._backward_inputs, self._gradients = graph.inputs, gradients
        zeros = zeros_among(graph.values, seeds)
        linear = all(view.value in zeros for i, view in gradients.items() if i)
        self._beyond = linear and all(map(raises_nothing, graph.values))

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
        if not self.with_gradient:
            return found
        given += [row_wise(linear=True)] * self._seeds
        given += [seen_role(view, roles, rows) for view in self._residuals]
        inputs, values = self._backward_inputs, self._backward_values
        roles = check_rows(values, dict(zip(inputs, given, strict=True)), rows)
        for i, view in self._gradients.items():
            role = seen_role(view, roles, rows)
            if role.kind is not (Kind.SUM if i >= per_row else Kind.ROWS) or role.axis:
                raise Mixed("its derivative may mix the rows of a batch")
        return found + without_rows(values, inputs, roles, self._gradients.values())

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

    def _program(self, count: int, backward: bool) -> Any:
        """The program of a number of steps."""
        built = self._built[backward]
        found = built.get(count)
        if found is None:
            lift = bool(getattr(self._backend, "LIFTS", False))
            graph = (self._backward_of if backward else self._forward_of)(count, lift)
            others = [program for some in self._built for program in some.values()]
            (found,) = build_in_turn(self._backend, [graph], others)
            built[count] = found
        return found

    def _forward_of(self, count: int, lift: bool) -> Graph:
        moving = [view for view in self._own if not self._is_fixed(view)]
        steps = Steps(self._forward, count, False, lift, moving)
        outputs = [steps.stack(state) for state in self._given]
        outputs += [steps.once(v) if self._is_fixed(v) else steps.kept(v) for v in self._own]
        return steps.graph(self._inputs, outputs)

    def _backward_of(self, count: int, lift: bool) -> Graph:
        last = 1 + self._states
        single = [view for i, view in self._gradients.items() if i < last]
        steps = Steps(self._backward_body, count, True, lift, single)
        outputs = []
        for i, view in self._gradients.items():
            if i == 0:
                outputs.append(steps.every(view))
            else:
                outputs.append(steps.last(view) if i < last else steps.total(view))
        return steps.graph(self._backward_inputs, outputs)

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
            program = self._program(steps, backward=False)
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
        series: Sequence[PlainArray],
        last: Sequence[PlainArray | None],
    ) -> dict[int, PlainArray]:
        """The gradients, by the numbers in `with_gradient`.

        Args:
            x, others: as they were given.
            chunks: what the programs gave.
            series, last: the gradients of what is kept of all steps, and of the last states, of
                those that are recorded; None for a last state that has none.
        """
        beyond = self._beyond and all(gradient is None for gradient in last)
        waiting = [(made, *one) for made in chunks for one in _ways_back(made, beyond)]
        states = [stack[0] for stack in chunks[0].results[: self._states]]
        carried: dict[int, PlainArray] = {
            number: np.zeros_like(states[number]) if gradient is None else gradient
            for number, gradient in zip(self._first_seeds, last, strict=True)
        }
        by_input: list[PlainArray] = []
        totals: dict[int, PlainArray] = {}
        while waiting:
            made, part, steps = waiting.pop()
            found = self._taken_back(made, part, steps, x, others, carried, series)
            count = part.stop - part.start
            if steps > count and not _moderate(found):
                # Zero times infinity is none, so nothing may be computed beyond the end.
                waiting += [(made, *one) for one in _ways_back(made, False)]
                continue
            arrived: dict[int, PlainArray] = {}
            for (i, view), gradient in zip(self._gradients.items(), found, strict=True):
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
        return totals | {1 + i: g for i, g in carried.items() if 1 + i in self._gradients}

    def _taken_back(
        self,
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
        found: list[PlainArray] = self._program(steps, backward=True)(given)
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
