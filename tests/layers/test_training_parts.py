"""Parts of training by themselves: what decays, history, folders of runs, exact translations."""

import itertools
import json
import math

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.base import init
from layers.datasets import CharacterTokenizer
from layers.models import (
    GPT,
    CharacterConfig,
    CharacterModel,
    GPTConfig,
    TranslationConfig,
    TranslationModel,
)
from layers.training import History, TrainingOptions, fit, fit_pairs, share_exact
from layers.training.run import decay_groups
from layers.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("by_the_tape")

# -- what decays -----------------------------------------------------------------------------------

MODELS = {
    "gpt": lambda: GPT(GPTConfig(5, 4, 2, 2, 4)),
    "lstm": lambda: CharacterModel(CharacterConfig(5, 3, 4)),
    "encoder": lambda: layers.TransformerEncoderLayer(4, 2, 8),
    "convolution": lambda: layers.Sequential(layers.Conv1d(2, 3, 2), layers.BatchNorm1d(3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_weights_decay_and_biases_and_gains_do_not(name):
    """With gradients of zero the decay alone moves the parameters: by rate times decay."""
    model = MODELS[name]()
    for parameter in model.parameters():
        parameter.write(np.full(parameter.shape, 2.0, parameter.dtype))

    def loss(model, batch):
        return sum((parameter * 0.0).sum() for parameter in model.parameters())

    options = TrainingOptions(steps=1, rate=0.1, weight_decay=0.5, warmup=0, schedule="constant")
    fit(model, lambda _: (np.zeros((1, 1)),), options, loss=loss, progress=False)
    moved = {name: float(p.numpy().flat[0]) for name, p in model.named_parameters()}
    for parameter_name, value in moved.items():
        last = parameter_name.rpartition(".")[2]
        is_vector = last.startswith(("bias", "in_proj_bias")) or "norm" in parameter_name
        if name == "convolution" and parameter_name.startswith("1."):
            is_vector = True
        assert value == pytest.approx(2.0 if is_vector else 1.9), parameter_name
    assert {round(value, 4) for value in moved.values()} == {1.9, 2.0}


def test_groups_hold_what_learns_and_none_is_empty():
    model = layers.Sequential(layers.Linear(2, 3), layers.Linear(3, 1, bias=False))
    groups = decay_groups(model, 0.25)
    assert [len(group["parameters"]) for group in groups] == [2, 1]
    assert [group["weight_decay"] for group in groups] == [0.25, 0.0]
    model[0].bias.requires_grad = False
    assert [group["weight_decay"] for group in decay_groups(model, 0.25)] == [0.25]
    scalars = layers.Sequential(layers.LayerNorm(3))
    assert [group["weight_decay"] for group in decay_groups(scalars, 0.25)] == [0.0]


# -- the history -----------------------------------------------------------------------------------


def history_of(losses, weights=()):
    return History(losses=list(losses), weights=list(weights))


def test_running_losses_are_means_over_a_fiftieth_of_the_run():
    losses = np.arange(150.0) ** 2
    steps, means = history_of(losses).running_losses()
    np.testing.assert_array_equal(steps, np.arange(3, 151))
    expected = [losses[i : i + 3].mean() for i in range(148)]
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    steps, means = history_of([4.0, 2.0], [1.0, 3.0]).running_losses()
    assert (steps.tolist(), means.tolist()) == ([1, 2], [4.0, 2.0])


def test_weights_count_only_where_all_are_known():
    assert history_of([1.0, 5.0], [3.0, 1.0]).recent_loss(2) == 2.0
    assert history_of([1.0, 5.0], [3.0]).recent_loss(2) == 3.0
    assert history_of([9.0, 1.0, 5.0], [1.0, 1.0, 1.0]).recent_loss(2) == 3.0
    assert math.isnan(history_of([]).recent_loss(2))


def test_a_validation_as_good_as_the_best_is_no_progress():
    history = history_of([])
    answers = []
    for value in (2.0, 2.0, 3.0, 1.0, 1.5):
        history.note_step(0.0, 1.0)
        better = history.improves(value)
        history.note_validation(value)
        answers.append((better, history.stale))
    assert answers == [(True, 0), (False, 1), (False, 2), (True, 0), (False, 1)]
    assert history.best == (4, 1.0)
    assert history.validations == [(1, 2.0), (2, 2.0), (3, 3.0), (4, 1.0), (5, 1.5)]
    again = history_of([])
    again.load_state_dict(history.state_dict())
    assert (again.best, again.stale, again.validations, again.losses, again.weights) == (
        history.best, history.stale, history.validations, history.losses, history.weights,
    )  # fmt: skip
    assert again.resumed == again.step == 5


# -- folders of runs -------------------------------------------------------------------------------


def test_folders_are_made_with_those_above_them(tmp_path):
    for _ in range(2):
        assert RunFolder(tmp_path / "a" / "b", resume=False).step == 0
    assert (tmp_path / "a" / "b").is_dir()


def test_the_step_of_a_folder(tmp_path):
    folder = RunFolder(tmp_path / "new", resume=False)
    assert not folder.has_run
    assert folder.step == 0
    mg.save(tmp_path / "new" / "last.safetensors", {"a": np.ones(2)})
    assert folder.step == 0  # another file in its place
    mg.save(tmp_path / "new" / "last.safetensors", {"a": np.ones(2)}, {"step": "1.5e3"})
    assert folder.step == 0
    folder.save_last(7, {}, model=layers.Linear(1, 1))
    assert folder.step == 7
    with pytest.raises(FileExistsError, match="holds a run already"):
        RunFolder(tmp_path / "new", resume=False)
    RunFolder(tmp_path / "new", resume=True).clear()
    assert not folder.has_run


def test_resuming_cuts_the_log_to_the_steps_that_stay(tmp_path):
    folder, model = RunFolder(tmp_path, resume=False), layers.Linear(1, 1)
    for step in (1, 2, 3):
        folder.log(step=step, loss=0.5)
    folder.save_last(2, {"text": "a"}, model=model)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(f'[1]\n"text"\n{{"no": 1}}\n{"[" * 100_000}\n{{"step": 1, "lo')
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b"\xff")
    assert folder.load_last({"text": "a"}, model=model) == 2
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    for other in ({"text": "b"}, {}, {"text": "a", "rate": 1}):
        with pytest.raises(ValueError, match="cannot be resumed with"):
            folder.load_last(other, model=model)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "is not the checkpoint of a run$"),
        ({"metadata": "["}, "is not the checkpoint of a run$"),
        ({"metadata": "[]"}, "is not the checkpoint of a run$"),
        ({"metadata": '{"identity": 3}'}, "is not the checkpoint of a run$"),
        (
            {"metadata": '{"identity": "[1]"}'},
            r"not the checkpoint of a run: its 'identity' is \[1\]",
        ),
        ({"metadata": '{"identity": "null"}'}, "is not the checkpoint of a run$"),
    ],
)
def test_another_file_in_the_place_of_the_last_checkpoint_is_refused(tmp_path, metadata, message):
    folder, model = RunFolder(tmp_path, resume=False), layers.Linear(1, 1)
    before = model.state_dict()["weight"]
    mg.save(tmp_path / "last.safetensors", {"model.weight": np.full((1, 1), 7.0)}, metadata)
    with pytest.raises(ValueError, match=message):
        folder.load_last({}, model=model)
    assert model.weight.numpy() == before


