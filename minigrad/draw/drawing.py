"""A finished picture of a graph, to show, save, or go on with."""

from __future__ import annotations

import importlib
import math
import os
import re
import sys
import tempfile
import webbrowser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from minigrad.draw.graph.elision import elide, steps_to_show
from minigrad.draw.graph.errors import MissingGraphvizError
from minigrad.draw.graph.interaction import Interaction
from minigrad.draw.graph.records import Picture
from minigrad.draw.pages.frames import PageFrame
from minigrad.draw.pages.html import PagePicture, page
from minigrad.draw.render.cells import cells_to_dot
from minigrad.draw.render.layout import DEFAULT_TIME_LIMIT, Engine, Format, render_dot
from minigrad.draw.render.text import graph_to_text, printed
from minigrad.draw.render.tiled_boxes import boxes_to_dot
from minigrad.draw.style.scale import Scale, ShareScale
from minigrad.draw.style.theme import theme_named
from minigrad.io.serialize import write_atomically

if TYPE_CHECKING:
    import graphviz

_DPI: Final = 144
_MOST_DOTS: Final = 40e6
_PLACE: Final = re.compile(r'pos="?(-?[\d.]+),(-?[\d.]+)"')
_SUFFIXES: Final = (".svg", ".png", ".pdf", ".json", ".html", ".dot", ".gv", ".txt")


