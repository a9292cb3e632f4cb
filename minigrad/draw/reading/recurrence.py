"""States that no cell labelled, found where weights are used in a chain.

A loop of plain operations is a recurrent network as well. It is recognised by its weights: each use
of a recurrent weight depends on the use before. A value that was computed since one use, and is
read after the next one, is carried from step to step; a sum of losses is not, since no weight is
applied to it again.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from minigrad.core.nodes import Leaf, Node
from minigrad.debug.scopes import Scope
from minigrad.draw.reading.sequences import Label, labels_of

__all__ = ["find_labels", "labels_of_rows"]

FEWEST_STEPS: Final = 3
"""A weight with a shorter chain of uses is not considered recurrent."""


def find_labels(nodes: Sequence[Node]) -> list[Label]:
    """The states that cells labelled, and those of a recurrence beside them that is found."""
    labels = labels_of(nodes)
    found = labels_of_rows(_recurrence(nodes, labels))
    return sorted([*labels, *found], key=lambda label: label.node.number)


def labels_of_rows(rows: Sequence[Mapping[str, Node]]) -> list[Label]:
    """Labels for states by name and step, each made from that of the same name before."""
    series: dict[str, list[Node]] = defaultdict(list)
    for row in rows:
        for name, node in row.items():
            series[name].append(node)
    calls = {name: _calls_of_steps(found) for name, found in series.items()}
    loose = [node for name, found in series.items() if calls[name] is None for node in found]
    common = _common_scope(loose)
    labels = []
    taken: set[tuple[Any, str]] = set()
    for name, found in series.items():
        own = calls[name]
        # Names count within a cell: "h2" of all states is the "h" of the second cell.
        cell = None if own is None else own[0].identity
        if own is not None and (cell, name.rstrip("0123456789")) not in taken:
            name = name.rstrip("0123456789")
        taken.add((cell, name))
        before: tuple[Node, ...] = ()
        for step, node in enumerate(found):
            labels.append(Label(node, name, common if own is None else own[step], before))
            before = (node,)
    return sorted(labels, key=lambda label: label.node.number)


def _calls_of_steps(nodes: Sequence[Node]) -> list[Scope] | None:
    """The calls of one module, a step each, in which the states were made; None if they were not.

    So two cells that were written as modules are two.
    """
    found = []
    for node in nodes:
        parts = [] if node.scope is None else [p.origin for p in node.scope.chain() if p.kind]
        found += parts[-1:]
    several = len(set(found)) == len(nodes) > 1 and len({call.identity for call in found}) == 1
    return found if several else None


def _common_scope(nodes: Sequence[Node]) -> Scope | None:
    """The innermost named scope around all nodes."""
    chains = [[] if n.scope is None else [p.origin for p in n.scope.chain()] for n in nodes]
    common: Scope | None = None
    for parts in zip(*chains, strict=False):
        if len(set(parts)) > 1:
            break
        common = parts[0] if parts[0].name else common
    return common


def _recurrence(nodes: Sequence[Node], labels: Sequence[Label]) -> list[dict[str, Node]]:
    """The states of the recurrence on a tape, step by step; nothing where there is none.

    Args:
        nodes: the tape.
        labels: the known states: what only they carry is left out.
    """
    home = _homes(nodes)
    known = {label.node for label in labels}
    anchors = _anchors(nodes, home, known, {label.scope for label in labels})
    if not anchors:
        return []
    steps = _steps(nodes, home, anchors, known)
    count = max(steps.values(), default=-1) + 1
    _move_glue(nodes, steps, home, count)
    members = _members(nodes, steps, count)
    carried = _carried(nodes, steps, home, anchors)
    # All steps are alike: what is carried has the same place in each, including the last.
    places = Counter(
        tuple(sorted(members[step].index(node) for node in found))
        for step, found in carried.items()
        if step > 0 or count < FEWEST_STEPS
    )
    if not places:
        return []
    ((pattern, times),) = places.most_common(1)
    if times < min(FEWEST_STEPS - 2, count - 1):
        return []
    first = next(s for s in sorted(carried) if len(carried[s]) == len(pattern) and (s or times < 2))
    names = _names(first, pattern, members, home, anchors)
    alike = [members[first][place].plan.name for place in pattern]
    rows = []
    for step in range(count):
        short = len(members[first]) - len(members[step]) if not step else 0
        row = [p - short for p in pattern]  # the first step may begin with plain numbers
        found = {
            name: members[step][place]
            for name, place, op in zip(names, row, alike, strict=True)
            if 0 <= place < len(members[step]) and members[step][place].plan.name == op
        }
        # Of the last step, the loss may not read all states.
        if len(found) == len(names) or (found and step == count - 1):
            rows.append(found)
    return rows if len(rows) >= FEWEST_STEPS - 1 else []


def _members(nodes: Sequence[Node], steps: Mapping[Node, int], count: int) -> list[list[Node]]:
    """The nodes of each step, in the order in which they ran."""
    members: list[list[Node]] = [[] for _ in range(count)]
    for node in nodes:
        if steps.get(node, -1) >= 0:
            members[steps[node]].append(node)
    return members


def _move_glue(
    nodes: Sequence[Node], steps: dict[Node, int], home: Mapping[Node, Leaf], count: int
) -> None:
    """Assign what only prepares the next step, such as `concatenate([x, h])`, to that step.

    It was computed before the weights were used again. The last step is not followed by another
    one, so it has none of it: it ends where the last step and the one before are no longer alike.
    """
    members = _members(nodes, steps, count)
    if count < FEWEST_STEPS:
        return
    place = {node: i for found in members for i, node in enumerate(found)}

    def looks(node: Node, step: int) -> Any:
        """What a node is, and where its inputs come from, counted from its step."""
        return node.plan.name, tuple(
            None
            if source is None
            else home[source]
            if source in home
            else (step - steps[source], place.get(source))
            if steps[source] >= 0
            else -1
            for source in node.inputs
        )

    pairs = zip(members[-2], members[-1], strict=False)
    alike = (looks(x, count - 2) == looks(z, count - 1) for x, z in pairs)
    core = sum(1 for _ in itertools.takewhile(bool, alike))
    for step, found in enumerate(members[:-1]):
        end = core if step else core - (len(members[1]) - len(members[0]))
        for node in found[max(end, 0) :]:
            if node.plan.name != "output":  # one of several results of an operation before
                steps[node] = step + 1


def _homes(nodes: Sequence[Node]) -> dict[Node, Leaf]:
    """The leaf that each node is a view of, such as a transposed weight."""
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


def _anchors(
    nodes: Sequence[Node],
    home: Mapping[Node, Leaf],
    known: set[Node],
    cells: set[Scope | None],
) -> set[Leaf]:
    """The weights each use of which depends on the use before, other than through a known state.

    Those that are used only inside of known cells are ignored.
    """
    inside: dict[Scope | None, bool] = {None: False}

    def in_cell(scope: Scope | None) -> bool:
        if scope not in inside:
            assert scope is not None
            inside[scope] = scope.origin in cells or in_cell(scope.parent)
        return inside[scope]

    outside = (node for node in nodes if not in_cell(node.scope))
    counts = Counter(leaf for node in outside for leaf in _uses(node, home))
    anchors: set[Leaf] = set()
    for leaf, count in counts.items():
        if count < FEWEST_STEPS:
            continue
        depth: dict[Node, int] = {}
        for node in nodes:
            if node in home:
                continue
            reached = max((depth.get(s, 0) for s in node.inputs if s is not None), default=0)
            depth[node] = 0 if node in known else reached + (leaf in _uses(node, home))
        if max(depth.values(), default=0) == count:
            anchors.add(leaf)
    return anchors


def _steps(
    nodes: Sequence[Node], home: Mapping[Node, Leaf], anchors: set[Leaf], known: set[Node]
) -> dict[Node, int]:
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
            depth[node] = 0 if node in known else reached + (leaf in used)
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
    first: int,
    pattern: Sequence[int],
    members: Sequence[Sequence[Node]],
    home: Mapping[Node, Leaf],
    anchors: set[Leaf],
) -> list[str]:
    """A name for each state: "h" for what the weights are used on, "c" for one more."""
    states = {members[first][place] for place in pattern}
    read: set[Node] = set()
    following = members[first + 1] if first + 1 < len(members) else []
    stack = [node for node in following if _uses(node, home) & anchors]
    own = set(following) - set(stack)
    seen: set[Node] = set()
    after = set(stack)  # what depends on a use is not its input
    for node in following:
        if any(source in after for source in node.inputs):
            after.add(node)
    while stack:
        for source in stack.pop().inputs:
            if source in states:
                read.add(source)
            elif source is not None and source in own - after and source not in seen:
                seen.add(source)
                stack.append(source)
    names: list[str] = []
    for place in pattern:
        plain = "h" if members[first][place] in read or len(pattern) == 1 else "c"
        name, rank = plain, 1
        while name in names:
            rank += 1
            name = f"{plain}{rank}"
        names.append(name)
    return names
