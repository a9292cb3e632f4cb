"""The training loop: what it learns, what it keeps, and that a cut run goes on as if it had not."""

import json
from pathlib import Path

import numpy as np
import pytest

import layers
import minigrad as mg
import minigrad.draw
from layers.datasets import CharacterTokenizer, random_windows, validation_batches
from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig
from layers.training import (
    ShuffledBatches,
    TrainingOptions,
    fit,
    fit_text,
    mean_loss,
    text_options,
)
from minigrad.draw import DrawError
from minigrad.optim import SGD, StepSchedule

pytestmark = pytest.mark.usefixtures("by_the_tape")

ROOT = Path(__file__).parents[2]
TEXT = "the cat sat on the mat. " * 60


class Noisy(layers.Module):
    """A small network with dropout, so that random numbers take part in every step."""

    def __init__(self):
        super().__init__()
        self.one, self.two = layers.Linear(3, 16), layers.Linear(16, 1)
        self.dropout = layers.Dropout(0.2)

    def forward(self, x):
        return self.two(self.dropout(mg.tanh(self.one(x))))

    def loss(self, x, y):
        return mg.mse_loss(self(x), y)


def points(generator, count=16):
    x = generator.standard_normal((count, 3), np.float32)
    return x, x[:, :1] * 2 - x[:, 1:2]


def new_model(seed=0):
    mg.seed(seed)
    return Noisy()


def validation():
    return [points(np.random.default_rng(99), 64)]


def run(model, folder=None, *, steps=40, resume=False, batches=points, callbacks=(), **options):
    settings = {"rate": 0.02, "warmup": 5, "checkpoint_every": 7, "validate_every": 10}
    return fit(
        model,
        batches,
        TrainingOptions(**{"steps": steps, **settings, **options}),
        validate=lambda: mean_loss(model, validation()),
        folder=folder,
        resume=resume,
        callbacks=callbacks,
        progress=False,
    )


def assert_same(one, other):
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name], err_msg=name)


@pytest.fixture
def setting():
    mg.seed(0)
    tokenizer = CharacterTokenizer.from_text(TEXT)
    config = CharacterConfig(len(tokenizer), embedding_size=8, hidden_size=24)
    return CharacterModel(config, tokenizer), tokenizer.encode(TEXT)


FAST = {"batch_size": 8, "length": 24, "rate": 2e-2, "warmup": 5, "progress": False}


# -- learning --------------------------------------------------------------------------------------


def test_training_lowers_the_loss(setting):
    model, token_ids = setting
    batches = validation_batches(token_ids, count=2, batch_size=4, length=24)
    before = mean_loss(model, batches)
    history = fit_text(model, token_ids, steps=60, **FAST)
    assert len(history.losses) == history.step == 60
    assert mean_loss(model, batches) < 0.5 * before
    assert not model.training


def test_the_same_seed_gives_the_same_model(setting):
    model, token_ids = setting
    start = model.state_dict()
    fit_text(model, token_ids, steps=30, **FAST)
    first = model.state_dict()
    model.load_state_dict(start)
    fit_text(model, token_ids, steps=30, **FAST)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, first[name])


def test_a_gpt_learns_with_settings_of_its_own():
    model = GPT(GPTConfig.preset("tiny", vocabulary_size=5))
    assert text_options(model, steps=1).weight_decay == 0.1
    token_ids = np.tile([0, 1, 2, 3, 4], 60)
    history = fit_text(model, token_ids, token_ids, steps=60, rate=1e-2, progress=False)
    assert history.validations[-1][1] < 0.5


def test_seconds_end_a_run():
    history = run(new_model(), steps=None, seconds=0.2)
    assert history.losses
    assert history.seconds >= 0.2


def test_accumulated_batches_are_one_large_batch():
    x, y = points(np.random.default_rng(0), 32)
    models = [layers.Linear(3, 1), layers.Linear(3, 1)]
    models[1].load_state_dict(models[0].state_dict())

    def loss(model, batch):
        return mg.mse_loss(model(batch[0]), batch[1])

    parts = iter([(x[:16], y[:16]), (x[16:], y[16:])] * 5)
    options = {"steps": 5, "rate": 0.1, "max_norm": None}
    fit(models[0], lambda _: (x, y), TrainingOptions(**options), loss=loss, progress=False)
    options["accumulate"] = 2
    fit(models[1], lambda _: next(parts), TrainingOptions(**options), loss=loss, progress=False)
    np.testing.assert_allclose(models[0].weight.numpy(), models[1].weight.numpy(), rtol=1e-5)


