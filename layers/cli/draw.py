"""`minigrad draw`: a picture of a model's graph, and of the gradient's way back through it."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layers.cli.arguments import AddCommand, check_output, positive_float, positive_int, refuse
from layers.cli.saved import Source
from layers.cli.sources import STEPS, add_model_options, load
from layers.examples.showcase import FORGETTING, NAMES
from minigrad.io.serialize import write_atomically

if TYPE_CHECKING:
    from minigrad.draw import Drawing, Picture

__all__ = ["add_draw", "draw_command"]

SUFFIXES = (".svg", ".html", ".png", ".pdf", ".dot", ".json", ".txt")
FEW_STEPS = 2
"""So many time steps are drawn at level ops if none are given: each has dozens of operations."""

MORE = f"""
MODEL is one of {", ".join(NAMES)}:
small, not trained, with random inputs and the loss at the last place; or the folder of a model
that `minigrad demo` or `minigrad train` wrote; or a .json file that an earlier drawing wrote.
Arrows show what flows back from the loss: the wider and darker, the larger its norm.
"""


def add_draw(command: AddCommand) -> None:
    """Add the command to the parser."""
    parser = command(
        "draw",
        draw_command,
        "Draw a model's computation graph, and the gradient's way back through its time steps.",
        "minigrad draw lstm --steps 20 -o lstm.svg",
        "minigrad draw gru --roll -o gru.png",
        "minigrad draw gpt --layers 4 --roll -o gpt.svg",
        "minigrad draw transformer --grad share -o transformer.html",
        'minigrad draw minigrad-demo/model --text "to be or not" -o path.html',
        "minigrad draw lstm -o lstm.json && minigrad draw lstm.json -o lstm.pdf",
        more=MORE,
    )
    parser.add_argument("model", help="a built-in name, a model's folder, or a graph's .json file")
    add_model_options(parser, f"{STEPS} unless given, {FEW_STEPS} at --level ops")
    parser.add_argument(
        "--level",
        choices=("auto", "ops", "cells", "layers"),
        help="every operation, a box for each cell and step, or one for each module's call; auto "
        "is what can be read on a screen; unless given, cells where there are any, else layers",
    )
    parser.add_argument(
        "--roll",
        action="store_true",
        help="draw a cell once for all its time steps, and layers of a stack that are alike once",
    )
    parser.add_argument(
        "--depth", type=positive_int, help="how many levels of modules to open, at level layers"
    )
    parser.add_argument(
        "--focus", metavar="PATH", help="show only a module, or a named tensor, and what is around"
    )
    parser.add_argument(
        "--grad",
        choices=("norm", "share", "none"),
        default="norm",
        help="what arrows show: the norm of what they carry back, or its signed share",
    )
    parser.add_argument(
        "--steps-shown",
        type=steps_shown,
        default="auto",
        metavar="auto|all|0,1,9",
        help="which time steps of a long sequence the picture shows",
    )
    parser.add_argument("--title", help="heading of the picture")
    parser.add_argument(
        "--theme",
        choices=("light", "dark"),
        help="colours; unless given light, or in a page what the reader's system prefers",
    )
    parser.add_argument("--time-limit", type=positive_float, default=60.0, help="of layout, in s")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("drawing.svg"), help=", ".join(SUFFIXES)
    )


def steps_shown(text: str) -> str | tuple[int, ...]:
    """`auto`, `all` or numbers with commas between them, for argparse."""
    if text in ("auto", "all"):
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be auto, all, or time steps such as 0,1,9, got {text!r}"
        ) from None


def draw_command(options: argparse.Namespace) -> None:
    """`minigrad draw`."""
    from minigrad.draw import DrawError

    check_output(options.out, SUFFIXES)
    try:
        if options.model not in NAMES and Path(options.model).is_file():
            drawing, what = draw_saved(Path(options.model), options), options.model
        else:
            drawing, what = draw_model(options)
        if options.out.suffix.lower() == ".html" and options.theme is not None:
            page = drawing.html(options.theme)
            write_atomically(options.out, lambda path: path.write_text(page, encoding="utf-8"))
        else:
            drawing.save(options.out)
    except DrawError as error:
        raise RuntimeError(str(error)) from error
    print(f"written to {options.out}: {what}; level {drawing.graph.level}")
    for sentence in drawing.graph.diagnosis:
        print(f"  {sentence}")


def draw_saved(path: Path, options: argparse.Namespace) -> "Drawing":
    """The picture of a graph that an earlier drawing saved as JSON."""
    from minigrad.draw import GraphFormatError, Picture, draw

    refuse(
        options,
        "steps level depth hidden-size layers batch gain forget-bias text",
        f"has no effect on {path}, which is a graph already; pass a model to draw it differently",
    )
    try:
        graph = Picture.from_json(path.read_bytes())
    except GraphFormatError as error:
        raise ValueError(f"{path} is no graph that `minigrad draw` saved: {error}") from error
    if options.title is not None:
        graph = dataclasses.replace(graph, title=options.title)
    if options.grad == "none":
        graph = without_gradients(graph)
    return draw(graph, **drawing_options(options))


def drawing_options(options: argparse.Namespace) -> dict[str, Any]:
    """What models and saved graphs have in common, as arguments of `minigrad.draw.draw`."""
    return {
        "roll": options.roll,
        "focus": options.focus,
        "grad": None if options.grad == "none" else options.grad,
        "steps": options.steps_shown,
        "theme": options.theme or "light",
        "time_limit": options.time_limit,
    }


def without_gradients(graph: "Picture") -> "Picture":
    """The graph as if no gradient had been measured."""
    return dataclasses.replace(
        graph,
        nodes=tuple(dataclasses.replace(node, gradient=None) for node in graph.nodes),
        edges=tuple(dataclasses.replace(edge, contribution=None) for edge in graph.edges),
        diagnosis=(),
    )


def draw_model(options: argparse.Namespace) -> tuple["Drawing", str]:
    """The picture of a model, and what was drawn in words."""
    from minigrad.draw import draw, view

    if options.model in NAMES:
        if options.model not in FORGETTING:
            refuse(options, "forget-bias", f"is for {', '.join(FORGETTING)}; {options.model} has "
                   "no forget gate")  # fmt: skip
        refuse(options, "text", f"is for saved models; {options.model} reads random numbers")
    source = load(options.model, options, FEW_STEPS if options.level == "ops" else STEPS)
    if not source.recurrent:
        check_attention(source, options)
    check_steps_shown(source, options)
    level: Any = options.level or (
        "cells" if source.recurrent and options.depth is None else "layers"
    )
    if source.plain and options.level is None:
        level = "ops"
    if level != "layers":
        refuse(options, "depth", f"is for --level layers; this is --level {level}")
    words = f"{source.name}, {source.steps} step{'s' * (source.steps > 1)}"
    how = drawing_options(options)
    seen = {name: how.pop(name) for name in ("roll", "focus")}
    graph = view(
        source.loss if source.graph is None else source.graph,
        level=level,
        depth=options.depth,
        title=options.title
        or (words if level in ("layers", "ops") else ""),  # cells have their own
        grad=how["grad"],
        **seen,
    )
    if options.grad != "none":
        diagnosis = (*source.remarks, *graph.diagnosis)
        graph = dataclasses.replace(graph, diagnosis=diagnosis)
    if graph.level == "cells":
        graph = dataclasses.replace(graph, readings=source.readings)
    graph = with_texts(graph, source.texts)
    drawing = draw(graph, **how)
    if options.out.suffix.lower() == ".html" and options.grad != "none" and not options.roll:
        add_interaction(drawing, source)
    return drawing, f"{words} ({source.note})" if source.note else words


def with_texts(graph: "Picture", texts: Mapping[str, str]) -> "Picture":
    """The graph with what its inputs spell in their boxes."""
    nodes = [
        dataclasses.replace(node, detail=repr(texts[node.name]))
        if node.kind == "input" and node.name in texts
        else node
        for node in graph.nodes
    ]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def check_steps_shown(source: Source, options: argparse.Namespace) -> None:
    """Refuse time steps that the model did not run."""
    if isinstance(options.steps_shown, tuple):
        unknown = [step for step in options.steps_shown if not 0 <= step < source.steps]
        if unknown:
            raise ValueError(
                f"--steps-shown {unknown[0]}: {source.name} has the time steps 0 to "
                f"{source.steps - 1}; --steps says how many there are"
            )


def check_attention(source: Source, options: argparse.Namespace) -> None:
    """Refuse what only recurrent models have."""
    for name, given in (
        ("--level cells", options.level == "cells"),
        ("--gain", options.gain is not None),
    ):
        if given:
            raise ValueError(
                f"{name}: {source.name} has no recurrent cells; choose --level layers or ops, or a "
                "recurrent model"
            )


def add_interaction(drawing: "Drawing", source: Source) -> None:
    """Let the reader of a page follow the gradient by loss step and by route."""
    from minigrad.draw import backprop_through_time
    from minigrad.draw.pages.page_measures import interaction_of

    if drawing.graph.level == "cells" and source.loss is not None:
        drawing.interaction = interaction_of(backprop_through_time(source.loss), drawing.graph)
