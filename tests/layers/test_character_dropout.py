"""Dropout in character models: in training alone, on what goes up and not on what goes on."""

import dataclasses

import numpy as np
import pytest

import layers.models
import minigrad as mg
from layers.cli import main
from layers.datasets import CharacterTokenizer
from layers.models import CharacterConfig, CharacterModel
from layers.training import TrainingOptions, fit_text
from layers.training.run import describe_model
from tests.older_folders import as_before

pytestmark = pytest.mark.usefixtures("by_the_tape")

TEXT = "the cat sat on the mat. " * 40
LETTERS = CharacterTokenizer.from_text(TEXT)
IDS = LETTERS.encode(TEXT)


def made(cell="lstm", dropout=0.4, num_layers=2):
    mg.seed(0)
    config = CharacterConfig(len(LETTERS), 6, 10, num_layers, cell, dropout)
    return CharacterModel(config, LETTERS)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_dropout_acts_in_training_alone(cell, num_layers):
    model, plain = made(cell, num_layers=num_layers), made(cell, 0.0, num_layers)
    plain.load_state_dict(model.state_dict())
    batch = IDS[None, :20], IDS[None, 1:21]
    expected = plain.loss(*batch).item()
    model.train()
    losses = {model.loss(*batch).item() for _ in range(5)}
    assert len(losses) == 5
    assert expected not in losses
    model.eval()
    assert model.loss(*batch).item() == expected
    assert model.complete("the", 9) == plain.complete("the", 9)


def test_it_is_the_formula_of_zaremba():
    model = made("gru", 0.5)
    below, above = layers.GRU(6, 10), layers.GRU(10, 10)
    for layer, number in ((below, 0), (above, 1)):
        for name, parameter in layer.named_parameters():
            source = getattr(model.recurrent, name.replace("_l0", f"_l{number}"))
            parameter.write(source.numpy())
    model.train()
    token_ids = IDS[None, :8]
    mg.seed(7)
    logits, _ = model(token_ids)
    mg.seed(7)
    x = mg.dropout(model.embedding(token_ids), 0.5, True)
    x, _ = below(x)
    x, _ = above(mg.dropout(x, 0.5, True))
    expected = model.readout(mg.dropout(x, 0.5, True))
    np.testing.assert_array_equal(logits.numpy(), expected.numpy())


def test_a_run_with_dropout_resumes_bit_for_bit(tmp_path):
    options = {"batch_size": 4, "length": 12, "steps": 9, "checkpoint_every": 4, "progress": False}
    whole, again = made(), made()
    history = fit_text(whole, IDS, **options)
    fit_text(made(), IDS, folder=tmp_path, callbacks=[lambda told: told.step == 6], **options)
    resumed = fit_text(again, IDS, folder=tmp_path, resume=True, **options)
    assert resumed.losses == history.losses
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, again.state_dict()[name], err_msg=name)


def test_folders_and_runs_of_before_still_load(tmp_path):
    model = made(dropout=0.0)
    model.save(tmp_path)
    config = dataclasses.asdict(model.config)
    del config["dropout"], config["forget_bias"]
    as_before(tmp_path, config=config)
    loaded = layers.models.load(tmp_path)
    assert loaded.config == model.config
    assert loaded.complete("the", 9) == model.complete("the", 9)
    # What a checkpoint of before says of the model, compared when its run is resumed.
    before = (
        f"CharacterModel(CharacterConfig(vocabulary_size={len(LETTERS)}, embedding_size=6, "
        "hidden_size=10, num_layers=2, cell='lstm'))"
    )
    assert describe_model(model) == before
    assert describe_model(made(dropout=0.4)) == before.replace("'lstm'", "'lstm', dropout=0.4")


@pytest.mark.parametrize("dropout", [-0.1, 1.5, float("nan")])
def test_no_probability_is_named(dropout):
    with pytest.raises(ValueError, match="dropout"):
        CharacterConfig(5, dropout=dropout)


