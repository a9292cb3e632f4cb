"""Whether a kernel and its reference compute the same, up to the rounding that both may make.

Two correct computations differ by rounding: each is exact for inputs that are a few units in the
last place away (a backward error). How far that moves a result depends on the numbers, since sums
may cancel and gates may saturate. So it is measured: the kernel runs again on inputs and residuals
that are moved at random by one unit each, and the tolerance is a multiple of what that changes.
Where a result is 0 by symmetry, such as the gradient of a query whose keys are all equal, that
shows nothing; so it also runs on inputs that are moved by half of their size, and a rounding error
of those results is allowed as well. Below float64 a reference may, last, be as far from the kernel
as it is from itself in float64.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.backward import pull_back
from minigrad.core.contributions import unbroadcast
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Node, next_number
from minigrad.core.tensors import Tensor
from minigrad.draw.graph.errors import DrawError
from minigrad.ops.pruning import needed_nodes
from minigrad.restoring import new_generator, quiet

__all__ = ["check_agreement"]

FUNCTION_ULPS = 5.0
"""The error of an elementary function in units in the last place, at most."""

NUDGES = 4
"""How often the kernel runs on moved inputs: in one run a number may stay the same by chance."""

MOST_COMPARED = 6000
"""References of more operations than this are compared in value alone: another backward pass
through them takes as long as the rest of a picture."""


@quiet  # intermediate values of both may overflow
def check_agreement(node: Node, handles: Sequence[Any], results: tuple[Any, ...]) -> None:
    """Compare a reference with its kernel: the results, and the gradients of one random output.

    Args:
        node: of the kernel.
        handles: the inputs with which the reference ran.
        results: what it gave.

    Raises:
        DrawError: when they do not agree.
    """
    first = min((handle._node.number for handle in handles if hasattr(handle, "_node")), default=0)
    short = next_number() - first <= MOST_COMPARED
    comparison = _Comparison(node, len(results), gradients=short)
    for i, (name, result) in enumerate(zip(node.plan.operation.outputs, results, strict=True)):
        comparison.check(f"result {name}", "values", i, result._array)
    if not short:
        return
    terms = _gradients(node, handles, results, comparison.upstream)
    for i, name in enumerate(node.plan.operation.inputs):
        if terms[i] is not None:
            comparison.check(f"gradient of {name}", "terms", i, terms[i])


def _gradients(
    node: Node, handles: Sequence[Any], results: tuple[Any, ...], upstream: Sequence[Any]
) -> list[Any]:
    """The gradients of the inputs that a reference gives; None for those that need none."""
    roots = [
        (result._node, g.astype(result.dtype))
        for result, g in zip(results, upstream, strict=True)
        if result._node is not None
    ]
    keep = {h._node for h, wanted in zip(handles, node.plan.needed, strict=True) if wanted}
    on_the_way, _ = needed_nodes([root for root, _ in roots], keep)
    with ModeChange(recording=False, observers=()):
        found = pull_back(roots, keep, needed=on_the_way)
    nodes = [getattr(handle, "_node", None) for handle in handles]
    return [None if node is None else found.get(node) for node in nodes]


def _exactly(node: Node, upstream: Sequence[Any], gradients: bool) -> "_Run":
    """What the reference gives in float64."""
    assert node.saved is not None
    wide = [a.astype(np.float64) if _is_floating(a) else a for a in node.saved[0]]
    handles = [
        Tensor(a, requires_grad=True) if needed else a
        for a, needed in zip(wide, node.plan.needed, strict=True)
    ]
    with ModeChange(recording=True, fused=False, deriving=False, observers=()):
        made = node.plan.operation.reference(*handles, **node.params)
    results = made if isinstance(made, tuple) else (made,)
    terms = _gradients(node, handles, results, upstream) if gradients else []
    return _Run([result._array for result in results], terms)


class _Run(NamedTuple):
    """What a kernel gives: its results, and the gradients of its inputs, if asked for."""

    values: list[Any]
    terms: Sequence[Any]


class _Comparison:
    """A kernel as it ran, and as it runs on inputs that are moved by one rounding error each.

    Attributes:
        upstream: random gradients of the results.
        runs: the first on the inputs as they are, the others on moved ones.
    """

    def __init__(self, node: Node, count: int, gradients: bool) -> None:
        assert node.saved is not None
        self.node, self.operation, self.gradients = node, node.plan.operation, gradients
        self.arrays, residuals = node.saved
        floats = list(_floats(self.arrays))
        coarsest = max((np.finfo(a.dtype) for a in floats), key=lambda info: float(info.eps))
        self.eps, self.largest = float(coarsest.eps), float(coarsest.max)
        self.subnormal = float(coarsest.smallest_subnormal)
        self.summands = sum(a.size for a in floats)
        self.generator = new_generator(0)
        values = [np.asarray(v) for v in self._forward(self.arrays)[:count]]
        self.upstream = tuple(
            self.generator.standard_normal(value.shape).astype(value.dtype) for value in values
        )
        self.runs = [_Run(values, self._terms(self.arrays, residuals))]
        for size in (*[self.eps] * NUDGES, 0.5):
            arrays = self._move(self.arrays, size)
            *moved, residuals = self._forward(arrays)
            values = [np.asarray(value) for value in moved[:count]]
            terms = self._terms(arrays, self._move(residuals, self.eps))
            self.runs.append(_Run(values, terms))
        self.exact: _Run | None = None

    def _forward(self, arrays: Any) -> Any:
        return self.operation.forward(*arrays, **self.node.params)

    def _terms(self, arrays: Any, residuals: Any) -> Any:
        if not self.gradients:
            return ()
        needed, params = self.node.plan.needed, self.node.params
        with ModeChange(recording=False, observers=()):
            return self.operation.backward(self.upstream, residuals, arrays, needed, **params)

    def _move(self, value: Any, size: float) -> Any:
        """The floating arrays within a value, each number up or down by a share of itself."""
        if isinstance(value, (tuple, list)):
            parts = [self._move(part, size) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if not _is_floating(value):
            return value
        signs = self.generator.choice([-1.0, 1.0], value.shape)
        return (value * (1 + size * signs)).astype(value.dtype)

    def check(self, what: str, kind: str, i: int, reference: Any) -> None:
        """Refuse a result that is not what the reference gives.

        Args:
            what: its name, for the message.
            kind: "values" or "terms".
            i: its index among these.
            reference: what the reference gives.

        Raises:
            DrawError: naming the kernel, the result and both magnitudes.
        """
        shape = np.shape(reference)
        kernel, *moved, shaken = (
            unbroadcast(np.asarray(getattr(run, kind)[i], np.float64), shape, what)
            for run in self.runs
        )
        reference = np.asarray(reference, np.float64)
        finite = np.isfinite(kernel)
        if not (finite == np.isfinite(reference)).all():
            ends = [_largest(a, np.isfinite(a)) for a in (kernel, reference)]
            if self._may_overflow() or max(ends) > self.far:
                return  # sums in another order overflow at other places
            self._refuse(what, "is not finite at the same places")
        error, size = _largest(kernel - reference, finite), _largest(kernel, finite)
        change = max(_largest(kernel - other, finite) for other in moved)
        unit = self.eps * max(size, _largest(shaken, finite))
        room = FUNCTION_ULPS + math.sqrt(self.summands) / 2  # errors add up like a random walk
        bound = room * (unit + change) + self.summands * self.subnormal  # terms that underflow
        if error > bound and self.eps > np.finfo(np.float64).eps:
            if self.exact is None:
                self.exact = _exactly(self.node, self.upstream, self.gradients)
            exact = np.asarray(getattr(self.exact, kind)[i], np.float64)
            error = _largest(kernel - exact, finite)
            bound += room * _largest(reference - exact, finite)
        if error > bound:
            self._refuse(what, f"differs by {error:.3g}, entries are up to {size:.3g}")

    def _may_overflow(self) -> bool:
        """Whether a product of two numbers that went in is near the end of the dtype's range."""
        magnitudes = [float(np.abs(a).max(initial=0.0)) for a in _floats(self.arrays)]
        return not all(m < self.far for m in magnitudes)

    @property
    def far(self) -> float:
        """Where the product of two numbers nears the end of the dtype's range."""
        return math.sqrt(self.largest) / FUNCTION_ULPS

    def _refuse(self, what: str, finding: str) -> None:
        raise DrawError(
            f"the kernel of {self.node.where} and its reference do not agree: {what} {finding}. A "
            "picture of the reference would show something else than what ran; draw with "
            "show=('parameters', 'kernels'), and check the kernel with minigrad.testing.fused_test."
        )


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _floats(value: Any) -> Iterator[Any]:
    return filter(_is_floating, value)


def _largest(array: Any, places: Any) -> float:
    """The largest magnitude at some places, of those that are finite."""
    chosen = np.abs(array[places])
    return float(chosen[np.isfinite(chosen)].max(initial=0.0))
