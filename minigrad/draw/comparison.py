"""Several models on one colour scale, one picture below the other."""

from __future__ import annotations

import dataclasses
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.flow import GradientFlow
from minigrad.draw.drawing import Drawing, draw_graph, notebook_bundle, suffix_of
from minigrad.draw.graph.interaction import Interaction
from minigrad.draw.graph.records import Picture
from minigrad.draw.pages.frames import PageFrame
from minigrad.draw.pages.html import PagePicture, page
from minigrad.draw.pictures import draw
from minigrad.draw.reading.opening import open_kernels
from minigrad.draw.reading.targets import results_of
from minigrad.draw.render.layout import DEFAULT_TIME_LIMIT
from minigrad.draw.render.text import printed
from minigrad.draw.style import labels
from minigrad.draw.style.scale import power_of_ten
from minigrad.draw.style.theme import theme_named
from minigrad.draw.time_gradients import TimeGradients
from minigrad.draw.views.cells_view import has_cells
from minigrad.io.serialize import write_atomically

__all__ = ["Comparison", "compare"]

Model: TypeAlias = "Tensor | Sequence[Tensor] | Picture | GradientFlow | TimeGradients | Drawing"
_SVG: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "http://www.w3.org/1999/xlink"
_SUFFIXES: Final = (".svg", ".html", ".txt")


def compare(
    models: Mapping[str, Model],
    *,
    theme: str = "light",
    domain: tuple[float, float] | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    **options: Any,
) -> Comparison:
    """Draw several models' gradients so that equal widths and colours mean equal norms.

    Args:
        models: by the name to show: a loss, a `Picture`, a `Drawing`, or what `gradient_flow` or
            `backprop_through_time` found.
        theme: `light` or `dark`.
        domain: smallest and largest norm of the scale; None spans those of all models.
        time_limit: seconds that each layout may take.
        options: for `draw`, such as `level` and `steps`; with ``grad="share"`` widths and colours
            mean shares, which are on one scale in any picture.

    Raises TypeError for anything but a mapping, ValueError without models, and what `draw` raises.
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            f"compare needs a mapping from names to models, such as {{'RNN': loss}}, got "
            f"{type(models).__name__}"
        )
    if not models:
        raise ValueError("compare needs at least one model, got none")
    how = {"grad": "norm"} | options
    steps = how.get("steps", "auto")
    graphs: dict[str, Picture] = {}
    extra: dict[str, Interaction | None] = {}
    for name, model in models.items():
        if isinstance(model, Drawing):
            graph, extra[name] = model.graph, model.interaction
        elif isinstance(model, Picture):
            graph = model
        elif isinstance(model, TimeGradients):
            drawing = model.draw(**how)
            graph, extra[name] = drawing.graph, drawing.interaction
        else:
            graph = graph_of(model, how)
        title = f"{name}: {graph.title}" if graph.title else name
        graphs[name] = dataclasses.replace(graph, title=title)
    if domain is None:
        scale = labels.common_scale(graphs.values(), theme_named(theme))
        domain = (power_of_ten(scale.low), power_of_ten(scale.high))
    measure: Literal["norm", "share"] = "share" if how["grad"] == "share" else "norm"
    pictures = {
        name: draw_graph(
            graph, theme=theme, domain=domain, steps=steps, time_limit=time_limit, measure=measure
        )
        for name, graph in graphs.items()
    }
    for name, interaction in extra.items():
        pictures[name].interaction = interaction
    return Comparison(pictures, domain, theme, time_limit)


def graph_of(model: Any, how: Mapping[str, Any]) -> Picture:
    """The records of one model: cells if it has any, else module calls, unless told a level."""
    if "level" in how or isinstance(model, GradientFlow):
        return draw(model, **how).graph
    results, _, _ = results_of(model)
    opened = open_kernels(results)
    if has_cells(opened):
        return draw(opened, level="cells", **how).graph
    return draw(results, level="layers", **how).graph


class Comparison:
    """Pictures of several models on one scale.

    Attributes:
        pictures: a `Drawing` for each model, by name.
        domain: the smallest and the largest norm of their scale.
    """

    def __init__(
        self,
        pictures: dict[str, Drawing],
        domain: tuple[float, float],
        theme: str,
        time_limit: float,
    ) -> None:
        self.pictures, self.domain = pictures, domain
        self.theme, self.time_limit = theme, time_limit

    def svg(self) -> str:
        """One SVG with the pictures one below the other. Raises what `Drawing.svg` raises."""
        return stacked(
            [drawing.svg() for drawing in self.pictures.values()],
            theme_named(self.theme).background,
        )

    def html(self) -> str:
        """One self-contained page, on which the reader chooses between the models."""
        return page(
            [
                PagePicture(drawing.graph, name, drawing.shown, drawing.interaction)
                for name, drawing in self.pictures.items()
            ],
            theme="dark" if self.theme == "dark" else "light",
            domain=self.domain,
            measure=next(iter(self.pictures.values())).measure,
            time_limit=self.time_limit,
        )

    def frame(self, height: int = 640) -> PageFrame:
        """The page that `html` makes, to be shown in a notebook, so many pixels high.

        Raises ValueError for a height below 1.
        """
        return PageFrame(self.html(), height)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the comparison as SVG, HTML or text, by the suffix, and return the path.

        Raises ValueError for another suffix and OSError where the file cannot be written.
        """
        target = Path(path)
        suffix = suffix_of(target, _SUFFIXES)
        text = (
            self.svg()
            if suffix == ".svg"
            else self.html()
            if suffix == ".html"
            else f"{self.text()}\n"
        )
        write_atomically(target, lambda file: file.write_text(text, encoding="utf-8"))
        return target

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return notebook_bundle(self.svg(), self.text())

    def text(self) -> str:
        """Return the pictures as text, see `Drawing.text`, one below the other."""
        return "\n\n".join(drawing.text() for drawing in self.pictures.values())

    def __str__(self) -> str:
        return printed(self.text())

    def __repr__(self) -> str:
        low, high = self.domain
        return f"Comparison({', '.join(self.pictures)}; norms {low:.2g} to {high:.2g})"


