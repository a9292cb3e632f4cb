"""Operators, methods and NumPy's protocols, bound to `Tensor` once.

`t + w` calls the operation directly. `np.exp(t)` and `np.concatenate([t, w])` arrive through the
protocols and are looked up in one table, from NumPy's function to ours.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.errors import DtypeError, GradientError, ShapeError, describe
from minigrad.mode import current_mode
from minigrad.nodes import Leaf
from minigrad.ops import elementwise, indexing, linalg, shape
from minigrad.tensors import Tensor

__all__ = ["numpy_functions"]

numpy_functions: dict[Any, Callable[..., Any]] = {}
"""From a NumPy function or ufunc to the minigrad function that replaces it on tensors."""


def _enter(module: ModuleType) -> None:
    """Enter a module's operations under the NumPy functions that they stand for."""
    for name in module.__all__:
        theirs = getattr(np, name, None)
        if callable(theirs) and hasattr(theirs, "__name__"):
            numpy_functions[theirs] = getattr(module, name)
    numpy_functions.update(getattr(module, "NUMPY", {}))


numpy_functions |= {
    np.shape: lambda t: t.shape,
    np.ndim: lambda t: t.ndim,
    np.size: lambda t: t.size,
}
for _module in ops.MODULES:
    _enter(_module)


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method != "__call__":
        raise DtypeError(
            f"np.{ufunc.__name__}.{method}: methods of ufuncs are not differentiable on tensors; "
            "use the matching function, such as np.sum for np.add.reduce."
        )
    return _dispatch(ufunc, f"np.{ufunc.__name__}", inputs, kwargs)


def _array_function(
    self: Tensor, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return _dispatch(
        function, f"{function.__module__}.{function.__name__}".replace("numpy", "np"), args, kwargs
    )


def _dispatch(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    ours = numpy_functions.get(function)
    if ours is None:
        raise DtypeError(
            f"{name} has no derivative in minigrad, so it does not take tensors. Compose it of "
            "functions that minigrad knows, declare it with @minigrad.primitive, or, if a "
            "constant is meant, pass t.detach().numpy()."
        )
    for option in ("out", "where"):
        value = kwargs.pop(option, None)
        if value is not None and value is not True and value is not np._NoValue:
            raise DtypeError(
                f"{name}: {option}= is not supported on tensors, because it writes in place; "
                + ("assign the result instead." if option == "out" else "use minigrad.where.")
            )
    if "dtype" in kwargs and kwargs["dtype"] is None:
        del kwargs["dtype"]
    return ours(*args, **{k: v for k, v in kwargs.items() if v is not np._NoValue})


def _reflected(function: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    def reflected(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return reflected


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return shape.transpose(self, tuple(order) if order else None)


def _reshape(self: Tensor, *sizes: Any) -> Tensor:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 else sizes)


def plain_index(index: Any) -> Any:
    """An index without tensors in it: integer and boolean tensors as arrays.

    Raises:
        DtypeError: when a tensor in the index is not of integers or booleans.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(p, (Tensor, list)) for p in parts):
        return index
    plain = []
    for part in parts:
        if isinstance(part, Tensor):
            if part.dtype.kind not in "iub":
                raise DtypeError(
                    f"index: a tensor in an index must hold integers or booleans, got "
                    f"{describe(part)}; t.astype(int) makes integers."
                )
            part = part._array
        elif isinstance(part, list):
            part = np.asarray(part, dtype=None if part else np.intp)
        plain.append(part)
    return tuple(plain) if isinstance(index, tuple) else plain[0]


def _getitem(self: Tensor, index: Any) -> Tensor:
    return indexing.getitem(self, plain_index(index))


def rebind(tensor: Tensor, value: Tensor, what: str) -> Tensor:
    """Write in place: the tensor takes the value's array and its place in the graph.

    Leaves that require grad may be written only under no_grad, which is noted on the tape.

    Raises:
        GradientError: for such a leaf while recording, or for a computed tensor under no_grad,
            which would lose its history.
    """
    node = tensor._node
    if value.shape != tensor.shape:
        raise ShapeError(
            f"{what}: the result has shape {value.shape}, which cannot be written into a tensor of "
            f"shape {tensor.shape}"
        )
    if value.dtype != tensor.dtype:
        if not np.can_cast(value.dtype, tensor.dtype, "same_kind"):
            raise DtypeError(
                f"{what}: a result of dtype {value.dtype} cannot be written into a tensor of dtype "
                f"{tensor.dtype}; convert with astype first."
            )
        value = elementwise.astype(value, tensor.dtype)
    if isinstance(node, Leaf):
        if current_mode().recording:
            raise GradientError(
                f"{what}: this tensor {describe(tensor)} is a leaf that requires grad, and writing "
                "it would lose the leaf. Write `x = x + ...` for a new tensor, or write inside "
                "`with minigrad.no_grad():` to update it, as optimisers do."
            )
        node.write(value._array)
    elif node is not None and not current_mode().recording:
        raise GradientError(
            f"{what}: this tensor {describe(tensor)} was computed by {node.where}, and writing it "
            "under no_grad would silently cut its history. Use t.detach() first."
        )
    else:
        tensor._node = value._node
    tensor._array = value._array
    return tensor


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    rebind(self, indexing.setitem(self, value, plain_index(index)), "assignment to t[...]")


def _in_place(function: Callable[..., Any], symbol: str) -> Callable[[Tensor, Any], Tensor]:
    def in_place(self: Tensor, other: Any) -> Tensor:
        return rebind(self, function(self, other), f"t {symbol} ...")

    return in_place


_BINARY = {
    "add": (elementwise.add, "+="),
    "sub": (elementwise.subtract, "-="),
    "mul": (elementwise.multiply, "*="),
    "truediv": (elementwise.divide, "/="),
    "pow": (elementwise.power, "**="),
    "matmul": (linalg.matmul, "@="),
}

_METHODS: dict[str, Any] = {
    "__neg__": elementwise.negative,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.absolute,
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "__eq__": elementwise.equal,
    "__ne__": elementwise.not_equal,
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "T": property(lambda self: shape.transpose(self), doc="The axes in reverse order."),
    "mT": property(lambda self: shape.swapaxes(self, -1, -2), doc="The last two axes exchanged."),
    "reshape": _reshape,
    "transpose": _transpose,
    "abs": elementwise.absolute,
}

_METHODS |= {
    name: getattr(module, name) for module in ops.MODULES for name in getattr(module, "METHODS", ())
}


def _bind() -> None:
    for name, (function, symbol) in _BINARY.items():
        _METHODS[f"__{name}__"] = function
        _METHODS[f"__r{name}__"] = _reflected(function)
        _METHODS[f"__i{name}__"] = _in_place(function, symbol)
    for name, function in _METHODS.items():
        setattr(Tensor, name, function)


_bind()
