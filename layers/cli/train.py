"""`minigrad train`: models of your own texts, series and pairs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.cli.arguments import (
    AddCommand,
    add_length,
    natural_int,
    positive_float,
    positive_int,
    probability,
    refuse,
    seconds_of,
    weight_float,
)
from layers.cli.data import SERIES_OPTIONS, add_data_options, source_of
from layers.cli.runs import (
    TRAINING,
    digest,
    given,
    inform,
    kept,
    outcome,
    prepare_folder,
    tell_resuming,
)
from layers.cli.series import train_series
from layers.datasets import (
    CharacterTokenizer,
    number_words,
    read_pairs,
    read_text,
    shakespeare,
    split,
)
from layers.datasets.columns.numerals import is_number
from layers.datasets.columns.time_labels import read_times
from layers.models import (
    GPT,
    CharacterConfig,
    CharacterModel,
    GPTConfig,
    NGramConfig,
    NGramModel,
    TranslationConfig,
    TranslationModel,
)
from layers.models.saving import WEIGHTS_FILE
from layers.models.yardsticks import text_yardsticks
from layers.training import fit_pairs, fit_text
from layers.training.interrupts import Terminated
from minigrad.io import serialize
from minigrad.io.documents import spell

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
source, tab and target for translation; - reads standard input. Left out, data that are shipped
are learned: Shakespeare, the sunspots, numbers in words. The last tenth of a text, of a series or
of the pairs is for validation. Beside the model's figure stand those of simple models.
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
        "minigrad train rain.csv --separator ';' --decimal , --missing interpolate",
        "minigrad train pairs.tsv --model translation --seconds 300",
        "zcat old.txt.gz | minigrad train - --encoding cp1252",
        "minigrad train my.txt --steps 4000 --out my-model --resume",
        more=MORE,
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", type=Path, help="data of your own; - for standard input"
    )
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
        "--exact", action="store_true",
        help="resume bit for bit, or not at all: by the back end of before",
    )  # fmt: skip
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="run steps as they are written, not as programs",
    )
    parser.add_argument(
        "--hidden-size", type=positive_int, help="units; 128 unless given, latent 8"
    )
    parser.add_argument("--layers", type=positive_int, help="layers of lstm, gru, rnn, gpt")
    parser.add_argument(
        "--forget-bias", type=weight_float, help="what the forget gates' biases of lstm begin with"
    )
    parser.add_argument("--order", type=positive_int, help="of ngram (5 unless given) and ar (2)")
    parser.add_argument("--rate", type=positive_float, help="highest learning rate")
    parser.add_argument(
        "--dropout", type=probability, help="share of features zeroed in training; 0 unless given"
    )
    parser.add_argument("--seed", type=natural_int, default=0, help="of weights and batches")
    parser.add_argument(
        "--checkpoint-seconds", type=positive_float, metavar="SECONDS",
        help="longest time between checkpoints; 60 unless given",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint-every", type=positive_int, metavar="STEPS",
        help="steps between checkpoints; 250 unless given",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_data_options(parser)


def train_command(options: argparse.Namespace) -> None:
    """`minigrad train`."""
    options.told_kind = options.model is not None
    if not options.told_kind:
        options.model = usual_kind(options)
    kind = options.model
    chosen_by = "" if options.told_kind else told_by(options)
    for names, kinds in (
        (SERIES_OPTIONS, SERIES),
        ("order", ("ngram", "ar")),
        ("layers", ("lstm", "gru", "rnn", "gpt")),
        ("hidden-size", ("lstm", "gru", "rnn", "gpt", "latent")),
        ("dropout", ("lstm", "gru", "rnn", "gpt", "translation")),
        ("forget-bias", ("lstm",)),
        ("no-compile", ("lstm", "gru", "rnn", "gpt", "translation")),
    ):
        if kind not in kinds:
            refuse(
                options,
                names,
                f"has no effect on --model {kind}{chosen_by}; it is for {', '.join(kinds)}",
            )
    if kind in ("ngram", "ar"):
        refuse(
            options,
            "steps seconds rate resume exact checkpoint-seconds checkpoint-every",
            f"has no effect on {kind}{chosen_by}, which is counted or solved in one go",
        )
    if options.exact and not options.resume:
        raise ValueError("--exact is about going on with a run: pass --resume, too")
    if options.resume and options.overwrite:
        raise ValueError("--resume goes on with a run, and --overwrite drops it: pass one of them")
    train: Callable[[argparse.Namespace], dict[str, Any]] = train_text
    if kind in SERIES:
        train = train_series
    elif kind == "translation":
        train = train_translation
    try:
        found = train(options)
    except Terminated:
        tell_resuming(options)
        raise
    check_weights(options)
    if options.json:
        print(spell({"model": kind, "out": str(options.out), **found}))
        return
    told = {name: value for name, value in found.items() if name != "notes"}  # told before
    if "steps" in told:
        print(f"{told.pop('steps')} steps in {told.pop('seconds'):.0f} s")
    told.update({f"for comparison, {k}": v for k, v in told.pop("yardsticks", {}).items()})
    for name, value in [*told.pop("coefficients", {}).items(), *told.items()]:
        if value not in ("", None):
            shown = f"{value:.5g}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' ')}: {shown}")
    print(f"written to {options.out}/; go on with: minigrad sample {options.out}")


def usual_kind(options: argparse.Namespace) -> str:
    """What is trained when nothing is said, by the options of a series and the name of the file."""
    if any(getattr(options, name) is not None for name in SERIES_OPTIONS.split()):
        return "ar"
    suffix = "" if options.file is None else options.file.suffix.lower()
    return USUAL.get(suffix, "lstm")


def told_by(options: argparse.Namespace) -> str:
    """What made `usual_kind` choose, in parentheses, for messages; "" for a text model."""
    for name in SERIES_OPTIONS.split():
        if getattr(options, name) is not None:
            return f" (--{name} is for a series, so the file was taken for one)"
    suffix = "" if options.file is None else options.file.suffix.lower()
    return f" (which is what files named *{suffix} are learned by)" if suffix in USUAL else ""


def check_weights(options: argparse.Namespace) -> None:
    """Refuse to call a model trained whose weights are not finite.

    Raises:
        ValueError: as said.
    """
    for name, array in serialize.load(options.out / WEIGHTS_FILE).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            advice = "" if options.rate is None else f"; try a --rate below {options.rate:g}"
            raise ValueError(
                f"the model in {options.out} is of no use: its {name} is not finite{advice}"
            )


# -- texts -----------------------------------------------------------------------------------------


def train_text(options: argparse.Namespace) -> dict[str, Any]:
    """A model of a text."""
    if options.file is None:
        refuse(options, "encoding", "is for a file of your own")
        text = shakespeare()
    else:
        text = read_text(source_of(options.file), options.encoding)
    if len(text) < SHORTEST:
        raise ValueError(
            f"the text has {len(text)} characters: too few to train on, as a tenth is for "
            f"validation; pass a text of at least {SHORTEST}"
        )
    tokenizer = CharacterTokenizer.from_text(text)
    training, validation = split(tokenizer.encode(text))
    length = min(64, len(validation) - 1)
    folder = prepare_folder(options)  # now rather than after an hour of training
    own = (options.order or 5) if options.model == "ngram" else None
    orders = [order for order in (3, 5) if order != own]
    yardsticks = text_yardsticks(training, validation, len(tokenizer), orders)
    if not folder.has_run:
        folder.log(step=0, yardsticks=yardsticks)
    mg.seed(options.seed)
    if options.model == "ngram":
        config = NGramConfig(len(tokenizer), own or 5)
        counted = NGramModel(config, tokenizer).fit(training)
        with folder.held():
            counted.save(options.out)
            folder.drop_replaced()
        value = counted.cross_entropy(validation)
        folder.log(step=0, validation=value)
        return {
            "characters": len(text),
            "parameters": counted.parameter_count(),
            "validation_nats_per_character": value,
            "yardsticks": yardsticks,
        }
    model = text_model(options, tokenizer)
    inform(options, f"{len(text):,} characters, {len(tokenizer)} distinct; "
                    f"{model.parameter_count():,} parameters")  # fmt: skip
    told = ", ".join(f"{name} {value:.3f}" for name, value in yardsticks.items())
    inform(options, f"to beat, in nats per character: {told}")
    history = fit_text(
        model,
        training,
        validation,
        length=length,
        steps=options.steps,
        seconds=seconds_of(options),
        seed=options.seed,
        **given(options, *TRAINING),
        **kept(options, folder),
        identity={"text": digest(text.encode("utf-8", "surrogatepass"))},
    )
    return {**outcome(options, history, "validation_nats_per_character"), "yardsticks": yardsticks}


def text_model(options: argparse.Namespace, tokenizer: CharacterTokenizer) -> CharacterModel | GPT:
    """The network that the options describe."""
    size = options.hidden_size or 128
    if options.model == "gpt":
        heads = next(heads for heads in (4, 2, 1) if size % heads == 0)
        config = GPTConfig(
            len(tokenizer),
            num_layers=options.layers or 4,
            num_heads=heads,
            width=size,
            **given(options, "dropout"),
        )
        return GPT(config, tokenizer)
    return CharacterModel(
        CharacterConfig(
            len(tokenizer),
            hidden_size=size,
            num_layers=options.layers or 1,
            cell=options.model,
            **given(options, "dropout"),
            forget_bias=options.forget_bias,
        ),
        tokenizer,
    )


# -- pairs -----------------------------------------------------------------------------------------


def own_pairs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The pairs in the file.

    Raises:
        ValueError: where it has none, or looks like a series and nobody said what it is.
    """
    told = options.told_kind
    try:
        pairs = read_pairs(source_of(options.file), options.encoding)
    except ValueError as error:
        if told:
            raise
        raise ValueError(f"{error}; if it is a series, pass --model ar") from None
    sources, targets = zip(*(pairs[1:] or pairs), strict=True)  # the first may be a header
    if not told and all(map(is_number, targets)) and read_times(sources) is not None:
        raise ValueError(
            f"{options.file} looks like a series, with {targets[0]!r} at {sources[0]!r} and so on; "
            "pass --model ar to learn it as one, or --model translation"
        )
    return pairs


