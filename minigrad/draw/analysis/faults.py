"""What went wrong on a graph: the first operation at fault, forward or backward, in a sentence.

Three kinds of fault are looked for: numbers that are not finite, gradients that are exactly zero,
and states that do not depend on those of the step before. The evidence is what the graph still
holds: its saved arrays, or the flags that anomaly mode left on its nodes, which survive a backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from minigrad.core.nodes import Leaf, Node
from minigrad.debug.anomaly import anomaly_note
from minigrad.debug.anomaly_advice import backward_advice, forward_advice
from minigrad.draw.analysis.evidence import Fault, known_values
from minigrad.draw.analysis.zero_gradients import (
    DeadUnits,
    dead_gradient,
    dead_unit_fault,
    zero_leaf_fault,
)
from minigrad.draw.graph.records import Contribution, Statistics
from minigrad.draw.reading.measure import Measured, Tape, reaches
from minigrad.draw.reading.tape_states import States

__all__ = ["DeadUnits", "Fault", "find_faults", "from_flags", "has_flags"]


def has_flags(tape: Tape) -> bool:
    """Whether anomaly mode checked gradients on a tape."""
    notes = (anomaly_note(node) for node in tape.nodes)
    return any(note is not None and note.grad_finite is not None for note in notes)


def from_flags(tape: Tape) -> Measured:
    """Whether gradients whose arrays were freed were finite, from the flags of anomaly mode."""
    contributions: dict[tuple[Node, int], Contribution] = {}
    gradients: dict[Node, Statistics] = {}
    for node in tape.nodes:
        note = anomaly_note(node)
        if note is not None and note.grad_finite is not None:
            gradients[node] = Statistics(finite=note.grad_finite)
    for node in tape.nodes:
        nonfinite = node in gradients and (not gradients[node].finite or made_nonfinite(node))
        for slot, source in enumerate(node.inputs):
            if nonfinite and source in gradients and not gradients[source].finite:
                contributions[node, slot] = Contribution(np.nan)
    return Measured(contributions, gradients)


def made_nonfinite(node: Node) -> bool:
    """Whether anomaly mode found that this node's own rule made a gradient that is not finite."""
    note = anomaly_note(node)
    return note is not None and note.grad_anomaly is not None


def find_faults(
    tape: Tape, measured: Measured, dead_units: DeadUnits | None = None
) -> tuple[Fault, ...]:
    """The first fault of each kind on a tape whose gradients were measured."""
    found: list[Fault | None] = [anomaly_fault(tape, "forward"), anomaly_fault(tape, "backward")]
    if found[0] is not None:
        found[1] = None  # a value that is not finite makes gradients so, too
    nonfinite = any(not s.finite for s in measured.gradients.values()) or any(
        not np.isfinite(c.norm) for c in measured.contributions.values()
    )
    if nonfinite or any(not np.isfinite(t._array).all() for t in tape.outputs):
        if found[0] is None:
            found[0] = first_nonfinite_value(tape)
        if found[1] is None and found[0] is None:
            found[1] = first_nonfinite_gradient(tape, measured)
    elif not measured.contributions:
        found.append(zero_leaf_fault(tape))
    else:
        found.append(dead_gradient(tape, measured))
        if dead_units is not None and found[-1] is None:
            found.append(dead_unit_fault(dead_units))
    found.append(detached_fault(tape))
    return tuple(fault for fault in found if fault is not None)


def anomaly_fault(tape: Tape, direction: Literal["forward", "backward"]) -> Fault | None:
    """The fault that the first note of anomaly mode tells of."""
    forward = direction == "forward"
    for node in tape.nodes if forward else reversed(tape.nodes):
        note = anomaly_note(node)
        if note is None:
            continue
        text = note.value_anomaly if forward else note.grad_anomaly
        if text is not None:
            return Fault(node, direction, mark_of(direction), f"{direction.capitalize()}: {text}")
    return None


def mark_of(direction: str) -> str:
    """The mark of a node that is not finite, for the picture."""
    return f"first bad op, {direction}"


