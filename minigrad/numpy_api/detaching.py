"""Conversions of tensors to plain numbers: explicit ones, and implicit ones that are refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.errors import DetachError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.tensors import Tensor, method
from minigrad.numpy_api.conversion_advice import advice
from minigrad.ops.parts import ROW, as_part

_LARGEST_SHOWN = 20  # values up to this many are shown by repr


def tell_leaving(tensor: Tensor, read_by: str) -> None:
    """Tell observers that a value goes on as plain numbers, without its place in the graph."""
    for observer in current_mode().observers:
        observer.leave(tensor, read_by)


@method
def numpy(self: Tensor) -> "ndarray[Any, Any]":
    """A read-only view of the values; detaches, since it was asked for."""
    tell_leaving(self, "numpy")
    view = self._array.view()
    view.flags.writeable = False
    return view


@method
def item(self: Tensor) -> Any:
    """The only element as a Python number; detaches, since it was asked for.

    Raises:
        ShapeError: when there is not exactly one element.
    """
    if self._array.size != 1:
        raise ShapeError(
            f"item: needs a tensor of one element, got {describe(self)}. "
            "Index it first, or use t.tolist() or t.numpy()."
        )
    tell_leaving(self, "item")
    return self._array.item()


@method
def tolist(self: Tensor) -> Any:
    """The values as nested lists of Python numbers; detaches, since it was asked for."""
    tell_leaving(self, "tolist")
    return self._array.tolist()


def _refuse_detach(self: Tensor, what: str) -> None:
    """Refuse what a method of this class, `what`, was asked for while the tensor has a history.

    Raises:
        DetachError: names the operation in the user's code, if it can be told, and what to
            write instead.
    """
    if self._node is None:
        tell_leaving(self, what)
        return
    instead = "Use minigrad or NumPy functions on the tensor itself"
    what, instead = advice(2) or (what, instead)
    raise DetachError(
        f"{what}: this tensor {describe(self)} requires grad, and plain numbers would "
        f"silently lose its history. {instead}; or, to leave the graph on purpose, t.item(), "
        "t.detach() or t.numpy()."
    )


@method
def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> "ndarray[Any, Any]":
    _refuse_detach(self, "conversion to a NumPy array")
    array = np.array(self._array, dtype=dtype, copy=copy)
    # Shared memory is for reading: writing would change values behind the engine's back.
    return self.numpy() if array is self._array else array


@method
def __float__(self: Tensor) -> float:
    _refuse_detach(self, "float()")
    return float(self.item())


@method
def __int__(self: Tensor) -> int:
    _refuse_detach(self, "int()")
    return int(self.item())


@method
def __index__(self: Tensor) -> int:
    _refuse_detach(self, "use as an index")
    if self._array.dtype.kind not in "iu" or self._array.ndim:
        raise TypeError(
            f"only an integer tensor without axes can be an index, got {describe(self)}"
        )
    return int(self._array)


@method
def __complex__(self: Tensor) -> complex:
    _refuse_detach(self, "complex()")
    return complex(self.item())


@method
def __bool__(self: Tensor) -> bool:
    if self._array.size != 1:
        raise ShapeError(
            f"the truth value of {describe(self)} is ambiguous: use (t > 0).all() or .any(). "
            "To find a tensor in a list, compare with `is`: any(t is u for u in tensors)."
        )
    tell_leaving(self, "bool()")
    return bool(self._array.item())


@method
def __len__(self: Tensor) -> int:
    if not self._array.ndim:
        raise TypeError("len() of a tensor without axes: it has one element and no length")
    return len(self._array)


@method
def __iter__(self: Tensor) -> Iterator[Tensor]:
    if not self._array.ndim:
        raise TypeError("iteration over a tensor without axes; use t.item() for its value")
    return (as_part(self[i], ROW) for i in range(len(self._array)))


@method
def __repr__(self: Tensor) -> str:
    notes = describe(self) + (", requires_grad" if self._node is not None else "")
    if self._array.size > _LARGEST_SHOWN:
        return f"Tensor({notes})"
    tell_leaving(self, "repr()")
    values = np.array2string(self._array, separator=", ", precision=4, prefix="Tensor(")
    return f"Tensor({values}, {notes})"


@method
def __format__(self: Tensor, spec: str) -> str:
    if not spec:
        return repr(self)
    if self._array.size != 1:
        raise ShapeError(
            f"format: {spec!r} is for one number, got {describe(self)}. Index it first, or "
            f"write [format(v, {spec!r}) for v in t.tolist()]."
        )
    tell_leaving(self, "format()")
    return format(self._array.item(), spec)
