"""Convert the arguments of operations: tensors, constants, integers, dtypes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from minigrad.core.applying import operand
from minigrad.core.errors import DetachError, DtypeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, wrap
from minigrad.restoring import quiet

__all__ = [
    "as_constant",
    "as_numbers",
    "as_operand",
    "as_tensor",
    "as_tensors",
    "constant_array",
    "floating",
    "index_dtype",
    "source_of",
    "named",
    "quiet",
    "read_constant",
    "read_numbers",
    "refuse_pytorch_names",
    "result_type",
    "whole_numbers",
    "widen",
]

Function = TypeVar("Function", bound=Callable[..., Any])


def named(name: str) -> Callable[[Function], Function]:
    """Give a kernel the name of the public function in front of it, for graphs and errors."""

    def rename(function: Function) -> Function:
        function.__name__ = function.__qualname__ = name
        return function

    return rename


def index_dtype(part: Any) -> Any:
    """The dtype of an index or another constant without elements: integers unless it has one."""
    return getattr(part, "dtype", np.intp)


def constant_array(value: Any, argument: str) -> Array:
    """The array of an argument by which an operation is not differentiated, within operations.

    Elsewhere `read_constant` or `as_constant` gives it, since observers see operations alone.

    Raises:
        DetachError: when it is a tensor that requires grad.
    """
    if isinstance(value, Tensor):
        return _without_gradient(value, argument)
    return np.asarray(value, dtype=None if np.size(value) else index_dtype(value))


def source_of(value: Any, name: str, argument: str = "x", *others: Any) -> Any:
    """An argument as a tensor or an array, for functions that are composed of operations.

    Numbers in lists take the dtype of the others. An array is one as observers want it, since
    such a function may convert it before an operation sees it.
    """
    if isinstance(value, Tensor):
        return value
    return as_numbers(value, operand(value, name, argument, others))


def whole_numbers(value: Any, argument: str) -> Any:
    """An argument of constant integers as an array.

    Raises:
        TypeError: for other numbers.
        OverflowError: for integers that do not fit into 64 bits.
    """
    array = constant_array(value, argument)
    if array.dtype == object and all(isinstance(n, int) for n in array.reshape(-1)):
        raise OverflowError(f"{argument} must fit into 64 bits, got {describe(value)}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{argument} must be integers, got {describe(value)}")
    return array if array.size else array.astype(np.intp)


def floating(x: Array) -> Array:
    """Integers as the floats that NumPy's own functions would make of them."""
    return x if x.dtype.kind in "fc" else x.astype(np.result_type(x, np.float16))


def widen(x: Array) -> Array:
    """float16 as float32, in which sums and squares neither overflow nor lose digits."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def result_type(*values: Any) -> Any:
    """The dtype of the result; numbers that stand for no array do not count."""
    return np.result_type(*[v.dtype for v in values if not isinstance(v, float)])


def as_operand(value: Any, name: str, argument: str = "x", *others: Any) -> Tensor:
    """A tensor as it is, or made of an array or of numbers; in lists, of the others' dtype."""
    source = source_of(value, name, argument, *others)
    return source if isinstance(source, Tensor) else wrap(source, None)


def as_tensor(value: Any, name: str, argument: str) -> Tensor:
    """A floating tensor as it is, or made of an array or of numbers.

    Raises:
        DtypeError: when it is not made of real floating numbers.
    """
    tensor = as_operand(value, name, argument)
    if tensor.dtype.kind not in "fc":
        raise DtypeError(
            f"{name}: {argument} must be floating, got {describe(tensor)}; convert it with "
            "astype first."
        )
    return tensor


def as_tensors(name: str, **values: Any) -> list[Tensor]:
    """Several arguments as tensors; integers and lists of numbers take the first one's dtype.

    Raises:
        DtypeError: when the first one is not floating, or another one is not made of numbers.
    """
    tensors: list[Tensor] = []
    for argument, value in values.items():
        if not tensors:
            tensors.append(as_tensor(value, name, argument))
            continue
        first = tensors[0]
        if not isinstance(value, Tensor):
            value = wrap(operand(value, name, argument, (first,)), None)
        if value.dtype.kind in "iub":
            value = wrap(as_numbers(value, value._array).astype(first.dtype), None)
        tensors.append(value)
    return tensors


def as_constant(value: Any, name: str, argument: str) -> "np.ndarray[Any, Any]":
    """The array of an argument by which the operation is not differentiated.

    Raises:
        DetachError: when it requires grad.
    """
    if isinstance(value, Tensor):
        array = _without_gradient(value, f"{name}: {argument}")
    else:
        array = operand(value, name, argument)
    return as_numbers(value, array)


def as_numbers(value: Any, array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The array of a constant to compute with outside of operations, as observers want it."""
    for observer in current_mode().watchers:
        array = observer.numbers(value, array)
    return array


def read_numbers(value: Any, array: Array) -> Array:
    """The array of a constant whose numbers decide what a function outside of operations does."""
    numbers = as_numbers(value, array)
    if numbers is not array:
        numbers.tolist()  # whoever follows them learns that all of them are looked at
    return array


def read_constant(value: Any, argument: str) -> Array:
    """As `constant_array`, outside of operations, where its numbers decide what is done.

    Raises:
        DetachError: when it is a tensor that requires grad.
    """
    return read_numbers(value, constant_array(value, argument))


def _without_gradient(tensor: Tensor, argument: str) -> "np.ndarray[Any, Any]":
    """The array of a constant.

    Raises:
        DetachError: when it requires grad.
    """
    if tensor.requires_grad:
        name = argument.rpartition(": ")[2]
        raise DetachError(
            f"{argument} is a constant here and has no derivative; pass {name}.detach() to say so "
            f"(got {describe(tensor)}, which requires grad)"
        )
    return cast("np.ndarray[Any, Any]", tensor._array)


def refuse_pytorch_names(name: str, given: Mapping[str, Any], advice: Mapping[str, str]) -> None:
    """Refuse keyword arguments that are not ours, and say what to write for PyTorch's names.

    Raises:
        TypeError: when anything was given.
    """
    for keyword in given:
        if keyword in advice:
            raise TypeError(f"{name}: there is no {keyword}=. {advice[keyword]}")
        raise TypeError(f"{name}: got an unexpected keyword argument {keyword!r}")
