"""Nodes: what is remembered of each operation that ran, and nothing else.

A node points to the nodes of its inputs and to the arrays that its derivative rules read; nothing
points from a node to the tensor that it made. So a graph has no cycles (but for a leaf whose own
gradient was recorded), and dies with the last tensor that refers to it.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias

from numpy import ndarray

from minigrad.core.modes import current_mode

__all__ = ["Array", "Leaf", "Node", "PlainArray", "alias_node", "alias_plan", "fill_node"]
__all__ += ["last_write", "make_node", "next_number", "place", "written_in_place"]

Array: TypeAlias = Any  # an ndarray, a NumPy scalar, or a Tensor: rules are written for all three
PlainArray: TypeAlias = ndarray[Any, Any]

next_number = itertools.count(1).__next__
_last_write = 0  # the number of the latest in-place write of any leaf: the hot path's only check


_FIELDS = ("plan", "inputs", "saved", "params", "shape", "dtype", "scope", "number", "extras")


class Node:
    """One operation that ran.

    Attributes:
        plan: how gradients flow back: its `vjp(node, g)` gives, from the gradient of the output,
            one contribution per input, on arrays; `vjp_recorded` the same on tensors, so that the
            derivative itself is recorded. It has the operation's `name`; `view`, whether the
            output may share memory with the first input; and `saved_slots`, the inputs whose
            arrays the node saves.
        inputs: the node of each input, None where an input is a constant.
        saved: the arrays that the rules read; None after they were freed.
        params: the parameters of the call (axis, keepdims, ...).
        shape, dtype: of the output; for several outputs, tuples of them.
        scope: where it was recorded.
        number: its place in the order of recording; larger than that of its inputs.
        extras: rarely used additions (hooks, retained gradient, notes), or None: see
            `minigrad.debug.extras`.
    """

    __slots__ = ("__weakref__", *_FIELDS)
    plan: Any
    inputs: tuple["Node | None", ...]
    saved: tuple[Any, ...] | None
    params: dict[str, Any]
    shape: tuple[Any, ...]
    dtype: Any
    scope: Any
    number: int
    extras: Any
    register_hook: ClassVar[Callable[..., Any]]  # see minigrad.debug.extras

    written = 0  # only leaves are ever written
    name: str | None = None

    @property
    def where(self) -> str:
        """The operation and its place, for messages."""
        return place(self.plan.name, self.scope)

    def __repr__(self) -> str:
        return f"Node({self.where}, number={self.number}, shape={self.shape})"


def place(name: str, scope: Any) -> str:
    """An operation with its module path and time step, for messages."""
    return name if scope is None else f"{name}{scope.place}"


class LeafPlan:
    """The plan of leaves: gradients end here, and no rule is ever asked."""

    name = "leaf"
    view = False
    saved_slots = ()


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
        self.inputs, self.saved, self.params = (), (), {}
        self.value, self.shape, self.dtype = value, value.shape, value.dtype
        self.scope = self.extras = None
        self.number = next_number()
        self.grad: Any = None
        self.written = 0
        self.name, self.learned = name, learned

    def write(self, value: "ndarray[Any, Any]") -> None:
        """Replace the value. Nodes that saved the old one refuse to run backward from now on."""
        self.value, self.shape, self.dtype = value, value.shape, value.dtype
        written_in_place((self,))


def written_in_place(leaves: Iterable[Leaf]) -> None:
    """Nodes that saved the values of leaves until now refuse to run backward from now on."""
    global _last_write
    _last_write = next_number()
    for leaf in leaves:
        leaf.written = _last_write


def last_write() -> int:
    """The number on the tape of the latest in-place write of any leaf."""
    return _last_write


class AliasPlan:
    """The plan of another name for a value: gradients pass through as they are."""

    name = "alias"
    view = True
    saved_slots = ()

    def vjp(self, node: Node, g: Array) -> Sequence[Array | None]:
        return (g,)

    vjp_recorded = vjp


alias_plan = AliasPlan()


def make_node(
    plan: Any, inputs: tuple[Node | None, ...], shape: Any, dtype: Any, **params: Any
) -> Node:
    """A node that saves nothing (yet)."""
    return fill_node(Node(), plan, inputs, shape, dtype, params)


def fill_node(node: Node, plan: Any, inputs: Any, shape: Any, dtype: Any, params: Any) -> Node:
    """The same in a node that exists."""
    node.plan, node.inputs, node.saved, node.params = plan, inputs, (), params
    node.shape, node.dtype = shape, dtype
    node.scope = current_mode().scope
    node.number = next_number()
    node.extras = None
    return node


def alias_node(source: Node) -> Node:
    """A new node for the same value."""
    return make_node(alias_plan, (source,), source.shape, source.dtype)
