"""The interactive page in a notebook: a frame that holds all of it."""

from html.parser import HTMLParser

import pytest

import minigrad as mg
from minigrad.draw import compare, draw
from minigrad.draw.pages import PageFrame


class Frame(HTMLParser):
    """The tags of a text, and the attributes of the one frame in it."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.attributes = [], {}
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes = dict(attributes)


def loss():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    return (x * x).sum()


def test_a_frame_holds_the_page_of_its_drawing():
    drawing = draw(loss(), grad="norm")
    found = Frame(drawing.frame(height=300)._repr_html_())
    assert found.tags == ["iframe"]
    assert found.attributes["srcdoc"] == drawing.html()
    assert "height: 300px" in found.attributes["style"]


def test_a_frame_holds_a_comparison():
    comparison = compare({"one": loss(), "two": loss()})
    assert Frame(comparison.frame()._repr_html_()).attributes["srcdoc"] == comparison.html()


def test_what_is_in_a_frame_stays_there():
    found = Frame(PageFrame("</iframe>\"'><script>a & b</script>", 10)._repr_html_())
    assert found.tags == ["iframe"]
    assert found.attributes["srcdoc"] == "</iframe>\"'><script>a & b</script>"
    assert "allow-same-origin" not in found.attributes["sandbox"]


def test_a_frame_without_height_is_refused():
    with pytest.raises(ValueError, match="height must be at least 1 pixel, got 0"):
        draw(loss()).frame(height=0)
