"""`minigrad train`: models of your own texts, series and pairs."""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.cli_arguments import (
    AddCommand,
    add_length,
    make_folder,
    natural_int,
    positive_float,
    positive_int,
    real_float,
    refuse,
    seconds_of,
)
from layers.datasets import (
    CharacterTokenizer,
    number_words,
    read_pairs,
    read_series,
    read_text,
    shakespeare,
    split,
    sunspots,
)
from layers.models import (
    GPT,
    Autoregressive,
    AutoregressiveConfig,
    CharacterConfig,
    CharacterModel,
    GPTConfig,
    LatentAutoregressive,
    LatentConfig,
    NGramConfig,
    NGramModel,
    TranslationConfig,
    TranslationModel,
)
from layers.training import History, TrainingOptions, fit, fit_pairs, fit_text
from layers.training.run_folder import RunFolder

__all__ = ["add_train"]

TEXT: Final = ("lstm", "gru", "rnn", "gpt", "ngram")
SERIES: Final = ("ar", "latent")
SHORTEST: Final = 30  # characters of a text
VALIDATED: Final = 300  # pairs at most
KINDS: Final = (*TEXT, *SERIES, "translation")

USUAL: Final = {".csv": "ar", ".tsv": "translation"}
"""What is trained on files of these kinds when nothing is said; on others a text model."""

MORE = """
FILE is a text for lstm, gru, rnn, gpt and ngram; a CSV file for ar and latent; and lines of
source, tab and target for translation. Left out, data that are shipped are learned: Shakespeare,
the sunspots, numbers in words. The last tenth of a text, or of the pairs, is for validation.
Ctrl-C ends training and keeps what there is; --resume goes on with it.
"""


def add_train(command: AddCommand) -> None:
    """Add the command to the parser."""
    parser = command(
        "train",
        train_command,
        "Train a model on data of your own.",
        "minigrad train my.txt --seconds 120 --hidden-size 256 --out my-model",
        "minigrad train my.txt --model gpt --steps 2000 --out my-gpt",
        "minigrad train rain.csv --model ar --column rain --order 3 --out my-forecast",
        "minigrad train pairs.tsv --model translation --seconds 300",
        "minigrad train my.txt --steps 4000 --out my-model --resume",
        more=MORE,
    )
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="data of your own")
    parser.add_argument(
        "--model",
        choices=KINDS,
        help="what to train; unless given ar for .csv files, translation for .tsv, else lstm",
    )
    add_length(parser)
    parser.add_argument("--out", type=Path, default=Path("minigrad-model"), help="model folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run that is in the folder"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="begin anew, in place of the run in the folder"
    )
    parser.add_argument(
        "--hidden-size", type=positive_int, help="units; 128 unless given, latent 8"
    )
    parser.add_argument("--layers", type=positive_int, help="layers of lstm, gru, rnn, gpt")
    parser.add_argument(
        "--forget-bias", type=real_float, help="what the forget gates' biases of lstm begin with"
    )
    parser.add_argument("--order", type=positive_int, help="of ngram (5 unless given) and ar (2)")
    parser.add_argument("--column", help="of the CSV file; the last with numbers unless given")
    parser.add_argument("--rate", type=positive_float, help="highest learning rate")
    parser.add_argument("--seed", type=natural_int, default=0, help="of weights and batches")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def train_command(options: argparse.Namespace) -> None:
    """`minigrad train`."""
    if options.model is None:
        suffix = "" if options.file is None else options.file.suffix.lower()
        options.model = USUAL.get(suffix, "lstm")
    kind = options.model
    for names, kinds in (
        ("column", SERIES),
        ("order", ("ngram", "ar")),
        ("layers", ("lstm", "gru", "rnn", "gpt")),
        ("hidden-size", ("lstm", "gru", "rnn", "gpt", "latent")),
        ("forget-bias", ("lstm",)),
    ):
        if kind not in kinds:
            refuse(options, names, f"has no effect on --model {kind}; it is for {', '.join(kinds)}")
    if kind in ("ngram", "ar"):
        refuse(options, "steps seconds rate resume", f"has no effect on {kind}, which is counted "
               "or solved in one go")  # fmt: skip
    if options.resume and options.overwrite:
        raise ValueError("--resume goes on with a run, and --overwrite drops it: pass one of them")
    train: Callable[[argparse.Namespace], dict[str, Any]] = train_text
    if kind in SERIES:
        train = train_series
    elif kind == "translation":
        train = train_translation
    found = train(options)
    if options.json:
        print(json.dumps({"model": kind, "out": str(options.out), **found}))
        return
    told = dict(found)
    if "steps" in told:
        print(f"{told.pop('steps')} steps in {told.pop('seconds'):.0f} s")
    for name, value in told.items():
        if value not in ("", None):
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' ')}: {shown}")
    print(f"written to {options.out}/; go on with: minigrad sample {options.out}")


