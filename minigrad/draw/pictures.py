"""From a target to its picture: the level of detail is chosen, and the passes are applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from minigrad.compiled.lowered import Lowered
from minigrad.core.nodes import Node
from minigrad.core.tensors import Tensor
from minigrad.debug.graph_view import paused_gc
from minigrad.draw.analysis.flow import GradientFlow, gradient_flow
from minigrad.draw.drawing import Drawing, draw_graph
from minigrad.draw.graph.elision import elide
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.graph.passes import focus as focus_on
from minigrad.draw.graph.passes import prune, tag_leaves, without
from minigrad.draw.graph.records import Picture
from minigrad.draw.graph.rolling import fold_repeats
from minigrad.draw.graph.rolling import roll as roll_up
from minigrad.draw.reading.lowered_graphs import picture_of
from minigrad.draw.reading.measure import read_tape
from minigrad.draw.reading.named_states import NamedStates, labels_on, open_with_states, tensors_of
from minigrad.draw.reading.opening import has_kernels, open_kernels
from minigrad.draw.reading.tape_states import States
from minigrad.draw.reading.targets import results_of
from minigrad.draw.render.layout import DEFAULT_TIME_LIMIT
from minigrad.draw.render.progress_note import ProgressNote
from minigrad.draw.render.tiles import most_beside
from minigrad.draw.views.cells_view import cells_graph, has_cells
from minigrad.draw.views.diagnosis import cells_title
from minigrad.draw.views.layers_view import has_modules, layers_graph
from minigrad.draw.views.operations_view import operations_graph
from minigrad.profiling.profiles import profile

__all__ = ["ViewLevel", "draw", "view"]

ViewLevel: TypeAlias = Literal["auto", "ops", "cells", "layers"]
Shown: TypeAlias = Literal["parameters", "views", "kernels"]
PARAMETERS: Final[tuple[Shown, ...]] = ("parameters",)
GRADIENTS: Final = (None, "norm", "share")
MAX_NODES: Final = 50_000
"""A picture of so many boxes takes about a minute."""
SCREENFUL: Final = 60
"""Boxes that can be read on one screen."""
SCREEN_WIDTH: Final = 1600
"""Pixels; a box and what is around it take about a hundred of them."""


def draw(
    target: Any,
    *,
    level: ViewLevel = "auto",
    roll: bool = False,
    grad: Literal["norm", "share"] | None = None,
    colour: profile | None = None,
    steps: Literal["auto", "all"] | Iterable[int] = "auto",
    show: Collection[Shown] = PARAMETERS,
    focus: str | None = None,
    depth: int | None = None,
    max_nodes: int = MAX_NODES,
    states: NamedStates = None,
    theme: str = "light",
    title: str = "",
    domain: tuple[float, float] | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> Drawing:
    """Draw what was computed on the way to some tensors, and how their gradient flows back.

    Args:
        target: a tensor, several in a list or dict, a `Picture`, a `GradientFlow`, what
            `lowered` of a compiled function gives, or a module (or
            function) with its inputs, ``(module, x)``, which runs for the picture: its floating
            inputs are boxes, and so are frozen parameters; integers and booleans are constants
            where an operation reads them. Of tensors, data that require no grad are boxes where
            they were recorded: ``with mg.recording(replay=True)``. A dict's keys name results.
        level: `ops` shows every operation, with kernels opened up; `cells` one box per recurrent
            cell and time step, with lanes for the carried states; `layers` one box per module
            call, or the operations of the only module there is; `auto` what can be read on a
            screen: cells where states are carried through time, else operations as long as there
            are few of them (60 boxes, 1,600 pixels across), else module calls.
        roll: draw a cell once for all time steps, and layers of a stack that are alike once, with
            arrows that lead on to the next one.
        grad: `norm` measures what every edge carries back from the target, a single number, and
            shows it as width, colour and number. `share` shows how much of the gradient at its
            end each edge brought, signed; the shares at one place sum to 1. `.grad` of no tensor
            is touched. What went wrong is marked and said in a sentence: numbers that are not
            finite, gradients that are exactly zero, states that were detached.
        colour: a profile under which the target was computed: boxes get the colour of the time
            that their operations took, forward and backward, and its number in ms. What ran is
            shown, so kernels stay closed, and the levels are `ops` and `layers`.
        show: what to show besides operations: `parameters`; `views`, the reshapes and transposes
            that otherwise fold into edges; `kernels`, closed, as they ran.
        focus: the path of a module or the name of a tensor: only what is there, and around it.
        depth: at level `layers`, how many levels of modules to open; None opens those that do
            little more than call others.
        max_nodes: how many boxes may be drawn at all. `auto` takes a coarser level where there
            are more.
        states: the states of a cell that is written in plain operations, see
            `minigrad.draw.backprop_through_time`; level `cells` draws them, and without any finds
            those of a loop by itself.
        steps, theme, domain, time_limit: see `draw_graph`.
        title: heading of the picture.

    Raises DrawError for a target without a graph, for more boxes than `max_nodes`, and for `cells`
    without recurrent cells; with `grad` also when the graph was freed by a backward, or the target
    is not a single number. ValueError for an unknown level, step, part to show or focus.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> draw((x * x).sum(), grad="norm")
    Drawing(ops, 3 nodes, 3 edges)
    """
    with ProgressNote("minigrad: measuring and arranging a large graph"):
        graph = view(
            target,
            level=level,
            grad=grad,
            colour=colour,
            show=show,
            depth=depth,
            max_nodes=max_nodes,
            title=title,
            roll=roll,
            focus=focus,
            states=states,
        )
        measure: Literal["norm", "share"] = "share" if grad == "share" else "norm"
        return draw_graph(
            graph, theme=theme, steps=steps, domain=domain, time_limit=time_limit, measure=measure
        )


def view(
    target: Any,
    *,
    level: ViewLevel = "auto",
    roll: bool = False,
    grad: Literal["norm", "share"] | None = None,
    colour: profile | None = None,
    show: Collection[Shown] = PARAMETERS,
    focus: str | None = None,
    depth: int | None = None,
    max_nodes: int = MAX_NODES,
    title: str = "",
    states: NamedStates = None,
) -> Picture:
    """The records of the picture that `draw` makes, with the same arguments."""
    if grad not in GRADIENTS:
        raise ValueError(f"grad must be None, 'norm' or 'share', got {grad!r}")
    if level not in get_args(ViewLevel):
        raise ValueError(f"level must be 'auto', 'ops', 'cells' or 'layers', got {level!r}")
    unknown = [part for part in show if part not in get_args(Shown)]
    if isinstance(show, str) or unknown:
        raise ValueError(
            "show must be a collection of 'parameters', 'views' and 'kernels', got "
            f"{show if isinstance(show, str) else unknown[0]!r}"
        )
    for name, value in (("depth", depth), ("max_nodes", max_nodes)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if colour is not None and level == "cells":
        raise ValueError("colour shows what ran, so level must be 'ops' or 'layers', got 'cells'")
    if colour is not None and isinstance(target, (Lowered, Picture)):
        raise ValueError(f"colour must go with what was computed, got a {type(target).__name__}")
    if isinstance(target, Lowered):
        target = dataclasses.replace(picture_of(target), title=title or target.name)
    if isinstance(target, Picture):
        graph = target
    else:
        flow = target if isinstance(target, GradientFlow) else None
        outputs, states, keys = _completed(target, flow, states)
        measure = grad or ("norm" if flow else None)
        seconds = None if colour is None else _times(colour, outputs)
        chooser = _LevelChooser(outputs, measure, flow, show, depth, title, states, keys, seconds)
        with paused_gc():
            if level == "auto" and states is not None:
                level = "cells"
            graph = chooser.automatic(max_nodes) if level == "auto" else chooser.at(level)
        if flow is not None and flow.needed is not None:
            graph = prune(graph)
    if roll:
        if graph.level == "cells" and graph.title == cells_title(graph):
            graph = dataclasses.replace(graph, title=cells_title(graph, rolled=True))
        graph = fold_repeats(roll_up(graph))
    elif graph.level == "ops" and not isinstance(target, Picture):
        graph = tag_leaves(graph)
    if focus is not None:
        graph = focus_on(graph, focus)
    if "parameters" not in show:
        graph = without(graph, ("parameter",))
    drawn = len(elide(graph).nodes) if graph.level == "cells" else len(graph.nodes)
    if drawn > max_nodes:
        raise DrawError(
            f"the picture at level {graph.level!r} would have {drawn:,} boxes, and max_nodes is "
            f"{max_nodes:,}. Take a coarser level ('cells', 'layers'), roll=True, focus= with the "
            "path of a module, or allow more boxes."
        )
    if graph.title or isinstance(target, Picture):
        return graph
    return dataclasses.replace(graph, title=heading_of(graph))


def _times(measured: profile, outputs: Sequence[Tensor]) -> dict[Node, float]:
    """The seconds of the operations behind some tensors, forward and backward, by their nodes."""
    nodes = set(read_tape(outputs).nodes)
    times: dict[Node, float] = {}
    for node, seconds in measured.node_seconds():
        if node in nodes:
            times[node] = times.get(node, 0.0) + seconds
    if not times:
        raise DrawError(
            "colour is a profile that saw no operation of this graph: compute the target inside of "
            "its block, `with minigrad.profile() as p:`, and draw that very result"
        )
    return times


def _completed(
    target: Any, flow: GradientFlow | None, states: NamedStates
) -> tuple[list[Tensor], NamedStates, Sequence[str]]:
    """The results behind a target and the named states, on a graph with its data where known."""
    if flow is not None:
        return list(flow.tape.outputs), states, ()
    named = tensors_of(states)
    outputs, found, keys = results_of(
        target, [tensor for series in named.values() for tensor in series]
    )
    rest = iter(found)
    return outputs, {n: [next(rest) for _ in s] for n, s in named.items()} or None, keys


def heading_of(graph: Picture) -> str:
    """What a picture shows, for one without a title."""
    counts = {
        "module call": sum(n.count for n in graph.nodes if n.kind == "group"),
        "operation": sum(n.count for n in graph.nodes if n.kind in ("op", "elided")),
    }
    parts = [f"{many:,} {what}{'s' * (many != 1)}" for what, many in counts.items() if many]
    text = " and ".join(parts) or "Nothing but inputs"
    steps = len({node.step for node in graph.nodes if node.step is not None})
    if steps > 1:
        text += f" in {steps:,} time steps"
    if any(edge.contribution is not None for edge in graph.edges):
        text += ", and the gradient's way back"
    return text


class _LevelChooser:
    """Makes the graph of one level, or of the finest that is small enough."""

    def __init__(
        self,
        outputs: Sequence[Tensor],
        grad: Literal["norm", "share"] | None,
        flow: GradientFlow | None,
        show: Collection[Shown],
        depth: int | None,
        title: str,
        states: NamedStates = None,
        keys: Sequence[str] = (),
        seconds: Mapping[Node, float] | None = None,
    ) -> None:
        # A kernel that is opened is not what was timed.
        self.show = show if seconds is None else (*show, "kernels")
        # Named states and a measured flow are of the very tape that was given.
        closed = "kernels" in self.show or flow is not None or states is not None
        self.outputs = list(outputs) if closed else open_kernels(outputs, compiled_alone=True)
        self.grad, self.flow = grad, flow
        self.depth, self.title = depth, title
        self._states, self.keys, self.seconds = states, keys, seconds
        self._opened: tuple[list[Tensor], dict[str, list[Tensor]]] | None = None

    @property
    def opened(self) -> list[Tensor]:
        """The results, with all kernels opened unless they are to be shown."""
        if self._opened is None:
            closed = "kernels" in self.show and self._states is None
            self._opened = (
                (self.outputs, {}) if closed else open_with_states(self.outputs, self._states)
            )
        return self._opened[0]

    def cells(self) -> Picture:
        """The graph of cells and time steps."""
        outputs, states = self.opened, self._opened[1] if self._opened else {}
        return cells_graph(outputs, grad=self.grad, title=self.title, states=states)

    def at(self, level: ViewLevel) -> Picture:
        """The graph of one level."""
        if level == "layers":
            return layers_graph(
                self.outputs,
                grad=self.grad,
                title=self.title,
                depth=self.depth,
                kernels="kernels" in self.show,
                keys=self.keys,
                seconds=self.seconds,
            )
        if level == "cells":
            return self.cells()
        outputs, flow = (self.opened if self.flow is None else self.outputs), self.flow
        if flow is None and self.grad is not None:
            flow = gradient_flow(outputs)
        views = "views" in self.show
        return operations_graph(
            outputs,
            title=self.title,
            flow=flow,
            views=views,
            keys=self.keys,
            seconds=self.seconds,
        )

    def automatic(self, max_nodes: int) -> Picture:
        """What can be read on a screen, and has at most so many boxes if any level has."""
        views = "views" in self.show
        if self._unrolled():
            graph = self.at("cells")
            if len(elide(graph).nodes) <= max_nodes:
                return graph
        most = min(SCREENFUL, max_nodes)
        modules = has_modules(self.outputs)
        # Opened kernels only add boxes, and opening takes time.
        if not modules or len(operations_graph(self.outputs, views=views).nodes) <= most:
            graph = self.at("ops")
            drawn = tag_leaves(graph)
            if len(drawn.nodes) <= most and width_of(drawn) <= SCREEN_WIDTH:
                return graph
            if self._looped():
                cells = self.at("cells")
                if len(elide(cells).nodes) <= max_nodes:
                    return cells
            if not modules:
                return graph
        graph = self.at("layers")
        if len(graph.nodes) > most:
            graph = fold_repeats(graph)
        while len(graph.nodes) > max_nodes and (self.depth is None or self.depth > 1):
            self.depth = 3 if self.depth is None else self.depth - 1
            graph = self.at("layers")
        return graph

    def _unrolled(self) -> bool:
        """Whether states are carried through several time steps, perhaps within a kernel."""
        if self.seconds is not None:
            return False
        if not has_cells(self.outputs) and not has_kernels(self.outputs):
            return False
        try:
            opened = self.opened
        except DrawError:
            return False  # module calls can still be drawn
        return len(States(read_tape(opened).nodes).steps) > 1

    def _looped(self) -> bool:
        """Whether a recurrence in plain operations is found."""
        return self.seconds is None and bool(labels_on(read_tape(self.opened).nodes, {}))


def width_of(graph: Picture) -> float:
    """About how wide the picture of a small graph is, in pixels."""
    return 100.0 * most_beside(graph)
