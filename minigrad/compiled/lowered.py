"""What became of a call: its graph after every pass, as text, and why others run as before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from minigrad.compiled.graph import Graph, Loop, Operand, Value, View

__all__ = ["Lowered", "graph_text"]


@dataclass(frozen=True)
class Lowered:
    """The graphs of a call, which `print` shows and `minigrad.draw.draw` draws.

    Attributes:
        name: of the function.
        stages: by the name of the pass, the graphs after it: one, or forward and backward.
        refusals: why calls of the function run as before, if any do.
        kernels: of values that run together, in one pass over memory, the number of the kernel.
            Only native code has such, after the pass "fused".
    """

    name: str
    stages: dict[str, list[Graph]]
    refusals: list[str]
    kernels: dict[Value, int] = field(default_factory=dict)

    @property
    def graphs(self) -> list[Graph]:
        """The graphs after the last pass."""
        return list(self.stages.values())[-1] if self.stages else []

    def until(self, name: str) -> "Lowered":
        """The same without the passes after one of them, to draw what it made.

        Raises:
            KeyError: naming the stages that there are.
        """
        self._check(name)
        names = list(self.stages)
        stages = {each: self.stages[each] for each in names[: names.index(name) + 1]}
        return Lowered(self.name, stages, self.refusals, self.kernels if name == "fused" else {})

    def stage(self, name: str) -> str:
        """The text of one stage.

        Raises:
            KeyError: naming the stages that there are.
        """
        self._check(name)
        graphs = self.stages[name]
        kernels = self.kernels if name == "fused" else {}
        parts = ("forward", "backward") if len(graphs) > 1 else ("",)
        texts = []
        for part, graph in zip(parts, graphs, strict=True):
            heading = f"{self.name}, {name}{', ' + part if part else ''}"
            texts.append(f"{heading}: {len(graph.values)} values\n{graph_text(graph, kernels)}")
        return "\n\n".join(texts)

    def _check(self, name: str) -> None:
        if name not in self.stages:
            why = f"; it runs as before: {self.refusals[-1]}" if self.refusals else ""
            raise KeyError(
                f"lowered: there is no stage {name!r}; there are {list(self.stages)}{why}"
            )

    def __str__(self) -> str:
        texts = [self.stage(name) for name in self.stages]
        texts += [f"{self.name} runs as before: {reason}" for reason in self.refusals]
        return "\n\n".join(texts)


def graph_text(graph: Graph, kernels: Mapping[Value, int] = MappingProxyType({})) -> str:
    """A graph, one value on each line, with the numbers of kernels.

    >>> import minigrad as mg
    >>> double = mg.compile(lambda x: np.tanh(x) * 2)
    >>> import numpy as np
    >>> print(double.lowered(np.ones((2, 3), np.float32)).stage("rolled"))
    <lambda>, rolled: 2 values
        a0: float32[2, 3]
        v1 = tanh(a0): float32[2, 3]
        v2 = multiply(v1, 2): float32[2, 3]
        return v2
    """
    names = _Names(graph, kernels)
    lines = [f"a{i}: {_kind(value)}" for i, value in enumerate(graph.inputs)]
    for value in graph.values:
        lines.extend(_lines(value, names))
    lines.append(f"return {', '.join(names.operand(view) for view in graph.outputs)}")
    return "\n".join(f"    {line}" for line in lines)


class _Names:
    """Short names of the values of a graph."""

    def __init__(self, graph: Graph, kernels: Mapping[Value, int]) -> None:
        self.kernels = kernels
        self._names = {value: f"a{i}" for i, value in enumerate(graph.inputs)}
        self._count = 0

    def of(self, value: Value) -> str:
        """The name of a value."""
        if value not in self._names:
            if value.op == "constant":
                return _constant(value)
            self._count += 1
            self._names[value] = f"v{self._count}"
        return self._names[value]

    def operand(self, operand: Operand) -> str:
        """An operand, with how it is read where that is not as a whole."""
        if not isinstance(operand, View):
            return f"{operand:g}" if isinstance(operand, float) else repr(operand)
        value = operand.value
        if value.op == "previous":
            text = f"before {self.of(value.options[0])}"
        elif value.op == "moving":
            (view,) = value.views
            return f"{self.operand(view)} + t * {value.options[0]}"
        else:
            text = self.of(value)
        if operand.whole:
            return text
        return f"{text}{list(operand.shape)} by {list(operand.strides)} from {operand.offset}"


def _constant(value: Value) -> str:
    assert value.array is not None
    return f"{value.array.item()!r}" if value.size == 1 else f"constant {_kind(value)}"


def _kind(value: Value) -> str:
    return f"{value.dtype}{list(value.shape)}"


def _lines(value: Value, names: _Names) -> Iterator[str]:
    """The lines of one value."""
    if value.op == "loop":
        loop: Loop = value.options[0]
        yield f"{names.of(value)} = {loop.count} steps, t {'falling' if loop.down else 'rising'}:"
        for inner in loop.body:
            yield f"    {_line(inner, names)}"
        for inner, view in loop.initial.items():
            yield f"    {names.of(inner)} begins as {names.operand(view)}"
        return
    if value.op == "stack":
        inner = value.options[0]
        yield f"{names.of(value)} = all {names.of(inner)}: {_kind(value)}"
        return
    yield _line(value, names)


def _line(value: Value, names: _Names) -> str:
    options: Sequence[object] = value.options
    given = [names.operand(operand) for operand in value.operands]
    if value.op == "assemble":
        given = [
            f"{text} at {place}" for text, (_, place) in zip(given, value.options, strict=True)
        ]
        options = ()
    given += [str(option) for option in options]
    kernel = f"  # kernel {names.kernels[value]}" if value in names.kernels else ""
    return f"{names.of(value)} = {value.op}({', '.join(given)}): {_kind(value)}{kernel}"
