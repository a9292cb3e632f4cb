"""Films of learning: what is recorded, kept and written."""

import gc
import json
import re
import weakref
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad import draw
from minigrad.draw import DrawError, Film, GraphFormatError, backprop_through_time, films
from minigrad.draw.graph.film_frames import FilmRecord
from minigrad.draw.style.theme import THEMES

HOSTILE = '</script><script>alert(1)</script><b onload="x">\\N\x00\ud800\u202e<!--'


def model_and_loss(kind=layers.LSTM, time=8, units=5, every_step=False, **options):
    """A recurrent layer, and its loss on one batch, made anew at each call."""
    mg.seed(3)
    layer = kind(2, units, **options)
    x = np.random.default_rng(0).standard_normal((3, time, 2)).astype(np.float32)

    def loss():
        output, _ = layer(x)
        return ((output if every_step else output[:, -1]) ** 2).mean()

    return layer, loss


def stirred(layer, amount):
    """Weights as training might change them."""
    with mg.no_grad():
        for parameter in layer.parameters():
            parameter.write(parameter.numpy() * np.float32(1 + amount))


@pytest.fixture(scope="module")
def film():
    layer, loss = model_and_loss(every_step=True)
    found = Film(every=10)
    for step in range(0, 60, 10):
        found.record(loss(), step)
        stirred(layer, 0.3)
    return found


def test_a_notebook_can_show_the_page(film):
    assert film.frame(height=300).page == film.html()
    assert film.frame(height=300).height == 300


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (layers.RNN, {}),
        (layers.LSTM, {"num_layers": 2}),
        (layers.GRU, {"bidirectional": True}),
    ],
)
def test_a_frame_is_what_is_measured_on_the_same_graph(kind, options):
    _, loss = model_and_loss(kind, every_step=True, **options)
    value = loss()
    frame = Film(every=1).record(value, 7)
    times = backprop_through_time(value)
    graph = draw.view(value, level="cells", grad="norm")
    assert (frame.step, frame.loss) == (7, value.item())
    assert len(frame.loss_norms) == len(times.lanes)
    for found, lane in zip(frame.loss_norms, times.lanes, strict=True):
        assert found.state == lane.lane.state
        np.testing.assert_array_equal(found.norms, np.nan_to_num(lane.triangle, nan=0.0))
        lags, norms = draw.films.norms_by_lag(found)
        expected = lane.by_lag
        assert list(lags) == expected[0].tolist()
        assert list(norms) == np.nan_to_num(expected[1]).tolist()
    terms = [edge.contribution for edge in graph.edges]
    assert frame.edge_norms == tuple(term and term.norm for term in terms)
    assert frame.gradient_norms == tuple(n.gradient and n.gradient.norm for n in graph.nodes)
    assert len(frame.gates) == len(times.gates)
    for gate, series in zip(frame.gates, times.gates, strict=True):
        assert (gate.cell, gate.name) == (series.cell, series.name)
        assert gate.mean == tuple(series.mean)
        assert (gate.low, gate.median, gate.high) == tuple(map(tuple, series.quantiles))


def test_the_most_open_unit_is_that_of_the_largest_mean():
    mg.seed(0)
    cell = layers.LSTM(1, 3)
    with mg.no_grad():
        for name, parameter in cell.named_parameters():
            values = np.zeros_like(parameter.numpy())
            if name == "bias_ih_l0":
                values[3:6] = [0.0, 4.0, -4.0]  # the forget gate's
            parameter.write(values)
    output, _ = cell(np.ones((2, 4, 1), np.float32))
    (forget,) = (g for g in backprop_through_time(output.sum()).gates if g.name == "forget gate")
    np.testing.assert_allclose(forget.most_open, 1 / (1 + np.exp(-4.0)), rtol=1e-6)
    np.testing.assert_allclose(forget.mean, 0.5, rtol=1e-6)
    frame = Film().record(cell(np.ones((2, 4, 1), np.float32))[0].sum(), 0)
    assert "In its most open unit it is 0.98" in frame.diagnosis[-1]


def test_what_was_measured_before_will_do():
    _, loss = model_and_loss()
    value = loss()
    assert Film().record(backprop_through_time(value), 0) == Film().record(value, 0)


def test_recording_touches_no_gradient_and_keeps_no_graph():
    layer, loss = model_and_loss()
    value = loss()
    film = Film()
    film.record(value, 0)
    assert all(parameter.grad is None for parameter in layer.parameters())
    value.backward()
    with pytest.raises(DrawError):
        film.record(value, 25)
    assert film.steps == (0,)
    held = weakref.ref(value._node)
    del value
    gc.collect()
    assert held() is None


