"""Copying and pickling tensors: leaves and constants, never a graph.

A graph can be a million operations deep, and Python's `copy` and `pickle` recurse.
"""

from typing import Any

from minigrad.core.errors import GradientError
from minigrad.core.nodes import Leaf
from minigrad.core.tensors import Tensor

__all__ = ["METHODS"]


def _made_of(
    kind: type[Tensor], array: Any, leaf: tuple[str | None, bool, Tensor | None] | None
) -> Tensor:
    """A tensor of an array as it is; with a leaf's name, whether it is learned, and gradient."""
    tensor = object.__new__(kind)
    tensor._array, tensor._node = array, None
    if leaf is not None:
        name, learned, grad = leaf
        tensor._node = node = Leaf(array, name, learned)
        node.grad = grad
    return tensor


def _leaf_of(tensor: Tensor, what: str) -> tuple[str | None, bool, Tensor | None] | None:
    node = tensor._node
    if node is None:
        return None
    if not isinstance(node, Leaf):
        raise GradientError(
            f"{what}: this tensor was computed by {node.where} from tensors that require grad, and "
            f"its history cannot be taken along. {what.capitalize()} t.detach() for its values; or "
            "save the leaves, and compute it again from them."
        )
    return node.name, node.learned, node.grad


def _attributes(tensor: Tensor) -> dict[str, Any]:
    return getattr(tensor, "__dict__", {})  # of subclasses; a Tensor has slots alone


def _reduce(self: Tensor, protocol: int = 2) -> Any:
    """For pickle: a leaf keeps its name and its gradient, but no hooks."""
    state = _attributes(self)
    made = _made_of, (type(self), self._array, _leaf_of(self, "pickle"))
    return (*made, state) if state else made


def _copy(self: Tensor) -> Tensor:
    """For copy.copy: a new tensor of the same values, to be written without changing this one.

    A copy of a leaf is a leaf, with its name and gradient. A copy of a computed tensor has the
    same history.
    """
    leaf = self._node
    if leaf is None or isinstance(leaf, Leaf):
        made = _made_of(type(self), self._array, _leaf_of(self, "copy"))
    else:
        made = _made_of(type(self), self._array, None)
        made._node = leaf
    _attributes(made).update(_attributes(self))
    return made


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """For copy.deepcopy: a copy with memory of its own. Computed tensors refuse, as in PyTorch."""
    import copy  # what calls this has loaded it

    leaf = _leaf_of(self, "copy")
    if leaf is not None:
        leaf = (*leaf[:2], copy.deepcopy(leaf[2], memo))
    made = _made_of(type(self), self._array.copy(), leaf)
    _attributes(made).update(copy.deepcopy(_attributes(self), memo))
    return made


METHODS: dict[str, Any] = {
    "__copy__": _copy,
    "__deepcopy__": _deepcopy,
    "__reduce_ex__": _reduce,
}
"""What the modules `copy` and `pickle` call."""
