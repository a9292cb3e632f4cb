"""Plots give Axes back, comparisons share one scale, attention maps name their tokens."""

import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
import minigrad.draw as md
from layers import GRU, LSTM, RNN
from minigrad.errors import MissingPackageError

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
    with pytest.raises(MissingPackageError, match=r'pip install "minigrad\[plot\]"'):
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
    with pytest.raises(ValueError, match=r"saved as one of \.svg"):
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
    assert md.Graph.from_json(drawing.json()) == drawing.graph
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
