"""Fused operations that a graph keeps as they are, forward and backward, as two calls.

Opened up, a kernel over large arrays becomes many passes over memory. A back end that makes those
passes one by one has the kernel itself run instead; over small arrays, opening it pays.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from minigrad.compiled.graph import PlainArray, View
from minigrad.compiled.tracing.called import CalledOperation
from minigrad.core.applying import AS_IS, finish_node, operand
from minigrad.core.contributions import output_node
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import Node, fill_node
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.fusing import FusedOperation, output_gradients
from minigrad.ops.pytree import labelled_leaves, replace_leaves

__all__ = ["KeptKernels", "is_kept"]


class KernelBackward:
    """The backward of a kernel as an operation: residuals, gradients and inputs are operands.

    Args:
        kernel: the operation.
        needed: of each input, whether its gradient is wanted.
    """

    list_input = False
    rerun = None

    def __init__(self, kernel: FusedOperation, needed: Sequence[bool]) -> None:
        self.name = f"{kernel.name}_backward"
        self._outputs = len(kernel.outputs)
        self._backward: Callable[..., Any] = kernel.backward
        self._needed = tuple(needed)

    def forward(self, residuals: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        """The gradients by the inputs; `residuals` are boxed, gradients of outputs come next."""
        grads, inputs = arrays[: self._outputs], arrays[self._outputs :]
        found = self._backward(grads, residuals.item(), inputs, self._needed, **params)
        return tuple(found)


class _Kept(NamedTuple):
    """One call of a kernel.

    Attributes:
        residuals: the value that stands for them.
        operands: of each input, the view that it is, or the number.
        params: the parameters, as NumPy's own arrays.
        followed: the views among the leaves of the parameters, with their numbers.
    """

    residuals: View
    operands: Sequence[Any]
    params: dict[str, Any]
    followed: Sequence[tuple[int, View]]


class KeptKernels:
    """The kernels that one trace keeps.

    Args:
        tracer: makes the values.
    """

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._kept: dict[Any, _Kept] = {}  # by their nodes
        self._backwards: dict[
            Any, CalledOperation
        ] = {}  # one for a node, so that equal calls are one

    def apply(self, operation: FusedOperation, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Run a kernel as it is, on the tape; None where it is to be opened up."""
        try:
            return self._applied(operation, args, params)
        except Exception as error:
            self._tracer.refuse(f"{operation.name} fails with {type(error).__name__}: {error}")
            return None

    def _applied(
        self, operation: FusedOperation, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        tracer, name = self._tracer, operation.name
        arrays = [
            v._array
            if isinstance(v, Tensor)
            else v
            if v.__class__ in AS_IS
            else _plain(operand(v, name, name, args))
            for v in args
        ]
        if not is_kept(operation, arrays, params):
            return None
        leaves = [leaf for _, leaf in labelled_leaves(params)]
        followed = [
            (i, view)
            for i, leaf in enumerate(leaves)
            if isinstance(leaf, ndarray) and (view := tracer.view_of(leaf)) is not None
        ]
        plain = replace_leaves(params, [_plain(tracer.constant(leaf, leaf)) for leaf in leaves])
        try:
            with ModeChange(observers=()):  # what a kernel does within is its own affair
                *results, residuals = operation.forward(*arrays, **plain)
            outs = [np.asarray(y) for y in results]
        except Exception:  # the reference tells what is wrong with the arguments
            return None
        tracer.listen()
        tracer.builder.place = f"{name}{getattr(current_mode().scope, 'place', '')}"
        operands = [tracer.source(v, array) for v, array in zip(args, arrays, strict=True)]
        places = _places(operands, followed)
        called = self._call(
            CalledOperation(operation, arrays, plain, places, [*outs, residuals], True),
            operands,
            followed,
        )
        for i, y in enumerate(outs):
            tracer.enter_array(y, self._result(called, i, y))
        boxed = tracer.builder.make("result", [called], (), object, (len(outs),))
        nodes = [v._node if isinstance(v, Tensor) else None for v in args]
        mask = sum(1 << i for i, node in enumerate(nodes) if node is not None)
        if not mask or not current_mode().recording:
            tensors = [wrap(y, None) for y in outs]
            return tensors[0] if len(outs) == 1 else tuple(tensors)
        plan, y = operation.plans[mask], outs[0]
        node = fill_node(Node(), plan, tuple(nodes), y.shape, y.dtype, plain)
        finish_node(node, operation, [*outs, residuals])
        tracer.nodes.append(node)
        node.saved = plan.save(*arrays, *outs, residuals)
        self._kept[node] = _Kept(boxed, operands, plain, followed)
        if len(outs) == 1:
            return wrap(y, node)
        return tuple(wrap(y, output_node(node, i)) for i, y in enumerate(outs))

    def gradients(self, node: Any, g: Any) -> Sequence[Any] | None:
        """What such a kernel sends back; None for any other."""
        kept = self._kept.get(node)
        if kept is None:
            return None
        tracer, plan = self._tracer, node.plan
        sent = output_gradients(node, g)
        grads = [part._array if isinstance(part, Tensor) else part for part in sent]
        arrays, residuals = node.saved
        backward = KernelBackward(plan.operation, plan.needed)
        inputs = [_boxed(residuals), *grads, *arrays]
        with ModeChange(observers=()):
            parts = backward.forward(*inputs, **kept.params)
        seeds = [tracer.source(part, array) for part, array in zip(sent, grads, strict=True)]
        operands = [kept.residuals, *seeds, *kept.operands]
        tracer.listen()
        tracer.builder.place = f"{backward.name}{getattr(node.scope, 'place', '')}"
        if node not in self._backwards:
            places = _places(operands, kept.followed)
            self._backwards[node] = CalledOperation(
                backward, inputs, kept.params, places, parts, True
            )
        called = self._call(self._backwards[node], operands, kept.followed)
        for i, part in enumerate(parts):
            if part is not None:
                tracer.enter_array(part, self._result(called, i, part))
        return [None if part is None else wrap(part, None) for part in parts]

    def _call(
        self,
        called: CalledOperation,
        operands: Sequence[Any],
        followed: Sequence[tuple[int, View]],
    ) -> View:
        views = [*(o for o in operands if isinstance(o, View)), *(view for _, view in followed)]
        made: View = self._tracer.builder.make("call", views, (), bool, (called,))
        return made

    def _result(self, called: View, index: int, array: PlainArray) -> View:
        made: View = self._tracer.builder.make(
            "result", [called], array.shape, array.dtype, (index,)
        )
        return made


def _places(operands: Sequence[Any], followed: Sequence[tuple[int, View]]) -> list[int | None]:
    """Where views enter a call, among its inputs and then the leaves of its parameters."""
    inputs = [i for i, operand in enumerate(operands) if isinstance(operand, View)]
    return [*inputs, *(len(operands) + i for i, _ in followed)]


def _plain(value: Any) -> Any:
    """An array of NumPy's own; anything else as it is."""
    return ndarray.view(value, ndarray) if isinstance(value, ndarray) else value


def _boxed(residuals: Any) -> PlainArray:
    """Any object as an array without axes."""
    box = np.empty((), object)
    box[()] = residuals
    return box


def is_kept(operation: FusedOperation, arrays: Sequence[Any], params: Any) -> bool:
    """Whether a kernel stays a kernel: it is large, or runs over sequences of different lengths,
    whose steps are no loop."""
    known = [array for array in arrays if isinstance(array, ndarray)]
    largest = max((array.size for array in known), default=0)
    large = largest >= operation.whole_from or params.get("lengths") is not None
    return large and all(array.dtype.kind == "f" for array in known)
