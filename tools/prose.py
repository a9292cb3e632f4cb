"""The words that this project does not write, and where they stand nevertheless.

    python -m tools.prose

reads the pages of the documentation and the docstrings and comments of `minigrad` and `layers`,
prints each finding with what to write in its place, and fails if there is one. Typing mistakes are
left to codespell; here are only phrases that a reader from the field would have to guess at. The
terms to write are in the glossary of CONTRIBUTING.md.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.house import ROOT, sources

__all__ = ["PHRASES", "Finding", "findings", "in_page", "in_python"]

PHRASES: Final = {
    r"\bbe (?:it|they)\b": "even if it is",
    r"\b(?:drawn|draw\w*|begins?|fill(?:ed)?) (?:\w+ ){0,3}?evenly(?! spaced)\b": "uniformly",
    r"\bafresh, evenly\b": "again, uniformly",
    r"\bexcept (?:it|them) in\b": "list the exception in",
    r"\bnobody asked (?:for|about)\b": "unused, not requested",
    r"\bby which routes?\b": "along which path",
    r"\bspoil(?:s|ed|t|ing)?\b": "nonfinite",
    r"\b(?:begin|begins|began|begun) (?:anew|afresh)\b": "start again, reset, restart",
    r"\bin place (?:writ(?:e|es|ing)|updates?|operations?|assignments?)\b": "in-place ...",
    r"\bbeyond (?:the|its) bounds\b": "out of bounds",
    r"\b(?:begin_anew|beyond_zero|along_batch)\b": "reset_parameters, zero_finished, expand_batch",
    r"\bgradients? (?:dies|die|dries|starves?) ?(?:out|up|away)?\b": "the gradient vanishes",
    r"\b(?:there|it) is but\b": "there is only",
    r"\b(?:albeit|hitherto|nought|thereof|whence|whereupon|whilst|whither)\b": "plain words",
}
"""What not to write, as regular expressions without regard to case, and what to write instead."""

_PATTERNS: Final = [
    # Lines may break between two words, also in a comment or a quotation.
    (re.compile(phrase.replace(" ", r"[\s#>]+"), re.IGNORECASE), advice)
    for phrase, advice in PHRASES.items()
]
_MARGIN: Final = str.maketrans("#>", "  ")
_PAGES: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


@dataclass(frozen=True, order=True)
class Finding:
    """A phrase, where it stands, and what to write instead."""

    path: str
    line: int
    phrase: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: write {self.advice!r}"


def _in_text(path: str, first: int, text: str) -> Iterator[Finding]:
    """The findings in a piece of prose that begins on the line `first`."""
    for pattern, advice in _PATTERNS:
        for match in pattern.finditer(text):
            line = first + text.count("\n", 0, match.start())
            yield Finding(path, line, " ".join(match[0].translate(_MARGIN).split()), advice)


def in_page(path: str, text: str) -> list[Finding]:
    """The findings in a page of Markdown. Its tables may quote what not to write."""
    prose = re.sub(r"^\|.*\|$", "", text, flags=re.MULTILINE)
    return sorted(_in_text(path, 1, prose))


def in_python(path: str, text: str) -> list[Finding]:
    """The findings in the docstrings and comments of a Python file."""
    parts = [*_docstrings(text), *_comments(text)]
    return sorted(found for first, part in parts for found in _in_text(path, first, part))


def _docstrings(text: str) -> Iterator[tuple[int, str]]:
    """The texts that stand as statements, and the lines on which they begin."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """The comments, and the lines on which they begin; lines that follow each other are one."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != first + len(lines):
                yield first, "\n".join(lines)
                first, lines = token.start[0], []
            lines.append(token.string)
    yield first, "\n".join(lines)


def findings(root: Path = ROOT) -> list[Finding]:
    """All findings below a folder, by file and line."""
    pages = [path for name in _PAGES if (path := root / name).is_file()]
    pages += sorted((root / "docs").rglob("*.md"))
    found = []
    for page in pages:
        found += in_page(page.relative_to(root).as_posix(), page.read_text("utf-8"))
    for file, text in sources(root).items():
        found += in_python(file, text)
    return found


def main() -> int:
    """Print the findings of this checkout; their number, 0 if there are none."""
    found = findings(ROOT)
    for finding in found:
        print(finding)
    return len(found)


if __name__ == "__main__":
    sys.exit(bool(main()))
