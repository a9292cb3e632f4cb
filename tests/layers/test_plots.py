"""Plots: files and figures that notebooks show; text of users is only text."""

from xml.etree import ElementTree

import numpy as np
import pytest

from layers.training import History
from layers.training.loss_plots import plot_losses
from layers.training.plots import plot_curves, plot_pictures, plot_table

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = ["price ($)", "a$b_{", "_hidden", "x^$y$"]


def history():
    made = History(best=(20, 1.5), seconds=12.34)
    for step in range(100):
        made.note_step(3.0 - step / 50, 1.0 + step % 3)
    made.validations = [(20, 1.5), (100, 1.75)]
    return made


def all_plots(path=None):
    curves = {name: ([0, 1], [2, 3]) for name in NAMES}
    yield plot_curves(path, curves, title=NAMES[0], x=NAMES[1], y=NAMES[3], lines={NAMES[1]: 2.5})
    yield plot_losses(path, {NAMES[1]: history(), "list": [3.0, 2.0]}, title=NAMES[0], y="loss")
    yield plot_table(path, np.eye(4), title=NAMES[1], x="x", y="y", rows=NAMES, columns=NAMES)
    yield plot_table(path, np.zeros((2, 3, 4)), title="heads", x="x", y="y")
    yield plot_pictures(path, np.zeros((4, 8, 8)), labels=NAMES, title=NAMES[3], columns=2)
    yield history().plot(path)


def test_every_plot_is_a_figure_that_a_notebook_shows():
    from matplotlib.figure import Figure

    for figure in all_plots():
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(PNG)
        assert "</text>" in figure._repr_svg_()  # words stay words


def test_the_same_plot_has_the_same_ids_in_its_svg():
    assert [one._repr_svg_() for one in all_plots()] == [one._repr_svg_() for one in all_plots()]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_every_plot_is_written(tmp_path, suffix):
    path = tmp_path / f"plot.{suffix}"
    for _ in all_plots(path):
        assert path.stat().st_size > 500
        path.unlink()


def test_names_with_control_characters_make_an_svg_that_can_be_read(tmp_path):
    name, file = "v\x1b[31m\0", tmp_path / "a.svg"
    curves = {name: ([0, 1], [0, 1])}
    figure = plot_curves(file, curves, title=f"{name}\nof two", x=name, y=name, ticks={0: name})
    assert figure.axes[0].get_title() == "v\ufffd[31m\ufffd\nof two"
    plot_table(file, np.eye(1), title=name, x=name, y=name, rows=[name], columns=[name])
    assert ElementTree.parse(file).getroot().tag.endswith("svg")


def test_a_history_plots_weighted_means_and_validations():
    made = history()
    lines = {line.get_label(): line.get_xydata() for line in made.plot().axes[0].lines}
    assert lines["validation"].tolist() == [[20, 1.5], [100, 1.75]]
    steps, means = lines["training"].T
    assert steps.tolist() == list(range(2, 101))
    expected = np.average(made.losses[8:10], weights=made.weights[8:10])
    assert means[8] == pytest.approx(expected)
    made.validations = []
    assert [line.get_label() for line in made.plot().axes[0].lines] == ["training"]
    with pytest.raises(ValueError, match="nothing to plot"):
        History().plot()


def test_curves_have_lines_scales_and_ticks():
    lines = {"bar": 2.5, "floor": 0.5}
    figure = plot_curves(
        None, {"one": ([1, 10], [2, 3]), "two": ([1, 10], [3, 4])}, title="t", x="time", y="loss",
        lines=lines, log="xy", ticks={1: "Jan $1", 10: "Oct"}, marker="o",
    )  # fmt: skip
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = {line.get_label(): line for line in axes.lines}
    assert {name: set(drawn[name].get_ydata()) for name in lines} == {"bar": {2.5}, "floor": {0.5}}
    assert drawn["bar"].get_linestyle() != drawn["floor"].get_linestyle()
    assert drawn["one"].get_marker() == "o"
    assert axes.get_xticks().tolist() == [1, 10]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Jan $1", "Oct"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(drawn)
    plain = plot_curves(None, {"one": ([1, 10], [2, 3])}, title="t", x="x", y="y").axes[0]
    assert (plain.get_xscale(), plain.get_yscale(), len(plain.lines)) == ("linear", "linear", 1)


def test_tables_have_names_and_a_scale_and_pictures_their_labels():
    values = [[1.0, -3.0], [0.5, 2.0]]
    axes = plot_table(
        None, values, title="t", x="x", y="y", rows=["a", "b"], columns=["c", "d"], center=True
    ).axes[0]
    assert axes.images[0].get_clim() == (-3, 3)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["c", "d"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    heads = plot_table(None, [values, values], title="t", x="x", y="y", lowest=-1, highest=4)
    assert [one.get_title() for one in heads.axes[:2]] == ["head 1", "head 2"]
    assert heads.axes[1].images[0].get_clim() == (-1, 4)
    pictures = np.zeros((4, 2, 2))
    rows = plot_pictures(None, pictures, labels=["top", "low"], title="t", columns=2).axes
    assert [one.get_ylabel() for one in rows] == ["top", "", "low", ""]
    each = plot_pictures(None, pictures, labels=NAMES, title="t", columns=2).axes
    assert [(one.get_title(), one.get_ylabel()) for one in each] == [(name, "") for name in NAMES]


def test_a_history_is_short_in_a_notebook():
    made = history()
    text = repr(made)
    assert text.startswith("History(100 steps in 12.3 s, loss 1.2")
    assert text.endswith("validation 1.75, best 1.5 at step 20)")
    assert len(text) < 100
    made.interrupted = True
    assert repr(made).endswith("at step 20, interrupted)")
    assert repr(History()) == "History(0 steps in 0 s)"


@pytest.mark.parametrize("name", ["plot", "plot.SVG", "plot.pdf"])
def test_a_plot_is_written_like_every_file_and_in_the_format_of_its_name(tmp_path, name):
    found = tmp_path / ("plot.png" if name == "plot" else name)
    found.write_bytes(b"old")
    found.chmod(0o600)
    mode = found.stat().st_mode
    plot_curves(tmp_path / name, {"loss": ([0, 1], [2, 1])}, title="", x="", y="")
    assert [path.name for path in tmp_path.iterdir()] == [found.name]
    assert found.stat().st_mode == mode
    begin = {"plot": b"\x89PNG", "plot.SVG": b"<?xml", "plot.pdf": b"%PDF"}[name]
    assert found.read_bytes().startswith(begin)
