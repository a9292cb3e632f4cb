"""What Sphinx needs to build an edition in another language, and to lead from one to the other.

- Each page links to the same page in the other language, or else to its start page.
- Pages that are not translated are not part of the edition; links to them lead to the English ones.
- Formulas on lines of their own are translated where they hold words.
- The words in figures are replaced when a page is written, and in the files that it shows.
- The search takes Korean words in pairs of syllables, so that it finds them with any ending.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.site.translations import catalogue, embedded, figures

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup", "syllables", "without_edition"]

NAMES: Final = {"en": "English", "ko": "한국어"}
HAS_WORDS: Final = re.compile(r"\\text\{[^}]*[A-Za-z]{2}")
FONTS: Final = "Noto Sans KR, Apple SD Gothic Neo, Malgun Gothic, NanumGothic"
IN_ENGLISH: Final = "영어 페이지"

THEME_WORDS: Final = {
    "ko": {
        'label="Toggle site navigation sidebar"': 'label="사이트 차례 열고 닫기"',
        'label="Toggle table of contents sidebar"': 'label="이 페이지의 차례 열고 닫기"',
        'label="Toggle Light / Dark / Auto color theme"': 'label="밝은 색, 어두운 색, 자동 바꾸기"',
        'label="Toggle navigation of ': 'label="하위 차례 열고 닫기: ',
        "@pradyunsg</a>'s": "@pradyunsg</a>의",
        "<title>Contents</title>": "<title>차례</title>",
        "<title>Menu</title>": "<title>메뉴</title>",
        "<title>Expand</title>": "<title>펼치기</title>",
        "<title>Light mode</title>": "<title>밝은 색</title>",
        "<title>Dark mode</title>": "<title>어두운 색</title>",
        "<title>Auto light/dark, in light mode</title>": "<title>자동, 지금 밝은 색</title>",
        "<title>Auto light/dark, in dark mode</title>": "<title>자동, 지금 어두운 색</title>",
    }
}
"""Words that the theme does not offer for translation, with what stands around them."""

_SPLITTER: Final = r"""
function splitQuery(query) {
  const words = query.match(/[\p{Letter}\p{Number}_]+/gu) || [];
  return words.flatMap((word) =>
    (word.match(/[\uac00-\ud7a3]+|[^\uac00-\ud7a3]+/g) || []).flatMap((part) =>
      /[\uac00-\ud7a3]{3}/.test(part)
        ? Array.from({ length: part.length - 1 }, (_, place) => part.slice(place, place + 2))
        : [part]));
}
"""


def syllables(text: str) -> list[str]:
    """The words of a text for the search; Korean ones as all their pairs of syllables.

    >>> syllables("LSTM의 기울기")
    ['LSTM', '의', '기울', '울기']
    """
    parts = re.findall(r"[\uac00-\ud7a3]+|[^\W\uac00-\ud7a3]+", text)
    found = []
    for part in parts:
        korean = "\uac00" <= part[0] <= "\ud7a3"
        pairs = [part[place : place + 2] for place in range(len(part) - 1)]
        found += pairs if korean and pairs else [part]
    return found


def without_edition(docs: Path) -> list[str]:
    """The patterns of what in the folder of the pages is not part of an edition."""
    names = [path.name for path in docs.iterdir() if path.name not in ("index.md", "lessons")]
    return [pattern for name in sorted(names) for pattern in (name, f"{name}/**")]


def formulas(app: "Sphinx") -> None:
    """Leave formulas on lines of their own to us: Sphinx would read a translation as a paragraph.

    Only those that hold words are messages at all.
    """
    from docutils import nodes
    from sphinx.transforms import SphinxTransform

    known: dict[str, dict[str, str]] = {}

    class Formulas(SphinxTransform):
        default_priority = 10  # before Sphinx looks for messages

        def apply(self, **_: Any) -> None:
            page, language = self.env.docname, self.config.language
            if page not in known and language != "en":
                held = catalogue.messages(catalogue.path_of(page, language))
                known[page] = {one.id: one.text for one in held if one.text and not one.fuzzy}
            for block in list(self.document.findall(nodes.math_block)):
                text = block.astext()
                if self.app.builder.name == "gettext":
                    if not HAS_WORDS.search(text):
                        block.parent.remove(block)
                elif text in known.get(page, {}):
                    block.rawsource = known[page][text]
                    block.children = [nodes.Text(block.rawsource)]

    app.add_transform(Formulas)


def link_to_english(app: "Sphinx", doctree: Any) -> None:
    """Let links to pages that are not translated lead to the English ones, and say so."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    for node in list(doctree.findall(pending_xref)):
        page = _page_meant(node, app.env.docname)
        if page is None or page in app.env.found_docs:
            continue
        up = "../" * (app.env.docname.count("/") + 1)
        place = f"#{node['reftargetid']}" if node.get("reftargetid") else ""
        link = nodes.reference("", "", internal=False, refuri=f"{up}{page}.html{place}")
        link["reftitle"] = IN_ENGLISH
        link["classes"] = [*node["classes"], "english"]
        link += node.children
        node.replace_self(link)


