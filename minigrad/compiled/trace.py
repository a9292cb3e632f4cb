"""One call of a function as a graph: its outputs, its derivative and what it writes.

The function runs once as it always would, and an observer makes values of the operations that it
sees. Then a backward pass is run and recorded in the same way, so that the derivative is a part of
the same graph, without rules of its own.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.compiled.graph import Graph, PlainArray, Value, View
from minigrad.compiled.simplify import finish
from minigrad.compiled.tracing.tracer import CalledOperation, Request, Tracer
from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import last_write
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.pytree import labelled_leaves, replace_leaves

__all__ = ["Traced", "differences", "trace"]


@dataclass
class Traced:
    """What was seen of one call.

    Attributes:
        result: what the function returned.
        refusal: why the call cannot be compiled, or None.
        arguments: the values that stand for the arrays among the arguments.
        captured: tensors from outside with the values that stand for them.
        draws: the random numbers that were drawn.
        template: the result with numbers of outputs in the place of tensors and arrays.
        outputs: a view for each of them.
        recorded: whether each requires grad.
        arrays: whether each is a plain array.
        writes: tensors that the function wrote, with their new values.
        seeds: for each output that requires grad, the value that stands for its gradient.
        gradients: by the value of an argument or captured tensor, its gradient.
    """

    result: Any
    tracer: Tracer
    refusal: str | None = None
    arguments: list[Value] = field(default_factory=list)
    captured: list[tuple["weakref.ref[Any]", Value]] = field(default_factory=list)
    draws: list[Request] = field(default_factory=list)
    template: Any = None
    outputs: list[View] = field(default_factory=list)
    recorded: list[bool] = field(default_factory=list)
    arrays: list[bool] = field(default_factory=list)
    writes: list[tuple["weakref.ref[Any]", View]] = field(default_factory=list)
    seeds: list[Value] = field(default_factory=list)
    gradients: dict[Value, View] = field(default_factory=dict)

    def graph(self, inputs: Sequence[Value], outputs: Sequence[View]) -> Graph:
        """The graph of some outputs, with inputs in a given order."""
        return finish(self.tracer.builder, inputs, outputs)


def trace(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    states: dict[int, Any] | None = None,
    differentiate: bool = True,
) -> Traced:
    """Run a function and see what it computes.

    Args:
        function: takes containers of tensors, arrays and Python values, and returns the like.
        args, kwargs: the arguments.
        states: see `Tracer`.
        differentiate: whether to record the derivative, too, if there is any.

    Raises:
        whatever the function raises.
    """
    tracer = Tracer(states)
    leaves = [leaf for _, leaf in labelled_leaves((tuple(args), kwargs))]
    entered: list[tuple[Value, Any]] = []
    for i, leaf in enumerate(array_leaves(leaves)):
        array = leaf._array if isinstance(leaf, Tensor) else leaf
        if tracer.view_of(array) is not None:
            tracer.refuse("two arguments share one array")
        view = tracer.input(i, array)
        entered.append((view.value, getattr(leaf, "_node", None)))
    before = last_write()
    with observed_by(tracer), ModeChange(fused=False):
        result = function(*args, **kwargs)
        if last_write() != before:
            tracer.refuse("it writes a leaf that requires grad")
        traced = Traced(result, tracer, arguments=[value for value, _ in entered])
        _read_result(traced)
        if differentiate and tracer.refusal is None and any(traced.recorded):
            _differentiate(traced, entered)
    _settle(traced)
    traced.refusal = tracer.refusal
    return traced


def array_leaves(leaves: Sequence[Any]) -> list[Any]:
    """The tensors and arrays among the leaves of arguments."""
    return [leaf for leaf in leaves if isinstance(leaf, (Tensor, np.ndarray))]


def _read_result(traced: Traced) -> None:
    """Find the outputs in what the function returned."""
    tracer = traced.tracer
    marks: list[Any] = []
    for label, leaf in labelled_leaves(traced.result):
        if not isinstance(leaf, (Tensor, np.ndarray)):
            marks.append(leaf)
            continue
        tensor = isinstance(leaf, Tensor)
        array = leaf._array if isinstance(leaf, Tensor) else leaf
        view = tracer.view_of(array)
        if view is None and not tensor:
            tracer.refuse(f"its result{label} is an array that no operation of minigrad made")
        if view is None:
            view = tracer.source(leaf, array)
        marks.append(_Output(len(traced.outputs)))
        traced.outputs.append(view)
        traced.recorded.append(getattr(leaf, "_node", None) is not None)
        traced.arrays.append(not tensor)
    traced.template = replace_leaves(traced.result, marks)


class _Output(int):
    """Stands in a template for an output of this number."""


def _differentiate(traced: Traced, entered: Sequence[tuple[Value, Any]]) -> None:
    """Send gradients back from all outputs that require grad, and see what that computes."""
    tracer = traced.tracer
    results = [
        leaf for _, leaf in labelled_leaves(traced.result) if isinstance(leaf, (Tensor, np.ndarray))
    ]
    roots = []
    for leaf, recorded in zip(results, traced.recorded, strict=True):
        if recorded:
            seed = np.ones(leaf.shape, leaf.dtype)
            traced.seeds.append(tracer.input(-1, seed).value)
            roots.append((leaf._node, wrap(seed, None)))
    captured = [(c.value, c.node) for c in tracer.captured]
    targets: dict[Any, Value] = {}
    for value, node in (*entered, *captured):
        if node is not None:
            if node in targets:
                tracer.refuse("two of its inputs share one place in the graph")
            targets[node] = value
    found = pull_back(roots, targets, stop=targets.keys(), retain=True, recorded=True, hooks=False)
    for node, gradient in found.items():
        if node in targets:
            traced.gradients[targets[node]] = tracer.source(gradient, gradient)
        else:
            tracer.refuse("it makes a leaf that requires grad, or reads one in a way not followed")


def _settle(traced: Traced) -> None:
    """Tell tensors from outside from those that the function made and that are gone by now."""
    tracer = traced.tracer
    returned = {id(leaf) for _, leaf in labelled_leaves(traced.result)}
    for reference, before, _ in tracer.written.values():
        tensor = reference()
        if tensor is None or id(tensor) in returned:
            continue
        known = tracer.view_of(before)
        if known is None or known.value.op != "input":
            continue  # it was computed by the function, and is its own affair
        view = tracer.view_of(tensor._array)
        if view is None:
            tracer.refuse("it writes values that no operation of minigrad computed")
        elif tensor._node is not None:
            tracer.refuse("it keeps a tensor that requires grad")
        else:
            traced.writes.append((reference, view))
    for captured in tracer.captured:
        if captured.tensor() is None and captured.node is None:
            captured.value.op, captured.value.array = "constant", captured.array
            captured.value.options = ()
        else:
            traced.captured.append((captured.tensor, captured.value))
    traced.draws = tracer.draws


# -- two traces ------------------------------------------------------------------------------------


def differences(first: Traced, second: Traced) -> str | None:
    """What two traces of one function, with other values of the same kind, do not share.

    Whatever differs was not followed: it was computed outside of the operations, and would be
    frozen in a program. None when all is the same.
    """
    if second.refusal is not None:
        return second.refusal
    held = [reference() for reference, _ in first.captured]
    if held != [reference() for reference, _ in second.captured]:
        return "it reads other tensors every time"
    drawn = [_asked(request) for request in first.draws]
    if drawn != [_asked(request) for request in second.draws]:
        return "it draws other random numbers every time"
    if not _same_template(first.tracer.plain, second.tracer.plain):
        return "its derivative depends on its values"
    return _Comparison().graphs(first, second)


def _asked(draw: Request) -> tuple[Any, ...]:
    request = draw.request
    return id(request.generator), request.method, repr(request.args), repr(request.options)


class _Comparison:
    """Compares what outputs are computed from, value by value."""

    def __init__(self) -> None:
        self.partner: dict[Value, Value] = {}

    def graphs(self, first: Traced, second: Traced) -> str | None:
        """The first difference."""
        sides = []
        for traced in (first, second):
            inputs = [
                *traced.arguments,
                *(value for _, value in traced.captured),
                *(draw.value for draw in traced.draws),
                *traced.seeds,
            ]
            gradients = [traced.gradients.get(value) for value in inputs]
            writes = [view for _, view in traced.writes]
            sides.append((inputs, [*traced.outputs, *writes], gradients))
        (inputs, outputs, gradients), (inputs2, outputs2, gradients2) = sides
        if len(inputs) != len(inputs2) or len(outputs) != len(outputs2):
            return "it computes another number of values every time"
        if not _same_template(first.template, second.template):
            return "it returns a Python value that is computed from the arguments"
        self.partner = dict(zip(inputs, inputs2, strict=True))
        pairs = zip((*outputs, *gradients), (*outputs2, *gradients2), strict=True)
        for one, other in pairs:
            if (one is None) != (other is None):
                return "its derivative differs every time"
            if one is not None and other is not None:
                reason = self.views(one, other)
                if reason is not None:
                    return reason
        return None

    def views(self, one: View, other: View) -> str | None:
        """The first difference between two reads and all that they depend on."""
        waiting = [(one, other)]
        while waiting:
            one, other = waiting.pop()
            if (one.shape, one.strides, one.offset) != (other.shape, other.strides, other.offset):
                return f"{_place(one.value)} is read at other places every time"
            a, b = one.value, other.value
            known = self.partner.get(a)
            if known is not None:
                if known is not b:
                    return f"{_place(a)} is computed from other values every time"
                continue
            self.partner[a] = b
            if a.op != b.op or a.shape != b.shape or a.dtype != b.dtype:
                return f"{_place(a)} is another operation every time"
            if a.op == "input":
                return "it reads another argument every time"
            if a.op == "constant":
                if not _same_numbers(a.array, b.array):
                    return (
                        f"an array of the shape {a.shape} is computed outside of minigrad's "
                        "operations, and differs with the arguments or from call to call"
                    )
                continue
            if not _same_options(a.options, b.options) or len(a.operands) != len(b.operands):
                return f"{_place(a)} is called with other parameters every time"
            for x, y in zip(a.operands, b.operands, strict=True):
                if isinstance(x, View) and isinstance(y, View):
                    waiting.append((x, y))
                elif isinstance(x, View) or isinstance(y, View) or not _same_plain(x, y):
                    return f"a number in {_place(a)} differs with the arguments"
        return None


def _place(value: Value) -> str:
    return value.place or value.op


def _same_numbers(one: PlainArray | None, other: PlainArray | None) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.tobytes() == other.tobytes()


def _same_plain(one: Any, other: Any) -> bool:
    """Whether two plain values are the same; NaN is the same as NaN."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return (
            isinstance(one, np.ndarray)
            and isinstance(other, np.ndarray)
            and _same_numbers(one, other)
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, (float, complex)):
        return repr(one) == repr(other)
    return one is other or bool(one == other)


def _same_options(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    if one and isinstance(one[0], CalledOperation):
        called, again = one[0], other[0]
        if called.name != again.name or called.shapes != again.shapes:
            return False
        pairs = list(zip(called.fixed, again.fixed, strict=False))
        return len(called.fixed) == len(again.fixed) and all(_same_plain(x, y) for x, y in pairs)
    return one == other


def _same_template(one: Any, other: Any) -> bool:
    leaves, leaves2 = labelled_leaves(one), labelled_leaves(other)
    return len(leaves) == len(leaves2) and all(
        label == label2 and _same_plain(x, y)
        for (label, x), (label2, y) in zip(leaves, leaves2, strict=True)
    )