class Drawing:
    """A graph with the DOT text of its picture.

    `dot` is an object of the `graphviz` package and may be changed before the picture is made;
    `graph` is the whole record that it came from, with the time steps that the picture may leave
    out. The layout is computed when a format is asked for. The page that `html` returns is made
    from `graph`, with the scale `domain`, the time steps in `shown`, and what is known in
    `interaction`.
    """

    def __init__(
        self,
        graph: Picture,
        dot: graphviz.Digraph,
        *,
        engine: Engine = "dot",
        time_limit: float = DEFAULT_TIME_LIMIT,
        domain: tuple[float, float] | None = None,
        shown: tuple[int, ...] | None = None,
        interaction: Interaction | None = None,
        measure: Literal["norm", "share"] = "norm",
    ) -> None:
        self.graph = graph
        self.dot = dot
        self.engine: Engine = engine
        self.time_limit = time_limit
        self.domain = domain
        self.shown = shown
        self.interaction = interaction
        self.measure: Literal["norm", "share"] = measure

    def svg(self) -> str:
        """Return the picture as SVG text. Raises what `render_dot` raises."""
        return self._render("svg").decode("utf-8")

    def png(self, dpi: int | None = None) -> bytes:
        """Return the picture as a PNG file, in 144 dots per inch unless it is very large.

        By itself it has no more than 40 million dots, which any viewer opens. Raises what
        `minigrad.draw.render.layout.render_dot` raises.
        """
        return self._render("png", fitting_dpi(self.dot.source) if dpi is None else dpi)

    def pdf(self) -> bytes:
        """Return the picture as a PDF file. Raises what `render_dot` raises."""
        return self._render("pdf")

    def html(self, theme: Literal["auto", "light", "dark"] = "auto") -> str:
        """Return the picture as a self-contained interactive page.

        It can be moved, searched, and opened where it leaves out steps or closes scopes; it works
        offline and, as a static picture with a table, without scripts. With `theme="auto"` it
        follows the reader's system. See `minigrad.draw.pages.html.page`, also for what it raises.
        """
        picture = PagePicture(self.graph, shown=self.shown, interaction=self.interaction)
        return page(
            [picture],
            theme=theme,
            domain=self.domain,
            measure=self.measure,
            time_limit=self.time_limit,
        )

    def frame(self, height: int = 640) -> PageFrame:
        """Return the page that `html` makes, to be shown in a notebook, so many pixels high.

        Raises ValueError for a height below 1, and what `html` raises.
        """
        return PageFrame(self.html(), height)

    def text(self) -> str:
        """Return the picture as a tree of text, with lines and bars that are not in ASCII.

        `print(drawing)` prints the same, in ASCII where the terminal's encoding lacks them.
        """
        return graph_to_text(self.graph)

    def json(self) -> str:
        """Return the graph as JSON text, which `Picture.from_json` reads."""
        return self.graph.to_json()

    def _render(self, picture_format: Format, dpi: int = 144) -> bytes:
        return render_dot(
            self.dot.source,
            picture_format,
            engine=self.engine,
            time_limit=self.time_limit,
            dpi=dpi,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to `path` and return it; the suffix chooses the format.

        The file appears whole or not at all: it is written beside its place, then renamed.
        Raises ValueError for an unknown suffix, FileNotFoundError where there is no such folder,
        and OSError where the file cannot be written.
        """
        target = Path(path)
        content = self._content(suffix_of(target, _SUFFIXES))
        write_atomically(target, lambda file: file.write_bytes(content))
        return target

    def _content(self, suffix: str) -> bytes:
        if suffix == ".png":
            return self.png()
        if suffix == ".pdf":
            return self.pdf()
        if suffix == ".svg":
            return self.svg().encode("utf-8")
        if suffix == ".html":
            return self.html().encode("utf-8")
        if suffix == ".json":
            return self.json().encode("ascii")
        text = f"{self.text()}\n" if suffix == ".txt" else self.dot.source
        return text.encode("utf-8")

    def show(self) -> None:
        """Show the picture: in the notebook if there is one, else in the web browser.

        Raises what `minigrad.draw.render.layout.render_dot` raises.
        """
        shell = sys.modules.get("IPython")
        if shell is not None and shell.get_ipython() is not None:
            importlib.import_module("IPython.display").display(self)
            return
        directory = tempfile.mkdtemp(prefix="minigrad-")
        # The browser reads the file after this call has returned, so it is left there.
        webbrowser.open(self.save(Path(directory, "graph.svg")).as_uri())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the picture for a notebook; text alone where there is no Graphviz."""
        try:
            return notebook_bundle(self.svg(), self.text())
        except MissingGraphvizError as error:
            return {"text/plain": f"{self.text()}\n{error}"}

    def __str__(self) -> str:
        return printed(self.text())

    def __repr__(self) -> str:
        nodes, edges = len(self.graph.nodes), len(self.graph.edges)
        return f"Drawing({self.graph.level}, {nodes} nodes, {edges} edges)"


def suffix_of(path: Path, known: Sequence[str]) -> str:
    """The suffix of a path in lower case. Raises ValueError for one that is not known."""
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ValueError(
            f"path {os.fspath(path)!r} has the suffix {path.suffix!r}; the format is chosen by one "
            f"of {', '.join(known)}"
        )
    return suffix


def fitting_dpi(source: str) -> int:
    """The resolution at which a picture has few enough dots; its size is that of its positions."""
    places = [(float(x), float(y)) for x, y in _PLACE.findall(source)]
    if not places:
        return _DPI  # laid out by `dot`, and so not large
    xs, ys = zip(*places, strict=True)
    area = (max(xs) - min(xs) + 72) * (max(ys) - min(ys) + 72) / 72**2
    return max(10, min(_DPI, math.floor(math.sqrt(_MOST_DOTS / area))))


def notebook_bundle(svg: str, text: str) -> dict[str, str]:
    """A picture in the formats that a notebook takes, no wider than its page.

    Graphviz gives a picture a width in points, and what is beyond the page is cut off.
    """
    start = svg.index("<svg")
    head, rest = svg[start:].split(">", 1)
    fitting = f'{head} style="max-width: 100%; height: auto">{rest}'
    return {
        "text/html": f'<div style="max-width: 100%; overflow-x: auto">{fitting}</div>',
        "image/svg+xml": svg[:start] + fitting,
        "text/plain": text,
    }


def draw_graph(
    graph: Picture,
    *,
    theme: str = "light",
    steps: Literal["auto", "all"] | Iterable[int] = "auto",
    domain: tuple[float, float] | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    measure: Literal["norm", "share"] = "norm",
) -> Drawing:
    """Return the picture of a graph: columns of time for level `cells`, else boxes and arrows.

    Args:
        graph: the records to draw.
        theme: `light` or `dark`.
        steps: which time steps to show; `auto` leaves out the middle of a long sequence of cells.
        domain: smallest and largest gradient norm of the scale, so that pictures can be compared;
            None spans the norms of this graph. What lies beyond is drawn dashed.
        time_limit: seconds that a layout may take.
        measure: what width, colour and number of a gradient show: its `norm`, or its `share` of
            the gradient at the arrow's end.

    Raises ValueError for an unknown theme, step or domain.
    """
    colors = theme_named(theme)
    scale = None
    if domain is not None:
        low, high = domain
        if not (0 < low < high < math.inf):
            raise ValueError(
                f"domain must be two norms with 0 < smallest < largest, both finite; got {domain!r}"
            )
        scale = Scale(math.log10(low), math.log10(high), colors)
    if measure == "share":
        scale = ShareScale.of_theme(colors)
    automatic = isinstance(steps, str) and steps == "auto"
    chosen = None if automatic else tuple(steps_to_show(graph, steps))
    options: dict[str, Any] = {
        "time_limit": time_limit,
        "domain": domain,
        "shown": chosen,
        "measure": measure,
    }
    if graph.level == "cells":
        shown = elide(graph, "auto" if chosen is None else chosen)
        dot = cells_to_dot(shown, theme=theme, scale=scale)
        return Drawing(graph, dot, engine="nop2", **options)
    shown = graph if chosen is None else elide(graph, chosen)
    dot, engine = boxes_to_dot(shown, theme=theme, scale=scale)
    return Drawing(graph, dot, engine=engine, **options)
