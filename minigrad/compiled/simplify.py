"""Rewrite what a straight recording leaves behind.

Sums of arrays that are zero outside of one place become one `assemble`, as the gradient of what is
read piece by piece; a product that is only read transposed becomes the product of the transposed
operands; and what turned out to be constant only after the trace is folded and shared now.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import (
    ELEMENTWISE,
    Graph,
    Operand,
    Value,
    View,
    reachable,
    size_of,
)
from minigrad.compiled.tracing.builder import Builder, read

__all__ = ["finish"]

_FORMULAS = ELEMENTWISE - {"copy", "convert"}


def finish(builder: Builder, inputs: Sequence[Value], outputs: Sequence[View]) -> Graph:
    """The graph of some outputs, rewritten.

    Args:
        builder: which made the values.
        inputs: those that are arguments, in order.
        outputs: what to return; copied where they are parts of values.
    """
    whole = [builder.copied(view) for view in outputs]
    order = reachable(builder.values, whole)
    rewriting = _Rewriting(order, whole)
    for value in order:
        rewriting.add(value)
    moved = [rewriting.builder.copied(rewriting.read(view)) for view in whole]
    numbers = {value: i for i, value in enumerate(inputs)}
    for value in numbers:
        value.options = (numbers[value],)
    return Graph(inputs, reachable(rewriting.builder.values, moved), moved)


class _Rewriting:
    """Makes the values of a graph again, some of them in another form."""

    def __init__(self, order: Sequence[Value], outputs: Sequence[View]) -> None:
        self.builder = Builder()
        self._new: dict[Value, View] = {}
        self._uses: dict[Value, list[View]] = {}
        operands = itertools.chain.from_iterable(value.operands for value in order)
        for view in itertools.chain(operands, outputs):
            if isinstance(view, View):
                self._uses.setdefault(view.value, []).append(view)
        self._summing: dict[Value, bool] = {}  # whether a value is a sum of parts
        self._sums: set[Value] = set()  # those that become one array
        self._absorbed = self._sums_of_parts(order)
        self._turned = {value for value in order if self._is_turned(value)}

    def read(self, view: View) -> View:
        """A view of the old graph in the new one."""
        new = self._new.get(view.value)
        if new is None:
            array = view.value.array
            if array is None or array.size > 1:
                return view
            return view.of(self.builder.kept(array).value)
        if view.value in self._turned:
            return new
        if new.value.size == 1:  # a number repeated, and so is every part of it
            return View(new.value, view.shape, (0,) * len(view.shape))
        return view.of(new.value) if new.whole else view.of(self.builder.copied(new).value)

    def add(self, value: Value) -> None:
        """Make a value again."""
        if value in self._absorbed:
            return
        self.builder.place = value.place
        made = self._sum(value)
        if value in self._turned:
            b, a = (self.read(view).seen_through(np.transpose) for view in value.views)
            made = self.builder.make("matmul", [a, b], value.shape[::-1], value.dtype)
        elif value.op == "copy":
            made = self.builder.copied(self.read(next(value.views)))
        elif made is None:
            operands = [self.read(o) if isinstance(o, View) else o for o in value.operands]
            if value.op in _FORMULAS and any(map(_may_fold, operands)):
                made = self.builder.elementwise(value.op, *operands, dtype=value.dtype)
            else:
                made = self.builder.make(
                    value.op, operands, value.shape, value.dtype, value.options
                )
        self._new[value] = made

    # -- sums of arrays that are zero but for a part ------------------------------------------

    def _sums_of_parts(self, order: Sequence[Value]) -> set[Value]:
        """Find the sums that become one array; returns what vanishes in them.

        An array of parts may be read by several sums, as gates that see two products are.
        """
        inner: set[Value] = set()  # sums that are terms of a larger one
        for value in order:
            if self._adds_parts(value):
                inner.update(view.value for view in value.views)
        absorbed: set[Value] = set()
        read: Counter[Value] = Counter()
        for value in reversed(order):
            if value in inner or not self._summing[value]:
                continue
            if self._disjoint(value):
                self._sums.add(value)
                terms = self._sum_tree(value)
                absorbed.update(term for term in terms if term.op == "add")
                read.update(term for term in terms if term.op == "assemble")
            else:  # its terms are tried by themselves; theirs only if these fail, too
                inner.difference_update(view.value for view in value.views)
        return absorbed.union(v for v, times in read.items() if times == len(self._uses[v]))

    def _adds_parts(self, value: Value) -> bool:
        """Whether a value adds arrays of parts, or such sums that nothing else reads; those before
        are known."""
        self._summing[value] = value.op == "add" and all(
            isinstance(o, View)
            and o.whole
            and (
                o.value.op == "assemble"
                or (self._summing.get(o.value, False) and len(self._uses[o.value]) == 1)
            )
            for o in value.operands
        )
        return self._summing[value]

    def _sum_tree(self, value: Value) -> list[Value]:
        """All values below a sum that may vanish in it."""
        found, waiting = [], [value]
        while waiting:
            for view in waiting.pop().views:
                found.append(view.value)
                if view.value.op == "add":
                    waiting.append(view.value)
        return found

    def _leaves(self, value: Value) -> list[tuple[View, Any]]:
        """The parts of all arrays that a sum adds up, in order."""
        found: list[tuple[View, Any]] = []
        waiting = [value]
        while waiting:
            top = waiting.pop()
            if top.op == "assemble":
                found.extend(zip(top.views, top.options, strict=True))
            else:
                waiting.extend(reversed([view.value for view in top.views]))
        return found

    def _disjoint(self, value: Value) -> bool:
        """Whether no two parts of a sum meet, so that nothing is left to add."""
        parts = self._leaves(value)
        if sum(size_of(view.shape) for view, _ in parts) > value.size:
            return False
        taken = np.zeros(value.size, bool)
        for view, (strides, offset) in parts:
            place = read(taken, View(value, view.shape, strides, offset))
            if place.any():
                return False
            place[...] = True
        return True

    def _sum(self, value: Value) -> View | None:
        """The one array that a sum of parts is."""
        if value not in self._sums:
            return None
        parts = self._leaves(value)
        operands = [self.read(view) for view, _ in parts]
        places = tuple(place for _, place in parts)
        return self.builder.make("assemble", operands, value.shape, value.dtype, places)

    # -- products that are read transposed ----------------------------------------------------

    def _is_turned(self, value: Value) -> bool:
        """Whether a product is only read transposed, so that the transposed one is better made."""
        if value.op != "matmul" or len(value.shape) != 2:
            return False
        shape, strides = value.shape[::-1], (1, value.shape[1])
        return all(
            view.shape == shape and view.strides == strides and not view.offset
            for view in self._uses[value]
        )


def _may_fold(operand: Operand) -> bool:
    """Whether an operand is, or may have become, a number."""
    return isinstance(operand, View) and (operand.value.op == "constant" or operand.value.size == 1)
