"""The pictures of the Learn page, `docs/gallery/learn`, that the gallery does not have.

    minigrad run --all --out minigrad-runs
    python -m tools.learn_pictures minigrad-runs

draws those of `DRAWN` with `minigrad draw`, light and dark, and takes those of `TAKEN` out of the
folder that `minigrad run --all` wrote, so that each is what the command on the page gives. Without
a folder it draws alone. Photographs of plots are made smaller: a plot has few colours.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from layers.cli import main as minigrad

__all__ = ["COLOURS", "DRAWN", "FOLDER", "TAKEN", "draw", "take"]

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


def draw(folder: Path) -> None:
    """Draw `DRAWN` into a folder, `NAME-light.svg` and `NAME-dark.svg`."""
    for name, command in DRAWN.items():
        for theme in ("light", "dark"):
            out = folder / f"{name}-{theme}.svg"
            if minigrad([*shlex.split(command), "--theme", theme, "-o", str(out)]):
                raise RuntimeError(f"minigrad {command} failed")


def take(runs: Path, folder: Path) -> None:
    """Take `TAKEN` from what `minigrad run --all` wrote, as `SYSTEM-FILE`."""
    from PIL import Image

    for path in TAKEN:
        out = folder / path.replace("/", "-")
        if out.suffix == ".svg":
            shutil.copyfile(runs / path, out)
        else:
            with Image.open(runs / path) as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
                    out, optimize=True
                )


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
