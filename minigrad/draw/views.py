"""From what was computed to its picture: the level of detail, and what is shown of it."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias, get_args

from minigrad.draw.cells_view import cells_graph, has_cells
from minigrad.draw.drawing import Drawing, draw_graph
from minigrad.draw.elide import elide
from minigrad.draw.errors import DrawError
from minigrad.draw.flow import GradientFlow, gradient_flow
from minigrad.draw.layers_view import has_modules, layers_graph
from minigrad.draw.layout import DEFAULT_TIME_LIMIT
from minigrad.draw.opening import has_kernels
from minigrad.draw.operations_view import operations_graph
from minigrad.draw.passes import focus as focus_on
from minigrad.draw.passes import prune, tag_leaves, without
from minigrad.draw.records import Graph
from minigrad.draw.recurrence import NamedStates, open_with_states
from minigrad.draw.rolling import fold_repeats
from minigrad.draw.rolling import roll as roll_up
from minigrad.errors import describe
from minigrad.tensors import Tensor

__all__ = ["ViewLevel", "draw", "view"]

ViewLevel: TypeAlias = Literal["auto", "ops", "cells", "layers"]
Shown: TypeAlias = Literal["parameters", "views", "kernels"]
PARAMETERS: Final[tuple[Shown, ...]] = ("parameters",)
GRADIENTS: Final = (None, "norm", "share")
MAX_NODES: Final = 400
"""Pictures of up to so many boxes are comfortable to read and quick to lay out."""


def draw(
    target: Any,
    *,
    level: ViewLevel = "auto",
    roll: bool = False,
    grad: Literal["norm", "share"] | None = None,
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
        target: a tensor, several, a module (or function) with its inputs, ``(module, x)``, a
            `Graph`, or a `GradientFlow`.
        level: `ops` shows every operation, with kernels opened up; `cells` one box per recurrent
            cell and time step, with lanes for the carried states; `layers` one box per module
            call; `auto` the finest of them that has at most `max_nodes` boxes.
        roll: draw a cell once for all time steps, and layers of a stack that are alike once, with
            arrows that lead on to the next one.
        grad: `norm` measures what every edge carries back from the target, a single number, and
            shows it as width, colour and number. `share` shows how much of the gradient at its
            end each edge brought, signed; the shares at one place sum to 1. `.grad` of no tensor
            is touched. What went wrong is marked and said in a sentence: numbers that are not
            finite, gradients that are exactly zero, states that were detached.
        show: what to show besides operations: `parameters`; `views`, the reshapes and transposes
            that otherwise fold into edges; `kernels`, closed, as they ran.
        focus: the path of a module or the name of a tensor: only what is there, and around it.
        depth: at level `layers`, how many levels of modules to open; None opens those that do
            little more than call others.
        max_nodes: see `level`.
        states: the states of a cell that is written in plain operations, see
            `minigrad.draw.backprop_through_time`; level `cells` draws them, and without any finds
            those of a loop by itself.
        steps, theme, domain, time_limit: see `draw_graph`.
        title: heading of the picture.

    Raises DrawError for a target without a graph, and for `cells` without recurrent cells;
    with `grad` also when the graph was freed by a backward, or the target is not a single number.
    ValueError for an unknown level, step, part to show or focus.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> draw((x * x).sum(), grad="norm")
    Drawing(ops, 3 nodes, 3 edges)
    """
    graph = view(
        target,
        level=level,
        grad=grad,
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
    show: Collection[Shown] = PARAMETERS,
    focus: str | None = None,
    depth: int | None = None,
    max_nodes: int = MAX_NODES,
    title: str = "",
    states: NamedStates = None,
) -> Graph:
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
    if isinstance(target, Graph):
        graph = target
    else:
        flow = target if isinstance(target, GradientFlow) else None
        outputs = list(flow.tape.outputs) if flow is not None else results_of(target)
        measure = grad or ("norm" if flow else None)
        chooser = _Chooser(outputs, measure, flow, show, depth, title, states)
        with collector_paused():
            if level == "auto" and states is not None:
                level = "cells"
            graph = chooser.automatic(max_nodes) if level == "auto" else chooser.at(level)
        if flow is not None and flow.needed is not None:
            graph = prune(graph)
    if roll:
        graph = fold_repeats(roll_up(graph))
    elif graph.level == "ops" and not isinstance(target, Graph):
        graph = tag_leaves(graph)
    if focus is not None:
        graph = focus_on(graph, focus)
    return graph if "parameters" in show else without(graph, ("parameter",))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Stop the search for cycles while many records are made at once: none of them is garbage.

    Looking through them again and again took a fifth of the time of a long picture.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def results_of(target: Any) -> list[Tensor]:
    """The tensors that a target stands for; a module with its inputs is called."""
    if isinstance(target, Tensor):
        return [target]
    if isinstance(target, (tuple, list)) and target and callable(target[0]):
        module, *inputs = target
        found = _tensors(module(*inputs))
        if not any(tensor._node is not None for tensor in found):
            raise DrawError(
                f"target: calling {describe(module)} gave no tensor that requires grad, so nothing "
                "was recorded. Does it have parameters, and is recording on?"
            )
        return [tensor for tensor in found if tensor._node is not None]
    if isinstance(target, (tuple, list)) and all(isinstance(t, Tensor) for t in target) and target:
        return list(target)
    raise DrawError(
        "target must be a tensor, a list of tensors, (module, input, ...), a Graph or a "
        f"GradientFlow, got {describe(target)}"
    )


