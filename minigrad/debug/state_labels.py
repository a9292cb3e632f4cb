"""Labels for the states that a cell carries from one time step to the next."""

from typing import Any

from minigrad.core.errors import describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Leaf, Node
from minigrad.core.scopes import Scope
from minigrad.core.tensors import Tensor

__all__ = ["label_state", "state_source"]

_UNTOLD: Any = object()
_OUTSIDE = Scope(None)  # where states are labelled that no scope encloses


def label_state(tensor: Tensor, state: str, before: Any = _UNTOLD) -> Tensor:
    """Say that a tensor is a state which a cell carries to the next time step ("h", "c").

    Drawings and the analysis of gradient flow read it; nothing is computed. Returns the tensor.
    The state belongs to the scope in which it is labelled, also where a module called in it made
    the value. A value from outside of it, such as the state before, stays what it is.

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
