"""Operators, methods and NumPy's protocols, bound to `Tensor` once.

`t + w` calls an operation directly; `np.exp(t)` arrives through `minigrad.numpy_api.protocols`.
"""

from collections.abc import Callable
from typing import Any

from minigrad.core.applying import AS_IS
from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError
from minigrad.core.tensors import Tensor, method
from minigrad.numpy_api import copying, inplace, protocols
from minigrad.numpy_api.protocols import numpy_functions
from minigrad.ops.elementwise import arithmetic as elementwise
from minigrad.ops.elementwise import piecewise, predicates
from minigrad.ops.linalg import products
from minigrad.ops.manipulation.reshaping import matrix_transpose, reshape, transpose
from minigrad.ops.primitives import Primitive

__all__ = ["numpy_functions"]

BINARY: dict[str, tuple[Primitive[...], str]] = {
    "add": (elementwise.add, "+="),
    "sub": (elementwise.subtract, "-="),
    "mul": (elementwise.multiply, "*="),
    "truediv": (elementwise.divide, "/="),
    "floordiv": (predicates.floor_divide, "//="),
    "mod": (piecewise.remainder, "%="),
    "pow": (elementwise.power, "**="),
    "matmul": (products.matmul, "@="),
    "and": (predicates.bitwise_and, "&="),
    "or": (predicates.bitwise_or, "|="),
    "xor": (predicates.bitwise_xor, "^="),
    "lshift": (predicates.left_shift, "<<="),
    "rshift": (predicates.right_shift, ">>="),
}
"""The operators that have a reflected form and one in place."""

COMPARISONS: dict[str, Primitive[...]] = {
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
}


def _owner(name: str) -> Callable[[Any], bool]:
    """Whether to leave an operator to the class of the other operand, which defines `name`.

    As in NumPy: when the class says so by ``__array_ufunc__ = None``, or when it is no array, no
    sequence and no number of Python's own.
    """

    def defers(other: Any) -> bool:
        kind = type(other)
        if getattr(kind, "__array_ufunc__", kind) is None:
            return True
        if kind.__module__ == "builtins" or not hasattr(kind, name):
            return False
        return not any(hasattr(kind, way) for way in ("__array__", "__getitem__", "__float__"))

    return defers


def _is_foreign(other: Any) -> bool:
    """Whether something is not made of numbers, so that no tensor equals it."""
    if hasattr(other, "__array__"):
        return getattr(type(other), "__array_ufunc__", other) is None
    try:
        return isinstance(other, (set, dict)) or not to_array(other).dtype.kind
    except DtypeError:
        return True


def _divmod(self: Tensor, other: Any) -> tuple[Tensor, Tensor]:
    return piecewise.divmod(self, other)


def _rdivmod(self: Tensor, other: Any) -> tuple[Tensor, Tensor]:
    return piecewise.divmod(other, self)


def _round(self: Tensor, ndigits: int | None = None) -> Tensor:
    return predicates.round(self, ndigits or 0)


def _contains(self: Tensor, value: Any) -> bool:
    return not _is_foreign(value) and bool(elementwise.equal(self, value)._array.any())


def _itemsize(self: Tensor) -> int:
    """Bytes per element."""
    return self._array.itemsize


def _nbytes(self: Tensor) -> int:
    """Bytes of all elements."""
    return self._array.nbytes


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return transpose(self, tuple(order) if order else None)


def _reshape(self: Tensor, *shape: Any, order: str = "C") -> Tensor:
    return reshape(self, shape[0] if len(shape) == 1 else shape, order)


def make_operator(
    apply: Callable[..., Any], defers: Callable[[Any], bool], reflected: bool = False
) -> Any:
    """An operation of two inputs as the method of an operator.

    Args:
        apply: the operation.
        defers: whether to leave an operand that is not a tensor to its own class, by returning
            NotImplemented, as Python's protocol of operators has it.
        reflected: whether `self` is the right operand.
    """

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ not in AS_IS and not isinstance(other, Tensor) and defers(other):
            return NotImplemented
        return apply(other, self) if reflected else apply(self, other)

    return operator


METHODS: dict[str, Any] = {
    "__abs__": elementwise.absolute,
    "__invert__": predicates.invert,
    "__neg__": elementwise.negative,
    "__pos__": elementwise.positive,
    "__divmod__": _divmod,
    "__rdivmod__": _rdivmod,
    "__round__": _round,
    "__contains__": _contains,
    "__eq__": make_operator(elementwise.equal, _is_foreign),
    "__ne__": make_operator(elementwise.not_equal, _is_foreign),
    "__array_ufunc__": protocols.array_ufunc,
    "__array_function__": protocols.array_function,
    "T": property(lambda self: transpose(self), doc="The axes in reverse order."),
    "mT": property(lambda self: matrix_transpose(self), doc="The last two axes exchanged."),
    "real": property(lambda self: elementwise.real(self), doc="The real part."),
    "imag": property(lambda self: elementwise.imag(self), doc="The imaginary part."),
    "itemsize": property(_itemsize),
    "nbytes": property(_nbytes),
    "abs": elementwise.absolute,
    "reshape": _reshape,
    "transpose": _transpose,
}
METHODS |= inplace.METHODS | copying.METHODS
for _name, _comparison in COMPARISONS.items():
    METHODS[_name] = make_operator(_comparison, _owner(_name))
for _name, (_function, _symbol) in BINARY.items():
    METHODS[f"__{_name}__"] = make_operator(_function, _owner(f"__r{_name}__"))
    METHODS[f"__r{_name}__"] = make_operator(_function, _owner(f"__{_name}__"), reflected=True)
    METHODS[f"__i{_name}__"] = inplace.in_place(_function, _symbol)
for _name, _method in METHODS.items():
    method(_method, _name)
