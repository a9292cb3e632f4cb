"""How much each output depends on each input: |d output_k / d input_t| over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from minigrad.core.nodes import Node
from minigrad.core.tensors import Tensor
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.reading.backward_passes import Adjoints, backward_pass
from minigrad.draw.reading.measure import read_tape
from minigrad.ops.pruning import needed_nodes
from minigrad.ops.randomness import draw_numbers

__all__ = ["Connectivity", "input_connectivity"]

MOST_FEATURES: Final = 16
MOST_STEPS: Final = 32


@dataclass(frozen=True)
class Connectivity:
    """What `input_connectivity` found.

    Attributes:
        output_steps: the steps k, (K,).
        norms: |d output_k / d input_t|, the Frobenius norm over features and batch, (K, T).
        exact: whether every feature was differentiated, rather than random sums of them.
    """

    output_steps: np.ndarray[Any, Any]
    norms: np.ndarray[Any, Any]
    exact: bool


def input_connectivity(
    outputs: Tensor,
    inputs: Tensor,
    *,
    steps: Sequence[int] | None = None,
    probes: int | None = None,
    generator: np.random.Generator | None = None,
) -> Connectivity:
    """Measure how much each output of a sequence model depends on each of its inputs.

    Args:
        outputs: (batch, time, features), on the tape.
        inputs: (batch, time, ...), a tensor that the outputs were computed from: a leaf, or what
            an embedding returned.
        steps: the output steps k; None takes all, or 32 evenly spread ones.
        probes: differentiate this many random sums of an output's features instead of each feature:
            an unbiased estimate of the squared norm. None takes each, or 16 sums if there are more.
        generator: draws the signs of the sums.

    Raises DrawError where the outputs do not depend on the inputs, or either has no time axis.
    """
    if outputs.ndim < 2 or inputs.ndim < 2:
        raise DrawError(
            f"outputs and inputs need axes (batch, time, ...), got shapes {outputs.shape} and "
            f"{inputs.shape}"
        )
    tape = read_tape([outputs])
    if inputs._node is None or inputs._node not in set(tape.nodes):
        raise DrawError("the outputs do not depend on the inputs: does the input require grad?")
    assert outputs._node is not None
    needed, _ = needed_nodes([outputs._node], {inputs._node})
    time = outputs.shape[1]
    chosen = (
        np.unique(np.linspace(0, time - 1, min(time, MOST_STEPS)).round().astype(int))
        if steps is None
        else np.array([range(time)[k] for k in steps])
    )
    size = int(np.prod(outputs.shape[2:]))
    exact = probes is None and size <= MOST_FEATURES
    seeds = np.eye(size)
    if not exact:
        count = probes or MOST_FEATURES
        signs = draw_numbers(
            generator, "choice", [-1.0, 1.0], (count, size), name="time_connectivity"
        )
        seeds = signs / np.sqrt(count)
    squares = np.zeros((len(chosen), inputs.shape[1]))
    for row, k in enumerate(chosen):
        for seed in seeds:
            g = np.zeros(outputs.shape, outputs.dtype)
            g[:, k] = seed.reshape(outputs.shape[2:])

            def on_gradient(node: Node, parts: Adjoints, row: int = row) -> None:
                if node is inputs._node:
                    by_step = np.moveaxis(np.asarray(parts[0], np.float64), 1, 0)
                    flat = by_step.reshape(inputs.shape[1], -1)
                    squares[row] += (flat * flat).sum(axis=1)

            backward_pass(
                {outputs._node: {0: g}}, on_gradient=on_gradient, stop={inputs._node}, needed=needed
            )
    return Connectivity(chosen, np.sqrt(squares), exact)
