"""The command line: `minigrad demo`, `train`, `sample`, `systems`, `run`, `draw`, `flow`."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from layers.cli.arguments import (
    HelpFormatter,
    add_length,
    make_folder,
    natural_int,
    seconds_of,
)
from layers.cli.draw import add_draw
from layers.cli.flow import add_flow
from layers.cli.sample import add_sample
from layers.cli.systems import add_systems
from layers.cli.terminal import any_terminal
from layers.cli.train import add_train
from layers.examples.demo import DemoOptions, run_demo
from layers.training.interrupts import Terminated, raising_terminated
from layers.training.progress import say

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Its exit code: 0; 1 after an error; 3 when a system misses a bar; 130 after Ctrl-C, and
        128 and its number after another signal. Wrong arguments end the process with 2.
    """
    with any_terminal():
        try:
            with raising_terminated():
                return run(sys.argv[1:] if arguments is None else list(arguments))
        except BrokenPipeError:  # the reader, such as head, has seen enough
            return 1
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError) as error:
            say(f"minigrad: {error}")
            return 1
        except MemoryError as error:
            say(f"minigrad: out of memory: {str(error) or 'choose smaller sizes, or fewer data'}")
            return 1
        except Terminated as signal:
            say(f"\nminigrad: {signal}")
            return 128 + signal.number
        except KeyboardInterrupt:
            say("\nminigrad: interrupted")
            return 130


def run(arguments: list[str]) -> int:
    """Parse a command and run it; its exit code."""
    code: int | None
    try:
        options = build_parser().parse_args(arguments, argparse.Namespace(arguments=arguments))
        code = options.run(options)
    except SystemExit:  # the parser's, after --help too
        flush_output()
        raise
    flush_output()
    return code or 0


def flush_output() -> None:
    """Write what is buffered.

    Raises:
        OSError: when it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def installed_version() -> str:
    """The version of the installed package; a checkout on the path has none."""
    try:
        return version("minigrad")
    except PackageNotFoundError:
        return "(not installed)"


class ShowVersion(argparse.Action):
    """Print the version, or fail where that cannot be written; argparse itself passes over that."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and end."""
        print(f"minigrad {installed_version()}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose help does not end well where it cannot be written."""

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself passes over errors."""
        print(self.format_help(), end="", file=file)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="minigrad",
        description="Train, sample and measure sequence models; draw how gradients flow in them.",
        epilog="Begin with: minigrad demo, minigrad systems, or minigrad draw lstm",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
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
