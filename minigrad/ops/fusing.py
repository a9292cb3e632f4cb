"""Fused operations: a kernel with one joint, hand-written backward, and its reference.

The reference computes the same from other operations. It draws the kernel opened up, it is
differentiated when the derivative itself is recorded, and tests compare the kernel with it.
"""

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, cast

from minigrad.core.backward import pull_back
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import Node, alias_node
from minigrad.core.observer import Observer
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.primitives import Operation, Primitive, declare
from minigrad.ops.pruning import needed_nodes

__all__ = [
    "FusedOperation",
    "KeptOperation",
    "KernelObserver",
    "fused",
    "gradients_that_arrived",
    "kernels_kept",
    "output_gradients",
    "roots_of",
    "run_reference",
    "runs_whole",
]

P = ParamSpec("P")
Backward = Callable[..., Sequence[Any]]

LARGE: Final = 1 << 15  # elements whose many passes over memory cost more than a kernel

kernels_kept: ContextVar[bool] = ContextVar("minigrad_kernels_kept", default=False)
"""Whether large kernels that come with a derivative of their own are traced as they are."""


class KernelObserver(Observer):
    """Looks on where kernels are opened up, and may have one run as it is."""

    def keeps(self, operation: "FusedOperation", arrays: Sequence[Any], params: Any) -> bool:
        """Whether it has a kernel of such inputs and parameters run."""
        return False

    def kernel(self, operation: "FusedOperation", args: Sequence[Any], params: Any) -> Any:
        """The result of a kernel; None to open it up."""

    def kernel_gradients(self, node: Node, g: Any) -> Sequence[Any] | None:
        """What a kernel sends back in a pass that is recorded; None to run its reference."""


def _kernel_observers() -> list[KernelObserver]:
    return [o for o in current_mode().observers if isinstance(o, KernelObserver)]


def runs_whole(kernel: Any, inputs: Iterable[Any], **params: Any) -> bool:
    """Whether a call of a kernel runs it now, rather than its reference.

    Args:
        kernel: a function made by `fused`, or any other, which runs where kernels do.
        inputs: the largest of its inputs, in any order.
        params: those that matter to how many steps the reference takes.
    """
    if current_mode().fused:
        return True
    arrays = [x._array if isinstance(x, Tensor) else x for x in inputs]
    operation = getattr(kernel, "operation", None)
    return isinstance(operation, FusedOperation) and any(
        observer.keeps(operation, arrays, params) for observer in _kernel_observers()
    )


class FusedOperation(Operation):
    """A kernel: its forward returns the outputs and, last, the residuals of its backward."""

    reference: Callable[..., Any]
    of_users = False
    """Whether the reference is a function of the user's, with scopes of its own."""
    takes_missing = False
    """Whether its backward is given None, not zeros, for gradients that do not arrive; it may
    return None to have the reference differentiated."""

    def __init__(
        self,
        forward: Callable[..., Any],
        reference: Callable[..., Any],
        backward: Backward,
        outputs: tuple[str, ...] = ("y",),
        whole_from: float = LARGE,
    ) -> None:
        super().__init__(forward, outputs=outputs, aux=("residuals",))
        self.whole_from = whole_from
        self.reference, self.opened = reference, self._opened
        self.backward = backward

    def _opened(self, *args: Any, **params: Any) -> Any:
        """The reference, unless an observer has the kernel run."""
        for observer in _kernel_observers():
            result = observer.kernel(self, args, params)
            if result is not None:
                return result
        return self.reference(*args, **params)

    @property
    def differentiable(self) -> bool:
        """A kernel always is."""
        return True

    def make_plan(self, mask: int) -> "FusedPlan":
        """The plan for a set of inputs on tape."""
        return FusedPlan(self, mask)


