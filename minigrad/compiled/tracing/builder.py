"""Build a graph without waste: equal values are shared, constants folded, views resolved."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.graph import (
    COMPARISONS,
    LOGICAL,
    Operand,
    PlainArray,
    Shape,
    Value,
    View,
    reshape_view,
    size_of,
)
from minigrad.restoring import errstate

__all__ = ["Builder", "as_number", "blank", "read", "same_numbers"]

_SPELT_OUT = 1 << 16  # elements up to which a constant is stored as it is read
_PARTS = 8  # of an axis, whose elements are compared at once
_FOLDED = 4096  # elements up to which an operation on constants alone is done at once


class Builder:
    """Makes the values of a graph in order, and none that is equal to another.

    Args:
        before: where given, values that it has made are taken from it, and not made again.

    Attributes:
        values: what was made, but for inputs and constants.
        place: where in the user's program the next values come from.
        heard: whether the next values warn, as in a forward pass, of what goes out of range.
        loud: the values that do.
    """

    def __init__(self, before: "Builder | None" = None) -> None:
        self.values: list[Value] = []
        self.place = ""
        self.heard = False
        self.loud: set[Value] = set()
        self._made: dict[Any, Value] = {}
        self._before = {} if before is None else before._made
        self._large: list[Value] = []  # constants whose numbers are in no key, in order
        self._large_before = [] if before is None else before._large
        self._keys: list[Any] = []  # of the values

    # -- values ------------------------------------------------------------------------------------

    def make(
        self,
        op: str,
        operands: Iterable[Operand],
        shape: Shape,
        dtype: Any,
        options: tuple[Any, ...] = (),
    ) -> View:
        """The value of an operation, made unless there is an equal one."""
        given = tuple(operands)
        key = op, _parts(given), shape, np.dtype(dtype), options
        value = self._made.get(key) or self._before.get(key)
        if value is None:
            value = Value(op, given, shape, dtype, options, place=self.place)
            self._made[key] = value
            self.values.append(value)
            self._keys.append(key)
        if self.heard:
            self.loud.add(value)
        return View(value)

    def equate(self, known: View, op: str, *operands: Operand) -> None:
        """Have an operation that is asked for later give a value that it is known to be."""
        self._made[op, _parts(operands), known.shape, known.dtype, ()] = known.value

    def input(self, index: int, array: PlainArray, like: Value | None = None) -> View:
        """Argument number `index`, an array like this one; `like`, if that is one, too."""
        if like is not None and like.shape == array.shape and like.dtype == array.dtype:
            return View(like)
        return View(Value("input", (), array.shape, array.dtype, (index,)))

    def constant(self, array: PlainArray) -> View:
        """Numbers that are known now; where all are equal, one number repeated."""
        array = np.asarray(array)
        if array.size > 1:
            first = array[(0,) * array.ndim]
            if array.strides.count(0) == array.ndim or _all_equal(array, first):
                return self.constant(np.asarray(first)).broadcast(array.shape)
        return self.kept(array)

    def kept(self, array: PlainArray) -> View:
        """A constant that holds all numbers of an array; equal ones of few elements are one."""
        kept = array.copy(order="C")
        kept.flags.writeable = False
        if kept.size > _FOLDED:
            number = len(self._large)
            value = self._large_before[number] if number < len(self._large_before) else None
            if value is None or not same_numbers(value.array, kept):
                value = Value("constant", (), kept.shape, kept.dtype, array=kept)
            self._large.append(value)
            return View(value)
        key = "constant", kept.shape, kept.dtype, kept.tobytes()
        value = self._made.get(key) or self._before.get(key)
        if value is None:
            value = self._made[key] = Value("constant", (), kept.shape, kept.dtype, array=kept)
        return View(value)

    def mark(self) -> int:
        """Where the list of values ends just now."""
        return len(self.values)

    def since(self, mark: int) -> Sequence[Value]:
        """The values that were made since then."""
        return self.values[mark:]

    def back_to(self, mark: int) -> None:
        """Forget what was made since then."""
        for key in self._keys[mark:]:
            del self._made[key]
        del self.values[mark:], self._keys[mark:]

    # -- elementwise -------------------------------------------------------------------------------

    def elementwise(self, op: str, *operands: Operand, dtype: Any = None) -> View:
        """An operation on elements, with operands broadcast and converted to one dtype.

        Args:
            op: one of `graph.ELEMENTWISE`, but for `convert`.
            operands: views and numbers, one view at least.
            dtype: of the result, for `op` that gives no booleans; that of the operands, unless
                given.
        """
        given = list(operands)
        shapes = [o.shape for o in given if isinstance(o, View)]
        shape = shapes[0]
        if shapes.count(shape) != len(shapes):
            shape = np.broadcast_shapes(*shapes)
        data = given[1:] if op == "where" else given
        kinds = [o.value.dtype if isinstance(o, View) else o for o in data]
        common = kinds[0]
        if not isinstance(common, np.dtype) or any([k is not common for k in kinds]):  # noqa: C419
            common = np.result_type(*kinds)
        if op in COMPARISONS or op in LOGICAL:
            result, wanted = np.dtype(bool), common if op in COMPARISONS else None
            op, given = _within(op, given, common)
        else:
            result = wanted = common if dtype is None else np.dtype(dtype)
        start = 1 if op == "where" else 0
        for i in range(start, len(given)):
            operand = given[i]
            if wanted is not None and isinstance(operand, View):
                given[i] = self.convert(operand, wanted)
            elif op == "where" and result.kind in "iub":  # NumPy lets numbers wrap around here
                given[i] = np.asarray(operand).astype(result).item()
        spread = [o.broadcast(shape) if isinstance(o, View) else o for o in given]
        same = self._unchanged(op, spread, result)
        if same is not None:
            return same
        folded = self._folded(op, spread, shape, result)
        if folded is not None:
            return folded
        for i in range(start, len(spread)):
            spread[i] = as_number(spread[i])
            if op in LOGICAL and not isinstance(spread[i], View):  # of whatever other dtype
                spread[i] = int(bool(spread[i]))
        return self.make(op, spread, shape, result)

    def _unchanged(self, op: str, operands: Sequence[Any], dtype: Any) -> View | None:
        """The operand that the result is equal to, bit for bit."""
        if op == "copy" and operands[0].whole:
            return None
        if op in ("multiply", "divide") and len(operands) == 2:
            first, second = operands
            if isinstance(first, View) and not isinstance(second, View) and second == 1:
                return first
            if op == "multiply" and isinstance(second, View) and not isinstance(first, View):
                return second if first == 1 else None
        return None

    def _folded(self, op: str, operands: Sequence[Any], shape: Shape, dtype: Any) -> View | None:
        """The result as a constant, when all operands are constants of few elements."""
        arrays: list[Any] = []
        for operand in operands:
            if not isinstance(operand, View):
                arrays.append(operand)
            elif operand.value.op == "constant" and operand.value.size <= _FOLDED:
                arrays.append(read(operand.value.array, operand))
            else:
                return None
        function = getattr(np, op, None)
        if function is None or op == "copy":
            return None
        if size_of(shape) and all(v.value.size == 1 for v in operands if isinstance(v, View)):
            arrays = [a.reshape(-1)[:1].reshape(()) if hasattr(a, "shape") else a for a in arrays]
        elif size_of(shape) > _FOLDED:
            return None
        with errstate(all="ignore"):
            result = np.asarray(function(*arrays)).astype(dtype, copy=False)
        return self.constant(result).broadcast(shape)

    def convert(self, view: View, dtype: Any) -> View:
        """The same numbers in another dtype."""
        dtype = np.dtype(dtype)
        if view.dtype == dtype:
            return view
        value = view.value
        if value.op == "constant" and value.size <= _FOLDED:
            with errstate(all="ignore"):
                return self.constant(read(value.array, view).astype(dtype, order="K"))
        if value.size < size_of(view.shape):  # convert before repeating
            return view.of(self.make("convert", [View(value)], value.shape, dtype).value)
        return self.make("convert", [view], view.shape, dtype)

    def copied(self, view: View) -> View:
        """The same numbers, contiguous."""
        if view.whole:
            return view
        value = view.value
        if value.op == "constant" and size_of(view.shape) <= _SPELT_OUT:
            return self.kept(np.ascontiguousarray(read(value.array, view)).reshape(view.shape))
        return self.make("copy", [view], view.shape, view.dtype)

    # -- shapes ------------------------------------------------------------------------------------

    def reshape(self, view: View, shape: Shape) -> View:
        """In another shape; copied where no view has it."""
        try:
            return view.seen_through(lambda dummy: reshape_view(dummy, shape))
        except ValueError:
            return self.copied(view).seen_through(lambda dummy: dummy.reshape(shape))

    # -- reductions --------------------------------------------------------------------------------

    def reduce(self, op: str, view: View, axes: Sequence[int], keepdims: bool) -> View:
        """The sum, or the largest, over some axes, counted from 0; `op` is "sum" or "max"."""
        kept = tuple(1 if i in axes else n for i, n in enumerate(view.shape))
        final = kept if keepdims else tuple(n for i, n in enumerate(view.shape) if i not in axes)
        rest = [i for i in range(len(view.shape)) if i not in axes]
        if all(view.shape[a] == 1 for a in axes):
            return self.reshape(view, final)
        if op == "sum" and size_of(final) == 1:
            return self.reshape(self.make("total", [view], (), view.dtype), final)
        moved = [a for a in axes if view.shape[a] != 1]
        ones = [i for i in range(len(view.shape)) if view.shape[i] == 1]
        last = max((i for i in rest if i not in ones), default=-1)
        if op == "max" and min(moved) < last:
            for axis in moved:
                view = self._largest_along(view, axis) if axis < last else view
            return self.reduce(op, view, axes, keepdims)
        if op == "sum" and min(moved) < last:
            order = (*moved, *(i for i in range(len(view.shape)) if i not in moved))
            turned = view.seen_through(lambda dummy: dummy.transpose(order))
            count = len(moved)
            out = turned.shape[count:]
            result = self.make("lead_sum", [turned], out, view.dtype, (count,))
        else:
            order = (*(i for i in range(len(view.shape)) if i not in moved), *moved)
            turned = view.seen_through(lambda dummy: dummy.transpose(order))
            lead = turned.shape[: len(order) - len(moved)]
            flat = self.reshape(turned, (*lead, math.prod(turned.shape[len(lead) :])))
            result = self.make(f"row_{op}", [flat], (*lead, 1), view.dtype)
        return self.reshape(result, final)

    def _largest_along(self, view: View, axis: int) -> View:
        """The largest along an axis that others follow: of a few parts, element by element.

        So memory is read in order. Parts may overlap where the length cannot be divided.
        """
        while (length := view.shape[axis]) > 1:
            count = -(-length // _PARTS)
            starts = (min(start, length - count) for start in range(0, length, count))
            slices = [(*(slice(None),) * axis, slice(start, start + count)) for start in starts]
            parts = [view.seen_through(operator.itemgetter(part)) for part in slices]
            while len(parts) > 1:  # in pairs: what is no chain becomes no loop
                pairs = zip(parts[::2], parts[1::2], strict=False)
                rest = parts[-1:] if len(parts) % 2 else []
                parts = [self.elementwise("maximum", one, other) for one, other in pairs] + rest
            (view,) = parts
        return view

    def matmul(self, a: View, b: View) -> View:
        """(..., m, k) @ (..., k, n), as one product where the rows can be walked as one axis."""
        if len(b.shape) == 2 and len(a.shape) > 2:
            rows = a.shape[:-1]
            flat = self.matmul(self.reshape(a, (size_of(rows), a.shape[-1])), b)
            return self.reshape(flat, (*rows, b.shape[-1]))
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = a.broadcast((*lead, *a.shape[-2:])), b.broadcast((*lead, *b.shape[-2:]))
        out = (*lead, a.shape[-2], b.shape[-1])
        if lead and all(n == 1 for n in lead):
            flat = self.matmul(self.reshape(a, a.shape[-2:]), self.reshape(b, b.shape[-2:]))
            return self.reshape(flat, out)
        a, b = (v if _is_matrix(v) else self.copied(v) for v in (a, b))
        return self.make("matmul", [a, b], out, a.dtype)

    def placed(
        self, view: View, shape: Shape, function: Callable[[PlainArray], PlainArray]
    ) -> View:
        """Zeros of a shape, with `view` where `function` looks."""
        there = blank(shape, view.dtype).seen_through(function)
        return self.joined([(view.broadcast(there.shape), there)], shape)

    def joined(self, parts: Sequence[tuple[View, View]], shape: Shape) -> View:
        """Zeros of a shape with parts written, each where the second view of its pair says."""
        places = tuple((there.strides, there.offset) for _, there in parts)
        return self.make("assemble", [v for v, _ in parts], shape, parts[0][0].dtype, places)


def _within(op: str, operands: list[Operand], dtype: Any) -> tuple[str, list[Operand]]:
    """A comparison with a whole number that a dtype cannot hold, by one that it can.

    NumPy compares with any whole number; an operand of a graph has the dtype of the others, where
    such a number would wrap around. Here it is below all of them, or above.
    """
    if op in COMPARISONS and dtype.kind in "iu":
        info = np.iinfo(dtype)
        for number, other in (operands, operands[::-1]):
            if isinstance(number, int) and not info.min <= number <= info.max:
                holds = getattr(np, op)(*(0 if o is other else o for o in operands))
                return "greater_equal" if holds else "less", [other, info.min]
    return op, operands


def _parts(operands: Iterable[Operand]) -> tuple[Any, ...]:
    """What equal operands share."""
    return tuple(o.key if isinstance(o, View) else (type(o), repr(o)) for o in operands)


def blank(shape: Shape, dtype: Any) -> View:
    """A value that is read by nobody, to say where in an array of this shape a part lies."""
    return View(Value("input", (), shape, dtype))


def _all_equal(array: PlainArray, first: Any) -> bool:
    return bool((array == first).all()) and not (
        array.dtype.kind == "f" and first == 0 and np.signbit(array).any()
    )


def same_numbers(one: PlainArray | None, other: PlainArray | None) -> bool:
    """Whether two arrays agree in shape, dtype and every bit."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    bits = np.ndarray.tobytes  # not of arrays that are followed: nobody reads these numbers
    return bits(one) == bits(other)


def as_number(operand: Operand) -> Operand:
    """A repeated constant as a number, which a back end can write into its code."""
    if isinstance(operand, View) and operand.value.op == "constant" and operand.value.size == 1:
        assert operand.value.array is not None
        number: Operand = operand.value.array.item()
        return number
    return operand


def _is_matrix(view: View) -> bool:
    """Whether the last two axes are rows or columns of a matrix, as products read them."""
    rows, columns = view.shape[-2:]
    return 1 in view.strides[-2:] or rows == 1 or columns == 1


def read(array: Any, view: View) -> PlainArray:
    """A view of an array that holds the value of `view.value`, contiguous."""
    step = array.itemsize
    return np.ndarray(
        view.shape, array.dtype, array, view.offset * step, [s * step for s in view.strides]
    )
