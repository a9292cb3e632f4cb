"""What is wrong with a catalogue: the check that a translation is complete."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tools.site.translations.catalogue import LOCALES, Message

__all__ = ["catalogue_faults", "faults_of", "has_words", "kept_words", "marks"]

HANGUL: Final = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_MARKS: Final = re.compile(
    r"""
    (?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))  # inline code
    | (?P<math>\$\$.+?\$\$|\$(?!\s)(?:\\.|[^$\\])+\$)     # formulas
    | \]\((?P<link>[^)\s]+)                               # where a link leads
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final = re.compile(r"\\text\{[^}]*\}")


def kept_words(language: str = "ko") -> set[str]:
    """The messages that stay as they are in English, one on each line of `same.txt`."""
    lines = (LOCALES / language / "same.txt").read_text("utf-8").splitlines()
    return {line for line in lines if line.strip() and not line.startswith("#")}


def marks(text: str) -> Counter[str]:
    r"""Inline code, formulas and targets of links: what a translation keeps, and how often.

    Words within formulas are left out.

    >>> sorted(marks("`x` is $x_t$, see [it](#there)"))
    ['#there', '$x_t$', '`x`']
    """
    return Counter(
        _without_words(found["code"] or found["math"] or found["link"])
        for found in _MARKS.finditer(text)
    )


def has_words(text: str) -> bool:
    r"""Whether there is anything to translate: not in a cell of a table that is a formula.

    >>> has_words("the gate $f_t$"), has_words(r"$f_t = \sigma(a)$"), has_words(r"$\text{loss}$")
    (True, False, True)
    """
    return bool(_WORDS.search(text)) or any(sign.isalpha() for sign in _MARKS.sub("", text))


def _without_words(formula: str) -> str:
    return _WORDS.sub(r"\\text{}", " ".join(formula.split()))


def faults_of(message: Message, kept: set[str]) -> list[str]:
    """What is wrong with one message, in words.

    Args:
        message: to look at.
        kept: messages that may stay English.

    >>> faults_of(Message("The loss of `f`", "손실"), set())
    ['`f` is missing']
    """
    if not message.text.strip():
        return ["not translated"]
    found = []
    if message.fuzzy:
        found.append("outdated (fuzzy): the English text changed")
    if message.id not in kept:
        if message.text == message.id:
            found.append("the same as in English")
        elif not HANGUL.search(message.text):
            found.append("without Hangul")
    if _WORDS.search(message.id) and "$" not in message.id:
        same = _without_words(message.id) == _without_words(message.text)
        return found if same else [*found, "the formula is another"]
    before, after = marks(message.id), marks(message.text)
    found += [f"{mark} is missing" for mark in before if mark not in after]
    found += [f"{mark} is not in the English text" for mark in after if mark not in before]
    return found


def catalogue_faults(
    name: str, held: Iterable[Message], wanted: Iterable[str], kept: set[str]
) -> list[str]:
    """What is wrong with a catalogue.

    Args:
        name: of the catalogue, to begin each line with.
        held: its messages.
        wanted: the messages that the English pages have now.
        kept: messages that may stay English.
    """
    held, wanted = list(held), list(dict.fromkeys(wanted))
    ids = [message.id for message in held]
    found = [f"{name}: not in the catalogue: {shown(one)}" for one in wanted if one not in set(ids)]
    found += [
        f"{name}: no longer in the English text: {shown(one)}"
        for one in ids
        if one not in set(wanted)
    ]
    found += [f"{name}: twice: {shown(one)}" for one, count in Counter(ids).items() if count > 1]
    for message in held:
        found += [f"{name}: {fault}: {shown(message.id)}" for fault in faults_of(message, kept)]
    return found


def shown(text: str, most: int = 70) -> str:
    """A message on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def stray_catalogues(pages: Iterable[str], language: str = "ko") -> list[str]:
    """Catalogues of pages that there are not."""
    folder: Path = LOCALES / language / "LC_MESSAGES"
    found = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.po")}
    return [f"{name}: there is no such page" for name in sorted(found - set(pages))]