class FusedPlan:
    """How gradients flow back through a kernel with a given set of inputs on tape."""

    view = False

    def __init__(self, operation: FusedOperation, mask: int) -> None:
        self.operation = operation
        self.name = operation.name
        count = len(operation.inputs)
        self.needed = tuple(bool(mask >> i & 1) for i in range(count))
        self.saved_slots = tuple(range(count))

    def save(self, *values: Any) -> tuple[Any, ...]:
        """The inputs and the residuals."""
        return values[: len(self.needed)], values[-1]

    def vjp(self, node: Node, g: Any) -> Sequence[Any]:
        """Run the kernel's own backward on arrays."""
        assert node.saved is not None
        arrays, residuals = node.saved
        if not self.operation.takes_missing:
            grads = output_gradients(node, g)
            return self.operation.backward(grads, residuals, arrays, self.needed, **node.params)
        grads = gradients_that_arrived(node, g)
        parts: Any = self.operation.backward(grads, residuals, arrays, self.needed, **node.params)
        return self.derive(node, g, recorded=False) if parts is None else parts

    def vjp_recorded(self, node: Node, g: Any) -> Sequence[Any]:
        """Differentiate the reference instead, on a fresh handle for every input slot.

        Fresh handles, because on the original nodes an input that shares its history with
        another one (q = k = v) would be counted twice.
        """
        for observer in _kernel_observers():
            parts = observer.kernel_gradients(node, g)
            if parts is not None:
                return parts
        return self.derive(node, g, recorded=True)

    def derive(self, node: Node, g: Any, recorded: bool) -> Sequence[Any]:
        """The gradients of the inputs by way of the reference."""
        handles, outs = run_reference(node)
        roots = roots_of(node, outs, g)
        wanted = zip(handles, self.needed, strict=True)
        targets = [handle._node if on_tape else None for handle, on_tape in wanted]
        keep = {target for target in targets if target is not None}
        # A tensor that the reference closes over has a history of its own, which is not ours.
        needed, _ = needed_nodes([root for root, _ in roots], keep)
        found = pull_back(roots, keep, needed=needed, recorded=recorded)
        return [None if target is None else found.get(target) for target in targets]


class KeptOperation(FusedOperation):
    """A kernel that stays one where others are recorded by their references.

    It is differentiated by way of its reference. Compiled programs run it as it is: it is called
    where `kernels_kept`.
    """

    def __init__(
        self, forward: Callable[..., Any], reference: Callable[..., Any], outputs: tuple[str, ...]
    ) -> None:
        super().__init__(forward, reference, lambda: (), outputs)
        self.opened = None

    def make_plan(self, mask: int) -> FusedPlan:
        """The plan for a set of inputs on tape."""
        return _KeptPlan(self, mask)


class _KeptPlan(FusedPlan):
    def vjp(self, node: Node, g: Any) -> Sequence[Any]:
        """Differentiate the reference, on arrays."""
        return self.derive(node, g, recorded=False)


def output_gradients(node: Node, g: Any) -> Sequence[Any]:
    """The gradient of each output of a fused operation."""
    return g.dense() if len(node.plan.operation.outputs) > 1 else (g,)


def gradients_that_arrived(node: Node, g: Any) -> Sequence[Any]:
    """The gradient of each output of a fused operation; None where none arrives."""
    return g.arrived() if len(node.plan.operation.outputs) > 1 else (g,)


def roots_of(node: Node, outs: Sequence[Any], g: Any) -> list[tuple[Node, Any]]:
    """Where a pass through the reference of a fused operation begins, and with which gradients.

    Not at outputs that nothing reads: zeros that arrived there would be NaN behind a slope that is
    infinite.
    """
    pairs = zip(outs, gradients_that_arrived(node, g), strict=True)
    return [(out._node, part) for out, part in pairs if out._node is not None and part is not None]


def run_reference(node: Node) -> tuple[list[Any], tuple[Any, ...]]:
    """Run the reference of a fused node again; returns its fresh input handles and its outputs."""
    assert node.saved is not None
    arrays, _ = node.saved
    handles = [
        array if source is None else wrap(array, alias_node(source))
        for array, source in zip(arrays, node.inputs, strict=True)
    ]
    with ModeChange(recording=True, scope=node.scope):
        outs = node.plan.operation.reference(*handles, **node.params)
    return handles, outs if isinstance(outs, tuple) else (outs,)


def fused(
    *,
    reference: Callable[P, Any],
    backward: Backward,
    outputs: tuple[str, ...] = ("y",),
    whole_from: float = LARGE,
) -> Callable[[Callable[..., Any]], Primitive[P]]:
    """Declare a kernel.

    The decorated function takes arrays and returns its outputs followed by the residuals: whatever
    its backward needs beyond the inputs.

    Args:
        reference: the same signature on tensors, composed of other operations; returns the
            outputs alone.
        backward: called as ``backward(grads, residuals, inputs, needed, **params)`` with one
            gradient per output; returns one per input, None where `needed` is False.
        outputs: the names of the outputs.
        whole_from: elements of the largest input from which NumPy programs have the kernel run, as
            it is faster than what it consists of.
    """

    def decorate(forward: Callable[..., Any]) -> Primitive[P]:
        operation = FusedOperation(forward, reference, backward, outputs, whole_from)
        return cast(Primitive[P], declare(operation))

    return decorate
