"""Whether a kernel and its reference compute the same, up to the rounding that both may make.

Two right computations differ by rounding: each is exact for inputs that are a few units in the
last place away (a backward error). By how much that moves a result depends on the numbers, since
sums may cancel and gates may saturate. So it is measured: the kernel runs again on inputs and
residuals that are moved at random by one unit each, and the tolerance is a multiple of what that
changes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.draw.errors import DrawError
from minigrad.mode import ModeChange
from minigrad.nodes import Node, next_number
from minigrad.tape import fit, needed_nodes, run_backward
from minigrad.tensors import wrap

__all__ = ["check_agreement"]

FUNCTION_ULPS = 5.0
"""By how many units in the last place an elementary function may be off."""

NUDGES = 4
"""How often the kernel runs on moved inputs: one run may leave a single number as it is."""

MOST_COMPARED = 6000
"""References of more operations than this are compared in value alone: to run them backward once
more takes as long as all the rest of a picture."""


@np.errstate(all="ignore")  # both may overflow on the way
def check_agreement(node: Node, handles: Sequence[Any], results: tuple[Any, ...]) -> None:
    """Compare a reference with its kernel: the results, and the gradients of one random output.

    Args:
        node: of the kernel.
        handles: the inputs with which the reference ran.
        results: what it gave.

    Raises:
        DrawError: when they do not agree.
    """
    comparison = _Comparison(node, len(results))
    names = node.plan.operation.outputs
    for i, (name, result) in enumerate(zip(names, results, strict=True)):
        comparison.check(f"result {name}", comparison.values, i, result._array)
    first = min((handle._node.number for handle in handles if hasattr(handle, "_node")), default=0)
    if next_number() - first > MOST_COMPARED:
        return
    found = _reference_gradients(node, handles, results, comparison.upstream)
    terms = comparison.terms()
    for i, (name, handle) in enumerate(zip(node.plan.operation.inputs, handles, strict=True)):
        at = getattr(handle, "_node", None)
        if at is not None and at in found and terms[0][i] is not None:
            fitted = [[fit(run[i], at, node.plan.name)] for run in terms]
            comparison.check(f"gradient of {name}", fitted, 0, found[at])


def _reference_gradients(
    node: Node, handles: Sequence[Any], results: tuple[Any, ...], upstream: Sequence[Any]
) -> dict[Any, Any]:
    """The gradients of the inputs, by their nodes, that a reference gives."""
    roots = [
        (result._node, g)
        for result, g in zip(results, upstream, strict=True)
        if result._node is not None
    ]
    keep = {h._node for h, wanted in zip(handles, node.plan.needed, strict=True) if wanted}
    on_the_way, _ = needed_nodes([root for root, _ in roots], keep)
    with ModeChange(recording=False, replay=False, anomaly=""):
        return run_backward(roots, needed=on_the_way, keep=keep, retain=True, wrap=wrap)


class _Comparison:
    """A kernel as it ran, and as it runs on inputs that are moved by one rounding error each.

    Attributes:
        values: the results, the first time as they are, and then on moved inputs.
        upstream: random gradients of the results.
    """

    def __init__(self, node: Node, count: int) -> None:
        assert node.saved is not None
        self.node, self.operation = node, node.plan.operation
        self.arrays, self.residuals = node.saved
        floats = list(_floats(self.arrays))
        coarsest = max((np.finfo(a.dtype) for a in floats), key=lambda info: float(info.eps))
        self.eps, self.largest = float(coarsest.eps), float(coarsest.max)
        self.subnormal = float(coarsest.smallest_subnormal)
        self.summands = sum(a.size for a in floats)
        self.generator = np.random.default_rng(0)
        self.moved = [self._move(self.arrays) for _ in range(NUDGES)]
        runs = [self._forward(arrays) for arrays in (self.arrays, *self.moved)]
        self.values = [[np.asarray(value) for value in run[:count]] for run in runs]
        self.moved_residuals = [self._move(run[-1]) for run in runs[1:]]
        self.upstream = tuple(
            self.generator.standard_normal(value.shape).astype(value.dtype)
            for value in self.values[0]
        )

    def _forward(self, arrays: Any) -> Any:
        return self.operation.forward(*arrays, **self.node.params)

    def terms(self) -> list[Any]:
        """The gradients of the inputs likewise: as they are, and on moved inputs and residuals."""
        arguments = [(self.residuals, self.arrays)]
        arguments += zip(self.moved_residuals, self.moved, strict=True)
        with ModeChange(recording=False, replay=False, anomaly=""):
            return [
                self.operation.backward(
                    self.upstream, residuals, arrays, self.node.plan.needed, **self.node.params
                )
                for residuals, arrays in arguments
            ]

    def _move(self, value: Any) -> Any:
        """The floating arrays within a value, each number one rounding error up or down."""
        if isinstance(value, (tuple, list)):
            parts = [self._move(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        signs = self.generator.choice([-1.0, 1.0], value.shape)
        return (value * (1 + self.eps * signs)).astype(value.dtype)

    def check(self, what: str, runs: list[Any], i: int, reference: Any) -> None:
        """Refuse a result, the number i of every run, that is not what the reference gives.

        Raises:
            DrawError: naming the kernel, the result and both magnitudes.
        """
        kernel, *moved = (np.asarray(run[i], np.float64) for run in runs)
        reference = np.asarray(reference, np.float64)
        finite = np.isfinite(kernel)
        if not (finite == np.isfinite(reference)).all():
            if self._may_overflow():
                return  # sums in another order overflow at other places
            self._refuse(what, "is not finite at the same places")
        size = float(np.abs(kernel[finite]).max(initial=0.0))
        error = float(np.abs(kernel - reference)[finite].max(initial=0.0))
        changes = [np.abs(kernel - other)[finite] for other in moved]
        change = max((float(c[np.isfinite(c)].max(initial=0.0)) for c in changes), default=0.0)
        room = FUNCTION_ULPS + math.sqrt(self.summands) / 2  # roundings of a sum add up as a walk
        lost = self.summands * self.subnormal  # by terms that underflow
        if error > room * (self.eps * size + change) + lost:
            self._refuse(what, f"differs by {error:.3g}, entries are up to {size:.3g}")

    def _may_overflow(self) -> bool:
        """Whether a product of two numbers that went in is near the end of the dtype's range."""
        magnitudes = [float(np.abs(a).max(initial=0.0)) for a in _floats(self.arrays)]
        return not all(m < math.sqrt(self.largest) / FUNCTION_ULPS for m in magnitudes)

    def _refuse(self, what: str, finding: str) -> None:
        raise DrawError(
            f"the kernel of {self.node.where} and its reference do not agree: {what} {finding}. A "
            "picture of the reference would show something else than what ran; draw with "
            "show=('parameters', 'kernels'), and check the kernel with minigrad.testing.fused_test."
        )


def _floats(value: Any) -> Iterator[Any]:
    return (a for a in value if isinstance(a, np.ndarray) and a.dtype.kind == "f")
