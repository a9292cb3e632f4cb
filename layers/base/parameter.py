"""`Parameter`: a tensor that a module learns."""

from typing import Any

from minigrad import Tensor
from minigrad.core.nodes import Leaf

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that a module learns: it requires grad, in the default dtype unless told otherwise.

    Args:
        data: the initial values; floating arrays keep their dtype.
        requires_grad: False freezes it.
    """

    __slots__ = ("_kept_name",)
    _kept_name: str | None  # the name, while the parameter is frozen and has no leaf to hold it

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = True) -> None:
        super().__init__(data, dtype=dtype, requires_grad=requires_grad)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Learn this parameter, or freeze it."""
        name = self.name if self._node is not None else getattr(self, "_kept_name", None)
        super().requires_grad_(value)
        if isinstance(self._node, Leaf):
            self._node.learned = True
            self._node.name = name
        self._kept_name = name
        return self
