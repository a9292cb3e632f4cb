"""Kill processes while they save, and look at what they leave.

    python -m benchmarks.reliability.kills --count 1000

Children save version after version of arrays, checkpoints, model folders and drawings, or train
with the command line, and get SIGKILL at a random moment. What is there afterwards must be the
last version that was finished, or the one that was being written, wholly; the next save must leave
no other file. A training that was killed again and again, and resumed, must end with the bits of
one that was not.
"""

import argparse
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from benchmarks.reliability.subjects import SUBJECTS, Subject, files_in
from layers.cli import main as command_line

__all__ = ["kill_savings", "kill_trainings", "main"]

LONGEST = 3.0  # that a child goes on after its first save, in the seconds which that one took
TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 40


def child(work: Callable[[], object]) -> int:
    """The number of a process that does some work and then ends, without a word."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def kill_savings(subject: Subject, count: int, seed: int = 0) -> dict[str, int]:
    """Kill a child that saves, so many times.

    Returns:
        How often the finished version was found, the one that was being written, and a temporary
        file beside it.

    Raises:
        AssertionError: when anything else was found.
    """
    delays, found = random.Random(seed), {"finished": 0, "being written": 0, "strays": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / subject.name
        subject.save(place, 0)
        files, last = files_in(folder), 0
        for _ in range(count):
            last, kept = _killed(subject, place, last, delays.uniform(0, LONGEST))
            found[kept] += 1
            found["strays"] += len(files_in(folder) - files)
            subject.save(place, last)
            if files_in(folder) != files or subject.load(place) != last:
                raise AssertionError(f"the next save left {sorted(files_in(folder) - files)}")
    return found


def _killed(subject: Subject, place: Path, last: int, delay: float) -> tuple[int, str]:
    """Kill a child that has saved and goes on; the version that is there, and which it is.

    Args:
        subject, place: what is saved, and where.
        last: the version that is there.
        delay: how long it goes on, in times of its first save.
    """
    reading, writing = os.pipe()

    def save_on() -> None:
        number = last
        while True:
            number += 1
            subject.save(place, number)
            os.write(writing, b".")

    process = child(save_on)
    os.close(writing)
    began = time.perf_counter()
    with os.fdopen(reading, "rb") as told:
        last += len(told.read(1))
        time.sleep(delay * (time.perf_counter() - began))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        finished = last + len(told.read())
    if not os.WIFSIGNALED(status):
        raise AssertionError("the child ended by itself")
    version = subject.load(place)
    if version not in (finished, finished + 1):
        raise AssertionError(f"version {version} is there; {finished} was finished")
    return version, "finished" if version == finished else "being written"


def kill_trainings(count: int, seed: int = 0, steps: int = 40) -> dict[str, int]:
    """Kill `minigrad train` so many times, resume it each time, and let it end at last.

    Returns:
        How often it had a checkpoint to go on from, and how many runs came to their end.

    Raises:
        AssertionError: when a run does not end with the weights of one that was not killed.
    """
    delays, found = random.Random(seed), {"resumed": 0, "whole runs": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        whole, seconds = folder / "whole", time.perf_counter()
        _run(_training(folder, whole, steps))
        seconds = time.perf_counter() - seconds
        killed, run = 0, 0
        while killed < count or run == 0 or (folder / f"run {run}").exists():
            place = folder / f"run {run}"
            found["resumed"] += (place / "last.safetensors").is_file()
            process = child(_training(folder, place, steps))
            if killed < count:
                killed += 1
                time.sleep(delays.uniform(0, 1.2 * seconds))
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            if os.WIFSIGNALED(status):
                continue
            if status:
                raise AssertionError("a run could not be resumed")
            _compare(whole, place)
            found["whole runs"] += 1
            run += 1
    return found


def _training(folder: Path, place: Path, steps: int) -> Callable[[], None]:
    """A short run of the command line, which goes on with what is there."""
    options = "--model rnn --hidden-size 8 --checkpoint-every 2 --no-compile --resume"

    def train() -> None:
        arguments = [
            "train",
            str(folder / "text.txt"),
            "--out",
            str(place),
            *options.split(),
            f"--steps={steps}",
        ]
        with contextlib.redirect_stderr(io.StringIO()) as told:
            code = command_line(arguments)
        if code:
            raise AssertionError(f"minigrad train ended with {code}: {told.getvalue()}")

    return train


def _run(work: Callable[[], None]) -> None:
    if os.waitpid(child(work), 0)[1]:
        raise AssertionError("the child failed")


def _compare(whole: Path, place: Path) -> None:
    """Raise AssertionError unless two folders of runs hold the same files and weights."""
    if files_in(whole) != files_in(place):
        raise AssertionError(f"files differ: {files_in(whole) ^ files_in(place)}")
    for file in sorted(whole.rglob("*.safetensors")):
        expected, got = mg.load(file), mg.load(place / file.relative_to(whole))
        if expected.keys() != got.keys():
            raise AssertionError(f"{file.name}: other names")
        for name in expected.keys() - {"history.seconds"}:
            np.testing.assert_array_equal(expected[name], got[name], f"{file.name}: {name}")


def main(given: Sequence[str] | None = None) -> None:
    """Print a line of figures for each thing that is saved."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=1000, help="kills, a tenth of them trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*SUBJECTS, "train"], nargs="+")
    options = parser.parse_args(given)
    names = options.only or [*SUBJECTS, "train"]
    trainings = max(1, options.count // 10) if len(names) > 1 else options.count
    for name in names:
        if name == "train":
            figures = kill_trainings(trainings, options.seed)
            count = trainings
        else:
            savings = len(set(names) - {"train"})
            count = -(-(options.count - trainings * ("train" in names)) // savings)
            figures = kill_savings(SUBJECTS[name], count, options.seed)
        told = ", ".join(f"{what}: {number}" for what, number in figures.items())
        print(f"{name}: {count} kills; {told}", flush=True)


if __name__ == "__main__":
    main()
