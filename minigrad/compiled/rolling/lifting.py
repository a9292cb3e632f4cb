"""One region made: a loop of what carries values on, and operations over all steps at once.

Arrays over all steps are (steps, ...), in the order of the counter of the loop, which falls where
the steps go back through what another loop computed.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minigrad.compiled.graph import (
    ELEMENTWISE,
    ROWS,
    Loop,
    Operand,
    Value,
    View,
    contiguous,
    reshape_view,
    size_of,
)
from minigrad.compiled.rolling.plans import Plan
from minigrad.compiled.rolling.references import (
    Before,
    Fixed,
    Here,
    Irregular,
    Moving,
    Number,
    Other,
    Reference,
    elements_of,
)
from minigrad.compiled.tracing.builder import Builder

__all__ = ["Lifted", "is_dense"]

Outside = Callable[[Operand], Operand]


class Lifted:
    """The values of a region, at all steps.

    Args:
        builder: makes the values.
        body: the values of one step as they were.
        references: of each, what it reads.
        count: the number of steps.
        plan: what becomes of each.
        outside: from a read in the old graph to one in the new.
        others: the regions before this one.
        begins: what carried values are before the first step, where that is known as a whole.
    """

    def __init__(
        self,
        builder: Builder,
        body: Sequence[Value],
        references: Sequence[Sequence[Reference]],
        count: int,
        plan: Plan,
        outside: Outside,
        others: Sequence["Lifted"],
        begins: Mapping[int, View] | None = None,
    ) -> None:
        self.builder, self.body, self.references = builder, body, references
        self.count, self.plan, self._outside, self._others = count, plan, outside, others
        self._begins = begins or {}
        self.down = self._direction() < 0
        self._whole: dict[int, View] = {}
        self._totals: dict[int, View] = {}
        self._inner: dict[int, Value] = {}
        self._previous: dict[int, Value] = {}
        self._read: dict[tuple[object, ...], View] = {}
        self.loop: Loop | None = None
        self._node: Value | None = None
        if plan.looped:
            self._make_loop()

    def _direction(self) -> int:
        """Whether the counter should rise or fall."""
        turns = 0
        for row in self.references:
            for reference in row:
                if isinstance(reference, Other):
                    falls = self._others[reference.region].down
                    turns += 10 * reference.direction * (-1 if falls else 1)
                elif isinstance(reference, Moving):
                    turns += 1 if reference.step > 0 else -1
        return turns

    def slot(self, step: int) -> int:
        """The counter at a step."""
        return self.count - 1 - step if self.down else step

    # -- reading -----------------------------------------------------------------------------------

    def at(self, index: int, step: int) -> View:
        """A value at one step, contiguous."""
        if index in self.plan.sums:
            if step != self.count - 1:
                raise Irregular("a partial sum is read")
            return self._total(index)
        slot = self.slot(step)
        return self.every(index).seen_through(lambda dummy: dummy[slot, ...])

    def every(self, index: int) -> View:
        """A value at all steps, (steps, *shape), each step contiguous."""
        if index in self.plan.looped:
            return self._stacked(index, "current")
        if index not in self._whole:
            made = self._made(index)
            self._whole[index] = made if is_dense(made) else self.builder.copied(made)
        return self._whole[index]

    def stack(self, index: int) -> View:
        """A carried value as it was before the first step and after each."""
        loop, value = self.loop, self._inner[index]
        assert loop is not None
        assert self._node is not None
        stack = loop.stacked.get(value)
        if stack is None:
            shape = (self.count + 1, *value.shape)
            view = self.builder.make("stack", [View(self._node)], shape, value.dtype, (value,))
            stack = loop.stacked[value] = view.value
        return View(stack)

    def _stacked(self, index: int, which: str) -> View:
        stack, loop = self.stack(index), self.loop
        assert loop is not None
        first = loop.current_slot if which == "current" else loop.previous_slot
        return stack.seen_through(lambda dummy: dummy[first : first + self.count])

    def _moving(self, reference: Moving | Other) -> tuple[View, int]:
        """What is read where the counter is 0, and how much further at each count."""
        if isinstance(reference, Moving):
            view = self._outside(reference.view)
            assert isinstance(view, View)
            step = reference.step
            if self.down:
                view = _shifted(view, (self.count - 1) * step)
                step = -step
            return view, step
        other, seen = self._others[reference.region], reference.view
        whole = other.every(reference.item)
        first = reference.first + (self.count - 1) * reference.direction * self.down
        size = size_of(whole.shape[1:])
        step = reference.direction * (-1 if other.down else 1) * (-1 if self.down else 1)
        offset = whole.offset + other.slot(first) * size + seen.offset
        return View(whole.value, seen.shape, seen.strides, offset), step * size

    def _over_steps(self, reference: Reference) -> Operand:
        """A reference at all steps, with the steps as first axis."""
        if isinstance(reference, Number):
            return reference.number
        if isinstance(reference, Fixed):
            view = self._outside(reference.view)
            assert isinstance(view, View)
            return View(view.value, (self.count, *view.shape), (0, *view.strides), view.offset)
        if isinstance(reference, (Moving, Other)):
            view, step = self._moving(reference)
            return View(view.value, (self.count, *view.shape), (step, *view.strides), view.offset)
        seen, index = reference.view, reference.item
        before = isinstance(reference, Before)
        whole = self._stacked(index, "previous") if before else self.every(index)
        step = size_of(whole.shape[1:])
        shape, strides = (self.count, *seen.shape), (step, *seen.strides)
        return View(whole.value, shape, strides, whole.offset + seen.offset)

    # -- all steps at once -------------------------------------------------------------------------

    def _made(self, index: int) -> View:
        """A value at all steps, by one operation."""
        value, builder = self.body[index], self.builder
        builder.place = value.place
        operands = [self._over_steps(reference) for reference in self.references[index]]
        shape = (self.count, *value.shape)
        if value.op in ELEMENTWISE or value.op in ROWS or value.op == "copy":
            return builder.make(value.op, operands, shape, value.dtype, value.options)
        first = operands[0]
        assert isinstance(first, View)
        if value.op == "matmul":
            return self._product(index, first, operands[1])
        if value.op == "total":
            flat = builder.reshape(first, (self.count, math.prod(first.shape[1:])))
            return builder.reshape(
                builder.make("row_sum", [flat], (self.count, 1), value.dtype), (self.count,)
            )
        if value.op == "lead_sum":
            (axes,) = value.options
            turned = first.seen_through(lambda dummy: np.moveaxis(dummy, 0, axes))
            return builder.make("lead_sum", [turned], shape, value.dtype, (axes,))
        if value.op == "gather":
            table = self._outside(self.references[index][0].view)  # type: ignore[union-attr]
            (numbers,) = (o for o in operands[1:] if isinstance(o, View))
            return builder.make("gather", [table, builder.copied(numbers)], shape, value.dtype)
        size = value.size
        places = tuple(((size, *strides), offset) for strides, offset in value.options)
        return builder.make("assemble", operands, shape, value.dtype, places)

    def _product(self, index: int, a: View, b: Operand) -> View:
        right = self.references[index][1]
        if isinstance(right, Fixed) and len(right.view.shape) == 2:
            b = self._outside(right.view)
        assert isinstance(b, View)
        return self.builder.matmul(a, b)

    def _total(self, index: int) -> View:
        """The last value of a sum."""
        if index not in self._totals:
            found = self.plan.sums[index]
            result = self._outside(found.before.initial)
            shape = self.body[index].shape
            for term in found.terms:
                added = self.added_up(term, shape)
                result = self.builder.elementwise("add", added, result)
            assert isinstance(result, View)
            self._totals[index] = self.builder.copied(result)
        return self._totals[index]

    def added_up(self, term: Reference, shape: tuple[int, ...]) -> View:
        """The sum over all steps."""
        builder = self.builder
        joined = self._joined_product(term)
        if joined is not None:
            return joined
        if isinstance(term, Here) and term.view.whole and term.item not in self.plan.looped:
            value, row = self.body[term.item], self.references[term.item]
            operands = [self._over_steps(reference) for reference in row]
            builder.place = value.place
            if value.op == "lead_sum":
                axes = value.options[0] + 1
                return builder.make("lead_sum", operands, shape, value.dtype, (axes,))
            elif value.op == "total":
                return builder.make("total", operands, (), value.dtype)
        view = self._over_steps(term)
        if not isinstance(view, View):
            raise Irregular("a number is added at every step")
        return builder.reduce("sum", view, (0,), keepdims=False)

    def _joined_product(self, term: Reference) -> View | None:
        """The sum of products as one product, where rows of all steps can be walked as one axis.

        Of products that are read transposed, as gradients of weights that are, too.
        """
        if not isinstance(term, Here) or term.item in self.plan.looped or term.item in self._whole:
            return None
        value = self.body[term.item]
        turned = term.view.key[1:] == View(value).seen_through(np.transpose).key[1:]
        if value.op != "matmul" or len(value.shape) != 2 or not (term.view.whole or turned):
            return None
        a, b = (self._over_steps(reference) for reference in self.references[term.item])
        assert isinstance(a, View)
        assert isinstance(b, View)
        self.builder.place = value.place
        count, m, k = a.shape
        n = b.shape[-1]
        try:
            left = a.seen_through(lambda d: reshape_view(d.transpose(1, 0, 2), (m, count * k)))
            right = b.seen_through(lambda d: reshape_view(d, (count * k, n)))
        except ValueError:
            return None
        if turned and not term.view.whole:
            left, right = (v.seen_through(np.transpose) for v in (right, left))
        return self.builder.matmul(left, right)

    # -- the loop ----------------------------------------------------------------------------------

    def _make_loop(self) -> None:
        loop = self.loop = Loop(self.count, self.down)
        entering: dict[tuple[object, ...], View] = {}
        order = sorted(self.plan.looped)
        carried: dict[int, list[Before]] = {}
        for row in self.references:
            for reference in row:
                if isinstance(reference, Before) and reference.item in self.plan.looped:
                    carried.setdefault(reference.item, []).append(reference)
        for index in order:  # operands refer to them before they are whole
            value = self.body[index]
            made = Value(value.op, (), value.shape, value.dtype, value.options, place=value.place)
            self._inner[index] = made
        for index, reads in carried.items():
            value = self._inner[index]
            initial = self._begins.get(index) or self._initial(reads, value)
            loop.initial[value] = initial
            entering[initial.key] = initial
            self._previous[index] = Value("previous", (), value.shape, value.dtype, (value,))
        for index in order:
            made = self._inner[index]
            made.operands = tuple(self._operand(r, entering) for r in self.references[index])
            loop.body.append(made)
        node = self.builder.make("loop", entering.values(), (), bool, (loop,))
        self._node = node.value

    def _initial(self, reads: Sequence[Before], value: Value) -> View:
        """What the first step finds in the place of a value of the step before."""
        first, seen = reads[0].initial, reads[0].view
        in_order = seen.strides == contiguous(seen.shape) and size_of(seen.shape) == value.size
        if isinstance(first, View) and not in_order:
            first = _as_it_is_read(reads, value)
        initial = self._outside(first)
        if isinstance(initial, View):
            return self.builder.reshape(initial, value.shape)
        initial = self.builder.constant(np.asarray(initial, value.dtype))
        return initial.broadcast(value.shape)

    def _operand(self, reference: Reference, entering: dict[tuple[object, ...], View]) -> Operand:
        """What a value in the loop reads."""
        if isinstance(reference, Number):
            return reference.number
        if isinstance(reference, Fixed):
            view = self._outside(reference.view)
            assert isinstance(view, View)
            entering[view.key] = view
            return view
        if isinstance(reference, Before):
            return reference.view.of(self._previous[reference.item])
        if isinstance(reference, Here) and reference.item in self.plan.looped:
            return reference.view.of(self._inner[reference.item])
        if isinstance(reference, Here):
            whole = self.every(reference.item)
            seen, step = reference.view, size_of(whole.shape[1:])
            view = View(whole.value, seen.shape, seen.strides, whole.offset + seen.offset)
        else:
            view, step = self._moving(reference)
        key = (*view.key, step)
        if key not in self._read:
            entering[view.key] = view
            value = Value("moving", [view], view.shape, view.dtype, (step,))
            self._read[key] = View(value)
        return self._read[key]


def _shifted(view: View, offset: int) -> View:
    return View(view.value, view.shape, view.strides, view.offset + offset)


def is_dense(view: View) -> bool:
    """Whether a view is all of a value, perhaps in another shape."""
    return (
        not view.offset
        and size_of(view.shape) == view.value.size
        and view.strides == contiguous(view.shape)
    )


def _as_it_is_read(reads: Sequence[Before], value: Value) -> View:
    """The view of what the first step reads that has each element where a later step finds it.

    Steps may read a value turned, repeated or in parts.

    Raises:
        Irregular: there is none, or some element is never read.
    """
    source = reads[0].initial
    assert isinstance(source, View)
    found = np.full(value.size, -1)
    for read in reads:
        assert isinstance(read.initial, View)
        places, come = elements_of(read.view), elements_of(read.initial)
        found[places] = come
        if (found[places] != come).any():
            raise Irregular("the first step reads several things in the place of one")
    found = found.reshape(value.shape)
    corner = (0,) * found.ndim
    moves = (
        found[(*corner[:axis], 1, *corner[axis + 1 :])] - found[corner] if length > 1 else 0
        for axis, length in enumerate(value.shape)
    )
    view = View(source.value, value.shape, tuple(map(int, moves)), int(found[corner]))
    if (found < 0).any() or (elements_of(view) != found).any():
        raise Irregular("a part of the value before is carried")
    return view
