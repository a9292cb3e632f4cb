"""Coloured pictures inside of figures keep their colours on dark pages.

On a dark page the style sheet, `docs/_static/site.css`, turns the lightness of a cell's figure
round. In a heat map that would turn the scale round, too, and its darkest part, often the largest,
would shine. So the picture in the figure is turned back. Grey ones, such as digits, stay turned.

A figure is a file, which learns of the page's theme by the property `color-scheme` of its `img`.
Browsers that do not hand it on show the turned scale; its colour bar is right in both cases.
"""

import base64
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["keeping_colours", "setup"]

OF_A_CELL: Final = re.compile(r"[0-9a-f]{64}\.svg")
PICTURE: Final = re.compile(r'href="data:image/png;base64,([^"]*)"')
STYLE: Final = (
    "<style>@media (prefers-color-scheme: dark) "
    "{ image { filter: invert(1) hue-rotate(180deg) } }</style>"
)
COLOURED: Final = 0.1
"""The mean spread between the channels, from 0 to 1, from which on a picture counts as coloured."""


def keeping_colours(svg: str) -> str:
    """A figure whose coloured pictures are turned back on a dark page; others are as they were."""
    if STYLE in svg or not any(_is_coloured(data) for data in PICTURE.findall(svg)):
        return svg
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + STYLE + svg[start:]


def _is_coloured(data: str) -> bool:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float64) / 255
    return bool(np.ptp(pixels, axis=2).mean() > COLOURED)


def write(app: "Sphinx", exception: Exception | None) -> None:
    """Change the files of figures, which Sphinx has just copied."""
    for path in sorted((Path(app.outdir) / "_images").glob("*.svg")):
        if OF_A_CELL.fullmatch(path.name):
            text = path.read_text("utf-8")
            kept = keeping_colours(text)
            if kept != text:
                path.write_text(kept, encoding="utf-8")


def setup(app: "Sphinx") -> None:
    """Called by `tools.site.extension`."""
    app.connect("build-finished", write)
