"""The graph that a program is made from: values, reads of values, and what computes them.

A `Value` is one array with contiguous storage; its operation, `op`, says how it is computed from
its operands. A `View` reads a value, or part of one, with strides of its own, so that reshaping,
transposing, slicing and broadcasting cost nothing and are no operations. Shapes, strides and
offsets are known numbers, in elements. A back end reads a `Graph` and nothing else.

| `op` | operands | result, and `options` |
|---|---|---|
| `input` | none | argument number `options[0]` of the program |
| `constant` | none | `array` |
| in `ELEMENTWISE` | 1 to 3 of the result's shape, or numbers | NumPy's function of that name |
| `convert` | 1 | the same numbers in another dtype |
| `row_sum`, `row_max` | (..., n) | (..., 1): over the last axis |
| `lead_sum` | (a, b, ..., *s) | s: the sum over the first `options[0]` axes |
| `total` | any shape | (): the sum of all elements |
| `matmul` | (*lead, m, k), (*lead, k, n) | (*lead, m, n); `lead` is the same in both |
| `assemble` | parts | zeros, and operand i written at `options[i]`, (strides, offset) |
| `gather` | table (n, *s), indices int64 (*i) | (*i, *s): rows; n at most is IndexError |
| `scatter_add` | indices int64 (*i), rows (*i, *s) | (n, *s): zeros plus the rows |
| `loop` | what the steps read from outside | nothing itself; `options[0]` is a `Loop` |
| `stack` | the loop | (count + 1, *s): body value `options[0]` at all steps |
| `call`, `result` | any; the call | an operation as it is, for the NumPy back end alone |

Within the body of a loop there are two more: `moving`, the operand read `options[0]` elements
further at each step; and `previous`, body value `options[0]` as the step before left it.

Operands of elementwise operations have one dtype, but for the condition of `where`. A number among
them stands for an array of that value and dtype. Comparisons and logical operations give bool,
everything else the dtype of its operands.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

__all__ = [
    "BINARY",
    "BITWISE",
    "COMPARISONS",
    "ELEMENTWISE",
    "LOGICAL",
    "REDUCTIONS",
    "ROWS",
    "UNARY",
    "Graph",
    "Loop",
    "Operand",
    "Unsupported",
    "Value",
    "View",
    "contiguous",
    "everything",
    "is_in_order",
    "reachable",
    "reshape_view",
    "size_of",
]


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


UNARY: Final = _names(
    "negative exp exp2 expm1 log log2 log10 log1p tanh sigmoid sqrt erf absolute sign copy "
    "sin cos tan arcsin arccos arctan sinh cosh arcsinh arccosh arctanh floor ceil trunc rint "
    "square cbrt"
)
BINARY: Final = _names(
    "add subtract multiply divide maximum minimum power arctan2 hypot floor_divide remainder"
)
BITWISE: Final = _names("bitwise_and bitwise_or bitwise_xor left_shift right_shift")
COMPARISONS: Final = _names("greater greater_equal less less_equal equal not_equal")
LOGICAL: Final = _names(
    "logical_and logical_or logical_not logical_xor isnan isinf isfinite signbit"
)
ELEMENTWISE: Final = UNARY | BINARY | BITWISE | COMPARISONS | LOGICAL | {"where", "convert"}
COUNTED: Final = COMPARISONS | {"add", "subtract", "multiply", "divide"}
"""Operations by which a loop may count: a whole number among their operands may move evenly."""
ROWS: Final = frozenset(("row_sum", "row_max"))
REDUCTIONS: Final = frozenset(("lead_sum", "total"))

Shape: TypeAlias = tuple[int, ...]
Operand: TypeAlias = "View | float | int | bool"
PlainArray: TypeAlias = np.ndarray[Any, Any]

_next_number = itertools.count(1).__next__
_RESHAPE_CAN_REFUSE: Final = np.lib.NumpyVersion(np.__version__) >= "2.1.0"
_one_byte = np.zeros(1, np.uint8)
_begin: int = _one_byte.__array_interface__["data"][0]


class Unsupported(Exception):
    """A back end, or a pass, cannot do what a graph asks for; the message says what."""


def size_of(shape: Shape) -> int:
    """How many elements an array of this shape has."""
    return math.prod(shape)


def reshape_view(array: PlainArray, shape: Shape) -> PlainArray:
    """A view in another shape.

    Raises:
        ValueError: where only a copy has it.
    """
    if _RESHAPE_CAN_REFUSE:
        return np.reshape(array, shape, copy=False)
    seen = array[...]
    try:
        seen.shape = shape
    except AttributeError as error:
        raise ValueError(f"only a copy has the shape {shape}") from error
    return seen


@functools.lru_cache(maxsize=4096)
def contiguous(shape: Shape) -> Shape:
    """The strides, in elements, of an array in C order.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_in_order(shape: Shape, strides: Shape) -> bool:
    """Whether elements lie one after the other; where an axis has one, its stride means nothing."""
    natural = contiguous(shape)
    axes = zip(shape, strides, natural, strict=True)
    return strides == natural or all(n == 1 or one == other for n, one, other in axes)