def _page_meant(node: Any, here: str) -> str | None:
    """The page that a reference to a page leads to; None for other references."""
    from sphinx.util import docname_join

    if node.get("refdomain") == "doc":  # of MyST, from the start
        return str(node["reftarget"])
    if node.get("reftype") == "doc":
        return str(docname_join(here, node["reftarget"])).removesuffix(".md")
    return None


def language_switch(
    app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Tell the template, `docs/_templates/page.html`, where the other language is."""
    both = page in catalogue.pages() or page == "search"
    other = "en" if app.config.language == "ko" else "ko"
    up = "../" * (page.count("/") + (other == "en"))
    folder = "ko/" if other == "ko" else ""
    target = page if both else "index"
    context["other_language"] = {
        "href": f"{up}{folder}{target}.html",
        "code": other,
        "name": NAMES[other],
    }
    context["theme_words"] = THEME_WORDS.get(app.config.language, {})


def translate_figures(
    app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Replace the words in the figures that stand on the page itself."""
    if context.get("body"):
        patterns = _patterns(app)
        body = figures.replaced(context["body"], figures.translator(patterns), FONTS)
        context["body"] = embedded.with_words(body, patterns, app.config.language)


def translate_files(app: "Sphinx", exception: Exception | None) -> None:
    """Replace the words in the files of figures, which Sphinx has just copied."""
    words = figures.translator(_patterns(app))
    for folder in ("_images", "_downloads"):
        for path in (Path(app.outdir) / folder).rglob("*.svg"):
            text = path.read_text("utf-8")
            path.write_text(figures.replaced(text, words, FONTS), encoding="utf-8")


def _patterns(app: "Sphinx") -> dict[str, str]:
    """From texts in figures to their translations, both with numbers taken out."""
    held = catalogue.messages(catalogue.path_of("figures", app.config.language))
    return {one.id: one.text for one in held if one.text and not one.fuzzy}


def setup_search(app: "Sphinx") -> None:
    """Add the search in Korean, which Sphinx lacks."""
    from sphinx.search import SearchLanguage

    class Korean(SearchLanguage):
        lang = "ko"
        language_name = "Korean"
        js_splitter_code = _SPLITTER

        def split(self, input: str) -> list[str]:
            return syllables(input)

        def stem(self, word: str) -> str:
            return word.lower()

    app.add_search_language(Korean)


def setup_edition(app: "Sphinx", config: Any) -> None:
    """Connect what only an edition in another language needs."""
    if config.language != "en":
        app.connect("doctree-read", link_to_english, priority=300)
        app.connect("html-page-context", translate_figures)
        app.connect("build-finished", translate_files)


def setup(app: "Sphinx") -> None:
    """Called by `tools.site.extension`."""
    setup_search(app)
    formulas(app)
    app.connect("config-inited", setup_edition)
    app.connect("html-page-context", language_switch)
