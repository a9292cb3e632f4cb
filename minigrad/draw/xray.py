"""What went wrong on a graph: the first bad operation, forward or backward, in a sentence.

Three failures are looked for: numbers that are not finite, gradients that are exactly zero, and
states that do not depend on those of the step before. The evidence is what the graph still holds:
its saved arrays, or the flags that anomaly mode left on its nodes, which survive a backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from minigrad.draw.measure import Measured, Tape
from minigrad.draw.records import Contribution, Statistics
from minigrad.draw.tape_states import States, value_of
from minigrad.kernels import FusedPlan
from minigrad.nodes import Leaf, Node
from minigrad.watching import BACKWARD_HINTS, FORWARD_HINTS

__all__ = ["DeadUnits", "Fault", "find_faults", "from_flags", "has_flags"]

RECTIFIERS: Final = frozenset({"relu", "relu6", "hardtanh", "hardsigmoid", "clip", "maximum"})
FEWEST_ROWS: Final = 8
"""A unit that is off for fewer samples than this is not called dead."""


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong, at the operation where it began.

    Attributes:
        node: the operation or leaf.
        direction: in which pass.
        mark: a few words for the picture.
        sentence: the whole story.
    """

    node: Node
    direction: Literal["forward", "backward"]
    mark: str
    sentence: str


class DeadUnits:
    """Listens to the terms of rectifiers for units that pass nothing back for any sample."""

    def __init__(self) -> None:
        self.found: dict[Node, tuple[int, int, int]] = {}

    def __call__(self, node: Node, slot: int, term: Any) -> None:
        """Look at one term."""
        if node.plan.name not in RECTIFIERS or slot or len(getattr(term, "shape", ())) < 2:
            return
        rows = term.reshape(-1, term.shape[-1])
        if len(rows) < FEWEST_ROWS:
            return
        dead = int((~rows.any(axis=0)).sum())
        if dead:
            self.found[node] = (dead, rows.shape[1], len(rows))


def has_flags(tape: Tape) -> bool:
    """Whether anomaly mode looked at gradients on a tape."""
    return any(n.extras is not None and n.extras.grad_finite is not None for n in tape.nodes)


def from_flags(tape: Tape) -> Measured:
    """What the flags of anomaly mode tell of gradients whose arrays are gone: finite or not."""
    contributions: dict[tuple[Node, int], Contribution] = {}
    gradients: dict[Node, Statistics] = {}
    for node in tape.nodes:
        flag = None if node.extras is None else node.extras.grad_finite
        if flag is not None:
            gradients[node] = Statistics(finite=flag)
    for node in tape.nodes:
        bad = node in gradients and (not gradients[node].finite or blamed(node))
        for slot, source in enumerate(node.inputs):
            if bad and source in gradients and not gradients[source].finite:
                contributions[node, slot] = Contribution(np.nan)
    return Measured(contributions, gradients)


def blamed(node: Node) -> bool:
    """Whether anomaly mode found that this node's own rule made the bad gradient."""
    return node.extras is not None and node.extras.grad_anomaly is not None


def find_faults(
    tape: Tape, measured: Measured, dead_units: DeadUnits | None = None
) -> tuple[Fault, ...]:
    """The first fault of each kind on a tape whose gradients were measured."""
    found: list[Fault | None] = [noted(tape, "forward"), noted(tape, "backward")]
    if found[0] is not None:
        found[1] = None  # what was bad on the way forward is bad on the way back as well
    broken = any(not s.finite for s in measured.gradients.values()) or any(
        not np.isfinite(c.norm) for c in measured.contributions.values()
    )
    if broken or any(not np.isfinite(t._array).all() for t in tape.outputs):
        if found[0] is None:
            found[0] = bad_value(tape)
        if found[1] is None and found[0] is None:
            found[1] = bad_gradient(tape, measured)
    elif measured.contributions:
        found.append(dead_gradient(tape, measured))
        if dead_units is not None and found[-1] is None:
            found.append(dead_unit_fault(dead_units))
    found.append(broken_chain(tape))
    return tuple(fault for fault in found if fault is not None)


