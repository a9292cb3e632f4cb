"""Two traces of one function compared: what differs was not followed, and would be frozen.

The function runs a second time with other values of the same kind. Numbers that left the graph,
branches on values, random numbers of NumPy's and whatever else is computed outside of the
operations give another graph or other constants then.
"""

from collections.abc import Coroutine, Mapping
from typing import Any

import numpy as np

from minigrad.compiled.graph import PlainArray, Value, View
from minigrad.compiled.guarding.held import same_plain
from minigrad.compiled.guarding.marks import Mark, Outer
from minigrad.compiled.trace import Traced
from minigrad.compiled.tracing.builder import Builder, same_numbers
from minigrad.compiled.tracing.called import CalledOperation
from minigrad.compiled.tracing.tracer import Request
from minigrad.ops.pytree import labelled_leaves
from minigrad.restoring import errstate

__all__ = ["CompileError", "check_equal", "differences"]


def differences(first: Traced, second: Traced) -> str | None:
    """What two traces of one function, with other values of the same kind, do not share.

    Whatever differs was not followed: it was computed outside of the operations, and would be
    frozen in a program. None when all is the same.
    """
    if second.refusal is not None:
        return second.refusal
    held = [id(reference()) for reference, _ in first.captured]
    if held != [id(reference()) for reference, _ in second.captured]:
        given = set(map(id, first.given))
        if any(id(getattr(r(), "_array", None)) in given for r, _ in second.captured):
            return "it reads a tensor from outside that it is given, too; leave out one of them"
        return "it reads other tensors every time"
    drawn = [_asked(request) for request in first.draws]
    if drawn != [_asked(request) for request in second.draws]:
        return "it draws other random numbers every time"
    if not _same_template(first.tracer.plain, second.tracer.plain):
        return "its derivative depends on its values"
    pairs = zip(first.tracer.assumed, second.tracer.assumed, strict=False)
    if not all(same_numbers(one, other) for (_, one), (_, other) in pairs):
        return "what it does depends on its values"
    comparison = _Comparison()
    reason = comparison.graphs(first, second)
    if comparison.copies:  # of these, what both traces share must be looked at, too
        comparison = _Comparison(thorough=True)
        reason = comparison.graphs(first, second)
    if reason is None:
        comparison.replace(first.tracer.builder)
    return reason


def _asked(draw: Request) -> tuple[Any, ...]:
    request = draw.request
    return id(request.generator), request.method, repr(request.args), repr(request.options)


class _Comparison:
    """Compares what outputs are computed from, value by value.

    Args:
        thorough: compare what the values depend on, too, that both traces share.

    Attributes:
        copies: constants of the first trace that are copies, with what they are copies of.
    """

    def __init__(self, thorough: bool = False) -> None:
        self.partner: dict[Value, Value] = {}
        self.copies: list[tuple[Value, View]] = []
        self._thorough = thorough

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
            assumed = [view for view, _ in traced.tracer.assumed]
            sides.append((inputs, [*traced.outputs, *writes, *assumed], gradients))
        (inputs, outputs, gradients), (inputs2, outputs2, gradients2) = sides
        if len(inputs) != len(inputs2) or len(outputs) != len(outputs2):
            return "it computes another number of values every time"
        reason = _other_result(first.template, second.template)
        if reason is not None:
            return reason
        self.partner = dict(zip(inputs, inputs2, strict=True))
        self._thorough = self._thorough or inputs != inputs2
        self._traced = first, second
        pairs = zip((*outputs, *gradients), (*outputs2, *gradients2), strict=True)
        for one, other in pairs:
            if (one is None) != (other is None):
                return "its derivative differs every time"
            if one is not None and other is not None:
                reason = self.views(one, other)
                if reason is not None:
                    return reason
        return None

    def _is_copy(self, a: Value, b: Value) -> bool:
        """Whether two constants that differ are copies of what was followed, as `np.array(x)`."""
        first, second = self._traced
        sides = [
            [
                *((given, View(v)) for v, given in zip(t.arguments, t.given, strict=True)),
                *t.tracer.followed,
            ]
            for t in (first, second)
        ]
        found = [
            view
            for (one, view), (other, _) in zip(*sides, strict=False)
            if view.value.op != "constant"
            and _same_in_order(a.array, one)
            and _same_in_order(b.array, other)
        ]
        arrays = dict(zip(first.arguments, map(id, first.given), strict=True))
        known = {arrays.get(view.value, view.value) for view in found}
        if len(known) != 1:  # of equal arrays nobody can tell which one it copies
            return False
        self.copies.append((a, found[0]))
        return True

    def replace(self, builder: Builder) -> None:
        """Compute the constants that are copies after what they are copies of."""
        for value, view in self.copies:
            start = len(builder.values)
            source = builder.reshape(view, value.shape)
            made = builder.values[start:]
            del builder.values[start:]
            value.op, value.operands, value.array = "copy", (source,), None
            at = builder.values.index(view.value) + 1 if view.value in builder.values else 0
            builder.values[at:at] = [*made, value]

    def views(self, one: View, other: View) -> str | None:
        """The first difference between two reads and all that they depend on."""
        waiting = [(one, other)]
        while waiting:
            one, other = waiting.pop()
            if one.shape == other.shape and one.dtype == other.dtype and 0 in one.shape:
                continue  # where nothing lies does not matter
            if (one.shape, one.strides, one.offset) != (other.shape, other.strides, other.offset):
                return f"{_place(one.value)} is read at other places every time"
            a, b = one.value, other.value
            known = self.partner.get(a)
            if known is not None:
                if known is not b:
                    return f"{_place(a)} is computed from other values every time"
                continue
            self.partner[a] = b
            if a is b and not self._thorough:
                continue
            if a.op != b.op or a.shape != b.shape or a.dtype != b.dtype:
                return f"{_place(a)} is another operation every time"
            if a.op == "input":
                return "it reads another argument every time"
            if a.op == "constant":
                if not same_numbers(a.array, b.array) and not self._is_copy(a, b):
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
                    return (
                        f"a number in {_place(a)} differs with the arguments or from call to call"
                    )
        return None


