"""Random programs: expressions of up to 30 registered operations, and what they must give.

A program is data: arrays to begin with, and steps that each apply one operation to earlier values.
It runs on tensors and, independently, on the jets of the hyper-dual engine. Its repr is the
program as Python text, so that a failure, shrunk by hypothesis, can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.tensors import Tensor
from minigrad.debug.calls import recording
from minigrad.io.packages import require
from minigrad.testing.hyperdual import Jet, jet, sin, total
from minigrad.testing.tables.specifications import Shape, Specification
from minigrad.transforms.derivatives import gradients

require("hypothesis", "testing", "minigrad.testing.random_programs")

from hypothesis import strategies as st  # noqa: E402 - after the check that it is installed

from minigrad.restoring import errstate  # noqa: E402
from minigrad.testing.tables.array_table import ARRAYS  # noqa: E402
from minigrad.testing.tables.elementwise_table import ELEMENTWISE  # noqa: E402
from minigrad.testing.tables.matrix_table import MATRICES, NETWORKS  # noqa: E402

__all__ = ["SPECIFICATIONS", "Program", "Step", "check_program", "programs"]

SPECIFICATIONS: tuple[Specification, ...] = (
    *ELEMENTWISE,
    *ARRAYS,
    *MATRICES,
    *NETWORKS,
)
"""The operations that random programs are made of; add your own with `programs(operations=...)`."""

LARGEST = 64  # elements of a value
TOLERANCE = 1e-9  # relative to the largest intermediate number


@dataclass(frozen=True)
class Step:
    """One operation of a program.

    Attributes:
        operation: what is computed.
        inputs: the numbers of the values that it is computed from.
        ranges: for each input, None, or the interval into which its numbers are mapped first.
        params: the parameters of the call.
    """

    operation: Specification
    inputs: tuple[int, ...]
    ranges: tuple[tuple[float, float] | None, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def apply(self, function: Any, sine: Any, values: Sequence[Any]) -> Any:
        """The result, by either engine."""
        inputs = []
        for number, range_ in zip(self.inputs, self.ranges, strict=True):
            value = values[number]
            if range_ is not None:
                low, high = range_
                value = sine(value) * ((high - low) / 2) + (high + low) / 2
            inputs.append(value)
        return function(*inputs, **self.params)


@dataclass(frozen=True)
class Program:
    """An expression graph of operations on floating arrays.

    Attributes:
        leaves: the arrays that it starts from, numbered 0 and on.
        steps: the operations; the values that they give are numbered after the leaves.
    """

    leaves: list[Any]
    steps: list[Step]

    @property
    def size(self) -> int:
        """The number of operations, with three for each interval that numbers are mapped into."""
        return sum(1 + 3 * sum(r is not None for r in step.ranges) for step in self.steps)

    @property
    def outputs(self) -> list[int]:
        """The numbers of the values that no step uses."""
        used = {number for step in self.steps for number in step.inputs}
        return [i for i in range(len(self.leaves) + len(self.steps)) if i not in used]

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        """All values on tensors, the leaves first."""
        values = list(leaves)
        for step in self.steps:
            values.append(step.apply(step.operation.function, np.sin, values))
        return values

    def run_on_jets(self, leaves: Sequence[Any]) -> list[Jet]:
        """All values on jets, independently."""
        values = [jet(leaf) for leaf in leaves]
        for step in self.steps:
            values.append(step.apply(step.operation.on_jets, sin, values))
        return values

    def loss(self, values: Sequence[Any]) -> Any:
        """A weighted sum of all outputs, by either engine."""
        parts = []
        for number in self.outputs:
            weights = np.cos(1.0 + np.arange(np.prod(values[number].shape, dtype=int)))
            product = values[number] * weights.reshape(values[number].shape)
            parts.append(total(product) if isinstance(product, Jet) else product.sum())
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        return result

    def __repr__(self) -> str:
        lines = [f"v{i} = leaf {describe(leaf)}" for i, leaf in enumerate(self.leaves)]
        for i, step in enumerate(self.steps, len(self.leaves)):
            arguments = [
                f"v{number}" if range_ is None else f"within(v{number}, {range_[0]}, {range_[1]})"
                for number, range_ in zip(step.inputs, step.ranges, strict=True)
            ]
            arguments += [f"{name}={_text(value)}" for name, value in step.params.items()]
            lines.append(f"v{i} = {step.operation.name}({', '.join(arguments)})")
        return "Program:\n    " + "\n    ".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # else hypothesis would print every field


def _text(value: Any) -> str:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else repr(value)


# -- drawing -------------------------------------------------------------------------------------


@st.composite
def programs(
    draw: Any,
    max_operations: int = 30,
    operations: Sequence[Specification] = SPECIFICATIONS,
    max_leaves: int = 3,
) -> Program:
    """Programs of up to `max_operations` operations, smooth where they are evaluated.

    Args:
        max_operations: their largest number.
        operations: what they are made of.
        max_leaves: how many arrays they start from at most.
    """
    sides = st.sampled_from([2, 3, 1])
    side, other = draw(sides), draw(sides)
    # Few lengths, so that many values fit each other.
    shapes: list[Shape] = [
        (side, side),
        (side,),
        (other, side),
        (),
        (side, other),
        (2, side, other),
    ]
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, max_leaves))
    leaves = [generator.uniform(-2, 2, draw(st.sampled_from(shapes))) for _ in range(count)]
    # Hypothesis prefers what comes first, so that something else does in each program.
    turn = int(generator.integers(len(operations)))
    operations = [*operations[turn:], *operations[:turn]]
    values = [jet(leaf) for leaf in leaves]
    program = Program(leaves, [])
    size = 0
    for _ in range(draw(st.integers(1, max_operations))):
        with errstate(all="ignore"):  # where an operation is not smooth, its step is dropped
            step = _draw_step(draw, values, operations)
            if step is None:
                continue
            value = step.apply(step.operation.on_jets, sin, values)
        cost = 1 + 3 * sum(r is not None for r in step.ranges)
        if not 0 < value.value.size <= LARGEST or value.ndim > 4 or size + cost > max_operations:
            continue
        size += cost
        values.append(value)
        program.steps.append(step)
    return program


def _draw_step(draw: Any, values: list[Jet], operations: Sequence[Specification]) -> Step | None:
    """A step on the values so far, or None when what was drawn does not fit."""
    latest = len(values) - 1
    numbers = [latest - draw(st.integers(0, latest))]
    shapes = [values[numbers[0]].shape]
    fitting = [operation for operation in operations if operation.fits(*shapes)]
    if not fitting:
        return None
    operation = draw(st.sampled_from(fitting))
    for _ in operation.domains[1:]:
        candidates = [i for i in range(latest, -1, -1) if operation.fits(*shapes, values[i].shape)]
        if not candidates:
            return None
        numbers.append(draw(st.sampled_from(candidates)))
        shapes.append(values[numbers[-1]].shape)
    params = {} if operation.params is None else operation.params(draw, shapes)
    ranges = tuple(
        None if bool(((v >= low) & (v <= high)).all()) else (low, high)
        for v, (low, high) in zip(
            (values[i].value for i in numbers), operation.domains, strict=True
        )
    )
    step = Step(operation, tuple(numbers), ranges, params)
    if operation.smooth is not None:
        inputs = step.apply(lambda *inputs, **params: [jet(i).value for i in inputs], sin, values)
        if not operation.smooth(*inputs, **params):
            return None
    return step


# -- comparing -----------------------------------------------------------------------------------


def check_program(program: Program, seed: int = 0, tolerance: float = TOLERANCE) -> None:
    """Compare a program's values, gradient and second derivatives with the hyper-dual engine's.

    The gradient is compared along two random directions, by a plain backward and by one that is
    recorded; the second derivative along both. All agree within `tolerance` times the largest
    number, value or derivative, that the hyper-dual engine met.

    Raises:
        AssertionError: naming what differs, with both numbers.
    """
    generator = np.random.default_rng(seed)
    first = [generator.uniform(-1, 1, leaf.shape) for leaf in program.leaves]
    second = [generator.uniform(-1, 1, leaf.shape) for leaf in program.leaves]
    jets = program.run_on_jets(
        [Jet(*parts) for parts in zip(program.leaves, first, second, strict=True)]
    )
    expected = program.loss(jets)
    bound = tolerance * max(1.0, expected.largest, *(value.largest for value in jets))

    for fused in (True, False):
        with recording(fused=fused):
            leaves = [Tensor(leaf, requires_grad=True) for leaf in program.leaves]
            values = program.run(leaves)
            loss = program.loss(values)
        for number, (mine, theirs) in enumerate(zip(values, jets, strict=True)):
            assert mine.shape == theirs.shape, (number, mine.shape, theirs.shape)
            _compare(f"the value v{number}", mine.numpy(), theirs.value, bound)
        _compare("the loss", loss.item(), expected.value, bound)
        loss.backward(retain_graph=True)
        plain = [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]
        recorded = gradients(loss, leaves, create_graph=True)
        for name, grads in (("", plain), (" under create_graph", [g.numpy() for g in recorded])):
            for k, direction in ((1, first), (2, second)):
                slope = sum(float((g * d).sum()) for g, d in zip(grads, direction, strict=True))
                what = f"the derivative along direction {k}{name}"
                _compare(what, slope, expected.parts[k], bound)
        slope = sum((g * d).sum() for g, d in zip(recorded, first, strict=True))
        bend = 0.0
        if slope.requires_grad:  # else the program is linear
            found = _second(slope, leaves)
            bend = sum(float((g * d).sum()) for g, d in zip(found, second, strict=True))
        _compare("the second derivative", bend, expected.parts[3], bound)


def _second(slope: Tensor, leaves: list[Tensor]) -> list[Any]:
    """The gradient of a slope; zeros for leaves that it does not depend on."""
    for leaf in leaves:
        leaf.zero_grad()
    slope.backward()
    return [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


def _compare(what: str, mine: Any, theirs: Any, bound: float) -> None:
    difference = float(np.abs(np.asarray(mine) - theirs).max(initial=0))
    if not difference <= bound:
        raise AssertionError(
            f"{what} differs from the hyper-dual engine's by {difference:.3g}, allowed "
            f"{bound:.3g}: {_text(np.asarray(mine))} and {_text(np.asarray(theirs))}"
        )
