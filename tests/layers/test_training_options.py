"""The options of training, the rates that follow from them, and batches in passes."""

import itertools
import json
import math

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

import layers
from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig
from layers.training import ShuffledBatches, TrainingOptions, fit, fit_text, text_options
from layers.training.options import planned_rate
from layers.training.threads import one_blas_thread
from tests.interrupted import interrupted_everywhere


@given(
    st.integers(1, 500), st.integers(0, 50), st.sampled_from(["cosine", "linear", "constant"]),
    st.floats(0, 1),
)  # fmt: skip
def test_rates_stay_between_their_bounds(steps, warmup, schedule, final):
    options = TrainingOptions(steps=steps, warmup=warmup, schedule=schedule, final=final, rate=2.0)
    rates = [planned_rate(options, step, 0.0) for step in range(steps)]
    assert min(rates) >= 0
    assert max(rates) <= 2.0 + 1e-12
    after = rates[warmup:]
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(after))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give steps, seconds"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 1, "warmup": -1}, "warmup"),
        ({"steps": 1, "schedule": "cubic"}, "cosine"),
        ({"steps": 1, "keep": "all"}, "keep must be one of best, last"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**options)


def test_every_example_comes_once_in_a_pass():
    batches = ShuffledBatches([np.arange(10), np.arange(10) * 2], 3)
    generator = np.random.default_rng(0)
    seen = [batches(generator) for _ in range(10)]
    ones = np.concatenate([one for one, _ in seen])
    for start in range(0, 30, 10):
        assert sorted(ones[start : start + 10]) == list(range(10))
    assert all((one * 2 == other).all() for one, other in seen)
    with pytest.raises(ValueError, match="same number of examples"):
        ShuffledBatches([np.arange(3), np.arange(2)], 1)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ShuffledBatches([np.arange(3)], 0)
    with pytest.raises(ValueError, match="other data"):
        ShuffledBatches([np.arange(3)], 1).load_state_dict({"left": [5]})


def test_a_pass_that_is_used_up_leaves_nothing():
    batches, generator = ShuffledBatches([np.arange(4)], 2), np.random.default_rng(0)
    left = []
    for _ in range(3):
        batches(generator)
        left.append(len(batches.state_dict()["left"]))
    assert left == [2, 0, 2]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 0.8, 0.6, 0.2, 0.2]),
        ("cosine", [0.5, 0.2 + 0.8 * (1 + np.sqrt(0.5)) / 2, 0.6, 0.2, 0.2]),
    ],
)
def test_rates_of_a_run_of_eight_steps(schedule, expected):
    options = TrainingOptions(steps=8, warmup=2, schedule=schedule, final=0.2, rate=3.0)
    rates = [planned_rate(options, step, 1e9) for step in (0, 2, 4, 8, 100)]  # of no time
    np.testing.assert_allclose(rates, 3 * np.array(expected), rtol=1e-12)
    at_once = TrainingOptions(steps=8, warmup=0, schedule=schedule, final=0.2, rate=3.0)
    assert planned_rate(at_once, 0, 0.0) == 3.0
    timed = TrainingOptions(seconds=8.0, warmup=2, schedule=schedule, final=0.2, rate=3.0)
    rates = [planned_rate(timed, 7, seconds) for seconds in (2.0, 4.0, 8.0, 100.0)]
    np.testing.assert_allclose(rates, 3 * np.array(expected[1:]), rtol=1e-12)


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ([1, 4], "has example 4, and there are 4 in a row"),
        ([1, -1], "has example -1, "),
        ([[1, 2]], r"has examples of shape \(1, 2\) and int64, "),
        (1, r"has examples of shape \(\) and int64, "),
        ([1.5], r"has examples of shape \(1,\) and float64, "),
    ],
)
def test_a_state_of_other_data_is_refused_and_changes_nothing(left, message):
    batches, generator = ShuffledBatches([np.arange(4)], 3), np.random.default_rng(0)
    batches(generator)
    before = batches.state_dict()["left"]
    with pytest.raises(ValueError, match=message):
        batches.load_state_dict({"left": np.array(left)})
    assert len(before) == 1
    np.testing.assert_array_equal(batches.state_dict()["left"], before)


def test_each_kind_of_text_model_has_its_rate():
    def rate(**config):
        return text_options(CharacterModel(CharacterConfig(3, **config)), steps=1).rate

    assert rate(cell="rnn", hidden_size=4) == 2e-3
    assert rate(cell="gru", hidden_size=4) == 5e-3
    assert rate(cell="lstm", hidden_size=128) == 5e-3
    assert rate(cell="lstm", hidden_size=129) == 4e-3
    gpt = text_options(GPT(GPTConfig(3, 4, 1, 1, 4)), steps=1)
    assert (gpt.rate, gpt.weight_decay) == (1e-3, 0.1)
    assert text_options(GPT(GPTConfig(3, 4, 1, 1, 4)), steps=1, rate=0.5).rate == 0.5


def test_windows_of_a_step_are_as_many_and_as_long_as_asked_for():
    character = CharacterModel(CharacterConfig(3, hidden_size=2))
    gpt = GPT(GPTConfig(3, 4, 1, 1, 4))
    text = np.zeros(100, int)
    for model, chosen, tokens in (
        (character, {}, 32 * 64),
        (gpt, {}, 12 * 4),
        (gpt, {"batch_size": 5, "length": 3}, 5 * 3),
    ):
        history = fit_text(model, text, steps=1, compiled=False, progress=False, **chosen)
        assert history.weights == [tokens]


def threads():
    """How many each library of matrix products uses."""
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas")
    return [pool["num_threads"] for pool in pools.info()]


@pytest.fixture
def two_threads(monkeypatch):
    """Matrix products use two threads, and the user chose no number."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield threads()


def test_blocks_of_one_thread_may_overlap(two_threads):
    one, other = one_blas_thread(), one_blas_thread()
    seen = []
    for step in (one.__enter__, other.__enter__, one.close, other.close):
        step()
        seen.append(threads())
    single = [1] * len(two_threads)
    assert seen == [single, single, single, two_threads]


# In threadpoolctl itself, Ctrl-C leaves a file open, and comes in the destructor of a generator.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_block_of_one_thread_that_ctrl_c_cuts_is_undone(two_threads):
    def block():
        with one_blas_thread():
            pass

    for place in interrupted_everywhere(block):
        assert threads() == two_threads, place


@pytest.mark.parametrize("chosen", [None, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_products_use_one_thread_unless_the_user_chose(monkeypatch, chosen):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if chosen is not None:
        monkeypatch.setenv(chosen, "2")
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        with one_blas_thread():
            assert threads() == (before if chosen else [1] * len(before))
        assert threads() == before


def test_an_infinite_validation_is_null_in_the_log(tmp_path):
    values = iter([math.inf, 1.0])
    options = TrainingOptions(steps=2, validate_every=1)
    model, folder = layers.Linear(2, 1), tmp_path / "run"
    fit(
        model,
        lambda generator: generator.standard_normal((3, 2), np.float32),
        options,
        loss=lambda model, x: (model(x) ** 2).mean(),
        validate=lambda: next(values),
        folder=folder,
        progress=False,
    )
    lines = [
        json.loads(line, parse_constant=pytest.fail)
        for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    assert [line["validation"] for line in lines if "validation" in line] == [None, 1.0]
