"""`minigrad draw` and `minigrad flow`, as a user types them."""

import json
import os
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from layers.cli import main
from layers.datasets import CharacterTokenizer
from layers.examples.showcase import NAMES, RECURRENT
from layers.models.character import CharacterConfig, CharacterModel
from minigrad.draw import Picture

ATTENTION = [name for name in NAMES if name not in RECURRENT]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint that has learned nothing."""
    tokenizer = CharacterTokenizer.from_text("to be or not\n")
    folder = tmp_path_factory.mktemp("saved") / "model"
    CharacterModel(CharacterConfig(len(tokenizer), hidden_size=6), tokenizer).save(folder)
    return folder


def graph_of(path):
    return Picture.from_json(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_model_is_drawn(name, run, tmp_path):
    file = tmp_path / "a.json"
    said = run("draw", name, "--steps", 3, "--hidden-size", 4, "-o", file)
    graph = graph_of(file)
    level = "cells" if name in RECURRENT else "layers"
    assert graph.level == level
    assert graph.title.startswith("The gradient's way" if name in RECURRENT else f"{name}, 3 steps")
    assert f"{file}: {name}, 3 steps; level {level}" in said
    assert any(edge.contribution is not None for edge in graph.edges)
    if level == "cells":
        assert {node.step for node in graph.nodes if node.step is not None} == {0, 1, 2}


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        (".svg", b"<?xml"),
        (".html", b"<!doctype html>"),
        (".png", b"\x89PNG"),
        (".pdf", b"%PDF"),
        (".dot", b"digraph"),
        (".txt", b"The gradient's way back through 2 steps"),
    ],
)
def test_the_suffix_chooses_the_format(suffix, start, run, tmp_path):
    file = tmp_path / f"a{suffix}"
    run("draw", "rnn", "--steps", 2, "-o", file)
    assert file.read_bytes().lower().startswith(start.lower())


def test_levels_depth_and_rolling_up(run, tmp_path):
    file = tmp_path / "a.json"
    run("draw", "gru", "--level", "ops", "-o", file)
    whole = graph_of(file)
    assert whole.level == "ops"
    assert {node.step for node in whole.nodes if node.step is not None} == {0, 1}
    run("draw", "gru", "--steps", 9, "--roll", "-o", file)
    rolled = graph_of(file)
    assert any("Rolled up over 9 time steps" in text for text in rolled.diagnosis)
    run("draw", "gpt", "-o", file)
    fine = graph_of(file)
    run("draw", "gpt", "--depth", 2, "-o", file)
    assert len(graph_of(file).nodes) < len(fine.nodes)
    run("draw", "encoder", "--level", "auto", "-o", file)
    run("draw", "gpt", "--layers", 4, "-o", file)
    deep = len(graph_of(file).nodes)
    run("draw", "gpt", "--layers", 4, "--roll", "-o", file)
    assert len(graph_of(file).nodes) < deep // 2
    run("draw", "gpt", "--focus", "readout", "-o", file)
    assert len(graph_of(file).nodes) < len(fine.nodes) // 2
    run("draw", "lstm", "--depth", 1, "-o", file)
    assert graph_of(file).level == "layers"


def test_gradients_as_shares_or_not_at_all(run, tmp_path):
    file = tmp_path / "a.json"
    run("draw", "lstm", "--grad", "none", "-o", file)
    assert all(edge.contribution is None for edge in graph_of(file).edges)
    picture = tmp_path / "a.svg"
    run("draw", "lstm", "--grad", "share", "-o", picture)
    assert "share of the gradient" in "".join(ET.parse(picture).getroot().itertext())


def test_a_page_of_a_recurrent_model_follows_the_gradient_in_time(run, tmp_path):
    page, still = tmp_path / "a.html", tmp_path / "b.html"
    run("draw", "lstm", "--steps", 4, "-o", page)
    run("draw", "lstm", "--steps", 4, "--grad", "none", "--theme", "dark", "-o", still)
    assert "highway (c)" in page.read_text()
    assert "highway (c)" not in still.read_text()


def test_title_theme_and_shown_steps(run, tmp_path):
    file = tmp_path / "a.svg"
    arguments = ["--title", "Mine", "--theme", "dark", "--steps-shown", "0,7", "--steps", 9]
    run("draw", "rnn", *arguments, "-o", file)
    text = "".join(ET.parse(file).getroot().itertext())
    assert "Mine" in text
    assert "t = 1 to 6" in text
    run("draw", "rnn", "--steps", 20, "--steps-shown", "all", "-o", file)
    assert "t = 13" in "".join(ET.parse(file).getroot().itertext())


def test_a_saved_graph_is_drawn_again(run, error, tmp_path):
    file, picture = tmp_path / "graph.json", tmp_path / "a.svg"
    run("draw", "lstm", "--steps", 3, "-o", file)
    run("draw", file, "-o", picture, "--title", "Again")
    words = "".join(ET.parse(picture).getroot().itertext())
    assert "Again" in words
    assert "norm of the gradient" in words
    run("draw", file, "-o", picture, "--grad", "none")
    assert "norm of the gradient" not in "".join(ET.parse(picture).getroot().itertext())
    again = tmp_path / "again.json"
    run("draw", file, "-o", again)
    assert again.read_bytes() == file.read_bytes()
    assert "--depth has no effect" in error("draw", file, "--depth", 2, "-o", picture)
    run("draw", file, "--roll", "-o", again)
    assert len(graph_of(again).nodes) < len(graph_of(file).nodes)
    assert "not a model" in error("flow", file)


def test_a_checkpoint_is_drawn(saved, run, error, tmp_path):
    file = tmp_path / "a.json"
    said = run("draw", saved, "--text", "to be", "-o", file)
    assert "4 steps (the text has 5 characters; the last is what is predicted)" in said
    assert graph_of(file).level == "cells"
    run("draw", saved, "--steps", 3, "--level", "layers", "-o", file)
    assert graph_of(file).level == "layers"
    assert "--hidden-size is for built-in models" in error("draw", saved, "--hidden-size", 3)
    assert "at least 2 characters" in error("draw", saved, "--text", "t")
    assert f"{saved}" in error("draw", saved.parent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstn"], "did you mean 'lstm'?"),
        (["nothing"], "there are rnn, rnn-relu, gru, lstm, transformer, encoder, gpt"),
        (["missing.json"], "there is no file or folder 'missing.json'"),
        (["some/folder"], "there is no file or folder 'some/folder'"),
        (["gpt", "--level", "cells"], "--level cells: gpt has no recurrent cells"),
        (["lstm", "--level", "ops", "--depth", "2"], "--depth is for --level layers"),
        (["lstm", "--focus", "nowhere"], "nowhere"),
        (["encoder", "--gain", "2"], "--gain: encoder has no recurrent cells"),
        (["rnn", "--text", "abc"], "--text is for saved models"),
        (["rnn", "--steps-shown", "50"], "--steps-shown 50: rnn has the time steps 0 to 11"),
        (["rnn", "--steps", "30", "--time-limit", "1e-4"], "time_limit"),
        (["gpt", "--hidden-size", "7"], "must be even"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(arguments, message, error, tmp_path):
    file = tmp_path / "a.svg"
    assert message in error("draw", *arguments, "-o", file)
    assert not file.exists()


def test_where_it_cannot_be_written_is_said_before_the_work(error, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("the model ran")

    monkeypatch.setattr("layers.cli.sources.build", fail)
    assert "choose one of .svg, .html" in error("draw", "lstm", "-o", tmp_path / "a.bmp")
    assert "there is no folder" in error("draw", "lstm", "-o", tmp_path / "no" / "a.svg")
    assert "this is a folder" in error("draw", "lstm", "-o", tmp_path)
    assert ".svg, .html, .png, .pdf" in error("flow", "lstm", "-o", tmp_path / "a.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_is_refused_before_anything_is_computed(error, monkeypatch, tmp_path):
    monkeypatch.setattr("layers.cli.sources.build", None)
    os.mkfifo(tmp_path / "pipe.svg")
    assert "pipe.svg: this is no file" in error("draw", "lstm", "-o", tmp_path / "pipe.svg")


def test_files_and_folders_of_another_kind(error, tmp_path):
    file = tmp_path / "a.json"
    file.write_text("[1, 2")
    assert "is no graph that `minigrad draw` saved" in error("draw", file)
    file.write_text('{"kind": "something"}')
    assert "is no graph that `minigrad draw` saved" in error("draw", file)
    (tmp_path / "config.json").write_text('{"kind": "something else"}')
    assert "something else" in error("draw", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "model.safetensors is missing" in error("flow", tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps: must be above 0"),
        (["--steps", "x"], "--steps: must be a whole number"),
        (["--seed", "-1"], "--seed: must be 0 or more"),
        (["--steps-shown", "a,b"], "must be auto, all, or time steps"),
        (["--level", "atoms"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message, capsys):
    with pytest.raises(SystemExit) as info:
        main(["draw", "lstm", *arguments])
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_flow_prints_norms_routes_and_words(run):
    said = run("flow", "rnn", "lstm", "gpt", "--steps", 10, "--layers", 2)
    lines = said.splitlines()
    heading = next(line for line in lines if line.startswith("lag "))
    assert heading.split() == ["lag", "0", "1", "2", "4", "8", "9", "half-life", "horizon"]
    assert "gpt: of the last outputs by each place of the input" in lines[0]
    for label in ("l0.h", "l1.h", "l0.c", "l1.c"):
        assert f"{label} " in said
    assert "highway (c)" in said
    assert "rnn: Along h of ReadLast.recurrent.l1 the gradient" in said
    assert "gpt: The input x moves the last outputs most from" in said


def test_flow_as_json(run):
    given = ["--steps", 6, "--hidden-size", 4, "--json"]
    found = json.loads(run("flow", *NAMES, *given))["models"]
    assert list(found) == list(NAMES)
    for name, model in found.items():
        assert model["steps"] == 6
        for lane in model["lanes"].values():
            assert lane["lags"] == [0, 1, 2, 3, 4, 5]
            assert all(norm > 0 for norm in lane["norms"])
            if lane["routes"]:
                assert sum(lane["routes"].values()) == pytest.approx(1)
        assert model["diagnosis"]
        lanes = {"lstm": {"c", "h"}, "transformer": {"source", "target"}}
        assert set(model["lanes"]) == lanes.get(name, {"h"} if name in RECURRENT else {"x"})


def test_flow_of_an_orthogonal_relu_network_follows_its_gain(run):
    given = ["--batch", 1, "--hidden-size", 32, "--steps", 30, "--json"]
    rates = [
        json.loads(run("flow", "rnn-relu", "--gain", gain, *given))["models"]["rnn-relu"]
        for gain in (0.1, 3)
    ]
    low, high = (found["lanes"]["h"] for found in rates)
    # Half of the units are on, so a matrix of gain g keeps about g / sqrt 2 of a gradient.
    assert low["rate"] == pytest.approx(0.1 / np.sqrt(2), rel=0.3)
    assert low["half_life"] == pytest.approx(-np.log(2) / np.log(low["rate"]))
    assert high["rate"] == pytest.approx(3 / np.sqrt(2), rel=0.3)
    assert high["half_life"] is None


def test_what_overflows_is_said_and_warns_of_nothing(run, tmp_path):
    given = ["rnn-relu", "--gain", 1e12, "--steps", 60]
    found = json.loads(run("flow", *given, "--json"))["models"]["rnn-relu"]
    assert found["lanes"]["h"]["norms"][-1] is None
    assert found["lanes"]["h"]["half_life"] is None
    assert "not finite" in found["diagnosis"][0]
    assert "nan" in run("flow", *given)
    assert "not finite" in run("draw", *given, "-o", tmp_path / "a.svg")


def test_flow_of_checkpoints(saved, run, error):
    found = json.loads(run("flow", saved, "lstm", "--text", "to be", "--json"))["models"]
    assert found[str(saved)]["steps"] == 4
    assert found["lstm"]["steps"] == 20
    assert "--hidden-size is for built-in models" in error("flow", saved, "--hidden-size", 3)


def test_flow_saves_comparisons_and_plots(run, tmp_path):
    models = ["rnn", "lstm", "gpt"]
    for suffix in (".svg", ".html"):
        file = tmp_path / f"a{suffix}"
        assert f"written to {file}" in run("flow", *models, "--steps", 4, "-o", file)
        text = file.read_text()
        assert all(f"{name}" in text for name in models)
    picture = ET.parse(tmp_path / "a.svg").getroot()
    assert len(picture.findall("{http://www.w3.org/2000/svg}svg")) == 3
    plot = tmp_path / "a.png"
    run("flow", *NAMES, "--steps", 4, "-o", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    run("flow", "rnn", "--steps", 4, "--theme", "dark", "-o", tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm", "grru"], "did you mean 'gru'?"),
        (["lstm", "--steps", "1"], "from 2 steps on"),
        (["gpt", "--gain", "2"], "--gain is for rnn, rnn-relu, gru, lstm"),
        (["gpt", "rnn", "--text", "abc"], "--text is for saved models"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(arguments, message, error):
    assert message in error("flow", *arguments)