# -- runs ------------------------------------------------------------------------------------------


def test_weights_that_are_not_finite_before_a_step_are_named():
    model = layers.Linear(2, 1)
    model.weight.write(np.array([[np.nan, 1.0]], np.float32))
    with pytest.raises(
        mg.GradientError,
        match=r"the loss is nan at step 0\..* Before the step already not finite: "
        r"weight\. A lower rate than 0\.001",
    ):
        fit(
            model,
            lambda _: (np.ones((1, 2), np.float32),),
            TrainingOptions(steps=1),
            loss=lambda model, batch: model(batch[0]).sum(),
            progress=False,
        )


def square_loss(model, batch):
    return (model(batch[0]) ** 2).mean()


@pytest.mark.parametrize("ends", [[9], [1, 4, 9], [3, 6], [4, 8]])
def test_accumulated_batches_have_the_gradient_of_one(ends):
    """Of batches of different lengths, too: what counts is the number of examples."""
    rows = np.random.default_rng(0).normal(size=(ends[-1], 2)).astype(np.float32)
    parts = [rows[start:end] for start, end in itertools.pairwise([0, *ends])]
    norms, losses = [], []
    waiting = iter(parts)
    model = layers.Linear(2, 1, bias=False)
    model.weight.write(np.array([[1.0, -0.5]], np.float32))
    fit(
        model,
        lambda _: (next(waiting),),
        TrainingOptions(steps=1, accumulate=len(parts), max_norm=None),
        loss=square_loss,
        callbacks=[lambda told: norms.append(told.norm) or losses.append(told.loss)],
        progress=False,
    )
    outputs = rows @ np.array([[1.0], [-0.5]])
    gradient = 2 * (outputs * rows).mean(axis=0)
    assert norms == pytest.approx([np.linalg.norm(gradient)], rel=1e-5)
    assert losses == pytest.approx([(outputs**2).mean()], rel=1e-5)


class Rows:
    """Batches with a state: the number of the next row."""

    def __init__(self, rows):
        self.rows, self.next, self.seeds = rows, 0, []

    def __call__(self, generator):
        self.next += 1
        self.seeds.append(int(generator.integers(100)))
        mg.seed(self.seeds[-1])
        return (self.rows[self.next - 1 : self.next],)

    def state_dict(self):
        return {"next": np.array(self.next)}

    def load_state_dict(self, state):
        self.next = int(state["next"])


