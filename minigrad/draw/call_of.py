"""Which step of a cell a node of the tape is a part of, and at which time the others ran."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from minigrad.draw.sequences import Call, Chain
from minigrad.draw.time_axes import TimeAxis
from minigrad.nodes import Leaf, Node
from minigrad.scopes import Scope

__all__ = ["CallOf"]

_SEVERAL: Call = Call(None)


class CallOf:
    """The call of a cell around each node.

    What ran in the scope of a call is a part of it. Where one scope, or none, holds several steps,
    a node belongs to the step whose states it leads to and to no other one's, so that what all
    steps share, such as inputs that were projected at once, stays outside.

    Args:
        nodes: the tape.
        chains: the sequences on it.
    """

    def __init__(self, nodes: Sequence[Node], chains: Sequence[Chain]) -> None:
        self._nodes = nodes
        self.calls = sorted((c for chain in chains for c in chain.calls), key=lambda c: c.number)
        self._of_state = {node: call for call in self.calls for node in call.states.values()}
        scopes: dict[Scope | None, list[Call]] = defaultdict(list)
        for call in self.calls:
            scopes[call.scope].append(call)
        self._single = {scope: calls[0] for scope, calls in scopes.items() if len(calls) == 1}
        self._single.pop(None, None)
        self._shared = scopes.keys() - self._single.keys()
        self._around: dict[Scope | None, Call | None] = {None: None}
        self._step_times = self._times_of_steps()
        self._numbers = [call.last_number for call in self.calls]

    def __call__(self, node: Node) -> Call | None:
        """The call that a node is a part of, or None."""
        call = self._of_state.get(node)
        if call is None and not isinstance(node, Leaf):
            call = self._around_scope(node.scope)
            if call is None and self._shared and self._may_share(node.scope):
                call = self._leads_to(node)
        return call

    def _around_scope(self, scope: Scope | None) -> Call | None:
        passed = []
        while scope is not None and scope not in self._around:
            passed.append(scope)
            call = self._single.get(scope.origin)
            if call is not None:
                self._around[scope] = call
                break
            scope = scope.parent
        found = self._around[scope]
        for inner in passed:
            self._around[inner] = found
        return found

    def _may_share(self, scope: Scope | None) -> bool:
        """Whether a scope around a node holds several steps; none does for those of a module."""
        module = False
        while scope is not None:
            if scope.origin in self._shared:
                return True
            module = module or bool(scope.kind)
            scope = scope.parent
        return None in self._shared and not module

    def leads_to_cells(self, node: Node) -> bool:
        """Whether a step of a cell is computed from a node without another step on the way."""
        return node in self._leading

    def _leads_to(self, node: Node) -> Call | None:
        found = self._leading.get(node)
        return None if found is _SEVERAL else found

    @cached_property
    def _leading(self) -> dict[Node, Call]:
        """The step that each node leads to without another one on the way, if it is one alone."""
        found: dict[Node, Call] = {}
        for reader in reversed(self._nodes):
            target = self._of_state.get(reader) or found.get(reader)
            if target is None:
                continue
            for source in reader.inputs:
                if source is None or source in self._of_state:
                    continue
                if found.setdefault(source, target) is not target:
                    found[source] = _SEVERAL
        return found

    @cached_property
    def _times_in_loops(self) -> dict[Scope, int]:
        """The times of modules that were called several times outside of all scopes.

        Such a call stands beside the step that it reads, or, if it reads none, that it leads to.
        """
        calls = _repeated_outside(self._nodes)
        read: dict[Scope, int] = {}
        led: dict[Scope, int] = {}
        for node in self._nodes:
            scope = None if node.scope is None else node.scope.chain()[0].origin
            if scope is None or scope not in calls:
                continue
            if (time := self._behind.get(node)) is not None:
                read[scope] = max(time, read.get(scope, time))
            if (call := self._leads_to(node)) is not None:
                led[scope] = min(call.time, led.get(scope, call.time))
        return led | read

    @cached_property
    def _behind(self) -> dict[Node, int]:
        """The latest time of the steps that each node reads without another step on the way."""
        found: dict[Node, int] = {}
        for node in self._nodes:
            times = [
                self._of_state[source].time if source in self._of_state else found.get(source)
                for source in node.inputs
                if source is not None
            ]
            known = [time for time in times if time is not None]
            if known:
                found[node] = max(known)
        return found

    def _times_of_steps(self) -> dict[Scope, int]:
        """The time of each scope of a time step in which cells ran, where they agree on it."""
        found: dict[Scope, set[int]] = defaultdict(set)
        for call in self.calls:
            scope = call.scope
            while scope is not None:
                if scope.given_step is not None:
                    found[scope].add(call.time)
                scope = scope.parent
        return {scope: min(times) for scope, times in found.items() if len(times) == 1}

    def around(self, scope: Scope | None) -> Call | None:
        """The call that a scope is within, if it is the scope of a single call."""
        return self._around_scope(scope)

    def time_beside(
        self, node: Node, scope: Scope | None, axis_of: Mapping[Chain, TimeAxis]
    ) -> int | None:
        """The time of what is in no cell: that of the step it ran in, if it ran in one.

        Args:
            node: what ran.
            scope: of the node, or of a call around it whose time is asked for.
            axis_of: the axis of each sequence.
        """
        if scope is None or not self.calls:
            return None if scope is None else scope.time_step
        within: Scope | None = scope
        while within is not None:
            if within in self._step_times:
                return self._step_times[within]
            within = within.parent
        step = scope.time_step
        if step is None:
            return self._times_in_loops.get(scope.chain()[0].origin)
        place = max(0, bisect_left(self._numbers, node.number) - 1)
        # Counted apart from the cells: on the axis of the cell that ran last, or else of the first.
        return step + axis_of[self.calls[place].chain].offset


def _repeated_outside(nodes: Sequence[Node]) -> set[Scope]:
    """The calls of modules that were called several times and that no scope encloses."""
    calls: dict[object, dict[Scope, None]] = defaultdict(dict)
    for scope in {node.scope: None for node in nodes}:
        if scope is not None:
            outermost = scope.chain()[0].origin
            if outermost.token is not None:
                calls[outermost.token][outermost] = None
    return {scope for scopes in calls.values() if len(scopes) > 1 for scope in scopes}