def test_clipping_holds_the_step_of_sgd():
    mg.seed(0)  # weights whose sum is near 0 give a gradient that needs no clipping
    model = layers.Linear(3, 1)
    before = model.state_dict()
    history = fit(
        model,
        lambda _: (np.full((4, 3), 1e3, np.float32), np.zeros((4, 1), np.float32)),
        TrainingOptions(steps=1, rate=0.5, warmup=0, schedule="constant", max_norm=1.0),
        loss=lambda model, batch: mg.mse_loss(model(batch[0]), batch[1]),
        optimizer=SGD(model.parameters(), rate=0.5),
        progress=False,
    )
    moved = sum(float(((model.state_dict()[n] - a) ** 2).sum()) for n, a in before.items())
    assert np.sqrt(moved) == pytest.approx(0.5, rel=1e-3)
    assert history.losses[0] > 1


def test_the_average_is_what_is_kept():
    seen = []
    model = new_model()

    def remember(told):
        seen.append(told.model.one.weight.numpy().copy())

    run(model, steps=20, average=0.5, keep="last", callbacks=[remember])
    expected = seen[0]
    for value in seen[1:]:
        expected = expected + 0.5 * (value - expected)
    np.testing.assert_allclose(model.one.weight.numpy(), expected, rtol=1e-5)


def test_patience_stops_and_the_best_weights_stay():
    model = new_model()
    values = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    at_best = []

    def validate():
        value = next(values)
        if value == 1.0:
            at_best.append(model.state_dict())
        return value

    options = TrainingOptions(steps=100, rate=0.02, validate_every=5, patience=2)
    history = fit(model, points, options, validate=validate, progress=False)
    assert history.step == 20
    assert history.best == (10, 1.0)
    assert "no better validation" in history.stopped
    for name, array in at_best[0].items():
        np.testing.assert_array_equal(model.state_dict()[name], array)


def test_validation_is_in_evaluation_mode_and_does_not_change_the_run():
    other, modes = new_model(), []

    def validate():
        modes.append((one.training, mg.is_recording()))
        mg.dropout(np.ones(5, np.float32), 0.5)  # draws from the default generator
        return 1.0

    options = TrainingOptions(steps=20, rate=0.02, validate_every=3, keep="last")
    fit(other, points, options, progress=False)
    one = new_model()  # which also seeds the default generator as before
    fit(one, points, options, validate=validate, progress=False)
    assert set(modes) == {(False, False)}
    assert_same(one, other)


def test_callbacks_are_told_and_may_stop():
    told = []

    def callback(progress):
        told.append(progress)
        return progress.step == 6

    history = run(new_model(), callbacks=[callback])
    assert [t.step for t in told] == [1, 2, 3, 4, 5, 6]
    assert history.step == 6
    assert "callback" in history.stopped
    assert told[0].rate == pytest.approx(0.02 / 5)
    assert told[-1].norm > 0


def test_a_schedule_of_ones_own_sets_the_rates():
    model = new_model()
    optimizer = SGD(model.parameters(), rate=0.1)
    rates = []
    fit(
        model,
        points,
        TrainingOptions(steps=4, warmup=0),
        optimizer=optimizer,
        schedule=StepSchedule(optimizer, 2, 0.5),
        callbacks=[lambda told: rates.append(told.rate)],
        progress=False,
    )
    assert rates == [0.1, 0.1, 0.05, 0.05]
    with pytest.raises(ValueError, match="another optimizer"):
        fit(model, points, TrainingOptions(steps=1), schedule=StepSchedule(optimizer, 2))


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_the_sentence_of_the_xray(setting, tmp_path):
    model, token_ids = setting
    model.readout.bias.write(np.full_like(model.readout.bias.numpy(), np.nan))
    before = model.state_dict()
    with pytest.raises(mg.GradientError, match=r"loss is nan at step 0.*'bias' holds 11 NaN"):
        fit_text(model, token_ids, steps=9, folder=tmp_path, **FAST)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert (tmp_path / "last.safetensors").is_file()


def test_a_gradient_that_is_not_finite_stops_too():
    model = layers.Linear(2, 1, bias=False)
    model.weight.write(np.zeros((1, 2), np.float32))

    def loss(model, batch):
        return np.sqrt(model(batch) ** 2).sum()  # the slope of the root at 0 is infinite

    with pytest.raises(mg.GradientError, match=r"the gradient is not finite at step 0.*sqrt"):
        fit(model, lambda _: np.ones((3, 2), np.float32), TrainingOptions(steps=3), loss=loss,
            progress=False)  # fmt: skip
    np.testing.assert_array_equal(model.weight.numpy(), 0.0)


