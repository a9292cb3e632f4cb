"""The command line: `minigrad demo`, `train`, `sample`, `draw`, `flow`."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from layers.cli_arguments import (
    HelpFormatter,
    finite_float,
    make_folder,
    natural_int,
    positive_float,
    positive_int,
)
from layers.cli_draw import add_draw
from layers.cli_flow import add_flow
from layers.datasets import CharacterTokenizer, read_text, shakespeare, split, validation_batches
from layers.demo import DemoOptions, run_demo
from layers.models.character import CharacterConfig, CharacterModel
from layers.training import TrainingOptions, mean_loss, train

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 after an error, 130 after Ctrl-C."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
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
    return 0


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
        description="Train and sample character models; draw and measure how gradients flow.",
        epilog="Begin with: minigrad demo, or: minigrad draw lstm",
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

    trainer = command(
        "train",
        train_command,
        "Train a character LSTM on a text of your own, or on the Shakespeare that is shipped.",
        "minigrad train my.txt --seconds 120 --hidden-size 256 --out my-model",
    )
    trainer.add_argument(
        "text", nargs="?", type=Path, help="a UTF-8 text file; left out: Shakespeare"
    )
    add_length(trainer)
    trainer.add_argument("--out", type=Path, default=Path("minigrad-model"), help="model folder")
    trainer.add_argument("--hidden-size", type=positive_int, default=128, help="units per layer")
    trainer.add_argument("--layers", type=positive_int, default=1, help="LSTM layers")
    trainer.add_argument("--rate", type=positive_float, default=5e-3, help="highest learning rate")
    trainer.add_argument("--seed", type=natural_int, default=0, help="of weights and windows")

    sampler = command(
        "sample",
        sample_command,
        "Write text with a trained model.",
        'minigrad sample minigrad-demo/model "ROMEO:" --length 500 --temperature 0.8',
    )
    sampler.add_argument("model", type=Path, help="a folder written by demo or train")
    sampler.add_argument("prompt", nargs="?", default="\n", help="text to go on from")
    sampler.add_argument("--length", type=positive_int, default=300, help="characters to write")
    sampler.add_argument(
        "--temperature", type=finite_float, default=1.0, help="0: always the likeliest"
    )
    sampler.add_argument("--seed", type=natural_int, default=None, help="for the same text again")

    add_draw(command)
    add_flow(command)
    return parser


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


def demo_command(options: argparse.Namespace) -> None:
    """`minigrad demo`."""
    make_folder(options.out)
    run_demo(DemoOptions(options.steps, seconds_of(options), options.out, options.seed))


def train_command(options: argparse.Namespace) -> None:
    """`minigrad train`."""
    text = shakespeare() if options.text is None else read_text(options.text)
    tokenizer = CharacterTokenizer.from_text(text)
    training, validation = split(tokenizer.encode(text))
    length = min(64, len(validation) - 1)
    if length < 2:
        raise ValueError(
            f"the text has {len(text)} characters, of which {len(validation)} are for validation: "
            "too few to train on; pass a text of at least 30 characters"
        )
    make_folder(options.out)  # now rather than after an hour of training
    mg.seed(options.seed)
    config = CharacterConfig(
        len(tokenizer), hidden_size=options.hidden_size, num_layers=options.layers
    )
    model = CharacterModel(config, tokenizer)
    print(f"{len(text):,} characters, {len(tokenizer)} distinct; "
          f"{model.parameter_count():,} parameters", flush=True)  # fmt: skip
    history = train(
        model,
        training,
        TrainingOptions(
            steps=options.steps,
            seconds=seconds_of(options),
            length=length,
            rate=options.rate,
            seed=options.seed,
        ),
    )
    if history.interrupted:
        print("\nInterrupted: keeping the model as it is.")
    model.save(options.out)
    loss = mean_loss(model, validation_batches(validation, length=length))
    print(
        f"{len(history.losses)} steps in {history.seconds:.0f} s, validation loss {loss:.3f} nats "
        f"per character\nwritten to {options.out}/; go on with: minigrad sample {options.out}"
    )


def sample_command(options: argparse.Namespace) -> None:
    """`minigrad sample`."""
    model = CharacterModel.load(options.model)
    generator = np.random.default_rng(options.seed)
    text = model.generate(options.prompt, options.length, options.temperature, generator)
    start = options.prompt.lstrip("\n")
    for character in text:  # the first one comes after the arguments were checked
        print(start + character, end="", flush=True)
        start = ""
    print()


if __name__ == "__main__":
    sys.exit(main())
