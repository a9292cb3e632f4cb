r"""Text of users inside DOT: escaped so that it comes out of Graphviz as it went in.

Three readers stand between a name and the picture: the DOT grammar, Graphviz's escape strings
(`\N` is the node's id, `\l` breaks a line) with its entities, and the quoting of the Python
package graphviz, which takes `<...>` for an HTML label. Text from this module holds no quote, no
angle bracket and no single backslash, so none of the three finds anything to interpret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minigrad.draw.graph.records import well_formed

_REPLACEMENT: Final = "\ufffd"

# Control characters and the two noncharacters are not legal in XML, whatever their notation.
_FORBIDDEN: Final = dict.fromkeys((*range(32), *range(127, 160), 65534, 65535), _REPLACEMENT)
_ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}


def printable(text: str) -> str:
    """Return `text` with control characters and lone surrogates as U+FFFD."""
    return well_formed(text).translate(_FORBIDDEN)


def shorten(text: str, limit: int) -> str:
    """Return `text` cut in its middle to at most `limit` characters; names differ at the ends."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}\u2026{text[len(text) - tail :]}"


def label(text: str, limit: int = 40) -> str:
    """Return one line of a label for the DOT attribute `label`."""
    return printable(shorten(text, limit)).translate(_ENTITIES).replace("\\", "\\\\")


def label_lines(lines: Iterable[str], *, limit: int = 40, justify: str = "n") -> str:
    """Return a label of several lines; `justify` is n (centred), l (left) or r (right)."""
    # Graphviz crashes now and then on a line without any character, so an empty one is a space.
    broken = [label(line, limit) or " " for line in lines]
    if justify == "n":
        return "\\n".join(broken)
    return "".join(f"{line}\\{justify}" for line in broken)


def tooltip(lines: Iterable[str], *, limit: int = 400) -> str:
    """Return text for the DOT attribute `tooltip`, which Graphviz unescapes twice."""
    escaped = [
        printable(shorten(line, limit)).translate(_ENTITIES).replace("\\", "\\\\\\\\")
        for line in lines
    ]
    return "\\n".join(escaped)


def markup(text: str, limit: int = 200) -> str:
    """Return `text` for use between tags of an HTML-like label; it can hold no tag itself."""
    return printable(shorten(text, limit)).translate(_ENTITIES)
