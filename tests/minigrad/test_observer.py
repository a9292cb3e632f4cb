"""What an observer in the mode sees: all that anomaly checks, replay and tracing stand on."""

from typing import Any

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.core.blocks import observed_by
from minigrad.core.observer import Applied, Observer


class Tracer(Observer):
    """Lists what runs forward and backward, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth: dict[Any, int] = {None: 0}

    def enter(self, module: Any, scope: Any) -> None:
        self.depth[scope] = self.depth.get(scope.parent, 0) + 1
        self.lines.append(f"{'  ' * (self.depth[scope] - 1)}{scope.path}: {scope.kind}")

    def call(self, applied: Applied) -> None:
        scope = mg.core.modes.current_mode().scope
        while scope not in self.depth:
            scope = scope.parent
        given = ", ".join(str(list(np.shape(array))) for array in applied.arrays)
        made = ", ".join(str(list(tensor.shape)) for tensor in applied.tensors)
        self.lines.append(f"{'  ' * self.depth[scope]}{applied.operation.name} {given} -> {made}")

    def edge(self, node: Any, gradient: Any, slot: int, source: Any, part: Any) -> None:
        if node is None:
            self.lines.append(f"start {list(part.shape)}")
        elif source is None:
            if not node.inputs:
                self.lines.append(f"{node.name}.grad {list(part.shape)}")
        else:
            self.lines.append(f"{node.plan.name} -> {source.name or source.plan.name}")


def test_a_tracer_lists_forward_and_backward_of_an_lstm_step():
    cell = layers.LSTMCell(3, 2)
    x = np.ones((1, 3), np.float32)
    tracer = Tracer()
    with observed_by(tracer):
        h, _ = cell(x)
        h.sum().backward()
    lines = tracer.lines
    start = lines.index("start []")
    forward, backward = lines[:start], lines[start + 1 :]
    assert forward[0] == "LSTMCell: LSTMCell"
    assert forward[-1] == "sum [1, 2] -> []"
    names = [line.split()[0] for line in forward[1:-1]]
    assert names.count("tanh") == 2
    assert names.count("sigmoid") == 3
    assert all(line.startswith("  ") for line in forward[1:-1])
    assert backward[0].startswith("sum -> ")
    ends = [line for line in backward if ".grad" in line]
    assert sorted(ends) == [
        "bias_hh.grad [8]",
        "bias_ih.grad [8]",
        "weight_hh.grad [8, 2]",
        "weight_ih.grad [8, 3]",
    ]
    # Every arrow of the graph is seen once, and nothing else.
    with mg.recording(fused=False):
        loss = cell(x)[0].sum()
    arrows = sum(source is not None for node in mg.graph(loss) for source in node.inputs)
    assert len([line for line in backward if " -> " in line]) == arrows


class Notes(Observer):
    """Counts events by their names."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def leave(self, tensor: Any, read_by: str = "") -> None:
        self.seen.append("leave")

    def write(self, tensor: Any) -> None:
        self.seen.append("write")

    def constant(self, value: Any, array: Any) -> Any:
        self.seen.append("constant")
        return array

    def draw(self, request: Any, ask: Any) -> Any:
        self.seen.append(f"draw {request.method}")
        return ask()


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (lambda t: t.detach(), "leave"),
        (lambda t: t.numpy(), "leave"),
        (lambda t: t.tolist(), "leave"),
        (lambda t: t.sum().item(), "leave"),
        (lambda t: bool(t[0]), "leave"),
        (lambda t: float(t.detach()[0]), "leave"),
        (lambda t: np.asarray(t.detach()), "leave"),
        (lambda t: t * np.ones(3), "constant"),
        (lambda t: mg.dropout(t, 0.5), "draw random"),
        (lambda t: mg.Tensor([1.0, 2.0]).write(np.float32([3, 4])), "write"),
        (lambda t: t.detach().fill(1.0), "write"),
    ],
)
def test_events(act, event):
    t = mg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    notes = Notes()
    with observed_by(notes):
        act(t)
    assert any(seen.startswith(event) for seen in notes.seen), notes.seen
    before = len(notes.seen)
    act(t)  # outside of the block nobody looks on
    assert len(notes.seen) == before


def test_observers_may_keep_copies_and_replace_draws():
    class Other(Observer):
        def constant(self, value: Any, array: Any) -> Any:
            return array.copy() if isinstance(array, np.ndarray) else array

        def draw(self, request: Any, ask: Any) -> Any:
            _, before, after = ask()
            return np.zeros(3), before, after

    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with observed_by(Other()):
        factors = np.float32([1, 10])
        y = x * factors
        kept = mg.dropout(mg.Tensor(np.ones(3)), 0.5).tolist()
    factors[:] = 0
    y.sum().backward()
    assert y.tolist() == [1.0, 20.0]
    assert x.grad.tolist() == [1.0, 10.0]
    assert kept in ([0.0] * 3, [2.0] * 3)  # all numbers drawn are 0


def test_an_observer_that_counts_draws_leaves_them_as_they_are():
    class Counter(Observer):
        count = 0

        def draw(self, request: Any, ask: Any) -> Any:
            self.count += 1
            return super().draw(request, ask)

    counter, ones = Counter(), mg.Tensor(np.ones(64))
    mg.seed(3)
    alone = mg.dropout(ones, 0.5).tolist()
    mg.seed(3)
    with observed_by(counter):
        assert mg.dropout(ones, 0.5).tolist() == alone
    assert counter.count == 1


def test_blocks_nest_and_both_see():
    outer, inner = Notes(), Notes()
    with observed_by(outer), observed_by(inner):
        mg.Tensor([1.0]).detach()
    assert outer.seen == inner.seen == ["leave"]


def test_an_exception_of_an_observer_leaves_the_mode_as_it_was():
    class Refusing(Observer):
        def call(self, applied: Applied) -> None:
            raise RuntimeError(f"no {applied.operation.name} here")

    x = mg.Tensor([1.0])
    with pytest.raises(RuntimeError, match="no exp here"), observed_by(Refusing()):
        mg.exp(x)
    assert mg.exp(x).tolist() == pytest.approx([np.e])
