"""Docstrings as reStructuredText.

Our docstrings are plain text: code stands between backticks, examples after `>>>`, code on its own
is indented, and stars, bars and underscores mean themselves. `as_rst` writes that down in the
language that Sphinx reads; sections such as ``Args:`` are left to its extension napoleon.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["as_rst"]

_CODE: Final = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
_SPECIAL: Final = re.compile(r"(?<!\\)([*|\\])|(?<=\w)(_)(?!\w)|^(\s*-?\s*[A-Z])(?=\.\s)")
_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ITEM: Final = re.compile(r"\s*([-*]|\d+\.)\s")


def as_rst(text: str, find: Callable[[str], str | None] = lambda name: None) -> str:
    """A docstring, without indentation of its own, in reStructuredText.

    Args:
        text: the docstring, as `inspect.getdoc` gives it.
        find: from a name in backticks to the full name that the reference documents, or None.

    >>> as_rst("`x` times a*b, see `Thing`.", {"Thing": "layers.Thing"}.get)
    '``x`` times a\\\\*b, see :py:obj:`Thing <layers.Thing>`.'
    """
    return "\n".join(
        part if verbatim else _prose(part, find) for verbatim, part in _parts(text.splitlines())
    )


def _parts(lines: list[str]) -> Iterator[tuple[bool, str]]:
    """The parts of a docstring: whether one is an example or code on its own, and its text."""
    before = ""  # the last line that is not blank
    held: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        blank_above = index == 0 or not lines[index - 1].strip()
        if line.lstrip().startswith(">>>"):
            end = index
            while end < len(lines) and lines[end].strip():
                end += 1
        elif _begins_code(line, blank_above, before):
            end = index
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith("    ")):
                end += 1
            if not before.endswith("::"):
                held += ["::", ""]
        else:
            held.append(line)
            before = line if line.strip() else before
            index += 1
            continue
        if held:
            yield False, "\n".join(held)
        yield True, "\n".join(lines[index:end])
        held, before, index = [], lines[end - 1], end
    if held:
        yield False, "\n".join(held)


def _begins_code(line: str, blank_above: bool, before: str) -> bool:
    """Whether an indented block begins here that belongs to no section and no list."""
    indented = line.startswith("    ") and bool(line.strip())
    flush = bool(before) and not before.startswith(" ")
    belongs = _ITEM.match(before) or _ITEM.match(line)
    return indented and blank_above and flush and not belongs


def _prose(text: str, find: Callable[[str], str | None]) -> str:
    pieces = _CODE.split(text)
    pieces[0::2] = [_escaped(piece) for piece in pieces[0::2]]
    pieces[1::2] = [_code(piece, find) for piece in pieces[1::2]]
    for place in range(1, len(pieces), 2):  # markup ends where a letter follows: `Tensor`s
        if pieces[place + 1][:1].isalnum():
            pieces[place] += "\\ "
        if pieces[place - 1][-1:].isalnum():
            pieces[place] = "\\ " + pieces[place]
    return "".join(pieces)


def _escaped(text: str) -> str:
    lines = text.split("\n")
    lists = [re.match(r"\s*\* ", line) for line in lines]
    return "\n".join(
        line if item else _SPECIAL.sub(_escape, line)
        for line, item in zip(lines, lists, strict=True)
    )


def _escape(found: re.Match[str]) -> str:
    """A sign that would be markup, or the initial of a name that would begin a list."""
    initial = found[3]
    return f"{initial[:-1]}\\{initial[-1]}" if initial else f"\\{found[0]}"


def _code(piece: str, find: Callable[[str], str | None]) -> str:
    inner = piece.strip("`")
    full = find(inner) if _NAME.fullmatch(inner) else None
    if full is not None:
        return f":py:obj:`{inner} <{full}>`"
    return f"``{inner.strip()}``"
