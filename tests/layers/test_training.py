import numpy as np
import pytest

import minigrad as mg
from layers.datasets import CharacterTokenizer, validation_batches
from layers.models.character import CharacterConfig, CharacterModel
from layers.training import TrainingOptions, mean_loss, train

TEXT = "the cat sat on the mat. " * 60


@pytest.fixture
def setting():
    mg.seed(0)
    tokenizer = CharacterTokenizer.from_text(TEXT)
    config = CharacterConfig(len(tokenizer), embedding_size=8, hidden_size=24)
    return CharacterModel(config, tokenizer), tokenizer.encode(TEXT)


OPTIONS = TrainingOptions(steps=60, seconds=None, batch_size=8, length=24, rate=2e-2, warmup=5)


def test_training_lowers_the_loss(setting):
    model, codes = setting
    batches = validation_batches(codes, count=2, batch_size=4, length=24)
    before = mean_loss(model, batches)
    history = train(model, codes, OPTIONS, progress=False)
    assert len(history.losses) == 60
    assert mean_loss(model, batches) < 0.5 * before
    assert not model.training


def test_the_same_seed_gives_the_same_model(setting):
    model, codes = setting
    start = model.state_dict()
    train(model, codes, OPTIONS, progress=False)
    first = model.state_dict()
    model.load_state_dict(start)
    train(model, codes, OPTIONS, progress=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, first[name])


def test_seconds_end_a_run(setting):
    model, codes = setting
    options = TrainingOptions(seconds=0.2, batch_size=2, length=8)
    history = train(model, codes, options, progress=False)
    assert history.losses
    assert history.seconds >= 0.2


def test_an_interrupt_ends_the_run_and_keeps_the_model(setting, monkeypatch):
    model, codes = setting
    calls = 0
    loss = model.loss

    def interrupting(*args):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return loss(*args)

    object.__setattr__(model, "loss", interrupting)
    history = train(model, codes, OPTIONS, progress=False)
    assert history.interrupted
    assert len(history.losses) == 3


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(setting):
    model, codes = setting
    model.readout.bias.write(np.full_like(model.readout.bias.numpy(), np.nan))
    before = model.state_dict()
    with pytest.raises(mg.GradientError, match="the loss is nan at step 0"):
        train(model, codes, OPTIONS, progress=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"steps": None, "seconds": None}, "give steps, seconds"), ({"steps": 0}, "steps must be")],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**options)


def test_saved_model_comes_back(setting, tmp_path):
    model, codes = setting
    model.save(tmp_path / "m")
    again = CharacterModel.load(tmp_path / "m")
    assert again.config == model.config
    scores, _ = model(codes[None, :9])
    np.testing.assert_array_equal(again(codes[None, :9])[0].numpy(), scores.numpy())
    assert "".join(again.generate("the", 20, generator=np.random.default_rng(1))) == "".join(
        model.generate("the", 20, generator=np.random.default_rng(1))
    )


def test_loading_says_what_is_wrong(setting, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        CharacterModel.load(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "oracle", "config": {}}')
    with pytest.raises(ValueError, match="describes a 'oracle'"):
        CharacterModel.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        CharacterModel.load(tmp_path)


def test_greedy_text_follows_the_scores_and_streams(setting):
    model, _ = setting
    stream = model.generate("the c", 5, temperature=0)
    first = next(stream)
    assert mg.is_recording()  # a paused generator leaves the caller's mode alone
    scores, _ = model(model.tokenizer.encode("the c")[None])
    assert first == model.tokenizer.decode([int(scores.numpy()[0, -1].argmax())])
    assert len(list(stream)) == 4


@pytest.mark.parametrize(
    ("prompt", "temperature", "message"),
    [("", 1.0, "prompt is empty"), ("the", -1.0, "temperature"), ("7", 1.0, "'7'")],
)
def test_generate_refuses(setting, prompt, temperature, message):
    model, _ = setting
    with pytest.raises(ValueError, match=message):
        list(model.generate(prompt, 3, temperature))