@pytest.mark.parametrize("kind", ["lstm", "gpt", "translation"])
def test_train_takes_dropout(tmp_path, kind, capsys):
    data = tmp_path / ("p.tsv" if kind == "translation" else "t.txt")
    data.write_text("ab\tc\nb\td\n" * 20 if kind == "translation" else TEXT)
    arguments = ["train", str(data), "--model", kind, "--steps", "2", "--dropout", "0.25"]
    small = [] if kind == "translation" else ["--hidden-size", "12", "--layers", "1"]
    out = tmp_path / "m"
    assert main([*arguments, *small, "--out", str(out)]) == 0
    assert layers.models.load(out).config.dropout == 0.25
    with pytest.raises(SystemExit):
        main([*arguments, "--dropout", "1"])
    assert "must be below 1" in capsys.readouterr().err
    assert main(["train", str(data), "--model", "ngram", "--dropout", "0.1"]) == 1
    assert "--dropout has no effect on --model ngram" in capsys.readouterr().err


# -- checkpoints by time ---------------------------------------------------------------------------


def saved_steps(tmp_path, monkeypatch, **options):
    """The steps of the checkpoints of a run whose steps take a second each."""
    from layers.training import run as run_module

    now, steps = [0.0], []
    monkeypatch.setattr(run_module.time, "perf_counter", lambda: now[0])
    save = run_module.RunFolder.save_last
    monkeypatch.setattr(
        run_module.RunFolder,
        "save_last",
        lambda self, step, *rest, **parts: (steps.append(step), save(self, step, *rest, **parts)),
    )

    def second(told):
        now[0] += 1.0

    fit_text(made(), IDS, batch_size=2, length=5, steps=20, folder=tmp_path, callbacks=[second],
             progress=False, **options)  # fmt: skip
    return steps


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 20]),
        ({"checkpoint_every": 8}, [0, 8, 16, 20]),
        ({"checkpoint_seconds": 7.0}, [0, 7, 14, 20]),
        ({"checkpoint_seconds": 7.0, "checkpoint_every": 5}, [0, 5, 10, 15, 20]),
        ({"checkpoint_seconds": 7.0, "checkpoint_every": None}, [0, 7, 14, 20]),
        ({"checkpoint_seconds": None, "checkpoint_every": None}, [0, 20]),
    ],
)
def test_checkpoints_come_by_steps_and_by_time(tmp_path, monkeypatch, options, expected):
    assert saved_steps(tmp_path, monkeypatch, **options) == expected


def test_checkpoints_by_time_change_nothing_and_may_be_changed(tmp_path):
    options = {"batch_size": 4, "length": 12, "steps": 9, "progress": False}
    plain = made()
    fit_text(plain, IDS, **options)
    fit_text(made(), IDS, folder=tmp_path, checkpoint_seconds=1e-9,
             callbacks=[lambda told: told.step == 5], **options)  # fmt: skip
    often = made()
    fit_text(often, IDS, folder=tmp_path, checkpoint_seconds=50.0, resume=True, **options)
    for name, array in plain.state_dict().items():
        np.testing.assert_array_equal(array, often.state_dict()[name], err_msg=name)
    with pytest.raises(ValueError, match="checkpoint_seconds must be above 0"):
        TrainingOptions(steps=1, checkpoint_seconds=0.0)


def test_a_run_says_where_it_begins(tmp_path, capsys):
    (tmp_path / "t.txt").write_text(TEXT)
    out = tmp_path / "m"
    arguments = ["train", str(tmp_path / "t.txt"), "--hidden-size", "4", "--out", str(out)]

    def said(*more):
        assert main([*arguments, *more]) == 0
        return capsys.readouterr().err

    assert "beginning" not in said("--steps", "2")
    assert f"going on with the run in {out} at step 2" in said("--steps", "3", "--resume")
    assert f"replacing the run in {out}, which was at step 3" in said("--steps", "2", "--overwrite")
    (out / "last.safetensors").unlink()
    assert "(it holds no run): beginning at step 0" in said("--steps", "2", "--resume",
                                                            "--checkpoint-seconds", "5",
                                                            "--checkpoint-every", "3")  # fmt: skip
    counted = ["train", str(tmp_path / "t.txt"), "--model", "ngram", "--checkpoint-seconds", "3"]
    assert main(counted) == 1
    assert "--checkpoint-seconds has no effect on ngram" in capsys.readouterr().err