@pytest.mark.parametrize("error", [DrawError, mg.GradientError])
def test_a_loss_that_cannot_be_drawn_stops_training_all_the_same(monkeypatch, error):
    def refusing(*arguments, **options):
        raise error("the gradient cannot be drawn")

    monkeypatch.setattr(minigrad.draw, "draw", refusing)
    model = layers.Linear(2, 1)
    with pytest.raises(mg.GradientError, match=r"loss is inf at step 0\. Its cause was not found"):
        fit(model, lambda _: np.ones((3, 2), np.float32), TrainingOptions(steps=3),
            loss=lambda model, batch: model(batch).sum() + np.inf, progress=False)  # fmt: skip


def test_a_validation_of_nan_is_refused():
    with pytest.raises(mg.GradientError, match="validate gave nan"):
        fit(new_model(), points, TrainingOptions(steps=2), validate=lambda: float("nan"),
            progress=False)  # fmt: skip


def test_an_interrupt_raised_within_a_step_leaves_the_weights_of_before():
    model = new_model()
    calls = 0

    def interrupting(model, batch):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return model.loss(*batch)

    options = TrainingOptions(steps=9)  # a loss that counts its calls is traced once more
    history = fit(model, points, options, loss=interrupting, compiled=False, progress=False)
    assert history.interrupted
    assert history.step == 3


# -- resuming --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 9, 10, 14, 33])
@pytest.mark.parametrize("more", [{}, {"average": 0.9, "accumulate": 2, "weight_decay": 0.1}])
def test_a_run_that_was_cut_goes_on_bit_for_bit(tmp_path, cut, more):
    whole = new_model()
    uncut = run(whole, **more)
    run(new_model(), tmp_path, callbacks=[lambda told: told.step == cut], **more)
    again = new_model(seed=5)  # other weights, which the checkpoint replaces
    history = run(again, tmp_path, resume=True, **more)
    assert_same(whole, again)
    assert history.losses == uncut.losses
    assert set(uncut.validations) <= set(history.validations)  # and one at the end of each part
    assert history.resumed == cut


def test_batches_with_a_state_go_on_where_they_were(tmp_path):
    data = list(points(np.random.default_rng(3), 50))
    whole = new_model()
    run(whole, batches=ShuffledBatches(data, 8), keep="last")
    run(new_model(), tmp_path, batches=ShuffledBatches(data, 8), keep="last",
        callbacks=[lambda told: told.step == 13])  # fmt: skip
    again = new_model()
    run(again, tmp_path, batches=ShuffledBatches(data, 8), keep="last", resume=True)
    assert_same(whole, again)


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    run(new_model(), tmp_path, steps=3)
    with pytest.raises(FileExistsError, match=r"holds a run already.*resume"):
        run(new_model(), tmp_path, steps=3)


def test_another_run_cannot_be_resumed(tmp_path):
    run(new_model(), tmp_path, steps=3)
    with pytest.raises(ValueError, match=r"rate=0\.5: it began with 0\.02"):
        run(new_model(), tmp_path, steps=3, resume=True, rate=0.5)
    with pytest.raises(ValueError, match="model='Linear': it began with 'Noisy'"):
        fit(
            layers.Linear(2, 2),
            points,
            TrainingOptions(steps=3, rate=0.02, warmup=5),
            loss=lambda model, batch: model(batch[0]).sum(),
            folder=tmp_path,
            resume=True,
        )


def test_more_steps_may_be_asked_for_later(tmp_path):
    run(new_model(), tmp_path, steps=5)
    history = run(new_model(), tmp_path, steps=12, resume=True)
    assert history.step == 12
    assert history.resumed == 5


def test_the_log_has_no_line_twice(tmp_path):
    options = {"log_every": 1, "steps": 20}
    run(new_model(), tmp_path, callbacks=[lambda told: told.step == 12], **options)
    log = tmp_path / "log.jsonl"
    with log.open("a") as file:
        file.write('{"step": 13, "loss": 1.0}\n{"step": 14, "lo')  # as a kill leaves it
    run(new_model(), tmp_path, resume=True, **options)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, 21))
    assert all(
        line.keys() >= {"loss", "rate", "norm", "seconds"} for line in lines if "loss" in line
    )
    assert [line["step"] for line in lines if "validation" in line][-1] == 20


def test_the_folder_has_the_model_of_the_best_validation(setting, tmp_path):
    model, token_ids = setting
    values = iter([2.0, 1.0, 3.0])
    fit(
        model,
        lambda generator: random_windows(token_ids, 4, 12, generator),
        TrainingOptions(steps=6, validate_every=2),
        validate=lambda: next(values),
        folder=tmp_path,
        progress=False,
    )
    loaded = CharacterModel.load(tmp_path)
    assert_same(model, loaded)
    assert "best.safetensors" in {path.name for path in tmp_path.iterdir()}


def test_a_model_without_loss_is_refused():
    with pytest.raises(TypeError, match="Linear has no method loss; pass loss="):
        fit(layers.Linear(2, 1), points, TrainingOptions(steps=1))
