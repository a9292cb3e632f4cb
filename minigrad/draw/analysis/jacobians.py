"""The Jacobian of one time step, J_t = ds_t/ds_{t-1}, its spectrum, and products over many steps.

The gradient goes back through a product of such Jacobians: with singular values below 1 it
vanishes, above 1 it may explode (Pascanu, Mikolov and Bengio 2013, section 2). Products are kept
as a matrix of norm 1 and the logarithm of its scale, so that ten thousand steps neither under- nor
overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from minigrad.core.nodes import Leaf, Node, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.measure import reaches, read_tape
from minigrad.draw.reading.named_states import NamedStates, labels_on, open_with_states
from minigrad.draw.reading.tape_states import States, value_of

__all__ = ["Bounds", "JacobianSpectra", "jacobian_spectra"]

MOST_STEPS: Final = 128
SLOPES: Final = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0}
"""The largest slope of each activation: gamma in Pascanu et al."""


@dataclass(frozen=True)
class Bounds:
    """Bounds for the Jacobians of a plain recurrent network h_t = f(U h_{t-1} + ...).

    Attributes:
        weight_norm: the largest singular value of U.
        weight_radius: the largest absolute eigenvalue of U.
        slope: gamma, the largest slope that f can have.
        step_bounds: |U| times the largest slope of f at each step, an upper bound of |J_t|.
    """

    weight_norm: float
    weight_radius: float
    slope: float
    step_bounds: PlainArray

    @property
    def vanishes(self) -> bool:
        """Whether gradients must vanish: |U| < 1 / gamma."""
        return self.weight_norm * self.slope < 1

    @property
    def may_explode(self) -> bool:
        """Whether gradients can explode: |U| > 1 / gamma is necessary for it."""
        return self.weight_norm * self.slope > 1


@dataclass
class JacobianSpectra:
    """What `jacobian_spectra` found for one cell.

    Attributes:
        cell: its path.
        states: the names of the states in s_t, in order.
        steps: the time steps t, (N,), in the order in which they ran; counted from where the cell
            begins, if it is a decoder.
        matrices: J_t for each of them, (N, n, n).
        largest, smallest: singular values, (N,).
        radius: the spectral radius, (N,).
        bounds: for a plain recurrent network; else None.
    """

    cell: str
    states: tuple[str, ...]
    steps: PlainArray
    matrices: PlainArray
    largest: PlainArray
    smallest: PlainArray
    radius: PlainArray
    bounds: Bounds | None

    def product(self, lag: int | None = None) -> tuple[PlainArray, float]:
        """J_T J_{T-1} ... over the last `lag` steps, as (matrix of norm 1, log10 of its scale).

        A product that is exactly zero has the scale -inf.
        """
        count = len(self.steps) if lag is None else lag
        if not 0 <= count <= len(self.steps):
            raise ValueError(f"lag must be between 0 and {len(self.steps)}, got {lag}")
        matrix, scale = np.eye(self.matrices.shape[-1]), 0.0
        for jacobian in self.matrices[::-1][:count]:
            matrix, scale = multiplied(matrix, scale, jacobian)
        return matrix, scale

    def log_norms(self) -> PlainArray:
        """log10 of the largest singular value of the product over the last 0, 1, 2 ... steps."""
        matrix, scale = np.eye(self.matrices.shape[-1]), 0.0
        found = [0.0]
        for jacobian in self.matrices[::-1]:
            matrix, scale = multiplied(matrix, scale, jacobian)
            norm = np.linalg.norm(matrix, 2)
            found.append(float(scale + np.log10(norm)) if norm > 0 else -np.inf)
        return np.array(found)

    def summary(self) -> dict[str, Any]:
        """The main results as plain Python values."""
        log_norm = float(self.log_norms()[-1])
        found: dict[str, Any] = {
            "steps": len(self.steps),
            "largest": float(self.largest.max()),
            "smallest": float(self.smallest.min()),
            "radius": float(self.radius.max()),
            "log10_norm_of_product": log_norm,
        }
        if self.bounds is not None:
            found["weight_norm"] = self.bounds.weight_norm
            found["must_vanish"] = self.bounds.vanishes
        return found


def multiplied(matrix: PlainArray, scale: float, jacobian: PlainArray) -> tuple[PlainArray, float]:
    """matrix @ jacobian with norm 1, and log10 of the scale."""
    first = float(np.abs(jacobian).max(initial=0.0))  # else entries near the largest overflow
    product = matrix @ (jacobian / first) if first else np.zeros_like(matrix)
    size = float(np.abs(product).max(initial=0.0))
    if size == 0:
        return product, -np.inf
    product = product / size
    norm = float(np.linalg.norm(product))
    return product / norm, scale + np.log10(first) + np.log10(size) + np.log10(norm)


def jacobian_spectra(
    loss: Tensor | Sequence[Tensor],
    *,
    cell: str | None = None,
    steps: Literal["auto"] | Sequence[int] = "auto",
    sample: int = 0,
    states: NamedStates = None,
) -> JacobianSpectra:
    """The Jacobians of a cell's states by those of the step before, from its recorded graph.

    One backward pass through a single step gives one row, so a cell with n numbers in its states
    takes n of them a step.

    Args:
        loss: tensors whose graph the cell is in, of any shape.
        cell: the path of the cell; None takes the last one.
        steps: consecutive steps t for J_t; "auto" takes all, or the last 128.
        sample: which sample of the batch.
        states: as for `minigrad.draw.backprop_through_time`.

    Raises DrawError for a graph without states, an unknown cell or step, a cell whose samples
    influence each other, and a graph that was freed.
    """
    opened, named = open_with_states([loss] if isinstance(loss, Tensor) else list(loss), states)
    tape = read_tape(opened)
    found = States(tape.nodes, labels_on(tape.nodes, named))
    found.require("the Jacobian of a step")
    if cell is None:
        cell = next(reversed(found.layers))
    if cell not in found.layers:
        known = ", ".join(map(repr, found.layers))
        raise DrawError(f"no cell {cell!r} on the tape; there are {known}")
    offset = found.offset_of(cell)
    order = sorted(
        {step for lane, nodes in found.lanes.items() if lane.cell == cell for step in nodes},
        reverse=found.backwards(cell),
    )
    names = tuple(lane.state for lane in found.lanes if lane.cell == cell)
    # What the loss does not read, such as c of the last step where h alone is masked by lengths,
    # is not behind it; a step without one of its states has no whole Jacobian.
    whole = {step for step in order if len(found.of_step(cell, step)) == len(names)}
    pairs = [(a, b) for a, b in pairwise(reversed(order)) if a in whole and b in whole][::-1]
    steps_known = [now - offset for now, _ in pairs]
    if not pairs:
        raise DrawError(
            f"{cell} ran for one step alone: there is no step before it"
            if len(order) < 2
            else f"no two consecutive steps of {cell} have all their states behind the loss"
        )
    wanted = set(steps_known[-MOST_STEPS:] if isinstance(steps, str) else steps)
    if not wanted:
        raise ValueError("steps is empty: name at least one step")
    if unknown := wanted - set(steps_known):
        raise DrawError(
            f"steps has {min(unknown)}, but {cell} has Jacobians for the steps "
            f"{steps_known[0]} to {steps_known[-1]} alone"
        )
    pairs = [(now, before) for now, before in pairs if now - offset in wanted]
    matrices = np.array(
        [
            step_jacobian(found.of_step(cell, now), found.of_step(cell, before), sample)
            for now, before in pairs
        ]
    )
    if not np.isfinite(matrices).all():
        raise DrawError(f"the Jacobians of {cell} hold NaN or Inf: see draw(loss, grad='norm')")
    singular = np.linalg.svd(matrices, compute_uv=False)
    radius = np.abs(np.linalg.eigvals(matrices)).max(axis=-1)
    return JacobianSpectra(
        cell,
        names,
        np.array([now - offset for now, _ in pairs]),
        matrices,
        singular[:, 0],
        singular[:, -1],
        radius,
        plain_bounds(tape.nodes, found, cell, pairs, sample),
    )


def step_jacobian(now: Sequence[Node], before: Sequence[Node], sample: int) -> PlainArray:
    """ds_t/ds_{t-1} for one sample, (n, n): row by row, by backward passes through one step."""
    first = min(node.number for node in before)
    wanted = set(before)
    # Only what lies between the two steps, and leads to the earlier one, needs to be visited.
    between: set[Node] = set()
    stack = list(now)
    while stack:
        node = stack.pop()
        if node in between:
            continue
        between.add(node)
        if node not in wanted:
            stack += [s for s in node.inputs if s is not None and s.number >= first]
    needed = set(wanted)
    for node in sorted(between, key=lambda n: n.number):
        if any(source in needed for source in node.inputs):
            needed.add(node)
    rows: list[PlainArray] = []
    for number, node in enumerate(now):
        batched = len(node.shape) > 1
        if batched and not -node.shape[0] <= sample < node.shape[0]:
            raise DrawError(f"sample {sample} is not in a batch of {node.shape[0]}")
        size = int(np.prod(node.shape[1:])) if batched else int(np.prod(node.shape))
        for unit in range(size):
            seed = np.zeros(node.shape, node.dtype)
            (seed[sample] if batched else seed).reshape(-1)[unit] = 1
            found: dict[Node, Any] = {}

            def on_gradient(node: Node, parts: Adjoints, found: dict[Node, Any] = found) -> None:
                if node in wanted:
                    found[node] = np.array(parts[0], np.float64)

            backward_pass({node: {0: seed}}, on_gradient=on_gradient, stop=wanted, needed=needed)
            if not rows and number == 0:
                check_samples(found, sample)
            rows.append(np.concatenate([row_part(found.get(s), s, sample) for s in before]))
    return np.array(rows)


def row_part(g: Any, source: Node, sample: int) -> PlainArray:
    """The part of one row that belongs to one state of the step before."""
    batched = len(source.shape) > 1
    size = int(np.prod(source.shape[1:])) if batched else int(np.prod(source.shape))
    if g is None:
        return np.zeros(size)
    part: PlainArray = (g[sample] if batched else g).reshape(-1)
    return part


def check_samples(found: dict[Node, Any], sample: int) -> None:
    """Refuse cells in which one sample influences another: J_t would mix them."""
    for g in found.values():
        if g.ndim > 1 and len(g) > 1:
            others = np.delete(g, sample, axis=0)
            if others.any():
                raise DrawError(
                    "the samples of this cell's batch influence each other (as batch statistics "
                    "do), so there is no Jacobian of a single one"
                )


def plain_bounds(
    nodes: Sequence[Node],
    states: States,
    cell: str,
    pairs: Sequence[tuple[int, int]],
    sample: int,
) -> Bounds | None:
    """Bounds for a cell of the form h_t = f(U h_{t-1} + ...); None for any other."""
    lanes = [lane for lane in states.lanes if lane.cell == cell]
    if len(lanes) != 1:
        return None
    chain = states.lanes[lanes[0]]
    now, before = pairs[-1]
    top = chain[now]
    weight = recurrent_weight(top, chain[before])
    if top.plan.name not in SLOPES or weight is None:
        return None
    norm = float(np.linalg.norm(weight, 2))
    slopes = []
    for step, _ in pairs:
        y = value_of(chain[step])
        if y is None:
            slopes.append(SLOPES[top.plan.name])
            continue
        y = np.asarray(y[sample] if y.ndim > 1 else y, np.float64)
        slope = {"tanh": 1 - y * y, "sigmoid": y * (1 - y), "relu": (y > 0) * 1.0}[top.plan.name]
        slopes.append(float(slope.max(initial=0.0)))
    return Bounds(
        norm,
        float(np.abs(np.linalg.eigvals(weight)).max()),
        SLOPES[top.plan.name],
        norm * np.array(slopes),
    )


def recurrent_weight(top: Node, before: Node) -> PlainArray | None:
    """The matrix of the one product between a state and an activation, through sums alone."""
    stack = [source for source in top.inputs if source is not None]
    found: list[PlainArray] = []
    while stack:
        node = stack.pop()
        if node.plan.name == "add":
            stack += [source for source in node.inputs if source is not None]
        elif node.plan.name == "matmul" and before in node.inputs:
            other = node.inputs[1 - node.inputs.index(before)]
            while other is not None and other.plan.view and other.inputs:
                other = other.inputs[0]
            if isinstance(other, Leaf) and len(other.shape) == 2:
                found.append(np.asarray(other.value, np.float64))
            else:
                return None
        elif node is before or not reaches([node], {before}):
            if node is before:
                return None
        else:
            return None
    if len(found) != 1 or found[0].shape[0] != found[0].shape[1]:
        return None
    return found[0]
