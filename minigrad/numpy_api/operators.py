"""Operators of tensors: `t + w` calls an operation directly."""

from collections.abc import Callable
from typing import Any

from minigrad.core.applying import AS_IS
from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError
from minigrad.core.tensors import Tensor, method
from minigrad.numpy_api import inplace
from minigrad.ops.elementwise import (
    arithmetic,
    comparisons,
    piecewise,
    powers,
    predicates,
)
from minigrad.ops.linalg import products
from minigrad.ops.primitives import Primitive

__all__ = ["make_operator"]

BINARY: dict[str, tuple[Primitive[...], str]] = {
    "add": (arithmetic.add, "+="),
    "sub": (arithmetic.subtract, "-="),
    "mul": (arithmetic.multiply, "*="),
    "truediv": (arithmetic.divide, "/="),
    "floordiv": (predicates.floor_divide, "//="),
    "mod": (piecewise.remainder, "%="),
    "pow": (powers.power, "**="),
    "matmul": (products.matmul, "@="),
    "and": (predicates.bitwise_and, "&="),
    "or": (predicates.bitwise_or, "|="),
    "xor": (predicates.bitwise_xor, "^="),
    "lshift": (predicates.left_shift, "<<="),
    "rshift": (predicates.right_shift, ">>="),
}
"""The operators that have a reflected form and one in place."""

COMPARISONS: dict[str, Primitive[...]] = {
    "__lt__": comparisons.less,
    "__le__": comparisons.less_equal,
    "__gt__": comparisons.greater,
    "__ge__": comparisons.greater_equal,
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
    return not _is_foreign(value) and bool(comparisons.equal(self, value).any())


def make_operator(
    apply: Callable[..., Any], defers: Callable[[Any], bool], reflected: bool = False
) -> Any:
    """An operation of two inputs as an operator; `reflected` when `self` is the right operand.

    What `defers` says so of is left to its own class, as Python's protocol of operators has it.
    """

    def operator(self: Tensor, other: Any) -> Any:
        if other.__class__ not in AS_IS and not isinstance(other, Tensor) and defers(other):
            return NotImplemented
        return apply(other, self) if reflected else apply(self, other)

    return operator


OPERATORS: dict[str, Any] = {
    "__abs__": comparisons.absolute,
    "__invert__": predicates.invert,
    "__neg__": arithmetic.negative,
    "__pos__": arithmetic.positive,
    "__divmod__": _divmod,
    "__rdivmod__": _rdivmod,
    "__round__": _round,
    "__contains__": _contains,
    "__eq__": make_operator(comparisons.equal, _is_foreign),
    "__ne__": make_operator(comparisons.not_equal, _is_foreign),
}
for _name, _comparison in COMPARISONS.items():
    OPERATORS[_name] = make_operator(_comparison, _owner(_name))
for _name, (_function, _symbol) in BINARY.items():
    OPERATORS[f"__{_name}__"] = make_operator(_function, _owner(f"__r{_name}__"))
    OPERATORS[f"__r{_name}__"] = make_operator(_function, _owner(f"__{_name}__"), reflected=True)
    OPERATORS[f"__i{_name}__"] = inplace.in_place(_function, _symbol)
for _name, _method in OPERATORS.items():
    method(_method, _name)
