"""From a model's name on the command line to a loss on the tape: built-in ones and checkpoints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import minigrad as mg
from layers.cli.arguments import natural_int, positive_int, positive_weight, refuse, weight_float
from layers.cli.saved import Source, saved
from layers.examples.showcase import FORGETTING, NAMES, RECURRENT, REMEMBERING, build, unknown_name
from minigrad import Tensor
from minigrad.restoring import errstate

if TYPE_CHECKING:
    pass

__all__ = ["add_model_options", "load"]

STEPS = 12


def add_model_options(parser: argparse.ArgumentParser, steps: str) -> None:
    """The sizes of built-in models, and what a checkpoint reads; `steps` tells the default."""
    parser.add_argument("--steps", type=positive_int, help=f"time steps; {steps}")
    parser.add_argument(
        "--hidden-size", type=positive_int, help="of a built-in model; 8 unless given"
    )
    parser.add_argument("--layers", type=positive_int, help="of a built-in model; 1 unless given")
    parser.add_argument("--batch", type=positive_int, help="sequences at once; 2 unless given")
    parser.add_argument(
        "--gain",
        type=positive_weight,
        help="make the recurrent matrices of built-in models orthogonal, times this",
    )
    parser.add_argument(
        "--forget-bias",
        type=weight_float,
        help=f"what the forget gates' biases of a built-in {' or '.join(FORGETTING)} begin with: "
        f"{REMEMBERING:g} unless given, so that it remembers; 0 is what layers draw them around",
    )
    parser.add_argument(
        "--seed",
        type=natural_int,
        default=0,
        help="of weights and inputs, or of the text that a model writes",
    )
    parser.add_argument(
        "--text",
        help="what a saved model reads, its last character predicted, or translates; else it reads "
        "its own",
    )


def load(name: str, options: argparse.Namespace, steps: int = STEPS) -> Source:
    """Run the model of a name, every operation recorded.

    Args:
        name: of a built-in model, or a checkpoint's folder.
        options: what `add_model_options` added.
        steps: how many if the options do not say.

    Raises:
        ValueError, FileNotFoundError: where there is no such model; for options that do not fit.
    """
    steps = options.steps or steps
    if name in NAMES:
        with errstate(all="ignore"):  # what overflows is shown, and said in the diagnosis
            return built_in(name, options, steps)
    path = Path(name)
    if path.is_dir():
        refuse(
            options,
            "hidden-size layers batch gain forget-bias",
            f"is for built-in models; {name} is saved",
        )
        return saved(path, options, steps)
    if path.is_file():
        raise ValueError(f"{name} is a file, not a model: pass a built-in name or a model's folder")
    if len(path.parts) != 1 or path.suffix:
        raise FileNotFoundError(
            f"there is no file or folder {name!r}; `minigrad demo` and `minigrad train` write "
            f"folders, and built in are {', '.join(NAMES)}"
        )
    raise ValueError(f"{unknown_name(name)} (and there is no folder of that name)")


def built_in(name: str, options: argparse.Namespace, steps: int) -> Source:
    """A model of `layers.examples.showcase`."""
    recurrent = name in RECURRENT
    given = {
        key: value
        for key in ("hidden_size", "layers", "batch")
        if (value := getattr(options, key)) is not None
    }
    given["gain"] = options.gain if recurrent else None
    bias = options.forget_bias if name in FORGETTING else None
    given |= {"steps": steps, "seed": options.seed}
    with mg.recording(fused=False):
        module, inputs, loss = build(name, forget_bias=bias, **given)
        outputs = None if recurrent else module(*inputs)  # (batch, classes)
    remarks: tuple[str, ...] = ()
    if name in FORGETTING and steps > 1:
        chosen = REMEMBERING if bias is None else bias
        other = REMEMBERING if chosen == 0 else 0.0
        again = build(name, forget_bias=other, **given).loss
        remarks = (forget_remark(chosen, loss, other, again),)
    return Source(name, loss, steps, recurrent, outputs, inputs, remarks=remarks)


def forget_remark(bias: float, loss: Tensor, other: float, again: Tensor) -> str:
    """How far the gradient falls along the cell state with two forget biases, in a sentence."""
    from minigrad.draw import backprop_through_time

    words = []
    for chosen, run in ((bias, loss), (other, again)):
        lags, norms = backprop_through_time(run).lane("c").by_lag
        kept = f"{norms[-1] / norms[0]:.2g}" if norms[0] else "0"
        words.append((f"{chosen:g}", f"{1 / (1 + np.exp(-chosen)):.2g}", kept, len(lags) - 1))
    (a, gate, kept, lag), (b, other_gate, other_kept, _) = words
    return (
        f"The forget gates begin near {gate} (forget bias {a}): {lag} steps back, {kept} times the "
        f"gradient along c is left. With forget bias {b} they begin near {other_gate}, and "
        f"{other_kept} times is left."
    )
