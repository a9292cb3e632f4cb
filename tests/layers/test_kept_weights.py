"""The best weights of a run in its folder, when it ends between two of its files."""

import os

import numpy as np
import pytest

import minigrad as mg
from layers.models import CharacterConfig, CharacterModel
from layers.training import TrainingOptions, fit
from layers.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("by_the_tape")

VALUES = {4: 3.0, 8: 2.0, 12: 2.5}
"""What the validations give, by their steps."""


class Killed(BaseException):
    """Nothing in the run handles it."""


def train(folder, end_at=None, ending=Killed, resume=False, callbacks=()):
    """A run of 12 steps, with checkpoints at 0 and 6; its model and history."""
    mg.seed(0)
    model = CharacterModel(CharacterConfig(5, hidden_size=4))
    step = RunFolder(folder, resume=True).step

    def told(progress):
        nonlocal step
        step = progress.step
        if step == end_at:
            raise ending

    history = fit(
        model,
        lambda generator: (generator.integers(5, size=(2, 6)), generator.integers(5, size=(2, 6))),
        TrainingOptions(steps=12, validate_every=4, checkpoint_every=6, checkpoint_seconds=None),
        validate=lambda: VALUES[step],
        folder=folder,
        resume=resume,
        callbacks=[told, *callbacks],
        progress=False,
    )
    return model, history


def assert_same(one, other):
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def best_of(folder):
    model = CharacterModel(CharacterConfig(5, hidden_size=4))
    return RunFolder(folder, resume=True).best_weights(8, 12, model)


def assert_whole(folder, whole, run):
    """A run that went on to its end is the run that nothing ended."""
    model, history = run
    wanted, before = whole
    assert_same(wanted.state_dict(), model.state_dict())
    assert (history.best, history.losses) == ((8, 2.0), before.losses)
    assert history.validations == list(VALUES.items())
    assert_same(wanted.state_dict(), CharacterModel.load(folder).state_dict())
    assert_same(best_of(folder), wanted.state_dict())


def test_a_run_stays_in_its_folder_when_the_working_folder_changes(tmp_path, monkeypatch):
    for place in (tmp_path / "a", tmp_path / "b"):
        place.mkdir()
        monkeypatch.chdir(place)
    train("run", end_at=7, ending=KeyboardInterrupt)  # in b
    monkeypatch.chdir(tmp_path / "a")
    train("run", callbacks=[lambda told: told.step == 3 and os.chdir(tmp_path / "b")])
    assert RunFolder(tmp_path / "a" / "run", resume=True).step == 12
    assert RunFolder(tmp_path / "b" / "run", resume=True).step == 7


@pytest.fixture
def whole(tmp_path):
    return train(tmp_path / "whole")


def test_a_kill_between_best_and_last_is_made_good_by_going_on(tmp_path, whole):
    with pytest.raises(Killed):
        train(tmp_path / "cut", end_at=9)  # after the better validation at 8
    assert RunFolder(tmp_path / "cut", resume=True).step == 6
    assert_same(best_of(tmp_path / "cut"), whole[0].state_dict())
    assert_whole(tmp_path / "cut", whole, train(tmp_path / "cut", resume=True))


def test_a_run_that_ends_before_it_comes_there_again_has_the_better_weights(tmp_path, whole):
    with pytest.raises(Killed):
        train(tmp_path / "cut", end_at=9)
    model, history = train(tmp_path / "cut", end_at=7, ending=KeyboardInterrupt, resume=True)
    assert history.best == (4, 3.0)
    assert_same(model.state_dict(), whole[0].state_dict())
    assert_same(CharacterModel.load(tmp_path / "cut").state_dict(), whole[0].state_dict())


@pytest.mark.parametrize("name", ["save_best", "save_model"])
def test_ctrl_c_while_the_best_weights_are_written_notes_none_that_are_not_there(
    tmp_path, whole, monkeypatch, name
):
    save = getattr(RunFolder, name)

    def interrupted(folder, *args):
        if folder.step == 6:  # the last checkpoint before the validation at 8
            monkeypatch.undo()
            raise KeyboardInterrupt
        save(folder, *args)

    monkeypatch.setattr(RunFolder, name, interrupted)
    model, history = train(tmp_path / "cut")
    assert history.interrupted
    assert (history.step, history.best) == (8, (4, 3.0))
    assert_same(model.state_dict(), CharacterModel.load(tmp_path / "cut").state_dict())
    assert_whole(tmp_path / "cut", whole, train(tmp_path / "cut", resume=True))


def test_best_weights_of_another_step_are_refused(tmp_path):
    train(tmp_path / "cut", end_at=9, ending=KeyboardInterrupt)
    RunFolder(tmp_path / "cut", resume=True).save_best(
        5, 1.0, CharacterModel(CharacterConfig(5, hidden_size=4))
    )
    with pytest.raises(ValueError, match=r"best\.safetensors has the weights of step 5, and .* 8"):
        train(tmp_path / "cut", resume=True)
    mg.save(tmp_path / "cut" / "best.safetensors", {"model.a": np.ones(1)})
    with pytest.raises(ValueError, match=r"best\.safetensors is not a 'minigrad checkpoint 1'"):
        train(tmp_path / "cut", resume=True)
