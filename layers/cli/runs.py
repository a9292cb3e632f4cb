"""Runs of `minigrad train` and `sample`: their folders, what they tell, how they are resumed."""

import argparse
import hashlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from layers.cli.arguments import make_folder
from layers.training import History
from layers.training.progress import say
from layers.training.run_folder import RunFolder
from minigrad.io.documents import spell
from minigrad.io.packages import MissingPackageError

__all__ = [
    "PICTURES",
    "TRAINING",
    "digest",
    "given",
    "inform",
    "kept",
    "outcome",
    "prepare_folder",
    "save_picture",
    "tell",
    "tell_resuming",
]

TRAINING: Final = ("rate", "checkpoint_seconds", "checkpoint_every")
"""Options of `TrainingOptions` with defaults that the kind of model sets."""


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that were given."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def kept(options: argparse.Namespace, folder: RunFolder) -> dict[str, Any]:
    """Where `fit` keeps a run, whether it goes on with one, and what runs it."""
    return {
        "folder": folder,
        "resume": options.resume,
        "exact": options.exact,
        "compiled": False if options.no_compile else None,
    }


def tell_resuming(options: argparse.Namespace) -> None:
    """How to go on with the run that is in the folder, if there is one."""
    if not options.out.is_dir():
        return
    kept = RunFolder(options.out, resume=True)
    step = kept.step
    if not kept.has_run or step is None:
        return
    again = [part for part in options.arguments if part not in ("--overwrite", "--resume")]
    say(f"\nThe run is kept at step {step}; go on with: minigrad {shlex.join(again)} --resume")


def prepare_folder(options: argparse.Namespace) -> RunFolder:
    """Make the folder, and refuse one with a run that is not to be touched."""
    make_folder(options.out)
    folder = RunFolder(options.out, options.resume, options.overwrite)
    with folder.held():  # what another run has written so far is not to be cleared
        if folder.replaces:
            step = folder.step
            which = "is damaged" if step is None else f"was at step {step}"
            say(f"replacing the run in {options.out}, which {which}: beginning at step 0")
        elif not folder.has_run:
            folder.clear()  # a log that no run goes on with
    return folder


PICTURES: Final = (".png", ".svg", ".pdf")
"""Suffixes of pictures that are drawn with matplotlib."""


def outcome(options: argparse.Namespace, history: History, measure: str) -> dict[str, Any]:
    """What is told of a run."""
    if history.interrupted:
        inform(options, "\nInterrupted: keeping the model as it is; --resume goes on.")
        tell_resuming(options)
    elif history.resumed == history.step:
        inform(options, "The run is at its end already: pass more --steps, or more --seconds.")
    best = history.best
    return {
        "steps": history.step,
        "seconds": round(history.seconds, 1),
        "resumed_at": history.resumed or None,
        "stopped": history.stopped,
        measure: best[1] if best else None,
        "best_step": best[0] if best else None,
    }


def digest(data: bytes) -> str:
    """A short name of data, so that a run is not resumed with others."""
    return hashlib.sha256(data).hexdigest()[:16]


def inform(options: argparse.Namespace, text: str) -> None:
    """Tell something on the way, unless the output is JSON."""
    if not options.json:
        print(text, flush=True)


def tell(options: argparse.Namespace, model: Any, **found: Any) -> None:
    """Print a result as JSON."""
    print(spell({"model": model.KIND, "prompt": options.prompt, **found}))


def save_picture(options: argparse.Namespace, out: Path, draw: Callable[[], object]) -> None:
    """Write a picture; where matplotlib is missing, say so and go on."""
    try:
        draw()
    except MissingPackageError as error:
        print(f"{out} was not written: {error}", file=sys.stderr)
        return
    if not options.json:
        print(f"written to {out}")
