"""The values of a module: state dicts, loaded whole or not at all, and other dtypes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.errors import DtypeError, ShapeError, describe
from minigrad.mode import ModeChange
from minigrad.nodes import Leaf
from minigrad.tensors import wrap

__all__ = ["StateDictError", "convert", "load_entries", "state_entries"]


class StateDictError(KeyError, ShapeError):
    """A state dict does not fit the module."""

    __str__ = ShapeError.__str__


def state_entries(module: Any) -> dict[str, Tensor]:
    """Every parameter and persistent buffer by its path; shared ones under each of their paths."""
    entries: dict[str, Tensor] = {}
    stack: list[tuple[str, Any, frozenset[int]]] = [("", module, frozenset())]
    while stack:
        path, inner, around = stack.pop()
        buffers = {n: v for n, v in inner._buffers.items() if n not in inner._transient}
        for name, value in {**inner._parameters, **buffers}.items():
            if value is not None:
                entries[path + name] = value
        around = around | {id(inner)}  # a module may be shared, but ends where it holds itself
        parts = [(f"{path}{n}.", m, around) for n, m in inner._modules.items()]
        stack.extend(part for part in reversed(parts) if id(part[1]) not in around)
    return entries


def load_entries(
    owner: str, entries: Mapping[str, Tensor], state: Mapping[str, Any], strict: bool
) -> None:
    """Write the arrays of a state dict into tensors, all or none; see `Module.load_state_dict`.

    Args:
        owner: the class of the module, for messages.
        entries: the tensors by path.
        state: the new values by path.
        strict: whether missing and unexpected names are errors.

    Raises:
        StateDictError: listing all problems.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    problems, misshapen, loaded = [], [], {}
    for name, value in state.items():
        arrays[name] = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    for name in sorted(entries.keys() & arrays.keys()):
        entry, array = entries[name], arrays[name]
        if array.shape != entry.shape:
            misshapen.append(f"{name} has shape {array.shape} there and {entry.shape} here")
        elif array.dtype.kind not in ("fiub" if entry.dtype.kind == "f" else "iub"):
            misshapen.append(f"{name} is {describe(array)} there and {describe(entry)} here")
        elif id(entry) not in loaded:
            loaded[id(entry)] = (name, array.astype(entry.dtype))
        else:
            first, other = loaded[id(entry)]
            if not np.array_equal(other, array.astype(entry.dtype), equal_nan=True):
                misshapen.append(f"{first} and {name} are one shared tensor here and differ there")
    if strict:
        # Files of shared parameters often hold them under one of their names only.
        found = {id(entries[name]) for name in entries.keys() & arrays.keys()}
        missing = sorted(n for n, e in entries.items() if n not in arrays and id(e) not in found)
        unexpected = sorted(arrays.keys() - entries.keys())
        problems += [f"missing: {', '.join(missing)}"] * bool(missing)
        problems += [f"unexpected: {', '.join(unexpected)}"] * bool(unexpected)
    if problems or misshapen:
        raise StateDictError(f"{owner}.load_state_dict: {'; '.join(problems + misshapen)}")
    with ModeChange(recording=False):
        for name, array in loaded.values():
            entries[name].write(array)


def convert(owner: str, tensors: Iterable[Tensor], dtype: Any) -> None:
    """Convert the floating ones of some tensors, with their gradients, in place.

    Raises:
        DtypeError: when the dtype is not floating.
    """
    try:
        target = np.dtype(dtype)
    except TypeError:
        target = np.dtype(object)
    if target.kind != "f":
        raise DtypeError(
            f"{owner}.to: dtype must be float16, float32 or float64, got {dtype!r}. There is one "
            "device, the processor, and none to move to."
        )
    for tensor in tensors:
        if tensor.dtype.kind != "f" or tensor.dtype == target:
            continue
        array, node = tensor.numpy().astype(target), tensor._node
        if isinstance(node, Leaf):
            node.write(array)
            if node.grad is not None:
                node.grad = wrap(node.grad.numpy().astype(target), None)
        tensor._array = array
