"""What the commands have in common: kinds of arguments, help, and checks before the work."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = [
    "AddCommand",
    "HelpFormatter",
    "add_length",
    "check_output",
    "finite_float",
    "make_folder",
    "natural_int",
    "positive_float",
    "positive_int",
    "positive_weight",
    "probability",
    "refuse",
    "seconds_of",
    "weight_float",
]


def positive_int(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = natural_int(text, "above 0")
    if not number:
        raise argparse.ArgumentTypeError("must be above 0, got 0")
    return number


def natural_int(text: str, bound: str = "0 or more") -> int:
    """A whole number of 0 or more, for argparse."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be {bound}, got {number}")
    return number


def finite_float(text: str) -> float:
    """A number of 0 or more, for argparse."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, and finite, got {text}")
    return number


def weight_float(text: str) -> float:
    """What weights begin with: a number of either sign that float32 can hold, for argparse."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    largest = float(np.finfo(np.float32).max)
    if not abs(number) <= largest:
        raise argparse.ArgumentTypeError(
            f"must be at most {largest:.3g} in size, as weights are float32, got {text}"
        )
    return number


def positive_weight(text: str) -> float:
    """What weights are scaled by: a number above 0 that float32 can hold, for argparse."""
    positive_float(text)
    return weight_float(text)


def positive_float(text: str) -> float:
    """A number above 0, for argparse."""
    number = finite_float(text)
    if not number:
        raise argparse.ArgumentTypeError("must be above 0, got 0")
    return number


def probability(text: str) -> float:
    """A number from 0 up to, but not, 1, for argparse."""
    number = finite_float(text)
    if number >= 1:
        raise argparse.ArgumentTypeError(f"must be below 1, got {text}")
    return number


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with the default of every option that has one, and examples on lines of their own."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        """The text of one option; an option that is off says nothing of a default."""
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class AddCommand(Protocol):
    """Adds a command to the parser: its name, what it runs, a summary, and examples."""

    def __call__(
        self, name: str, run: Any, summary: str, *examples: str, more: str = ""
    ) -> argparse.ArgumentParser: ...


def make_folder(folder: Path, option: str = "--out") -> None:
    """Make a folder to write to, or say why it cannot be, by the option that names it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"{option} {folder}: this folder cannot be written ({error.strerror}); choose another "
            "one"
        ) from error


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that could not be written, before anything is computed for it.

    Raises:
        ValueError: for a suffix that is none of the given ones.
        OSError: where there is no folder for it, or it may not be written to, or what is there is
            no file, such as a pipe.
    """
    if path.is_dir():
        raise IsADirectoryError(f"--out {path}: this is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"--out {path}: this is no file that can be replaced; name another")
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"--out {path}: the suffix {path.suffix!r} is no format; choose one of "
            f"{', '.join(suffixes)}"
        )
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"--out {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--out {path}: the folder {folder} cannot be written to")


def add_length(parser: argparse.ArgumentParser) -> None:
    """How long to train: `--steps` and `--seconds`."""
    parser.add_argument("--steps", type=positive_int, default=None, help="training steps")
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=None,
        help="training time; 60 unless --steps is given",
    )


def seconds_of(options: argparse.Namespace) -> float | None:
    """The time limit: the one given, or a minute when there is no other limit."""
    given: float | None = options.seconds
    return 60.0 if given is None and options.steps is None else given


def refuse(options: argparse.Namespace, names: str, why: str) -> None:
    """Refuse options that were given although they cannot have an effect."""
    for name in names.split():
        given = getattr(options, name.replace("-", "_"), None)
        if given is not None and given is not False:  # 0.0 was given too
            raise ValueError(f"--{name} {why}")