@pytest.mark.parametrize("bad", ["infinite", "nothing counts"])
def test_a_refused_step_leaves_batches_and_generators_where_they_were(bad, tmp_path):
    rows = Rows(np.array([[1.0], [2.0], [np.inf if bad == "infinite" else -7.0]], np.float32))

    def loss(model, batch):
        return square_loss(model, batch), 0 if batch[0][0, 0] == -7 else 1

    error, message = (
        (mg.GradientError, "at step 2") if bad == "infinite" else (ValueError, "nothing counts")
    )
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        fit(
            layers.Linear(1, 1),
            rows,
            TrainingOptions(steps=9),
            loss=loss,
            folder=tmp_path,
            progress=False,
        )
    assert rows.next == 2
    drawn = [init.uniform_(mg.Tensor(0.0)).item()]
    mg.seed(rows.seeds[1])
    drawn.append(init.uniform_(mg.Tensor(0.0)).item())
    assert drawn[0] == drawn[1]
    if bad == "infinite":  # then the run is kept at the step before
        assert RunFolder(tmp_path, resume=True).step == 2
        assert mg.load(tmp_path / "last.safetensors")["batches.next"] == 2


def test_ctrl_c_within_an_update_is_not_kept_for_later():
    class Interrupted(mg.optim.SGD):
        def step(self):
            raise KeyboardInterrupt

    model = layers.Linear(1, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            lambda _: (np.ones((1, 1), np.float32),),
            TrainingOptions(steps=3),
            loss=square_loss,
            optimizer=Interrupted(model.parameters(), 0.1),
            progress=False,
        )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"checkpoint_every": None, "checkpoint_seconds": 1e-9}, [0, 1, 2, 3]),
        ({"checkpoint_every": None, "checkpoint_seconds": None}, [0, 0, 0, 0]),
        ({"checkpoint_every": None}, [0, 0, 0, 0]),
        ({"checkpoint_every": 2, "checkpoint_seconds": None}, [0, 0, 2, 2]),
    ],
)
def test_checkpoints_are_made_by_steps_or_seconds(options, expected, tmp_path):
    seen = []
    fit(
        layers.Linear(1, 1),
        lambda _: (np.ones((1, 1), np.float32),),
        TrainingOptions(steps=4, **options),
        loss=square_loss,
        folder=tmp_path,
        callbacks=[lambda told: seen.append(RunFolder(tmp_path, resume=True).step)],
        progress=False,
    )
    assert seen == expected
    assert RunFolder(tmp_path, resume=True).step == 4


def test_where_a_resumed_run_begins_is_told(tmp_path, capsys):
    def go(steps):
        fit(
            layers.Linear(1, 1),
            lambda _: (np.ones((1, 1), np.float32),),
            TrainingOptions(steps=steps),
            loss=square_loss,
            folder=tmp_path,
            resume=True,
        )
        return capsys.readouterr().err

    assert f"nothing to go on with in {tmp_path} (it holds no run): beginning at step 0" in go(2)
    assert f"going on with the run in {tmp_path} at step 2" in go(4)


# -- pairs -----------------------------------------------------------------------------------------


class Reverser:
    """Translates by reversing, and counts what it is asked at once."""

    def __init__(self):
        self.asked = []

    def translate(self, texts, **how):
        self.asked.append((len(texts), how))
        return [text[::-1] for text in texts]


def test_the_share_of_exact_translations():
    model = Reverser()
    assert share_exact(model, [("ab", "ba"), ("abc", "cba"), ("ab", "ab"), ("x", "x")]) == 0.75
    many = [("ab", "ba")] * 300 + [("ab", "ab")] * 100
    assert share_exact(model, many, beams=2) == 0.75
    assert sum(count for count, _ in model.asked) == 404
    assert [how for _, how in model.asked] == [{}] + [{"beams": 2}] * (len(model.asked) - 1)


def test_pairs_are_validated_by_the_share_that_is_not_exact():
    tokenizers = CharacterTokenizer("abc"), CharacterTokenizer("xyz")
    config = TranslationConfig.preset("tiny", source_size=3, target_size=3, longest=4)
    mg.seed(0)
    model = TranslationModel(config, *tokenizers)
    held_out = [("a", "x"), ("b", "zzz")]
    history = fit_pairs(
        model, [("a", "x")], held_out, steps=25, batch_size=4, rate=0.02, warmup=2, progress=False
    )
    assert share_exact(model, held_out) == 0.5
    assert history.best[1] == 0.5


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="training is empty"):
        fit_pairs(None, [], steps=1)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_step_that_spoils_the_weights_is_refused_and_the_checkpoint_before_it_kept(
    steps, tmp_path
):
    """Also when it was the last step, after which no loss would tell."""
    model = layers.Linear(2, 1)
    start = model.state_dict()
    options = TrainingOptions(
        steps=steps, rate=1e38, warmup=0, weight_decay=100.0, checkpoint_every=1
    )
    message = r"not finite after 1 steps: weight, bias\. A lower rate.* of step 0 is kept"
    with pytest.raises(mg.GradientError, match=message), np.errstate(all="ignore"):
        fit(
            model,
            lambda _: (np.ones((1, 2), np.float32),),
            options,
            loss=square_loss,
            folder=tmp_path / "run",
            progress=False,
        )
    kept = layers.Linear(2, 1)
    RunFolder(tmp_path / "run", resume=True).load_last(
        {"model": "Linear", **options.fixed()}, model=kept
    )
    for name, array in kept.state_dict().items():
        np.testing.assert_array_equal(array, start[name])
