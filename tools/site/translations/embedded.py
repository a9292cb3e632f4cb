"""Words of the interactive pages that stand in frames of a page: found, and replaced.

The scripts of such a page write its words while it is read. So a translated page gets one more
script, which replaces whatever text appears, and the policy of the page allows that script by its
hash, as it does its own.
"""

import base64
import functools
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tools.site.translations import catalogue

__all__ = ["listed", "page_words", "pages_in", "with_words"]

_FRAME: Final = re.compile(r"(<iframe\b[^>]*\bsrcdoc=\")([^\"]*)(\")")
_STILL: Final = re.compile(r"<h1>(.*?)</h1>|<p>(.*?)</p>", re.DOTALL)
_HASHES: Final = "script-src "
_SCRIPT: Final = Path(__file__).with_name("page_words.js")


def pages_in(markup: str) -> Iterator[str]:
    """The interactive pages in the frames of a page.

    >>> list(pages_in('<iframe title="a" srcdoc="&lt;p&gt;loss&lt;/p&gt;"></iframe>'))
    ['<p>loss</p>']
    """
    for found in _FRAME.finditer(markup):
        yield html.unescape(found[2])


def page_words(page: str) -> Iterator[str]:
    """The texts with words of an interactive page: its headings, and what scripts write on any."""
    for heading, sentence in _STILL.findall(page.partition('id="still"')[2]):
        text = (heading or sentence).strip()
        if text and "<" not in text:
            yield html.unescape(text)
    yield from listed()


@functools.cache
def listed() -> tuple[str, ...]:
    """What the scripts of interactive pages write, with numbers taken out."""
    lines = (catalogue.LOCALES / "words-in-pages.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def with_words(markup: str, patterns: Mapping[str, str], language: str) -> str:
    """A page with other words in the interactive pages of its frames.

    Args:
        markup: the page.
        patterns: from texts to their translations, both with numbers taken out.
        language: the code of the language that they are then in.
    """
    script = _SCRIPT.read_text("utf-8").replace(
        "WORDS", json.dumps(dict(patterns), ensure_ascii=False).replace("<", "\\u003c")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    def translated(found: re.Match[str]) -> str:
        page = html.unescape(found[2])
        page = page.replace(_HASHES, f"{_HASHES}'sha256-{digest}' ", 1)
        page = page.replace('<html lang="en"', f'<html lang="{language}"', 1)
        page = page.replace("<body>", f"<body><script>{script}</script>", 1)
        return found[1] + html.escape(page) + found[3]

    replace: Callable[[re.Match[str]], str] = translated
    return _FRAME.sub(replace, markup)
