"""What the pictures say about a node or an edge, as plain text that is not yet escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from minigrad.draw.graph.records import Edge, Picture, PictureNode, Statistics
from minigrad.draw.style.scale import Scale, TimeScale, number_text
from minigrad.draw.style.theme import Theme

_DTYPE = re.compile(r"(float|int|uint|complex|bfloat)(\d+)")
_SHORT = {"float": "f", "int": "i", "uint": "u", "complex": "c", "bfloat": "bf"}


def type_text(shape: tuple[int, ...] | None, dtype: str) -> str:
    """Return dtype and shape in brief: `f32[32, 128]`, `f64[]` for a scalar."""
    found = _DTYPE.fullmatch(dtype)
    short = _SHORT[found[1]] + found[2] if found else dtype
    if shape is None:
        return short
    return f"{short}[{', '.join(str(size) for size in shape)}]"


def steps_text(node: PictureNode) -> str:
    """Return the time steps of a node: `t = 3`, `t = 3 to 96`, or nothing."""
    if node.step is None:
        return ""
    if node.last_step is None or node.last_step == node.step:
        return f"t = {node.step}"
    return f"t = {node.step} to {node.last_step}"


def reading_text(graph: Picture, first: int, last: int) -> str:
    """Return what is read at a time step, or at the first and the last of several."""
    known = [graph.readings[step] for step in (first, last) if 0 <= step < len(graph.readings)]
    return " \u2026 ".join(known[:1] if first == last else known)


def range_text(lowest: float | None, highest: float | None) -> str:
    """Return a span of norms: `1.2e-05 to 0.3`; one number if both ends print alike."""
    if lowest is None or highest is None:
        return ""
    low, high = number_text(lowest), number_text(highest)
    return low if low == high else f"{low} to {high}"


def title_of(node: PictureNode) -> str:
    """Return the main word for a node: the user's name of it, its state, or its op."""
    if node.kind == "state":
        return node.state or node.name
    if node.kind in ("parameter", "input", "constant"):
        return node.name or node.op or node.kind
    return node.op or node.name or node.state or node.kind


def scope_title(path: str, class_name: str) -> str:
    """Return the heading of a scope: its path and class."""
    return f"{path}: {class_name}" if class_name and class_name != path else path


def _statistics_line(word: str, statistics: Statistics) -> str:
    parts = []
    if statistics.norm is not None:
        parts.append(f"norm {number_text(statistics.norm)}")
    if statistics.minimum is not None and statistics.maximum is not None:
        parts.append(f"from {number_text(statistics.minimum)} to {number_text(statistics.maximum)}")
    if statistics.mean is not None:
        parts.append(f"mean {number_text(statistics.mean)}")
    if not statistics.finite:
        parts.append("holds NaN or Inf")
    return f"{word}: {', '.join(parts)}" if parts else f"{word}: finite"


def node_tooltip(node: PictureNode) -> list[str]:
    """Return all that is known about a node, line by line."""
    heading = title_of(node) if node.kind in ("op", "group") else f"{node.kind} {title_of(node)}"
    lines = [f"{node.count} x {heading}" if node.count > 1 else heading]
    if node.name and node.name != title_of(node):
        lines.append(node.name)
    place = [node.scope] if node.scope else []
    if node.layer is not None:
        place.append(f"layer {node.layer}{' reverse' if node.reverse else ''}")
    if node.step is not None:
        place.append(steps_text(node))
    if place:
        lines.append(", ".join(place))
    if node.detail:
        lines.append(node.detail)
    if node.shape is not None or node.dtype:
        lines.append(type_text(node.shape, node.dtype))
    if node.seconds is not None:
        lines.append(f"{time_text(node)}, forward and backward")
    if node.value is not None:
        lines.append(_statistics_line("value", node.value))
    if node.gradient is not None:
        lines.append(_statistics_line("gradient", node.gradient))
    if node.fault:
        lines.append(node.fault)
    if node.lowest is not None and node.highest is not None:
        lines.append(f"gradient norms: {range_text(node.lowest, node.highest)}")
    return lines


