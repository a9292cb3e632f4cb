"""Nodes: what is remembered of each operation that ran, and nothing else.

A node points to the nodes of its inputs and to the arrays that its derivative rules read; nothing
points from a node to the tensor that it made. So there are no cycles, and a graph dies with the
last tensor that refers to it.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy import ndarray

from minigrad.core.modes import current_mode
from minigrad.core.scopes import Scope, place

__all__ = [
    "Array",
    "Bundle",
    "Extras",
    "Handle",
    "HookHandle",
    "Leaf",
    "Node",
    "Patch",
    "PlainArray",
    "Plan",
    "add_hook",
    "alias_node",
    "extras_of",
    "last_write",
    "make_node",
    "next_number",
    "output_node",
]

Array: TypeAlias = Any  # an ndarray, a NumPy scalar, or a Tensor: rules are written for all three
PlainArray: TypeAlias = ndarray[Any, Any]
Wrap: TypeAlias = Callable[[Any, "Node | None"], Any]

next_number = itertools.count(1).__next__
_last_write = 0  # the number of the latest in-place write of any leaf: the hot path's only check


class Plan(Protocol):
    """How gradients flow back through one kind of node: an operation with given inputs on tape."""

    name: str
    view: bool  # the output may share memory with the first input
    saved_slots: tuple[int, ...]  # the inputs whose arrays the node saves

    def pull(self, node: "Node", g: Array) -> Sequence[Array | None]:
        """From the gradient of the output, on arrays, one contribution per input slot."""

    def pull_recorded(self, node: "Node", g: Any, wrap: Wrap) -> Sequence[Array | None]:
        """The same on tensors, so that the derivative itself is recorded."""


class Node:
    """One operation that ran.

    Attributes:
        plan: the operation, and how gradients flow back through it.
        inputs: the node of each input, None where an input is a constant.
        saved: the arrays that the rules read; None after they were freed.
        params: the parameters of the call (axis, keepdims, ...).
        shape, dtype: of the output; for several outputs, tuples of them.
        scope: where it was recorded.
        number: its place in the order of recording; larger than that of its inputs.
        extras: rarely used additions (hooks, retained gradient, flags), or None.
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "extras",
        "inputs",
        "number",
        "params",
        "plan",
        "saved",
        "scope",
        "shape",
    )
    plan: Any
    inputs: tuple["Node | None", ...]
    saved: tuple[Any, ...] | None
    params: dict[str, Any]
    shape: tuple[Any, ...]
    dtype: Any
    scope: Scope | None
    number: int
    extras: "Extras | None"

    written = 0  # only leaves are ever written
    name: str | None = None

    @property
    def where(self) -> str:
        """The operation and its place, for messages."""
        return place(self.plan.name, self.scope)

    def register_hook(
        self, hook: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]
    ) -> "HookHandle":
        """Call `hook(input_gradients, output_gradients)` when backward goes through this node.

        Args:
            hook: gets two tuples of Tensors: one gradient per input (None for a constant) and one
                per output. A tuple that it returns replaces the gradients of the inputs.

        Returns:
            A handle that removes the hook.
        """
        return add_hook(extras_of(self).node_hooks, hook)

    def __repr__(self) -> str:
        return f"Node({self.where}, number={self.number}, shape={self.shape})"


class HookHandle:
    """A registered hook. `remove()` takes it out again, and so does the end of a `with` block."""

    __slots__ = ("_hooks", "_key")

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook out; once is enough, twice does no harm."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> "HookHandle":
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Extras:
    """What few nodes have: hooks, a retained gradient, and what anomaly mode saw.

    Attributes:
        line: the file and line of user code that recorded the node.
        value_finite, grad_finite: whether value and gradient are finite; None if not checked.
        value_anomaly, grad_anomaly: what went wrong at this very node, in a sentence, or None.
        call: the call that was recorded for replay, which knows the constants too, or None.
    """

    __slots__ = (
        "call",
        "grad",
        "grad_anomaly",
        "grad_finite",
        "hooks",
        "line",
        "node_hooks",
        "retain",
        "value_anomaly",
        "value_finite",
    )

    def __init__(self) -> None:
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.node_hooks: dict[int, Callable[[Any, Any], Any]] = {}
        self.retain = False
        self.grad: Any = None
        self.line: str | None = None
        self.value_finite: bool | None = None
        self.grad_finite: bool | None = None
        self.value_anomaly: str | None = None
        self.grad_anomaly: str | None = None
        self.call: Any = None

    @property
    def checked(self) -> bool:
        """Whether anomaly mode looked at the value or the gradient."""
        return self.value_finite is not None or self.grad_finite is not None


class LeafPlan:
    """The plan of leaves: gradients end here."""

    name = "leaf"
    view = False
    saved_slots = ()

    def pull(self, node: Node, g: Array) -> Sequence[Array | None]:
        return ()

    def pull_recorded(self, node: Node, g: Any, wrap: Wrap) -> Sequence[Array | None]:
        return ()


class Leaf(Node):
    """A tensor that requires grad and was not computed: a parameter or an input.

    Attributes:
        value: its array now; writing a leaf puts a new array here.
        grad: the gradient added up so far, a Tensor, or None.
        written: the number on the tape at which it was last written.
        name: the name that a module or the user gave it, or None.
        learned: whether it is a parameter of a module rather than an input.
    """

    __slots__ = ("grad", "learned", "name", "value", "written")
    plan = LeafPlan()

    def __init__(
        self, value: "ndarray[Any, Any]", name: str | None = None, learned: bool = False
    ) -> None:
        self.inputs = ()
        self.saved = ()
        self.params = {}
        self.shape = value.shape
        self.dtype = value.dtype
        self.scope = None
        self.number = next_number()
        self.extras = None
        self.value = value
        self.grad: Any = None
        self.written = 0
        self.name = name
        self.learned = learned

    def write(self, value: "ndarray[Any, Any]") -> None:
        """Replace the value. Nodes that saved the old one refuse to run backward from now on."""
        global _last_write
        self.value = value
        self.shape, self.dtype = value.shape, value.dtype
        self.written = _last_write = next_number()


