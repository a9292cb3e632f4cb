"""Words in figures: found in the SVG of the English pages, and replaced in those of an edition."""

import functools
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tools.site.translations import catalogue, embedded

__all__ = ["figures_of", "pattern_of", "replaced", "wanted", "words_in"]

_TEXT: Final = re.compile(r"(<text\b[^>]*>)(.*?)(</text>)", re.DOTALL)
_PIECE: Final = re.compile(r"(<[^>]*>)")
_PICTURE: Final = re.compile(r"<img\b[^>]*\bsrc=\"([^\"]+\.svg)\"")
_NUMBER: Final = re.compile(r"(?<![\w.{])[-−]?\d+(?:[.,]\d+)*(?:e[-+−]?\d+)?(?![\w])")


def pattern_of(text: str) -> tuple[str, list[str]]:
    """A text with its numbers taken out, and the numbers: they differ from one run to the next.

    A pattern stays what it is.

    >>> pattern_of("least squares: 0.17 at step 3")
    ('least squares: {1} at step {2}', ['0.17', '3'])
    >>> pattern_of("from {1} to {2}")[0]
    'from {1} to {2}'
    """
    numbers: list[str] = []

    def taken(found: re.Match[str]) -> str:
        numbers.append(found[0])
        return f"{{{len(numbers)}}}"

    return _NUMBER.sub(taken, text), numbers


def filled(pattern: str, numbers: list[str]) -> str:
    """The text of a pattern and its numbers."""
    for place, number in enumerate(numbers, start=1):
        pattern = pattern.replace(f"{{{place}}}", number)
    return pattern


def words_in(markup: str) -> Iterator[str]:
    """The texts in the figures of an SVG or a page, without what holds no word.

    >>> list(words_in('<text x="1">a &lt; loss</text><text>1.5</text>'))
    ['a < loss']
    """
    for found in _TEXT.finditer(markup):
        for piece in _PIECE.split(found[2]):
            text = html.unescape(piece).strip()
            if text and not piece.startswith("<") and re.search("[A-Za-z]", text):
                yield text


def replaced(markup: str, words: Callable[[str], str], fonts: str = "") -> str:
    """An SVG or a page with other texts in its figures.

    Args:
        markup: the SVG, or the page.
        words: from a text to that which replaces it.
        fonts: which have the letters of the other language, to be named before any sans-serif.

    >>> replaced('<title>loss</title><text x="1">loss &amp; 2</text>', {"loss & 2": "손실 < 2"}.get)
    '<title>loss</title><text x="1">손실 &lt; 2</text>'
    """

    def whole(found: re.Match[str]) -> str:
        text = "".join(_replaced_piece(piece, words) for piece in _PIECE.split(found[2]))
        begun = found[1]
        if fonts and text != found[2]:
            begun = begun.replace("sans-serif", f"{fonts}, sans-serif")
        return begun + text + found[3]

    return _TEXT.sub(whole, markup)


def _replaced_piece(piece: str, words: Callable[[str], str]) -> str:
    text = html.unescape(piece).strip()
    if piece.startswith("<") or not text:
        return piece
    other = words(text) or text
    if other == text:
        return piece
    before = piece[: len(piece) - len(piece.lstrip())]
    after = piece[len(piece.rstrip()) :]
    return before + html.escape(other, quote=False) + after


def translator(known: Mapping[str, str]) -> Callable[[str], str]:
    """From a text in a figure to its translation; what has none stays as it is."""

    def translated(text: str) -> str:
        pattern, numbers = pattern_of(text)
        return filled(known[pattern], numbers) if pattern in known else text

    return translated


def figures_of(site: Path, pages: Iterable[str]) -> Iterator[Path]:
    """The built pages, which hold figures themselves, and the files of figures that they show."""
    for name in pages:
        page = site / f"{name}.html"
        yield page
        for source in dict.fromkeys(_PICTURE.findall(page.read_text("utf-8"))):
            yield page.parent / source


def wanted(site: Path) -> list[str]:
    """The texts with words in the figures of the translated pages, as patterns, each once.

    Those of interactive pages in frames, too.
    """
    found: dict[str, None] = {}
    for path in figures_of(site, catalogue.pages()):
        markup = path.read_text("utf-8")
        texts = [*words_in(markup)]
        for page in embedded.pages_in(markup):
            texts += [*words_in(page), *embedded.page_words(page)]
        for text in texts:
            if not stays(text):
                found[pattern_of(text)[0]] = None
    return list(found)


@functools.cache
def _staying() -> re.Pattern[str]:
    lines = (catalogue.LOCALES / "names-in-figures.txt").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


def stays(text: str) -> bool:
    """Whether a text in a figure is the same in every language: a name, a symbol, a number."""
    return _staying().fullmatch(text) is not None
