"""Conversions of tensors to plain numbers: explicit ones, and implicit ones that are refused."""

from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.errors import DetachError, ShapeError, describe
from minigrad.core.nodes import Node

__all__ = ["Detaching"]


class Detaching:
    """The base of `Tensor` with its explicit ways out, and the implicit ones that are refused."""

    __slots__ = ()
    _array: "ndarray[tuple[int, ...], np.dtype[Any]]"
    _node: Node | None

    def numpy(self) -> "ndarray[Any, Any]":
        """A read-only view of the values; detaches, since it was asked for."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """The only element as a Python number; detaches, since it was asked for.

        Raises:
            ShapeError: when there is not exactly one element.
        """
        if self._array.size != 1:
            raise ShapeError(
                f"item: needs a tensor of one element, got {describe(self)}. "
                "Index it first, or use t.tolist() or t.numpy()."
            )
        return self._array.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; detaches, since it was asked for."""
        return self._array.tolist()

    def _refuse_detach(self, what: str) -> None:
        """Refuse what a method of this class, `what`, was asked for while the tensor has a history.

        Raises:
            DetachError: names the operation in the user's code, if it can be told, and what to
                write instead.
        """
        if self._node is None:
            return
        from minigrad.numpy_api.conversion_advice import advice  # for errors alone

        instead = "Use minigrad or NumPy functions on the tensor itself"
        what, instead = advice(2) or (what, instead)
        raise DetachError(
            f"{what}: this tensor {describe(self)} requires grad, and plain numbers would "
            f"silently lose its history. {instead}; or, to leave the graph on purpose, t.item(), "
            "t.detach() or t.numpy()."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "ndarray[Any, Any]":
        self._refuse_detach("conversion to a NumPy array")
        array = np.array(self._array, dtype=dtype, copy=copy)
        # Shared memory is for reading: writing would change values behind the engine's back.
        return self.numpy() if array is self._array else array

    def __float__(self) -> float:
        self._refuse_detach("float()")
        return float(self.item())

    def __int__(self) -> int:
        self._refuse_detach("int()")
        return int(self.item())

    def __index__(self) -> int:
        self._refuse_detach("use as an index")
        if self._array.dtype.kind not in "iu" or self._array.ndim:
            raise TypeError(
                f"only an integer tensor without axes can be an index, got {describe(self)}"
            )
        return int(self._array)

    def __complex__(self) -> complex:
        self._refuse_detach("complex()")
        return complex(self.item())
