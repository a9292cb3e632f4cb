"""Plots give Axes back, comparisons share one scale, attention maps name their tokens."""

import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
import minigrad.draw as md
from layers import GRU, LSTM, RNN, TransformerEncoder, TransformerEncoderLayer
from minigrad.io.packages import MissingPackageError

pytest.importorskip("matplotlib")


def loss_of(kind, steps=12, every=False):
    layer = kind(3, 4)
    x = np.random.default_rng(0).standard_normal((2, steps, 3)).astype(np.float32)
    with mg.recording(fused=False):
        output, _ = layer(x)
        return ((output if every else output[:, -1]) ** 2).sum()


@pytest.fixture(scope="module")
def found():
    return md.backprop_through_time(loss_of(LSTM))


def text_of(axes):
    axes.figure.canvas.draw()
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_plot_makes_its_axes_and_takes_others(found, theme):
    every = md.backprop_through_time(loss_of(LSTM, every=True))
    spectra = md.jacobian_spectra(loss_of(RNN))
    tokens = ["the", "$5", "end"]
    plots = {
        "norms": lambda axes: md.plot_gradient_norms({"LSTM": found}, axes, theme=theme),
        "triangle": lambda axes: md.plot_triangle(every.lane("h"), axes, theme=theme),
        "routes": lambda axes: md.plot_routes(found, axes, theme=theme),
        "gates": lambda axes: md.plot_gates(found, axes, theme=theme),
        "saturation": lambda axes: md.plot_gates(found, axes, saturation=True, theme=theme),
        "jacobians": lambda axes: md.plot_jacobians(spectra, axes, theme=theme),
        "parameters": lambda axes: md.plot_parameter_gradients(found, axes, theme=theme),
        "attention": lambda axes: md.plot_attention(np.eye(3), tokens, tokens, axes, theme=theme),
    }
    for name, plot in plots.items():
        axes = plot(None)
        axes.figure.canvas.draw()
        assert axes.get_xlabel() or axes.get_ylabel(), name
        again = plot(axes.figure.add_subplot(3, 3, 9))
        assert again is not axes, name
        assert again.figure is axes.figure, name


def test_the_legend_tells_the_half_life_of_each_model(found):
    other = md.backprop_through_time(loss_of(RNN))
    axes = md.plot_gradient_norms({"LSTM": found, "RNN": other})
    labels = text_of(axes)
    assert {label.split(" (")[0] for label in labels} == {"LSTM c", "LSTM h", "RNN"}
    assert all("half-life" in label for label in labels)
    line = axes.lines[-1]
    lags, norms = other.lane("h").by_lag
    np.testing.assert_array_equal(line.get_xdata(), lags)
    np.testing.assert_allclose(line.get_ydata(), norms)


def test_route_shares_in_the_plot_add_up_to_one(found):
    axes = md.plot_routes(found)
    lines = [line for line in axes.lines if len(line.get_xdata()) == 12]
    total = np.sum([line.get_ydata() for line in lines], axis=0)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert text_of(axes) == list(found.routes.names)


def test_wrong_arguments_are_refused(found):
    with pytest.raises(TypeError, match=r"a mapping .* got TimeGradients"):
        md.plot_gradient_norms(found)
    with pytest.raises(ValueError, match=r"weights must have shape \(queries, keys\) = \(2, 1\)"):
        md.plot_attention(np.ones((1, 1)), ["a", "b"], ["c"])
    with pytest.raises(md.DrawError, match="no gates in 'x'"):
        md.plot_gates(found, cell="x")
    with pytest.raises(md.DrawError, match="no gates on this tape"):
        md.plot_gates(md.backprop_through_time(loss_of(RNN)))
    with pytest.raises(ValueError, match="theme must be"):
        md.plot_routes(found, theme="blue")


def test_without_matplotlib_the_error_names_the_install(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        found.plot()


def test_a_comparison_has_one_scale_and_one_svg(tmp_path):
    pytest.importorskip("pygraphviz")
    models = {"RNN": loss_of(RNN), "GRU": loss_of(GRU), "<LSTM>": loss_of(LSTM)}
    both = md.compare(models)
    low, high = both.domain
    norms = [
        node.gradient.norm
        for drawing in both.pictures.values()
        for node in drawing.graph.nodes
        if node.kind == "state" and node.gradient.norm
    ]
    assert low <= min(norms) * (1 + 1e-9)
    assert max(norms) <= high * (1 + 1e-9)
    root = ElementTree.fromstring(both.svg())
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert len(root.findall("{http://www.w3.org/2000/svg}svg")) == 3
    texts = "".join(root.itertext())
    assert all(f"{name}: The gradient" in texts for name in models)
    saved = both.save(tmp_path / "models.svg")
    assert saved.read_text(encoding="utf-8") == both.svg()
    assert "LSTM" in both.save(tmp_path / "models.txt").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"chosen by one of \.svg"):
        both.save(tmp_path / "models.gif")
    with pytest.raises(ValueError, match="at least one model"):
        md.compare({})


