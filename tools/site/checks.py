"""Checks of the built pages: they need no network, links lead somewhere, no name is missing."""

import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import unquote, urldefrag

from tools.site.reference import PACKAGES, module_at, public_names

__all__ = ["faults", "inventory", "loaded_from_elsewhere", "missing_names"]

LOADING: Final = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""The attribute by which an element makes the browser fetch something."""

IN_STYLES: Final = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")

IN_SCRIPTS: Final = re.compile(r"""(?:import\s*\(?|from|fetch\()\s*["'`]((?:https?:)?//[^"'`]+)""")


class _Reader(HTMLParser):
    """The links, the places to link to, and what is fetched, of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.loads: list[str] = []
        self.within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        address = given.get(LOADING.get(tag, ""), "")
        if address and not (tag == "link" and given.get("rel") in ("canonical", "index", "search")):
            self.loads.append(address)
        self.loads += IN_STYLES.findall(given.get("style", ""))
        self.loads += [one.split()[0] for one in given.get("srcset", "").split(",") if one.strip()]
        if given.get("srcdoc"):  # a page in a frame
            within = _Reader()
            within.feed(given["srcdoc"])
            self.loads += within.loads
        self.within = tag

    def handle_data(self, data: str) -> None:
        if self.within == "style":
            self.loads += IN_STYLES.findall(data)
        elif self.within == "script":
            self.loads += IN_SCRIPTS.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self.within = ""


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


def _is_elsewhere(address: str) -> bool:
    return address.startswith(("http:", "https:", "//"))


def loaded_from_elsewhere(site: Path) -> list[str]:
    """What pages and style sheets would fetch from other hosts, each with its page."""
    found = []
    for path in sorted(site.rglob("*.html")):
        loads = [address for address in _read(path).loads if _is_elsewhere(address)]
        found += [f"{path.relative_to(site)} loads {address}" for address in loads]
    for path in sorted(site.rglob("*.css")):
        loads = IN_STYLES.findall(path.read_text("utf-8"))
        found += [f"{path.relative_to(site)} loads {address}" for address in loads]
    return found


def broken_links(site: Path, without: str = "") -> list[str]:
    """Links to files that are not there, or to places that their page does not have.

    Pages of code lead back to the page of the reference; the places they name there are those of
    one package only, because viewcode keeps one for each file.
    """
    pages = {path.resolve(): _read(path) for path in site.rglob("*.html")}
    found = []
    for path, reader in sorted(pages.items()):
        for link in dict.fromkeys(reader.links):
            if _is_elsewhere(link) or link.startswith(("mailto:", "data:", "javascript:")):
                continue
            file, place = urldefrag(link)
            target = (path.parent / unquote(file)).resolve() if file else path
            if target.is_dir():
                target /= "index.html"
            whole = not place or "_modules" in path.parts or target not in pages
            skipped = without and target.is_relative_to(site.resolve() / without)
            there = skipped or (
                target.exists() and (whole or unquote(place) in pages[target].places)
            )
            if not there:
                found.append(f"{path.relative_to(site.resolve())} links to {link}")
    return found


def inventory(path: Path) -> set[str]:
    """The names of Python that Sphinx's `objects.inv` lists.

    Source: version 2 of the format, four lines of text and then lines packed by zlib.
    """
    packed = path.read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode("utf-8").splitlines()
    return {line.split(" ")[0] for line in lines if " py:" in line}


def missing_names(names: set[str]) -> list[str]:
    """The public names of which neither they nor another name of the same thing are in a set."""
    described = set(_things(names))
    found = []
    for package in PACKAGES:
        for name in public_names(package):
            full = f"{package}.{name}"
            thing = getattr(module_at(package), name)
            if (
                full not in names
                and not isinstance(thing, ModuleType)
                and id(thing) not in described
            ):
                found.append(full)
    return sorted(found)


def _things(names: set[str]) -> Iterator[int]:
    """The functions and classes of full names, by identity; members of classes are left out."""
    for full in names:
        path, _, name = full.rpartition(".")
        if path in PACKAGES:
            thing = getattr(module_at(path), name, None)
            if callable(thing):
                yield id(thing)


def faults(site: Path, without: str = "") -> list[str]:
    """Everything that is wrong with a built site.

    Args:
        site: its folder.
        without: a folder within that was not built; links to there are no fault.
    """
    missing = missing_names(inventory(site / "objects.inv"))
    return [
        *loaded_from_elsewhere(site),
        *broken_links(site, without),
        *(f"the reference lacks {name}" for name in missing),
    ]