def stacked(pictures: Sequence[str], background: str) -> str:
    """Several SVGs of Graphviz one below the other in one, each drawn at the same scale.

    Ids are made unique by the picture's number, so that styles and links still find them.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    parts = []
    width = height = 0.0
    for number, text in enumerate(pictures):
        root = ElementTree.fromstring(text)
        left, top, wide, high = (float(part) for part in root.attrib["viewBox"].split())
        for element in root.iter():
            if (own := element.attrib.get("id")) is not None:
                element.attrib["id"] = f"p{number}{own}"
            for attribute, value in element.attrib.items():
                if value.startswith("url(#") or (attribute.endswith("href") and value[:1] == "#"):
                    element.attrib[attribute] = value.replace("#", f"#p{number}", 1)
        root.attrib |= {"x": "0", "y": f"{height:g}", "width": f"{wide:g}", "height": f"{high:g}"}
        root.attrib["viewBox"] = f"{left:g} {top:g} {wide:g} {high:g}"
        parts.append(root)
        width, height = max(width, wide), height + high
    outer = ElementTree.Element(
        f"{{{_SVG}}}svg",
        {
            "width": f"{math.ceil(width)}pt",
            "height": f"{math.ceil(height)}pt",
            "viewBox": f"0 0 {width:g} {height:g}",
        },
    )
    ElementTree.SubElement(
        outer, f"{{{_SVG}}}rect", {"width": "100%", "height": "100%", "fill": background}
    )
    outer.extend(parts)
    return ElementTree.tostring(outer, encoding="unicode", xml_declaration=False) + "\n"
