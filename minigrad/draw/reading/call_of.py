"""The step of a cell that a node of the tape is a part of, and the time of the other nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from minigrad.core.nodes import Leaf, Node
from minigrad.debug.scopes import Scope
from minigrad.draw.reading.sequences import Call, Chain
from minigrad.draw.reading.time_axes import TimeAxis
from minigrad.forks import cached_property

__all__ = ["CallOf"]

_SEVERAL: Call = Call(None)


class CallOf:
    """The call of a cell around each node.

    What ran in the scope of a call is a part of it. Where one scope, or none, holds several steps,
    a node belongs to a step if the states of that step alone depend on it. What all steps share,
    such as inputs that were projected at once, belongs to none.

    Args:
        nodes: the tape.
        chains: the sequences on it.
        axes: the time axes of the sequences.
    """

    def __init__(
        self, nodes: Sequence[Node], chains: Sequence[Chain], axes: Sequence[TimeAxis]
    ) -> None:
        self._nodes, self._axes = nodes, axes
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

    def _leads_to(self, node: Node) -> Call | None:
        found = self._leading.get(node)
        return None if found is _SEVERAL else found

    @cached_property
    def _leading(self) -> dict[Node, Call]:
        """The next step that depends on each node, if there is just one such step."""
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
    def _behind(self) -> dict[Node, int]:
        """The latest time of the steps that each node depends on directly."""
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

    def time_beside(self, node: Node, scope: Scope | None) -> int | None:
        """The time of a node outside of all cells: that of the step it ran in, if it ran in one.

        A step that was given, or counted, independently of the cells is on the axis of the step
        that it reads, or else of one that depends on it.

        Args:
            node: what ran.
            scope: of the node, or of a call around it.
        """
        if scope is None or not self.calls:
            return None if scope is None else scope.time_step
        within: Scope | None = scope
        while within is not None:
            if within in self._step_times:
                return self._step_times[within]
            within = within.parent
        timed = scope.timed
        near = self._near.get(_loop_of(scope))
        if timed is None:
            return near if scope.chain()[0].origin in self._repeated else None
        axis = next((a for a in self._axes if near is not None and a.first <= near <= a.last), None)
        time = (timed.step or 0) + (self._axes[0] if axis is None else axis).offset
        return time if axis is None or axis.first <= time <= axis.last else near

    @cached_property
    def _repeated(self) -> set[Scope]:
        return _repeated_outside(self._nodes)

    @cached_property
    def _near(self) -> dict[Scope, int]:
        """The time that is read by what ran beside the cells, or else one that depends on it."""
        read: dict[Scope, int] = {}
        led: dict[Scope, int] = {}
        for node in self._nodes:
            if node.scope is None:
                continue
            loop = _loop_of(node.scope)
            if (time := self._behind.get(node)) is not None:
                read[loop] = max(time, read.get(loop, time))
            if (call := self._leads_to(node)) is not None:
                led[loop] = min(call.time, led.get(loop, call.time))
        return led | read


def _loop_of(scope: Scope) -> Scope:
    """The scope with the time step around a scope; else the outermost one."""
    timed = scope.timed
    return (scope.chain()[0] if timed is None else timed).origin


def _repeated_outside(nodes: Sequence[Node]) -> set[Scope]:
    """The calls of modules that were called several times and that no scope encloses."""
    calls: dict[object, dict[Scope, None]] = defaultdict(dict)
    for scope in {node.scope: None for node in nodes}:
        if scope is not None:
            outermost = scope.chain()[0].origin
            if outermost.token is not None:
                calls[outermost.token][outermost] = None
    return {scope for scopes in calls.values() if len(scopes) > 1 for scope in scopes}