def noted(tape: Tape, direction: Literal["forward", "backward"]) -> Fault | None:
    """The first note that anomaly mode left."""
    forward = direction == "forward"
    for node in tape.nodes if forward else reversed(tape.nodes):
        if node.extras is None:
            continue
        note = node.extras.value_anomaly if forward else node.extras.grad_anomaly
        if note is not None:
            return Fault(node, direction, mark_of(direction), f"{direction.capitalize()}: {note}")
    return None


def mark_of(direction: str) -> str:
    """The words for the picture."""
    return f"first bad op, {direction}"


def bad_value(tape: Tape) -> Fault | None:
    """The first node whose value is not finite although those of its inputs are."""
    readers: dict[Node, list[tuple[Node, int]]] = {}
    for node in tape.nodes:
        for slot, source in enumerate(node.inputs):
            if source is not None:
                readers.setdefault(source, []).append((node, slot))
    results = {t._node: t._array for t in tape.outputs}
    values: dict[Node, Any] = {}
    bad: set[Node] = set()
    for node in tape.nodes:
        value = node.value if isinstance(node, Leaf) else results.get(node)
        if value is None:
            value = value_of(node, readers.get(node, ()))
        if value is None:
            value = computed_again(node, values)
        if value is not None:
            values[node] = value
        else:
            if any(source in bad for source in node.inputs):
                bad.add(node)
            continue
        if np.isfinite(value).all():
            continue
        if not any(source in bad for source in node.inputs):
            unseen = [n for n in node.inputs if n is not None and n not in values]
            return bad_value_fault(node, value, unseen)
        bad.add(node)
    return None


def computed_again(node: Node, values: dict[Node, Any]) -> Any:
    """The value of a node from those of its inputs, where all of these are known; else None."""
    operation = getattr(node.plan, "operation", None)
    if operation is None or node.saved is None or len(operation.outputs) > 1:
        return values.get(node.inputs[0]) if node.plan.name == "alias" and node.inputs[0] else None
    if isinstance(node.plan, FusedPlan):
        inputs = list(node.saved[0])
    else:
        inputs = []
        for slot, source in enumerate(node.inputs):
            if source is not None:
                inputs.append(values.get(source))
            elif slot in node.plan.sources and not operation.list_input:
                inputs.append(node.saved[node.plan.sources.index(slot)])
            else:
                return None
        if any(array is None for array in inputs):
            return None
    given = (inputs,) if operation.list_input else inputs
    with np.errstate(all="ignore"):
        value = operation.forward(*given, **node.params)
    value = np.asarray(value[0] if operation.aux else value)
    return value if value.shape == node.shape else None


def bad_value_fault(node: Node, value: Any, unseen: Sequence[Node] = ()) -> Fault:
    """The sentence for a node that made, or brought in, numbers that are not finite."""
    what = count_bad(value)
    if isinstance(node, Leaf):
        name = f" {node.name!r}" if node.name else ""
        return Fault(node, "forward", "not finite", f"Forward: the leaf{name} holds {what}.")
    for slot, array in constants_of(node):
        if not np.isfinite(array).all():
            text = (
                f"Forward: {node.where} reads a constant, its input {slot}, that holds "
                f"{count_bad(array)}: look at the data."
            )
            return Fault(node, "forward", mark_of("forward"), text)
    hint = FORWARD_HINTS.get(node.plan.name, "")
    text = f"Forward: {node.where} is the first whose result is not finite: it holds {what}. {hint}"
    if unseen:
        text = (
            f"Forward: {node.where} is the first whose result is known not to be finite: it holds "
            f"{what}. What it read from {unseen[0].where} was not kept; anomaly mode would tell."
        )
    return Fault(node, "forward", mark_of("forward"), text.strip())


def constants_of(node: Node) -> list[tuple[int, Any]]:
    """The inputs of a node that are not on the tape, with their slots, where they were saved."""
    sources = getattr(node.plan, "sources", None)
    if sources is None or node.saved is None or node.plan.operation.list_input:
        return []
    return [
        (slot, saved)
        for slot, saved in zip(sources, node.saved, strict=True)
        if slot is not None and slot >= 0 and node.inputs[slot] is None
        if isinstance(saved, (np.ndarray, np.generic)) and saved.dtype.kind == "f"
    ]


def count_bad(value: Any) -> str:
    """How many numbers are NaN and how many infinite."""
    nans, infinities = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    parts = [f"{nans} NaN"] * (nans > 0) + [f"{infinities} infinite"] * (infinities > 0)
    return f"{' and '.join(parts)} of {np.size(value)} numbers"


