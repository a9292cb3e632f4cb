"""Training by programs: what is compiled, what is told of it, and how such runs go on."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.cli import main
from layers.models import Autoregressive, AutoregressiveConfig
from layers.models.series import standardized_loss
from layers.training import TrainingOptions, fit
from layers.training.programs import batch_loss, engine
from layers.training.programs.batch_loss import BatchLoss, kind_of
from layers.training.programs.engine import Engine
from minigrad.compiled import backends, plain
from minigrad.compiled.graph import Unsupported
from minigrad.io import serialize
from minigrad.optim import SGD

ROOT = Path(__file__).parents[2]
NATIVE = Engine.chosen(True)
EAGER = Engine.chosen(False)


class Net(layers.Module):
    """Dropout draws, and batch normalisation writes: both take part in every step."""

    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = (
            layers.Linear(3, 16),
            layers.BatchNorm1d(16),
            layers.Linear(16, 1),
        )
        self.dropout = layers.Dropout(0.2)

    def forward(self, x):
        return self.two(self.dropout(mg.tanh(self.norm(self.one(x)))))

    def loss(self, x, y):
        return mg.mse_loss(self(x), y)


class Points:
    """Batches whose length goes up, one after the other, through so many lengths."""

    def __init__(self, lengths=2):
        self.lengths, self.count = lengths, 0

    def __call__(self, generator):
        x = generator.standard_normal((16 + self.count % self.lengths, 3), np.float32)
        self.count += 1
        return x, x[:, :1] * 2 - x[:, 1:2]

    def state_dict(self):
        return {"count": np.array(self.count)}

    def load_state_dict(self, state):
        self.count = int(state["count"])


def new_net(seed=0):
    mg.seed(seed)
    return Net()


def train(model, folder=None, *, steps=6, stop=None, lengths=2, progress=False, **how):
    mg.seed(1)
    options = {"accumulate": how.pop("accumulate", 1), "max_norm": 0.5, "warmup": 2}
    return fit(
        model,
        Points(lengths),
        TrainingOptions(steps=steps, **options),
        folder=folder,
        callbacks=[lambda told: told.step == stop],
        progress=progress,
        **how,
    )


def notes(folder):
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line["steps"] for line in lines if "steps" in line]


def assert_same(one, other):
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name], err_msg=name)


def never(*_):
    raise AssertionError("a step ran as it is written")


# -- what is compiled ------------------------------------------------------------------------------


def test_steps_run_as_programs_where_there_is_native_code(tmp_path, monkeypatch):
    monkeypatch.setattr(BatchLoss, "as_written", never)
    train(new_net(), tmp_path)
    assert notes(tmp_path) == [f"compiled: {NATIVE}"]
    assert "gradients by native code" in notes(tmp_path)[0]


def test_it_is_told_what_numpy_runs_although_there_is_native_code(tmp_path, monkeypatch):
    class Picky:
        @staticmethod
        def build(graph):
            raise Unsupported("anything")

    monkeypatch.setattr(batch_loss, "default_backend", Picky)
    train(new_net(), tmp_path)
    reason = "Net.loss runs by NumPy calls: the back end does not know anything"
    assert reason in notes(tmp_path)


def test_programs_train_as_the_tape_does(tmp_path):
    programs, tape = new_net(), new_net()
    compiled, eager = (
        train(model, compiled=how, optimizer=SGD(model.parameters(), 0.05))
        for model, how in ((programs, None), (tape, False))
    )
    np.testing.assert_allclose(compiled.losses, eager.losses, rtol=1e-4)
    assert compiled.losses != eager.losses  # sums are taken in another order
    for name, array in programs.state_dict().items():
        np.testing.assert_allclose(array, tape.state_dict()[name], rtol=1e-2, atol=1e-4)


def test_the_tape_tells_nothing(tmp_path):
    train(new_net(), tmp_path, compiled=False)
    assert notes(tmp_path) == []


@pytest.mark.parametrize("compiled", [None, True])
def test_switched_off_everything_runs_as_it_is_written(tmp_path, monkeypatch, compiled):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    model, other = new_net(), new_net()
    train(model, tmp_path, compiled=compiled)
    assert notes(tmp_path) == []
    train(other, compiled=False)
    assert_same(model, other)


@pytest.fixture
def without_llvmlite(monkeypatch):
    for module in (backends, engine, batch_loss):
        monkeypatch.setattr(module, "default_backend", lambda: plain)


def test_without_the_extra_steps_run_as_they_are_written(without_llvmlite, tmp_path):
    train(new_net(), tmp_path)
    assert notes(tmp_path) == []
    assert Engine.chosen(None) == Engine("eager", "numpy")


def test_without_the_extra_programs_run_by_numpy_where_they_are_asked_for(
    without_llvmlite, tmp_path, monkeypatch
):
    whole, again = new_net(), new_net()
    train(whole, compiled=True)
    monkeypatch.setattr(BatchLoss, "as_written", never)
    train(new_net(), tmp_path, stop=3, compiled=True)
    train(again, tmp_path, resume=True, exact=True, compiled=True)
    assert notes(tmp_path)[0] == "compiled: gradients by NumPy, updates by NumPy"
    assert_same(whole, again)


def test_what_cannot_be_compiled_runs_as_it_is_written_and_is_told_once(tmp_path, capsys):
    def looks(model, batch):
        loss = model.loss(*batch)
        return loss * (2.0 if loss.item() > 0 else 1.0)

    model, other = new_net(), new_net()
    train(model, tmp_path, loss=looks, progress=True)
    (note,) = notes(tmp_path)
    assert "looks runs as before" in note
    assert "item" in note
    assert capsys.readouterr().err.count(note) == 1
    train(other, loss=looks, compiled=False)
    assert_same(model, other)


def test_there_are_programs_for_eight_shapes(tmp_path, monkeypatch):
    written = []
    usual = BatchLoss.as_written
    monkeypatch.setattr(
        BatchLoss, "as_written", lambda self, batch: written.append(1) or usual(self, batch)
    )
    whole, again = new_net(), new_net()
    train(whole, tmp_path / "whole", steps=22, lengths=10)
    assert len(written) == 4  # twice two shapes of ten, and two steps of the first ones
    full = [note for note in notes(tmp_path / "whole") if "8 programs" in note]
    assert len(full) == 1
    train(new_net(), tmp_path / "cut", steps=22, lengths=10, stop=5)
    train(again, tmp_path / "cut", steps=22, lengths=10, resume=True, exact=True)
    assert_same(whole, again)


def test_the_loss_of_standardised_values_compiles(monkeypatch):
    values = np.sin(np.arange(30.0)) * 3 + 7
    model = Autoregressive(AutoregressiveConfig(2)).standardize(values)
    standard = model.standard(values)
    error, weight = standardized_loss(model, standard)
    assert error.item() == model.loss(values).item()
    assert weight == model.loss_weight(values) == 28
    monkeypatch.setattr(BatchLoss, "as_written", never)
    options = TrainingOptions(steps=3)
    history = fit(model, lambda _: standard, options, loss=standardized_loss, progress=False)
    assert history.weights == [28.0] * 3


def test_kinds_of_batches_are_told_in_words_without_addresses():
    array, key, twin = np.zeros((2, 3)), Net(), Net()
    assert kind_of({key: array}) == kind_of({twin: array}) == "dict(Net: float64[2, 3])"
    alike = [[array], (array,), {1: array}, {True: array}, {1.0: array}, {(1,): array}]
    assert len({kind_of(batch) for batch in alike}) == len(alike)
    assert kind_of(array) != kind_of(array.astype(np.float32)) != kind_of(array[:1])


# -- going on --------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path[:0] = [{root!r}]
from tests.layers.test_compiled_training import digest_of, new_net, train
model = new_net({seed})
train(model, {folder!r}, stop={stop}, resume={resume}, accumulate=2, exact={resume})
print(digest_of(model))
"""


