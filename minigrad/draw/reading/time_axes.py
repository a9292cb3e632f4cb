"""Time axes: which sequences run side by side, and which one begins where another has ended.

The layers of a stack, two directions, or two cells in one loop share an axis. A decoder that begins
with the state of an encoder has an axis of its own, which lies after that of the encoder: so all
steps have one order, and no arrow leads back in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.core.nodes import Node
from minigrad.draw.reading.measure import picked, reaches
from minigrad.draw.reading.sequences import Call, Chain

__all__ = ["TimeAxis", "lay_axes"]


@dataclass
class TimeAxis:
    """The steps of sequences that run side by side.

    Attributes:
        chains: the sequences.
        offset: what is added to a step of this axis to get its place on the common time line.
        first, last: its ends on the time line.
        after: the axis at the end of which this one begins, or None.
    """

    chains: list[Chain]
    after: TimeAxis | None = None
    offset: int = 0
    first: int = 0
    last: int = 0


def lay_axes(chains: Sequence[Chain]) -> list[TimeAxis]:
    """Set the time of every call on one time line, and return the axes on it."""
    axes: list[TimeAxis] = []
    home: dict[Chain, TimeAxis] = {}  # in the order in which the sequences began
    for chain in chains:
        axis, after = _axis_of(chain, home)
        if axis is None and after is not None:
            axis = next((known for known in reversed(axes) if known.after is after), None)
        if axis is None:
            axis = TimeAxis([], after)
            axes.append(axis)
        axis.chains.append(chain)
        home[chain] = axis
    end = 0
    for number, axis in enumerate(axes):
        steps = _steps_of(axis)
        first = min(min(own) for own in steps.values())
        axis.offset = end - first if number else 0
        for chain, own in steps.items():
            for call, step in zip(chain.calls, own, strict=True):
                call.time = step + axis.offset
        times = [call.time for chain in axis.chains for call in chain.calls]
        axis.first, axis.last = min(times), max(times)
        end = axis.last + 1
    return axes


def _axis_of(chain: Chain, home: dict[Chain, TimeAxis]) -> tuple[TimeAxis | None, TimeAxis | None]:
    """The axis that a sequence shares, or else the one that it comes after, if any."""
    first, last = chain.calls[0].number, chain.calls[-1].number
    for other, axis in home.items():
        if other.calls[0].number < last and first < other.calls[-1].number:
            return axis, None
    if chain.after is not None:
        axis = home[chain.after.chain]
        return (axis, None) if chain.after.identity == chain.identity else (None, axis)
    for other, axis in reversed(home.items()):
        apart = len(other.calls) != len(chain.calls) and _depends(chain, other)
        if apart or _reads_whole(chain, other):
            return None, axis
    return next(reversed(home.values()), None), None


def _depends(chain: Chain, other: Chain) -> bool:
    """Whether the last step of a sequence depends on a state of another one."""
    targets = {node for call in other.calls for node in call.states.values()}
    return reaches(chain.calls[-1].states.values(), targets)


def _reads_whole(chain: Chain, other: Chain) -> bool:
    """Whether the first step of a sequence reads both ends of another one, as attention does.

    A value that was picked out of a series by an index is one step of it, such as `x[:, t]`.
    """
    if len(other.calls) < 2:
        return False
    owner = {node: call for call in other.calls for node in call.states.values()}
    read = _reads(chain.calls[0], owner, other.calls[0].number)
    return other.calls[0] in read and other.calls[-1] in read


def _steps_of(axis: TimeAxis) -> dict[Chain, list[int]]:
    """The number of each step of each sequence, on their own axis."""
    found: dict[Chain, list[int]] = {}
    counted: list[Chain] = []
    for chain in axis.chains:
        own, given = chain.own_steps()
        found[chain] = own
        if not given:
            counted.append(chain)
    for chain in counted:
        after = chain.after
        if after is not None and after.identity == chain.identity and after.chain in found:
            start = found[after.chain][after.chain.calls.index(after)] + 1
            found[chain] = [start + place for place in range(len(chain.calls))]
    if counted and len(axis.chains) > 1:
        return _in_order(found)
    return found


def _in_order(steps: dict[Chain, list[int]]) -> dict[Chain, list[int]]:
    """Steps at which no call reads a later one: those that are given, or else new ones.

    Where counted steps contradict each other, the order follows from what the calls read.
    """
    step_of = {c: t for chain, own in steps.items() for c, t in zip(chain.calls, own, strict=True)}
    calls = sorted(step_of, key=lambda call: call.number)
    owner = {node: call for call in calls for node in call.states.values()}
    reads = {call: _reads(call, owner, calls[0].number) for call in calls}
    if all(step_of[read] <= step_of[call] for call in calls for read in reads[call]):
        return steps
    times: dict[Call, int] = {}
    latest: dict[Chain, int] = {}
    for call in calls:
        known = [times[read] for read in reads[call]]
        times[call] = max([latest.get(call.chain, -1) + 1, *known])
        latest[call.chain] = times[call]
    return {chain: [times[call] for call in chain.calls] for chain in steps}


def _reads(call: Call, owner: dict[Node, Call], first: int) -> set[Call]:
    """The calls whose states a call reads directly.

    An index that picks from a series picks one step of it: which one is known for a stack, and
    others are not followed.

    Args:
        call: that reads.
        owner: the call of each state.
        first: the number on the tape before which there are none.
    """
    found: set[Call] = set()
    seen: set[Node] = set()
    stack = list(call.states.values())
    while stack:
        node = stack.pop()
        one = picked(node)
        if one is None and node.plan.name == "getitem" and _picks(node.params["index"]):
            continue
        for source in node.inputs if one is None else one[:1]:
            if source is None or source in seen or source.number < first:
                continue
            seen.add(source)
            if owner.get(source, call) is call:
                stack.append(source)
            else:
                found.add(owner[source])
    return found


def _picks(index: Any) -> bool:
    """Whether an index takes one step, or a short piece, out of a series."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        isinstance(part, (int, np.integer))
        or (isinstance(part, slice) and part.start is not None and part.stop is not None)
        for part in parts
    )