class Value:
    """One array of the graph, and how it is computed.

    Attributes:
        op: what computes it, see the table of this module.
        operands: views of other values, and numbers.
        shape, dtype: of the array.
        options: what else `op` needs to know.
        array: the numbers of a constant, read-only; None otherwise.
        number: its place in the order in which values were made.
        place: the scope and the operation of the user's program that it came from, for people.
    """

    __slots__ = ("array", "dtype", "number", "op", "operands", "options", "place", "shape")

    def __init__(
        self,
        op: str,
        operands: Iterable[Operand],
        shape: Shape,
        dtype: Any,
        options: tuple[Any, ...] = (),
        array: PlainArray | None = None,
        place: str = "",
    ) -> None:
        self.op, self.operands, self.options = op, tuple(operands), options
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.array, self.place = array, place
        self.number = _next_number()

    @property
    def views(self) -> Iterator["View"]:
        """The operands that are no numbers."""
        return (operand for operand in self.operands if isinstance(operand, View))

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.op}{self.number}{list(self.shape)}"


class View:
    """A read of a value.

    Attributes:
        value: what is read.
        shape: of what is read.
        strides: in elements of the contiguous storage of `value`; 0 along a broadcast axis, and
            negative where an axis is read backwards.
        offset: of the first element.
    """

    __slots__ = ("offset", "shape", "strides", "value")

    def __init__(
        self,
        value: Value,
        shape: Shape | None = None,
        strides: Shape | None = None,
        offset: int = 0,
    ) -> None:
        self.value, self.offset = value, offset
        self.shape = value.shape if shape is None else tuple(shape)
        self.strides = contiguous(value.shape) if strides is None else tuple(strides)

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of the elements."""
        dtype: np.dtype[Any] = self.value.dtype
        return dtype

    @property
    def whole(self) -> bool:
        """Whether this is the value as it is stored, each element once and in order."""
        every = not self.offset and self.shape == self.value.shape
        return every and is_in_order(self.shape, self.strides)

    def seen_through(self, function: Callable[[PlainArray], PlainArray]) -> "View":
        """The view that a NumPy function, which must return a view, makes of this one.

        NumPy does the arithmetic of indices, on a dummy of one byte per element that owns one
        byte of memory: nothing is read.
        """
        dummy = _dummy(self.shape, self.strides)
        seen = function(dummy)
        if not isinstance(seen, np.ndarray):  # NumPy makes scalars of some views of one element
            if dummy.size != 1:
                raise Unsupported("a view that NumPy makes a scalar of")
            return View(self.value, (), (), self.offset)
        moved = seen.__array_interface__["data"][0] - _begin if seen.size else 0
        return View(self.value, seen.shape, seen.strides, self.offset + moved)

    def broadcast(self, shape: Shape) -> "View":
        """The view with leading axes added and axes of length 1 repeated."""
        if shape == self.shape:
            return self
        return View(self.value, shape, _spread(self.shape, self.strides, shape), self.offset)

    def within(self, strides: Shape) -> tuple[int, Shape]:
        """Where the elements of the view are, when those of its value have gaps between them.

        Args:
            strides: of the axes of the value, in elements, where it really lies.

        Returns:
            The offset of the first element, and strides.

        Raises:
            Unsupported: the view goes across axes in a way that gaps do not allow.

        >>> every_second_column = View(Value("input", (), (3, 4), "f4"), (3, 2), (4, 2), 1)
        >>> every_second_column.within((10, 1))
        (1, (10, 2))
        """
        shape, natural = self.value.shape, contiguous(self.value.shape)
        if all(a == b or n == 1 for a, b, n in zip(natural, strides, shape, strict=True)):
            return self.offset, self.strides
        if not size_of(self.shape):
            return 0, (0,) * len(self.shape)
        # where the first element is, axis by axis of the value; then along which axis each one goes
        offset, rest = 0, self.offset
        lowest = []
        for length, step, physical in zip(shape, natural, strides, strict=True):
            index, rest = divmod(rest, step) if length > 1 else (0, rest)
            offset += index * physical
            lowest.append(index)
        highest = list(lowest)
        moves = []
        for length, stride in zip(self.shape, self.strides, strict=True):
            if length == 1 or stride == 0:
                moves.append(0)
                continue
            for axis, (n, step) in enumerate(zip(shape, natural, strict=True)):
                factor, remainder = divmod(stride, step)
                reach = factor * (length - 1)
                low, high = lowest[axis] + min(reach, 0), highest[axis] + max(reach, 0)
                if n > 1 and remainder == 0 and low >= 0 and high < n:
                    lowest[axis], highest[axis] = low, high
                    moves.append(factor * strides[axis])
                    break
            else:
                raise Unsupported("a view across the gaps of its storage")
        return offset, tuple(moves)

    def of(self, value: Value) -> "View":
        """The same view of another value of that shape."""
        return View(value, self.shape, self.strides, self.offset)

    @property
    def key(self) -> tuple[Any, ...]:
        """What two equal reads share."""
        return self.value.number, self.shape, self.strides, self.offset

    def __repr__(self) -> str:
        if self.whole:
            return f"{self.value}"
        return f"{self.value}<{self.shape}, {self.strides}, {self.offset}>"


@functools.lru_cache(maxsize=4096)
def _dummy(shape: Shape, strides: Shape) -> PlainArray:
    """An array of one byte per element that owns one byte; a trace looks at few kinds of them."""
    return as_strided(_one_byte, shape, strides, writeable=False)


@functools.lru_cache(maxsize=4096)
def _spread(shape: Shape, strides: Shape, wanted: Shape) -> Shape:
    """The strides of a view that is broadcast to another shape."""
    return np.broadcast_to(_dummy(shape, strides), wanted).strides


class Loop:
    """A body of values computed `count` times, one step after the other.

    Step t runs from 0 to count - 1; or, `down`, from count - 1 to 0. A body value at step t is
    stored in slot t + 1 of its stack, and the value of the step before is in slot t; the initial
    one is in slot 0. Going down, they are slot t, slot t + 1, and slot count.

    Attributes:
        count: the number of steps.
        down: whether the counter falls.
        body: the values of one step in order; operands are views of body values, of `previous` and
            `moving` values, and of values outside.
        initial: of body values that a next step reads, the view of what the first step finds.
        stacked: the body values all of whose steps are read from outside.
    """

    def __init__(self, count: int, down: bool) -> None:
        self.count, self.down = count, down
        self.body: list[Value] = []
        self.initial: dict[Value, View] = {}
        self.stacked: dict[Value, Value] = {}

    @property
    def current_slot(self) -> int:
        """The slot of step 0, which later ones lie `t` behind."""
        return 0 if self.down else 1

    @property
    def previous_slot(self) -> int:
        """The slot of what step 0 finds."""
        return 1 if self.down else 0

    @property
    def initial_slot(self) -> int:
        """The slot of what the first step finds."""
        return self.count if self.down else 0


class Graph:
    """All that a back end needs: `build(graph)` gives a function from arrays to arrays.

    Attributes:
        inputs: one value for each argument of the program, also for those that nothing reads.
            Arguments come as contiguous arrays of that shape and dtype.
        values: what is computed, each after what it reads; inputs and constants are not in it.
        outputs: what the program returns, each as a new contiguous array. Each is a whole view, of
            a computed value, an input or a constant, and the same one may come twice.
    """

    def __init__(
        self, inputs: Sequence[Value], values: Sequence[Value], outputs: Sequence[View]
    ) -> None:
        self.inputs, self.values, self.outputs = list(inputs), list(values), list(outputs)

    @property
    def constants(self) -> list[Value]:
        """The constants that are read, in loops too."""
        found: dict[Value, None] = {}
        for value in everything(self.values):
            found.update((v.value, None) for v in value.views if v.value.op == "constant")
        found.update((v.value, None) for v in self.outputs if v.value.op == "constant")
        return list(found)


def everything(values: Iterable[Value]) -> Iterator[Value]:
    """The values, those in the bodies of loops, and the `moving` and `previous` ones read there."""
    for value in values:
        yield value
        if value.op == "loop":
            loop: Loop = value.options[0]
            for inner in loop.body:
                yield inner
                yield from (v.value for v in inner.views if v.value.op == "moving")


def reachable(values: Iterable[Value], outputs: Iterable[View]) -> list[Value]:
    """Those of the values, in their order, that the outputs depend on."""
    seen = {view.value for view in outputs}
    waiting = list(seen)
    for value in waiting:  # each comes once
        for operand in value.operands:
            if isinstance(operand, View) and operand.value not in seen:
                seen.add(operand.value)
                waiting.append(operand.value)
    return [value for value in values if value in seen]
