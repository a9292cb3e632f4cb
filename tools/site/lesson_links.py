"""Where a text names a lesson by its number, the number leads to that lesson."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["link_lessons", "named_lessons", "setup"]

_NAMED: Final = re.compile(r"\b[Ll]essons? \d+(?:(?:,| and|, and| to) \d+)*|\d+강(?=\W|[가-힣])")
_EACH: Final = re.compile(r"[Ll]essons? \d+|\d+강|\d+")


def named_lessons(text: str) -> Iterator[tuple[str, int]]:
    """The parts of a text, each with the number of the lesson that it names, or 0.

    >>> [part for part in named_lessons("as in lessons 3 and 4.") if part[1]]
    [('lessons 3', 3), ('4', 4)]
    >>> list(named_lessons("in 30 lessons"))
    [('in 30 lessons', 0)]
    """
    end = 0
    for group in _NAMED.finditer(text):
        for found in _EACH.finditer(text, group.start(), group.end()):
            if found.start() > end:
                yield text[end : found.start()], 0
            digits = re.search(r"\d+", found[0])
            assert digits is not None
            yield found[0], int(digits[0])
            end = found.end()
    if end < len(text):
        yield text[end:], 0


def link_lessons(app: "Sphinx", doctree: Any, docname: str) -> None:
    """Make links of the lessons that a page names, but for itself, in headings and in code."""
    from docutils import nodes

    if docname.startswith("reference/"):
        return
    within = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.raw)
    pages = {
        int(name.split("/")[1][:2]): name
        for name in app.env.found_docs
        if re.match(r"lessons/\d\d-", name)
    }
    for text in list(doctree.findall(nodes.Text)):
        parts = list(named_lessons(str(text)))
        wanted = {number for _, number in parts if pages.get(number, docname) != docname}
        if not wanted or any(isinstance(one, within) for one in above(text)):
            continue
        made: list[Any] = []
        for part, number in parts:
            if number in wanted:
                address = app.builder.get_relative_uri(docname, pages[number])
                made.append(nodes.reference("", part, refuri=address, internal=True))
            else:
                made.append(nodes.Text(part))
        text.parent.replace(text, made)


def above(node: Any) -> Iterator[Any]:
    """The nodes that a node stands in, from its parent up."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app: "Sphinx") -> None:
    """Called by `tools.site.extension`."""
    app.connect("doctree-resolved", link_lessons)
