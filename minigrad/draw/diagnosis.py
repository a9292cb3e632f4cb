"""What a picture shows, in words: how far the gradient fell, where it died, what kept it alive."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minigrad.draw.records import Graph

__all__ = ["describe_cells"]


def describe_cells(graph: Graph, faults: Sequence[str] = ()) -> Graph:
    """Say what cells the picture shows and how the gradient fared along each lane."""
    cells = [node for node in graph.nodes if node.kind == "group" and node.layer is not None]
    steps = sorted({node.step for node in cells if node.step is not None})
    layers = sorted({node.layer for node in cells if node.layer is not None})
    kinds = sorted({node.op for node in cells})
    title = graph.title or (
        f"The gradient's way back through {len(steps)} steps of {', '.join(kinds)}"
        + (f", {len(layers)} layers" if len(layers) > 1 else "")
    )
    sentences = list(faults)
    for layer in layers:
        for state in sorted({n.state for n in graph.nodes if n.kind == "state"}):
            norms = [
                (node.step, node.gradient.norm)
                for node in graph.nodes
                if node.kind == "state"
                and node.state == state
                and node.layer == layer
                and node.step is not None
                and node.gradient is not None
                and node.gradient.norm is not None
            ]
            sentence = _lane_sentence(state, sorted(norms))
            if sentence:
                prefix = f"layer {layer}: " if len(layers) > 1 else ""
                text = prefix + sentence
                sentences.append(text[0].upper() + text[1:])
    return Graph(graph.nodes, graph.edges, graph.scopes, graph.level, title, tuple(sentences))


def _lane_sentence(state: str, norms: list[tuple[int, float]]) -> str:
    """How the gradient norm of one state changes on the way back in time."""
    if len(norms) < 2:
        return ""
    if any(not math.isfinite(norm) for _, norm in norms):
        last = max(step for step, norm in norms if not math.isfinite(norm))
        return f"along {state} the gradient is not finite from step {last} back."
    (first, at_first), (last, _) = norms[0], norms[-1]
    peak_step, peak = max(norms, key=lambda pair: (pair[1], pair[0]))
    if peak == 0:
        return f"along {state} the gradient is zero."
    if at_first == 0:
        return f"along {state} the gradient is exactly zero at step {first}."
    lag = peak_step - first
    if not lag:
        factor = at_first / norms[-1][1] if norms[-1][1] else math.inf
        return (
            f"along {state} the gradient grows {factor:.3g}-fold from step {last} back to {first}."
        )
    factor = peak / at_first
    words = (
        f"along {state} the gradient falls {factor:.3g}-fold over the {lag} "
        f"{'step' if lag == 1 else 'steps'} back to step {first}"
    )
    if factor > 1.01:
        words += f", by half every {lag / math.log2(factor):.2g} steps"
    return words + "."
