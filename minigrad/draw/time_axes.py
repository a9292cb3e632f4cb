"""Time axes: which sequences run side by side, and which one begins where another has ended.

The layers of a stack, two directions, or two cells in one loop share an axis. A decoder that begins
with what an encoder handed over has an axis of its own, which lies after that of the encoder: so
all steps are in one order, and no arrow of time leads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minigrad.draw.sequences import Call, Chain
from minigrad.nodes import Node

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
    """Give every call its place on one time line, and tell the axes that it is made of."""
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
        if len(other.calls) != len(chain.calls) and _depends(chain, other):
            return None, axis
    return next(reversed(home.values()), None), None


def _depends(chain: Chain, other: Chain) -> bool:
    """Whether the last step of a sequence reads, by any way, a state of another one."""
    targets = {node for call in other.calls for node in call.states.values()}
    first = min(node.number for node in targets)
    seen: set[Node] = set()
    stack = list(chain.calls[-1].states.values())
    while stack:
        for source in stack.pop().inputs:
            if source in targets:
                return True
            if source is not None and source.number > first and source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _steps_of(axis: TimeAxis) -> dict[Chain, list[int]]:
    """The number of each step of each sequence, on their own axis."""
    found: dict[Chain, list[int]] = {}
    counted: list[Chain] = []
    for chain in axis.chains:
        own, given = chain.own_steps()
        found[chain] = own
        if not given:
            counted.append(chain)
    lengths = {len(chain.calls) for chain in axis.chains}
    if len(counted) < len(axis.chains) or len(counted) == 1 or len(lengths) == 1:
        for chain in counted:
            after = chain.after
            if after is not None and after.chain in found and after.chain is not chain:
                start = found[after.chain][after.chain.calls.index(after)] + 1
                found[chain] = [start + place for place in range(len(chain.calls))]
        return found
    # Nothing but their order tells how the steps of such sequences lie to each other.
    calls = sorted((call for chain in counted for call in chain.calls), key=lambda c: c.number)
    owner = {node: call for call in calls for node in call.states.values()}
    times: dict[Call, int] = {}
    latest: dict[Chain, int] = {}
    for call in calls:
        reads = [times[read] for read in _reads(call, owner, calls[0].number)]
        times[call] = max([latest.get(call.chain, -1) + 1, *reads])
        latest[call.chain] = times[call]
    return {chain: [times[call] for call in chain.calls] for chain in counted}


def _reads(call: Call, owner: dict[Node, Call], first: int) -> set[Call]:
    """The calls whose states a call reads without another state on the way."""
    found: set[Call] = set()
    seen: set[Node] = set()
    stack = list(call.states.values())
    while stack:
        for source in stack.pop().inputs:
            if source is None or source in seen or source.number < first:
                continue
            seen.add(source)
            if source not in owner:
                stack.append(source)
            elif owner[source] is not call:
                found.add(owner[source])
            else:
                stack.append(source)
    return found
