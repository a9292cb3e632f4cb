"""`Tensor`: an array and its place in the recorded graph.

The methods that are operations (`sum`, `reshape`, `__add__`, ...) are declared in
`minigrad.core.methods` and bound once, in `minigrad.numpy_api.operators`, to the functions of
`minigrad.ops`.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.backward import run_backward
from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError, GradientError, ShapeError, describe
from minigrad.core.methods import Signatures
from minigrad.core.modes import current_mode
from minigrad.core.nodes import HookHandle, Leaf, Node, add_hook, extras_of
from minigrad.debug.calls import note_leaf
from minigrad.numpy_api.detaching import Detaching
from minigrad.ops.parts import ROW, as_part, as_value, refuse_part
from minigrad.transforms.recorded_writes import note_write

__all__ = ["Tensor", "wrap"]


_LARGEST_SHOWN = 20  # values up to this many are shown by repr
_adding = threading.RLock()  # threads may add into the gradient of the same leaf


class Tensor(Signatures, Detaching):
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
    _part: Any  # set for a part of another value alone, see `minigrad.ops.parts`

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
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes

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
                    f"requires_grad needs a floating dtype, got {describe(self._array)}. "
                    + (
                        "Differentiate the real and the imaginary part as two real tensors."
                        if self._array.dtype.kind == "c"
                        else "Pass dtype='float32', or write 1.0 instead of 1."
                    )
                )
            self._node = Leaf(as_value(self)._array)
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

    # -- gradients -------------------------------------------------------------------------------

    @property
    def grad(self) -> "Tensor | None":
        """The gradient added up by `backward`: a Tensor of this shape and dtype, or None."""
        node = self._node
        if node is None:
            return None
        kept: Tensor | None = None
        if isinstance(node, Leaf):
            kept = node.grad
        elif node.extras is not None:
            kept = node.extras.grad
        return kept

    @grad.setter
    def grad(self, value: Any) -> None:
        leaf = self._leaf("grad")
        if value is not None:
            value = value if isinstance(value, Tensor) else Tensor(value, dtype=self.dtype)
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ShapeError(
                    f"grad: must have the tensor's own shape and dtype {describe(self)}, "
                    f"got {describe(value)}"
                )
        leaf.grad = value

    def backward(
        self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf that it was computed from.

        Args:
            gradient: the gradient of some scalar with respect to this tensor, of its shape; may
                be left out when this tensor has one element.
            retain_graph: keep the saved arrays, so that backward can run again.
            create_graph: record the derivative itself, so that it can be differentiated.

        Raises:
            GradientError: when the tensor does not require grad, is not a scalar and no
                `gradient` is given, the graph was freed, or a leaf was written in place.
            ShapeError: when `gradient` has another shape.
        """
        node = self._node
        if node is None:
            raise GradientError(
                f"backward: this tensor {describe(self)} does not require grad. Make the inputs "
                "with requires_grad=True, compute outside no_grad(), and do not detach on the way."
            )
        seed = seed_gradient(self, gradient, create_graph)
        results = run_backward(
            [(node, seed)],
            retain=retain_graph or create_graph,
            wrap=wrap,
            recorded=create_graph,
        )
        with _adding:
            for place, g in results.items():
                # Leaves hold their gradient themselves, tensors that retain it in the extras.
                holder = place if isinstance(place, Leaf) else place.extras
                assert holder is not None
                g = g if isinstance(g, Tensor) else wrap(own(g), None)
                if holder.grad is None:
                    holder.grad = g
                elif create_graph:
                    holder.grad = holder.grad + g
                else:
                    holder.grad = wrap(holder.grad._array + g._array, None)

    def write(self, value: Any) -> None:
        """Replace the values of this leaf by a copy of an array, as optimisers do.

        Nodes that saved the old values refuse to run backward from now on.

        Raises:
            ShapeError: when the value has another shape or dtype.
            ReadOnlyError: for a part of another value, such as `x[0]`.
        """
        refuse_part(self, "write")
        value = np.array(value)
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ShapeError(
                f"write: the value must be {describe(self)} like the tensor, got {describe(value)}"
            )
        if self._node is not None:
            self._leaf("write").write(value)
        else:
            note_write(self)
        self._array = value

    def zero_grad(self) -> None:
        """Forget the gradient of this leaf."""
        self.grad = None

    def retain_grad(self) -> "Tensor":
        """Keep the gradient of this computed tensor in `.grad`, as a leaf does.

        Every backward that passes through it adds up there; transforms leave it alone.

        Raises:
            GradientError: when the tensor does not require grad.
        """
        extras_of(self._recorded("retain_grad")).retain = True
        return self

    def register_hook(self, hook: Callable[["Tensor"], Any]) -> HookHandle:
        """Call `hook(gradient)` with the whole gradient of this tensor during backward.

        Args:
            hook: gets the gradient as a Tensor; what it returns, if not None, replaces it.

        Returns:
            A handle: `handle.remove()` takes the hook out again, and so does the end of a block
            ``with t.register_hook(hook): ...``.

        Raises:
            GradientError: when the tensor does not require grad.

        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> with x.register_hook(lambda g: 10 * g):
        ...     (x * x).sum().backward()
        >>> x.grad
        Tensor([20., 40.], f32[2])
        """
        return add_hook(extras_of(self._recorded("register_hook")).hooks, hook)

    def _recorded(self, what: str) -> Node:
        if self._node is None:
            raise GradientError(f"{what}: this tensor {describe(self)} does not require grad.")
        return self._node

    def detach(self) -> "Tensor":
        """The same values without history, as a value of its own: writing into it changes only it.

        To write into this tensor, write `t[...] = values`, for a leaf under `no_grad`.
        """
        if current_mode().replay:
            note_leaf(self)
        return wrap(self._array, None)

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ShapeError(
                f"the truth value of {describe(self)} is ambiguous: use (t > 0).all() or .any(). "
                "To find a tensor in a list, compare with `is`: any(t is u for u in tensors)."
            )
        return bool(self._array.item())

    def __len__(self) -> int:
        if not self._array.ndim:
            raise TypeError("len() of a tensor without axes: it has one element and no length")
        return len(self._array)

    def __iter__(self) -> "Iterator[Tensor]":
        if not self._array.ndim:
            raise TypeError("iteration over a tensor without axes; use t.item() for its value")
        return (as_part(self[i], ROW) for i in range(len(self._array)))

    def __repr__(self) -> str:
        notes = describe(self) + (", requires_grad" if self._node is not None else "")
        if self._array.size > _LARGEST_SHOWN:
            return f"Tensor({notes})"
        values = np.array2string(self._array, separator=", ", precision=4, prefix="Tensor(")
        return f"Tensor({values}, {notes})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        if self._array.size != 1:
            raise ShapeError(
                f"format: {spec!r} is for one number, got {describe(self)}. Index it first, or "
                f"write [format(v, {spec!r}) for v in t.tolist()]."
            )
        return format(self._array.item(), spec)

    __hash__ = object.__hash__


