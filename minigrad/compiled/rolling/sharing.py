"""Loops that keep less of their steps.

What is kept twice, by itself and as a part of an array, is kept once: the gradients of gates are
such, all of which are one operand of a product, and some are read alone. And of what is read
outside in some of its columns, these alone are kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from minigrad.compiled.graph import (
    ELEMENTWISE,
    Graph,
    Loop,
    Operand,
    Unsupported,
    Value,
    View,
    contiguous,
    everything,
    reachable,
)

__all__ = ["seen_in", "share_stacks", "trim_stacks"]


def seen_in(view: View, part: View) -> View:
    """A read of a value that is a part of another one, as a read of that.

    Raises:
        Unsupported: when it has no strides there.
    """
    offset, strides = view.within(part.strides)
    return View(part.value, view.shape, strides, part.offset + offset)


def share_stacks(graph: Graph) -> Graph:
    """The graph, in which parts of what loops keep are read there, where that is possible.

    Args:
        graph: with loops, which nobody else has yet: its values are changed.
    """
    returned = {view.value for view in graph.outputs}
    for loop, inner, part in list(_kept_twice(graph.values)):
        stack = loop.stacked[inner]
        if stack not in returned and _moved(graph, stack, partial(seen_in, part=part)):
            del loop.stacked[inner]
    values = reachable(_stacks_first(graph.values), graph.outputs)
    return Graph(graph.inputs, values, graph.outputs)


def trim_stacks(graph: Graph) -> Graph:
    """The graph, in which loops keep those columns alone that are read, if these are half or less.

    Args:
        graph: as in `share_stacks`.
    """
    returned = {view.value for view in graph.outputs}
    for node in [value for value in graph.values if value.op == "loop"]:
        loop: Loop = node.options[0]
        for inner, stack in list(loop.stacked.items()):
            if not inner.shape:
                continue
            first, last = _columns(graph.values, stack)
            width = last - first
            if stack in returned or inner in loop.initial or not 0 < 2 * width <= stack.shape[-1]:
                continue
            shape = (*inner.shape[:-1], width)
            columns = View(inner, shape, contiguous(inner.shape), first)
            kept = Value("copy", [columns], shape, inner.dtype, place=inner.place)
            steps = Value("stack", stack.operands, (loop.count + 1, *shape), inner.dtype, (kept,))
            if _moved(graph, stack, partial(_narrowed, first=first, kept=steps)):
                graph.values[graph.values.index(stack)] = steps
                loop.body.insert(loop.body.index(inner) + 1, kept)
                del loop.stacked[inner]
                loop.stacked[kept] = steps
    return graph


def _stacks_first(values: Iterable[Value]) -> Iterator[Value]:
    """The values, with what loops keep right after them: it may now be read earlier than before."""
    for value in values:
        if value.op != "stack":
            yield value
        if value.op == "loop":
            yield from value.options[0].stacked.values()


def _loops(values: Iterable[Value]) -> Iterator[Loop]:
    return (value.options[0] for value in values if value.op == "loop")


def _kept_twice(values: Iterable[Value]) -> Iterator[tuple[Loop, Value, View]]:
    """Values all of whose steps are kept, by themselves and in an array that they are part of: the
    loop, the value, and where in those arrays its steps are."""
    for loop in _loops(values):
        met: set[Value] = set()
        for whole in loop.body:
            if whole.op != "assemble" or whole not in loop.stacked:
                continue
            for view, (strides, offset) in zip(whole.views, whole.options, strict=True):
                inner = view.value
                free = inner in loop.stacked and inner not in loop.initial and inner not in met
                if free and view.whole and inner.op in ELEMENTWISE and inner.dtype == whole.dtype:
                    met.add(inner)
                    shape = loop.stacked[inner].shape
                    steps = loop.stacked[whole]
                    yield loop, inner, View(steps, shape, (whole.size, *strides), offset)


def _columns(values: Sequence[Value], stack: Value) -> tuple[int, int]:
    """The first of the columns that are read of a stack, and the one after the last."""
    first, last, length = stack.shape[-1], 0, stack.shape[-1]
    views = [view for value in everything(values) for view in value.views]
    views += [view for loop in _loops(values) for view in loop.initial.values()]
    for view in views:
        if view.value is stack and 0 not in view.shape:
            moves = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if s % length]
            if any(stride < 0 for _, stride in moves):
                return 0, length
            first = min(first, view.offset % length)
            last = max(last, view.offset % length + sum((n - 1) * s for n, s in moves) + 1)
    return first, last


def _narrowed(view: View, first: int, kept: Value) -> View:
    """A read of some columns of a stack, where these alone are kept.

    Raises:
        Unsupported: when it goes across them.
    """
    shifted = View(view.value, view.shape, view.strides, view.offset - first)
    offset, strides = shifted.within(contiguous(kept.shape))
    return View(kept, view.shape, strides, offset)


def _moved(graph: Graph, stack: Value, read: Callable[[View], View]) -> bool:
    """Have all steps of a value read elsewhere, if all that reads them can."""
    loops = list(_loops(graph.values))
    try:
        changes = list(_changes(graph.values, stack, read))
        initial = [
            {v: read(view) if view.value is stack else view for v, view in loop.initial.items()}
            for loop in loops
        ]
    except Unsupported:
        return False
    for value, operands, options in changes:
        value.operands, value.options = operands, options
    for loop, views in zip(loops, initial, strict=True):
        loop.initial = views
    return True


def _changes(
    values: Sequence[Value], stack: Value, read: Callable[[View], View]
) -> Iterator[tuple[Value, tuple[Operand, ...], tuple[Any, ...]]]:
    """What reads a stack, with its operands and options once it reads elsewhere.

    Raises:
        Unsupported: where that cannot be.
    """
    counts = {
        view.value: loop.count for loop in _loops(values) for v in loop.body for view in v.views
    }
    for value in everything(values):
        if all(view.value is not stack for view in value.views):
            continue
        if value.op != "moving":
            operands = [
                read(o) if isinstance(o, View) and o.value is stack else o for o in value.operands
            ]
            yield value, tuple(operands), value.options
            continue
        (view,), (step,) = value.views, value.options
        shape, strides = (counts[value], *view.shape), (step, *view.strides)
        seen = read(View(stack, shape, strides, view.offset))
        first = View(seen.value, view.shape, seen.strides[1:], seen.offset)
        yield value, (first,), (seen.strides[0],)
