"""Measured numbers in the text of pages, read from `docs/results.md`.

The role `result` names a number, and Sphinx puts it there with a link to where it stands:

    {result}`5::adding problem, RNN: lowest error in 2000 steps`
    {result}`One text::GRU 128::parameters`

The parts are a heading of the page (its number or its beginning), the first cell of a row, and the
column, which is `measured` unless it is said. A number that is not there is an error of the build.
"""

import functools
import re
from typing import TYPE_CHECKING, Any, Final

from tools.site.build import ROOT

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Table", "anchor", "number", "setup", "tables"]

PAGE: Final = "results"
MEASURED: Final = "measured"

Table = dict[str, dict[str, str]]
"""The rows of a table by their first cell, each with its cells by column."""


def tables(text: str) -> dict[str, Table]:
    """The tables of a page in Markdown, by the heading above them.

    >>> tables("## 4. RNN\\n\\n| figure | measured |\\n| --- | --- |\\n| text | 1.83 |\\n")
    {'4. RNN': {'text': {'figure': 'text', 'measured': '1.83'}}}
    """
    found: dict[str, Table] = {}
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if cells:
            columns = cells[0]
            found[heading] = {row[0]: dict(zip(columns, row, strict=True)) for row in cells[2:]}
    return found


@functools.cache
def _results() -> dict[str, Table]:
    return tables((ROOT / "docs" / f"{PAGE}.md").read_text("utf-8"))


def number(text: str, known: dict[str, Table] | None = None) -> tuple[str, str]:
    """The number that a role's text names, and the heading that it stands under.

    Raises:
        ValueError: when there is no such heading, row or column; it says what there is.
    """
    known = _results() if known is None else known
    place, row, column = [*text.split("::"), MEASURED, ""][:3]
    headings = [heading for heading in known if _is_meant(place, heading)]
    if len(headings) != 1:
        raise ValueError(f"{place!r} names {len(headings)} headings of {PAGE}.md: {list(known)}")
    (heading,) = headings
    if row not in known[heading]:
        raise ValueError(f"no row {row!r} under {heading!r} of {PAGE}.md: {list(known[heading])}")
    cells = known[heading][row]
    if column not in cells:
        raise ValueError(f"no column {column!r} under {heading!r} of {PAGE}.md: {list(cells)}")
    return cells[column], heading


def _is_meant(place: str, heading: str) -> bool:
    return heading.startswith(f"{place}. " if place.isdigit() else place)


def anchor(heading: str) -> str:
    """The place of a heading on its page, as docutils names it.

    >>> anchor("5. Short- and long-term dependencies")
    'short-and-long-term-dependencies'
    """
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-0123456789")


def result_role(
    name: str, raw: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()
) -> tuple[list[Any], list[Any]]:
    """The number, with a link to its table."""
    from docutils import nodes

    try:
        shown, heading = number(text)
    except ValueError as error:
        message = inliner.reporter.error(f"result: {error}", line=line)
        return [inliner.problematic(raw, raw, message)], [message]
    inliner.document.settings.env.note_dependency(str(ROOT / "docs" / f"{PAGE}.md"))
    node = nodes.reference(raw, shown, classes=["result"])
    node["result_heading"] = heading
    return [node], []


def link_results(app: "Sphinx", doctree: Any, docname: str) -> None:
    """Give the links of `result_role` their address, relative to the page."""
    from docutils import nodes

    for node in doctree.findall(nodes.reference):
        if "result_heading" in node:
            page = app.builder.get_relative_uri(docname, PAGE)
            node["refuri"] = f"{page}#{anchor(node['result_heading'])}"


def setup(app: "Sphinx") -> None:
    """Add the role; called by `tools.site.extension`."""
    app.add_role("result", result_role)
    app.connect("doctree-resolved", link_results)