def wrap(array: Any, node: Node | None) -> Tensor:
    """A tensor of an array as it is, not copied, at a place in the graph."""
    tensor = _new(Tensor)
    tensor._array = array if array.__class__ is ndarray else np.asarray(array)
    tensor._node = node
    return tensor


_new = object.__new__


def own(g: Any) -> Any:
    """A gradient that neither aliases nor keeps alive a larger array."""
    return g.copy() if isinstance(g, ndarray) and g.base is not None else np.asarray(g)


def seed_gradient(output: Tensor, gradient: Any, recorded: bool) -> Any:
    """The gradient to start a backward from: checked, copied, in the output's dtype."""
    if gradient is None:
        if output._array.size != 1:
            raise GradientError(
                f"backward from {describe(output)}: a gradient can be left out only for one "
                "element. Reduce it to a scalar first (t.sum(), t.mean()), or pass "
                f"gradient= of shape {output.shape}."
            )
        gradient = np.ones(output.shape, output.dtype)
    elif not isinstance(gradient, Tensor):
        gradient = to_array(gradient, output.dtype, "gradient")
    elif gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    if gradient.shape != output.shape:
        raise ShapeError(
            f"gradient: must have the shape of the tensor that backward starts from, "
            f"{output.shape}, got {tuple(gradient.shape)}"
        )
    if recorded:
        return gradient if isinstance(gradient, Tensor) else wrap(gradient, None)
    return gradient._array if isinstance(gradient, Tensor) else gradient