def digest_of(model):
    arrays = sorted(model.state_dict().items())
    return hashlib.sha256(b"".join(array.tobytes() for _, array in arrays)).hexdigest()


def in_a_process(folder, seed=0, stop=None, resume=False):
    text = SCRIPT.format(root=str(ROOT), folder=str(folder), seed=seed, stop=stop, resume=resume)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout.split()[-1]


def test_three_steps_and_three_in_another_process_are_six(tmp_path):
    whole = in_a_process(tmp_path / "whole")
    cut = in_a_process(tmp_path / "cut", stop=3)
    again = in_a_process(tmp_path / "cut", seed=5, resume=True)
    assert cut != whole
    assert again == whole
    assert all(note == f"compiled: {NATIVE}" for note in notes(tmp_path / "cut"))


def cut_run(folder, **how):
    train(new_net(), folder, stop=3, **how)


def test_another_engine_is_warned_of_once_with_both_names(tmp_path):
    cut_run(tmp_path)
    with pytest.warns(UserWarning, match="bit for bit") as caught:
        train(new_net(), tmp_path, resume=True, compiled=False)
    (warning,) = caught
    assert str(NATIVE) in str(warning.message)
    assert str(EAGER) in str(warning.message)
    assert warning.filename == __file__
    train(new_net(), tmp_path, steps=8, resume=True, compiled=False)  # the checkpoint is new


