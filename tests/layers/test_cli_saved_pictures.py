"""`minigrad draw` and `minigrad flow` of saved models of every kind, and the forget bias."""

import json

import numpy as np
import pytest

import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.examples.showcase import REMEMBERING, build
from layers.models import (
    GPT,
    Autoregressive,
    AutoregressiveConfig,
    CharacterConfig,
    CharacterModel,
    GPTConfig,
    LatentAutoregressive,
    LatentConfig,
    NGramConfig,
    NGramModel,
    TranslationConfig,
    TranslationModel,
    load,
)
from minigrad.draw import Picture, backprop_through_time

TEXT = "to be or not to be\n"
LETTERS = CharacterTokenizer.from_text(TEXT)
SERIES = np.sin(np.arange(40.0)) + 0.1 * np.arange(40.0)


def ngram():
    return NGramModel(NGramConfig(len(LETTERS), 3), LETTERS).fit(LETTERS.encode(TEXT))


def translation():
    digits = CharacterTokenizer("123")
    config = TranslationConfig.preset("tiny", source_size=len(LETTERS), target_size=3, longest=6)
    return TranslationModel(config, LETTERS, digits)


MODELS = {
    "character": lambda: CharacterModel(CharacterConfig(len(LETTERS), hidden_size=5), LETTERS),
    "gpt": lambda: GPT(GPTConfig.preset("tiny", vocabulary_size=len(LETTERS)), LETTERS),
    "ngram": ngram,
    "translation": translation,
    "ar": lambda: Autoregressive(AutoregressiveConfig(3)).fit_least_squares(SERIES),
    "latent": lambda: LatentAutoregressive(LatentConfig(hidden_size=4)).standardize(SERIES),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for every kind of model."""
    mg.seed(0)  # a translation by random weights may be empty, which has nothing to measure
    root = tmp_path_factory.mktemp("models")
    for name, make in MODELS.items():
        make().save(root / name)
    return root


def graph_of(path):
    return Picture.from_json(path.read_text())


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("character", "cells"),
        ("gpt", "layers"),
        ("ngram", "ops"),
        ("translation", "layers"),
        ("ar", "ops"),
        ("latent", "cells"),
    ],
)
def test_every_kind_of_saved_model_is_drawn(name, level, folders, run, tmp_path):
    file = tmp_path / "a.json"
    assert f"level {level}" in run("draw", folders / name, "--steps", 4, "-o", file)
    graph = graph_of(file)
    assert graph.level == level
    assert graph.title
    run("draw", folders / name, "--steps", 4, "-o", tmp_path / "a.html")
    carried = any(edge.contribution is not None for edge in graph.edges)
    assert carried is (name != "ngram")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ngram"])
def test_every_kind_of_saved_model_is_measured(name, folders, run):
    found = json.loads(run("flow", folders / name, "--steps", 4, "--json"))["models"]
    (lanes,) = [model["lanes"] for model in found.values()]
    assert all(len(lane["norms"]) >= 2 for lane in lanes.values())
    assert set(lanes) == {
        "character": {"c", "h"},
        "gpt": {"x"},
        "translation": {"source", "target"},
        "ar": {"x"},
        "latent": {"h"},
    }.get(name)


def test_an_autoregressive_model_depends_on_each_value_by_its_coefficient(folders, run):
    found = json.loads(run("flow", folders / "ar", "--json"))["models"][str(folders / "ar")]
    expected = np.abs(load(folders / "ar").coefficients[1:])  # the latest first, as lags are
    np.testing.assert_allclose(found["lanes"]["x"]["norms"], expected)


def test_letters_stand_under_the_steps(folders, run, tmp_path):
    for suffix in ("json", "svg", "html"):
        run("draw", folders / "character", "--text", "to be", "-o", tmp_path / f"a.{suffix}")
    assert graph_of(tmp_path / "a.json").readings == ("'t'", "'o'", "' '", "'b'")
    again = tmp_path / "b.json"
    run("draw", tmp_path / "a.json", "-o", again)
    assert again.read_bytes() == (tmp_path / "a.json").read_bytes()
    svg = (tmp_path / "a.svg").read_text()
    assert svg.count('class="node reading"') == 4
    assert "&#39;b&#39;" in svg
    assert """["'t'","'o'","' '","'b'"]""" in (tmp_path / "a.html").read_text()


def test_the_picture_of_an_ngram_model_names_what_is_likely(folders, run, tmp_path):
    run("draw", folders / "ngram", "--text", "not to b", "-o", tmp_path / "a.json")
    graph = graph_of(tmp_path / "a.json")
    last = graph.nodes[-1]
    assert last.op == "after ' b'"
    assert last.detail.startswith("'e' 0.9") or last.detail.startswith("'e' 0.8")
    assert [n.name for n in graph.nodes if n.kind == "input"] == ["' '", "'b'"]
    assert sum(edge.target == last.id for edge in graph.edges) == 3


def test_a_gpt_shows_the_text_that_it_reads(folders, run, tmp_path):
    run("draw", folders / "gpt", "--text", "to be", "-o", tmp_path / "a.json")
    (x,) = [n for n in graph_of(tmp_path / "a.json").nodes if n.kind == "input"]
    assert (x.name, x.detail) == ("x", "'to b'")  # the last character is predicted
    run("draw", folders / "gpt", "--text", "to be", "-o", tmp_path / "a.svg")
    assert "'to b'" in (tmp_path / "a.svg").read_text().replace("&#39;", "'")


def test_a_translation_reads_the_source_that_is_given(folders, run, error, tmp_path):
    file = tmp_path / "a.json"
    assert "random characters" in run("draw", folders / "translation", "-o", file)
    run("draw", folders / "translation", "--text", "to be", "-o", file)
    shapes = {n.name: n.shape for n in graph_of(file).nodes if n.kind == "input"}
    assert shapes["source"][1] == len("to be")
    details = {n.name: n.detail for n in graph_of(file).nodes if n.kind == "input"}
    assert details["source"] == "'to be'"
    assert "'x'" in error("draw", folders / "translation", "--text", "xyz", "-o", file)
    assert "at least 1 character" in error(
        "draw", folders / "translation", "--text", "", "-o", file
    )


def test_what_a_kind_of_model_cannot_do_is_said(folders, error, tmp_path):
    file = tmp_path / "a.svg"
    assert "no gradient flows in it" in error("flow", folders / "ngram")
    assert "one of a series" in error("draw", folders / "ar", "--text", "abc", "-o", file)
    assert "--forget-bias is for built-in" in error(
        "draw", folders / "latent", "--forget-bias", 1, "-o", file
    )
    Autoregressive(AutoregressiveConfig(2)).save(tmp_path / "empty")
    assert "knows 0 values" in error("draw", tmp_path / "empty", "-o", file)


# -- the forget bias -------------------------------------------------------------------------------


def kept(bias, steps=50):
    loss = build("lstm", steps=steps, forget_bias=bias).loss
    _, norms = backprop_through_time(loss).lane("c").by_lag
    return norms[-1] / norms[0]


def test_a_built_in_lstm_remembers_unless_told_otherwise():
    assert kept(None) == kept(REMEMBERING) > 0.1
    assert kept(0.0) < 1e-8
    module = build("lstm", layers=2).module.recurrent
    for suffix in ("_l0", "_l1"):
        total = getattr(module, f"bias_ih{suffix}") + getattr(module, f"bias_hh{suffix}")
        np.testing.assert_array_equal(total.numpy()[8:16], REMEMBERING)
    with pytest.raises(ValueError, match=r"forget_bias is for models .*lstm.*; gru has none"):
        build("gru", forget_bias=1.0)


def test_flow_teaches_that_an_lstm_remembers(run):
    text = run("flow", "rnn", "gru", "lstm", "--steps", 50)
    assert "lstm: The forget gates begin near 0.95 (forget bias 3)" in text
    assert "With forget bias 0 they begin near 0.5" in text
    found = json.loads(run("flow", "rnn", "gru", "lstm", "--steps", 50, "--json"))["models"]
    left = {
        name: max(lane["norms"][-1] / max(lane["norms"]) for lane in model["lanes"].values())
        for name, model in found.items()
    }
    assert left["lstm"] > 1e4 * left["gru"] > 1e4 * left["rnn"]
    plain = json.loads(run("flow", "lstm", "--steps", 50, "--forget-bias", 0, "--json"))["models"]
    norms = plain["lstm"]["lanes"]["c"]["norms"]
    assert norms[-1] < 1e-8 * norms[0]


def test_pictures_say_how_the_cell_begins(run, error, tmp_path):
    file = tmp_path / "a.json"
    assert "forget bias 3" in run("draw", "lstm", "-o", file)
    assert "forget bias 3" in graph_of(file).diagnosis[0]
    assert "(forget bias -1)" in run("draw", "lstm", "--forget-bias", -1, "-o", file)
    run("draw", "lstm", "--grad", "none", "-o", file)
    assert graph_of(file).diagnosis == ()
    run("flow", "lstm", "rnn", "--steps", 4, "-o", tmp_path / "a.html")
    assert "forget bias 3" in (tmp_path / "a.html").read_text()
    assert "--forget-bias is for lstm; gru has no forget gate" in error(
        "draw", "gru", "--forget-bias", 0, "-o", file
    )
    assert "--forget-bias is for lstm, and there is none" in error(
        "flow", "gru", "--forget-bias", 1
    )


def test_a_model_is_trained_with_a_forget_bias(run, error, tmp_path):
    text = tmp_path / "t.txt"
    text.write_text(TEXT * 20)
    given = ["train", text, "--hidden-size", 4, "--steps", 1, "--out", tmp_path / "m"]
    run(*given, "--forget-bias", 2.5, "--rate", 1e-9)
    model = load(tmp_path / "m")
    assert model.config.forget_bias == 2.5
    total = model.recurrent.bias_ih_l0 + model.recurrent.bias_hh_l0
    np.testing.assert_allclose(total.numpy()[4:8], 2.5, atol=1e-6)
    assert "--forget-bias has no effect on --model gru" in error(
        *given, "--model", "gru", "--forget-bias", 1
    )
    with pytest.raises(ValueError, match=r"forget_bias=1\.0 is for the cell 'lstm'"):
        CharacterConfig(5, cell="rnn", forget_bias=1.0)
