"""What a run puts back, what it counts over its parts, and by what it knows itself again."""

import json
import os
import signal
import time
from unittest.mock import Mock

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.base import init
from layers.models import CharacterConfig, CharacterModel
from layers.training import History, TrainingOptions, fit
from layers.training.run import Run, describe_model
from layers.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("by_the_tape")


class Noted:
    """Batches of one random row, which note what was drawn of each generator."""

    def __init__(self):
        self.drawn = []

    def __call__(self, generator):
        row = generator.standard_normal((1, 2)).astype(np.float32)
        self.drawn.append((row.tolist(), init.uniform_(mg.Tensor(0.0)).item()))
        return (row,)


def square_loss(model, batch):
    return (model(batch[0]) ** 2).mean()


def run(folder, batches, loss=square_loss, steps=4, resume=False, **more):
    return fit(
        layers.Linear(2, 1),
        batches,
        TrainingOptions(steps=steps),
        loss=loss,
        folder=folder,
        resume=resume,
        progress=False,
        **more,
    )


def test_an_interrupted_step_draws_the_same_when_the_run_goes_on(tmp_path):
    def loss(model, batch):
        if len(batches.drawn) == 3:
            raise KeyboardInterrupt
        return square_loss(model, batch)

    batches = Noted()
    assert run(tmp_path, batches, loss, compiled=False).interrupted
    run(tmp_path, batches, steps=3, resume=True, compiled=False)
    assert len(batches.drawn) == 4
    assert batches.drawn[2] == batches.drawn[3] != batches.drawn[1]


def test_a_step_that_is_not_finite_is_drawn_again_to_find_the_reason():
    batches = Noted()
    with np.errstate(all="ignore"), pytest.raises(mg.GradientError, match="at step 0"):
        run(None, batches, lambda model, batch: square_loss(model, batch) * np.inf)
    assert batches.drawn[0] == batches.drawn[1]


def test_seconds_are_those_of_all_parts(tmp_path, capsys):
    first = run(tmp_path, Noted(), callbacks=[lambda told: time.sleep(0.1)])
    assert first.seconds > 0.4
    told = []
    second = run(tmp_path, Noted(), steps=5, resume=True, callbacks=[told.append])
    assert first.seconds < told[0].seconds < second.seconds
    assert capsys.readouterr() == ("", "")  # of a run without a bar that went on


class Late(layers.Linear):
    """Is interrupted when all steps are made."""

    def eval(self):
        os.kill(os.getpid(), signal.SIGINT)
        return super().eval()


def test_ctrl_c_after_the_last_step_is_noted(hearing_ctrl_c):
    history = fit(Late(2, 1), Noted(), TrainingOptions(steps=2), loss=square_loss, progress=False)
    assert history.step == 2
    assert history.interrupted


@pytest.mark.parametrize("more", [{}, {"average": 0.5}, {"validate_every": 2, "keep": "last"}])
def test_the_folder_has_the_last_model_where_none_is_the_best(more, tmp_path):
    mg.seed(0)
    model = CharacterModel(CharacterConfig(5, hidden_size=4))
    values = iter([1.0, 2.0, 3.0])  # ever worse
    fit(
        model,
        lambda generator: [generator.integers(5, size=(2, 6)) for _ in range(2)],
        TrainingOptions(steps=5, rate=0.1, **more),
        validate=(lambda: next(values)) if "keep" in more else None,
        folder=tmp_path,
        progress=False,
    )
    kept = CharacterModel.load(tmp_path).state_dict()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(kept[name], array, err_msg=name)


def test_validations_are_in_the_log(tmp_path):
    values = iter([2.0, 1.0])
    fit(
        layers.Linear(2, 1),
        Noted(),
        TrainingOptions(steps=4, validate_every=2),
        loss=square_loss,
        validate=lambda: next(values),
        folder=tmp_path,
        progress=False,
    )
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = [(line["step"], line["validation"]) for line in lines if "validation" in line]
    assert found == [(2, 2.0), (4, 1.0)]


@pytest.mark.parametrize("bar", [Mock(), None])
def test_notes_on_programs_are_told_once(bar, tmp_path):
    options = TrainingOptions(steps=1)
    run = Run(layers.Linear(2, 1), Noted(), options, square_loss, None, None, None, None, False)
    run.folder = RunFolder(tmp_path, resume=False)
    for notes in (["one", "two"], [], ["three"]):
        run.loss.notes += notes
        run._tell(bar)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["steps"] for line in lines] == ["one", "two", "three"]
    if bar:
        assert [call.args for call in bar.say.call_args_list] == [("one",), ("two",), ("three",)]


@pytest.mark.parametrize(("best", "last", "whole"), [(8, 12, True), (4, 8, True), (4, 12, False)])
def test_the_best_weights_are_of_the_best_step_or_of_one_to_come(best, last, whole, tmp_path):
    folder, model = RunFolder(tmp_path, resume=False), layers.Linear(2, 1)
    folder.save_best(8, 1.0, model)
    if whole:
        found = folder.best_weights(best, last, model)
        np.testing.assert_array_equal(found["weight"], model.weight.numpy())
    else:
        with pytest.raises(ValueError, match=r"has the weights of step 8, and the best .* step 4"):
            folder.best_weights(best, last, model)


def test_a_history_without_validations_begins_with_none_that_was_worse():
    history = History(stale=3)
    history.load_state_dict(History([2.0], [1.0], seconds=4.0).state_dict())
    assert history == History([2.0], [1.0], seconds=4.0, resumed=1)


def test_a_model_is_known_by_its_class_and_configuration():
    config = CharacterConfig(5, hidden_size=4)
    described = describe_model(CharacterModel(config))
    assert described == f"CharacterModel({config.describe()})"
    assert described != describe_model(CharacterModel(CharacterConfig(5, hidden_size=3)))
    assert describe_model(layers.Linear(2, 1)) == "Linear"
    odd = layers.Linear(2, 1)
    odd.config = {"depth": 3}
    assert describe_model(odd) == "Linear({'depth': 3})"
