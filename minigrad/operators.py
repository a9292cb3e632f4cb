"""Operators, methods and NumPy's protocols, bound to `Tensor` once.

`t + w` calls the operation directly. `np.exp(t)` and `np.concatenate([t, w])` arrive through the
protocols and are looked up in one table, from NumPy's function to ours.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minigrad import inplace, ops
from minigrad.errors import DtypeError
from minigrad.ops import elementwise, products, shape
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
numpy_functions |= inplace.NUMPY


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method != "__call__":
        ours = numpy_functions.get(getattr(ufunc, method))
        if ours is not None:
            return ours(*inputs, **kwargs)
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


def _reshape(self: Tensor, *sizes: Any, order: str = "C") -> Tensor:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 else sizes, order)


_BINARY = {
    "add": (elementwise.add, "+="),
    "sub": (elementwise.subtract, "-="),
    "mul": (elementwise.multiply, "*="),
    "truediv": (elementwise.divide, "/="),
    "pow": (elementwise.power, "**="),
    "matmul": (products.matmul, "@="),
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
_METHODS |= inplace.METHODS


def _bind() -> None:
    for name, (function, symbol) in _BINARY.items():
        _METHODS[f"__{name}__"] = function
        _METHODS[f"__r{name}__"] = _reflected(function)
        _METHODS[f"__i{name}__"] = inplace.in_place(function, symbol)
    for name, function in _METHODS.items():
        setattr(Tensor, name, function)


_bind()
