"""Files that an earlier version wrote are read, give what they gave then, and are gone on with.

The files and the numbers are in tests/fixtures/saved; make_saved.py there says how they were made.
"""

import json
import shutil

import numpy as np
import pytest

import minigrad as mg
from layers import models
from minigrad.draw import Picture, draw_graph
from tests.fixtures.saved_cases import (
    FOLDER,
    METADATA,
    MORE,
    OPTIMIZERS,
    RUNS,
    STEPS,
    Walk,
    arrays,
    make_models,
    outputs_of,
    resume_run,
)

NAMES = sorted(path.name for path in (FOLDER / "models").iterdir())
GRAPHS = sorted((FOLDER / "graphs").iterdir())


@pytest.fixture(scope="module")
def expected():
    """The outputs of a group by name."""
    with np.load(FOLDER / "outputs.npz") as file:
        found = dict(file)

    def group(name):
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}

    return group


def assert_same(found, expected, rtol=1e-6):
    """Compare texts and integers exactly, other arrays by their largest number."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        if value.dtype.kind in "fc":
            # Gradients at an optimum are nothing but rounding.
            close = rtol * np.abs(value).max(initial=0.0) + np.finfo(value.dtype).eps
            np.testing.assert_allclose(found[name], value, rtol, close, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)


# -- models ----------------------------------------------------------------------------------------


def test_there_is_a_model_of_every_kind():
    kinds = {
        json.loads((FOLDER / "models" / name / "config.json").read_text())["kind"] for name in NAMES
    }
    assert kinds == set(models.KINDS)
    assert sorted(make_models()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_models_give_the_same_outputs_and_gradients(name, expected):
    model = models.load(FOLDER / "models" / name)
    assert_same(outputs_of(model), expected(f"models/{name}"), 5e-6)


@pytest.mark.parametrize("name", NAMES)
def test_models_are_what_they_were_made_as_and_are_saved_alike(name, tmp_path):
    model = models.load(FOLDER / "models" / name)
    made = make_models()[name]()
    assert type(model) is type(made)
    assert model.config == made.config
    model.save(tmp_path)
    again = models.load(tmp_path)
    assert again.config == model.config
    before = mg.load(FOLDER / "models" / name / "model.safetensors")
    after = mg.load(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        np.testing.assert_array_equal(value, after[key])


# -- runs and checkpoints --------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_runs_go_on_to_the_same_weights(name, expected, tmp_path):
    shutil.copytree(FOLDER / "runs", tmp_path / "runs")
    found, then = resume_run(name, tmp_path / "runs"), expected(f"runs/{name}")
    added = found.keys() - then.keys()  # options of optimisers that came later
    assert all(key.startswith("last optimizer.groups.") for key in added)
    assert_same({key: found[key] for key in then}, then)
    lines = (tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == STEPS + MORE


def test_a_run_that_was_not_to_be_resumed_is_not_touched(tmp_path, expected):
    shutil.copytree(FOLDER / "runs", tmp_path / "runs")
    weights = mg.load(tmp_path / "runs" / "gru" / "last.safetensors")
    moved = expected("runs/gru")
    names = [name for name in weights if name.startswith("model.")]
    assert names
    assert all(np.abs(moved[f"last {name}"] - weights[name]).max() > 1e-4 for name in names)


def test_a_checkpoint_of_every_optimiser_goes_on_to_the_same_weights(expected):
    walk = Walk()
    loaded = walk.load(FOLDER / "checkpoint.safetensors")
    assert loaded.step == STEPS
    assert loaded.metadata == {"of": "walk"}
    assert set(loaded.parts) == set(walk.parts)
    walk.go(MORE)
    found = walk.weights()
    assert {name.split()[0] for name in found} == set(OPTIMIZERS)
    assert_same(found, expected("checkpoint"))


def test_a_checkpoint_is_more_than_its_weights(expected):
    walk, fresh = Walk(), Walk()
    walk.load(FOLDER / "checkpoint.safetensors")
    for old, new in zip(walk.ways, fresh.ways, strict=True):
        new[0].load_state_dict(old[0].state_dict())  # without optimiser, schedule and generators
    fresh.go(MORE)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(fresh.weights(), expected("checkpoint"))


# -- graphs ----------------------------------------------------------------------------------------


def test_there_are_graphs_of_every_level():
    levels = {Picture.from_json(path.read_text()).level for path in GRAPHS}
    assert levels == {"ops", "cells", "layers"}


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_graphs_are_read_written_alike_and_drawn(path):
    text = path.read_text(encoding="ascii")
    graph = Picture.from_json(text)
    assert graph.to_json() == text
    assert repr(Picture.from_json(graph.to_json())) == repr(graph)  # NaN equals nothing
    drawing = draw_graph(graph)
    assert drawing.svg().count("<title>") >= len(graph.nodes) / 2
    assert len(drawing.text().splitlines()) > 1
    assert drawing.json() == text


# -- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_arrays_are_read_bit_for_bit(suffix):
    path = FOLDER / f"arrays.{suffix}"
    found, made = mg.load(path), arrays()
    assert found.keys() == made.keys()
    for name, value in made.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert found[name].tobytes() == value.tobytes(), name
    assert mg.io.serialize.load_metadata(path) == METADATA
