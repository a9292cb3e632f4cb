"""One drawing, or several on one colour scale, as a single interactive HTML file.

The file loads nothing: its policy allows the one script and the one style that it holds, by their
hashes, and nothing else. The script reads the data from a block of JSON and builds the page from
text and attributes only. Without scripts, the page shows the same pictures as plain SVG with a
table.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from minigrad.draw.graph.elision import elide, steps_to_show
from minigrad.draw.graph.film_frames import FilmRecord
from minigrad.draw.graph.interaction import Interaction
from minigrad.draw.graph.records import Picture
from minigrad.draw.pages import page_static
from minigrad.draw.pages.film_data import film_data
from minigrad.draw.pages.film_strip import few_places, strip
from minigrad.draw.pages.page_data import picture_data
from minigrad.draw.pages.page_numbers import DIGITS, json_for_page
from minigrad.draw.render.cells import cells_to_dot
from minigrad.draw.render.layout import DEFAULT_TIME_LIMIT, Engine, render_dot
from minigrad.draw.render.tiled_boxes import boxes_to_dot
from minigrad.draw.style import labels
from minigrad.draw.style.scale import CIVIDIS, THICKEST, THINNEST, Scale, ShareScale
from minigrad.draw.style.theme import THEMES, theme_named

PageTheme = Literal["auto", "light", "dark"]

_FILM_SCRIPTS: Final = ("film.js", "film_charts.js")
_SCRIPTS: Final = (
    "data.js",
    "time.js",
    "edge_curves.js",
    "boxes.js",
    "scene.js",
    "paint.js",
    "describe.js",
    "course.js",
    "moves.js",
    "controls.js",
    "view.js",
)


@dataclass(frozen=True)
class PagePicture:
    """One picture of a page.

    Fields:
        graph: the whole graph; steps that are not shown at first can be expanded.
        name: what it is called where a page has several.
        shown: the time steps to show at first; None for the first, last and interesting ones.
        interaction: norms by loss step and by route, for the scrubber and the toggles.
        film: of which this is the last frame; the reader chooses among all.
    """

    graph: Picture
    name: str = ""
    shown: tuple[int, ...] | None = None
    interaction: Interaction | None = None
    film: FilmRecord | None = None


def page(
    pictures: Sequence[PagePicture],
    *,
    theme: PageTheme = "auto",
    domain: tuple[float, float] | None = None,
    title: str = "",
    measure: Literal["norm", "share"] = "norm",
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> str:
    """Return a self-contained HTML page of one or several pictures on one colour scale.

    Args:
        pictures: at least one; the reader chooses between several.
        theme: `light`, `dark`, or `auto` for what the reader's system prefers; it can be changed
            on the page.
        domain: smallest and largest gradient norm of the scale; None spans those of all pictures.
        measure: what the lines show at first, see `minigrad.draw.draw_graph`.
        title: of the page; that of the first picture if empty.
        time_limit: seconds that each layout may take.

    Raises ValueError for no picture, an unknown theme or step, or a domain that is none; and what
    `minigrad.draw.render.layout.render_dot` raises.
    """
    if not pictures:
        raise ValueError("a page needs at least one picture, got none")
    if theme not in ("auto", *THEMES):
        raise ValueError(f"theme must be auto, {', '.join(THEMES)}; got {theme!r}")
    colors = theme_named("light" if theme == "auto" else theme)
    if domain is not None and not 0 < domain[0] < domain[1] < math.inf:
        raise ValueError(
            f"domain must be two norms with 0 < smallest < largest, both finite; got {domain!r}"
        )
    logs = None if domain is None else (math.log10(domain[0]), math.log10(domain[1]))
    shown = [_shown(picture) for picture in pictures]
    graphs = [picture.graph for picture in pictures] + [still for _, still in shown]
    scale = labels.common_scale(graphs, colors) if logs is None else Scale(*logs, colors)
    contents: list[dict[str, Any]] = []
    stills: list[str] = []
    for number, (picture, (steps, still)) in enumerate(zip(pictures, shown, strict=True)):
        drawn = ShareScale.of_theme(colors) if measure == "share" else scale
        content, section = _picture(picture, number, steps, still, drawn, time_limit)
        contents.append(content)
        stills.append(section)
    data = {
        "pictures": contents,
        "low": scale.low,
        "high": scale.high,
        "theme": theme,
        "measure": measure,
        "themes": {name: asdict(theme) for name, theme in THEMES.items()},
        "ramp": CIVIDIS,
        "digits": DIGITS,
        "pens": [THINNEST, THICKEST],
    }
    heading = title or pictures[0].graph.title or "Computation graph"
    script, style = asset_script(any(picture.film for picture in pictures)), asset_style()
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{page_static.text(heading[:200])}</title>",
            f"<style>{style}</style>\n<script>{script}</script>\n</head>\n<body>",
            f'<script type="application/json" id="data">{json_for_page(data)}</script>',
            '<div id="still">',
            *stills,
            "</div>\n</body>\n</html>\n",
        )
    )


def _shown(picture: PagePicture) -> tuple[list[int], Picture]:
    """Return the time steps that a picture shows at first, and its graph with these alone."""
    graph = picture.graph
    known: Literal["auto", "all"] = "auto" if graph.level == "cells" else "all"
    steps = steps_to_show(graph, known if picture.shown is None else picture.shown)
    # Merged edges carry the norm of all that they stand for, so they too belong to the scale.
    return steps, elide(graph, steps) if steps else graph


def _picture(
    picture: PagePicture,
    number: int,
    steps: Sequence[int],
    still: Picture,
    scale: Scale,
    time_limit: float,
) -> tuple[dict[str, Any], str]:
    """Return the data of one picture, and what is shown of it without scripts."""
    graph = picture.graph
    in_time = graph.level == "cells"
    theme = scale.theme.name
    # Title and diagnosis stand above the picture as text, so they are not drawn into it.
    bare = dataclasses.replace(still, title="", diagnosis=())
    engine: Engine = "nop2"
    if in_time:
        dot = cells_to_dot(bare, theme=theme, scale=scale)
    else:
        dot, engine = boxes_to_dot(bare, theme=theme, scale=scale)
    svg = render_dot(dot.source, "svg", engine=engine, time_limit=time_limit)
    root = page_static.parse(svg.decode("utf-8"))
    boxes = None if in_time else page_static.box_positions(root, still)
    content = picture_data(
        graph if in_time else still, picture.name, steps, picture.interaction, boxes
    )
    content["gradients"] = labels.has_gradients(graph)
    title = graph.title or "Computation graph"
    description = " ".join(graph.diagnosis) or title
    heading = f"<h1>{page_static.text(title)}</h1>" + "".join(
        f"<p>{page_static.text(line)}</p>" for line in graph.diagnosis
    )
    drawn = page_static.plain_svg(root, number, title, description)
    if picture.film is not None:
        content["film"] = film_data(picture.film)
        few = strip(picture.film, few_places(len(picture.film.frames)), theme)
        drawn = f"{few}\n{drawn}"
    return content, f"<section>{heading}\n{drawn}\n{page_static.table(still)}</section>"


@cache
def asset_script(film: bool = False) -> str:
    """Return the script of the page, with or without films, in one closed function."""
    names = _SCRIPTS[:-1] + _FILM_SCRIPTS + _SCRIPTS[-1:] if film else _SCRIPTS
    lines = [line.strip() for name in names for line in _asset(name).splitlines()]
    files = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f'(function(){{"use strict";\n{files}\n}})();'


@cache
def asset_style() -> str:
    """Return the style sheet of the page."""
    return _asset("view.css")


def _asset(name: str) -> str:
    return resources.files("minigrad.draw").joinpath("assets", name).read_text("utf-8")


def _digest(content: str) -> str:
    """Return the hash that a Content-Security-Policy names an inline script or style by."""
    hashed = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(hashed).decode('ascii')}"
