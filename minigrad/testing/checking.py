"""Check gradients: compare recorded derivatives with numerical ones."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.restoring import errstate, new_generator
from minigrad.testing.finite_differences import SAME, Kink, Steps, complex_step, sides, slope
from minigrad.transforms.derivatives import gradients_at
from minigrad.transforms.recorded_writes import rewritten

__all__ = ["GradientMismatch", "NotDifferentiable", "check_gradients"]

SMALL = 24  # inputs up to this size are checked entry by entry, larger ones along directions
SEARCHED = 2000  # so many entries of a large input are searched for the place of a kink


class GradientMismatch(AssertionError):
    """A recorded derivative differs from the one computed another way."""


class NotDifferentiable(ValueError):
    """A derivative was to be checked at a point where the function has none."""


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    parameters: Any = (),
    order: int = 2,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    analytic: bool | None = None,
    directions: int = 4,
    seed: int = 0,
) -> None:
    """Check the derivatives of `f` by all its floating array arguments, and by parameters.

    The function is computed in float64, whatever the dtypes of the arguments. Its first
    derivatives are compared with complex steps where it is analytic (exact to rounding), otherwise
    with extrapolated central differences; its second derivatives with extrapolated differences of
    the first. If it computes in a lower precision by itself, steps and tolerances widen to suit.

    Args:
        f: a function of tensors that returns a tensor, or a container of them.
        args: arrays, tensors, numbers, or lists, tuples and dicts of arrays and tensors; those
            with a floating dtype are differentiated.
        parameters: tensors that `f` reads without being given them, such as the parameters of a
            module: a tensor, any iterable of tensors or a dict. They are as before when the check
            is over.
        order: 1 or 2.
        rtol, atol: tolerances, relative to the largest derivative compared.
        analytic: whether complex steps may be used; None tries them and compares with differences.
        directions: how many random directions stand for an input of more than 24 elements.
        seed: of these directions and of the random weights that make a scalar of the outputs.

    Raises:
        GradientMismatch: naming the argument, the place and both values.
        NotDifferentiable: at a kink, a jump or the edge of the domain, naming argument and place;
            not with `analytic=True`.
        ValueError: when `order` is not 1 or 2, or no argument can be differentiated.

    >>> check_gradients(np.tanh, np.array([0.5, -1.0]))
    >>> check_gradients(np.abs, np.array([0.5, 0.0]))
    Traceback (most recent call last):
        ...
    minigrad.testing.checking.NotDifferentiable: there is no derivative of order 1 with respect to
    argument 0, entry [1] (where it is 0.0): the slope of entry [1] of output 0 is -1 from the left
    and 1 from the right. ...
    """
    if order not in (1, 2):
        raise ValueError(f"check_gradients: order must be 1 or 2, got {order}")
    problem = _Problem(f, args, parameters)
    check = _Check(problem, rtol, atol, analytic, directions, new_generator(seed))
    with errstate(all="ignore"):  # steps may leave the domain, which is found out then
        check.first_order()
        if order == 2:
            check.second_order()


class _Problem:
    """A function with the arrays that it is to be differentiated by, in float64."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], parameters: Any) -> None:
        self.f, self.args = f, list(args)
        self.labels: list[str] = []
        self.values: list[Any] = []
        self.leaves: list[Any] = []  # of the arguments: arrays, or the places of values
        for i, arg in enumerate(self.args):
            for label, leaf in labelled_leaves(arg, f"argument {i}"):
                number = isinstance(leaf, float) and label == f"argument {i}"
                if number or getattr(getattr(leaf, "dtype", None), "kind", "") == "f":
                    self.leaves.append(_Place(len(self.values)))
                    self._add(label, leaf)
                else:
                    self.leaves.append(leaf)
        self.given = len(self.values)
        self.parameters: list[Tensor] = []
        if isinstance(parameters, Tensor):
            parameters = [parameters]
        elif isinstance(parameters, Iterable) and not hasattr(parameters, "__getitem__"):
            parameters = list(parameters)  # of a generator, a set or the values of a dict
        for label, leaf in labelled_leaves(parameters, "parameter "):
            if not isinstance(leaf, Tensor):
                hint = "; for a module, pass module.parameters()"
                raise ValueError(
                    f"check_gradients: {label.strip()} must be a tensor, got {describe(leaf)}"
                    + (hint if hasattr(leaf, "parameters") else "")
                )
            self.parameters.append(leaf)
            self._add(label, leaf)
        if not self.values:
            raise ValueError("check_gradients: no argument is floating: there is nothing to check")

    def _add(self, label: str, leaf: Any) -> None:
        self.labels.append(label)
        self.values.append(np.array(getattr(leaf, "_array", leaf), np.float64))

    def call(self, tensors: Sequence[Tensor]) -> list[Any]:
        """The floating outputs, with tensors in the places of the values."""
        pairs = zip(self.parameters, tensors[self.given :], strict=True)
        with rewritten([(weakref.ref(p), t._array, t._node) for p, t in pairs]):
            leaves = [tensors[x.i] if isinstance(x, _Place) else x for x in self.leaves]
            result = self.f(*replace_leaves(self.args, leaves))
        outs = [out for _, out in labelled_leaves(result)]
        return [out for out in outs if getattr(getattr(out, "dtype", None), "kind", "f") in "fc"]

    def evaluate(self, values: Sequence[Any]) -> list[Any]:
        """The outputs as arrays, nothing recorded."""
        with ModeChange(recording=False):
            outs = self.call([Tensor(value) for value in values])
        return [np.asarray(getattr(out, "_array", out)) for out in outs]

    def gradients(
        self, values: Sequence[Any], weights: Sequence[Any], create_graph: bool = False
    ) -> tuple[list[Any], list[Node]]:
        """The gradients of the weighted sum of the outputs, and the nodes of the values."""
        tensors = [Tensor(value, requires_grad=True) for value in values]
        nodes: list[Node] = [t._node for t in tensors if isinstance(t._node, Leaf)]
        with ModeChange(recording=True):
            outs = self.call(tensors)
        pairs = [
            (out, w.astype(out.dtype))
            for out, w in zip(outs, weights, strict=True)
            if isinstance(out, Tensor)
        ]
        found, _ = gradients_at([o for o, _ in pairs], [w for _, w in pairs], nodes, create_graph)
        pieces = zip(nodes, values, strict=True)
        return [found.get(node, np.zeros(np.shape(value))) for node, value in pieces], nodes


