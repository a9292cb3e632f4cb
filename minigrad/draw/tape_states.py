"""The states on a tape: which cell carries what from which time step to the next.

A cell is a scope in which states were labelled (`minigrad.label_state`); recurrent layers, cells
and `scan` do so, and so can any code of a user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.draw.errors import DrawError
from minigrad.kernels import FusedPlan
from minigrad.mode import Scope
from minigrad.nodes import Node

__all__ = ["Lane", "States", "StepOf", "value_of"]


class Lane(NamedTuple):
    """One state of one cell, over all time steps.

    Attributes:
        cell: the path of the cell.
        state: the name of the state.
    """

    cell: str
    state: str

    def __str__(self) -> str:
        return f"{self.cell}.{self.state}" if self.cell else self.state


class StepOf:
    """The time step of nodes, remembered by scope: many nodes share one."""

    def __init__(self) -> None:
        self._known: dict[Scope, int | None] = {}

    def __call__(self, node: Node) -> int | None:
        scope = node.scope
        if scope is None:
            return None
        if scope not in self._known:
            self._known[scope] = scope.time_step
        return self._known[scope]


class States:
    """All labelled states among some nodes.

    Attributes:
        lanes: each lane's nodes by time step, in the order in which they ran.
        lane_of: the lane and time step of each state.
        nodes: all of the tape.
        layers: the number of each cell, counted in the order in which they first ran.
        steps: all time steps, sorted.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.lanes: dict[Lane, dict[int, Node]] = {}
        self.lane_of: dict[Node, tuple[Lane, int]] = {}
        self.layers: dict[str, int] = {}
        self._cells: dict[Scope, str | None] = {}
        for node in nodes:
            scope = node.scope
            if scope is None or not scope.state:
                continue
            path, step = scope.path, scope.time_step
            self.layers.setdefault(path, len(self.layers))
            if step is None:
                continue
            lane = Lane(path, scope.state)
            self.lanes.setdefault(lane, {})[step] = node
            self.lane_of[node] = (lane, step)
        self.steps = sorted({step for _, step in self.lane_of.values()})

    def require(self, what: str) -> None:
        """Raise DrawError where no state was labelled."""
        if not self.lane_of:
            raise missing_states(what, self.nodes)

    def cell_of(self, scope: Scope | None) -> str | None:
        """The path of the innermost cell around a scope; None outside of all cells."""
        trail = []
        found: str | None = None
        while scope is not None:
            if scope in self._cells:
                found = self._cells[scope]
                break
            trail.append(scope)
            if (path := scope.path) in self.layers:
                found = path
                break
            scope = scope.parent
        for passed in trail:
            self._cells[passed] = found
        return found

    def backwards(self, cell: str) -> bool:
        """Whether a cell reads time backwards: its first step ran last."""
        for lane, nodes in self.lanes.items():
            if lane.cell == cell and len(nodes) > 1:
                return nodes[min(nodes)].number > nodes[max(nodes)].number
        return False

    def of_step(self, cell: str, step: int) -> list[Node]:
        """The states of a cell at a time step, in the order of their lanes."""
        return [
            nodes[step] for lane, nodes in self.lanes.items() if lane.cell == cell and step in nodes
        ]


def value_of(node: Node, readers: Sequence[tuple[Node, int]] = ()) -> Any:
    """The value of a node, if it or one of its readers (with their slots) saved it; else None."""
    for holder, wanted in [(node, -1), *readers]:
        sources = getattr(holder.plan, "sources", None)
        if sources is None or holder.saved is None or holder.plan.operation.list_input:
            continue
        for saved, source in zip(holder.saved, sources, strict=True):
            if source == wanted and getattr(saved, "shape", None) == node.shape:
                return saved
    return None


def missing_states(what: str, nodes: Sequence[Node]) -> DrawError:
    """The error for a graph on which no cell labelled a state, with the likely reason."""
    closed = [n for n in nodes if isinstance(n.plan, FusedPlan) and n.saved is None]
    if closed:
        return DrawError(
            f"{what} needs the time steps of a recurrent network. The kernel of {closed[0].where} "
            "was freed by a backward, so it cannot be opened: draw before backward, or call "
            "backward(retain_graph=True)."
        )
    return DrawError(
        f"{what} needs a recurrent network whose steps are on the tape: no cell labelled a state "
        "at a time step. The recurrent layers of `layers` do; label the states of your own "
        "cell with minigrad.label_state(h, 'h') inside `with minigrad.step(t):`."
    )