def test_a_film_takes_no_more_memory_however_long_the_training():
    _, loss = model_and_loss(time=3)
    times = backprop_through_time(loss())
    film = Film(every=5, most=4)
    largest = 0
    for step in range(0, 300):
        if film.wants(step):
            film.record(times, step)
            largest = max(largest, len(film))
    assert largest == 4
    assert film.every == 80
    assert film.steps == (0, 80, 160, 240)


def test_one_step_is_one_frame():
    layer, loss = model_and_loss()
    film = Film()
    film.record(loss(), 50)
    film.record(loss(), 0)
    stirred(layer, 0.5)
    again = film.record(loss(), 50)
    assert film.steps == (0, 50)
    assert film.frames[1] == again


def test_another_graph_is_refused_and_the_film_stays():
    _, loss = model_and_loss()
    _, longer = model_and_loss(time=9)
    _, wider = model_and_loss(units=6)
    film = Film()
    film.record(loss(), 0)
    before = film.to_json()
    with pytest.raises(DrawError, match=r"step 25 does not belong .* boxes and .* lines, not"):
        film.record(longer(), 25)
    with pytest.raises(DrawError, match="other names or shapes"):
        film.record(wider(), 25)
    with pytest.raises(ValueError, match="step must be 0 or more"):
        film.record(loss(), -1)
    assert film.to_json() == before


