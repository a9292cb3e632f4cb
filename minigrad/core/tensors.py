"""`Tensor`: an array and its place in the recorded graph.

Here is what a tensor is. What can be computed from it (`sum`, `reshape`, `__add__`, ...),
`backward` and the ways out to plain numbers are functions that stand elsewhere and become methods
by `method`; `methods.pyi` lists them all for type checkers.
"""

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy import ndarray

from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError, GradientError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array, Leaf, Node

if TYPE_CHECKING:
    from minigrad.core.methods import TensorMethods
else:

    class TensorMethods:
        """At run time the methods are set by `method`."""

        __slots__ = ()


__all__ = ["Tensor", "TensorLike", "as_array", "as_tensor", "method", "wrap"]

TensorLike: TypeAlias = Any  # what operations take: a Tensor, an ndarray or numbers
Function = TypeVar("Function")


class Tensor(TensorMethods):
    """An array that remembers how it was computed.

    Args:
        data: numbers, nested sequences of them, an array or another tensor; copied. Arrays keep
            their dtype; Python floats get the default dtype (float32 unless set otherwise).
        dtype: a NumPy dtype to convert to.
        requires_grad: record what is computed from this tensor, so that `backward` and the
            transforms can differentiate it. Floating dtypes only.

    Raises:
        DtypeError: for text and objects; for integer, boolean or complex data that should
            require grad.
        DetachError: for sequences that contain tensors which require grad.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    Tensor([2., 4., 6.], f32[3])
    """

    __slots__ = ("__weakref__", "_array", "_node", "_part")
    _array: "ndarray[tuple[int, ...], np.dtype[Any]]"
    _node: Node | None
    _part: Any  # the operation of which this is a part, see `minigrad.ops.parts`; else unset

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        self._array = to_array(data, dtype)
        self._node = None
        if requires_grad:
            self.requires_grad_()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The NumPy dtype."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    @property
    def requires_grad(self) -> bool:
        """Whether what is computed from this tensor is recorded."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, value: bool = True) -> "Tensor":
        """Turn recording for this leaf on or off, in place, and return it.

        Raises:
            DtypeError: when the dtype is not floating.
            GradientError: when it was computed from tensors that require grad.
        """
        if self._node is not None and not self.is_leaf:
            if value:
                return self
            raise GradientError(
                f"requires_grad=False: this tensor was computed by {self._node.where} from tensors "
                "that require grad. Use t.detach() for a copy without history."
            )
        if not value:
            self._node = None
        elif self._node is None:
            if self._array.dtype.kind != "f":
                raise DtypeError(
                    f"requires_grad needs a floating dtype, got {describe(self)}. "
                    + (
                        "Differentiate the real and the imaginary part as two real tensors."
                        if self._array.dtype.kind == "c"
                        else "Pass dtype='float32', or write 1.0 instead of 1."
                    )
                )
            if hasattr(self, "_part"):
                del self._part  # a leaf is a value of its own
            self._node = Leaf(self._array)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was not computed from tensors that require grad."""
        return self._node is None or self._node.__class__ is Leaf

    @property
    def name(self) -> str | None:
        """The name of a leaf that requires grad, as errors and drawings show it."""
        return None if self._node is None else self._node.name

    @name.setter
    def name(self, value: str | None) -> None:
        self._leaf("name").name = value

    def _leaf(self, what: str) -> Leaf:
        node = self._node
        if not isinstance(node, Leaf):
            raise GradientError(
                f"{what}: only leaves that require grad have one; this is {describe(self)}, "
                + ("which does not require grad." if node is None else f"made by {node.where}.")
            )
        return node

    # -- gradients; for `backward` see minigrad.core.backward -------------------------------------

    @property
    def grad(self) -> "Tensor | None":
        """The gradient added up by `backward`: a Tensor of this shape and dtype, or None."""
        holder = self._node if isinstance(self._node, Leaf) else getattr(self._node, "extras", None)
        kept: Tensor | None = getattr(holder, "grad", None)
        return kept

    @grad.setter
    def grad(self, value: Any) -> None:
        leaf = self._leaf("grad")
        if value is not None:
            value = value if isinstance(value, Tensor) else Tensor(value, dtype=self.dtype)
            own, given = self._array, value._array
            if given.shape != own.shape or given.dtype != own.dtype:
                raise ShapeError(
                    f"grad: must have the tensor's own shape and dtype {describe(self)}, "
                    f"got {describe(value)}"
                )
        leaf.grad = value

    def zero_grad(self) -> None:
        """Forget the gradient of this leaf."""
        self.grad = None

    def _recorded(self, what: str) -> Node:
        if self._node is None:
            raise GradientError(f"{what}: this tensor {describe(self)} does not require grad.")
        return self._node

    def detach(self) -> "Tensor":
        """The same values without history, as a value of its own: writing into it changes only it.

        To write into this tensor, write `t[...] = values`, for a leaf under `no_grad`.
        """
        for observer in current_mode().observers:
            observer.leave(self)
        return wrap(self._array, None)

    __hash__ = object.__hash__


def wrap(array: Any, node: Node | None) -> Tensor:
    """A tensor of an array as it is, not copied, at a place in the graph."""
    tensor = new(Tensor)
    tensor._array = array if array.__class__ is ndarray else np.asarray(array)
    tensor._node = node
    return tensor


new = object.__new__


def as_tensor(g: Array) -> Any:
    """A gradient on tensors, as rules that are recorded take it; of several outputs, each."""
    if isinstance(g, Tensor):
        return g
    return g.mapped(as_tensor) if hasattr(g, "mapped") else wrap(g, None)


def as_array(g: Any) -> Array:
    """A gradient on arrays."""
    if isinstance(g, Tensor):
        return g._array
    return g if g.__class__ is ndarray or not hasattr(g, "mapped") else g.mapped(as_array)


def method(function: Function, name: str = "") -> Function:
    """Decorate a function whose first parameter is a tensor: it becomes a method of `Tensor`."""
    name = name or getattr(function, "__name__", "")
    methods[name] = function
    setattr(Tensor, name, function)
    return function


methods: dict[str, Any] = {}
"""What was made a method, by its name."""
