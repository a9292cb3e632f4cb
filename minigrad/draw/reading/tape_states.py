"""The states on a tape: what each cell carries from one time step to the next.

A cell is a scope in which states were labelled (`minigrad.label_state`); recurrent layers, cells
and `scan` do so, and so can code of users.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.core.nodes import Node
from minigrad.debug.scopes import Scope, ScopeNames
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.call_of import CallOf
from minigrad.draw.reading.sequences import Call, Chain, Label, chains_of, labels_of
from minigrad.draw.reading.time_axes import lay_axes
from minigrad.ops.fusing import FusedPlan

__all__ = ["Lane", "States", "value_of"]


class Lane(NamedTuple):
    """One state of one cell, over all time steps.

    Attributes:
        cell: the path of the cell, with the number of the sequence where it ran on several.
        state: the name of the state.
    """

    cell: str
    state: str

    def __str__(self) -> str:
        return f"{self.cell}.{self.state}" if self.cell else self.state


class States:
    """All states among some nodes, by sequence and time.

    Time is counted on one line for the whole picture. It is the time step itself where all
    sequences run side by side; the steps of a decoder come after those of its encoder, see
    `minigrad.draw.reading.time_axes`.

    Attributes:
        nodes: all of the tape.
        names: of the scopes, as the picture shows them.
        lanes: each lane's nodes by time, in the order in which they ran.
        lane_of: the lane and time of each state.
        layers: the rank of each sequence's cell, counted in the order in which they began.
        calls: every step of every sequence.
        axes: the time axes.
        steps: all times, sorted.
    """

    def __init__(self, nodes: Sequence[Node], labels: Sequence[Label] | None = None) -> None:
        self.nodes = nodes
        self.names = ScopeNames(node.scope for node in nodes)
        labels = labels_of(nodes) if labels is None else labels
        chains = chains_of(labels)
        self.axes = lay_axes(chains)
        self.lanes: dict[Lane, dict[int, Node]] = {}
        self.lane_of: dict[Node, tuple[Lane, int]] = {}
        self.layers: dict[str, int] = {}
        self._titles: dict[Chain, str] = {}
        for chain in chains:
            title = self._title(chain)
            self._titles[chain] = title
            self.layers[title] = len(self.layers)
            for call in chain.calls:
                for state, node in call.states.items():
                    lane = Lane(title, state)
                    self.lanes.setdefault(lane, {})[call.time] = node
                    self.lane_of[node] = (lane, call.time)
        self.steps = sorted({time for _, time in self.lane_of.values()})
        self.calls = [call for chain in chains for call in chain.calls]
        self._calls = CallOf(nodes, chains, self.axes)
        self._axis_of = {chain: axis for axis in self.axes for chain in axis.chains}

    def _title(self, chain: Chain) -> str:
        """The path of a sequence's cell, with its number where the cell ran on several."""
        path = self.names(chain.calls[0].scope)
        title, rank = path, 1
        while title in self.layers:
            rank += 1
            title = f"{path}, sequence {rank}" if path else f"sequence {rank}"
        return title

    def require(self, what: str) -> None:
        """Raise DrawError where no state was labelled."""
        if not self.lane_of:
            raise missing_states(what, self.nodes)

    def call_of(self, node: Node) -> Call | None:
        """The step of a cell that a node is a part of; None outside of all cells."""
        return self._calls(node)

    def cell_of(self, node: Node) -> str | None:
        """The sequence that a node is a part of a step of; None outside of all cells."""
        call = self._calls(node)
        return None if call is None else self._titles[call.chain]

    def title_of(self, call: Call) -> str:
        """The name of the sequence that a call is a step of."""
        return self._titles[call.chain]

    def kind_of(self, path: str) -> str:
        """The class name of a cell, or the nearest name around one that has none."""
        while path and not self.names.kinds[path]:
            path = self.names.parents[path]
        return self.names.kinds[path] if path else "cell"

    def path_of(self, call: Call) -> str:
        """The path of the cell that was called, a key of the picture's scopes."""
        return self.names(call.chain.calls[0].scope)

    def time_of(self, node: Node) -> int | None:
        """The time of what ran at a step, inside of a cell or beside it; None outside of steps."""
        call = self._calls(node)
        if call is not None:
            return call.time
        return self._calls.time_beside(node, node.scope)

    def time_within(self, scope: Scope, node: Node) -> int | None:
        """The time of a module's call, given one of the nodes in it; None if it is at no step."""
        call = self._calls.around(scope)
        if call is not None:
            return call.time
        return self._calls.time_beside(node, scope)

    def place_of(self, node: Node) -> dict[str, Any]:
        """Scope, axis and step of a node, as fields of its record."""
        return {"scope": self.names(node.scope), **self.on_axis(self.time_of(node))}

    def on_axis(self, time: int | None) -> dict[str, Any]:
        """A time as fields of a record: the step on its axis, and where that begins."""
        for axis in self.axes:
            if time is not None and axis.offset and axis.first <= time <= axis.last:
                return {"step": time - axis.offset, "offset": axis.offset}
        return {"step": time, "offset": 0}

    def chain_of(self, cell: str) -> Chain:
        """The sequence of a name."""
        return next(chain for chain, title in self._titles.items() if title == cell)

    def offset_of(self, cell: str) -> int:
        """What is added to the steps of a sequence to get times."""
        return self._axis_of[self.chain_of(cell)].offset

    def backwards(self, cell: str) -> bool:
        """Whether a cell reads time backwards: its first step ran last."""
        for lane, nodes in self.lanes.items():
            if lane.cell == cell and len(nodes) > 1:
                return nodes[min(nodes)].number > nodes[max(nodes)].number
        return False

    def of_step(self, cell: str, step: int) -> list[Node]:
        """The states of a cell at a time, in the order of their lanes."""
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
        f"{what} needs a recurrent network: no cell on the tape labelled a state, and no weight is "
        "applied repeatedly, each time to a result of the time before. The recurrent layers of "
        "`layers` label theirs; name those of your own cell with states={'h': [h0, h1, ...]}, or "
        "call minigrad.label_state(h, 'h') in its loop."
    )
