"""The states by which a picture is made: named by the caller, labelled by cells, or found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from minigrad.core.errors import describe
from minigrad.core.nodes import Node
from minigrad.core.tensors import Tensor
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.measure import pass_through
from minigrad.draw.reading.opening import open_kernels
from minigrad.draw.reading.recurrence import find_labels, labels_of_rows
from minigrad.draw.reading.sequences import Label, labels_of

__all__ = ["NamedStates", "labels_on", "open_with_states", "tensors_of"]

NamedStates: TypeAlias = (
    Mapping[str, Sequence[Tensor]] | Sequence[Tensor] | Sequence[Sequence[Tensor]] | None
)
"""By name a state for every time step; or, for every step, one state or several, such as (h, c)."""


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
    return _named_labels(nodes, named) if named else find_labels(nodes)


def tensors_of(states: NamedStates) -> dict[str, list[Tensor]]:
    """The tensors of named states, by name and time step.

    Raises DrawError for anything but tensors, and where the numbers of steps differ.
    """
    if states is None:
        return {}
    if isinstance(states, Mapping):
        named = {str(name): list(series) for name, series in states.items()}
    else:
        rows = [list(s) if isinstance(s, (tuple, list)) else [s] for s in states]
        counts = {len(row) for row in rows}
        if len(counts) > 1:
            raise DrawError(
                f"states: every time step must have the same states, got {min(counts)} at one and "
                f"{max(counts)} at another"
            )
        names = ["h", "c", *(f"s{k}" for k in range(2, len(rows[0]) if rows else 0))]
        named = {n: list(s) for n, s in zip(names, zip(*rows, strict=True), strict=False)}
    if not named:
        raise DrawError("states is empty: name a tensor for every time step")
    lengths = {len(series) for series in named.values()}
    if len(lengths) != 1 or 0 in lengths:
        found = ", ".join(f"{name}: {len(series)}" for name, series in named.items())
        raise DrawError(f"states must name as many time steps of each state, got {found}")
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
    labels = labels_of_rows(rows)
    taken = {label.node for label in labels}
    others = [label for label in labels_of(nodes) if label.node not in taken]
    return sorted([*labels, *others], key=lambda label: label.node.number)
