"""The derivative of one traced step, from the gradients of those of its results that matter.

The gradient of a state arrives from later steps or at the end of the sequence. Where neither can
be, as for a state that no other one reads and the loss does not use, nothing is computed of it:
zeros in its place would be gradients of what it alone depends on, and NaN behind a slope that is
infinite.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.compiled.graph import Graph, Value, View
from minigrad.compiled.splitting import without_seeds
from minigrad.compiled.stepping.linear import zeros_among
from minigrad.compiled.stepping.loops import Body, Steps
from minigrad.compiled.stepping.parts import raises_nothing
from minigrad.compiled.tracing.builder import Builder

__all__ = ["Derivative", "Derivatives"]


@dataclass
class Derivative:
    """The backward graph of a step.

    Attributes:
        body: what is computed at each step.
        inputs: of the step, the gradients that arrive, and residuals.
        gradients: by the number of what the step is given.
        states: the numbers of the states whose gradients arrive.
        series: of the recorded series that have gradients, the places; shapes, but for the batch,
            and dtypes.
        beyond: whether steps beyond the end of a sequence give zeros, and raise nothing.
        built: the programs, by their number of steps.
    """

    body: Body
    inputs: list[Value]
    gradients: dict[int, View]
    states: list[int]
    series: list[tuple[int, tuple[int, ...], Any]]
    beyond: bool
    built: dict[int, Any] = field(default_factory=dict)

    def steps(self, count: int, lift: bool, last: int) -> Graph:
        """The graph of so many steps, the last one first.

        Args:
            count: the number of steps.
            lift: see `minigrad.compiled.rolling.rolled.roll`.
            last: the number of what is given after the states.
        """
        single = [view for i, view in self.gradients.items() if i < last]
        steps = Steps(self.body, count, True, lift, single)
        outputs = []
        for i, view in self.gradients.items():
            if i == 0:
                outputs.append(steps.every(view))
            else:
                outputs.append(steps.last(view) if i < last else steps.total(view))
        return steps.graph(self.inputs, outputs)


class Derivatives:
    """The backward graphs of a step, one for each set of gradients that can arrive.

    Args:
        graph: that for all gradients: its inputs are those of the step, seeds, and residuals.
        count: how many inputs the step has.
        recorded: the numbers of the results that the seeds are gradients of, states first.
        states: how many states there are.
        wanted: of each output, the number of what it is the gradient by.
        fixed: of each input of the step and each residual, whether it is the same at all steps.

    Attributes:
        graph: as given.
        every: that for all gradients.
    """

    def __init__(
        self,
        graph: Graph,
        count: int,
        recorded: Sequence[int],
        states: int,
        wanted: Sequence[int],
        fixed: Sequence[bool],
    ) -> None:
        self.graph, self._count, self._recorded = graph, count, recorded
        self._states, self._wanted, self._fixed = states, wanted, fixed
        self._made: dict[frozenset[int], Derivative] = {}
        self._found: dict[tuple[bool, ...], Derivative] = {}
        self.every = self._of(frozenset(recorded))

    def those(self, arrived: Sequence[bool]) -> Derivative:
        """The graph for a call, given which recorded results have a gradient at the end."""
        key = tuple(arrived)
        found = self._found.get(key)
        while found is None:
            live = frozenset(n for n, there in zip(self._recorded, arrived, strict=True) if there)
            found = self._of(live)
            # A step hands gradients on to the one before.
            read = [n < self._states and 1 + n in found.gradients for n in self._recorded]
            more = [there or reads for there, reads in zip(arrived, read, strict=True)]
            if more != list(arrived):
                arrived, found = more, None
        self._found[key] = found
        return found

    def _of(self, live: frozenset[int]) -> Derivative:
        if live not in self._made:
            self._made[live] = self._derivative(live)
        return self._made[live]

    def _derivative(self, live: frozenset[int]) -> Derivative:
        graph, wanted, n = self.graph, self._wanted, len(self._recorded)
        seeds = graph.inputs[self._count : self._count + n]
        missing = [s for number, s in zip(self._recorded, seeds, strict=True) if number not in live]
        if missing:
            graph, numbers, harmless = without_seeds(graph, seeds, missing)
            if harmless:
                return self.every
            wanted = [wanted[i] for i in numbers]
        recorded = [number for number in self._recorded if number in live]
        seeds = graph.inputs[self._count : self._count + len(recorded)]
        given = [value for value in graph.inputs if value not in seeds]
        gradients = dict(zip(wanted, graph.outputs, strict=True))
        carried: dict[Value, View] = {}
        for number, seed in zip(recorded, seeds, strict=True):
            if number < self._states:
                zero = Builder().constant(np.zeros(seed.shape, seed.dtype))
                carried[seed] = gradients.get(1 + number, zero)
        fixed = [value for value, same in zip(given, self._fixed, strict=True) if same]
        moving = [v for v in graph.inputs if v not in carried and v not in fixed]
        zeros = zeros_among(graph.values, seeds)
        linear = all(view.value in zeros for i, view in gradients.items() if i)
        kept = [number for number in self._recorded if number >= self._states]
        return Derivative(
            Body(graph.values, moving, carried, fixed),
            graph.inputs,
            gradients,
            [number for number in recorded if number < self._states],
            [
                (kept.index(number), seed.shape[1:], seed.dtype)
                for number, seed in zip(recorded, seeds, strict=True)
                if number in kept
            ],
            linear and all(map(raises_nothing, graph.values)),
        )
