"""`minigrad demo`: train a character LSTM, compare, generate, and draw how its gradient flows."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minigrad as mg
from layers.datasets import CharacterTokenizer, shakespeare, split, validation_batches
from layers.examples.pictures import draw_gradient_path, draw_step
from layers.models.character import CharacterConfig, CharacterModel
from layers.models.ngram import NGram
from layers.training import History, fit_text, mean_loss
from layers.training.interrupts import Terminated
from layers.training.loss_plots import plot_losses
from minigrad.io.packages import MissingPackageError

__all__ = ["DemoOptions", "run_demo"]

GENERATED = 300  # characters
DRAWN_STEPS = 12
PATH_PICTURE = "gradient-path"
TEXT_SHOWN = "the question"  # what the drawn LSTM reads: as many characters as steps


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration does.

    Attributes:
        steps, seconds: how long to train; whichever ends first.
        out: the folder for everything it writes.
        seed: of the weights, the windows and the generated text.
    """

    steps: int | None = None
    seconds: float | None = 60.0
    out: Path = Path("minigrad-demo")
    seed: int = 0


def run_demo(options: DemoOptions) -> None:
    """Run the demonstration and say what it wrote."""
    options.out.mkdir(parents=True, exist_ok=True)
    mg.seed(options.seed)
    text = shakespeare()
    tokenizer = CharacterTokenizer.from_text(text)
    training, validation = split(tokenizer.encode(text))
    model = CharacterModel(CharacterConfig(len(tokenizer)), tokenizer)
    print(
        f"Text: {len(text):,} characters of Shakespeare, {len(tokenizer)} distinct; "
        "trained on the first 90 %, validated on the rest.\n"
        f"Model: a character LSTM with {model.config.hidden_size} units, "
        f"{model.parameter_count():,} parameters. Ctrl-C ends training early and keeps it.",
        flush=True,
    )
    try:
        history = fit_text(
            model, training, steps=options.steps, seconds=options.seconds, seed=options.seed
        )
    except Terminated:
        model.save(options.out / "model")
        print(f"\nKeeping the model as it is, in {options.out / 'model'}/.", flush=True)
        raise
    if history.interrupted:
        print("\nInterrupted: going on with the model as it is.")
    written: list[tuple[str, str]] = []
    model.save(options.out / "model")
    written.append(
        ("model/", f"the model; `minigrad sample {options.out / 'model'}` goes on with it")
    )

    tables = {
        name: NGram(order, len(tokenizer)).fit(training).cross_entropy(validation)
        for name, order in (("bigram table", 2), ("trigram table", 3))
    }
    loss = mean_loss(model, validation_batches(validation))
    recent = history.recent_loss(100)
    print(f"\n{history.step} steps in {history.seconds:.0f} s. Nats per character:")
    print(f"  {'LSTM, training (last 100 steps)':34}{recent:.3f}")
    print(f"  {'LSTM, validation':34}{loss:.3f}")
    for name, value in tables.items():
        print(f"  {name + ', validation':34}{value:.3f}")

    print(f"\n{GENERATED} characters that the model writes:\n" + "-" * 60)
    sample = model.generate("\n", GENERATED, generator=np.random.default_rng(options.seed))
    for character in sample:
        print(character, end="", flush=True)
    print("\n" + "-" * 60)

    written += draw_all(model, options.out, history, loss, tables)
    print(f"\nWritten to {options.out}/:")
    for name, what in written:
        print(f"  {name:22} {what}")
    print(look_first(options.out, [name for name, _ in written]))


def look_first(out: Path, written: list[str]) -> str:
    """Which of the files to look at, and with what."""
    if f"{PATH_PICTURE}.svg" in written:
        return f"Look first at {out / PATH_PICTURE}.svg, in a browser."
    return (
        f"Look first at {out / PATH_PICTURE}.dot: it is text that any viewer of Graphviz files "
        "shows. Python shows it too once this is installed: "
        "python -m pip install pygraphviz"
    )


def draw_all(
    model: CharacterModel,
    out: Path,
    history: History,
    validation: float,
    tables: dict[str, float],
) -> list[tuple[str, str]]:
    """Make the pictures; a missing optional package costs its picture and nothing else."""
    assert model.tokenizer is not None
    written: list[tuple[str, str]] = []
    token_ids = model.tokenizer.encode(TEXT_SHOWN)[None, :DRAWN_STEPS]
    target = int(model.tokenizer.encode(",")[0])
    try:
        if history.step:
            plot_losses(
                out / "loss.png",
                {"training": history},
                title="A character LSTM learns",
                y="nats per character",
                lines={
                    f"{name}, validation: {value:.3f}": value
                    for name, value in {"LSTM": validation, **tables}.items()
                },
            )
            written.append(("loss.png", "the loss curve"))
    except MissingPackageError as error:
        print(f"loss.png was not written: {error}", file=sys.stderr)
    drawings = {
        "lstm-step": (draw_step(model, token_ids[:, 0]), "every operation of one LSTM step"),
        PATH_PICTURE: (
            draw_gradient_path(model, token_ids, target),
            f"the gradient's way back through {DRAWN_STEPS} steps, in lanes for c and h",
        ),
    }
    for name, (drawing, what) in drawings.items():
        try:
            drawing.save(out / f"{name}.svg")
            written.append((f"{name}.svg", what))
        except MissingPackageError as error:
            drawing.save(out / f"{name}.dot")
            written.append((f"{name}.dot", f"{what}, not laid out"))
            print(f"{name}.svg was not written: {error}", file=sys.stderr)
    return written
