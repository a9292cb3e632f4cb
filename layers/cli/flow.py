"""`minigrad flow`: how much of the gradient is left after how many steps, model beside model."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layers.cli.arguments import AddCommand, check_output, refuse
from layers.cli.saved import Source
from layers.cli.sources import add_model_options, load
from layers.examples.showcase import FORGETTING, NAMES, RECURRENT
from layers.training.plots import save_figure
from minigrad import Tensor

if TYPE_CHECKING:
    from minigrad.draw import Drawing, TimeGradients
    from minigrad.draw.analysis.gradient_routes import RouteParts
    from minigrad.draw.analysis.lanes import LaneGradients

__all__ = ["add_flow", "flow_command"]

STEPS = 20
PICTURES = (".svg", ".html")
PLOTS = (".png", ".pdf")
LEAST_SHARE = 0.005

MORE = f"""
MODEL is one of {", ".join(NAMES)},
or the folder of a model that `minigrad demo` or `minigrad train` wrote.

Of recurrent models the norm of dL/dstate is measured at every step; the loss is at the last one,
and a lag is a number of steps back from it. Attention has no states: there it is the norm of
d(outputs at the last place)/d(input), place by place, in units of its own.
Half-life: the lags after which half is left, by the best fit of a decay. Horizon: the last lag at
which 1 % of the largest norm is left. Route shares are signed, and add up to 100 %.
"""


def add_flow(command: AddCommand) -> None:
    """Add the command to the parser."""
    parser = command(
        "flow",
        flow_command,
        "Measure how the gradient fades with the number of steps back, in one or more models.",
        "minigrad flow rnn gru lstm gpt",
        "minigrad flow rnn lstm --steps 50 -o fading.png",
        "minigrad flow rnn lstm gru -o comparison.html",
        "minigrad flow minigrad-demo/model --steps 40 --json > flow.json",
        more=MORE,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a built-in name or a folder")
    add_model_options(parser, f"{STEPS} unless given")
    parser.add_argument("--theme", choices=("light", "dark"), default="light", help="colours")
    parser.add_argument(
        "--json", action="store_true", help="print JSON; null stands for numbers that do not exist"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help=".svg or .html: the graphs on one scale; .png or .pdf: a plot of the norms",
    )


@dataclass(frozen=True)
class Row:
    """The gradient along one state, or towards one input.

    Attributes:
        label: the state or input.
        lane: norms by lag.
        routes: the shares of the routes; of a state those at the longest lag.
    """

    label: str
    lane: "LaneGradients"
    routes: dict[str, float]


@dataclass(frozen=True)
class Flow:
    """What was measured of one model.

    Attributes:
        source: the model.
        rows: one for each state or input.
        diagnosis: sentences.
        times: the measurement in time, of recurrent models.
    """

    source: Source
    rows: tuple[Row, ...]
    diagnosis: tuple[str, ...]
    times: "TimeGradients | None" = None

    @property
    def lanes(self) -> list["LaneGradients"]:
        """What a plot shows."""
        return [row.lane for row in self.rows]


def flow_command(options: argparse.Namespace) -> None:
    """`minigrad flow`."""
    from minigrad.draw import DrawError

    if options.out is not None:
        check_output(options.out, PICTURES + PLOTS)
    models = list(dict.fromkeys(options.models))
    check_options(models, options)
    try:
        flows = {name: measure(load(name, options, STEPS)) for name in models}
        if options.out is not None:
            save(flows, options.out, options.theme)
    except DrawError as error:
        raise RuntimeError(str(error)) from error
    if options.json:
        found = {name: as_json(flow) for name, flow in flows.items()}
        print(json.dumps({"models": found}, indent=2, allow_nan=False))
        return
    print(table(flows))
    if options.out is not None:
        print(f"\nwritten to {options.out}")


def check_options(models: Sequence[str], options: argparse.Namespace) -> None:
    """Refuse options that none of the models heeds."""
    if all(name in NAMES for name in models):
        refuse(options, "text", "is for saved models, and there is none among them")
    if options.gain is not None and not any(name in RECURRENT for name in models):
        raise ValueError(f"--gain is for {', '.join(RECURRENT)}, and there is none among them")
    if options.forget_bias is not None and not any(name in FORGETTING for name in models):
        raise ValueError(
            f"--forget-bias is for {', '.join(FORGETTING)}, and there is none among them"
        )


def measure(source: Source) -> Flow:
    """Measure a model that ran."""
    from minigrad.draw import backprop_through_time

    if source.loss is None:
        raise ValueError(
            f"{source.name} has counts and no weights, so no gradient flows in it; `minigrad draw` "
            "shows how it predicts"
        )
    if source.steps < 2:
        raise ValueError(f"{source.name} reads 1 step, and there are lags from 2 steps on")
    if not source.recurrent:
        return measure_attention(source)
    found = backprop_through_time(source.loss)
    routes = found.summary()["routes"]
    several = len({lane.lane.cell for lane in found.lanes}) > 1
    rows = [
        Row(
            f"{lane.lane.cell.rpartition('.')[2]}.{lane.lane.state}"
            if several
            else lane.lane.state,
            lane,
            shares if len(shares := routes.get(str(lane.lane), {})) > 1 else {},
        )
        for lane in found.lanes
    ]
    return Flow(source, tuple(rows), (*source.remarks, *found.diagnosis), found)


def measure_attention(source: Source) -> Flow:
    """How much the last outputs depend on each place of each input, and by what way."""
    from minigrad.draw import gradient_flow, input_connectivity
    from minigrad.draw.analysis.lanes import LaneGradients
    from minigrad.draw.reading.tape_states import Lane

    assert source.outputs is not None
    outputs = source.outputs.reshape((len(source.outputs), 1, -1))  # (batch, 1, classes)
    assert source.loss is not None
    flow = gradient_flow(source.loss, routes=None if source.plain else "residual")
    parts = None if source.plain else flow.routes
    rows, sentences = [], []
    for x in source.inputs:
        norms = input_connectivity(outputs, x).norms  # (1, time)
        steps = np.arange(x.shape[1])
        lane = LaneGradients(Lane("", x.name or "x"), steps, norms[0], None, steps[-1:], norms)
        rows.append(Row(lane.lane.state, lane, {} if parts is None else route_shares(parts, x)))
        sentence = reach_sentence(lane)
        sentences.append(sentence[0].upper() + sentence[1:])
    return Flow(source, tuple(rows), (*sentences, *flow.diagnosis))


def route_shares(parts: "RouteParts", x: Tensor) -> dict[str, float]:
    """The share of each route in the gradient of an input."""
    found = next((row for leaf, row in parts.leaves.items() if leaf is x._node), None)
    shares = () if found is None or found.shares is None else found.shares
    return dict(zip(parts.names, shares, strict=False))


def reach_sentence(lane: "LaneGradients") -> str:
    """How much the farthest place of an input still counts."""
    lags, norms = lane.by_lag
    most = int(np.argmax(norms))
    if not norms[most]:
        return f"no place of the input {lane.lane.state} moves the last outputs."
    strongest = place_text(int(lags[most]))
    words = f"the input {lane.lane.state} moves the last outputs most from {strongest}"
    if lags[-1] != lags[most]:
        words += f", {norms[-1] / norms[most]:.2g} times as much from {place_text(int(lags[-1]))}"
    return f"{words}, and from no place less than {norms.min() / norms[most]:.2g} times as much."


def place_text(lag: int) -> str:
    """A place of an input in words."""
    return f"{lag} place{'s' * (lag > 1)} back" if lag else "the last place"


def save(flows: dict[str, Flow], path: Path, theme: str) -> None:
    """Write the comparison, or the plot."""
    from minigrad.draw import compare, plot_gradient_norms
    from minigrad.draw.plots.plot_axes import legend_of

    if path.suffix.lower() in PICTURES:
        drawn = {name: picture_of(flow) for name, flow in flows.items()}
        compare(drawn, theme=theme).save(path)
        return
    plotted: Any = flows
    axes = plot_gradient_norms(plotted, theme=theme)
    axes.xaxis.get_major_locator().set_params(integer=True)
    tell_apart(axes.lines)
    legend_of(axes, theme)
    save_figure(axes.figure, path)


def tell_apart(lines: Sequence[Any]) -> None:
    """Give lines that look like an earlier one, as with many models, hollow marks."""
    seen = set()
    for line in lines:
        look = (line.get_color(), line.get_linestyle(), line.get_marker())
        if look in seen:
            line.set_markerfacecolor("none")
        seen.add(look)


def picture_of(flow: Flow) -> "Drawing":
    """The cells of a model, or its modules, and what flows back between them."""
    from minigrad.draw import draw

    if flow.times is None:
        return draw(flow.source.loss, level="ops" if flow.source.plain else "layers", grad="norm")
    drawing = flow.times.draw()
    sentences = (*flow.source.remarks, *drawing.graph.diagnosis)
    drawing.graph = replace(drawing.graph, diagnosis=sentences, readings=flow.source.readings)
    return drawing


def as_json(flow: Flow) -> dict[str, Any]:
    """A measurement as plain values; what is not finite becomes None."""
    return {
        "steps": flow.source.steps,
        "measure": "|dL/dstate|" if flow.source.recurrent else "|d outputs at the end / d input|",
        "lanes": {row.label: row_as_json(row) for row in flow.rows},
        "diagnosis": list(flow.diagnosis),
    }


def row_as_json(row: Row) -> dict[str, Any]:
    """One state or input as plain values."""
    lags, norms = row.lane.by_lag
    known = bool(np.isfinite(norms).any())
    return {
        "lags": [int(lag) for lag in lags],
        "norms": [finite(norm) for norm in norms],
        "rate": finite(row.lane.rate) if known else None,
        "half_life": finite(row.lane.half_life) if known else None,
        "horizon": row.lane.horizon,
        "routes": {name: finite(share) for name, share in row.routes.items()},
    }


def finite(number: Any) -> float | None:
    """The number, or None where JSON has no word for it."""
    return float(number) if math.isfinite(number) else None


def table(flows: dict[str, Flow]) -> str:
    """Norms by lag, then the shares of the routes, then the sentences."""
    longest = max(int(row.lane.by_lag[0][-1]) for flow in flows.values() for row in flow.rows)
    shown = [0, *(2**k for k in range(longest.bit_length()) if 2**k < longest), longest]
    shown = sorted(set(shown))
    lines = [["lag", "", *map(str, shown), "half-life", "horizon"]]
    for name, flow in flows.items():
        for place, row in enumerate(flow.rows):
            lines.append(["" if place else name, row.label, *numbers(row.lane, shown)])
    others = ", ".join(name for name, flow in flows.items() if not flow.source.recurrent)
    note = f" ({others}: of the last outputs by each place of the input)" if others else ""
    blocks = [f"Norm of the gradient, by steps back from the loss{note}", aligned(lines)]
    routes = [
        [name, row.label, shares_text(row.routes)]
        for name, flow in flows.items()
        for row in flow.rows
        if row.routes
    ]
    if routes:
        blocks += ["\nBy which route it came: states at the longest lag, inputs as a whole"]
        blocks += [aligned(routes, left=3)]
    blocks.append("\nDiagnosis")
    for name, flow in flows.items():
        blocks += [f"{name}: {sentence}" for sentence in flow.diagnosis]
    return "\n".join(blocks)


def numbers(lane: "LaneGradients", shown: Sequence[int]) -> list[str]:
    """The cells of one line of the table."""
    lags, norms = lane.by_lag
    by_lag = dict(zip(lags.tolist(), norms.tolist(), strict=True))
    cells = [f"{by_lag[lag]:.2g}" if lag in by_lag else "" for lag in shown]
    half_life = lane.half_life if np.isfinite(norms).any() else math.nan
    words = "none" if math.isinf(half_life) else "-" if math.isnan(half_life) else ""
    whole = lane.horizon == (lags[-1] if len(lags) else 0)
    return [*cells, words or f"{half_life:.2g}", f"{'>= ' * bool(whole)}{lane.horizon}"]


def shares_text(routes: dict[str, float]) -> str:
    """The shares in words, the largest first, without those that are next to nothing."""
    order = sorted(routes.items(), key=lambda pair: -abs(pair[1]))
    return ", ".join(f"{name} {share:.0%}" for name, share in order if abs(share) >= LEAST_SHARE)


def aligned(lines: Sequence[Sequence[str]], left: int = 2) -> str:
    """Columns of one width; the first ones flush left, the others flush right."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
