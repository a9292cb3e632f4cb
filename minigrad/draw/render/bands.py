"""The titles of the bands in a picture of cells: their modules, or numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from minigrad.draw.graph.records import Picture, PictureNode
from minigrad.draw.render.grid import BandKey, band_key, is_state

__all__ = ["band_titles", "bands_text"]

_LONGEST: Final = 18
_REVERSE: Final = "_reverse"


def band_titles(graph: Picture) -> dict[BandKey, str]:
    """The name of each band of lanes.

    That is the path of its module, if it is short and no other band has it; "sequence k" where a
    single cell ran on several sequences; else "layer k".
    """
    paths = _paths(graph)
    shared = Counter(paths.values())
    titles = {}
    for rank, key in enumerate(sorted(paths)):
        path = paths[key]
        if path and shared[path] == 1 and len(path) <= _LONGEST:
            backwards = "" if not key[1] or path.endswith(_REVERSE) else " (reverse)"
            titles[key] = path + backwards
        elif path and len(shared) == 1 and shared[path] > 1:
            titles[key] = f"sequence {rank + 1}{' (reverse)' * key[1]}"
        else:
            titles[key] = f"layer {key[0]}{' (reverse)' * key[1]}"
    return titles


def bands_text(graph: Picture) -> str:
    """How many layers and sequences there are: "2 layers, both directions"; empty for one."""
    paths = _paths(graph)
    modules = {path or str(key) for key, path in paths.items()}
    pairs = {path for path in modules if path.removesuffix(_REVERSE) in modules - {path}}
    layers = len(modules) - len(pairs)
    parts = [f"{layers} layers"] * (layers > 1)
    if pairs:
        parts.append("both directions")
    if len(paths) > len(modules):
        parts.append(f"{len(paths)} sequences")
    return ", ".join(parts)


def _paths(graph: Picture) -> dict[BandKey, str]:
    """The path of each band's module; empty where it has none, or one for each step."""
    found: dict[BandKey, set[str]] = defaultdict(set)
    for node in graph.nodes:
        if _in_band(node):
            found[band_key(node)].add(node.scope)
    return {key: next(iter(paths)) if len(paths) == 1 else "" for key, paths in found.items()}


def _in_band(node: PictureNode) -> bool:
    return is_state(node) or (node.layer is not None and node.kind in ("group", "op", "elided"))