def prepare_folder(options: argparse.Namespace) -> None:
    """Make the folder, and refuse one with a run that is not to be touched."""
    make_folder(options.out)
    if options.overwrite:
        RunFolder(options.out, resume=True).clear()
    RunFolder(options.out, resume=options.resume)


def outcome(options: argparse.Namespace, history: History, measure: str) -> dict[str, Any]:
    """What is told of a run."""
    if history.interrupted:
        say(options, "\nInterrupted: keeping the model as it is; --resume goes on.")
    elif history.resumed == history.step:
        say(options, "The run is at its end already: pass more --steps, or more --seconds.")
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


# -- texts -----------------------------------------------------------------------------------------


def train_text(options: argparse.Namespace) -> dict[str, Any]:
    """A model of a text."""
    text = shakespeare() if options.file is None else read_text(options.file)
    if len(text) < SHORTEST:
        raise ValueError(
            f"the text has {len(text)} characters: too few to train on, as a tenth is for "
            f"validation; pass a text of at least {SHORTEST}"
        )
    tokenizer = CharacterTokenizer.from_text(text)
    training, validation = split(tokenizer.encode(text))
    length = min(64, len(validation) - 1)
    prepare_folder(options)  # now rather than after an hour of training
    mg.seed(options.seed)
    if options.model == "ngram":
        config = NGramConfig(len(tokenizer), options.order or 5)
        counted = NGramModel(config, tokenizer).fit(training)
        counted.save(options.out)
        return {
            "characters": len(text),
            "parameters": counted.parameter_count(),
            "validation_nats_per_character": counted.cross_entropy(validation),
        }
    model = text_model(options, tokenizer)
    say(options, f"{len(text):,} characters, {len(tokenizer)} distinct; "
                 f"{model.parameter_count():,} parameters")  # fmt: skip
    history = fit_text(
        model,
        training,
        validation,
        length=length,
        steps=options.steps,
        seconds=seconds_of(options),
        seed=options.seed,
        **({} if options.rate is None else {"rate": options.rate}),
        folder=options.out,
        resume=options.resume,
        identity={"text": digest(text.encode("utf-8", "surrogatepass"))},
    )
    return outcome(options, history, "validation_nats_per_character")


def text_model(options: argparse.Namespace, tokenizer: CharacterTokenizer) -> CharacterModel | GPT:
    """The network that the options describe."""
    size = options.hidden_size or 128
    if options.model == "gpt":
        heads = next(heads for heads in (4, 2, 1) if size % heads == 0)
        config = GPTConfig(
            len(tokenizer), num_layers=options.layers or 4, num_heads=heads, width=size
        )
        return GPT(config, tokenizer)
    return CharacterModel(
        CharacterConfig(
            len(tokenizer),
            hidden_size=size,
            num_layers=options.layers or 1,
            cell=options.model,
            forget_bias=options.forget_bias,
        ),
        tokenizer,
    )


