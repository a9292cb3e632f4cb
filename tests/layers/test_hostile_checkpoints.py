"""Checkpoints of strangers with sound checksums: refused by file and entry before all else."""

import json

import numpy as np
import pytest

import minigrad as mg
from layers.models import CharacterConfig, CharacterModel
from layers.training import History, TrainingOptions, fit
from layers.training.batches import ShuffledBatches
from layers.training.run import Run
from minigrad.io import serialize

pytestmark = pytest.mark.usefixtures("by_the_tape")


def run(folder, steps, resume=""):
    """Train on; the model and the history. What was refused leaves the model as it was made."""
    mg.seed(0)
    model = CharacterModel(CharacterConfig(5, hidden_size=4))
    before = model.state_dict()
    data = np.random.default_rng(0).integers(5, size=(2, 6, 5))
    options = TrainingOptions(steps=steps, validate_every=2, seed=1, average=0.5)
    try:
        return model, fit(
            model,
            ShuffledBatches([data[0], data[1]], 2),
            options,
            validate=lambda: 1.0,
            folder=folder,
            resume=bool(resume),
            progress=False,
        )
    except ValueError:
        if resume != "best":  # which is read when all else was put back
            for name, array in model.state_dict().items():
                np.testing.assert_array_equal(array, before[name])
        raise


@pytest.fixture(scope="module")
def saved(by_the_tape, tmp_path_factory):
    """The files of a run of four steps: last and best, each as arrays and texts."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, 4)
    return {name: serialize.load_all(folder / f"{name}.safetensors") for name in ("last", "best")}


def resumed(folder, saved, which, arrays=None, texts=None):
    """Go on with the files of a run, one of which has other arrays or texts; None takes one out."""
    folder.mkdir()
    for name, (own, notes) in saved.items():
        if name == which:
            own = {k: v for k, v in {**own, **(arrays or {})}.items() if v is not None}
            notes = {**notes, **(texts or {})}
        serialize.save(folder / f"{name}.safetensors", own, notes)
    return run(folder, 6, resume=which)


FILLINGS = {"nan": np.nan, "1e300": 1e300, "-1": -1.0, "complex": np.complex64(1)}
"""What whole arrays are filled with."""

CASES = [
    ("optimizer.state.0.steps", -1),
    ("optimizer.state.0.steps", np.inf),
    ("optimizer.state.0.steps", np.nan),
    ("optimizer.state.0.steps", 1e300),
    ("optimizer.state.0.steps", 1.5),
    ("optimizer.state.0.steps", 2**60),
    ("optimizer.state.0.steps", np.zeros(2)),
    ("optimizer.state.0.mean", "nan"),
    ("optimizer.state.0.mean", "1e300"),
    ("optimizer.state.0.square", "-1"),
    ("optimizer.state.0.square", "nan"),
    ("optimizer.state.0.square", "complex"),
    ("optimizer.steps", -1),
    ("optimizer.groups.0.rate", np.nan),
    ("optimizer.groups.0.rate", np.zeros(0)),
    ("optimizer.groups.0.betas", np.array([2.0, 2.0])),
    ("optimizer.groups.0.amsgrad", 3),
    ("average.updates", -1),
    ("average.averages.0", "nan"),
    ("history.validation_steps", np.array([np.inf, 4])),
    ("history.validation_steps", np.array([4, 2])),
    ("history.validation_steps", np.array([2, 5])),
    ("history.validation_steps", np.array([-1, 2])),
    ("history.validation_steps", np.array([1.5, 2])),
    ("history.validation_steps", np.array([2])),
    ("history.validation_values", np.array([np.nan, 1])),
    ("history.seconds", np.nan),
    ("history.seconds", -1),
    ("history.seconds", np.complex64(1)),
    ("history.seconds", None),
    ("history.losses", None),
    ("history.losses", "nan"),
    ("history.losses", np.zeros(0)),
    ("history.losses", np.zeros((4, 1))),
    ("history.weights", "nan"),
    ("history.weights", np.zeros(4)),
    ("history.weights", np.full(4, 1e300)),
    ("history.weights", np.ones(5)),
    ("batches.left", None),
    ("batches.left", np.array([99])),
    ("batches.left", np.array([0.5])),
    ("model.embedding.weight", "nan"),
    ("model.embedding.weight", "1e300"),
    ("model.embedding.weight", None),
]


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda one: str(one)[:30])
def test_an_entry_that_no_run_left_is_refused_by_file_and_name(tmp_path, saved, name, value):
    if isinstance(value, str):
        value = np.full(saved["last"][0][name].shape, FILLINGS[value])
    with pytest.raises(ValueError, match=r"last\.safetensors") as refused:
        resumed(tmp_path / "run", saved, "last", {name: value})
    assert all(word in str(refused.value) for word in name.split("."))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("step", ["-1", "0", "3", "5"])
def test_a_step_that_is_not_that_of_the_losses_is_refused(tmp_path, saved, step):
    with pytest.raises(ValueError, match=rf"last\.safetensors is damaged: its step is {step},"):
        resumed(tmp_path / "run", saved, "last", texts={"step": step})


@pytest.mark.parametrize("which", ["", "generator"])
@pytest.mark.parametrize(
    "change", [{"uinteger": -1}, {"has_uint32": 7}, {"bit_generator": "Generator"}], ids=str
)
def test_a_state_of_no_generator_is_refused_by_file_and_name(tmp_path, saved, which, change):
    states = json.loads(saved["last"][1]["generators"])
    states[which] |= change
    told = which or "default generator"
    with pytest.raises(ValueError, match=rf"last\.safetensors: its {told} does not fit: "):
        resumed(tmp_path / "run", saved, "last", texts={"generators": json.dumps(states)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedding.weight", np.full((5, 64), np.nan)),
        ("embedding.weight", np.zeros((2, 2))),
        ("embedding.weight", None),
        ("other", np.zeros(1)),
    ],
    ids=["nan", "shape", "gone", "other"],
)
def test_best_weights_that_do_not_fit_are_refused_before_the_first_step(
    tmp_path, saved, monkeypatch, name, value
):
    monkeypatch.setattr(Run, "go", lambda *args: pytest.fail("it went on"))
    with pytest.raises(ValueError, match=rf"best\.safetensors: .*{name}"):
        resumed(tmp_path / "run", saved, "best", {f"model.{name}": value})


def test_what_a_run_left_is_taken(tmp_path, saved):
    """Infinite squares of large gradients, and weights of before there were any, among it."""
    square = np.full(saved["last"][0]["optimizer.state.0.square"].shape, np.inf)
    arrays = {"optimizer.state.0.square": square, "history.weights": None}
    _, history = resumed(tmp_path / "run", saved, "last", arrays)
    assert (history.resumed, history.step) == (4, 6)


@pytest.mark.parametrize("losses", [[], [-1.5], [3.0, -2.0, 1.0]])
def test_a_history_comes_back_with_any_finite_losses(losses):
    """Those of densities are negative."""
    first = History(losses, [1.0] * len(losses), [(len(losses), np.inf)], seconds=2.0)
    second = History([9.0], [1.0], [(1, 1.0)], (1, 1.0), 4, interrupted=True, stopped="x")
    second.load_state_dict(first.state_dict())
    assert (second.losses, second.weights) == (losses, [1.0] * len(losses))
    assert (second.validations, second.best) == ([(len(losses), np.inf)], (len(losses), np.inf))
    assert (second.stale, second.seconds, second.resumed) == (0, 2.0, len(losses))
