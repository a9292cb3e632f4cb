"""`minigrad sample`: what a trained model writes, forecasts, translates or draws."""

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np

from layers.base.module import Module
from layers.base.module_state import not_finite
from layers.cli.arguments import (
    AddCommand,
    check_output,
    finite_float,
    natural_int,
    positive_float,
    positive_int,
    refuse,
)
from layers.cli.data import SERIES_OPTIONS, add_data_options
from layers.cli.runs import PICTURES, save_picture, tell
from layers.cli.saved import check_letters
from layers.cli.series import write_forecast
from layers.datasets import digit_captions, digits
from layers.datasets.captions import check_caption
from layers.models import (
    DALLE,
    DiscreteVAE,
    SeriesModel,
    TextModel,
    TranslationModel,
    load,
)
from layers.training.plots import plot_pictures

__all__ = ["add_sample", "in_characters"]

MORE = """
MODEL is a folder that demo, train or run wrote. A model of text goes on with PROMPT, character
by character; a model of a series forecasts, from --data or from the end of what it learned; a
translation model translates PROMPT; DALL-E draws PROMPT; a discrete VAE encodes a digit.
"""

SHADES: Final = " .:-=+*#%@"


def add_sample(command: AddCommand) -> None:
    """Add the command to the parser."""
    parser = command(
        "sample",
        sample_command,
        "Let a trained model write, forecast, translate or draw.",
        'minigrad sample minigrad-demo/model "ROMEO:" --length 500 --temperature 0.8',
        'minigrad sample my-model "Once" --top-k 5 --stop "." --stop "THE END"',
        "minigrad sample my-forecast --length 24 --data rain.csv --column rain --out rain.png",
        'minigrad sample minigrad-runs/translation/model "two hundred and one"',
        'minigrad sample minigrad-runs/dalle/model "draw a seven" --out seven.png',
        more=MORE,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model's folder")
    parser.add_argument(
        "prompt", nargs="?", metavar="PROMPT", help="text to go on from, to translate or to draw"
    )
    parser.add_argument(
        "--length", type=positive_int,
        help="characters to write (300 unless given), or steps to forecast (12)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=finite_float,
        help="0: always the likeliest; unless given 1 for text, 0 for translations, 0.7 for DALL-E",
    )  # fmt: skip
    parser.add_argument("--top-k", type=positive_int, help="draw from the k likeliest alone")
    parser.add_argument(
        "--top-p", type=positive_float, help="draw from the fewest that have this probability"
    )
    parser.add_argument("--beams", type=positive_int, help="search with so many candidates")
    parser.add_argument(
        "--stop", action="append", metavar="TEXT",
        help="text that ends what is written, as a whole; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--no-cache", action="store_true", help="read everything anew at each step: same result"
    )
    parser.add_argument("--seed", type=natural_int, default=None, help="for the same result again")
    parser.add_argument(
        "--data", type=Path, help="a CSV file to forecast from; - for standard input"
    )
    parser.add_argument(
        "-o", "--out", type=Path,
        help="the picture of a forecast (forecast.png unless given) or drawing (drawing.png)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_data_options(parser)


def sample_command(options: argparse.Namespace) -> None:
    """`minigrad sample`."""
    model = load(options.model)
    bad = not_finite(model) if isinstance(model, Module) else ""  # counts are whole numbers
    if bad:  # such a model may still give words, or a forecast
        raise ValueError(
            f"{options.model}: the model is of no use, as it is not finite: {bad}; train it again, "
            "or take one that was not damaged"
        )
    if not isinstance(model, SeriesModel):
        refuse(
            options,
            f"data {SERIES_OPTIONS} encoding",
            f"is for forecasts; {options.model} is a {model.KIND}",
        )
    if isinstance(model, SeriesModel | DiscreteVAE):
        refuse(options, "temperature top-k top-p beams stop",
               f"has no effect on a model of the kind {model.KIND}")  # fmt: skip
    if isinstance(model, TextModel):
        write_text(model, options)
    elif isinstance(model, SeriesModel):
        write_forecast(model, options)
    elif isinstance(model, TranslationModel):
        write_translation(model, options)
    elif isinstance(model, DALLE):
        draw_caption(model, options)
    else:
        draw_reconstruction(model, options)


def choices(options: argparse.Namespace, **usual: Any) -> dict[str, Any]:
    """The options of decoding that were given, or their usual values."""
    names = ("temperature", "top_k", "top_p", "beams")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if given.get("beams", 1) > 1:
        usual.pop("temperature", None)
    return {
        **usual,
        **given,
        "cache": not options.no_cache,
        "generator": np.random.default_rng(options.seed),
    }


def write_text(model: TextModel, options: argparse.Namespace) -> None:
    """Characters as they come."""
    refuse(options, "out", "is for pictures; this model writes text")
    if model.tokenizer is not None:
        check_letters(model, options.prompt or "", "PROMPT")
    text = model.generate(
        options.prompt, options.length or 300, stop=options.stop or (), **choices(options)
    )
    if options.json:
        tell(options, model, text="".join(text))
        return
    start = (options.prompt or "").lstrip("\n")
    for character in text:
        print(start + character, end="", flush=True)
        start = ""
    print(start)


def write_translation(model: TranslationModel, options: argparse.Namespace) -> None:
    """One target."""
    refuse(options, "out stop", "has no effect on translations")
    if not options.prompt:
        raise ValueError("pass the text to translate as PROMPT")
    (text,) = model.translate([options.prompt], length=options.length, **choices(options))
    if options.json:
        tell(options, model, text=text)
    else:
        print(text)


def in_characters(picture: np.ndarray[Any, Any]) -> str:
    """A grey picture as text, two characters for each point.

    >>> print(in_characters(np.array([[0.0, 1.0], [0.5, 0.0]])))
      @@
    ++
    """
    levels = np.clip((picture * (len(SHADES) - 1) + 0.5).astype(int), 0, len(SHADES) - 1)
    return "\n".join("".join(2 * SHADES[level] for level in row).rstrip() for row in levels)


def draw_caption(model: DALLE, options: argparse.Namespace) -> None:
    """A drawing in characters, and as a file."""
    refuse(options, "stop length", "has no effect on drawings")
    out = options.out or Path("drawing.png")
    check_output(out, PICTURES)
    caption = "a seven" if options.prompt is None else options.prompt
    check_known(model, caption)
    codes = np.stack(list(model.stream([caption], **choices(options))), axis=1)
    picture = model.vae.decode(codes)
    show_pictures(model, options, out, {caption: picture[0]}, codes)


def check_known(model: DALLE, caption: str) -> None:
    """Refuse a caption that a model of the digits did not learn.

    Raises:
        ValueError: as said, with the captions that it knows.
    """
    letters = set("".join("".join(digit_captions(label)) for label in range(10)))
    if model.tokenizer is None or set(model.tokenizer.characters) != letters:
        return  # it learned other captions
    try:
        check_caption(caption)
    except ValueError as unknown:
        size = model.config.caption_length
        long = f"; and it reads at most caption_length={size} characters"
        raise ValueError(f"{unknown}{long if len(caption) > size else ''}") from None


def draw_reconstruction(model: DiscreteVAE, options: argparse.Namespace) -> None:
    """A digit, its codes and what is left of it."""
    refuse(options, "length", "has no effect on drawings")
    out = options.out or Path("drawing.png")
    check_output(out, PICTURES)
    asked = "7" if options.prompt is None else options.prompt
    if asked not in tuple("0123456789"):
        raise ValueError(f"PROMPT must be a digit to encode, 0 to 9, got {asked!r}")
    pictures, labels = digits()
    shown = pictures[labels == int(asked)][-1:] / np.float32(16)  # one that is not trained on
    codes = model.encode(shown.astype(np.float32))
    show_pictures(
        model, options, out, {"original": shown[0], "from its codes": model.decode(codes)[0]}, codes
    )


def show_pictures(
    model: Any,
    options: argparse.Namespace,
    out: Path,
    pictures: dict[str, Any],
    codes: np.ndarray[Any, Any],
) -> None:
    """Print pictures, and save them side by side."""
    if options.json:
        tell(options, model, codes=codes[0].tolist(),
             pictures={name: picture.tolist() for name, picture in pictures.items()})  # fmt: skip
    else:
        for name, picture in pictures.items():
            print(f"{name}:\n{in_characters(picture)}\n")
        print(f"codes: {' '.join(str(code) for code in codes[0])}")
    save_picture(
        options,
        out,
        lambda: plot_pictures(
            out, list(pictures.values()), labels=list(pictures), title="", columns=len(pictures)
        ),
    )