def say(options: argparse.Namespace, text: str) -> None:
    """Tell something on the way, unless the output is JSON."""
    if not options.json:
        print(text, flush=True)


# -- series ----------------------------------------------------------------------------------------


def train_series(options: argparse.Namespace) -> dict[str, Any]:
    """A model of a series; its last tenth is for validation, and learned too in the end by AR."""
    if options.file is None:
        refuse(options, "column", "is for a CSV file of your own")
        values = sunspots()[1]
    else:
        values = read_series(options.file, options.column).values
    prepare_folder(options)
    training, validation = split(values)
    if options.model == "ar":
        order = options.order or 2
        if len(training) < 2 * order + 1:
            raise ValueError(
                f"the series has {len(values)} values, too few for --order {order}: nine tenths of "
                f"them must be at least {2 * order + 1}"
            )
        model = Autoregressive(AutoregressiveConfig(order)).fit_least_squares(training)
        error = held_out_error(model, values, len(validation))
        model.fit_least_squares(values)
        model.save(options.out)
        return {
            "values": len(values),
            "coefficients": ", ".join(f"{c:.5g}" for c in model.coefficients),
            "validation_root_mean_squared_error": error,
        }
    mg.seed(options.seed)
    if len(training) < 10:
        raise ValueError(f"the series has {len(values)} values; a latent model needs at least 12")
    size = options.hidden_size or 8
    latent = LatentAutoregressive(LatentConfig(size)).standardize(training)
    history = fit(
        latent,
        lambda _: (training,),
        TrainingOptions(
            steps=options.steps or (None if options.seconds else 800),
            seconds=options.seconds,
            rate=options.rate or 0.01,
            warmup=20,
            validate_every=20,
            patience=10,
            seed=options.seed,
        ),
        validate=lambda: held_out_error(latent, values, len(validation)),
        folder=options.out,
        resume=options.resume,
        identity={"series": digest(np.ascontiguousarray(values).tobytes())},
    )
    latent.history = values  # forecasts go on from the end of all that is known
    latent.save(options.out)
    return outcome(options, history, "validation_root_mean_squared_error")


def held_out_error(model: Any, values: Any, count: int) -> float:
    """The root of the mean squared error of one-step forecasts of the last values."""
    misses = model.one_step(values)[-count:] - values[-count:]
    return float(np.sqrt(np.mean(misses**2)))


# -- pairs -----------------------------------------------------------------------------------------


def train_translation(options: argparse.Namespace) -> dict[str, Any]:
    """A model that turns sources into targets."""
    if options.file is None:
        pairs = [(item.words, item.digits) for item in number_words()]
    else:
        pairs = read_pairs(options.file)
    if len(pairs) < 10:
        raise ValueError(f"there are {len(pairs)} pairs, too few to train on; pass at least 10")
    prepare_folder(options)
    mg.seed(options.seed)
    source = CharacterTokenizer.from_text("".join(one for one, _ in pairs))
    target = CharacterTokenizer.from_text("".join(other for _, other in pairs))
    order = np.random.default_rng(0).permutation(len(pairs))
    training, validation = split([pairs[i] for i in order])
    longest = max(len(other) for _, other in pairs)
    config = TranslationConfig.preset(
        "small", source_size=len(source), target_size=len(target), longest=2 * longest
    )
    model = TranslationModel(config, source, target)
    say(options, f"{len(pairs):,} pairs; {model.parameter_count():,} parameters")

    history = fit_pairs(
        model,
        training,
        validation[:VALIDATED],
        steps=options.steps,
        seconds=seconds_of(options),
        seed=options.seed,
        **({} if options.rate is None else {"rate": options.rate}),
        folder=options.out,
        resume=options.resume,
        identity={"pairs": digest(repr(pairs).encode("utf-8", "surrogatepass"))},
    )
    return outcome(options, history, "validation_share_wrong")
