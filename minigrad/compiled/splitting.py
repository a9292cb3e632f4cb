"""A traced call as two graphs: the forward pass, and the backward pass that continues from it.

What depends on the gradients that arrive is backward. Of what it reads, the values that the
forward pass computes anyway are its residuals; the rest it computes from those again. Residuals of
one shape and dtype are packed into one array, so that a thousand steps hand over a few arrays.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.compiled.graph import Graph, Operand, Value, View, contiguous, reachable
from minigrad.compiled.simplify import finish
from minigrad.compiled.tracing.builder import Builder, blank

__all__ = ["Halves", "split", "without_seeds"]


_MOVES = frozenset(("copy", "convert", "negative", "add", "subtract", "assemble"))
_MOVES |= {"row_sum", "lead_sum", "total"}


class Halves(NamedTuple):
    """Both graphs.

    Attributes:
        forward: its outputs are those asked for, then the packed residuals.
        backward: its inputs are those of the forward graph, the seeds, and the residuals.
        residuals: how many arrays of residuals there are.
    """

    forward: Graph
    backward: Graph
    residuals: int


def split(
    builder: Builder,
    inputs: Sequence[Value],
    outputs: Sequence[View],
    seeds: Sequence[Value],
    gradients: Sequence[View],
    pack: bool = True,
) -> Halves:
    """Split a traced call.

    Args:
        builder: which made its values.
        inputs: what the call was given.
        outputs: what the forward pass returns.
        seeds: the gradients of outputs that arrive.
        gradients: what the backward pass returns.
        pack: whether residuals of one shape and dtype become one array.
    """
    before = set(reachable(builder.values, outputs))
    after = reachable(builder.values, gradients)
    seeded = set(seeds)
    for value in after:
        if any(view.value in seeded for view in value.views):
            seeded.add(value)
    residuals = _residuals(after, gradients, before, seeded)
    groups: dict[Any, list[Value]] = {}
    for value in residuals:
        # What a kernel hands over is no array of numbers.
        alone = not pack or value.dtype == object
        groups.setdefault(value if alone else (value.shape, value.dtype.str), []).append(value)
    packed = [_pack(builder, group) for group in groups.values()]
    # Inputs of its own, since a value is one argument of one program.
    taken = [Value("input", (), value.shape, value.dtype, (-1,)) for value in inputs]
    moved = {value: View(new) for value, new in zip(inputs, taken, strict=True)}
    held: list[Value] = []
    for view, group in zip(packed, groups.values(), strict=True):
        entry = Value("input", (), view.shape, view.dtype, (-1,))
        held.append(entry)
        for i, value in enumerate(group):
            moved[value] = View(entry, value.shape, contiguous(value.shape), i * value.size)
    second = Builder()
    for value in after:
        if value not in moved and (value in seeded or value not in before or value.op == "call"):
            second.place = value.place
            operands = [_read(operand, moved) for operand in value.operands]
            made = second.make(value.op, operands, value.shape, value.dtype, value.options)
            moved[value] = made
    return Halves(
        finish(builder, inputs, [*outputs, *packed]),
        finish(second, [*taken, *seeds, *held], [_read(view, moved) for view in gradients]),
        len(packed),
    )


class Fewer(NamedTuple):
    """A backward graph for calls in which the gradients of some outputs do not arrive.

    Attributes:
        graph: its inputs are those of the whole one, but for the missing seeds.
        kept: the numbers of the outputs that it has.
        harmless: whether the whole graph gives the same, if zeros stand for the missing seeds: they
            reach nothing by themselves, and are multiplied by nothing.
    """

    graph: Graph
    kept: list[int]
    harmless: bool


def without_seeds(graph: Graph, seeds: Sequence[Value], missing: Sequence[Value]) -> Fewer:
    """The backward graph from some gradients alone.

    It is linear in its seeds, so what only missing ones reach is zero. That is left out, rather
    than computed from zeros: times the infinite slope of an output that nobody reads, they are NaN.

    Args:
        graph: for all seeds.
        seeds: those among its inputs.
        missing: the seeds that do not arrive.
    """
    some = _SomeSeeds(graph, set(seeds), set(missing))
    for value in graph.values:
        some.add(value)
    kept = [i for i, view in enumerate(graph.outputs) if view.value not in some.zero]
    outputs = [_read(graph.outputs[i], some.moved) for i in kept]
    harmless = len(kept) == len(graph.outputs) and all(map(_only_moves, some.zero))
    return Fewer(finish(some.builder, some.inputs, outputs), kept, harmless)


def _only_moves(value: Value) -> bool:
    """Whether a value that reads zeros alone is zero, whatever else there is."""
    return not value.operands or value.op in _MOVES


class _SomeSeeds:
    """Makes the values of a backward graph again, but for those that are zero.

    Attributes:
        inputs: those of the new graph.
        zero: what only missing seeds reach.
        reached: what the other ones reach.
        moved: what stands for each value that is not zero.
    """

    def __init__(self, graph: Graph, seeds: set[Value], missing: set[Value]) -> None:
        left = [value for value in graph.inputs if value not in missing]
        self.inputs = [Value("input", (), value.shape, value.dtype, (-1,)) for value in left]
        self.moved = dict(zip(left, map(View, self.inputs), strict=True))
        self.zero, self.reached = set(missing), seeds - missing
        self.builder = Builder()

    def add(self, value: Value) -> None:
        """Make a value again, unless it is zero."""
        self.builder.place = value.place
        views = [view.value for view in value.views]
        gone = not self.zero.isdisjoint(views)
        if not self.reached.isdisjoint(views):
            self.reached.add(value)
            made = self._without_zeros(value) if gone else None
        elif gone:
            self.zero.add(value)
            return
        else:
            made = None
        if made is None:
            operands = [self._read(operand) for operand in value.operands]
            options = value.options
            made = self.builder.make(value.op, operands, value.shape, value.dtype, options)
        self.moved[value] = made

    def _without_zeros(self, value: Value) -> View | None:
        """A sum without the terms that are zero; None for what is no sum."""
        gone = [isinstance(o, View) and o.value in self.zero for o in value.operands]
        left = [_read(o, self.moved) for o, g in zip(value.operands, gone, strict=True) if not g]
        if value.op == "assemble":
            places = tuple(p for p, g in zip(value.options, gone, strict=True) if not g)
            return self.builder.make("assemble", left, value.shape, value.dtype, places)
        if value.op == "add" or (value.op == "subtract" and gone[1]):
            return self.builder.copied(left[0])
        if value.op == "subtract":
            return self.builder.elementwise("negative", left[0])
        return None

    def _read(self, operand: Operand) -> Any:
        """An operand; zeros, where something else than a sum reads them."""
        if isinstance(operand, View) and operand.value in self.zero:
            return self.builder.constant(np.zeros((), operand.dtype)).broadcast(operand.shape)
        return _read(operand, self.moved)


def _residuals(
    after: Sequence[Value], gradients: Sequence[View], before: set[Value], seeded: set[Value]
) -> list[Value]:
    """The values of the forward pass that the backward pass reads, in order."""
    found: dict[Value, None] = {}
    needed = {view.value for view in gradients}
    for value in reversed(after):
        if value not in needed:
            continue
        if value in before and value not in seeded and value.op != "call":
            found[value] = None
        else:
            needed.update(view.value for view in value.views)
    return sorted(found, key=lambda value: value.number)


def _pack(builder: Builder, group: Sequence[Value]) -> View:
    """All values of a group in one array."""
    first = group[0]
    if len(group) == 1:
        return View(first)
    shape = (len(group), *first.shape)
    whole, parts = blank(shape, first.dtype), []
    for i, value in enumerate(group):
        place = View(whole.value, first.shape, contiguous(first.shape), i * first.size)
        parts.append((View(value), place))
    return builder.joined(parts, shape)


def _read(operand: Operand, moved: dict[Value, View]) -> Any:
    """A read of a value that is kept elsewhere now; a kept value is contiguous."""
    if not isinstance(operand, View):
        return operand
    new = moved.get(operand.value)
    if new is None:
        return operand
    return View(new.value, operand.shape, operand.strides, new.offset + operand.offset)
