"""The page of a film in Chromium: its slider, its charts, its keys."""

import math
import re
from dataclasses import replace

import pytest

from minigrad.draw import Film
from minigrad.draw.graph.film_frames import FilmRecord, GateCurve, frame_of, outline
from minigrad.draw.graph.interaction import LossNorms
from tests.minigrad.draw.browsing import IN_BROWSER
from tests.minigrad.draw.conftest import decaying

pytestmark = IN_BROWSER
STEPS = 20
FORGET = (0.5, 0.8, 0.99)  # of each frame


@pytest.fixture(scope="module")
def film(make_recurrent):
    """Three frames, in which the gradient along c falls by the forget gate at each step."""
    steps = tuple(range(STEPS))

    def lane(kept):
        rows = tuple(tuple(kept ** (k - t) if t <= k else 0.0 for t in steps) for k in steps)
        return LossNorms("c", steps, steps, rows, 0)

    def gate(name, value):
        values = (value,) * STEPS
        return GateCurve("lstm.l0", name, "sigmoid", steps, *[values] * 5)

    frames = []
    for place, kept in enumerate(FORGET):
        graph = make_recurrent(
            steps=STEPS, layers=1, norm=decaying(STEPS, hidden=kept, cell=kept), loss_at="all"
        )
        frames.append(
            frame_of(
                graph,
                100 * place,
                0.1**place,
                diagnosis=(f"It keeps {kept} a step. <b>",),
                loss_norms=(lane(kept),),
                gates=(gate("forget gate", kept), gate("<b>output gate", 0.5)),
            )
        )
    bare = outline(graph)
    record = FilmRecord(100, "A film <i>", (), bare.scopes, bare.nodes, bare.edges, tuple(frames))
    return Film.from_json(record.to_json())


def norm_at(tab, step):
    name = f"state c (layer 0, t = {step})"
    label = tab.locator(f'#stage .item[aria-label^="{name}"]').first.get_attribute("aria-label")
    return float(re.search(r"norm (\S+)$", label)[1])


def test_the_slider_shows_each_frame(opened, film):
    tab = opened(film.html())
    reel = tab.locator("#reel")
    for place, kept in enumerate(FORGET):
        reel.fill(str(place))
        assert norm_at(tab, 1) == pytest.approx(kept ** (STEPS - 2), rel=0.06)
        assert tab.locator(".diagnosis").inner_text() == f"It keeps {kept} a step. <b>"
        loss = ("1", "0.1", "0.01")[place]
        assert tab.locator("output[for=reel]").inner_text() == f"step {100 * place}, loss {loss}"
        # Beside it, the slider over the loss steps works in each frame.
        tab.locator("#scrub").fill("10")
        assert norm_at(tab, 1) == pytest.approx(kept**9, rel=0.06)
        tab.locator("#scrub").fill(str(STEPS))


def test_the_keyboard_moves_through_the_training(opened, film):
    tab = opened(film.html())
    shown = tab.locator("output[for=reel]")
    assert shown.inner_text() == "step 0, loss 1"
    tab.locator("body").press(".")
    assert shown.inner_text() == "step 100, loss 0.1"
    tab.locator("body").press(",")
    tab.locator("body").press(",")
    assert shown.inner_text() == "step 0, loss 1"
    tab.locator("#reel").focus()
    tab.keyboard.press("End")
    assert shown.inner_text() == "step 200, loss 0.01"
    assert tab.locator("#reel").get_attribute("aria-valuetext") == "step 200, loss 0.01"


def test_the_film_plays_to_its_end(opened, film):
    tab = opened(film.html())
    tab.get_by_role("button", name="Play film").click()
    shown = tab.locator("output[for=reel]")
    shown.filter(has_text="step 200, loss 0.01").wait_for()
    tab.get_by_role("button", name="Play film").wait_for()
    tab.get_by_role("button", name="Play film").click()
    shown.filter(has_text="step 0, loss 1").wait_for()
    tab.get_by_role("button", name="Stop film").click()
    assert tab.get_by_role("button", name="Play film").count() == 1


def curve(tab, chart, color):
    """The heights of a thick line of a chart."""
    lines = tab.locator(f'#{chart} path[stroke="{color}"][stroke-width="2.8"]')
    d = lines.first.get_attribute("d")  # the second one is its key
    return [float(y) for y in re.findall(r",(-?[\d.]+)", d)]


def test_the_charts_follow(opened, film):
    tab = opened(film.html("light"))
    heights = []
    for place in range(3):
        tab.locator("#reel").fill(str(place))
        heights.append(curve(tab, "gates", "#0072b2")[0])
    assert heights[0] > heights[1] > heights[2]  # the y axis points down
    assert "<b>output gate"[:10] in tab.locator("#gates").text_content()
    box = tab.locator("#training").bounding_box()
    tab.mouse.click(box["x"] + 40, box["y"] + 40)
    assert tab.locator("output[for=reel]").inner_text().startswith("step 0,")


@pytest.mark.parametrize("width", [390, 1300])
def test_nothing_is_wider_than_the_window(opened, film, width):
    tab = opened(film.html("dark"))
    tab.set_viewport_size({"width": width, "height": 844})
    tab.wait_for_timeout(100)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("#stage").bounding_box()["height"] > 200
    for name in ("course", "gates"):
        box = tab.locator(f"#{name}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(18, 22, 28)"


def test_the_picture_is_saved_with_its_frame(opened, film):
    tab = opened(film.html())
    tab.locator("#reel").fill("1")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save SVG").click()
    text = download.value.path().read_text("utf-8")
    assert "step 100, loss 0.1" in text
    assert "It keeps 0.8 a step." in text


def test_several_cells_have_their_gates_in_turn(opened, film):
    record = FilmRecord.from_json(film.to_json())
    frames = tuple(
        replace(
            frame,
            gates=(*frame.gates, *(replace(g, cell="other <b>") for g in frame.gates[:1])),
        )
        for frame in record.frames
    )
    tab = opened(Film.from_json(replace(record, frames=frames).to_json()).html())
    assert "gates of other <b>" in tab.locator("#gates").text_content()
    tab.get_by_label("cell whose gates are shown").select_option("0")
    assert "gates of lstm.l0" in tab.locator("#gates").text_content()


def test_frames_that_are_not_finite_and_one_frame_alone(opened, film):
    record = FilmRecord.from_json(film.to_json())
    first = record.frames[0]
    bad = tuple(math.nan if norm is not None else None for norm in first.gradient_norms)
    frame = replace(first, gradient_norms=bad, loss=math.nan)
    tab = opened(Film.from_json(replace(record, frames=(frame,)).to_json()).html())
    assert tab.locator("output[for=reel]").inner_text() == "step 0, loss NaN"
    assert tab.locator("#training").is_hidden()
