"""Sequences: which call of a cell is the next step after which other call.

A call of a cell is a scope in which states were labelled, or a run of labels where one scope holds
several steps. It is the next step of a sequence exactly when the state that it was given comes from
the state that an earlier call of the same cell made. Otherwise it begins a sequence: so one cell
that is applied to two sequences, or whose weights are shared over depth, has lanes for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.core.nodes import Node
from minigrad.debug.scopes import Scope
from minigrad.draw.reading.measure import pass_through, reaches

__all__ = ["Call", "Chain", "Label", "chains_of", "labels_of"]


class Label(NamedTuple):
    """One state on a tape.

    Attributes:
        node: the node that made it.
        state: its name.
        scope: of the call that made it; None where no scope encloses it.
        before: the nodes that it was made from, if known; else None.
    """

    node: Node
    state: str
    scope: Scope | None
    before: tuple[Node, ...] | None


class Call:
    """One step of a cell.

    Attributes:
        scope: of the call; None outside of all scopes.
        identity: of the module that was called.
        states: the nodes of the states that it made, by name.
        given: the nodes of the states that it was given, if all are known; else None.
        chain: the sequence that it is a step of.
        time: its place on the time line of the picture, set by `minigrad.draw.reading.tape_states`.
    """

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope
        self.identity: Any = None if scope is None else scope.identity
        self.states: dict[str, Node] = {}
        self.given: list[Node] | None = []
        self.chain: Chain
        self.time = 0

    @property
    def number(self) -> int:
        """When its first state was made."""
        return next(iter(self.states.values())).number

    @property
    def last_number(self) -> int:
        """When its last state was made."""
        return max(node.number for node in self.states.values())

    @property
    def step(self) -> int | None:
        """The time step that was given to the call, or its number within the parent."""
        return None if self.scope is None else self.scope.time_step

    @property
    def outer_step(self) -> int | None:
        """The time step of the outermost scope that has one."""
        parts = () if self.scope is None else self.scope.chain()
        given = (part.given_step for part in parts)
        counted = (part.step for part in parts)
        return next((step for step in (*given, *counted) if step is not None), None)

    @property
    def loop(self) -> Scope | None:
        """The scope around the time steps that the call is one of."""
        timed = None if self.scope is None else self.scope.timed
        return None if timed is None else timed.parent


class Chain:
    """The calls of one sequence, in the order in which they ran.

    Attributes:
        calls: the steps.
        after: the call of another sequence whose state this one begins with, or None.
    """

    def __init__(self, first: Call) -> None:
        self.calls = [first]
        self.after: Call | None = None

    @property
    def identity(self) -> Any:
        """The identity of the module that was called."""
        return self.calls[0].identity

    def own_steps(self) -> tuple[list[int], bool]:
        """The number of each step, and whether it was given; else it is the place in the sequence.

        Numbers count as given if they rise or fall throughout. Those of a layer start again in each
        of its calls; then those of the loop around it are used.
        """
        for steps in ([c.step for c in self.calls], [c.outer_step for c in self.calls]):
            known = [step for step in steps if step is not None]
            pairs = list(pairwise(known))
            if len(known) == len(steps) and (
                all(a < b for a, b in pairs) or all(a > b for a, b in pairs)
            ):
                return known, True
        return list(range(len(self.calls))), False


def labels_of(nodes: Iterable[Node]) -> list[Label]:
    """The states that were labelled on a tape, in the order in which they were made."""
    found = []
    for node in nodes:
        scope = node.scope
        if scope is not None and scope.state:
            origin = scope.origin
            outside = origin.parent is None and not origin.name and origin.given_step is None
            found.append(Label(node, scope.state, None if outside else origin, scope.before))
    return found


def chains_of(labels: Sequence[Label]) -> list[Chain]:
    """The sequences of all cells, in the order in which they began."""
    calls = _calls(labels)
    owner = {node: call for call in calls for node in call.states.values()}
    firsts: dict[Any, int] = {}
    for call in calls:
        firsts.setdefault(call.identity, call.number)
    chains: list[Chain] = []
    tails: dict[Call, Chain] = {}  # the last step of each sequence
    for call in calls:
        before = _before(call, owner, firsts)
        own = [c for c in before if c.identity == call.identity]
        if before and not own:
            own = _around(call, before, calls)
        previous = _previous(call, own)
        if previous in tails and previous is not None:
            chain = tails.pop(previous)
            chain.calls.append(call)
        else:
            chain = Chain(call)
            chain.after = previous or max(before, key=lambda c: c.number, default=None)
            chains.append(chain)
        call.chain = chain
        tails[call] = chain
    return _joined(chains)


def _calls(labels: Sequence[Label]) -> list[Call]:
    """The calls that made the states: in one scope, a repeated name begins the next call."""
    calls: list[Call] = []
    latest: dict[Scope | None, Call] = {}
    for label in labels:
        call = latest.get(label.scope)
        if call is None or label.state in call.states:
            call = latest[label.scope] = Call(label.scope)
            calls.append(call)
        call.states[label.state] = label.node
        if label.before is None:
            call.given = None
        elif call.given is not None:
            call.given += label.before
    return calls


def _before(call: Call, owner: dict[Node, Call], firsts: dict[Any, int]) -> list[Call]:
    """The calls whose states a call was given, or, where that is unknown, that it reads."""
    told = call.given is not None
    start = list(call.given if call.given is not None else call.states.values())
    first = min(firsts.values()) if told else firsts[call.identity]
    found: dict[Call, None] = {}
    seen: set[Node] = set()
    stack = start[::-1]
    while stack:
        node = stack.pop()
        node = node if node in owner else pass_through(node)
        if node in seen or node.number < first:
            continue
        seen.add(node)
        if node in owner and owner[node] is not call:
            found[owner[node]] = None
        else:
            stack += [source for source in node.inputs if source is not None]
    return list(found)


def _around(call: Call, before: Sequence[Call], calls: Sequence[Call]) -> list[Call]:
    """The previous call of the same cell, where its state went through other cells in between.

    So it is in a loop in which every cell is called once a step and hands its state to the next
    one. A cell that ran for several steps in between is another sequence, such as a decoder.
    """
    between: list[Any] = []
    previous = None
    for earlier in reversed(calls[: calls.index(call)]):
        if earlier.identity == call.identity:
            previous = earlier
            break
        between.append(earlier.identity)
    if previous is None or len(set(between)) < len(between):
        return []
    starts = [node for other in before for node in other.states.values()]
    return [previous] if reaches(starts, set(previous.states.values())) else []


def _previous(call: Call, candidates: Sequence[Call]) -> Call | None:
    """Which of the calls of the same cell that a call reads is the step before it."""
    if call.given is None and len(candidates) > 1:
        # One that runs at the same time step is another sequence, such as the layer below.
        apart = [c for c in candidates if c.step is None or c.step != call.step]
        candidates = apart or candidates
    elif call.given is None and candidates:
        (only,) = candidates
        if only.step is not None and only.step == call.step and only.loop is call.loop:
            return None
    return max(candidates, key=lambda c: c.number, default=None)


def _joined(chains: list[Chain]) -> list[Chain]:
    """Merge sequences that the time steps show to be one whose state was detached.

    The cell goes on in the same loop, at the step after, where a sequence of its own ended.
    """
    ended: dict[Any, list[Chain]] = defaultdict(list)
    kept: list[Chain] = []
    for chain in chains:
        first = chain.calls[0]
        joined = None
        if chain.after is None and first.step is not None:
            for other in ended[chain.identity]:
                last = other.calls[-1]
                steps = [c.step for c in other.calls[-2:]]
                down = len(steps) == 2 and None not in steps and steps[0] > steps[1]  # type: ignore[operator]
                onward = last.step is not None and first.step == last.step + (-1 if down else 1)
                if onward and last.loop is first.loop and last.number < first.number:
                    joined = other
                    break
        if joined is None:
            kept.append(chain)
            ended[chain.identity].append(chain)
        else:
            for call in chain.calls:
                call.chain = joined
            joined.calls += chain.calls
    return kept