def train_translation(options: argparse.Namespace) -> dict[str, Any]:
    """A model that turns sources into targets."""
    if options.file is None:
        refuse(options, "encoding", "is for a file of your own")
        pairs = [(item.words, item.digits) for item in number_words()]
    else:
        pairs = own_pairs(options)
    if len(pairs) < 10:
        raise ValueError(f"there are {len(pairs)} pairs, too few to train on; pass at least 10")
    folder = prepare_folder(options)
    mg.seed(options.seed)
    source = CharacterTokenizer.from_text("".join(one for one, _ in pairs))
    target = CharacterTokenizer.from_text("".join(other for _, other in pairs))
    order = np.random.default_rng(0).permutation(len(pairs))
    training, validation = split([pairs[i] for i in order])
    longest = max(len(other) for _, other in pairs)
    config = TranslationConfig.preset(
        "small",
        source_size=len(source),
        target_size=len(target),
        longest=2 * longest,
        **given(options, "dropout"),
    )
    model = TranslationModel(config, source, target)
    inform(options, f"{len(pairs):,} pairs; {model.parameter_count():,} parameters")

    history = fit_pairs(
        model,
        training,
        validation[:VALIDATED],
        steps=options.steps,
        seconds=seconds_of(options),
        seed=options.seed,
        **given(options, *TRAINING),
        **kept(options, folder),
        identity={"pairs": digest(repr(pairs).encode("utf-8", "surrogatepass"))},
    )
    return outcome(options, history, "validation_share_wrong")
