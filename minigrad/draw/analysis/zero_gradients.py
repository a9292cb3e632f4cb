"""Gradients that are exactly zero: where they became so, and which leaves have no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import Leaf, Node
from minigrad.draw.analysis.evidence import Fault, known_values
from minigrad.draw.reading.measure import Measured, Tape

__all__ = ["DeadUnits", "dead_gradient", "dead_unit_fault", "zero_leaf_fault"]

RECTIFIERS: Final = frozenset({"relu", "relu6", "hardtanh", "hardsigmoid", "clip", "maximum"})
FEWEST_ROWS: Final = 8
"""Units are called dead only where at least so many samples were seen."""


class DeadUnits:
    """Finds units of rectifiers that pass nothing back for any sample, from their terms."""

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


def dead_gradient(tape: Tape, measured: Measured) -> Fault | None:
    """The first node, going back, that passes nothing of its gradient on."""
    zero_leaves = [
        leaf
        for leaf in tape.nodes
        if isinstance(leaf, Leaf) and leaf in measured.gradients
        if measured.gradients[leaf].norm == 0
    ]
    if not zero_leaves:
        return None
    # Only operations between the loss and such a leaf can be the cause.
    leading_to_zero: set[Node] = set(zero_leaves)
    for node in tape.nodes:
        if any(source in leading_to_zero for source in node.inputs):
            leading_to_zero.add(node)
    for node in reversed(tape.nodes):
        gradient = measured.gradients.get(node)
        if node not in leading_to_zero or gradient is None or not gradient.norm:
            continue
        sent = [
            measured.contributions[node, slot].norm
            for slot in range(len(node.inputs))
            if (node, slot) in measured.contributions
        ]
        if sent and max(sent) == 0:
            text = (
                f"Backward: {node.where} gets a gradient of norm {gradient.norm:.3g} and passes "
                f"exactly 0 on to all its inputs, so {leaves_text(zero_leaves)} from this loss."
            )
            origin = zero_origin(tape, node)
            if origin is not None:
                text += f" What it reads is exactly 0 everywhere since {origin.where}."
            return Fault(node, "backward", "passes exactly 0", text)
    return None


def leaves_text(zero_leaves: Sequence[Leaf]) -> str:
    """Which leaves have a zero gradient, as the subject and verb of a sentence."""
    names = [repr(leaf.name) for leaf in zero_leaves if leaf.name]
    others = len(zero_leaves) - len(names[:4])
    parts = names[:4]
    if others:
        parts.append(f"{others} {'more ' * bool(parts)}{'leaf' if others == 1 else 'leaves'}")
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{listed} learn{'s' * (len(zero_leaves) == 1)} nothing"


def zero_origin(tape: Tape, reader: Node) -> Node | None:
    """The operation that computed the zeros which a node reads; None if it reads other values.

    The slope of a product or a power is 0 where its input is, so the fault lies before it.
    """
    zeros = {n for n, value in known_values(tape) if value is not None and not np.any(value)}
    found: Node | None = None
    here = reader
    while True:
        sources = [source for source in here.inputs if source in zeros]
        if not sources:
            return None if isinstance(found, Leaf) else found
        here = found = max(sources, key=lambda node: node.number)


def zero_leaf_fault(tape: Tape) -> Fault | None:
    """Leaves whose `.grad` is exactly 0, where nothing else of a backward was kept."""
    zero_leaves = [
        node
        for node in tape.nodes
        if isinstance(node, Leaf) and node.grad is not None and not np.any(node.grad.numpy())
    ]
    if not zero_leaves:
        return None
    below: set[Node] = set(zero_leaves)
    suspects = []
    for node in tape.nodes:
        if any(source in below for source in node.inputs):
            below.add(node)
            if node.plan.name in RECTIFIERS:
                suspects.append(node.where)
    way = f" On the way lies {suspects[0]}, which is 0 where it is off." if suspects else ""
    text = (
        f"Backward: the gradient is exactly 0 at the end, so {leaves_text(zero_leaves)}.{way} "
        "Where it became 0 was not kept: backward(retain_graph=True) keeps it."
    )
    return Fault(zero_leaves[0], "backward", "gradient exactly 0", text)


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
