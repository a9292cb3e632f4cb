"""In-place writes: the tensor takes the array and the history of a functional update.

No array is ever changed. So what was computed from the old value, a view `x[0]` among it, keeps
the old value and its gradient, and `x[0] += 1` is as differentiable as any other operation.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minigrad.core.errors import DtypeError, GradientError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.numpy_api.call_sites import calling_function
from minigrad.ops.arguments import source_of
from minigrad.ops.elementwise import arithmetic, casting
from minigrad.ops.manipulation import indexing, selecting, sorting
from minigrad.ops.manipulation.indexing import plain_index
from minigrad.ops.parts import as_value, refuse_part, refuse_row

__all__ = ["METHODS", "NUMPY", "in_place", "rebind", "replace"]


T = TypeVar("T", bound=Tensor)


def rebind(tensor: Tensor, value: Tensor, what: str) -> Tensor:
    """Write in place: the tensor takes the value's array and its place in the graph.

    Leaves that require grad may be written only under no_grad, which is noted on the tape. After
    an error the tensor is as it was.

    Raises:
        ShapeError: when the value has another shape.
        DtypeError: when the value is of another kind of dtype, such as float for an integer tensor.
        ReadOnlyError: for a part of another value, such as `x[0]`.
        GradientError: for a leaf that requires grad while recording, or for a computed tensor
            under no_grad, which would lose its history.
    """
    refuse_part(tensor, what)
    return _take(tensor, value, what)


def _take(tensor: T, value: Tensor, what: str) -> T:
    """`rebind` for a tensor whose name takes the new value, too: it may be a part."""
    node = tensor._node
    if value.shape != tensor.shape:
        raise ShapeError(
            f"{what}: the result has shape {value.shape}, which cannot be written into a tensor of "
            f"shape {tensor.shape}"
        )
    if isinstance(node, Leaf):
        if current_mode().recording:
            raise GradientError(
                f"{what}: this tensor {describe(tensor)} is a leaf that requires grad, and writing "
                "it would lose the leaf. Write `x = x + ...` for a new tensor, or write inside "
                "`with minigrad.no_grad():` to update it, as optimisers do."
            )
    elif node is not None and not current_mode().recording:
        raise GradientError(
            f"{what}: this tensor {describe(tensor)} was computed by {node.where}, and writing it "
            "under no_grad would silently cut its history. Use t.detach() first."
        )
    if value.dtype != tensor.dtype:
        if not np.can_cast(value.dtype, tensor.dtype, "same_kind"):
            raise DtypeError(
                f"{what}: a result of dtype {value.dtype} cannot be written into a tensor of dtype "
                f"{tensor.dtype}; convert with astype first."
            )
        value = casting.astype(value, tensor.dtype)
    if isinstance(node, Leaf):
        node.write(value._array)
    else:
        _tell(tensor)
        tensor._node = value._node
    tensor._array = value._array
    return tensor


def _tell(tensor: Tensor) -> None:
    """Tell observers that a tensor is about to be written."""
    for observer in current_mode().observers:
        observer.write(tensor)


def write(self: Tensor, value: Any) -> None:
    """Replace the values of this leaf by a copy of an array, as optimisers do.

    Nodes that saved the old values refuse to run backward from now on.

    Raises:
        ShapeError: when the value has another shape or dtype.
        ReadOnlyError: for a part of another value, such as `x[0]`.
    """
    replace(self, np.array(value))


def replace(self: Tensor, value: PlainArray) -> None:
    """`write` an array that nobody else has or will have, and so need not be copied."""
    refuse_part(self, "write")
    if value.shape != self.shape or value.dtype != self.dtype:
        raise ShapeError(
            f"write: the value must be {describe(self)} like the tensor, got {describe(value)}"
        )
    if self._node is not None:
        self._leaf("write").write(value)
    else:
        _tell(self)
    self._array = value


def in_place(function: Callable[..., Any], symbol: str) -> Callable[[Any, Any], Any]:
    """The method of an augmented assignment, such as `+=`, from the operation that it repeats.

    Python binds its result to the name or the place on the left, so that `x[i] += v` writes into
    x, and a part that has a name becomes a value of its own.
    """

    def write(self: T, other: Any) -> T:
        what = f"t {symbol} ..."
        if self._array.ndim:
            refuse_row(self, what)
        return as_value(_take(self, function(self, other), what))

    return write


def _getitem(self: Tensor, index: Any) -> Tensor:
    return indexing.getitem(self, plain_index(index))


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    rebind(self, indexing.setitem(self, value, plain_index(index)), "assignment to t[...]")


def _compress(self: Tensor, condition: Any, axis: int | None = None) -> Tensor:
    """The parts along an axis for which a condition holds."""
    return selecting.compress(condition, self, axis)


def _copy(self: Tensor, order: str = "K", subok: bool = False) -> Tensor:
    """The same values with the same history, to be written without changing this tensor."""
    return arithmetic.positive(self) if self.requires_grad else self.detach()


def _fill(self: Tensor, value: Any) -> None:
    """Write one number into every element, in place."""
    _setitem(self, ..., value)


def _sort(
    self: Tensor, axis: int = -1, kind: str | None = None, *, stable: bool | None = None
) -> None:
    """Sort along an axis in place, as ndarray.sort does; `minigrad.sort` returns a new tensor."""
    rebind(self, sorting.sort(self, axis, kind, stable=stable), "t.sort()")


def _partition(self: Tensor, kth: Any, axis: int = -1) -> None:
    """Partition along an axis in place, as ndarray.partition does."""
    rebind(self, sorting.partition(self, kth, axis), "t.partition()")


METHODS: dict[str, Any] = {
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "compress": _compress,
    "copy": _copy,
    "fill": _fill,
    "partition": _partition,
    "sort": _sort,
    "write": write,
}
"""The methods of `Tensor` that read and write by index, or write all of it."""

for _name, _method in METHODS.items():
    _method.__name__ = _method.__qualname__ = _name  # as errors of wrong calls show it


# -- the NumPy functions that write into their first argument --------------------------------------


def _target(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"{name}: writes into its first argument, which must be a tensor when another argument "
            f"is one; got {describe(value)}. An array cannot remember how it was computed."
        )
    return value


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    caller = None if isinstance(dst, Tensor) else calling_function()
    if caller is not None:
        raise DtypeError(
            f"{caller}: writes {describe(src)} into an array {describe(dst)}, which cannot "
            "remember how a value was computed. Write minigrad.full_like(x, t) or "
            "np.broadcast_to(t, shape)."
        )
    dst = _target(dst, "np.copyto")
    src = source_of(src, "np.copyto", "src", dst)
    if casting != "same_kind" or where is not True:
        raise DtypeError(
            'np.copyto: for tensors casting must be "same_kind" and where must be left out; write '
            "`t[mask] = ...` or use minigrad.where"
        )
    _setitem(dst, ..., src)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> None:
    arr = _target(arr, "np.put_along_axis")
    rebind(arr, selecting.put_along_axis(arr, indices, values, axis), "np.put_along_axis")


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    a = _target(a, "np.fill_diagonal")
    if wrap or a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) > 1):
        raise ShapeError(
            f"np.fill_diagonal: needs a matrix, or more axes of one length, and wrap=False for "
            f"tensors; got {describe(a)}, wrap={wrap}"
        )
    places = np.arange(min(a.shape))
    _setitem(a, (places,) * a.ndim, val)


def _add_at(target: Any, index: Any, values: Any) -> None:
    """``np.add.at`` on a tensor, in place: places that repeat get every addition."""
    target = _target(target, "np.add.at")
    rebind(target, indexing.scatter_add(target, index, values), "np.add.at")


NUMPY: dict[Any, Callable[..., Any]] = {
    np.add.at: _add_at,
    np.copy: _copy,
    np.copyto: _copyto,
    np.fill_diagonal: _fill_diagonal,
    np.put_along_axis: _put_along_axis,
}
"""NumPy's functions that write in place, as tensors do it: they rebind. And `copy`, for them."""