def edge_tooltip(edge: Edge, graph_nodes: dict[int, PictureNode]) -> list[str]:
    """Return all that is known about an edge, line by line."""
    source, target = graph_nodes[edge.source], graph_nodes[edge.target]

    def place(node: PictureNode) -> str:
        layer = "" if node.layer is None else f"layer {node.layer}{' reverse' * node.reverse}"
        where = ", ".join(part for part in (layer, steps_text(node)) if part)
        return f"{title_of(node)} ({where})" if where else title_of(node)

    lines = [f"{place(source)} -> {place(target)}, slot {edge.slot}"]
    if edge.count > 1:
        lines.append(f"{edge.count} edges")
    if edge.shape is not None:
        lines.append(type_text(edge.shape, ""))
    if edge.route:
        lines.append(f"route: {edge.route}")
    term = edge.contribution
    if term is not None:
        lines.append(f"adds a gradient of norm {number_text(term.norm)} to {place(source)}")
        if term.share is not None:
            lines.append(f"share of that gradient: {term.share:.1%}")
        if term.lowest is not None and term.highest is not None:
            middle = "" if term.median is None else f", median {number_text(term.median)}"
            lines.append(
                f"norms of the single edges: {range_text(term.lowest, term.highest)}{middle}"
            )
    return lines


def edge_measure(edge: Edge, scale: Scale) -> float | None:
    """Return the number that a scale draws for an edge, None where unknown."""
    return None if edge.contribution is None else scale.measured(edge.contribution)


def edge_norm(edge: Edge) -> float | None:
    """Return the norm of what an edge carries back, None where unknown."""
    return None if edge.contribution is None else edge.contribution.norm


def shown_norms(graph: Picture) -> list[float]:
    """Return all norms that a picture shows as a colour or a width: of edges, and of states."""
    norms = [norm for edge in graph.edges if (norm := edge_norm(edge)) is not None]
    for node in graph.nodes:
        if node.kind == "state" and node.gradient is not None and node.gradient.norm is not None:
            norms.append(node.gradient.norm)
    return norms


def common_scale(graphs: Iterable[Picture], colors: Theme) -> Scale:
    """Return the scale that spans all norms that some pictures show."""
    return Scale.spanning((norm for graph in graphs for norm in shown_norms(graph)), colors)


def scale_of(graph: Picture, colors: Theme, given: Scale | None) -> Scale | None:
    """Return the scale of a picture: the given one, or one that spans its norms.

    None stands for a picture without gradients.
    """
    if not has_gradients(graph):
        return None
    return common_scale([graph], colors) if given is None else given


def time_scale_of(graph: Picture, colors: Theme) -> TimeScale | None:
    """Return the scale that spans the times of the boxes of a picture; None where none is known."""
    times = [1000 * node.seconds for node in graph.nodes if node.seconds is not None]
    return TimeScale.spanning(times, colors) if times else None


def time_text(node: PictureNode) -> str:
    """Return how long a node took: `1.2 ms`, or nothing where that is not known."""
    return "" if node.seconds is None else f"{number_text(1000 * node.seconds)} ms"


def onward_text(edge: Edge) -> str:
    """Return `next, x99` for an edge that leads on to the next step or layer, else nothing."""
    return f"next, x{edge.count}" if edge.kind == "rolled" else ""


def gradient_text(edge: Edge, text: str) -> str:
    """Return the number of a gradient; for a rolled edge smallest, median and largest of all.

    An edge that leads on says so first, in two lines: one line is too long for most frames.
    """
    term = edge.contribution
    spread = () if term is None else (term.lowest, term.median, term.highest)
    numbers = [number_text(number) for number in spread if number is not None]
    if len(numbers) == 3:
        text = " / ".join(numbers)
    onward = onward_text(edge)
    return f"{onward}: {text}".replace(" / ", " / \n", 1) if onward else text


def has_gradients(graph: Picture) -> bool:
    """Return whether any edge of the graph knows what it carries back."""
    return any(edge.contribution is not None for edge in graph.edges)


def wrap(text: str, width: int) -> list[str]:
    """Break a sentence into lines of at most `width` characters, within words only if it must."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while len(word) > width:
            lines += [line] if line else []
            line, word = "", f"{word}"
            lines.append(word[:width])
            word = word[width:]
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines
