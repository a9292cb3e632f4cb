"""What `recording(replay=True)` keeps: every call, and where its inputs came from.

Arrays of tensors never change, so an array can be known by its identity. A table, kept by weak
references, says of each array that an operation made in replay mode which call made it. Whatever
carries an array along (detaching, rebinding in place, handles of transforms, values saved for
derivative rules) keeps the history without doing anything for it, tensors need no field for it,
and an entry goes with its array.
"""

import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.core.nodes import Leaf, Node, PlainArray, alias_plan, next_number
from minigrad.core.observer import Applied, Observer
from minigrad.core.tensors import wrap
from minigrad.debug.extras import extras_of
from minigrad.ops.pytree import labelled_leaves, replace_leaves

__all__ = [
    "Call",
    "Constant",
    "Result",
    "ReplayObserver",
    "call_of",
    "is_kept",
    "note_function",
    "recording",
    "source_of_tensor",
]


class Constant:
    """A value that no recorded operation computed.

    Attributes:
        array: the value. Arrays of the user are copied when they come in.
        leaf: the leaf whose value it is, or None.
        node: its place on the tape, for a tensor that was computed outside of the recording.
        derived: whether a derivative rule made it, perhaps from recorded values.
    """

    __slots__ = ("array", "derived", "leaf", "node")

    def __init__(
        self,
        array: PlainArray,
        leaf: Leaf | None = None,
        node: Node | None = None,
        derived: bool = False,
    ) -> None:
        self.array, self.leaf, self.node, self.derived = array, leaf, node, derived


class Call:
    """A call that was recorded for replay.

    Attributes:
        function: what was called, on arrays.
        inputs: where each input comes from: a Constant, a Result, or a Python number as it was.
        listed: whether the inputs are passed as one list.
        params: the parameters of the call.
        traced: where the leaves of `params` come from; None when no array is among them.
        mode: the mode that it ran in.
        number: its place in the order of recording.
        dtypes, shapes: of the arrays that it returned.
    """

    __slots__ = (
        "__weakref__",
        "dtypes",
        "function",
        "inputs",
        "listed",
        "mode",
        "name",
        "number",
        "params",
        "shapes",
        "traced",
    )

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        mode: Mode,
        params: dict[str, Any] | None = None,
        traced: Sequence[Any] | None = None,
        listed: bool = False,
    ) -> None:
        self.name, self.function, self.inputs = name, function, inputs
        self.mode, self.params, self.traced, self.listed = mode, params or {}, traced, listed
        self.number = next_number()
        self.dtypes: list[Any] = []
        self.shapes: list[tuple[int, ...]] = []

    def enter(self, results: Iterable[Any]) -> None:
        """Enter the arrays that the call returned."""
        for index, array in enumerate(results):
            self.dtypes.append(getattr(array, "dtype", None))
            self.shapes.append(getattr(array, "shape", ()))
            if array.__class__ is ndarray and known(array) is None:
                enter(array, Result(self, index))

    @property
    def sources(self) -> Sequence[Any]:
        """Where everything comes from that it needs."""
        return self.inputs if self.traced is None else (*self.inputs, *self.traced)

    def run(self, values: Sequence[Any]) -> list[Any]:
        """Call it again, with one value for each of `sources`."""
        count = len(self.inputs)
        params = self.params
        if self.traced is not None:
            params = replace_leaves(params, values[count:])
        inputs = values[:count]
        results = (
            self.function(list(inputs), **params)
            if self.listed
            else self.function(*inputs, **params)
        )
        if not isinstance(results, (tuple, list)):
            results = (results,)
        return [
            result if dtype is None else np.asarray(result).astype(dtype, copy=False)
            for result, dtype in zip(results, self.dtypes, strict=True)
        ]


class Result(NamedTuple):
    """One of the arrays that a call returned."""

    call: Call
    output: int


# -- the table -------------------------------------------------------------------------------------


class Entry(weakref.ref[PlainArray]):
    """A weak reference to an array, and where the array came from.

    `source` is a Result; a weak reference to the Leaf whose value the array is; or, for a constant
    that belongs to the engine, None or _DERIVED. It must not keep the array itself alive.
    """

    __slots__ = ("source",)
    source: Any


_table: dict[int, Entry] = {}
_DERIVED = object()  # stands for the source of a constant that a derivative rule made


def enter(array: PlainArray, source: Any) -> None:
    """Enter an array in the table."""
    # In C from end to end: what Ctrl-C raises in a callback is dropped. `pop` gives back the entry.
    entry = Entry(array, partial(_table.pop, id(array)))
    entry.source = source
    _table[id(array)] = entry


def known(array: PlainArray) -> Constant | Result | None:
    """Where an array came from; None when it is not in the table."""
    entry = _table.get(id(array))
    if entry is None or entry() is not array:
        return None
    source = entry.source
    if isinstance(source, Result):
        return source
    if source is _DERIVED:
        return Constant(array, derived=True)
    return Constant(array, leaf=None if source is None else source())


# -- recording -------------------------------------------------------------------------------------


