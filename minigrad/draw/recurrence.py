"""States that no cell labelled: named by the caller, or found where weights are used in a chain.

A loop of plain operations is a recurrent network as well. Its weights give it away: each use of a
recurrent weight depends on the use before. What was made since one use, and is read after the next
one, is carried from step to step; a sum of losses is not, since no weight is used on it again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from minigrad.draw.errors import DrawError
from minigrad.draw.measure import pass_through
from minigrad.draw.opening import open_kernels
from minigrad.draw.sequences import Label, labels_of
from minigrad.errors import describe
from minigrad.nodes import Leaf, Node
from minigrad.scopes import Scope
from minigrad.tensors import Tensor

__all__ = ["NamedStates", "labels_on", "open_with_states", "tensors_of"]

NamedStates = Mapping[str, Sequence[Tensor]] | Sequence[Tensor] | Sequence[Sequence[Tensor]] | None
"""By name a state for every time step; or, for every step, one state or several, such as (h, c)."""

FEWEST_STEPS: Final = 3
"""A weight that is used fewer times, one after the other, is not taken for a recurrent one."""


def open_with_states(
    outputs: Sequence[Tensor], states: NamedStates
) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Some results and the named states, with all kernels opened."""
    named = tensors_of(states)
    opened = open_kernels([*outputs, *(t for series in named.values() for t in series)])
    rest = iter(opened[len(outputs) :])
    return opened[: len(outputs)], {n: [next(rest) for _ in s] for n, s in named.items()}


def labels_on(nodes: Sequence[Node], named: Mapping[str, Sequence[Tensor]]) -> list[Label]:
    """The labels to draw by: named ones, else those of cells, else those that are found."""
    return _named_labels(nodes, named) if named else _find_labels(nodes)


def tensors_of(states: NamedStates) -> dict[str, list[Tensor]]:
    """The tensors of named states, by name and time step.

    Raises DrawError for what is no tensor, and for states of different numbers of steps.
    """
    if states is None:
        return {}
    if isinstance(states, Mapping):
        named = {str(name): list(series) for name, series in states.items()}
    else:
        rows = [list(s) if isinstance(s, (tuple, list)) else [s] for s in states]
        if len({len(row) for row in rows}) > 1:
            raise DrawError("states: every time step must have the same states")
        names = ["h", "c", *(f"s{k}" for k in range(2, len(rows[0]) if rows else 0))]
        named = {n: list(s) for n, s in zip(names, zip(*rows, strict=True), strict=False)}
    if not named:
        raise DrawError("states is empty: name a tensor for every time step")
    lengths = {len(series) for series in named.values()}
    if len(lengths) != 1 or 0 in lengths:
        counts = ", ".join(f"{name}: {len(series)}" for name, series in named.items())
        raise DrawError(f"states must name as many time steps of each state, got {counts}")
    for name, series in named.items():
        for step, tensor in enumerate(series):
            if getattr(tensor, "_node", None) is None:
                raise DrawError(
                    f"states: {name!r} at step {step} must be a tensor with a recorded graph, got "
                    f"{describe(tensor)}"
                )
    return named


def _named_labels(nodes: Sequence[Node], named: Mapping[str, Sequence[Tensor]]) -> list[Label]:
    """The labels of states that were named, beside those that cells made.

    Args:
        nodes: the tape.
        named: tensors on it, by name and time step.

    Raises DrawError for a tensor that is not on the tape.
    """
    on_tape = set(nodes)
    rows: list[dict[str, Node]] = []
    for name, series in named.items():
        for step, tensor in enumerate(series):
            node = None if tensor._node is None else pass_through(tensor._node)
            if node not in on_tape or node is None:
                raise DrawError(
                    f"states: the loss does not depend on {name!r} at step {step}; name the steps "
                    "that lead to it"
                )
            if step == len(rows):
                rows.append({})
            rows[step][name] = node
    labels = _labels_of_rows(rows)
    taken = {label.node for label in labels}
    others = [label for label in labels_of(nodes) if label.node not in taken]
    return sorted([*labels, *others], key=lambda label: label.node.number)


def _find_labels(nodes: Sequence[Node]) -> list[Label]:
    """The states that cells labelled; without any, those of a recurrence that is found."""
    return labels_of(nodes) or _labels_of_rows(_recurrence(nodes))


def _labels_of_rows(rows: Sequence[Mapping[str, Node]]) -> list[Label]:
    scope = _common_scope([node for row in rows for node in row.values()])
    labels = []
    before: tuple[Node, ...] = ()
    for row in rows:
        ordered = sorted(row.items(), key=lambda item: item[1].number)
        labels += [Label(node, name, scope, before) for name, node in ordered]
        before = tuple(row.values())
    return labels


def _common_scope(nodes: Sequence[Node]) -> Scope | None:
    """The innermost named scope around all nodes."""
    chains = [[] if n.scope is None else [p.origin for p in n.scope.chain()] for n in nodes]
    common: Scope | None = None
    for parts in zip(*chains, strict=False):
        if len(set(parts)) > 1:
            break
        common = parts[0] if parts[0].name else common
    return common


