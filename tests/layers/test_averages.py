"""Averages of losses over batches of different sizes: every example or token counts alike."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.models import (
    DALLE,
    GPT,
    Autoregressive,
    AutoregressiveConfig,
    CharacterConfig,
    CharacterModel,
    DALLEConfig,
    DiscreteVAE,
    DiscreteVAEConfig,
    GPTConfig,
    LatentAutoregressive,
    LatentConfig,
    TranslationConfig,
    TranslationModel,
)
from layers.training import History, TrainingOptions, fit, fit_pairs, mean_loss
from layers.training.averages import batch_length, running_means, weighted_mean
from minigrad.optim import SGD

pytestmark = pytest.mark.usefixtures("by_the_tape")

LETTERS = CharacterTokenizer("abcde")
PAIRS = [("ab", "dedede"), ("c", "d"), ("d", "e"), ("abcd", "ee"), ("a", "de")]


def padded_codes(count=5, time=7):
    """Codes, and targets of which a different number counts in each sequence."""
    generator = np.random.default_rng(3)
    token_ids, targets = generator.integers(5, size=(2, count, time))
    for row, valid in enumerate([7, 1, 2, 3, 1]):
        targets[row, valid:] = -100
    return token_ids, targets


def split_rows(batch, *ends):
    """A batch as several, cut after the rows `ends`."""
    bounds = [0, *ends, len(batch[0])]
    return [tuple(part[a:b] for part in batch) for a, b in pairwise(bounds)]


def translation():
    model = TranslationModel(
        TranslationConfig.preset("tiny", source_size=5, target_size=5), LETTERS, LETTERS
    )
    return model, model.batch(PAIRS), [model.batch(PAIRS[:3]), model.batch(PAIRS[3:])]


def text(model):
    batch = padded_codes()
    return model, batch, split_rows(batch, 2)


def dalle():
    model = DALLE(DALLEConfig.preset("tiny", caption_size=5, caption_length=8), LETTERS)
    captions = model.token_ids(["abcde", "a", "b", "abcdeabc", "dd"])
    codes = np.random.default_rng(0).integers(8, size=(5, model.config.vae.codes))
    return model, (captions, codes), split_rows((captions, codes), 4)


def vae():
    pictures = np.random.default_rng(0).random((5, 8, 8))
    model = DiscreteVAE(DiscreteVAEConfig.preset("tiny"))
    return model, (pictures,), split_rows((pictures,), 1)


def plain():
    """A model whose loss says nothing of weights: its batches count by their length."""

    class Line(layers.Linear):
        def loss(self, x, y):
            return mg.mse_loss(self(x), y)

    generator = np.random.default_rng(0)
    batch = generator.standard_normal((5, 3)), generator.standard_normal((5, 1))
    return Line(3, 1), batch, split_rows(batch, 1, 4)


CASES = {
    "lstm": lambda: text(CharacterModel(CharacterConfig(5, 4, 6))),
    "gru": lambda: text(CharacterModel(CharacterConfig(5, 4, 6, 2, "gru"))),
    "rnn": lambda: text(CharacterModel(CharacterConfig(5, 4, 6, 1, "rnn"))),
    "gpt": lambda: text(GPT(GPTConfig.preset("tiny", vocabulary_size=5))),
    "translation": translation,
    "dalle": dalle,
    "vae": vae,
    "plain": plain,
}


def made(name):
    mg.seed(0)
    with mg.default_dtype("float64"):
        return CASES[name]()


def gradient(model, parts, **options):
    """What one step of plain SGD at rate 1 subtracts, and the history."""
    before, batches = model.state_dict(), iter(parts)
    mg.seed(1)  # the noise of a batch is that of its parts, in their order
    history = fit(
        model,
        lambda _: next(batches),
        TrainingOptions(steps=1, rate=1.0, schedule="constant", warmup=0, max_norm=None,
                        accumulate=len(parts)),
        optimizer=SGD(model.parameters(), rate=1.0),
        progress=False,
        **options,
    )  # fmt: skip
    after = model.state_dict()
    model.load_state_dict(before)
    return {name: before[name] - after[name] for name in before}, history


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_parts_is_that_of_the_whole(name):
    model, whole, parts = made(name)
    mg.seed(1)
    model.train()
    model.loss(*whole).backward()
    expected = {n: p.grad.numpy().copy() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    found, history = gradient(model, parts)
    assert max(np.abs(array).max() for array in expected.values()) > 1e-3
    for n, array in expected.items():
        close = {"rtol": 1e-9, "atol": 1e-12} if array.dtype == np.float64 else {"atol": 3e-7}
        np.testing.assert_allclose(found[n], array, **close, err_msg=n)
    _, once = gradient(model, [whole])
    assert history.losses == pytest.approx(once.losses, rel=1e-12)
    assert history.weights == once.weights


@pytest.mark.parametrize("name", [n for n in CASES if n != "vae"])  # that one draws noise
def test_the_mean_loss_of_parts_is_that_of_the_whole(name):
    model, whole, parts = made(name)
    assert mean_loss(model, parts) == pytest.approx(mean_loss(model, [whole]), rel=1e-12)
    means = [mean_loss(model, [part]) for part in parts]
    assert abs(np.mean(means) - mean_loss(model, [whole])) > 1e-6  # what it would be otherwise


@pytest.mark.parametrize(
    "model", [Autoregressive(AutoregressiveConfig(2)), LatentAutoregressive(LatentConfig(3, 2))]
)
def test_series_count_by_their_forecasts(model):
    values = np.sin(np.arange(12.0))
    model.standardize(values)
    parts = [values, values[:5]]
    errors = [np.sum((model.one_step(v) - v[2:]) ** 2) for v in parts]
    expected = sum(errors) / 13 / values.var()  # 10 and 3 forecasts
    assert mean_loss(model, [(v,) for v in parts]) == pytest.approx(expected, rel=1e-12)


def test_captions_of_one_character_leave_the_codes():
    model = DALLE(DALLEConfig.preset("tiny", caption_size=5, caption_length=1), LETTERS)
    codes = np.random.default_rng(0).integers(8, size=(3, model.config.vae.codes))
    assert np.isfinite(model.loss(model.token_ids(["a", "b", "c"]), codes).item())


def test_five_examples_are_five_examples():
    model, whole, _ = made("plain")
    errors = (model(whole[0]).numpy() - whole[1]) ** 2
    assert mean_loss(model, split_rows(whole, 4)) == pytest.approx(errors.mean(), rel=1e-12)


def test_a_loss_may_give_mean_and_weight():
    model, whole, parts = made("translation")

    def loss(model, batch):
        return model.loss(*batch) + 0.0, mg.Tensor(model.loss_weight(*batch))

    expected, _ = gradient(model, [whole])
    found, history = gradient(model, parts, loss=loss)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    assert history.weights == [17.0]
    assert mean_loss(model, parts, loss) == pytest.approx(mean_loss(model, [whole]), rel=1e-12)


def test_a_method_loss_may_give_mean_and_weight():
    class Half(CharacterModel):
        """Only the first half of the sequences is taken to count."""

        def loss(self, token_ids, targets):
            half = len(token_ids) // 2 + 1
            return super().loss(token_ids[:half], targets[:half]), (targets[:half] >= 0).sum()

    with mg.default_dtype("float64"):
        model = Half(CharacterConfig(5, 4, 6))
    parts = split_rows(padded_codes(), 2)
    weights = [model.loss(*part)[1] for part in parts]
    values = [model.loss(*part)[0].item() for part in parts]
    expected = np.average(values, weights=weights)
    assert mean_loss(model, parts) == pytest.approx(expected, rel=1e-12)
    _, history = gradient(model, parts)
    assert history.losses == pytest.approx([expected], rel=1e-12)


def test_a_batch_in_which_nothing_counts_is_passed_over():
    model, whole, _ = made("lstm")
    nothing = (whole[0], np.full_like(whole[1], -100))
    expected, _ = gradient(model, [whole])
    for parts in ([nothing, whole], [whole, nothing]):
        found, history = gradient(model, parts)
        assert np.isfinite(history.losses).all()
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    assert mean_loss(model, [nothing, whole]) == mean_loss(model, [whole])
    with pytest.raises(ValueError, match="nothing counts in the batch of step 0"):
        gradient(model, [nothing])
    with pytest.raises(ValueError, match="no loss to average"):
        mean_loss(model, [nothing])
    with pytest.raises(ValueError, match="no loss to average"):
        mean_loss(model, [])


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda x: (x, 1, 2), TypeError, "a tuple of 3"),
        (lambda x: 3.0, TypeError, "got float"),
        (lambda x: (x, -1), ValueError, "weight -1.0"),
        (lambda x: (x, float("nan")), ValueError, "weight nan"),
        (lambda x: (x, "x"), TypeError, "the weight of a loss must be one number.*got 'x'"),
        (lambda x: (x, [None]), TypeError, r"the weight of a loss .*got \[None\]"),
        (lambda x: (x, np.array([1, 2])), ValueError, r"weight of a loss .*shape \(2,\); sum it"),
        (lambda x: (x, mg.Tensor([1.0, 2.0])), ValueError, r"weight of a loss .*shape \(2,\)"),
    ],
)
def test_what_is_no_loss_is_named(result, error, message):
    model, whole, _ = made("plain")
    with pytest.raises(error, match=message):
        gradient(model, [whole], loss=lambda model, batch: result(model.loss(*batch)))


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 40)), min_size=1, max_size=12))
def test_weighted_means_are_means_of_repeated_values(pairs):
    values, weights = zip(*pairs, strict=True)
    whole = np.mean(np.repeat(values, weights))
    assert weighted_mean(values, weights) == pytest.approx(whole, abs=1e-12)
    width = max(1, len(values) // 2)
    running = running_means(values, weights, width)
    assert len(running) == len(values) - width + 1
    for start, value in enumerate(running):
        end = start + width
        expected = np.mean(np.repeat(values[start:end], weights[start:end]))
        assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (np.zeros((4, 2)), 4),
        (mg.Tensor(np.zeros((3, 2))), 3),
        ((np.zeros((4, 2)), np.zeros(4)), 4),
        ([np.zeros((4, 2)), np.zeros(4)], 4),
        ([np.zeros(4), np.zeros(7), np.zeros(2)], 3),
        ({"x": np.zeros((6, 2)), "y": np.zeros(6)}, 6),
        (({"x": np.zeros((6, 2))}, np.zeros(6)), 6),
        ([("ab", "c"), ("d", "e"), ("f", "g")], 3),
        ((["ab", "c"], np.zeros(2)), 2),
        ((0.5, np.zeros((5, 1))), 5),
        ((0.5, "ab"), 1),
        ({"x": 3}, 1),
        (np.array(3.0), 1),
        (None, 1),
    ],
)
def test_the_length_of_a_batch(batch, count):
    assert batch_length(batch) == count


def test_weights_are_kept_in_checkpoints_and_logs(tmp_path):
    options = {"batch_size": 3, "rate": 0.01, "warmup": 1, "checkpoint_every": 2, "log_every": 1,
               "progress": False}  # fmt: skip
    model = made("translation")[0]
    whole = fit_pairs(model, PAIRS, steps=7, **options)
    assert len(set(whole.weights)) > 1
    model = made("translation")[0]
    fit_pairs(model, PAIRS, steps=7, folder=tmp_path, callbacks=[lambda told: told.step == 5],
              **options)  # fmt: skip
    model = made("translation")[0]
    resumed = fit_pairs(model, PAIRS, steps=7, folder=tmp_path, resume=True, **options)
    assert resumed.resumed == 5
    assert resumed.weights == whole.weights
    assert resumed.losses == whole.losses
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["weight"] for line in lines if "steps" not in line] == whole.weights
    expected = np.average(whole.losses[-3:], weights=whole.weights[-3:])
    assert resumed.recent_loss(3) == pytest.approx(expected, rel=1e-12)


def test_a_history_without_weights_counts_all_steps_alike():
    history = History()
    history.load_state_dict(
        {"losses": [1.0, 3.0], "validation_steps": [], "validation_values": [], "seconds": 1.0}
    )
    assert history.recent_loss(9) == 2.0
    history.note_step(5.0, 100.0)
    assert history.recent_loss(9) == 3.0
    assert np.isnan(History().recent_loss(9))


def test_weights_are_summed_exactly():
    """So that every Python gives the same bits: 3.12 began to compensate what `sum` loses."""
    model = layers.Linear(1, 1)
    history = fit(
        model,
        lambda _: (np.ones((1, 1), np.float32),),
        TrainingOptions(steps=1, accumulate=10),
        loss=lambda model, batch: (model(batch[0]).sum(), 0.1),
        progress=False,
    )
    assert history.weights == [1.0]
