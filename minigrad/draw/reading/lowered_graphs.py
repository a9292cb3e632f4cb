"""The graph of a compiled call as a picture: boxes are values, frames are loops and kernels."""

from collections.abc import Mapping

from minigrad.compiled.graph import Graph, Loop, Value, View, everything
from minigrad.compiled.lowered import Lowered
from minigrad.draw.graph.records import Edge, NodeKind, Picture, PictureNode, PictureScope

__all__ = ["picture_of"]


def picture_of(lowered: Lowered) -> Picture:
    """The graphs after the last pass, beside each other if there are two."""
    drawing = _Drawing(lowered.kernels)
    for graph in lowered.graphs:
        drawing.add(graph)
    return Picture(
        tuple(drawing.nodes),
        tuple(drawing.edges),
        tuple(drawing.scopes),
        title=lowered.name,
        diagnosis=tuple(f"runs as before: {reason}" for reason in lowered.refusals),
    )


class _Drawing:
    """The records so far."""

    def __init__(self, kernels: Mapping[Value, int]) -> None:
        self._kernels, self._loops = kernels, 0
        self.nodes: list[PictureNode] = []
        self.edges: list[Edge] = []
        self.scopes: list[PictureScope] = []
        self._boxes: dict[Value, int] = {}

    def add(self, graph: Graph) -> None:
        """One graph."""
        for i, value in enumerate(graph.inputs):
            if any(view.value is value for view in graph.outputs) or _is_read(value, graph):
                self._box(value, "input", name=f"a{i}")
        for value in graph.values:
            if value.op == "loop":
                self._loop(value.options[0])
            elif value.op == "stack":
                self._boxes[value] = self._boxes[value.options[0]]
            else:
                self._box(value, "op")
                self._arrows(value)

    def _box(self, value: Value, kind: NodeKind, name: str = "", scope: str = "") -> None:
        box = len(self.nodes)
        self._boxes[value] = box
        if value in self._kernels:
            scope = self._in_kernel(value, scope)
        self.nodes.append(
            PictureNode(
                box,
                kind,
                op="" if kind == "input" else value.op,
                name=name,
                scope=scope,
                shape=value.shape,
                dtype=str(value.dtype),
            )
        )

    def _in_kernel(self, value: Value, around: str) -> str:
        """The frame of the kernel that a value belongs to."""
        name = f"kernel {self._kernels[value]}"
        path = f"{around}.{name}" if around else name
        if all(scope.path != path for scope in self.scopes):
            self.scopes.append(PictureScope(path, name, around))
        return path

    def _loop(self, loop: Loop) -> None:
        self._loops += 1
        scope = f"loop {self._loops}"
        self.scopes.append(PictureScope(scope, f"{loop.count} steps"))
        for value in loop.body:
            self._box(value, "op", scope=scope)
        for value in loop.body:
            self._arrows(value)
        for value in loop.body:
            for slot, view in enumerate(value.views):  # what the first step reads in their place
                read = _source(view)
                begin = loop.initial[read.options[0]] if read.op == "previous" else view
                if read.op == "previous" and begin.value in self._boxes:
                    source = self._boxes[begin.value]
                    self.edges.append(Edge(source, self._boxes[value], slot, "data", begin.shape))

    def _arrows(self, value: Value) -> None:
        target = self._boxes[value]
        for slot, view in enumerate(value.views):
            read = _source(view)
            if read.op == "previous":
                source = self._boxes[read.options[0]]
                self.edges.append(Edge(source, target, slot, "rolled", view.shape))
            elif read in self._boxes:
                self.edges.append(Edge(self._boxes[read], target, slot, "data", view.shape))


def _source(view: View) -> Value:
    value = view.value
    return next(value.views).value if value.op == "moving" else value


def _is_read(value: Value, graph: Graph) -> bool:
    return any(v.value is value for inner in everything(graph.values) for v in inner.views)