def first_nonfinite_value(tape: Tape) -> Fault | None:
    """The first node whose value is not finite although those of its inputs are."""
    values: dict[Node, Any] = {}
    nonfinite: set[Node] = set()
    for node, value in known_values(tape):
        if value is not None:
            values[node] = value
        else:
            if any(source in nonfinite for source in node.inputs):
                nonfinite.add(node)
            continue
        if np.isfinite(value).all():
            continue
        if not any(source in nonfinite for source in node.inputs):
            unseen = [n for n in node.inputs if n is not None and n not in values]
            return nonfinite_value_fault(node, value, unseen)
        nonfinite.add(node)
    return None


def nonfinite_value_fault(node: Node, value: Any, unseen: Sequence[Node] = ()) -> Fault:
    """The fault of a node that made, or brought in, numbers that are not finite."""
    what = count_nonfinite(value)
    if isinstance(node, Leaf):
        name = f" {node.name!r}" if node.name else ""
        return Fault(node, "forward", "not finite", f"Forward: the leaf{name} holds {what}.")
    for slot, array in constants_of(node):
        if not np.isfinite(array).all():
            text = (
                f"Forward: {node.where} reads a constant, its input {slot}, that holds "
                f"{count_nonfinite(array)}: look at the data."
            )
            return Fault(node, "forward", mark_of("forward"), text)
    hint = forward_advice(node.plan.name)
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


def count_nonfinite(value: Any) -> str:
    """How many numbers are NaN and how many infinite."""
    nans, infinities = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    parts = [f"{nans} NaN"] * (nans > 0) + [f"{infinities} infinite"] * (infinities > 0)
    return f"{' and '.join(parts)} of {np.size(value)} numbers"


def first_nonfinite_gradient(tape: Tape, measured: Measured) -> Fault | None:
    """The first node, going back, that turns a finite gradient into one that is not."""
    for node in reversed(tape.nodes):
        before = measured.gradients.get(node)
        if before is None or not before.finite:
            continue
        for slot in range(len(node.inputs)):
            term = measured.contributions.get((node, slot))
            if term is not None and not np.isfinite(term.norm):
                # An infinite slope makes a finite gradient infinite, or NaN where it was 0.
                unused = bool(np.isnan(term.norm))
                hint = backward_advice(node, unused, consumers_of(tape))
                word = "NaN" if unused else "infinite"
                text = (
                    f"Backward: {node.where} is the first to turn a finite gradient into one that "
                    f"is {word}, for its input {slot}. {hint}"
                )
                return Fault(node, "backward", mark_of("backward"), text.strip())
    return None


def consumers_of(tape: Tape) -> dict[Node, list[Node]]:
    """The nodes that read each node."""
    consumers: dict[Node, list[Node]] = {}
    for node in tape.nodes:
        for source in node.inputs:
            if source is not None:
                consumers.setdefault(source, []).append(node)
    return consumers


def detached_fault(tape: Tape) -> Fault | None:
    """The last step whose states do not depend on those of the step before."""
    states = States(tape.nodes)
    for cell in states.layers:
        offset = states.offset_of(cell)
        steps = sorted(
            {step for lane, nodes in states.lanes.items() if lane.cell == cell for step in nodes},
            reverse=not states.backwards(cell),
        )
        for step, before in pairwise(steps):
            targets = states.of_step(cell, before)
            if not reaches(states.of_step(cell, step), set(targets)):
                text = (
                    f"Detached: the state of {cell or 'the cell'} at step {step - offset} does not "
                    f"depend on that at step {before - offset}, so no gradient goes further back "
                    "along it. Was it detached, or made from plain numbers?"
                )
                node = states.of_step(cell, step)[0]
                return Fault(node, "backward", "detached before", text)
        branched = states.chain_of(cell).after is not None
        if steps and steps[-1] > offset and not branched and not states.backwards(cell):
            text = (
                f"Detached: behind the loss, {cell or 'the cell'} begins at step "
                f"{steps[-1] - offset}; no step before it is on the graph. Was its state "
                "detached there?"
            )
            node = states.of_step(cell, steps[-1])[0]
            return Fault(node, "backward", "detached before", text)
    return None
