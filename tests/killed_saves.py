"""Kills a save at each of its steps, and looks at what is there afterwards.

    python -m tests.killed_saves        # every kind of model, checkpoints and runs, a line each

A step is a call of the system by which a save changes something, before it, after it, and in the
middle of a write. A child process makes them and is gone at one of them, as with a power cut; or
the call fails, as on a full disk. What loads then must be wholly the old or wholly the new.
"""

import dataclasses
import errno
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from layers import models
from layers.datasets import CharacterTokenizer
from layers.training.run_folder import RunFolder
from tests.fixtures.saved_cases import make_models
from tests.older_folders import as_before

CALLS = (
    (os, "open"), (os, "fsync"), (os, "replace"), (Path, "write_bytes"), (Path, "write_text"),
    (Path, "mkdir"), (Path, "unlink"),
)  # fmt: skip


def watch(end: Callable[[], None], last: int, after: bool) -> Callable[[], None]:
    """End at the step number `last` of what follows, and return what undoes that.

    Nothing is synced, which would take long and is of no use to who looks at once.

    Args:
        end: does it.
        last: counts steps from 0.
        after: whether what is done is a step, too.
    """
    steps, before = iter(range(sys.maxsize)), {}

    def step() -> bool:
        return next(steps) == last

    def watched(owner: Any, name: str) -> Callable[..., Any]:
        call = before[owner, name] = getattr(owner, name)

        def made(*arguments: Any, **options: Any) -> Any:
            if step():
                end()
            if name.startswith("write") and step():
                call(arguments[0], arguments[1][: len(arguments[1]) // 2], **options)
                end()
            result = None if name == "fsync" else call(*arguments, **options)
            if after and step():
                end()
            return result

        return made

    for owner, name in CALLS:
        setattr(owner, name, watched(owner, name))

    def undo() -> None:
        for (owner, name), call in before.items():
            setattr(owner, name, call)

    return undo


def in_child(save: Callable[[], Any], last: int) -> bool:
    """Save in a child process that dies at a step; whether it came to its end before that."""
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads, of which the child uses none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        watch(lambda: os._exit(9), last, after=True)
        try:
            save()
            os._exit(0)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    return status == 0


def with_error(save: Callable[[], Any], last: int) -> bool:
    """Save, while a step fails; whether it came to its end before that."""
    failed = []

    def fail() -> None:
        failed.append(last)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    undo = watch(fail, last, after=False)
    try:
        save()
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - any other is an error of the save
    finally:
        undo()
    return not failed


def count(
    prepare: Callable[[Path], Any],
    save: Callable[[Path], Any],
    looks: Mapping[str, Callable[[Path], Any]],
    attempt: Callable[[Callable[[], Any], int], bool],
) -> Counter[str]:
    """How often what is there after an attempt is "old", "new", or something else.

    What that is is asked of each part by itself, and told with the name of the part before it.

    Args:
        prepare: makes the old.
        save: makes the new, in the same place.
        looks: what is there, by the names of parts.
        attempt: `in_child` or `with_error`.
    """
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        old, new = Path(place, "old"), Path(place, "new")
        for folder, makers in ((old, [prepare]), (new, [prepare, save])):
            folder.mkdir()
            for make in makers:
                make(folder)
        known = {part: {"old": look(old), "new": look(new)} for part, look in looks.items()}
        assert all(one["old"] != one["new"] for one in known.values())
        for last in range(10_000):
            folder = Path(place, f"at {last}")
            shutil.copytree(old, folder)
            ended = attempt(lambda folder=folder: save(folder), last)  # type: ignore[misc]
            for part, look in looks.items():
                try:
                    there = look(folder)
                    which = next((n for n, one in known[part].items() if one == there), "mixed")
                except (OSError, ValueError) as error:
                    which = f"{type(error).__name__}: {error}"
                found[part + which] += 1
            if attempt is with_error and any(p.suffix == ".partial" for p in folder.iterdir()):
                found["a temporary file is left"] += 1
            shutil.rmtree(folder)
            if ended:
                return found
    raise AssertionError("a save has no end")


# -- what is saved ---------------------------------------------------------------------------------


def model_of(name: str, seed: int) -> Any:
    """A model with weights of a seed; every second has its alphabets the other way round."""
    mg.seed(seed)
    model = make_models()[name]()
    for attribute in model.TOKENIZERS:
        tokenizer = getattr(model, attribute)
        if seed % 2 and tokenizer is not None:
            setattr(model, attribute, CharacterTokenizer(tokenizer.characters[::-1]))
    if isinstance(model, models.SeriesModel):
        model.series_name = f"series {seed}"
    return model


def told(model: Any) -> Any:
    """All of a model, to be compared."""
    return (
        json.dumps(dataclasses.asdict(model.config)),
        [getattr(model, name) for name in model.TOKENIZERS],
        model._described(),
        {name: np.asarray(array).tobytes() for name, array in model._arrays().items()},
    )


def look_at_model(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*config.json says something else")
        return told(models.load(folder))


def kill_model(name: str, older: bool = False, attempt: Any = in_child) -> Counter[str]:
    """Save a model over another; `older` has that in a folder of before."""

    def prepare(folder: Path) -> None:
        model_of(name, 0).save(folder)
        if older:
            as_before(folder)

    new = model_of(name, 1)
    return count(prepare, new.save, {"": look_at_model}, attempt)


def kill_checkpoint(attempt: Any = in_child) -> Counter[str]:
    """Save a checkpoint over another."""
    loaded = model_of("lstm", 2)

    def save(folder: Path, seed: int) -> None:
        mg.save_checkpoint(folder / "c", step=seed, model=model_of("lstm", seed))

    def look(folder: Path) -> Any:
        return mg.load_checkpoint(folder / "c", model=loaded).step, told(loaded)

    return count(lambda f: save(f, 0), lambda f: save(f, 1), {"": look}, attempt)


def kill_run(attempt: Any = in_child) -> Counter[str]:
    """Save what a run keeps after a validation."""
    loaded = model_of("lstm", 2)

    def save(folder: Path, seed: int) -> None:
        run, model = RunFolder(folder, resume=True), model_of("lstm", seed)
        run.save_best(seed, 0.5, model)
        run.save_model(model)
        run.save_last(seed, {"data": "same"}, None, model=model)
        run.log(step=seed)

    def look_at_last(folder: Path) -> Any:
        run = RunFolder(folder, resume=True)
        return run.load_last({"data": "same"}, model=loaded), told(loaded)

    looks = {"model ": look_at_model, "checkpoint ": look_at_last}
    return count(lambda f: save(f, 0), lambda f: save(f, 1), looks, attempt)


CASES: dict[str, Callable[[], Counter[str]]] = {
    **{name: lambda name=name: kill_model(name) for name in make_models()},  # type: ignore[misc]
    "lstm over a folder of before": lambda: kill_model("lstm", older=True),
    "checkpoint": kill_checkpoint,
    "run": kill_run,
    "lstm, calls that fail": lambda: kill_model("lstm", attempt=with_error),
    "checkpoint, calls that fail": lambda: kill_checkpoint(with_error),
}

if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        print(json.dumps({case: CASES[case]()}), flush=True)
