"""The values of a module: state dicts, loaded whole or not at all, and other dtypes."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.core.errors import DtypeError, describe
from minigrad.core.modes import ModeChange
from minigrad.core.nodes import Leaf
from minigrad.core.tensors import wrap
from minigrad.io.state_dicts import StateDictError, array_of
from minigrad.restoring import errstate

__all__ = [
    "IncompatibleKeys",
    "check_entries",
    "convert",
    "load_entries",
    "not_finite",
    "state_entries",
]


class IncompatibleKeys(NamedTuple):
    """Where a state dict and a module differ, as PyTorch's `load_state_dict` returns it.

    Attributes:
        missing_keys: the names that the module has and the dict does not.
        unexpected_keys: the names that the dict has and the module does not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


KINDS: Final = {"f": "fiub", "c": "cfiub"}
"""What may be loaded into real and complex tensors, by kinds of dtypes; into others, "iub"."""

WRAPPERS = {
    "module.": "a wrapper such as DataParallel",
    "_orig_mod.": "torch.compile",
}
"""What others put into the names of a wrapped module, and who does."""

COUNTER = "num_batches_tracked"  # of batch normalisation; files of before 2018 lack it


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
) -> IncompatibleKeys:
    """Write the arrays of a state dict into tensors, all or none; see `Module.load_state_dict`.

    Also after Ctrl-C they are those of before, or all new.

    Args:
        owner: the class of the module, for messages.
        entries: the tensors by path.
        state: the new values by path.
        strict: whether missing and unexpected names are errors.

    Returns:
        The missing and the unexpected names.

    Raises:
        TypeError, StateDictError: as `check_entries`.
    """
    pairs, differing = check_entries(owner, entries, state, strict)
    before = [tensor.numpy() for tensor, _ in pairs]
    with ModeChange(recording=False):
        try:
            for tensor, array in pairs:
                tensor.write(array)
        except BaseException:
            for (tensor, _), array in zip(pairs, before, strict=True):
                tensor.write(array)
            raise
    return differing


