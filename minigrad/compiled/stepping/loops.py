"""The loops over a sequence, made of the graph of one step.

What differs from step to step is read from an array of all steps, and states from the step before.
Then it is decided as for loops that were found in a straight graph what stays in the loop, see
`rolling`: products with the inputs of all steps leave it, and so do the gradients of weights. What
no step changes is computed once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minigrad.compiled.graph import Graph, Operand, Unsupported, Value, View, reachable
from minigrad.compiled.rolling.lifting import Lifted, is_dense
from minigrad.compiled.rolling.plans import make_plan
from minigrad.compiled.rolling.references import (
    Before,
    Fixed,
    Here,
    Irregular,
    Moving,
    Number,
    Reference,
)
from minigrad.compiled.rolling.sharing import share_stacks
from minigrad.compiled.tracing.builder import Builder

__all__ = ["Body", "Steps"]


class Body:
    """One step.

    Args:
        values: what is computed in it, in order.
        moving: the inputs that are others at each step.
        carried: by the input that stands for it, the view of what the step hands on to the next.
        fixed: the inputs that are the same at all steps.

    Attributes:
        invariant: the values that are the same at all steps, too.
        kept: the others, in order.
    """

    def __init__(
        self,
        values: Iterable[Value],
        moving: Iterable[Value],
        carried: Mapping[Value, View],
        fixed: Iterable[Value],
    ) -> None:
        self.moving, self.fixed = list(moving), list(fixed)
        self.invariant: list[Value] = []
        self.kept: list[Value] = []
        changing = {*self.moving, *carried}
        for value in values:
            if any(view.value in changing for view in value.views):
                changing.add(value)
                self.kept.append(value)
            else:
                self.invariant.append(value)
        self.places = {value: i for i, value in enumerate(self.kept)}
        self._copies: dict[Any, int] = {}
        self.carried: dict[Value, int] = {}
        for state, view in carried.items():
            place = self.place(view)
            self.carried[state] = self._copy(view) if place in self.carried.values() else place

    def place(self, view: View) -> int:
        """The number of a value; a part of one, or what comes from elsewhere, is copied."""
        at = self.places.get(view.value)
        if at is not None and view.whole:
            return at
        if view.key not in self._copies:
            self._copies[view.key] = self._copy(view)
        return self._copies[view.key]

    def _copy(self, view: View) -> int:
        value = Value("copy", [view], view.shape, view.dtype)
        self.places[value] = len(self.kept)
        self.kept.append(value)
        return self.places[value]

    def terms(self, view: View) -> list[View]:
        """What is added up to a value that nothing else reads, as far as that goes."""
        found, waiting = [], [view]
        while waiting:
            top = waiting.pop()
            value = top.value
            if value.op != "add" or not top.whole or self._uses(value) > (top is not view):
                found.append(top)
            elif value in self.places and all(isinstance(o, View) for o in value.operands):
                waiting.extend(value.views)
            else:
                found.append(top)
        return found

    def _uses(self, value: Value) -> int:
        return sum(view.value is value for other in self.kept for view in other.views)


class Steps:
    """A body at a number of steps; makes the graph of them.

    Args:
        body: one step.
        count: how many.
        down: whether they go from the end of the arrays of all steps to their beginning.
        lift: see `rolling.roll`.
        read: the views that are asked for at all steps, or after the last.
    """

    def __init__(
        self, body: Body, count: int, down: bool, lift: bool, read: Iterable[View]
    ) -> None:
        self.builder, self.count, self.down, self._body = Builder(), count, down, body
        self._whole = {v: _input((count, *v.shape), v) for v in body.moving}
        self._single = {v: _input(v.shape, v) for v in (*body.carried, *body.fixed)}
        self._once: dict[Value, View] = {}
        for value in body.invariant:
            operands = [self._outside(o) for o in value.operands]
            self.builder.place = value.place
            self._once[value] = self.builder.make(
                value.op, operands, value.shape, value.dtype, value.options
            )
        early = {*map(body.place, read), *body.carried.values()}
        references = [[self._reference(o) for o in value.operands] for value in body.kept]
        plan = make_plan(body.kept, references, early, set(), lift)
        begins = {place: View(self._single[state]) for state, place in body.carried.items()}
        try:
            self._lifted = Lifted(
                self.builder, body.kept, references, count, plan, lambda o: o, (), begins
            )
        except Irregular as error:
            raise Unsupported(str(error)) from None

    def inputs(self, values: Iterable[Value]) -> list[Value]:
        """The inputs of the graph that stand for those of a step."""
        return [self._whole[v] if v in self._whole else self._single[v] for v in values]

    def every(self, view: View) -> View:
        """A value at all steps, in the order of the array that it moves through."""
        whole = self._lifted.every(self._body.place(view))
        turned = self.down and not self._lifted.down
        return whole.seen_through(lambda d: d[::-1]) if turned else whole

    def kept(self, view: View) -> View:
        """A value at all steps, perhaps with one more before them, as it lies in the loop."""
        place = self._body.place(view)
        looped = place in self._lifted.plan.looped
        return self._lifted.stack(place) if looped else self.every(view)

    def once(self, view: View) -> View:
        """A value that is the same at all steps."""
        value = view.value
        if value in self._once:
            made = self._once[value]
            return View(made.value, view.shape, view.strides, made.offset + view.offset)
        return view.of(self._single[value]) if value in self._single else view

    def last(self, view: View) -> View:
        """A value after the last step."""
        return self._lifted.at(self._body.place(view), self.count - 1)

    def stack(self, state: Value) -> View:
        """A state before the first step, and after each."""
        place = self._body.carried[state]
        if place in self._lifted.plan.looped:
            return self._lifted.stack(place)
        shape = (self.count + 1, *state.shape)
        whole = View(Value("input", (), shape, state.dtype))
        parts = [
            (View(self._single[state]), whole.seen_through(lambda d: d[0])),
            (self.every(View(self._body.kept[place])), whole.seen_through(lambda d: d[1:])),
        ]
        return self.builder.joined(parts, shape)

    def total(self, view: View) -> View:
        """The sum of a value over all steps."""
        parts = [
            self._lifted.added_up(self._reference(term), view.shape)
            for term in self._body.terms(view)
        ]
        result = parts[0]
        for part in parts[1:]:
            result = self.builder.elementwise("add", result, part)
        return result

    def graph(self, inputs: Iterable[Value], outputs: Sequence[View]) -> Graph:
        """The graph of some outputs, perhaps in other shapes; its inputs are those of the step."""
        whole = [
            View(view.value) if is_dense(view) else self.builder.copied(view) for view in outputs
        ]
        given = self.inputs(inputs)
        for i, value in enumerate(given):
            value.options = (i,)
        return share_stacks(Graph(given, reachable(self.builder.values, whole), whole))

    # -- what a step reads -------------------------------------------------------------------------

    def _reference(self, operand: Operand) -> Reference:
        if not isinstance(operand, View):
            return Number(operand)
        value, size = operand.value, operand.value.size
        if value in self._body.places:
            return Here(self._body.places[value], operand)
        if value in self._body.carried:
            return Before(self._body.carried[value], operand, operand)
        if value not in self._whole:
            return Fixed(self.once(operand))
        start = (self.count - 1) * size if self.down else 0
        view = View(self._whole[value], operand.shape, operand.strides, operand.offset + start)
        return Moving(view, -size if self.down else size)

    def _outside(self, operand: Operand) -> Operand:
        return self.once(operand) if isinstance(operand, View) else operand


def _input(shape: tuple[int, ...], like: Value) -> Value:
    return Value("input", (), shape, like.dtype, (-1,), place=like.place)