class _Place(NamedTuple):
    """Stands in the arguments for the value number i."""

    i: int


class _Direction(NamedTuple):
    """A direction in which one value is moved, and how to name it."""

    slot: int
    place: str
    vector: Any


class _Check:
    """The comparisons; numbers are drawn in one order, so that a seed fixes them."""

    def __init__(
        self,
        problem: _Problem,
        rtol: float,
        atol: float,
        analytic: bool | None,
        directions: int,
        generator: "np.random.Generator",
    ) -> None:
        self.problem, self.analytic, self.count = problem, analytic, directions
        self.generator = generator
        outs = problem.evaluate(problem.values)
        self.weights = [
            generator.standard_normal(out.shape) if out.size > 1 else np.ones(out.shape)
            for out in outs
        ]
        self.eps = max((float(np.finfo(out.dtype).eps) for out in outs), default=2.3e-16)
        self.rtol = rtol if self.eps < 1e-12 else max(rtol, self.eps**0.5)
        self.atol = atol
        self.grads, _ = problem.gradients(problem.values, self.weights)

    def first_order(self) -> None:
        """Compare gradients with slopes of the function."""

        def outputs(values: Sequence[Any]) -> Any:
            return list(zip(self.weights, self.problem.evaluate(values), strict=True))

        for direction in self._directions():
            self._compare(1, direction, self.grads[direction.slot], outputs)

    def second_order(self) -> None:
        """Compare second derivatives with slopes of the gradients."""
        problem = self.problem
        weights = [self.generator.standard_normal(np.shape(g)) for g in self.grads]

        def outputs(values: Sequence[Any]) -> Any:
            found, _ = problem.gradients(values, self.weights)
            return list(zip(weights, found, strict=True))

        recorded, nodes = problem.gradients(problem.values, self.weights, create_graph=True)
        for label, g, plain in zip(problem.labels, recorded, self.grads, strict=True):
            again = getattr(g, "_array", g)
            if not np.allclose(again, plain, rtol=self.rtol, atol=self.atol, equal_nan=True):
                raise GradientMismatch(
                    f"the gradient of {label} computed with create_graph=True differs from the "
                    f"plain one by up to {np.nanmax(np.abs(again - plain)):.3g} ({describe(g)})"
                )
        parts = [(w * g).sum() for w, g in zip(weights, recorded, strict=True)]
        outs = [part for part in parts if isinstance(part, Tensor) and part.requires_grad]
        found, _ = gradients_at(outs, [None] * len(outs), nodes, False) if outs else ({}, False)
        for direction in self._directions():
            k = direction.slot
            second = found.get(nodes[k], np.zeros(problem.values[k].shape))
            self._compare(2, direction, second, outputs)

    def _directions(self) -> "list[_Direction]":
        """Unit vectors for small values; random unit directions for large ones."""
        found = []
        for slot, value in enumerate(self.problem.values):
            if value.size <= SMALL:
                found += [self._unit(slot, i) for i in range(value.size)]
                continue
            for i in range(self.count):
                vector = self.generator.standard_normal(value.shape)
                vector /= np.linalg.norm(vector)
                found.append(_Direction(slot, f"along random direction {i}", vector))
        return found

    def _unit(self, slot: int, i: int) -> _Direction:
        value = self.problem.values[slot]
        vector = np.zeros(value.size)
        vector[i] = 1.0
        index = [int(k) for k in np.unravel_index(i, value.shape)]
        place = f"{f'entry {index} ' if index else ''}(where it is {value.flat[i]})"
        return _Direction(slot, place, vector.reshape(value.shape))

    def _compare(self, order: int, direction: _Direction, gradient: Any, outputs: Any) -> None:
        """Compare a derivative along a direction; `outputs` gives arrays and their weights."""
        got = float((gradient * direction.vector).sum())

        def line(step: Any) -> Any:
            values = list(self.problem.values)
            values[direction.slot] = values[direction.slot] + step * direction.vector
            return sum(((w * out).sum() for w, out in outputs(values)), 0.0)

        pairs = outputs(self.problem.values)
        magnitude = sum(float(np.abs(w * out).sum()) for w, out in pairs)
        steps = Steps.of(self.eps, magnitude)
        try:
            expected, noise = self._expected(order, line, steps)
        except Kink as kink:
            raise self._not_differentiable(order, direction, outputs, steps, str(kink)) from None
        if np.isnan(got) and np.isnan(expected):
            return
        scale = max(abs(expected), _largest_finite(gradient), 1e-3)
        bound = 10 ** (order - 1) * (self.atol + self.rtol * scale) + noise
        if abs(got - expected) <= bound:
            return
        far, near = (sides(line, float(line(0.0)), h).central for h in (steps.large, steps.small))
        ratio = steps.large / steps.small
        if abs(near - got) * ratio < 4 * abs(far - got) and abs(near - got) < 1e-4 * max(scale, 1):
            return  # they meet as the step shrinks: a kink of the next derivative, as in x * abs(x)
        if np.isfinite(magnitude) and abs(near) > 3 * abs(far):
            reason = f"its slope grows without bound ({far:.3g}, then {near:.3g} nearer by)"
            raise self._not_differentiable(order, direction, outputs, steps, reason)
        raise GradientMismatch(
            f"{self._subject(order, direction)}: the recorded rules give {got!r}, expected "
            f"{expected!r} (difference {abs(got - expected):.3g}, allowed {bound:.3g})"
        )

    def _subject(self, order: int, direction: _Direction) -> str:
        label = self.problem.labels[direction.slot]
        comma = "" if direction.place.startswith("(") else ","
        return f"derivative of order {order} with respect to {label}{comma} {direction.place}"

    def _expected(
        self, order: int, line: Callable[[Any], Any], steps: Steps
    ) -> tuple[float, float]:
        """The slope along a direction, by complex steps where they may be used; its rounding."""
        exact: float | None = None
        if order == 1 and self.analytic is not False and self.eps < 1e-12:
            try:
                exact = complex_step(line)
            except (TypeError, ValueError):
                if self.analytic:
                    raise
        if self.analytic and exact is not None:
            return exact, 0.0
        plain = slope(line, float(line(0.0)), steps)
        # A function that is not analytic (abs, max) takes the complex step without complaint, so
        # it counts only where differences agree with it.
        if exact is not None and abs(exact - plain) <= 1e-5 * max(1.0, abs(plain)):
            return exact, 0.0
        return plain, steps.noise / steps.large

    def _not_differentiable(
        self, order: int, direction: _Direction, outputs: Any, steps: Steps, reason: str
    ) -> NotDifferentiable:
        """The error of a kink, which names the entry and the output where it is."""
        values = self.problem.values
        middle = [out for _, out in outputs(values)]

        def differences(where: _Direction, h: float = steps.small) -> list[tuple[Any, Any]]:
            """The slopes of every output from the left and from the right."""
            found = []
            for step in (-h, h):
                moved = list(values)
                moved[where.slot] = moved[where.slot] + step * where.vector
                pairs = zip(outputs(moved), middle, strict=True)
                found.append([(out - at) / step for (_, out), at in pairs])
            return list(zip(*found, strict=True))

        size = values[direction.slot].size
        if size > SMALL:  # it was met on a random direction: search the entries for it
            for i in range(min(size, SEARCHED)):
                unit = self._unit(direction.slot, i)
                if max(_gap(left, right) for left, right in differences(unit)) > SAME:
                    direction = unit
                    break
        kinks = [_gap(left, right) for left, right in differences(direction)]
        k = int(np.argmax(kinks))
        left, right = differences(direction)[k]
        if order == 1 and kinks[k] > SAME and np.isfinite([left, right]).all():
            i = int(np.abs(left - right).argmax())
            index = [int(n) for n in np.unravel_index(i, left.shape)]
            name = f"entry {index} of output {k}" if index else f"output {k}"
            wide_left, wide_right = differences(direction, steps.large)[k]
            if abs(right - left).flat[i] > 3 * abs(wide_right - wide_left).flat[i]:
                reason = f"{name} jumps there"
            else:
                reason = (
                    f"the slope of {name} is {left.flat[i]:.6g} from the left and "
                    f"{right.flat[i]:.6g} from the right"
                )
        return NotDifferentiable(
            f"there is no {self._subject(order, direction)}: {reason}. Check at other points: at "
            "this one the rules can only follow a convention."
            + (" With order=1 first derivatives are checked alone." if order == 2 else "")
        )


def _gap(left: Any, right: Any) -> float:
    """How much slopes from the two sides differ at most, relative to the largest."""
    if not left.size:
        return 0.0
    largest = max(float(np.abs(left).max()), float(np.abs(right).max()), 1e-3)
    return float(np.nan_to_num(np.abs(left - right) / largest, nan=np.inf).max())


def _largest_finite(array: Any) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))