def test_other_threads_are_another_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_THREADS", "1")
    cut_run(tmp_path)
    monkeypatch.setenv("MINIGRAD_THREADS", "2")
    with pytest.warns(UserWarning, match=r"1 thread\).*2 threads\)"):
        train(new_net(), tmp_path, resume=True)


def test_exact_refuses_another_engine_and_changes_nothing(tmp_path):
    cut_run(tmp_path)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"cannot go on bit for bit.*--no-compile"):
        train(new_net(), tmp_path, resume=True, exact=True, compiled=False)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    history = train(new_net(), tmp_path, resume=True, exact=True)
    assert history.resumed == 3


def change_record(folder, change):
    """Let a function change what the last checkpoint says of its engine."""
    last = folder / "last.safetensors"
    arrays, metadata = serialize.load_all(last)
    inner = json.loads(metadata["metadata"])
    record = change(json.loads(inner.pop("engine")))
    if record is not None:
        inner["engine"] = json.dumps(record)
    serialize.save(last, arrays, metadata={**metadata, "metadata": json.dumps(inner)})


@pytest.mark.parametrize("exact", [False, True])
def test_checkpoints_of_before_load_without_a_word(tmp_path, exact):
    cut_run(tmp_path, compiled=False)
    change_record(tmp_path, lambda record: None)
    assert train(new_net(), tmp_path, resume=True, exact=exact).resumed == 3


def test_what_a_checkpoint_says_of_its_engine_is_not_trusted(tmp_path):
    cut_run(tmp_path, compiled=False)
    engine = {"steps": "eager", "updates": "numpy", "vectors": "", "threads": 1}
    for record, message in [
        ({}, "has no 'batches'"),
        ({"engine": engine, "batches": [1]}, r"has \[1\] as 'batches'.* a list of texts"),
        ({"engine": [], "batches": []}, r"has \[\] as 'engine'.* an object"),
        ({"engine": {**engine, "steps": ["eager"]}, "batches": []}, "as 'steps'.* eager"),
        ({"engine": {**engine, "updates": "tape"}, "batches": []}, "'tape' as 'updates'"),
        ({"engine": {**engine, "vectors": 2}, "batches": []}, "2 as 'vectors'"),
        ({"engine": {**engine, "threads": True}, "batches": []}, "True as 'threads'"),
        ({"engine": {**engine, "color": 1}, "batches": []}, "the unknown field 'color'"),
        ({"engine": {"updates": "numpy"}, "batches": []}, "has no 'steps'"),
    ]:
        change_record(tmp_path, lambda _, record=record: record)
        before, net = (tmp_path / "last.safetensors").read_bytes(), new_net()
        weights = digest_of(net)
        with pytest.raises(ValueError, match=rf"{message}.*damaged or of another version"):
            train(net, tmp_path, resume=True)
        assert digest_of(net) == weights
        assert (tmp_path / "last.safetensors").read_bytes() == before


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("the cat sat on the mat. " * 20)
    return path


def command(text, *more):
    return main(["train", str(text), "--hidden-size", "8", "--out", str(text.parent / "m"), *more])


def test_no_compile_and_exact(text, capsys):
    out = text.parent / "m"
    assert not command(text, "--steps", "2", "--no-compile")
    assert notes(out) == []
    assert command(text, "--steps", "3", "--resume", "--exact")
    said = capsys.readouterr().err
    assert f"had {EAGER}, and goes on with {NATIVE}" in said
    assert "Traceback" not in said
    assert not command(text, "--steps", "3", "--resume", "--exact", "--no-compile")
    assert not command(text, "--steps", "4", "--overwrite")
    assert notes(out) == [f"compiled: {NATIVE}"]
    assert f"compiled: {NATIVE}" in capsys.readouterr().err


def test_exact_without_resume_is_refused(text, capsys):
    assert command(text, "--steps", "2", "--exact")
    assert "pass --resume, too" in capsys.readouterr().err