class Bundle:
    """Gradients of the several outputs of one node, added up slot by slot."""

    __slots__ = ("dtype", "shape", "slots")

    def __init__(self, node: Node, slots: dict[int, Array]) -> None:
        self.shape, self.dtype = node.shape, node.dtype
        self.slots = slots

    def __add__(self, other: "Bundle") -> "Bundle":
        merged = dict(self.slots)
        for index, g in other.slots.items():
            merged[index] = merged[index] + g if index in merged else g
        total = object.__new__(Bundle)
        total.shape, total.dtype, total.slots = self.shape, self.dtype, merged
        return total

    def mapped(self, function: Callable[[Array], Array]) -> "Bundle":
        """The same with each gradient replaced."""
        other = object.__new__(Bundle)
        other.shape, other.dtype = self.shape, self.dtype
        other.slots = {index: function(g) for index, g in self.slots.items()}
        return other

    def dense(self) -> tuple[Array, ...]:
        """One gradient per output, zeros where an output was not used."""
        return tuple(
            self.slots[i] if i in self.slots else np.zeros(shape, dtype)
            for i, (shape, dtype) in enumerate(zip(self.shape, self.dtype, strict=True))
        )


class Patch:
    """A gradient that is zero outside of one index, as reading `x[index]` sends back.

    Kept apart so that reading a long array piece by piece (its time steps, its gates) costs one
    array of its size in the backward pass, not one per piece. The index has no integer arrays.
    """

    __slots__ = ("dtype", "index", "part", "shape")
    __array_ufunc__ = None  # so that an array leaves the sum with a patch to the patch

    def __init__(self, shape: tuple[int, ...], index: Any, part: Array) -> None:
        self.shape, self.dtype = shape, part.dtype
        self.index, self.part = index, part

    def add_into(self, total: Array) -> Array:
        """Add it to an array in place."""
        total[self.index] += self.part
        return total

    def dense(self) -> Array:
        """The whole gradient."""
        total = np.zeros(self.shape, self.dtype)
        total[self.index] = self.part
        return total

    def __add__(self, other: Any) -> Array:
        total = self.dense() if other.__class__ is Patch else np.array(other)
        return (other if other.__class__ is Patch else self).add_into(total)

    __radd__ = __add__


class OutputPlan:
    """The plan of one output of a node that has several."""

    name = "output"
    view = True
    saved_slots = ()

    def pull(self, node: Node, g: Array) -> Sequence[Array | None]:
        source = node.inputs[0]
        assert source is not None
        return (Bundle(source, {node.params["index"]: g}),)

    def pull_recorded(self, node: Node, g: Any, wrap: Wrap) -> Sequence[Array | None]:
        return self.pull(node, g)


class AliasPlan:
    """The plan of another name for a value: gradients pass through as they are."""

    name = "alias"
    view = True
    saved_slots = ()

    def pull(self, node: Node, g: Array) -> Sequence[Array | None]:
        return (g,)

    def pull_recorded(self, node: Node, g: Any, wrap: Wrap) -> Sequence[Array | None]:
        return (g,)


def make_node(
    plan: Any, inputs: tuple[Node | None, ...], shape: Any, dtype: Any, **params: Any
) -> Node:
    """A node that saves nothing, for the plans of this module."""
    node = Node()
    node.plan, node.inputs, node.saved, node.params = plan, inputs, (), params
    node.shape, node.dtype = shape, dtype
    node.scope = current_mode().scope
    node.number = next_number()
    node.extras = None
    return node


output_plan, alias_plan = OutputPlan(), AliasPlan()


class Handle(Node):
    """A fresh name for an input of a transform, with respect to which it differentiates.

    Attributes:
        live: whether the transform still runs, so that an inner one must stay connected to it.
    """

    __slots__ = ("live",)

    def __init__(self, source: Node | None, shape: Any, dtype: Any) -> None:
        """A handle on the value of `source`; with None, one at which the graph begins."""
        self.plan, self.inputs, self.saved, self.params = alias_plan, (source,), (), {}
        self.shape, self.dtype = shape, dtype
        self.scope = current_mode().scope
        self.number = next_number()
        self.extras = None
        self.live = True


def output_node(source: Node, index: int) -> Node:
    """The node of one output of a node that has several."""
    return make_node(output_plan, (source,), source.shape[index], source.dtype[index], index=index)


def alias_node(source: Node) -> Node:
    """A new node for the same value."""
    return make_node(alias_plan, (source,), source.shape, source.dtype)


def extras_of(node: Node) -> Extras:
    """The extras of a node, made when there are none."""
    if node.extras is None:
        node.extras = Extras()
    return node.extras


def add_hook(hooks: dict[int, Any], hook: Callable[..., Any]) -> HookHandle:
    """Register a hook and return the handle that removes it."""
    if not callable(hook):
        raise TypeError(f"register_hook: hook must be callable, got {type(hook).__name__}")
    key = next_number()
    hooks[key] = hook
    return HookHandle(hooks, key)


def last_write() -> int:
    """The number on the tape of the latest in-place write of any leaf."""
    return _last_write