def test_a_comparison_of_measured_models_is_one_page(found):
    pytest.importorskip("pygraphviz")
    rnn = md.backprop_through_time(loss_of(RNN))
    both = md.compare({"LSTM": found, "RNN": rnn.draw()})
    for name in ("LSTM", "RNN"):
        assert both.pictures[name].interaction.loss_norms
    assert len(both.html()) < 300_000


def test_equal_norms_are_drawn_alike_in_a_comparison():
    x = mg.Tensor([1.0], dtype="float64", requires_grad=True)
    small, large = (x * 2).sum(), (x * 2).sum() * 1000
    both = md.compare({"small": small, "large": large})
    assert both.domain == pytest.approx((1, 2000))
    alone = md.draw(small, grad="norm").dot.source
    assert both.pictures["small"].dot.source != alone


def test_an_attention_map_shows_weights_and_hostile_tokens():
    pytest.importorskip("pygraphviz")
    queries, keys = ["<b>", '"q"', "\\N"], ["단어", "a" * 50]
    weights = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    drawing = md.attention_map(weights, queries, keys, title="</svg>")
    root = ElementTree.fromstring(drawing.svg())
    texts = ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]
    for expected in ("<b>", '"q"', "\\N", "단어", "0.75", "1.00", "</svg>"):
        assert expected in texts, expected
    assert md.Picture.from_json(drawing.json()) == drawing.graph
    heads = md.attention_map(np.full((2, 3, 2), 0.5), queries, keys, heads=["one", "two"])
    assert "two" in heads.dot.source


def test_attention_maps_refuse_what_is_no_attention():
    with pytest.raises(ValueError, match="before the softmax"):
        md.attention_map([[2.0]], ["a"], ["b"])
    with pytest.raises(ValueError, match=r"weights must have shape \(queries, keys\) = \(1, 2\)"):
        md.attention_map([[1.0]], ["a"], ["b", "c"])
    with pytest.raises(ValueError, match="heads must name 1 heads, got 2"):
        md.attention_map([[1.0]], ["a"], ["b"], heads=["x", "y"])
    with pytest.raises(ValueError, match="1 to 20,000 weights"):
        md.attention_map(np.zeros((200, 200)), ["a"] * 200, ["b"] * 200)


def failing(kind):
    """Losses whose gradients leave little to draw."""
    mg.seed(0)
    layer = LSTM(3, 4)
    x = np.zeros((2, 12, 3), np.float32)
    if kind == "nan":
        x[0, 3] = np.nan
    if kind == "one":
        x = x[:, :1]
    if kind == "long":
        x = np.tile(x, (1, 34, 1))[:, :400]
    with mg.recording(fused=False):
        output, _ = layer(x)
        loss = ((output if kind == "long" else output[:, -1]) ** 2).sum()
        return loss * 0.0 if kind == "zero" else loss


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("zero", ["no gradient", "every norm is 0", "no gradient above 0 enters", "no shares"]),
        ("nan", ["not finite from lag 0", "NaN or infinite", "not finite from step 3"]),
        ("one", ["one step"]),
        ("long", ["half-life", "0 from lag", "exactly 0"]),
    ],
)
def test_extreme_gradients_are_plotted_and_said(kind, words):
    found = md.backprop_through_time(failing(kind))
    every = [
        md.plot_gradient_norms({"LSTM": found}),
        md.plot_triangle(found.lane("h")),
        md.plot_routes(found),
        md.plot_gates(found),
        md.plot_gates(found, saturation=True),
        md.plot_parameter_gradients(found),
    ]
    said = []
    for axes in every:
        said += [*text_of(axes), *(text.get_text() for text in axes.texts)]
        for tick in axes.get_xticks() if axes is not every[-1] else ():
            assert tick == round(tick), "a step that is no whole number"
    for word in words:
        assert any(word in text for text in said), (word, said)


def box_of(artist, axes):
    return artist.get_window_extent(axes.figure.canvas.get_renderer())


@pytest.mark.parametrize("count", [1, 7, 100])
def test_long_tokens_stay_within_the_picture(count):
    tokens = [f"{place} " + "token-without-an-end" * 20 for place in range(count)]
    axes = md.plot_attention(np.eye(count), tokens, tokens)
    axes.figure.canvas.draw()
    bounds = axes.figure.bbox
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
    assert len(axes.get_xticklabels()) <= 40
    for text in labels:
        box = box_of(text, axes)
        assert bounds.x0 <= box.x0 <= box.x1 <= bounds.x1, text.get_text()
        assert bounds.y0 <= box.y0 <= box.y1 <= bounds.y1, text.get_text()
    assert axes.bbox.width > 0.25 * min(bounds.width, 400)


