"""The command line: `minigrad demo`, `train`, `sample`, `draw`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minigrad as mg
from layers.datasets import CharacterTokenizer, read_text, shakespeare, split, validation_batches
from layers.demo import DemoOptions, run_demo
from layers.models.character import CharacterConfig, CharacterModel
from layers.pictures import draw_gradient_path, draw_step
from layers.training import TrainingOptions, mean_loss, train

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 after an error, 130 after Ctrl-C."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
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


def positive_int(text: str) -> int:
    """A whole number above 0, for argparse."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
    if number <= 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {number}")
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


def positive_float(text: str) -> float:
    """A number above 0, for argparse."""
    number = finite_float(text)
    if not number:
        raise argparse.ArgumentTypeError("must be above 0, got 0")
    return number


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with the default of every option, and the example on a line of its own."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="minigrad",
        description="Train and sample character models, and draw how their gradients flow.",
        epilog="Begin with: minigrad demo",
    )
    parser.add_argument("--version", action="version", version=f"minigrad {installed_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, summary: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
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
    demo.add_argument("--seed", type=int, default=0, help="of weights, windows and text")

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
    trainer.add_argument("--seed", type=int, default=0, help="of weights and windows")

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
    sampler.add_argument("--seed", type=int, default=None, help="for the same text again")

    drawer = command(
        "draw",
        draw_command,
        "Draw one step of a model's LSTM, or the gradient's way back through many.",
        'minigrad draw minigrad-demo/model --steps 12 --grad norm -o path.svg --text "to be"',
    )
    drawer.add_argument("model", type=Path, help="a folder written by demo or train")
    drawer.add_argument("--level", choices=("cells", "ops"), default="cells", help="how fine")
    drawer.add_argument("--steps", type=positive_int, default=12, help="time steps")
    drawer.add_argument("--grad", choices=("norm",), default="norm", help="what the arrows show")
    drawer.add_argument("--text", default=None, help="what the model reads while it is drawn")
    drawer.add_argument("--theme", choices=("light", "dark"), default="light", help="colours")
    drawer.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("drawing.svg"),
        help=".svg, .html, .png, .pdf, .dot, .json or .txt",
    )
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


def make_folder(folder: Path) -> None:
    """Make a folder to write to, or say why it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"--out {folder}: this folder cannot be written ({error.strerror}); choose another one"
        ) from error


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


def draw_command(options: argparse.Namespace) -> None:
    """`minigrad draw`."""
    model = CharacterModel.load(options.model)
    if model.tokenizer is None:
        raise ValueError(f"{options.model} has no tokenizer, so no text can be read into it")
    text = options.text
    if text is None:
        text = "".join(model.generate("\n", options.steps + 1, generator=np.random.default_rng(0)))
    codes = model.tokenizer.encode(text)
    if len(codes) < 2:
        raise ValueError(f"--text must have at least 2 characters, got {text!r}")
    steps = min(options.steps, len(codes) - 1)
    if options.level == "ops":
        drawing = draw_step(model, codes[:1], options.theme)
    else:
        drawing = draw_gradient_path(model, codes[None, :steps], int(codes[steps]), options.theme)
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    drawing.save(options.out)
    shown = "one step" if options.level == "ops" else f"{steps} steps"
    if options.text is not None and options.level == "cells" and steps < options.steps:
        shown += f" (the text has {len(codes)} characters; the last is what is predicted)"
    print(f"written to {options.out}: {shown}")


if __name__ == "__main__":
    sys.exit(main())
