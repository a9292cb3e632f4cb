"""The Korean edition: what the check of its catalogues finds, and words in figures and pages."""

import html
import re

import pytest

from minigrad.draw.pages import PageFrame
from tools.site.translations import catalogue, embedded, figures
from tools.site.translations.catalogue import Message
from tools.site.translations.faults import catalogue_faults, faults_of, kept_words, stray_catalogues

ASSETS = catalogue.LOCALES.parents[1] / "minigrad" / "draw" / "assets"
PATTERNS = {"Fit": "맞추기", "Search": "찾기", "{1} boxes": "상자 {1}개", "two steps": "두 단계"}


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (Message("a loss", ""), "not translated"),
        (Message("a loss", "손실", fuzzy=True), "outdated"),
        (Message("a loss", "a loss"), "the same as in English"),
        (Message("a loss", "perte"), "without Hangul"),
        (Message("a `loss`", "손실"), "`loss` is missing"),
        (Message("a loss", "손실 `loss`"), "is not in the English text"),
        (Message("of $x_t$", "$x_s$의"), "is missing"),
        (Message("[it](#there)", "[그것](#here)"), "#there is missing"),
    ],
)
def test_a_fault_of_a_message_is_found(message, fault):
    assert any(fault in found for found in faults_of(message, set()))


def test_a_good_message_has_no_fault():
    assert faults_of(Message("of $x_t$ in `f`, [see](#x)", "`f`의 $x_t$, [참고](#x)"), set()) == []
    assert faults_of(Message("LSTM", "LSTM"), {"LSTM"}) == []


def test_what_is_not_in_a_catalogue_or_no_longer_on_the_page_is_found():
    held = [Message("a", "가"), Message("b", "나"), Message("b", "나")]
    found = "\n".join(catalogue_faults("page", held, ["a", "c"], set()))
    assert "not in the catalogue: c" in found
    assert "no longer in the English text: b" in found
    assert "twice: b" in found
    assert ": a" not in found


def test_every_page_has_a_catalogue_without_a_fault_in_its_messages():
    """Whether they are those of the English pages is for `python -m tools.site` to say."""
    kept = kept_words()
    found = []
    for name in [*catalogue.pages(), "figures"]:
        held = catalogue.messages(catalogue.path_of(name))
        found += [f"{name}: no catalogue"] if not held else []
        found += catalogue_faults(name, held, [one.id for one in held], kept)
    assert found == []
    assert stray_catalogues([*catalogue.pages(), "figures", "sphinx"]) == []


def test_numbers_of_a_figure_may_change_places():
    words = figures.translator({"half in {1} of {2} steps": "{2}단계 가운데 {1}에 절반"})
    assert words("half in 3.5 of 50 steps") == "50단계 가운데 3.5에 절반"
    assert words("half in a year") == "half in a year"


def test_what_scripts_of_pages_write_is_listed_as_they_write_it():
    scripts = "\n".join(path.read_text("utf-8") for path in ASSETS.glob("*.js"))
    for line in embedded.listed():
        for part in filter(None, re.split(r"[ ,.]*\{\d+\}[ ,.]*|: ", line)):
            assert part in scripts, line


def test_every_word_of_a_control_is_listed():
    """Buttons and tools: `button(text, label`, `title:` and `placeholder:` with a plain text."""
    script = (ASSETS / "controls.js").read_text("utf-8") + (ASSETS / "film.js").read_text("utf-8")
    texts = set(re.findall(r'button\("([^"\\]{2,})"', script))
    texts |= set(re.findall(r'(?:title|placeholder|"aria-label"): "([^"\\]+)"', script))
    assert len(texts) > 10
    assert texts <= set(embedded.listed())


def framed(page):
    return f"<p>Fit</p>{PageFrame(page, 100)._repr_html_()}"


def test_only_what_stands_in_a_frame_is_another():
    page = framed('<html lang="en"><body><p>1 &lt; 2</p></body></html>')
    other = embedded.with_words(page, PATTERNS, "ko")
    assert other.startswith("<p>Fit</p><iframe")
    (inner,) = embedded.pages_in(other)
    assert '<html lang="ko">' in inner
    assert "<p>1 &lt; 2</p>" in inner
    assert html.unescape(html.escape(inner)) == inner


def test_words_of_a_page_are_its_headings_and_those_of_the_scripts():
    words = list(embedded.page_words('<div id="still"><h1>a &lt; b</h1><p>Along c</p></div>'))
    assert words[:2] == ["a < b", "Along c"]
    assert "Save SVG" in words