def _tensors(result: Any) -> list[Tensor]:
    """All tensors in a module's result, which may be nested tuples, lists and dictionaries."""
    found: list[Tensor] = []
    waiting = [result]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, dict):
            waiting = [*part.values(), *waiting]
        elif isinstance(part, (tuple, list)):
            waiting = [*part, *waiting]
    return found


class _Chooser:
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
    ) -> None:
        self.outputs, self.grad, self.flow = list(outputs), grad, flow
        self.show, self.depth, self.title = show, depth, title
        self._states = states
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

    def cells(self) -> Graph:
        """The graph of cells and time steps."""
        outputs, states = self.opened, self._opened[1] if self._opened else {}
        return cells_graph(outputs, grad=self.grad, title=self.title, states=states)

    def at(self, level: ViewLevel) -> Graph:
        """The graph of one level."""
        if level == "layers":
            return layers_graph(self.outputs, grad=self.grad, title=self.title, depth=self.depth)
        if level == "cells":
            return self.cells()
        outputs, flow = (self.opened if self.flow is None else self.outputs), self.flow
        if flow is None and self.grad is not None:
            flow = gradient_flow(outputs)
        return operations_graph(outputs, title=self.title, flow=flow, views="views" in self.show)

    def automatic(self, max_nodes: int) -> Graph:
        """The graph of the finest level with at most so many boxes; of the coarsest if none has."""
        views = "views" in self.show
        if len(operations_graph(self.outputs, views=views).nodes) <= max_nodes:
            shown = self.outputs if self.flow is not None else self.opened
            if shown is self.outputs or (
                len(operations_graph(shown, views=views).nodes) <= max_nodes
            ):
                return self.at("ops")
        if has_cells(self.outputs) or (has_kernels(self.outputs) and has_cells(self.opened)):
            graph = self.at("cells")
            if len(elide(graph).nodes) <= max_nodes:
                return graph
        if not has_modules(self.outputs):
            return self.at("ops")
        graph = self.at("layers")
        if len(graph.nodes) > max_nodes:
            graph = fold_repeats(graph)
        while len(graph.nodes) > max_nodes and (self.depth is None or self.depth > 1):
            self.depth = 3 if self.depth is None else self.depth - 1
            graph = self.at("layers")
        return graph
