"""Labels for what is recorded: time steps, named groups, and the states that cells carry on."""

import operator
from typing import Any

from minigrad.core.errors import describe
from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.core.nodes import Leaf, Node
from minigrad.core.tensors import Tensor
from minigrad.debug.scopes import Scope

__all__ = ["label_state", "scope", "state_source", "step"]

_UNTOLD: Any = object()
_OUTSIDE = Scope(None)  # where states are labelled that no scope encloses


class step(ModeChange):
    """Tag the operations of a block with a time step.

    Args:
        number: the time step, 0 or more.

    Raises:
        ValueError: when the number is negative.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        try:
            self._number = operator.index(number)
        except TypeError:
            raise TypeError(f"step: number must be an integer, got {number!r}") from None
        if self._number < 0:
            raise ValueError(f"step: number must be 0 or more, got {number}")

    def changes(self, mode: Mode) -> dict[str, Any]:
        """A scope with the time step."""
        return {"scope": Scope(mode.scope, step=self._number)}


class scope(ModeChange):
    """Group the operations of a block under a name, as calls of a module are grouped.

    Args:
        name: the name, such as "forget gate".
        kind: the kind of thing it is, such as the class name of a cell.
        routes: what a cell declares about the ways its states take through it.
    """

    def __init__(self, name: str, *, kind: str = "", routes: Any = None) -> None:
        super().__init__()
        self._fields = (name, kind, routes)

    def changes(self, mode: Mode) -> dict[str, Any]:
        """A scope with the name."""
        name, kind, routes = self._fields
        return {"scope": Scope(mode.scope, name, kind, routes=routes)}


def label_state(tensor: Tensor, state: str, before: Any = _UNTOLD) -> Tensor:
    """Say that a tensor is a state which a cell carries to the next time step ("h", "c").

    Drawings and the analysis of gradient flow read it; nothing is computed. Returns the tensor.
    The state belongs to the scope in which it is labelled, also where a module called in it made
    the value. A value from outside of it, such as the state before, stays what it is, and so does
    the state of a cell that was called in it: hand on `minigrad.positive(h)`, a value of its own.

    Args:
        tensor: the new state.
        state: its name, the same at every time step.
        before: the state that it was made from, a tensor or plain numbers. It tells which
            sequence the step continues where one cell runs on several of them, or feeds itself,
            as with weights that are shared over depth. Left out, it is read from the graph.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"label_state: needs a tensor, got {describe(tensor)}")
    node = tensor._node
    if node is None or isinstance(node, Leaf):
        return tensor
    here, made_in = current_mode().scope, node.scope
    inside = here is None or made_in is here or (made_in is not None and here in made_in.chain())
    if made_in is not None and made_in is not here and made_in.state:
        inside = False  # the state of a cell that was called here
    if inside:
        source = None if before is _UNTOLD else state_source(before)
        node.scope = (here or _OUTSIDE).with_state(state, source)
    return tensor


def state_source(before: Any) -> tuple[Node, ...]:
    """The node of a state to note as the one before; nothing for plain numbers."""
    node = getattr(before, "_node", None)
    return () if node is None else (node,)