def _same_in_order(one: PlainArray | None, other: PlainArray) -> bool:
    """Whether two arrays hold the same numbers, perhaps in another shape."""
    if one is None or one.size != other.size or one.dtype != other.dtype:
        return False
    return one.tobytes() == other.tobytes()


def _place(value: Value) -> str:
    return value.place or value.op


def _same_plain(one: Any, other: Any) -> bool:
    """Whether two plain values are the same; NaN is the same as NaN."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return (
            isinstance(one, np.ndarray)
            and isinstance(other, np.ndarray)
            and same_numbers(one, other)
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


def _other_result(one: Any, other: Any) -> str | None:
    """What of two results would be frozen: all that is neither plain nor the very same object."""
    leaves, leaves2 = labelled_leaves(one), labelled_leaves(other)
    if [label for label, _ in leaves] != [label for label, _ in leaves2]:
        return "it returns other containers every time"
    for (label, x), (_, y) in zip(leaves, leaves2, strict=True):
        mark = isinstance(x, Mark) and type(x) is type(y) and x == y
        mark = mark and not (isinstance(x, Outer) and x.tensor() is not y.tensor())
        if x is y or mark or same_plain(x, y):
            continue
        if isinstance(y, Coroutine):
            y.close()  # nobody awaits it
        if same_plain(x, x):
            return "it returns a Python value that is computed from the arguments"
        return (
            f"its result{label} is a {type(x).__qualname__} made by the call; return tensors and "
            "plain values in tuples, lists, dicts and dataclasses"
        )
    return None


def _same_template(one: Any, other: Any) -> bool:
    leaves, leaves2 = labelled_leaves(one), labelled_leaves(other)
    return len(leaves) == len(leaves2) and all(
        label == label2 and _same_plain(x, y)
        for (label, x), (label2, y) in zip(leaves, leaves2, strict=True)
    )


class CompileError(RuntimeError):
    """A compiled function does not compute what the function itself computes."""


def check_equal(name: str, what: str, pairs: Mapping[int, tuple[Any, Any]]) -> None:
    """Compare what a program of a function computed with what the function itself does.

    Args:
        name, what: of the function, and of what is compared, for the error.
        pairs: by their numbers, each array found and the one that is wanted.

    Raises:
        CompileError: when they differ by more than rounding. What cancels, as the gradient of a
            bias before a norm does, is nothing but rounding, of numbers as large as the others.
    """
    scales = {i: _largest(wanted) for i, (_, wanted) in pairs.items()}
    highest = max(scales.values(), default=0.0)
    for i, (found, wanted) in pairs.items():
        eps = np.finfo(wanted.dtype).eps if wanted.dtype.kind in "fc" else 0.0
        room = eps * max(1e4 * scales[i], 100 * highest)
        if not np.allclose(found, wanted, 1e4 * eps, room, equal_nan=True):
            with errstate(all="ignore"):
                worst = float(np.max(np.abs(found - (wanted + 0.0))))
            raise CompileError(
                f"{name}: {what} {i} differs from the function itself by up to {worst:.3g}, where "
                f"the largest number is {scales[i]:.3g}. Run with MINIGRAD_COMPILE=0, and report "
                "it, please."
            )


def _largest(array: PlainArray) -> float:
    """The largest finite magnitude; 0 of none, and of what is not rounded."""
    if array.dtype.kind not in "fc":
        return 0.0
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))