class ReplayObserver(Observer):
    """Keeps every call while it looks on."""

    def constant(self, value: Any, array: Any) -> Any:
        """A copy in the place of the user's array, which may be written later."""
        if isinstance(array, ndarray):
            if hasattr(value, "_array"):
                return array
            source = source_of_input(value, array)
            return source.array if isinstance(source, Constant) else array
        leaves = [leaf for _, leaf in labelled_leaves(array)]
        if not any(isinstance(leaf, ndarray) for leaf in leaves):
            return array
        return replace_leaves(array, [self.constant(leaf, leaf) for leaf in leaves])

    def leave(self, tensor: Any, read_by: str = "") -> None:
        """Enter the array of a leaf, before it goes on without its node."""
        if tensor._node.__class__ is Leaf and known(tensor._array) is None:
            enter(tensor._array, weakref.ref(tensor._node))

    def call(self, applied: Applied) -> None:
        """Keep an operation with where its inputs came from."""
        op, params = applied.operation, applied.params
        pairs = zip(applied.inputs, applied.arrays, strict=True)
        sources = [source_of_input(value, array) for value, array in pairs]
        leaves = [leaf for _, leaf in labelled_leaves(params)]
        traced = None
        if any(isinstance(leaf, ndarray) or hasattr(leaf, "_array") for leaf in leaves):
            traced = [source_of_input(leaf, leaf) for leaf in leaves]
        call = Call(op.name, op.forward, sources, current_mode(), params, traced, op.list_input)
        call.enter(applied.results)
        if applied.node is not None:
            extras_of(applied.node).notes[Call] = call


def call_of(node: Node) -> Call | None:
    """The call behind a node, if it was recorded for replay."""
    return None if node.extras is None else node.extras.notes.get(Call)


class recording(ModeChange):
    """Record with options; those left out stay as they are around the block.

    Args:
        replay: also keep constants and operations without gradient, so that `graph(y).replay()`
            can compute the outputs again bit for bit.
        fused: run fused operations as kernels (True), or record the primitives of their
            reference instead (False), as a drawing of every operation needs.
    """

    def __init__(self, *, replay: bool | None = None, fused: bool | None = None) -> None:
        super().__init__(recording=True, **({} if fused is None else {"fused": fused}))
        self._replay = replay

    def changes(self, mode: Mode) -> dict[str, Any]:
        """The fields that were given."""
        if self._replay is None:
            return self._changes
        others = mode.without(ReplayObserver)
        return self._changes | {
            "observers": (*others, ReplayObserver()) if self._replay else others
        }


def is_kept() -> bool:
    """Whether calls are being kept for replay."""
    return any(isinstance(observer, ReplayObserver) for observer in current_mode().observers)


def source_of_input(value: Any, array: Any) -> Any:
    """Where an input came from; a Python number is its own source."""
    if hasattr(value, "_array"):
        return source_of_tensor(value)
    if not isinstance(array, ndarray):
        return array
    for candidate in (value, array):
        if candidate.__class__ is ndarray and (source := known(candidate)) is not None:
            return source
    derived = current_mode().deriving
    constant = Constant(copy_like(array), derived=derived)
    enter(constant.array, _DERIVED if derived else None)
    return constant


def source_of_tensor(tensor: Any, note: bool = True) -> Constant | Result:
    """Where the value of a tensor came from; what is new is entered if `note` holds."""
    array, node = tensor._array, tensor._node
    while node is not None and node.plan is alias_plan:
        node = node.inputs[0]
    source = known(array)
    if isinstance(node, Leaf):
        if source is None and note:
            enter(array, weakref.ref(node))
        return Constant(array, leaf=node)
    if source is None and note:
        enter(array, None)
    if source is None or (isinstance(source, Constant) and source.leaf is None):
        return Constant(array, node=tensor._node)
    return source


def copy_like(array: PlainArray) -> PlainArray:
    """A copy with the same kind of memory layout, since the last bits of sums depend on it.

    Axes keep their order in memory and their direction, and neighbours that could be walked as one
    axis stay so; gaps shrink to one element.
    """
    if array.flags.forc or not array.size:
        return array.copy(order="K").view(ndarray)
    strides = [0] * array.ndim
    reach = array.itemsize  # the bytes that the axes so far take up
    extent = array.itemsize  # the same in the original
    offset = 0
    for axis in sorted(range(array.ndim), key=lambda i: abs(array.strides[i])):
        step, length = array.strides[axis], array.shape[axis]
        if length == 1 or not step:
            continue  # broadcast along this axis
        size = reach if abs(step) == extent else reach + array.itemsize
        strides[axis] = size if step > 0 else -size
        if step < 0:
            offset += size * (length - 1)
        reach, extent = size * length, abs(step) * length
    copy: PlainArray = np.ndarray(
        array.shape, array.dtype, np.empty(reach, np.uint8), offset, strides
    )
    copy[...] = array
    return copy


def note_function(
    name: str,
    function: Callable[[Any], Any],
    arguments: Any,
    result: Any,
    mode: Mode,
) -> None:
    """Note the call of a user's function on tensors as one call, whatever it computes inside.

    Args:
        name: what to call it in messages.
        function: takes a container of arguments like `arguments`.
        arguments: what it was given.
        result: what it returned; the tensors in it are entered.
        mode: the mode of the call.
    """
    leaves = [leaf for _, leaf in labelled_leaves(arguments)]
    template = replace_leaves(arguments, range(len(leaves)))
    tensors = [hasattr(leaf, "_array") for leaf in leaves]

    def again(*values: Any) -> tuple[Any, ...]:
        given = [
            wrap(value, None) if is_tensor else value
            for value, is_tensor in zip(values, tensors, strict=True)
        ]
        found = function(replace_leaves(template, given))
        return tuple(getattr(leaf, "_array", leaf) for _, leaf in labelled_leaves(found))

    sources = [source_of_input(leaf, leaf) for leaf in leaves]
    call = Call(name, again, sources, mode)
    call.enter(getattr(leaf, "_array", None) for _, leaf in labelled_leaves(result))
