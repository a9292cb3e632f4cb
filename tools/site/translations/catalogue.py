"""Catalogues of gettext: a file of messages, each with its translation."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["LOCALES", "Message", "messages", "parse", "pages", "path_of", "text_of", "write"]

LOCALES: Final = Path(__file__).resolve().parents[3] / "docs" / "locales"

WIDTH: Final = 100

HEADER: Final = (
    "Language: {language}\n"
    "Content-Type: text/plain; charset=UTF-8\n"
    "Content-Transfer-Encoding: 8bit\n"
    "Plural-Forms: nplurals=1; plural=0;\n"
)
"""What stands in front of a catalogue: no dates and no machines, which would change every time."""


@dataclass
class Message:
    """A message of a catalogue.

    Attributes:
        id: the English text.
        text: its translation, empty if there is none.
        fuzzy: whether the English text changed since it was translated.
        notes: what translators noted about it.
    """

    id: str
    text: str = ""
    fuzzy: bool = False
    notes: list[str] = field(default_factory=list)


def path_of(name: str, language: str = "ko") -> Path:
    """The catalogue of a page, such as `lessons/05-lstm`, or of `figures`."""
    return LOCALES / language / "LC_MESSAGES" / f"{name}.po"


def pages() -> list[str]:
    """The pages that are translated: the start page and the lessons."""
    docs = LOCALES.parent
    lessons = sorted(path.stem for path in (docs / "lessons").glob("*.md"))
    return ["index", *(f"lessons/{name}" for name in lessons)]


def messages(path: Path) -> list[Message]:
    """The messages of a file, without its header; none if there is no such file."""
    return parse(path.read_text("utf-8")) if path.exists() else []


def parse(text: str) -> list[Message]:
    r"""The messages of a catalogue in their order, without its header and obsolete ones.

    Raises ValueError for a line that is not understood.

    >>> parse('#, fuzzy\nmsgid "a "\n"loss"\nmsgstr "손실"\n')
    [Message(id='a loss', text='손실', fuzzy=True, notes=[])]
    """
    found = [_message(block) for block in re.split(r"\n\s*\n", text) if block.strip()]
    return [one for one in found if one is not None and one.id]


def _message(block: str) -> Message | None:
    made = Message("")
    parts = {"msgid": "", "msgstr": ""}
    part = ""
    for line in block.strip().splitlines():
        if line.startswith("#,"):
            made.fuzzy = "fuzzy" in line
        elif line.startswith("# "):
            made.notes.append(line)
        elif not line.startswith("#"):
            keyword, _, quoted = line.partition('"')
            part = keyword.strip() or part
            if part not in parts or not line.endswith('"'):
                raise ValueError(f"not a line of a catalogue: {line}")
            parts[part] += ast.literal_eval(f'"{quoted}')
    made.id, made.text = parts["msgid"], parts["msgstr"]
    return made if part else None


def write(path: Path, given: Iterable[Message], language: str = "ko") -> None:
    """Write a catalogue, always in the same form: a change of a message changes no other."""
    text = text_of(given, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")


def text_of(given: Iterable[Message], language: str = "ko") -> str:
    r"""A catalogue as text.

    >>> print(text_of([Message("loss", "손실")]).split("\n\n")[1])
    msgid "loss"
    msgstr "손실"
    <BLANKLINE>
    """
    header = "\n".join(['msgid ""', *_quoted("msgstr", HEADER.format(language=language))])
    blocks = [header]
    for one in given:
        lines = [*one.notes, *(["#, fuzzy"] if one.fuzzy and one.text else [])]
        lines += [*_quoted("msgid", one.id), *_quoted("msgstr", one.text)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _quoted(keyword: str, text: str) -> Iterator[str]:
    """A keyword and its text between quotes, over several lines if it is long."""
    lines = [part for line in text.splitlines(keepends=True) for part in _wrapped(line)]
    if len(lines) <= 1 and len(keyword) + len(text) + 3 <= WIDTH:
        yield f'{keyword} "{_escaped(text)}"'
        return
    yield f'{keyword} ""'
    yield from (f'"{_escaped(line)}"' for line in lines)


def _wrapped(line: str) -> Iterator[str]:
    """A line in pieces that are not too long, cut behind spaces; a Hangul letter is two wide."""
    piece, width = "", 0
    for word in re.findall(r"\S*\s*", line):
        own = sum(2 if sign >= "\u1100" else 1 for sign in word)
        if piece and width + own > WIDTH - 2:
            yield piece
            piece, width = "", 0
        piece, width = piece + word, width + own
    if piece:
        yield piece


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t")