def check_entries(
    owner: str, entries: Mapping[str, Tensor], state: Mapping[Any, Any], strict: bool = True
) -> "tuple[list[tuple[Tensor, np.ndarray[Any, Any]]], IncompatibleKeys]":
    """What the arrays of a state dict are for; nothing is written.

    Args:
        owner, entries, state, strict: as for `load_entries`.

    Returns:
        Each tensor with a copy of its new value, in its dtype; the missing and unexpected names.

    Raises:
        TypeError: the state is no dict, or has names that are no text.
        DtypeError: it has a masked array.
        StateDictError: listing all problems, such as a number that the dtype of its tensor cannot
            hold, or saying in which of its entries the state dict is.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"{owner}.load_state_dict: state must be a dict of arrays by path, as state_dict() "
            f"gives it, got {type(state).__name__}"
        )
    if strange := [name for name in state if not isinstance(name, str)]:
        raise TypeError(f"{owner}.load_state_dict: names must be text, got {describe(strange[0])}")
    _check_flat(owner, entries, state)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    loaded: dict[int, tuple[str, np.ndarray[Any, Any]]] = {}
    problems, misshapen = [], []
    for name, value in state.items():
        arrays[name] = array_of(f"{owner}.load_state_dict: {name}", value)
    known = entries.keys() & arrays.keys()
    for name in sorted(known):
        entry, array = entries[name], arrays[name]
        if array.shape == (1,) and not entry.shape:  # as old files have single numbers
            array = array.reshape(())
        if array.shape != entry.shape:
            misshapen.append(f"{name} has shape {array.shape} there and {entry.shape} here")
        elif array.dtype.kind not in KINDS.get(entry.dtype.kind, "iub"):
            misshapen.append(f"{name} is {describe(array)} there and {describe(entry)} here")
        else:
            with errstate(over="ignore"):  # refused
                value = array.astype(entry.dtype)
            if (lost := _beyond(array, value)) is not None:
                misshapen.append(f"{name} has {lost!r} there, beyond what {describe(entry)} holds")
            first, other = loaded.setdefault(id(entry), (name, value))
            if not np.array_equal(other, value, equal_nan=True):
                misshapen.append(f"{first} and {name} are one shared tensor here and differ there")
    # Files of shared parameters often hold them under one of their names only.
    found = {id(entries[name]) for name in known}
    missing = [
        name
        for name, entry in entries.items()
        if name not in arrays and id(entry) not in found and name.split(".")[-1] != COUNTER
    ]
    unexpected = [name for name in arrays if name not in entries]
    nothing_fits = bool(entries) and not known
    if strict or nothing_fits:
        problems += ["no name fits"] * (nothing_fits and not strict)
        problems += [f"missing: {', '.join(sorted(missing))}"] * bool(missing)
        problems += [f"unexpected: {', '.join(sorted(unexpected))}"] * bool(unexpected)
    if unexpected and problems:
        problems += _renaming(entries.keys(), arrays.keys())
    if problems or misshapen:
        raise StateDictError(f"{owner}.load_state_dict: {'; '.join(problems + misshapen)}")
    pairs = [(entries[name], array) for name, array in loaded.values()]
    return pairs, IncompatibleKeys(missing, unexpected)


def _beyond(array: "np.ndarray[Any, Any]", value: "np.ndarray[Any, Any]") -> Any:
    """The first number that a conversion lost; None if there is none.

    Args:
        array: numbers of a state dict.
        value: the same in another dtype, where finite ones may be infinite, and whole ones others.
    """
    if array.dtype == value.dtype:
        return None
    endless = value.dtype.kind in KINDS  # may be infinite
    lost = np.isfinite(array) & ~np.isfinite(value) if endless else array != value
    return array[lost][0].item() if lost.any() else None


def _check_flat(owner: str, entries: Collection[str], state: Mapping[Any, Any]) -> None:
    """Refuse a checkpoint that holds the state dict, or dicts of its parts, in an entry.

    Raises:
        StateDictError: as said. The message names the entry.
    """
    inner = {name: value for name, value in state.items() if isinstance(value, Mapping)}
    if not inner:
        return
    # The one with the most names of the module: checkpoints hold the optimizer's state as well.
    name = max(inner, key=lambda one: sum(key in entries for key in inner[one]))
    advice = f"pass that: state[{name!r}]"
    if not any(key in entries for key in inner[name]):
        advice = "pass the dict of arrays by path alone"
    raise StateDictError(f"{owner}.load_state_dict: state[{name!r}] is a dict itself; {advice}")


def _renaming(ours: Collection[str], theirs: Collection[str]) -> list[str]:
    """How to rename the entries of a state dict so that more of them fit, if that can be told."""
    fitting = len(set(ours) & set(theirs))
    for marks in (*([mark] for mark in WRAPPERS), list(WRAPPERS)):
        if sum(_without(name, marks) in ours for name in theirs) > fitting:
            found = " and ".join(f"{mark!r}, which {WRAPPERS[mark]} puts there" for mark in marks)
            taken_out = "".join(f'.replace("{mark}", "")' for mark in marks)
            return [
                f"the names hold {found}; take it out: "
                f"{{name{taken_out}: value for name, value in state.items()}}"
            ]
    firsts = {name.partition(".")[0] for name in theirs}
    first = f"{next(iter(firsts), '')}."
    if len(firsts) == 1 and any(name.removeprefix(first) in ours for name in theirs):
        return [
            f"all names begin with {first!r}; take that off: "
            f'{{name.removeprefix("{first}"): value for name, value in state.items()}}'
        ]
    parts = {name.partition(".")[0] for name in ours}
    for part in sorted(parts):
        if any(f"{part}.{name}" in ours for name in theirs):
            return [f"the names fit the part {part!r} of the module; load them into module.{part}"]
    return []


def _without(name: str, marks: Iterable[str]) -> str:
    for mark in marks:
        name = name.replace(mark, "")
    return name


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


def not_finite(model: Any) -> str:
    """The names of the first parameters with numbers that are not finite; "" if all are."""
    bad = (n for n, p in model.named_parameters() if not np.isfinite(p.numpy()).all())
    return ", ".join(islice(bad, 3))