def test_weights_that_are_not_finite_are_named():
    axes = md.plot_attention([[np.nan, np.inf], [0.25, 0.0]], ["a", "b"], ["c", "d"])
    assert [text.get_text() for text in axes.texts] == ["NaN", "Inf", "0.25"]


def test_many_models_do_not_hide_the_curves(found):
    axes = md.plot_gradient_norms({f"model {number}": found for number in range(9)})
    axes.figure.canvas.draw()
    legend = box_of(axes.get_legend(), axes)
    assert legend.x0 >= axes.bbox.x1
    assert legend.x1 <= axes.figure.bbox.x1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("$\\frac{", "$\\frac{"),
        ("_private", "_private"),
        ("a\ud800b", "a\ufffdb"),
        ("\0", "\ufffd"),
        ("x" * 10_000, "x" * 20 + "…" + "x" * 19),
        ("</b>", "</b>"),
    ],
)
def test_names_in_plots_are_text_and_nothing_else(found, name, expected):
    axes = md.plot_gradient_norms({name: found})
    (first, *_) = text_of(axes)
    assert "half-life" in first
    assert len(first) < 100
    assert first.strip().partition(" c (")[0] == expected
    w = mg.Tensor(np.eye(2), requires_grad=True)
    w.name = name
    h = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    for t in range(3):
        with mg.step(t), mg.scope(name):
            h = mg.label_state(np.tanh(h @ w), name)
    loss = h.sum()
    named = md.backprop_through_time(loss)
    for axes in (
        md.plot_parameter_gradients(named),
        md.plot_triangle(named.lanes[0]),
        md.plot_routes(named),
        md.plot_jacobians(md.jacobian_spectra(loss)),
        md.plot_attention(np.eye(1), [name], [name]),
    ):
        axes.figure.canvas.draw()


def test_a_transformer_beside_recurrent_networks():
    pytest.importorskip("pygraphviz")
    encoder = TransformerEncoder(TransformerEncoderLayer(8, 2, 16, dropout=0.0), 2)
    x = np.random.default_rng(0).standard_normal((2, 6, 8)).astype(np.float32)
    models = {kind.__name__: (kind(8, 8)(x)[0][:, -1] ** 3).sum() for kind in (RNN, GRU, LSTM)}
    models["Transformer"] = (encoder(x)[:, -1] ** 3).sum()
    four = md.compare(models)
    levels = [drawing.graph.level for drawing in four.pictures.values()]
    assert levels == ["cells", "cells", "cells", "layers"]
    low, high = four.domain
    for drawing in four.pictures.values():
        assert drawing.domain == four.domain
        for edge in drawing.graph.edges:
            norm = edge.contribution.norm if edge.contribution is not None else 0.0
            assert norm == 0 or low * (1 - 1e-9) <= norm <= high * (1 + 1e-9)
    boxes = {node.op for node in four.pictures["Transformer"].graph.nodes}
    assert {"MultiheadAttention", "LayerNorm", "Linear", "add"} <= boxes
    root = ElementTree.fromstring(four.svg())
    parts = root.findall("{http://www.w3.org/2000/svg}svg")
    assert len(parts) == 4
    tops = [float(part.attrib["y"]) + float(part.attrib["height"]) for part in parts]
    assert tops == sorted(tops)
    assert tops[-1] <= float(root.attrib["viewBox"].split()[3]) * 1.001
    page = four.html()
    assert all(f"{name}: " in page or f">{name}<" in page for name in models)


def test_comparisons_of_shares_and_of_norms_at_the_ends_of_the_range():
    x = mg.Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    shares = md.compare({"a": (3 * x - x).sum()}, grad="share", level="ops")
    assert shares.pictures["a"].measure == "share"
    assert "150 %" in shares.pictures["a"].dot.source
    for factor in (1.7e308, 5e-324):
        one = mg.Tensor([1.0], dtype="float64", requires_grad=True)
        low, high = md.compare({"a": (one * factor).sum()}).domain
        assert 0 < low < high < np.inf
    with pytest.raises(TypeError, match="compare needs a mapping from names to models"):
        md.compare([(x * 2).sum()])


def test_a_notebook_shows_the_plot_and_not_the_name_of_its_class():
    axes = md.plot_gradient_norms({"RNN": md.backprop_through_time(losses_of(RNN))})
    early = axes._repr_png_()
    assert early.startswith(b"\x89PNG")
    axes.set_title("Another title")  # what is changed before the cell ends is shown
    assert axes._repr_png_() != early
    assert "Another title</text>" in axes._repr_svg_()
    given = matplotlib_figure().add_subplot()
    assert md.plot_gradient_norms({"RNN": md.backprop_through_time(losses_of(RNN))}, given) is given
    assert not hasattr(given, "_repr_png_")  # its window, or pyplot, shows it


def losses_of(kind):
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    return (kind(3, 4)(mg.Tensor(x))[0] ** 2).sum()


def matplotlib_figure():
    from matplotlib.figure import Figure

    return Figure()