def test_an_interruption_leaves_no_half_of_a_frame(monkeypatch):
    _, loss = model_and_loss()
    film = Film()
    film.record(loss(), 0)
    before = film.to_json()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for name in ("backprop_through_time", "view", "interaction_of", "frame_of"):
        with monkeypatch.context() as patch:
            patch.setattr(films, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                film.record(loss(), 25)
        assert film.to_json() == before
    film.record(loss(), 25)
    assert film.steps == (0, 25)


def test_json_and_back(film):
    text = film.to_json()
    again = Film.from_json(text)
    assert again.frames == film.frames
    assert again.to_json() == text
    assert again.picture(20) == film.picture(20)
    assert (again.every, again.summary()) == (film.every, film.summary())
    layer, loss = model_and_loss(every_step=True)
    stirred(layer, -0.4)
    again.record(loss(), 60)
    assert len(again) == len(film) + 1
    assert len(Film.from_json(text, most=3)) <= 3


def test_numbers_that_json_lacks_come_back(film):
    record = FilmRecord.from_json(film.to_json())
    strange = (float("inf"), None, *record.frames[0].edge_norms[2:])
    frames = (replace(record.frames[0], edge_norms=strange, loss=float("-inf")),)
    again = FilmRecord.from_json(replace(record, frames=frames).to_json())
    assert again.frames[0].edge_norms == strange
    assert again.frames[0].loss == float("-inf")
    loaded = Film.from_json(again.to_json())
    assert "-Inf" in loaded.svg()
    assert len(loaded.html()) > 1000


def test_what_is_no_film_is_refused(film):
    text = film.to_json()
    with pytest.raises(GraphFormatError, match=re.escape('"schema" must be "minigrad.film"')):
        Film.from_json(film.picture(0).to_json())
    with pytest.raises(GraphFormatError, match="rising steps"):
        Film.from_json(text.replace('"step":50', '"step":0', 1))
    content = json.loads(text)
    content["frames"][1]["edge_norms"].pop()
    with pytest.raises(GraphFormatError, match=r"frames\[1\].edge_norms must have"):
        Film.from_json(json.dumps(content))
    content["frames"] = [{"step": -1, "loss": 0.0}]
    with pytest.raises(GraphFormatError, match="must not be negative"):
        Film.from_json(json.dumps(content))


def test_a_film_without_frames_says_so(tmp_path):
    film = Film(every=3)
    assert repr(film) == "Film(0 frames, every 3)"
    assert film._repr_mimebundle_() == {"text/plain": "Film(0 frames, every 3)"}
    for act in (film.html, film.svg, film.to_json, lambda: film.save(tmp_path / "f.html")):
        with pytest.raises(DrawError, match="record a loss first"):
            act()
    assert list(tmp_path.iterdir()) == []
    for options in ({"every": 0}, {"most": 1}):
        with pytest.raises(ValueError, match="every >= 1 and most >= 2"):
            Film(**options)


def test_saving_chooses_by_suffix(film, tmp_path):
    for suffix, begins in (
        (".html", "<!DOCTYPE html>"),
        (".svg", "<svg"),
        (".json", "{"),
        (".txt", "step"),
    ):
        path = film.save(tmp_path / f"film{suffix}")
        assert path.read_text("utf-8").lstrip().startswith(begins)
    with pytest.raises(ValueError, match=r"one of \.html, \.svg, \.json, \.txt"):
        film.save(tmp_path / "film.png")
    assert (tmp_path / "film.txt").read_text("utf-8").count("\n") == len(film) + 1


# -- the strip for print -----------------------------------------------------------------------


def headings(svg):
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    return [text for text in texts if text.startswith("step ")]


def test_the_strip_shows_evenly_spaced_frames_or_those_that_are_named(film):
    assert headings(film.svg(3)) == ["step 0", "step 20", "step 50"]
    assert headings(film.svg(99)) == [f"step {step}" for step in film.steps]
    assert headings(film.svg(1)) == ["step 50"]
    assert headings(film.svg([10, 40])) == ["step 10", "step 40"]
    with pytest.raises(ValueError, match="steps of the film, got 15"):
        film.svg([15])
    with pytest.raises(ValueError, match="got none"):
        film.svg([])
    with pytest.raises(ValueError, match="1 or more, got 0"):
        film.svg(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_strip_has_the_colours_of_its_theme_and_nothing_outside(film, theme):
    root = ElementTree.fromstring(film.svg(2, theme))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    background = next(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert background.attrib["fill"] == THEMES[theme].background
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(element.attrib["x"]) <= width
        assert 8 <= float(element.attrib["y"]) <= height - 2
    with pytest.raises(ValueError, match="theme must be"):
        film.svg(2, "red")


def test_a_strip_of_a_plain_network_has_no_gates():
    _, loss = model_and_loss(layers.RNN)
    film = Film()
    film.record(loss(), 0)
    assert "gate" not in film.svg()
    assert film.summary()[0]["gates"] == {}


# -- the page ----------------------------------------------------------------------------------


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_the_page_holds_all_frames_and_others_hold_no_film(film):
    page = film.html()
    data = data_of(page)["pictures"][0]["film"]
    assert len(data["frames"]) == len(film)
    assert data["losses"] == pytest.approx([frame.loss for frame in film.frames], rel=1e-3)
    assert "showFrame" in page
    plain = draw.draw(film.picture(0)).html()
    assert "showFrame" not in plain
    assert "film" not in data_of(plain)["pictures"][0]


def test_forty_frames_of_fifty_steps_are_a_small_page():
    layer, loss = model_and_loss(time=50, every_step=True)
    film = Film()
    for step in (0, 25):
        film.record(loss(), step)
        stirred(layer, 0.5)
    record = FilmRecord.from_json(film.to_json())
    frames = tuple(replace(record.frames[k % 2], step=25 * k) for k in range(40))
    page = Film.from_json(replace(record, frames=frames).to_json()).html()
    assert len(data_of(page)["pictures"][0]["film"]["frames"]) == 40
    assert len(record.frames[0].loss_norms[0].loss_steps) == 50
    assert len(page.encode("utf-8")) < 2e6


def test_every_frame_has_the_loss_steps_that_the_slider_offers():
    """Beyond so many numbers frames keep fewer loss steps, and the slider offers those alone."""
    _, loss = model_and_loss(time=50, every_step=True)
    film = Film()
    film.record(loss(), 0)
    record = FilmRecord.from_json(film.to_json())
    frames = tuple(replace(record.frames[0], step=25 * k) for k in range(100))
    page = Film.from_json(replace(record, frames=frames).to_json()).html()
    (data,) = data_of(page)["pictures"]
    offered = [lane["loss"] for lane in data["loss"]]
    assert 0 < len(offered[0]) < 50
    assert all(
        [lane["loss"] for lane in frame["loss"]] == offered for frame in data["film"]["frames"]
    )


def test_hostile_names_add_nothing(film):
    def dressed(name):
        record = FilmRecord.from_json(film.to_json())
        nodes = tuple(replace(node, name=name, scope="") for node in record.nodes)
        frames = tuple(
            replace(
                frame,
                diagnosis=(name,),
                gates=tuple(replace(gate, cell=name, name=name) for gate in frame.gates[:1]),
            )
            for frame in record.frames
        )
        changed = replace(record, nodes=nodes, frames=frames, scopes=(), title=name)
        return Film.from_json(changed.to_json())

    plain, found = dressed("plain"), dressed(HOSTILE)
    assert found.to_json().isascii()
    for write in (Film.html, Film.svg):
        kinds = [re.findall(r"<([a-zA-Z/!]+)", write(one)) for one in (plain, found)]
        assert kinds[0] == kinds[1]
    ElementTree.fromstring(found.svg())
    assert "\ud800" not in found.html()