def bad_gradient(tape: Tape, measured: Measured) -> Fault | None:
    """The first node, going back, that turns a finite gradient into one that is not."""
    for node in reversed(tape.nodes):
        before = measured.gradients.get(node)
        if before is None or not before.finite:
            continue
        for slot in range(len(node.inputs)):
            term = measured.contributions.get((node, slot))
            if term is not None and not np.isfinite(term.norm):
                hint = BACKWARD_HINTS.get(node.plan.name, "")
                word = "NaN" if np.isnan(term.norm) else "infinite"
                text = (
                    f"Backward: {node.where} is the first to turn a finite gradient into one that "
                    f"is {word}, for its input {slot}. {hint}"
                )
                return Fault(node, "backward", mark_of("backward"), text.strip())
    return None


def dead_gradient(tape: Tape, measured: Measured) -> Fault | None:
    """The first node, going back, that lets nothing at all of its gradient through."""
    starved = [
        leaf
        for leaf in tape.nodes
        if isinstance(leaf, Leaf) and leaf in measured.gradients
        if measured.gradients[leaf].norm == 0
    ]
    if not starved:
        return None
    # Only operations on the way to a starved leaf can be to blame.
    starving: set[Node] = set(starved)
    for node in tape.nodes:
        if any(source in starving for source in node.inputs):
            starving.add(node)
    for node in reversed(tape.nodes):
        arrived = measured.gradients.get(node)
        if node not in starving or arrived is None or not arrived.norm:
            continue
        sent = [
            measured.contributions[node, slot].norm
            for slot in range(len(node.inputs))
            if (node, slot) in measured.contributions
        ]
        if sent and max(sent) == 0:
            names = [repr(leaf.name) for leaf in starved if leaf.name]
            whom = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            number = len(starved)
            text = (
                f"Backward: {node.where} gets a gradient of norm {arrived.norm:.3g} and passes "
                f"exactly 0 on to all its inputs, so {whom or f'{number} leaves'} learn"
                f"{'s' if number == 1 and whom else ''} nothing from this loss."
            )
            return Fault(node, "backward", "passes exactly 0", text)
    return None


def dead_unit_fault(units: DeadUnits) -> Fault | None:
    """Units that were off for every sample."""
    if not units.found:
        return None
    node, (dead, total, rows) = max(
        units.found.items(), key=lambda item: (item[1][0] / item[1][1], -item[0].number)
    )
    text = (
        f"Backward: {dead} of the {total} units of {node.where} {'is' if dead == 1 else 'are'} "
        f"dead here: off for all {rows} samples, so no gradient passes through "
        f"{'it' if dead == 1 else 'them'}."
    )
    return Fault(node, "backward", f"{dead} of {total} units dead", text)


def broken_chain(tape: Tape) -> Fault | None:
    """The last step whose states do not depend on those of the step before."""
    states = States(tape.nodes)
    for cell in states.layers:
        steps = sorted(
            {step for lane, nodes in states.lanes.items() if lane.cell == cell for step in nodes},
            reverse=not states.backwards(cell),
        )
        for step, before in pairwise(steps):
            targets = states.of_step(cell, before)
            if not reaches(states.of_step(cell, step), set(targets)):
                text = (
                    f"Detached: the state of {cell or 'the cell'} at step {step} does not depend "
                    f"on that at step {before}, so no gradient goes further back along it. Was it "
                    "detached, or made from plain numbers?"
                )
                node = states.of_step(cell, step)[0]
                return Fault(node, "backward", "detached before", text)
        if steps and steps[-1] > 0 and not states.backwards(cell):
            text = (
                f"Detached: behind the loss, {cell or 'the cell'} begins at step {steps[-1]}; no "
                "step before it is on the graph. Was its state detached there?"
            )
            node = states.of_step(cell, steps[-1])[0]
            return Fault(node, "backward", "detached before", text)
    return None


def reaches(starts: Sequence[Node], targets: set[Node]) -> bool:
    """Whether any of the targets is behind any of the starts."""
    first = min(node.number for node in targets)
    stack, seen = list(starts), set(starts)
    while stack:
        for source in stack.pop().inputs:
            if source is None or source in seen or source.number < first:
                continue
            if source in targets:
                return True
            seen.add(source)
            stack.append(source)
    return False
