"""What `Tensor` answers until the operations are imported, which bind themselves to it.

Importing the sixty modules of operations takes longer than importing NumPy, so it waits for the
first operator, method or NumPy function that meets a tensor.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Unbound", "bind"]

_BINARY = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "divmod"),
    *("and", "or", "xor", "lshift", "rshift"),
)
_OTHER = (
    *("abs", "invert", "neg", "pos", "round", "contains", "lt", "le", "gt", "ge", "eq", "ne"),
    *("getitem", "setitem", "array_ufunc", "array_function", "copy", "deepcopy", "reduce_ex"),
)
_SPECIAL = [f"__{name}__" for name in (*_BINARY, *_OTHER)]
_SPECIAL += [f"__{form}{name}__" for name in _BINARY for form in "ri"]


class Unbound:
    """The base of `Tensor` whose operators and methods import the operations, then pass on."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers read the declarations in minigrad.signatures

        def __getattr__(self, name):
            import_module("minigrad.operators")
            return object.__getattribute__(self, name)


def _deferred(name: str) -> Callable[..., Any]:
    def deferred(self: Any, *args: Any, **kwargs: Any) -> Any:
        import_module("minigrad.operators")
        return getattr(self, name)(*args, **kwargs)

    return deferred


for _name in _SPECIAL:
    setattr(Unbound, _name, _deferred(_name))


def bind(tensor: type, methods: Mapping[str, Any]) -> None:
    """Give the class its methods, and let missing names be missing from now on."""
    for name, method in methods.items():
        setattr(tensor, name, method)
    for name in ("__getattr__", *_SPECIAL):
        delattr(Unbound, name)
