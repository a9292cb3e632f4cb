"""A graph with loops in the place of repeated steps."""

import itertools
from collections.abc import Sequence
from typing import Any

from minigrad.compiled.graph import Graph, Operand, Value, View, reachable, size_of
from minigrad.compiled.rolling.lifting import Lifted
from minigrad.compiled.rolling.plans import make_plan
from minigrad.compiled.rolling.references import Irregular, Reference, references_of
from minigrad.compiled.rolling.regions import FEWEST, Region, find_regions
from minigrad.compiled.rolling.sharing import share_stacks, trim_stacks
from minigrad.compiled.tracing.builder import Builder

__all__ = ["roll"]

Bodies = list[list[list[Reference]]]


def roll(graph: Graph, lift: bool = False) -> Graph:
    """The same graph, with loops.

    Args:
        graph: straight.
        lift: compute all that needs no carried value before a loop, in one operation over all
            steps; else only products, and what they read.
    """
    regions = find_regions(graph.values)
    while regions:
        regions, bodies = _regular(graph.values, regions)
        if not regions:
            break
        try:
            return _Rolling(graph, regions, bodies, lift).graph()
        except _Failed as failure:
            del regions[failure.number]
    return graph


def _regular(values: Sequence[Value], regions: list[Region]) -> tuple[list[Region], Bodies]:
    """Those regions that have loops, and what their values read."""
    places = {value: i for i, value in enumerate(values)}
    regions = list(regions)
    while True:
        bodies: Bodies = []
        for number in range(len(regions)):
            found = _fitting(values, places, regions, number)
            if found is None:
                del regions[number]
                break
            bodies.append(found[1])
            if found[0] != regions[number]:
                regions[number] = found[0]
                break
        else:
            return regions, bodies


def _fitting(
    values: Sequence[Value], places: dict[Value, int], regions: list[Region], number: int
) -> tuple[Region, list[list[Reference]]] | None:
    """A region that has a loop, perhaps without steps at its ends that are others."""
    start, period, count = regions[number]
    for fewer, first in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)):
        if count - fewer < FEWEST:
            break
        region = Region(start + first * period, period, count - fewer)
        tried = [*regions[:number], region, *regions[number + 1 :]]
        try:
            return region, references_of(values, places, tried, number)
        except Irregular:
            continue
    return None


class _Failed(Exception):
    """A region has no loop after all."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Rolling:
    """Makes the values of a graph again, with loops."""

    def __init__(self, graph: Graph, regions: Sequence[Region], bodies: Bodies, lift: bool) -> None:
        self._graph, self._regions, self._bodies, self._lift = graph, regions, bodies, lift
        self.builder = Builder()
        self._places = {value: i for i, value in enumerate(graph.values)}
        self._new: dict[Value, View] = {}
        self._lifted: list[Lifted] = []
        self._where: dict[int, tuple[int, int, int]] = {}  # region, number in the body, step
        for number, region in enumerate(regions):
            for i in range(region.stop - region.start):
                step, index = divmod(i, region.period)
                self._where[region.start + i] = number, index, step

    def graph(self) -> Graph:
        """The graph with loops."""
        early, late = self._read_outside()
        starts = {region.start: number for number, region in enumerate(self._regions)}
        place, values = 0, self._graph.values
        while place < len(values):
            number = starts.get(place)
            if number is None:
                self._remake(values[place])
                place += 1
                continue
            region = self._regions[number]
            body, references = values[place : place + region.period], self._bodies[number]
            plan = make_plan(body, references, early[number], late[number], self._lift)
            try:
                lifted = Lifted(
                    self.builder, body, references, region.steps, plan, self.read, self._lifted
                )
            except Irregular:
                raise _Failed(number) from None
            self._lifted.append(lifted)
            place = region.stop
        outputs = [self.builder.copied(self._view(view)) for view in self._graph.outputs]
        values = reachable(self.builder.values, outputs)
        graph = share_stacks(Graph(self._graph.inputs, values, outputs))
        return trim_stacks(graph) if self._lift else graph

    def _read_outside(self) -> tuple[list[set[int]], list[set[int]]]:
        """Of each region, the values of which an earlier step than the last is read outside of it,
        and those of which the last one is."""
        early: list[set[int]] = [set() for _ in self._regions]
        late: list[set[int]] = [set() for _ in self._regions]

        def note(view: View, reader: int) -> None:
            at = self._where.get(self._places.get(view.value, -1))
            if at is not None and at[0] != reader:
                last = at[2] == self._regions[at[0]].steps - 1
                (late if last else early)[at[0]].add(at[1])

        for i, value in enumerate(self._graph.values):
            own = self._where.get(i, (-1, 0, 0))[0]
            for view in value.views:
                note(view, own)
        for view in self._graph.outputs:
            note(view, -1)
        return early, late

    # -- reading the old graph in the new ----------------------------------------------------------

    def read(self, operand: Operand) -> Operand:
        """A read of the old graph."""
        return self._view(operand) if isinstance(operand, View) else operand

    def _view(self, view: View) -> View:
        place = self._places.get(view.value)
        if place is None:
            return view
        at = self._where.get(place)
        if at is None:
            new = self._new[view.value]
        else:
            number, index, step = at
            try:
                new = self._lifted[number].at(index, step)
            except Irregular:
                raise _Failed(number) from None
        return View(new.value, view.shape, view.strides, new.offset + view.offset)

    def _remake(self, value: Value) -> None:
        self.builder.place = value.place
        if value.op == "assemble":
            self._new[value] = self._assembled(value)
            return
        operands = [self.read(operand) for operand in value.operands]
        made = self.builder.make(value.op, operands, value.shape, value.dtype, value.options)
        self._new[value] = made

    def _assembled(self, value: Value) -> View:
        """Parts that are one value at successive steps are written as one part."""
        parts: list[tuple[View, Any]] = []
        groups: dict[Any, list[tuple[int, View, Any]]] = {}
        for view, place in zip(value.views, value.options, strict=True):
            at = self._where.get(self._places.get(view.value, -1))
            if at is None or at[1] in self._lifted[at[0]].plan.sums:
                parts.append((self._view(view), place))
                continue
            number, index, step = at
            key = number, index, view.shape, view.strides, view.offset, tuple(place[0])
            groups.setdefault(key, []).append((step, view, place))
        for (number, index, *_), members in groups.items():
            parts += self._run(self._lifted[number], index, members)
        operands = [view for view, _ in parts]
        places = tuple(place for _, place in parts)
        return self.builder.make("assemble", operands, value.shape, value.dtype, places)

    def _run(
        self, lifted: Lifted, index: int, members: list[tuple[int, View, Any]]
    ) -> list[tuple[View, Any]]:
        """One value at several steps, as one part if their places are evenly spaced."""
        members.sort(key=lambda member: lifted.slot(member[0]))
        slots = [lifted.slot(step) for step, _, _ in members]
        offsets = [place[1] for _, _, place in members]
        moves = {b - a for a, b in itertools.pairwise(offsets)}
        steady = slots == list(range(slots[0], slots[0] + len(slots))) and len(moves) <= 1
        if not steady:
            return [(self._view(view), place) for _, view, place in members]
        whole = lifted.every(index)
        _, seen, place = members[0]
        size = size_of(whole.shape[1:])
        view = View(
            whole.value,
            (len(slots), *seen.shape),
            (size, *seen.strides),
            whole.offset + slots[0] * size + seen.offset,
        )
        return [(view, ((moves.pop() if moves else 0, *place[0]), offsets[0]))]