def _recurrence(nodes: Sequence[Node]) -> list[dict[str, Node]]:
    """The states of the recurrence on a tape, step by step; nothing where there is none."""
    home = _homes(nodes)
    anchors = _anchors(nodes, home)
    if not anchors:
        return []
    steps = _steps(nodes, home, anchors)
    count = max(steps.values(), default=-1) + 1
    members: list[list[Node]] = [[] for _ in range(count)]
    for node in nodes:
        if steps.get(node, -1) >= 0:
            members[steps[node]].append(node)
    carried = _carried(nodes, steps, home, anchors)
    # One step like another: what is carried has the same place in each, the last one included.
    places = Counter(
        tuple(sorted(members[step].index(node) for node in found))
        for step, found in carried.items()
    )
    if not places:
        return []
    ((pattern, times),) = places.most_common(1)
    if times < min(FEWEST_STEPS - 1, count - 1):
        return []
    rows = []
    names = _names(pattern, members, carried, home, anchors)
    for step in range(count):
        found = {
            name: members[step][place]
            for name, place in zip(names, pattern, strict=True)
            if place < len(members[step])
        }
        ops = [node.plan.name for node in found.values()]
        alike = [members[0][place].plan.name for place in pattern if place < len(members[0])]
        if ops != alike:
            break
        rows.append(found)
    return rows if len(rows) >= FEWEST_STEPS - 1 else []


def _homes(nodes: Sequence[Node]) -> dict[Node, Leaf]:
    """The leaf that each node is a mere view of, such as a weight transposed."""
    home: dict[Node, Leaf] = {}
    for node in nodes:
        if isinstance(node, Leaf):
            home[node] = node
        elif node.plan.view and node.inputs and node.inputs[0] in home:
            source = node.inputs[0]
            assert source is not None
            home[node] = home[source]
    return home


def _uses(node: Node, home: Mapping[Node, Leaf]) -> set[Leaf]:
    """The leaves that an operation reads."""
    if node in home:
        return set()
    return {home[source] for source in node.inputs if source is not None and source in home}


def _anchors(nodes: Sequence[Node], home: Mapping[Node, Leaf]) -> set[Leaf]:
    """The weights of which each use depends on the use before."""
    counts = Counter(leaf for node in nodes for leaf in _uses(node, home))
    anchors: set[Leaf] = set()
    for leaf, count in counts.items():
        if count < FEWEST_STEPS:
            continue
        depth: dict[Node, int] = {}
        for node in nodes:
            if node in home:
                continue
            reached = max((depth.get(s, 0) for s in node.inputs if s is not None), default=0)
            depth[node] = reached + (leaf in _uses(node, home))
        if max(depth.values(), default=0) == count:
            anchors.add(leaf)
    return anchors


def _steps(nodes: Sequence[Node], home: Mapping[Node, Leaf], anchors: set[Leaf]) -> dict[Node, int]:
    """The step of each node: how often the weights were used before it, less one."""
    depths: dict[Leaf, dict[Node, int]] = {leaf: {} for leaf in anchors}
    steps: dict[Node, int] = {}
    for node in nodes:
        if node in home:
            continue
        used = _uses(node, home)
        deepest = 0
        for leaf, depth in depths.items():
            reached = max((depth.get(s, 0) for s in node.inputs if s is not None), default=0)
            depth[node] = reached + (leaf in used)
            deepest = max(deepest, depth[node])
        steps[node] = deepest - 1
    return steps


def _carried(
    nodes: Sequence[Node],
    steps: Mapping[Node, int],
    home: Mapping[Node, Leaf],
    anchors: set[Leaf],
) -> dict[int, set[Node]]:
    """By step, what a later step reads on the way to a use of a recurrent weight."""
    leads: set[Node] = set()
    carried: dict[int, set[Node]] = defaultdict(set)
    for node in reversed(nodes):
        if node in home:
            continue
        onward = bool(_uses(node, home) & anchors) or node in leads
        if not onward:
            continue
        for source in node.inputs:
            if source is None or source in home:
                continue
            leads.add(source)
            if 0 <= steps[source] < steps[node]:
                carried[steps[source]].add(source)
    return carried


def _names(
    pattern: Sequence[int],
    members: Sequence[Sequence[Node]],
    carried: Mapping[int, set[Node]],
    home: Mapping[Node, Leaf],
    anchors: set[Leaf],
) -> list[str]:
    """A name for each state: "h" for what the weights are used on, "c" for one more."""
    first = min(carried)
    read: set[Node] = set()
    for node in members[first + 1] if first + 1 < len(members) else ():
        if _uses(node, home) & anchors:
            read.update(source for source in node.inputs if source is not None)
    names = []
    for place in pattern:
        plain = "h" if members[first][place] in read or len(pattern) == 1 else "c"
        name, rank = plain, 1
        while name in names:
            rank += 1
            name = f"{plain}{rank}"
        names.append(name)
    return names
