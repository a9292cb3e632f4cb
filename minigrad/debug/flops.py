"""How many multiply-adds a recorded computation takes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.debug.calls import Constant, Result, source_of_tensor
from minigrad.debug.replay import needed
from minigrad.debug.scopes import Scope
from minigrad.ops.pytree import labelled_leaves

__all__ = ["Work", "multiply_adds"]

Count = Callable[[list[PlainArray], PlainArray, Mapping[str, Any]], float]


class Work(NamedTuple):
    """The multiply-adds of one operation that ran, and where it ran."""

    name: str
    scope: Scope | None
    multiply_adds: int


def _last_axis(inputs: list[PlainArray], out: PlainArray, params: Mapping[str, Any]) -> float:
    axis: int = params.get("axis", -1)
    return out.size * int(inputs[0].shape[axis])


def _contraction(inputs: list[PlainArray], out: PlainArray, params: Mapping[str, Any]) -> float:
    # The axes that are summed over count once in each input and not in the output.
    return math.sqrt(inputs[0].size * inputs[1].size * out.size)


def _einsum(inputs: list[PlainArray], out: PlainArray, params: Mapping[str, Any]) -> float:
    operands, _, kept = params["subscripts"].partition("->")
    labels = operands.split(",")
    lengths: dict[str, int] = {}
    for names, array in zip(labels, inputs, strict=True):
        for name, length in zip(names, array.shape, strict=True):
            # Axes of one operand that the result lacks are summed over first.
            if name in kept or all(name in other for other in labels):
                lengths[name] = max(lengths.get(name, 1), length)
    return math.prod(lengths.values())


COUNTS: dict[str, Count] = {
    "convolution": lambda inputs, out, params: out.size * math.prod(inputs[1].shape[1:]),
    "convolution_transpose": lambda inputs, out, params: (
        inputs[0].size * math.prod(inputs[1].shape[1:])
    ),
    "einsum_pair": _einsum,
    "inner": _contraction,
    "matmul": _last_axis,
    "matvec": _last_axis,
    "outer": lambda inputs, out, params: out.size,
    "tensordot": _contraction,
    "vdot": lambda inputs, out, params: inputs[0].size,
    "vecdot": _last_axis,
    "vecmat": _last_axis,
}


def multiply_adds(outputs: Any) -> list[Work]:
    """The multiply-adds of all operations that outputs were computed with, in their order.

    Counted are products of matrices and vectors, `einsum` and convolutions, of everything that
    the outputs depend on, with gradient or without; operations on single elements, reductions and
    lookups are not. The computation is replayed to see the shapes of all operands.

    Args:
        outputs: tensors, or containers of them and of anything else, that were computed under
            ``minigrad.recording(replay=True, fused=False)``: with kernels opened up.

    Raises:
        GradientError: when they were not recorded for replay.

    >>> import minigrad as mg
    >>> with mg.recording(replay=True, fused=False):
    ...     y = mg.matmul(np.ones((2, 3)), np.ones((3, 4)))
    >>> [(work.name, work.multiply_adds) for work in multiply_adds(y)]
    [('matmul', 24)]
    """
    tensors = [leaf for _, leaf in labelled_leaves(outputs) if isinstance(leaf, Tensor)]
    sources = [source_of_tensor(tensor, note=False) for tensor in tensors]
    if any(isinstance(s, Constant) and s.leaf is None and s.node is not None for s in sources):
        raise GradientError(
            "multiply_adds: the outputs were not recorded for it. Compute them inside "
            "`with minigrad.recording(replay=True, fused=False):`."
        )
    calls, _ = needed(sources)
    results: dict[Any, list[Any]] = {}
    found = []
    with ModeChange(recording=False, observers=()):
        for call in calls:
            arguments = [
                results[source.call][source.output]
                if isinstance(source, Result)
                else source.array
                if isinstance(source, Constant)
                else source
                for source in call.sources
            ]
            results[call] = call.run(arguments)
            if call.name not in COUNTS:
                continue
            inputs = [np.asarray(argument) for argument in arguments[: len(call.inputs)]]
            out = np.asarray(results[call][0])
            count = round(COUNTS[call.name](inputs, out, call.params))
            found.append(Work(call.name, call.mode.scope, count))
    return found
