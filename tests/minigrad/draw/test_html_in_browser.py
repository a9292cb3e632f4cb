"""The interactive page in Chromium: everything works, nothing is asked for, nothing is said."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from minigrad.draw import Contribution, Edge, Picture, PictureNode
from minigrad.draw.graph.interaction import Interaction, LossNorms, RouteProducts, inner_products
from minigrad.draw.pages.html import PagePicture, page
from minigrad.draw.style.scale import TimeScale
from minigrad.draw.style.theme import theme_named
from tests.minigrad.draw.browsing import IN_BROWSER

pytestmark = IN_BROWSER

STEPS = 100
FACTOR = 0.5


def interaction() -> Interaction:
    """Norms that halve with each step back, three quarters of them by the highway."""
    steps = tuple(range(STEPS))
    norms = tuple(tuple(FACTOR ** (k - t) if t <= k else 0.0 for t in steps) for k in steps)
    rows = [inner_products([[0.75 * 2.0**-t, 0.0], [0.0, 2.0**-t]]) for t in steps]
    routes = RouteProducts(
        "c",
        ("highway", "<b>gates"),
        steps,
        tuple(products for _, products in rows),
        0,
        scales=tuple(scale for scale, _ in rows),
    )
    return Interaction((LossNorms("c", steps, steps, norms, 0),), (routes,))


@pytest.fixture(scope="module")
def recurrent_page(make_recurrent):
    graph = make_recurrent(steps=STEPS, layers=1, loss_at="all")
    return page([PagePicture(graph, interaction=interaction())])


@pytest.fixture(scope="module")
def operations_page(ops_graph):
    return page([PagePicture(ops_graph)])


def item(tab, name):
    """The box whose accessible name starts with some words."""
    return tab.locator(f'#stage .item[aria-label^="{name}"]').first


def middle_of(tab, key):
    """Where the middle of a line is on the screen."""
    return tab.locator(f'#stage .edge[data-key="{key}"]').evaluate(
        "e => { const m = e.getScreenCTM(), p = e.getPointAtLength(e.getTotalLength() / 2);"
        "const q = new DOMPoint(p.x, p.y).matrixTransform(m); return [q.x, q.y]; }"
    )


def fill_of(tab, name):
    return item(tab, name).locator("rect").get_attribute("fill")


def test_a_search_finds_what_is_hidden_and_shows_it(opened, recurrent_page):
    tab = opened(recurrent_page)
    assert item(tab, "state c (layer 0, t = 50)").count() == 0
    search = tab.get_by_role("searchbox")
    search.fill("c50")
    assert tab.locator(".count").inner_text() == "1 found"
    search.press("Enter")
    assert item(tab, "state c (layer 0, t = 50)").is_visible()
    assert "layer 0, t = 50" in tab.locator("aside").inner_text()
    search.fill("no such box")
    assert tab.locator(".count").inner_text() == "none found"


def test_steps_open_and_close(opened, recurrent_page):
    tab = opened(recurrent_page)
    gaps = tab.locator("#stage .item.elided[aria-expanded=false]")
    closed = gaps.count()
    states = tab.locator("#stage .item.state")
    shown = states.count()
    assert closed > 0
    gaps.first.click()
    assert states.count() > shown
    tab.get_by_role("button", name="All steps").click()
    assert (gaps.count(), states.count()) == (0, 2 * STEPS)
    tab.get_by_role("button", name="Fewer steps").click()
    assert (gaps.count(), states.count()) == (closed, shown)
    tab.locator('#stage .step[data-key="s99"]').click()
    assert item(tab, "state c (layer 0, t = 99)").count() == 0


def test_hovering_tells_shape_statistics_gradient_and_share(opened, operations_page):
    tab = opened(operations_page)
    item(tab, "add").hover()
    card = tab.locator("#card")
    assert "f32[32, 10]" in card.inner_text()
    place = middle_of(tab, "e1")
    tab.mouse.move(*place)
    assert "norm 0.4" in card.inner_text()
    assert "100 % of the gradient of weight" in card.inner_text()
    tab.mouse.move(5, 5)
    assert card.is_hidden()


def test_a_click_on_a_line_jumps_to_its_other_end(opened, operations_page):
    tab = opened(operations_page)
    ends = tab.evaluate(
        "() => { const e = document.querySelector('#stage .edge[data-key=e1]');"
        "const m = e.getScreenCTM(), length = e.getTotalLength();"
        "return [0.15, 0.85].map(part => { const p = e.getPointAtLength(part * length);"
        "const q = new DOMPoint(p.x, p.y).matrixTransform(m); return [q.x, q.y]; }); }"
    )
    tab.mouse.click(*ends[0])
    first = tab.locator("aside strong").inner_text()
    tab.get_by_role("button", name="close the panel").click()
    tab.get_by_role("button", name="Fit").click()
    tab.mouse.click(*ends[1])
    assert {first, tab.locator("aside strong").inner_text()} == {"matmul", "parameter weight"}


def test_the_scrubber_shows_one_loss_step(opened, recurrent_page):
    tab = opened(recurrent_page)
    item(tab, "state c (layer 0, t = 1)").click()
    whole = fill_of(tab, "state c (layer 0, t = 1)")
    tab.locator("#scrub").fill("4")
    assert tab.locator("output").inner_text() == "step 4 alone"
    assert re.search(r"norm 0\.1[23]\n", tab.locator("aside").inner_text())
    assert fill_of(tab, "state c (layer 0, t = 1)") != whole
    assert item(tab, "state c (layer 0, t = 99), gradient norm 0").count() == 1
    tab.locator("#scrub").focus()
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("output").inner_text() == "step 3 alone"
    tab.keyboard.press("End")
    assert tab.locator("output").inner_text() == "all steps together"
    assert fill_of(tab, "state c (layer 0, t = 1)") == whole


def test_routes_are_added_up_exactly(opened, recurrent_page):
    tab = opened(recurrent_page)

    def norm():
        found = item(tab, "state c (layer 0, t = 1)").get_attribute("aria-label")
        return float(re.search(r"norm (\S+)$", found)[1])

    # Two parts at a right angle: 3/8 and 1/2, so 5/8 together.
    tab.get_by_label("highway").uncheck()
    assert norm() == 0.5
    tab.get_by_label("<b>gates").uncheck()
    assert norm() == 0
    tab.get_by_label("highway").check()
    assert norm() == pytest.approx(0.375, abs=0.01)


def test_scopes_close_into_one_box_and_open_again(opened, operations_page):
    tab = opened(operations_page)
    boxes = tab.locator("#stage .item")
    everything = boxes.count()
    tab.locator("#stage .cluster[aria-label^='scope linear']").click(position={"x": 20, "y": 8})
    assert boxes.count() == everything - 3
    assert item(tab, "scope linear: Linear, closed, 4 boxes").count() == 1
    tab.get_by_role("button", name="Close scopes").click()
    assert boxes.count() == everything - 4
    tab.get_by_role("button", name="Open scopes").click()
    assert boxes.count() == everything


def test_the_keyboard_reaches_everything(opened, recurrent_page):
    tab = opened(recurrent_page)
    tab.keyboard.press("/")
    tab.keyboard.type("c99")
    tab.keyboard.press("Enter")
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.classList.contains('item')"):
            break
    focused = "document.activeElement.getAttribute('aria-label')"
    assert tab.evaluate(focused).startswith("state c (layer 0, t = 99)")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Enter")
    assert "t = 99" not in tab.evaluate(focused) or "LSTMCell" in tab.evaluate(focused)
    shown = tab.locator("#stage .item.state").count()
    tab.keyboard.press("Delete")
    assert tab.locator("#stage .item.state").count() < shown
    before = tab.locator("#stage > g").get_attribute("transform")
    tab.keyboard.press("+")
    assert tab.locator("#stage > g").get_attribute("transform") != before


def test_wheel_and_drag_move_the_picture(opened, recurrent_page):
    tab = opened(recurrent_page)
    world = tab.locator("#stage > g")

    def at():
        numbers = re.findall(r"-?[\d.]+", world.get_attribute("transform"))
        return [float(number) for number in numbers]

    fitted = at()
    tab.mouse.move(600, 300)
    tab.mouse.wheel(0, -400)
    zoomed = at()
    assert zoomed[2] > 1.5 * fitted[2]
    # The point under the pointer stays where it is.
    box = tab.locator("#stage").bounding_box()
    for axis, place in ((0, 600 - box["x"]), (1, 300 - box["y"])):
        before = (place - fitted[axis]) / fitted[2]
        assert (place - zoomed[axis]) / zoomed[2] == pytest.approx(before, abs=0.2)
    tab.mouse.move(600, box["y"] + 12)
    tab.mouse.down()
    tab.mouse.move(650, box["y"] + 42, steps=3)
    tab.mouse.up()
    assert [at()[0] - zoomed[0], at()[1] - zoomed[1]] == pytest.approx([50, 30], abs=0.1)
    assert tab.locator("aside").is_hidden()
    tab.get_by_role("button", name="Fit").click()
    assert at() == pytest.approx(fitted, abs=0.1)


def test_light_and_dark(opened, recurrent_page):
    tab = opened(recurrent_page)
    root = tab.locator("html")
    assert root.get_attribute("data-theme") == "light"
    tab.get_by_role("button", name="Light or dark").click()
    assert root.get_attribute("data-theme") == "dark"
    assert tab.locator("#stage > rect").get_attribute("fill") == "#12161c"
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(18, 22, 28)"


def test_the_picture_is_saved_as_svg(opened, operations_page):
    tab = opened(operations_page)
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name="Save SVG").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert text.startswith("<svg xmlns=")
    for words in ("A small network", "cross_entropy", "NaN", "norm of the gradient"):
        assert words in text
    assert "tabindex" not in text
    assert "data-key" not in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_boxes_have_the_colour_and_the_number_of_their_time(opened, theme):
    times = (0.0001, 0.01, 1.0, None)
    nodes = tuple(PictureNode(i, "op", op=f"o{i}", seconds=s) for i, s in enumerate(times))
    graph = Picture(nodes, (), level="ops")
    tab = opened(page([PagePicture(graph)], theme=theme))
    colors = theme_named(theme)
    scale = TimeScale(-1.0, 3.0, colors)
    for i, seconds in enumerate(times):
        expected = (colors.box, colors.text) if seconds is None else scale.fill(seconds)
        ink = item(tab, f"o{i}").locator("text").first.get_attribute("fill")
        assert (fill_of(tab, f"o{i}"), ink) == expected
    assert [item(tab, f"o{i}").locator("text").count() for i in range(4)] == [2, 2, 2, 1]
    assert item(tab, "o1").locator("text").nth(1).text_content() == "10 ms"
    legend = tab.locator("#key").text_content()
    assert "time, forward and backward, in ms" in legend
    assert "0.1 ms" in legend
    item(tab, "o1").click()
    assert "10 ms, forward and backward" in tab.locator("aside").inner_text()


def test_one_page_of_several_pictures(opened, make_recurrent):
    pictures = [
        PagePicture(make_recurrent(6, 1, "RNNCell"), "RNN"),
        PagePicture(make_recurrent(6, 1), "LSTM"),
    ]
    tab = opened(page(pictures))
    assert tab.locator("#stage .item.state").count() == 6
    tab.get_by_label("picture").select_option("1")
    assert tab.locator("#stage .item.state").count() == 12


def test_a_sandboxed_frame_with_and_without_scripts(opened, operations_page):
    tab = opened(
        "<!DOCTYPE html><title>frame</title><p id='still'><svg></svg></p>",
        # Chromium says so of every script in a frame that may run none.
        expected="Blocked script execution in 'about:srcdoc'",
    )
    for permission, seen in (("allow-scripts", "#stage .item"), ("", "#still svg")):
        tab.evaluate(
            "([content, permission]) => { const frame = document.createElement('iframe');"
            "frame.setAttribute('sandbox', permission); frame.srcdoc = content;"
            "frame.width = 900; frame.height = 600;"
            "document.body.replaceChildren(frame); }",
            [operations_page, permission],
        )
        inside = tab.frame_locator("iframe")
        assert inside.locator(seen).first.is_visible()


def test_without_scripts_there_is_a_picture_and_a_table(browser, opened, recurrent_page):
    tab = opened("<!DOCTYPE html><title>empty</title><p id='still'><svg></svg></p>")
    tab.set_content(recurrent_page.replace("<script>", '<script type="text/none">', 1))
    assert tab.locator("#still svg").is_visible()
    assert tab.locator("#still table").is_visible()
    assert tab.locator("#still tr").count() > 20


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "javascript:alert(1)",
    "\\N \\G \\l",
    "a\x00b\x1b",
    "\u202ertl\u200f",
    "\ud800",
    "이름 한국어",
    "x" * 10_000,
    "</title></style></svg><!-- ]]>",
    "__proto__",
)


def test_hostile_names_are_only_text(opened, make_recurrent):
    base = make_recurrent(6, 1)
    nodes = tuple(
        replace(node, **{field: HOSTILE[(node.id + shift) % len(HOSTILE)] for shift, field in
                enumerate(("name", "op", "scope", "detail", "dtype"))})
        for node in base.nodes
    )  # fmt: skip
    graph = Picture(nodes, base.edges, level="cells", title=HOSTILE[0], diagnosis=HOSTILE)
    ops = Picture(
        tuple(PictureNode(i, "op", op=name, name=HOSTILE[i - 1]) for i, name in enumerate(HOSTILE)),
        title=HOSTILE[1],
    )
    tab = opened(page([PagePicture(graph, HOSTILE[0]), PagePicture(ops, HOSTILE[1])]))
    for number in (0, 1):
        tab.get_by_label("picture").select_option(str(number))
        for i in range(min(8, tab.locator("#stage .item").count())):
            tab.locator("#stage .item").nth(i).dispatch_event("pointermove", {"bubbles": True})
        tab.get_by_role("searchbox").fill("<img")
        tab.get_by_role("searchbox").press("Enter")
        counts = tab.evaluate(
            "['script', 'img', 'b', 'style', 'iframe', 'a'].map("
            "name => document.getElementsByTagName(name).length)"
        )
        assert counts == [2, 0, 0, 1, 0, 0]
    assert tab.locator("h1").first.evaluate("e => e.children.length") == 0


def test_title_and_description_come_from_the_diagnosis(opened, operations_page):
    tab = opened(operations_page)
    assert tab.title() == "A small network"
    assert tab.locator("#stage > title").text_content() == "A small network"
    assert tab.locator("#stage > desc").text_content().startswith("The bias gets 0.")


def test_a_rolled_picture_of_module_calls_tells_the_middle_of_each_line(opened):
    """Levels and kinds of edges that the page does not lay out by itself."""
    edge = Edge(0, 1, kind="rolled", count=9, contribution=Contribution(1.0, None, 0.1, 0.4, 0.7))
    nodes = (
        PictureNode(0, "group", op="Cell", count=10),
        PictureNode(1, "state", state="h", count=10),
    )
    tab = opened(page([PagePicture(Picture(nodes, (edge,), level="layers"))]))
    assert item(tab, "Cell").is_visible()
    tab.mouse.move(*middle_of(tab, "e0"))
    tab.wait_for_selector("text=0.1 to 0.7, median 0.4")
