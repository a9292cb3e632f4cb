"""Runs of `minigrad train`: their folders, their options, and how they are resumed."""

import argparse
import shlex
from typing import Any, Final

from layers.cli_arguments import make_folder
from layers.training.progress import say
from layers.training.run_folder import RunFolder

__all__ = ["TRAINING", "given", "prepare_folder", "tell_resuming"]

TRAINING: Final = ("rate", "checkpoint_seconds", "checkpoint_every")
"""Options of `TrainingOptions` with defaults that the kind of model sets."""


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that were given."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def tell_resuming(options: argparse.Namespace) -> None:
    """How to go on with the run that is in the folder, if there is one."""
    if not options.out.is_dir():
        return
    kept = RunFolder(options.out, resume=True)
    if not kept.has_run:
        return
    again = [part for part in options.arguments if part not in ("--overwrite", "--resume")]
    say(f"\nThe run is kept at step {kept.step}; go on with: minigrad {shlex.join(again)} --resume")


def prepare_folder(options: argparse.Namespace) -> RunFolder:
    """Make the folder, and refuse one with a run that is not to be touched."""
    make_folder(options.out)
    if options.overwrite:
        before = RunFolder(options.out, resume=True)
        if before.has_run:
            say(f"dropping the run in {options.out}, which was at step {before.step}: beginning at "
                "step 0")  # fmt: skip
        before.clear()
    folder = RunFolder(options.out, resume=options.resume)
    if not folder.has_run:
        folder.clear()  # a log that no run goes on with
    return folder
