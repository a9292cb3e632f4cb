"""Catalogues made from the pages: new messages come in, changed ones are marked, old ones go."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.site.translations import catalogue, figures
from tools.site.translations.faults import has_words

__all__ = ["TEMPLATES", "extract", "messages_of", "update"]

ROOT: Final = catalogue.LOCALES.parents[1]

TEMPLATES: Final = ROOT / "site" / "gettext"
"""Where the messages of the English pages are written, without translations."""


def extract() -> None:
    """Write the messages of the pages that are translated into `TEMPLATES`; no cell runs.

    Raises RuntimeError, with what Sphinx said, if it cannot read the pages.
    """
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-b", "gettext", "-D", "language=en"]
    command += ["-d", str(ROOT / "site" / "doctrees-gettext"), "docs", str(TEMPLATES)]
    settings = {"MINIGRAD_DOCS_LANGUAGE": "ko", "MINIGRAD_DOCS_EXECUTION": "off"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    for path in TEMPLATES.rglob("*.pot"):  # of pages that there are no longer
        if path.relative_to(TEMPLATES).with_suffix("").as_posix() not in catalogue.pages():
            path.unlink()


def messages_of(page: str) -> list[str]:
    """The messages with words that `extract` found on a page, in their order."""
    found = catalogue.messages(TEMPLATES / f"{page}.pot")
    return [one.id for one in found if has_words(one.id)]


def update(site: Path | None, language: str = "ko") -> None:
    """Bring the catalogues to the state of the pages.

    Translations stay. Where the English text changed, sphinx-intl keeps the old translation and
    marks it as fuzzy, which is a fault until a translator looked at it and took the mark away.

    Args:
        site: the folder of the built English pages, for the words in figures; None leaves them.
        language: of the edition.
    """
    extract()
    command = [sys.executable, "-m", "sphinx_intl", "update", "--no-obsolete", "-l", language]
    command += ["-p", str(TEMPLATES), "-d", str(catalogue.LOCALES)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for page in catalogue.pages():
        path = catalogue.path_of(page, language)
        held = {one.id: one for one in catalogue.messages(path)}
        wanted = messages_of(page)
        catalogue.write(path, (held.get(id, catalogue.Message(id)) for id in wanted), language)
    if site is not None:
        path = catalogue.path_of("figures", language)
        held = {one.id: one for one in catalogue.messages(path)}
        wanted = figures.wanted(site)
        catalogue.write(path, (held.get(id, catalogue.Message(id)) for id in wanted), language)
