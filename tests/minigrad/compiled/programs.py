"""A traced call as one function on arrays, by the NumPy back end: what tests of the parts share."""

from typing import Any

import numpy as np

from minigrad.compiled import plain
from minigrad.compiled.llvm import crew, program
from minigrad.compiled.trace import Traced, settle, trace
from minigrad.core.tensors import Tensor


def share_everything(patch: Any) -> None:
    """Let threads take part in the smallest work, at every call."""
    patch.setattr(program, "_WORTH_THREADS", 0)
    patch.setattr(crew.Pace, "together", lambda self: True)


def run_traced(traced: Traced, arrays: list[Any], build: Any = plain.build) -> list[Any]:
    """Outputs and then gradients (from ones) of a traced call, for other arguments."""
    inputs = [*traced.arguments, *(value for _, value in traced.captured), *traced.seeds]
    gradients = [g for g in map(traced.gradients.get, traced.arguments) if g is not None]
    graph = traced.graph(inputs, [*traced.outputs, *gradients])
    held = [np.ascontiguousarray(reference()._array) for reference, _ in traced.captured]
    seeds = [np.ones(value.shape, value.dtype) for value in traced.seeds]
    return build(graph)([*map(np.ascontiguousarray, arrays), *held, *seeds])


def eager(function: Any, arrays: list[Any]) -> list[Any]:
    """The same by the eager engine."""
    tensors = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    result = function(*tensors)
    outputs = result if isinstance(result, (list, tuple)) else [result]
    from minigrad.transforms.derivatives import gradients_at

    targets = [t._node for t in tensors if t._node is not None]
    seeds = [np.ones(out.shape, out.dtype) for out in outputs]
    found, _ = gradients_at(list(outputs), seeds, targets, False)
    return [o.numpy() for o in outputs] + [np.asarray(found[t]) for t in targets if t in found]


def compare(
    function: Any, arrays: list[Any], rtol: float = 0.0, build: Any = plain.build
) -> Traced:
    """Check a function, traced at some arguments, at those and at others."""
    tensors = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    traced = trace(function, tensors, {})
    settle(traced, {})
    assert traced.refusal is None, traced.refusal
    moved = [a * a.dtype.type(0.96) if a.dtype.kind == "f" else a for a in arrays]
    for given in (arrays, moved):
        found = run_traced(traced, given, build)
        expected = eager(function, given)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol, equal_nan=True)
    return traced
