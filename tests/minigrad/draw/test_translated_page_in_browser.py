"""An interactive page in a frame of the Korean edition, in Chromium."""

import pytest

import minigrad as mg
from minigrad.draw import draw
from minigrad.draw.pages import PageFrame
from tests.minigrad.draw.browsing import IN_BROWSER
from tools.site.translations import embedded

pytestmark = IN_BROWSER
PATTERNS = {
    "Fit": "맞추기",
    "Search": "찾기",
    "fit the picture into the window": "그림을 창에 맞추기",
    "{1} boxes, {2} lines.": "선 {2}개, 상자 {1}개.",
    "none found": "없음",
    "Square": "제곱",
}


@pytest.fixture
def page():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with mg.scope("Square"):
        squares = x * x
    frame = PageFrame(draw(squares.sum(), grad="norm", title="Fit").html(), 500)
    (inner,) = embedded.pages_in(embedded.with_words(frame._repr_html_(), PATTERNS, "ko"))
    return inner


def test_the_page_speaks_the_other_language_and_its_policy_allows_it(opened, page):
    tab = opened(page)
    assert tab.get_by_role("button", name="맞추기").is_visible()
    assert tab.get_by_title("그림을 창에 맞추기").count() == 1
    search = tab.get_by_placeholder("찾기")
    search.fill("nowhere")
    assert tab.locator(".count").inner_text() == "없음"
    description = tab.locator("#stage desc").text_content()
    assert "선 3개, " in description
    assert "상자 3개." in description
    assert tab.get_by_role("button", name="Save SVG").is_visible()  # not in the catalogue
    assert tab.locator("#stage .cluster text").all_text_contents() == ["\u2212 제곱"]
