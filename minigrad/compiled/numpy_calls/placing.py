"""Where values of a loop's body lie, so that a step takes fewer calls.

Functions of neighbouring parts of one array, as of the gates of a cell, become one function of the
whole array; and what is only computed to be a part of an array is computed in its place.
"""

from collections.abc import Iterable
from typing import NamedTuple

from minigrad.compiled.graph import (
    ELEMENTWISE,
    UNARY,
    Graph,
    Loop,
    Unsupported,
    Value,
    View,
    everything,
)
from minigrad.compiled.rolling.sharing import seen_in

__all__ = ["Placing", "Users", "place_body", "users_of"]

Users = dict[Value, list[View]]


class Placing(NamedTuple):
    """Where the values of a body lie.

    Attributes:
        body: the values to compute, in order.
        stacked: those of which all steps are kept, with the value that holds them.
        parts: values that are parts of other ones.
        carried: those that the next step reads.
    """

    body: list[Value]
    stacked: dict[Value, Value]
    parts: dict[Value, View]
    carried: set[Value]


def users_of(graph: Graph) -> Users:
    """The reads of each value, also by the step after the one that computed it."""
    found: Users = {}
    reads: list[View] = list(graph.outputs)
    for value in everything(graph.values):
        reads.extend(value.views)
        if value.op == "loop":
            reads.extend(value.options[0].initial.values())
    for view in reads:
        value = view.value
        found.setdefault(value.options[0] if value.op == "previous" else value, []).append(view)
    return found


def place_body(loop: Loop, users: Users, returned: set[Value]) -> Placing:
    """Find places for the values of a loop.

    Args:
        loop: as it is; it is not changed.
        users: the reads of all values of the graph; without any, everything stays where it is.
        returned: the outputs of the graph.
    """
    placing = Placing(list(loop.body), dict(loop.stacked), {}, set(loop.initial))
    if not users:
        return placing
    free = [
        v for v in loop.body
        if v.size and loop.stacked.get(v) not in returned
    ]  # fmt: skip
    for members in _siblings(free, set(loop.body)):
        _join(members, loop, users, placing)
    alone = [v for v in free if v not in loop.stacked and v not in loop.initial]
    for value in loop.body:
        if value.op == "assemble":
            _write_in_place(value, alone, users, placing)
    return placing


def _siblings(values: Iterable[Value], body: set[Value]) -> list[list[Value]]:
    """Values of one function that read parts of one value, most of it in all."""
    groups: dict[tuple[str, Value], list[Value]] = {}
    for value in values:
        if value.op in UNARY and value.op != "copy":
            (view,) = value.views
            if view.value in body and 0 not in view.strides:
                groups.setdefault((value.op, view.value), []).append(value)
    return [
        members
        for (_, base), members in groups.items()
        if len(members) > 1 and base.size <= 1.5 * sum(value.size for value in members)
    ]


def _join(members: list[Value], loop: Loop, users: Users, placing: Placing) -> None:
    """Compute one function of a whole array in the place of those of its parts."""
    first = members[0]
    (view,) = first.views
    base = view.value
    joined = Value(first.op, [View(base)], base.shape, base.dtype, place=first.place)
    shape = (loop.count + 1, *base.shape)
    stack = Value("stack", [], shape, base.dtype, (joined,))
    parts: dict[Value, View] = {}
    for value in members:
        (view,) = value.views
        parts[value] = view.of(joined)
        steps = loop.stacked.get(value)
        if steps is not None:
            parts[steps] = View(stack, steps.shape, (base.size, *view.strides), view.offset)
    try:
        for value, part in parts.items():
            for read in users.get(value, []):
                seen_in(read, part)
    except Unsupported:
        return
    placing.body[placing.body.index(first)] = joined
    for value in members:
        if value is not first:
            placing.body.remove(value)
        if value in placing.carried:
            placing.carried.add(joined)
        if placing.stacked.pop(value, None) is not None:
            placing.stacked[joined] = stack
    placing.parts.update(parts)


def _write_in_place(whole: Value, free: list[Value], users: Users, placing: Placing) -> None:
    """Compute the parts of an array where they belong."""
    for view, (strides, offset) in zip(whole.views, whole.options, strict=True):
        value = view.value
        if value not in free or value.op not in ELEMENTWISE or value in placing.parts:
            continue
        reads = users[value]
        part = View(whole, value.shape, strides, offset)
        once = sum(v.value is value for v in whole.views) == 1
        if not view.whole or not once or value.dtype != whole.dtype:
            continue
        try:
            for read in reads:
                seen_in(read, part)
        except Unsupported:
            continue
        placing.parts[value] = part
