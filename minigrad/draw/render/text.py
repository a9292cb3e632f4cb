"""A graph as a tree of text, for terminals and logs."""

from __future__ import annotations

import itertools
import math
import sys
from collections import defaultdict
from typing import Final

from minigrad.draw.graph.records import Picture, PictureNode
from minigrad.draw.render.bands import band_titles
from minigrad.draw.render.grid import BandKey, band_key, is_state
from minigrad.draw.style import escape, labels
from minigrad.draw.style.scale import number_text

_MOST_LINES: Final = 60
_BARS: Final = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_SPARK_WIDTH: Final = 48
_PLAIN: Final = {
    **{ord(bar): str(height) for height, bar in enumerate(_BARS, 1)},
    0x2502: "|",
    0x251C: "|",
    0x2500: "-",
    0x2514: "`",
    0x2026: "...",
    0xFFFD: "?",
}
_Tree = list[tuple[int, str]]


def graph_to_text(graph: Picture, most_lines: int = _MOST_LINES) -> str:
    """Return title, diagnosis and the tree of a graph, at most `most_lines` lines of tree.

    A graph of cells shows each state of each layer as one line: the range of its gradient norms
    and their course over time in log10. Any other graph shows its nodes under their scopes.
    """
    states = [node for node in graph.nodes if is_state(node)]
    tree = _cell_tree(graph, states) if graph.level == "cells" and states else _scope_tree(graph)
    lines = [escape.printable(text) for text in (graph.title, *graph.diagnosis) if text]
    lines.append(f"{len(graph.nodes):,} nodes, {len(graph.edges):,} edges ({graph.level})")
    drawn = _with_branches(tree)
    lines += drawn[:most_lines]
    if len(drawn) > most_lines:
        lines.append(f"and {len(drawn) - most_lines:,} more")
    return "\n".join(lines)


def printed(text: str) -> str:
    """Return `text` as standard output can print it: in ASCII if its encoding lacks a character.

    Bars become the digits 1 to 8, and characters of names that the encoding lacks escapes.
    """
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding is None:  # no stream, or one of text
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text
    return text


def sparkline(norms: list[float], width: int = _SPARK_WIDTH) -> str:
    """Return norms as bars, tall for large in log10; `0` for zero and `!` for NaN or infinity.

    With more norms than `width`, each bar shows the largest of its share, `!` if any is not finite.
    """
    if len(norms) > width:
        bounds = [round(index * len(norms) / width) for index in range(width + 1)]
        shares = [norms[a:b] for a, b in itertools.pairwise(bounds)]
        norms = [
            next((norm for norm in share if not math.isfinite(norm)), max(share))
            for share in shares
        ]
    logs = [math.log10(norm) for norm in norms if norm > 0 and math.isfinite(norm)]
    low, high = min(logs, default=0.0), max(logs, default=1.0)
    span = max(high - low, 1.0)
    bars = []
    for norm in norms:
        if not math.isfinite(norm):
            bars.append("!")
        elif norm <= 0:
            bars.append("0")
        else:
            place = 1 - (high - math.log10(norm)) / span
            bars.append(_BARS[round(place * (len(_BARS) - 1))])
    return "".join(bars)


def _cell_tree(graph: Picture, states: list[PictureNode]) -> _Tree:
    bands: dict[BandKey, dict[str, list[PictureNode]]] = defaultdict(lambda: defaultdict(list))
    for node in states:
        bands[band_key(node)][node.state].append(node)
    cells = {
        band_key(node): node
        for node in reversed(graph.nodes)
        if node.layer is not None and not is_state(node)
    }
    titles = band_titles(graph)
    tree: _Tree = []
    for key in sorted(bands, reverse=True):
        title = titles[key]
        if key in cells:
            title = f"{title}: {labels.title_of(cells[key])}"
        tree.append((0, title))
        for name, lane in sorted(bands[key].items(), key=lambda item: (item[0] == "h", item[0])):
            lane.sort(key=lambda node: node.step or 0)
            norms = [
                node.gradient.norm
                for node in lane
                if node.gradient is not None and node.gradient.norm is not None
            ]
            text = f"{name}: {sum(node.count for node in lane)} steps"
            if norms:
                spread = " ".join(number_text(norm) for norm in (norms[0], norms[-1]))
                first, _, last = spread.partition(" ")
                text += f", gradient {first} at the first, {last} at the last  {sparkline(norms)}"
            tree.append((1, text))
    for node in graph.nodes:
        if node.layer is None and not is_state(node) and node.step is None:
            tree.append((0, _node_line(node)))
    return tree


def _scope_tree(graph: Picture) -> _Tree:
    children: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    scopes = {scope.path: scope for scope in graph.scopes}
    seen: set[str] = set()
    for node in graph.nodes:
        path = node.frame if node.frame in scopes else ""
        children[path].append((node.id, "", _node_line(node)))
        # A scope stands where its first node stands.
        while path and path not in seen:
            seen.add(path)
            scope = scopes[path]
            title = labels.scope_title(path, scope.name)
            children[scope.parent].append((node.id, path, title))
            path = scope.parent
    tree: _Tree = []
    waiting = [(0, entry) for entry in sorted(children[""], reverse=True)]
    while waiting:
        depth, (_, path, text) = waiting.pop()
        tree.append((depth, text))
        if path:
            waiting += [(depth + 1, entry) for entry in sorted(children[path], reverse=True)]
    return tree


def _node_line(node: PictureNode) -> str:
    parts = [labels.title_of(node)]
    if node.kind not in ("op", "group"):
        parts.append(f"({node.kind})")
    parts += [labels.steps_text(node), labels.type_text(node.shape, node.dtype)]
    parts.append(labels.time_text(node))
    if node.gradient is not None and node.gradient.norm is not None:
        parts.append(f"gradient {number_text(node.gradient.norm)}")
    return "  ".join(escape.shorten(part, 60) for part in parts if part)


def _with_branches(tree: _Tree) -> list[str]:
    """Return the lines of the tree with its branches drawn in front of them."""
    lines: list[str] = []
    open_depths: set[int] = set()
    # From the end, since a branch goes on only if something follows on its level.
    for depth, text in reversed(tree):
        open_depths = {level for level in open_depths if level <= depth}
        trunk = "".join("\u2502  " if level in open_depths else "   " for level in range(depth))
        fork = "\u251c\u2500 " if depth in open_depths else "\u2514\u2500 "
        lines.append(trunk + fork + escape.printable(text))
        open_depths.add(depth)
    return lines[::-1]
