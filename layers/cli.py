"""The command line: `minigrad demo`, `train`, `sample`, `systems`, `run`, `draw`, `flow`."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from layers.cli_arguments import (
    HelpFormatter,
    add_length,
    make_folder,
    natural_int,
    seconds_of,
)
from layers.cli_draw import add_draw
from layers.cli_flow import add_flow
from layers.cli_sample import add_sample
from layers.cli_systems import add_systems
from layers.cli_train import add_train
from layers.demo import DemoOptions, run_demo

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Its exit code: 0; 1 after an error; 3 when a system misses a bar; 130 after Ctrl-C. Wrong
        arguments end the process with 2.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError) as error:
        print(f"minigrad: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nminigrad: interrupted", file=sys.stderr)
        return 130
    return code or 0


def installed_version() -> str:
    """The version of the installed package; a checkout on the path has none."""
    try:
        return version("minigrad")
    except PackageNotFoundError:
        return "(not installed)"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="minigrad",
        description="Train, sample and measure sequence models; draw how gradients flow in them.",
        epilog="Begin with: minigrad demo, minigrad systems, or minigrad draw lstm",
    )
    parser.add_argument("--version", action="version", version=f"minigrad {installed_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Any, summary: str, *examples: str, more: str = ""
    ) -> argparse.ArgumentParser:
        heading = "example" if len(examples) == 1 else "examples"
        sub = commands.add_parser(
            name,
            help=summary,
            description=f"{summary}\n{more}".rstrip(),
            epilog="\n  ".join([f"{heading}:", *examples]),
            formatter_class=HelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    demo = command(
        "demo",
        demo_command,
        "Train a character LSTM for about a minute, then draw its graph and its gradient's path.",
        "minigrad demo --seconds 60 --out minigrad-demo",
    )
    add_length(demo)
    demo.add_argument("--out", type=Path, default=Path("minigrad-demo"), help="folder to write to")
    demo.add_argument("--seed", type=natural_int, default=0, help="of weights, windows and text")

    add_train(command)
    add_sample(command)
    add_systems(command)
    add_draw(command)
    add_flow(command)
    return parser


def demo_command(options: argparse.Namespace) -> None:
    """`minigrad demo`."""
    make_folder(options.out)
    run_demo(DemoOptions(options.steps, seconds_of(options), options.out, options.seed))


if __name__ == "__main__":
    sys.exit(main())
