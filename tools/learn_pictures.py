"""The pictures of the Learn page, `docs/gallery/learn`, that the gallery does not have.

    minigrad run --all --out minigrad-runs
    python -m tools.learn_pictures minigrad-runs

draws those of `DRAWN` with `minigrad draw`, light and dark, and takes those of `TAKEN` out of the
folder that `minigrad run --all` wrote, so that each is what the command on the page gives. Without
a folder it draws alone. Plots are made smaller, as they have few colours,
and get a twin for dark pages.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from layers.cli import main as minigrad

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "DRAWN", "FOLDER", "TAKEN", "darkened", "draw", "take"]

FOLDER: Final = Path(__file__).parents[1] / "docs" / "gallery" / "learn"

DRAWN: Final = {
    "rnn": "draw rnn --steps 7",
    "gru": "draw gru --steps 7",
    "self-attention": "draw encoder --level ops --steps 4 --focus stack.layers.0.self_attn",
    "gpt": "draw gpt --layers 4 --roll",
}
"""Pictures and their commands, as the page shows them."""

TAKEN: Final = (
    "sequences/padded-batch.svg",
    "markov/n-grams.png",
    "latent/by-horizon.png",
    "dependencies/adding.png",
    "gradients/gradient-norms.png",
    "lstm/gates.png",
    "multi-head/pronouns.svg",
    "multi-head/heads.png",
    "positions/positions.png",
    "masked-decoder/future.png",
    "translation/attention.png",
    "attention-cost/memory.png",
    "gpt/loss.png",
    "dalle/drawings.png",
    "dalle/reconstructions.png",
)
"""Pictures that systems write, `SYSTEM/FILE`."""

COLOURS: Final = 128
DARK: Final = 0.075
"""What white becomes on a dark page, which is about as dark."""


def draw(folder: Path) -> None:
    """Draw `DRAWN` into a folder, `NAME-light.svg` and `NAME-dark.svg`."""
    for name, command in DRAWN.items():
        for theme in ("light", "dark"):
            out = folder / f"{name}-{theme}.svg"
            if minigrad([*shlex.split(command), "--theme", theme, "-o", str(out)]):
                raise RuntimeError(f"minigrad {command} failed")


def take(runs: Path, folder: Path) -> None:
    """Take `TAKEN` from what `minigrad run --all` wrote, as `SYSTEM-FILE`; plots also in dark."""
    from PIL import Image

    for path in TAKEN:
        out = folder / path.replace("/", "-")
        if out.suffix == ".svg":
            shutil.copyfile(runs / path, out)
            continue
        with Image.open(runs / path) as picture:
            light = picture.convert("RGB")
        for colours, name in ((light, out.name), (darkened(light), f"{out.stem}-dark{out.suffix}")):
            small = colours.quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(folder / name, optimize=True)


def darkened(picture: "Image") -> "Image":
    """A plot for dark pages: what is grey is turned round, from `DARK` to white; colours stay."""
    from PIL import Image

    pixels = np.asarray(picture, np.float64) / 255
    highest = pixels.max(axis=2, keepdims=True)
    spread = highest - pixels.min(axis=2, keepdims=True)
    saturation = np.divide(spread, highest, out=np.zeros_like(spread), where=highest > 0)
    turned = DARK + (1 - DARK) * (1 - pixels)
    mixed = saturation * pixels + (1 - saturation) * turned
    return Image.fromarray((255 * mixed).round().astype(np.uint8))


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.learn_pictures", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="?", help="what `minigrad run --all` wrote")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw(FOLDER)
    if options.runs:
        take(options.runs, FOLDER)
    files = sorted(FOLDER.iterdir())
    print(f"{len(files)} pictures, {sum(path.stat().st_size for path in files) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
