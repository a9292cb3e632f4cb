"""Sentences about gradients: whether they vanish or explode, why, and along which route."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minigrad.draw.analysis.faults import Fault, detached_fault, find_faults
from minigrad.draw.analysis.gates import GateSeries
from minigrad.draw.analysis.lanes import LaneGradients
from minigrad.draw.analysis.time_measure import TimeMeasure
from minigrad.draw.analysis.weight_lags import WeightLags
from minigrad.draw.graph.records import Picture, PictureNode
from minigrad.draw.reading.measure import measure_terms
from minigrad.draw.render.bands import band_titles, bands_text
from minigrad.draw.render.grid import band_key
from minigrad.draw.style.labels import has_gradients
from minigrad.draw.style.scale import number_text

__all__ = ["cells_title", "describe_cells", "describe_time"]


def describe_cells(graph: Picture, faults: Sequence[str] = ()) -> Picture:
    """Add the title, and a sentence about the gradient along each lane, to a picture of cells."""
    title = graph.title or cells_title(graph)
    bands = sorted({band_key(node) for node in _cells(graph)})
    titles = band_titles(graph)
    sentences = list(faults)
    for key in bands:
        for state in sorted({n.state for n in graph.nodes if n.kind == "state"}):
            norms = [
                (node.step, node.gradient.norm)
                for node in graph.nodes
                if node.kind == "state"
                and node.state == state
                and band_key(node) == key
                and node.step is not None
                and node.gradient is not None
                and node.gradient.norm is not None
            ]
            # In a layer that reads time backwards, backward ends at the last step.
            sentence = _lane_sentence(state, sorted(norms, reverse=key[1]))
            if sentence and len(bands) > 1:
                band = titles[key]
                plain = band.startswith(("layer ", "sequence "))  # else the path of a module
                sentences.append(f"{band.capitalize() if plain else band}: {sentence}")
            elif sentence:
                sentences.append(sentence[0].upper() + sentence[1:])
    return Picture(graph.nodes, graph.edges, graph.scopes, graph.level, title, tuple(sentences))


def cells_title(graph: Picture, *, rolled: bool = False) -> str:
    """The heading of a picture of cells: what was unrolled, and whether gradients are in it."""
    cells = _cells(graph)
    axes: dict[int, list[PictureNode]] = {}
    for node in cells:
        if node.step is not None:
            axes.setdefault(node.offset, []).append(node)
    ways = []
    for _, side in sorted(axes.items()):
        kinds = ", ".join(sorted({node.op for node in side}))
        steps = len({node.step for node in side})
        count = f"{steps} step{'s' * (steps != 1)}"
        ways.append(f"{kinds}, rolled up over {count}" if rolled else f"{count} of {kinds}")
    text = ", then ".join(ways)
    if has_gradients(graph):
        text = f"The gradient's way back through {text}"
    bands = bands_text(graph) if len(axes) == 1 else ""
    return f"{text}, {bands}" if bands else text


def _cells(graph: Picture) -> list[PictureNode]:
    return [node for node in graph.nodes if node.kind == "group" and node.layer is not None]


def _lane_sentence(state: str, norms: list[tuple[int, float]]) -> str:
    """How the gradient norm of one state changes back in time."""
    if len(norms) < 2:
        return ""
    if any(not math.isfinite(norm) for _, norm in norms):
        last = [step for step, norm in norms if not math.isfinite(norm)][-1]
        return f"along {state} the gradient is not finite from step {last} back."
    (first, at_first), (last, _) = norms[0], norms[-1]
    peak_step, peak = max(reversed(norms), key=lambda pair: pair[1])  # nearest to the loss
    if peak == 0:
        return f"along {state} the gradient is zero."
    if at_first == 0:
        return f"along {state} the gradient is exactly zero at step {first}."
    lag = abs(peak_step - first)
    if not lag:
        factor = at_first / norms[-1][1] if norms[-1][1] else math.inf
        words = number_text(factor)
        return f"along {state} the gradient grows {words}-fold from step {last} back to {first}."
    factor = peak / at_first
    words = (
        f"along {state} the gradient falls {number_text(factor)}-fold over the {lag} "
        f"{'step' if lag == 1 else 'steps'} back to step {first}"
    )
    if factor > 1.01:
        words += f", by half every {number_text(lag / math.log2(factor))} steps"
    return words + "."


def describe_time(found: TimeMeasure) -> tuple[str, ...]:
    """How far the gradient of each state falls or grows, why, and along which route it comes."""
    sentences = []
    several = len({lane.lane.cell for lane in found.lanes}) > 1
    for lane in found.lanes:
        name = f"{lane.lane.state} of {lane.lane.cell}" if several else lane.lane.state
        sentences.append(lane_sentence(lane, name))
        sentences.append(route_sentence(found, lane, name))
    sentences += [gate_sentence(gate, several) for gate in found.gates]
    sentences += weight_sentences(found.weights)
    norms = [lane.by_lag[1] for lane in found.lanes]
    if all(np.isfinite(n).all() and n.all() for n in norms):
        chain = detached_fault(found.tape)
        faults: tuple[Fault, ...] = () if chain is None else (chain,)
    else:  # the operation that made the zeros, or what is not finite
        faults = find_faults(found.tape, measure_terms(found.seeds, shares=False))
    sentences += [fault.sentence for fault in faults]
    return tuple(text[0].upper() + text[1:] for text in sentences if text)


def lane_sentence(lane: LaneGradients, name: str) -> str:
    """Whether the gradient along a lane vanishes, explodes, or neither."""
    lags, norms = lane.by_lag
    known = np.isfinite(norms)
    if not known.all():
        endless = np.isinf(norms[~known][0])
        text = f"along {name} the gradient {'explodes: it is infinite,' if endless else 'is NaN,'}"
        return f"{text} not finite from {back(int(lags[~known][0]))} on."
    if not norms.any():
        return f"along {name} no gradient flows."
    if len(norms) < 2:
        return ""  # of one step there is nothing to compare
    start = int(np.flatnonzero(norms)[0])
    if not norms[-1]:
        dead = int(lags[np.flatnonzero(norms)[-1]]) + 1
        return f"along {name} the gradient is exactly zero from {back(dead)} on."
    span = int(lags[-1] - lags[start])
    factor = norms[-1] / norms[start]
    rate = lane.rate
    if factor < 0.01:
        verdict, words = "vanishes", f"falls {number_text(1 / factor)}-fold"
    elif factor > 100:
        verdict, words = "explodes", f"grows {number_text(factor)}-fold"
    else:
        verdict, words = "survives", f"changes by a factor of {number_text(factor)}"
    text = f"along {name} the gradient {verdict}: it {words} over {back(span)}"
    if rate < 1 - 1e-6:
        text += f", by half every {number_text(lane.half_life)} steps"
        text += f"; 1 % is left up to {back(lane.horizon)}"
    return f"{text}."


def back(lag: int) -> str:
    """A lag in words."""
    return f"{lag} step{'s' * (lag != 1)} back"


def route_sentence(found: TimeMeasure, lane: LaneGradients, name: str) -> str:
    """The route of most of the gradient at the longest lag."""
    names = found.routes.names
    steps, norms, shares = found.routes.series(lane.lane, lane.offset)
    known = np.flatnonzero(np.isfinite(shares[:, 0]))
    if len(names) < 2 or not len(known):
        return ""
    place = known[-1] if lane.backwards else known[0]
    best = int(np.argmax(norms[place]))
    lag = abs(int(steps[place]) - int(lane.loss_steps.max(initial=steps[-1])))
    share = shares[place, best]
    if lag == 0 or not norms[place].any():
        return ""
    way = (
        f"{'the ' if best == 0 else 'way of the ' if not names[best].startswith('several') else ''}"
    )
    mixed = bool((shares[place] < -0.05).any())
    return (
        f"of what reaches {name} {back(lag)}, "
        f"{'the largest part' if mixed else f'{share:.0%}'} came by {way}{names[best]}"
        + (f" (signed share {share:.0%}: other ways work against it)." if mixed else ".")
    )


def gate_sentence(gate: GateSeries, several: bool) -> str:
    """The mean of a forget or update gate, and the decay that it implies by itself."""
    if gate.op != "sigmoid" or gate.name not in ("forget gate", "update gate"):
        return ""
    where = f" of {gate.cell}" if several else ""
    mean = float(gate.mean.mean())
    kept = float(np.exp(gate.log_mean.mean()))
    text = f"the {gate.name}{where} is {mean:.2f} in the mean"
    if 0 < kept < 1 - 1e-9:
        text += (
            f", which by itself keeps {kept:.1%} a step: half every "
            f"{number_text(math.log(0.5) / math.log(kept))} steps"
        )
    if (saturated := float(gate.saturated.mean())) > 0.5:
        text += f"; {saturated:.0%} of it is saturated"
    return f"{text}."


def weight_sentences(weights: WeightLags) -> list[str]:
    """Parameters whose gradient looks healthy although its long lags have vanished."""
    hidden = []
    for leaf, norms in weights.norms.items():
        far = max(1, len(norms) // 2)
        if len(norms) > 3 and max(norms) > 0 and all(n < 1e-3 * max(norms) for n in norms[far:]):
            hidden.append(weights.names[leaf])
    if not hidden:
        return []
    first = weights.bins[max(1, len(weights.bins) // 2)][0]
    names = ", ".join(hidden[:3]) + (f" and {len(hidden) - 3} more" if len(hidden) > 3 else "")
    return [
        f"the gradient of {names} comes from short lags alone: every lag from {first} on brings "
        "less than a thousandth of the largest."
    ]
