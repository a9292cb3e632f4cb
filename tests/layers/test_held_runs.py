"""A folder that one run at a time writes to, and what a run that was cut leaves there."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.cli import main, series
from layers.models import load
from layers.training import TrainingOptions, fit
from layers.training.run_folder import RunFolder
from minigrad.io import held_folders

posix = pytest.mark.skipif(held_folders.fcntl is None, reason="folders have no locks there")


def train(folder, callbacks=(), steps=3, **more):
    model = layers.Linear(2, 1)

    def loss(model, batch):
        return mg.mse_loss(model(batch), np.ones((4, 1), np.float32))

    return fit(
        model, lambda generator: generator.standard_normal((4, 2), np.float32),
        TrainingOptions(steps=steps), loss=loss, folder=folder, progress=False, compiled=False,
        callbacks=callbacks, **more,
    )  # fmt: skip


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@posix
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_run_in_the_folder_is_refused_and_changes_nothing(tmp_path, how):
    """Before, both wrote their checkpoints, best weights and lines of the log by turns."""
    waiting = RunFolder(tmp_path / "run", **{"resume": False, **how})
    seen = []

    def another(_):
        before = files_of(tmp_path / "run")
        with pytest.raises((BlockingIOError, FileExistsError)) as refused:
            train(waiting)
        assert files_of(tmp_path / "run") == before
        seen.append(refused.value)

    train(tmp_path / "run", [another], steps=1)
    if how:
        assert str(seen[0]) == (
            f"another run is writing to {tmp_path / 'run'} just now; wait until it ends, or end "
            "it, or choose another folder"
        )
        assert train(waiting).step == 3  # the first has let go
    else:  # its first checkpoint has come since
        assert "holds a run already" in str(seen[0])


@posix
@pytest.mark.parametrize("more", [[], ["--resume"], ["--overwrite"]])
def test_a_run_that_has_no_checkpoint_yet_keeps_its_log_and_weights(tmp_path, capsys, more):
    text, out = tmp_path / "t.txt", tmp_path / "run"
    text.write_text("to be or not to be, that is the question. " * 60, encoding="utf-8")
    with RunFolder(out, resume=False).held():
        (out / "log.jsonl").write_text("{}\n", encoding="utf-8")
        (out / "best.safetensors").write_bytes(b"weights")
        before = files_of(out)
        given = ["train", str(text), "--model", "gru", "--steps", "1", "--out", str(out)]
        assert main([*given, *more]) == 1
        assert files_of(out) == before
    assert "another run is writing to" in capsys.readouterr().err


@posix
def test_another_thread_is_refused_and_a_run_that_failed_lets_go(tmp_path):
    found = []

    def try_it():
        try:
            train(tmp_path, resume=True)
        except BlockingIOError as error:
            found.append(error)

    def in_a_thread(_):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        raise RuntimeError("as a callback may")

    with pytest.raises(RuntimeError, match="as a callback may"):
        train(tmp_path, [in_a_thread])
    assert len(found) == 1
    assert train(tmp_path, resume=True).step == 3


@posix
@pytest.mark.parametrize("model", ["ngram", "ar", "gru"])
def test_the_command_line_does_not_write_into_a_folder_that_is_held(tmp_path, model, capsys):
    data = tmp_path / "data"
    data.write_text("\n".join(str(i * i % 7) for i in range(60)))
    steps = ["--steps", "2", "--no-compile"] if model == "gru" else []
    folder = RunFolder(tmp_path / "run", resume=False)
    command = ["train", str(data), "--model", model, "--out", str(folder.path), *steps]
    with folder.held():
        assert main(command) == 1
        assert "another run is writing to" in capsys.readouterr().err
        assert not (folder.path / "model.safetensors").exists()
    assert main(command) == 0


@posix
def test_the_system_lets_go_for_a_process_that_is_killed(tmp_path):
    script = (
        "import sys, time\nfrom layers.training.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1], resume=True).held():\n"
        "    print('held', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError):
        train(tmp_path)
    process.kill()
    process.communicate()
    assert train(tmp_path).step == 3


@posix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_forked_process_neither_holds_nor_lets_go(tmp_path):
    folder, other = (RunFolder(tmp_path, resume=True) for _ in range(2))
    read, write = os.pipe()
    with folder.held():
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)  # until the parent says so
            os._exit(len(held_folders._handles))
        time.sleep(0.05)
        with pytest.raises(BlockingIOError), other.held():
            pass
    with other.held():
        os.write(write, b"x")
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(BlockingIOError), folder.held():
            pass
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("without", ["fcntl", "locks", "rights"])
def test_where_folders_cannot_be_locked_a_run_goes_on(tmp_path, monkeypatch, without):
    def no_locks(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")

    real = os.open

    def no_rights(path, *arguments, **more):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **more)

    if without == "fcntl":
        monkeypatch.setattr(held_folders, "fcntl", None)
    elif without == "rights":
        monkeypatch.setattr(os, "open", no_rights)
    elif held_folders.fcntl is not None:
        monkeypatch.setattr(held_folders.fcntl, "flock", no_locks)
    assert train(tmp_path).step == 3
    assert held_folders._handles == set()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_log_that_cannot_be_written_is_named(tmp_path):
    folder = RunFolder(tmp_path, resume=False)
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*log\.jsonl'"):
        folder.log(step=0)


def test_a_latent_model_of_a_run_that_was_cut_goes_on_from_the_end_of_the_series(
    tmp_path, monkeypatch
):
    """Its labels were those of the whole series, and its values those of the first nine tenths."""
    values = np.sin(np.arange(80.0)).round(4)
    data, out = tmp_path / "s.csv", tmp_path / "run"
    data.write_text("year,v\n" + "\n".join(f"{1900 + i},{v}" for i, v in enumerate(values)))

    def cut(told):
        if told.step == 25:  # after a validation, whose model is kept
            signal.raise_signal(signal.SIGTERM)

    fit = series.fit
    monkeypatch.setattr(series, "fit", lambda *a, **k: fit(*a, **k, callbacks=[cut]))
    assert main(["train", str(data), "--model", "latent", "--out", str(out)]) == 143
    model = load(out)
    assert model.times[-1] == "1979"
    assert model.history.tolist() == values.tolist()


@pytest.mark.parametrize("told", [{"a": np.nan}, {"a": np.inf}, {"a": {1}}, {"a": np.float32(1)}])
def test_an_identity_that_no_checkpoint_could_give_back_is_refused_at_once(tmp_path, told):
    """NaN was taken, and then the run could never be resumed."""
    with pytest.raises(TypeError, match=r"^fit: identity must be texts, .* as JSON knows them: "):
        train(tmp_path / "run", identity=told)
    assert not (tmp_path / "run").exists()


def test_an_identity_is_compared_as_json_gives_it_back(tmp_path):
    told = {1: (2, "x"), "b": None}
    train(tmp_path, steps=2, identity=told)
    assert train(tmp_path, steps=3, resume=True, identity=told).resumed == 2
    with pytest.raises(
        ValueError, match=r"cannot be resumed with 1=\[3\]: it began with \[2, 'x'\]"
    ):
        train(tmp_path, steps=4, resume=True, identity={**told, 1: [3]})
